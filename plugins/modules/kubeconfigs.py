#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeconfigs
short_description: Keep kubeconfigs of the administrator and of users on the controller
version_added: 0.1.0
description:
  - Makes private keys on the controller, has the cluster sign certificates for them, and writes kubeconfigs with mode
    0600. No key travels, and C(admin.conf) stays on the control planes.
  - Binds users to ClusterRoles, and takes bindings away that it made and that are listed no more.
  - A kubeconfig of this cluster and user that is valid for long enough is left alone. One of another cluster or user is
    set aside under a dated name, not overwritten. One of a user who is listed no more is left where it is.
  - Runs on the controller and, where anything is to be signed or bound, M(kubeadm.ha.user_access) on a control plane.
requirements:
  - cryptography on the controller
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  path:
    description: Where to keep the administrator's.
    type: path
    required: true
  endpoint:
    description: The control plane endpoint, C(host:port).
    type: str
    required: true
  ca_hash:
    description:
      - Public key hash of the cluster's CA, by which its own kubeconfigs are told from another cluster's.
      - Empty where there is no cluster yet, as in check mode before it is built, so that no kubeconfig is its own.
    type: str
  cluster:
    description: The cluster's name.
    type: str
    default: kubernetes
  user:
    description: The administrator's name, which the API server's audit log shows.
    type: str
    default: kubeadm-ha-admin
  users:
    description: Those who are not administrators. M(kubeadm.ha.cluster_plan) checks them as C(cluster_users).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The user's name.
        type: str
        required: true
      groups:
        description: The user's groups. Kubernetes' own, C(system:masters) among them, are no groups of users.
        type: list
        elements: str
      days:
        description: How long a certificate may live. Where not given, the cluster decides.
        type: int
      path:
        description: Where to keep the user's kubeconfig. C(NAME.kubeconfig) beside O(path) where not given.
        type: path
      bindings:
        description: What the user may do, each with a C(cluster_role) and, unless it is everywhere, a C(namespace).
        type: list
        elements: dict
  user_bindings:
    description: The bindings that there are, as M(kubeadm.ha.cluster_health) returns them.
    type: list
    elements: dict
    default: []
  renew_days:
    description:
      - How many days before its end a certificate is renewed; one that does not live for three times as long is renewed
        after two thirds of its life.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Keep a kubeconfig beside the inventory, and one for a developer
  kubeadm.ha.kubeconfigs:
    path: "{{ inventory_dir }}/kubeconfig"
    endpoint: 192.0.2.10:6443
    users:
      - name: jane
        groups: [developers]
        bindings:
          - cluster_role: edit
            namespace: shop
"""

RETURN = r"""
path:
  description: Where the administrator's is.
  returned: success
  type: str
reasons:
  description: By user, why a kubeconfig was written, or in check mode would be.
  returned: success
  type: dict
  sample:
    jane: there is none yet
"""
