#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reset_plan
short_description: Decide whether hosts may be reset
version_added: 0.1.0
description:
  - Compares what M(kubeadm.ha.node_info), and M(kubeadm.ha.kubeadm_reset) in check mode, saw on the hosts with the
    cluster that the user confirms, prints what would be removed, and returns it.
  - Fails with every reason at once where a host is not confirmed, or belongs to a cluster that lives on without it.
  - Runs on the controller.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  confirm:
    description: The id of the cluster that is to go, or V(none) where no host shows one. Empty if the user gave none.
    type: str
    default: ""
  scope:
    description: The hosts to be reset.
    type: list
    elements: str
    required: true
  load_balancers:
    description: Hosts that balance the API servers.
    type: list
    elements: str
    default: []
  look:
    description: Name of the variable under which each host in O(scope) registered its M(kubeadm.ha.node_info).
    type: str
    required: true
  preview:
    description:
      - Name of the variable under which each host in O(scope) registered M(kubeadm.ha.kubeadm_reset) in check mode.
    type: str
    required: true
  outside_scope:
    description:
      - Results of M(kubeadm.ha.node_info) for the control planes and etcd hosts that are not in O(scope), with their
        names as C(item).
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Decide whether these hosts may be reset
  kubeadm.ha.reset_plan:
    confirm: 3f8a6c01d2e4
    scope: "{{ ansible_play_hosts_all }}"
    look: observation
    preview: preview
  run_once: true
"""

RETURN = r"""
cluster_id:
  description: The cluster that is to go.
  returned: success
  type: str
  sample: 3f8a6c01d2e4
hosts:
  description:
    - By inventory name, what a reset would remove (C(removed)), and what stays and may be the cluster's (C(left)).
  returned: success
  type: dict
"""
