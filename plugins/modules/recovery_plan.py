#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_plan
short_description: Name what is broken in a cluster, and what mends it in which order
version_added: 0.1.0
description:
  - Compares what M(kubeadm.ha.node_info) saw on all hosts of the inventory with what the inventory asks for, prints a
    diagnosis, the actions in their order and what a build does with what is left then, and returns all of it.
  - Calls a host dead where it does not answer, its etcd member does not answer and its Node is not Ready, all three.
    Which control plane was initialised first makes no difference.
  - Counts what each removal leaves of the quorum, for all of them in their order.
  - Fails with every reason at once where something stands against what was asked for, if O(apply) asks for it.
  - Runs on the controller and changes nothing.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  variables:
    description: The C(cluster_*) variables, by name, as M(kubeadm.ha.cluster_plan) is given them.
    type: dict
    required: true
  control_plane:
    description: Hosts that should be control planes.
    type: list
    elements: str
    required: true
  workers:
    description: Hosts that should be workers.
    type: list
    elements: str
    required: true
  load_balancers:
    description: Hosts that should balance the API servers.
    type: list
    elements: str
    required: true
  etcd:
    description: Hosts that should be members of etcd, where it runs on hosts of its own.
    type: list
    elements: str
    default: []
  scope:
    description: The hosts that this run has looked at. All hosts of the groups have to be among them.
    type: list
    elements: str
    required: true
  labels:
    description: As M(kubeadm.ha.cluster_plan) is given them.
    type: dict
    default: {}
  taints:
    description: As M(kubeadm.ha.cluster_plan) is given them.
    type: dict
    default: {}
  schedulable:
    description: As M(kubeadm.ha.cluster_plan) is given it.
    type: dict
    default: {}
  observation:
    description: Name of the variable under which each host in O(scope) registered its M(kubeadm.ha.node_info).
    type: str
    required: true
  looked_since:
    description: When the looking began, seconds since the epoch.
    type: float
  network_objects:
    description: As M(kubeadm.ha.cluster_plan) is given them.
    type: list
    elements: str
    default: []
  external_etcd:
    description: Whether etcd runs on hosts of its own.
    type: bool
    default: false
  skip_phases:
    description: Phases of kubeadm init that are left out.
    type: list
    elements: str
    default: []
  apply:
    description:
      - Whether the actions are to be done in this run. Without it every host goes into the group C(cluster_dead), so
        that nothing is done. In check mode the same holds.
    type: bool
    default: false
  confirm:
    description: The id of the cluster that may begin again from what is left of it, after its quorum is lost.
    type: str
    default: ''
  snapshot:
    description: Whether there is a snapshot for that. Without one it begins from the data of a survivor.
    type: bool
    default: false
  private_key:
    description:
      - Whether the private key for the snapshot was given, which is encrypted then, and on the controller.
      - Without a key the snapshot is in clear, and on the host that begins.
    type: bool
    default: false
  survivor:
    description: The host that begins. The one that knows most of raft's log where it is not given.
    type: str
    default: ''
  forget:
    description: Names of members and nodes that are dead and that no host of the inventory stands behind, which may go.
    type: list
    elements: str
    default: []
seealso:
  - module: kubeadm.ha.cluster_plan
"""

EXAMPLES = r"""
- name: Name what is broken
  kubeadm.ha.recovery_plan:
    variables: "{{ cluster_plan_variables }}"
    control_plane: [cp1, cp2, cp3]
    workers: [w1]
    load_balancers: [lb1]
    scope: [cp1, cp2, cp3, w1, lb1]
    observation: node
  run_once: true
"""

RETURN = r"""
cluster_id:
  description: The id of the cluster, empty where nobody shows its CA.
  returned: success
  type: str
  sample: 3f2a9c41d07b
ca:
  description: Public key hash of its CA.
  returned: success
  type: str
cases:
  description: What is wrong, each with its C(kind), C(subject), C(evidence), C(remedy), and whether it is C(mended).
  returned: success
  type: list
  elements: dict
actions:
  description: What is done in this order, each with its C(kind), C(subject), C(title), and the host it is done C(on).
  returned: success
  type: list
  elements: dict
applied:
  description: Whether the actions are to be done in this run.
  returned: success
  type: bool
anchor:
  description: The control plane that is asked for Nodes.
  returned: success
  type: str
speaker:
  description: The host whose etcd is asked for members.
  returned: success
  type: str
members:
  description: Ids of the members to be removed, decimal, in this order.
  returned: success
  type: list
  elements: str
nodes:
  description: Names of the Nodes to be deleted.
  returned: success
  type: list
  elements: str
snapshot:
  description: The file, on C(speaker), for the snapshot before the first change; empty where nothing is to be changed.
  returned: success
  type: str
endpoints:
  description: Client URLs of the members that are healthy and stay.
  returned: success
  type: list
  elements: str
source:
  description: From what an etcd without a quorum begins again, V(data) or V(snapshot).
  returned: success
  type: str
survivors:
  description: Where the quorum is lost, the C(host), C(member_id), raft C(index) and C(data_dir) of each that has data.
  returned: success
  type: list
  elements: dict
passed_over:
  description: Hosts that are not contacted any more in this run.
  returned: success
  type: list
  elements: str
kept:
  description:
    - Nodes and hosts of etcd that nothing has befallen, and that need not learn a new name or address. They go into the
      group C(cluster_kept), and are not prepared as for a join.
  returned: success
  type: list
  elements: str
places:
  description: Of each host that is to carry a member of etcd, its C(name), C(peer_url), C(client_url) on itself and
    C(data_dir).
  returned: success
  type: dict
groups:
  description: By host, the groups of the inventory in memory that plays select by.
  returned: success
  type: dict
refusals:
  description: What stands against it.
  returned: success
  type: list
  elements: str
warnings_found:
  description: What a person should know.
  returned: success
  type: list
  elements: str
"""
