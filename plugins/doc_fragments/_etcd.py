# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules reach etcd. PRIVATE to the collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of module_utils/etcd_cluster.EtcdCluster."""

    DOCUMENTATION = r"""
options:
  endpoints:
    description: Client URLs of members. They are asked one after the other until one answers.
    type: list
    elements: str
    default: [https://127.0.0.1:2379]
  ca_file:
    description: The CA that etcd's certificates are of.
    type: path
    default: /etc/kubernetes/pki/etcd/ca.crt
  cert_file:
    description: A client certificate that etcd trusts.
    type: path
    default: /etc/kubernetes/pki/etcd/healthcheck-client.crt
  key_file:
    description: The key of that certificate. It is read on the host and stays there.
    type: path
    default: /etc/kubernetes/pki/etcd/healthcheck-client.key
"""
