#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: removal_plan
short_description: Decide what the removal of a host takes, or why it is refused
version_added: 0.2.0
description:
  - Finds out which host and which node are meant, by the word of one control plane that stays, prints the plan, and
    returns it. Fails with every reason at once where nothing should be changed.
  - Whether the host that goes is contacted follows from the cluster's own word alone. Its node has to be Ready; without
    a node, its member of etcd has to be healthy.
  - Runs on the controller, in three stages. Without O(looks) it names the control planes to ask. With them, and without
    O(decide), it names the further hosts to look at.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  name:
    description: The inventory name or the node name of the host that is to go.
    type: str
    required: true
  looks:
    description: Results of M(kubeadm.ha.node_info), each with what RV(look_at) had for that host as C(item).
    type: list
    elements: dict
  decide:
    description: Whether all hosts that matter were looked at.
    type: bool
    default: false
  least_voters:
    description: How many voters of etcd must be left.
    type: int
    default: 2
  drain_timeout_seconds:
    description: How long draining may take.
    type: int
    default: 300
seealso:
  - module: kubeadm.ha.node_drain
  - module: kubeadm.ha.etcd_member
  - module: kubeadm.ha.cluster_node
"""

EXAMPLES = r"""
- name: Name the control planes that may speak for the cluster
  kubeadm.ha.removal_plan:
    name: w3
  register: asked

- name: Decide, by what these and the other hosts of the removal showed
  kubeadm.ha.removal_plan:
    name: w3
    looks: "{{ looks.results }}"
    decide: true
"""

RETURN = r"""
look_at:
  description:
    - The hosts to look at next, each with its C(host) and the options of M(kubeadm.ha.node_info) for it.
  returned: when O(decide) is false
  type: list
  elements: dict
cluster_id:
  description: The cluster's id, as the plan prints it.
  returned: when O(decide) is true
  type: str
  sample: 0123456789ab
host:
  description: The inventory name; empty where the inventory does not have it.
  returned: when O(decide) is true
  type: str
  sample: w3
node:
  description: The node's name.
  returned: when O(decide) is true
  type: str
  sample: w3
role:
  description: What it is, V(worker), V(control plane) or V(etcd host).
  returned: when O(decide) is true
  type: str
  sample: worker
there:
  description: Whether the cluster has anything of it, a node or a member of etcd.
  returned: when O(decide) is true
  type: bool
contacted:
  description: Whether it is contacted.
  returned: when O(decide) is true
  type: bool
hosts:
  description:
    - The hosts that take part, each with its C(name), its C(package_manager) and the C(groups) of the inventory in
      memory that it belongs to.
  returned: when O(decide) is true
  type: list
  elements: dict
endpoint:
  description: The control plane endpoint.
  returned: when O(decide) is true
  type: str
backends:
  description: Addresses of the control planes that stay, by name, for load balancers.
  returned: when O(decide) is true
  type: dict
backends_before:
  description: The same with the one that goes, for the case that it is kept after all.
  returned: when O(decide) is true
  type: dict
balances:
  description: Whether the host that goes is a load balancer besides, and stops being one.
  returned: when O(decide) is true
  type: bool
etcd_member:
  description: Options of M(kubeadm.ha.etcd_member) for the member that goes; none where there is none.
  returned: when O(decide) is true
  type: dict
etcd_endpoints:
  description: Client URLs of the members that stay, where API servers name them one by one.
  returned: when O(decide) is true
  type: list
  elements: str
external_etcd:
  description: kubeadm's C(etcd.external) as it will be; empty with stacked etcd.
  returned: when O(decide) is true
  type: dict
nodes:
  description: Names of the nodes that were Ready, and must be so afterwards.
  returned: when O(decide) is true
  type: list
  elements: str
members:
  description: Likewise the healthy voters of etcd.
  returned: when O(decide) is true
  type: list
  elements: str
steps:
  description: What is done, in words, in order.
  returned: when O(decide) is true
  type: list
  elements: str
afterwards:
  description: What is left to a person.
  returned: when O(decide) is true
  type: list
  elements: str
warnings_found:
  description: What a person should know, in words.
  returned: when O(decide) is true
  type: list
  elements: str
summary:
  description: What is said when all of it is done.
  returned: when O(decide) is true
  type: list
  elements: str
"""
