# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules are told what kubeadm should be told. PRIVATE to the collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of module_utils/kubeadm_config.Description."""

    DOCUMENTATION = r"""
options:
  cluster:
    description:
      - ClusterConfiguration in the words of C(kubeadm.k8s.io/v1beta4), without C(apiVersion) and C(kind).
      - C(extraArgs) may be a mapping, or a list of names and values.
    type: dict
    default: {}
  node:
    description:
      - What InitConfiguration or JoinConfiguration says of this node, in the words of C(kubeadm.k8s.io/v1beta4).
      - Set C(no_log) on the task where you write tokens or keys into it.
    type: dict
    default: {}
  kubelet:
    description: KubeletConfiguration, passed through.
    type: dict
    default: {}
  kube_proxy:
    description: KubeProxyConfiguration, passed through.
    type: dict
    default: {}
"""
