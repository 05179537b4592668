#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: admin_kubeconfig
short_description: Keep an administrator's kubeconfig on the controller
version_added: 0.1.0
description:
  - Makes a private key on the controller, has the cluster sign a certificate for it, and writes the kubeconfig with
    mode 0600. No key travels, and C(admin.conf) stays on the control planes.
  - A kubeconfig of this cluster that is valid for longer than O(renew_days) is left alone. One of another cluster is
    set aside under a dated name, not overwritten.
  - Runs on the controller and, where a certificate is needed, M(kubeadm.ha.client_certificate) on a control plane.
requirements:
  - cryptography on the controller
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  path:
    description: Where to keep it.
    type: path
    required: true
  endpoint:
    description: The control plane endpoint, C(host:port).
    type: str
    required: true
  ca_hash:
    description:
      - Public key hash of the cluster's CA, by which its own kubeconfig is told from another cluster's.
      - Empty where there is no cluster yet, as in check mode before it is built, so that no kubeconfig is its own.
    type: str
  cluster:
    description: The cluster's name.
    type: str
    default: kubernetes
  user:
    description: The name that the API server's audit log shows.
    type: str
    default: kubeadm-ha-admin
  renew_days:
    description: How many days before its end a certificate is renewed.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Keep a kubeconfig beside the inventory
  kubeadm.ha.admin_kubeconfig:
    path: "{{ inventory_dir }}/kubeconfig"
    endpoint: 192.0.2.10:6443
"""

RETURN = r"""
path:
  description: Where it is.
  returned: success
  type: str
reason:
  description: Why it was written, or in check mode would be.
  returned: when changed
  type: str
  sample: there is none yet
"""
