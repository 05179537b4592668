# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates of etcd's hosts and clients are to say. PRIVATE to the collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of module_utils/certificate_profiles."""

    DOCUMENTATION = r"""
options:
  version:
    description: The Kubernetes version of the cluster. Before 1.29 clients are of the organization C(system:masters).
    type: str
    required: true
  directory:
    description: Where certificates and keys are, with kubeadm's file names below it.
    type: path
    default: /etc/kubernetes/pki
"""

    HOST = r"""
options:
  node_name:
    description: The name of this host's node and etcd member, in lower case. Servers' certificates carry it.
    type: str
  address:
    description: The IP address where this host's etcd listens. Servers' certificates carry it.
    type: str
  local:
    description:
      - What kubeadm's C(etcd.local) says, in the words of C(kubeadm.k8s.io/v1beta4). C(serverCertSANs) and
        C(peerCertSANs) are read, DNS names and IP addresses that servers' certificates carry besides.
    type: dict
    default: {}
"""

    PROFILES = r"""
options:
  profiles:
    description: Which certificates, by the names of kubeadm's phases.
    type: list
    elements: str
    choices: [etcd-server, etcd-peer, etcd-healthcheck-client, apiserver-etcd-client]
    default: [etcd-server, etcd-peer, etcd-healthcheck-client, apiserver-etcd-client]
"""
