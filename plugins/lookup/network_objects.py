# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: network_objects
short_description: The objects that a pod network has in the cluster
version_added: 0.1.0
description:
  - Reads the manifests of a pod network on the controller, sets the pod subnet in those of Calico and Flannel, and
    returns their objects, after one that records in the cluster which network it has.
  - Fails where a manifest cannot be read, has another checksum, or names another pod subnet.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
options:
  _terms:
    description: Nothing.
  network:
    description: Which network.
    type: str
    required: true
    choices: [bridge, calico, cilium, flannel, manifest]
  manifests:
    description:
      - Files on the controller, relative to the inventory's folder, and URLs, each as text or as a mapping of C(source)
        and C(checksum). Upstream's for V(calico) and V(flannel) where there are none.
    type: list
    elements: raw
    default: []
  pod_subnet:
    description: The network of all pods, or two with a comma between them.
    type: str
    required: true
  kubernetes_version:
    description: The Kubernetes version, by which upstream's manifest is chosen.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Keep Flannel in the cluster
  kubeadm.ha.kubernetes_objects:
    packed_objects: >-
      {{ query('kubeadm.ha.network_objects', network='flannel', pod_subnet='10.244.0.0/16',
               kubernetes_version='1.33.1') | to_json | b64encode }}
"""

RETURN = r"""
_list:
  description: The objects.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.kubeadm.ha.plugins.module_utils import pod_network
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe
from ansible_collections.kubeadm.ha.plugins.plugin_utils import manifests


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        asked = {
            "cluster_network": self.get_option("network"),
            "cluster_network_manifests": self.get_option("manifests"),
            "cluster_pod_subnet": self.get_option("pod_subnet"),
            "cluster_kubernetes_version": self.get_option("kubernetes_version"),
        }
        problems = pod_network.check_choice(asked)
        objects: list[dict[str, Any]] = []
        if not problems:
            objects, problems = manifests.load(asked, (variables or {}).get("inventory_dir"))
        if problems:
            raise AnsibleLookupError(describe(problems))
        return [pod_network.record(asked["cluster_network"], objects), *objects]
