#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_plan
short_description: Decide what each host needs, and why
version_added: 0.1.0
description:
  - Compares what M(kubeadm.ha.node_info) saw on the hosts with what the inventory asks for, prints the plan, and
    returns it.
  - Fails with every reason at once where nothing should be changed. Never looks at the order of the inventory.
  - Runs on the controller. Without O(observation) it checks the variables and groups alone, and reads the pod network's
    manifests.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  variables:
    description: The C(cluster_*) variables to check, by name.
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
    description: The hosts that this run may change.
    type: list
    elements: str
    required: true
  labels:
    description: Labels of the nodes, by host in O(scope).
    type: dict
    default: {}
  taints:
    description: Taints of the nodes, by host in O(scope).
    type: dict
    default: {}
  schedulable:
    description: Whether workloads may run there though it is a control plane, by host in O(scope).
    type: dict
    default: {}
  observation:
    description: Name of the variable under which each host in O(scope) registered its M(kubeadm.ha.node_info).
    type: str
  looked_since:
    description: When the looking began, as RV(checked_at) said it. Clocks may seem apart by as much as it took.
    type: float
  network_objects:
    description: Names of the objects that the pod network's manifests bring, as RV(network_objects) said them.
    type: list
    elements: str
    default: []
  outside_scope:
    description:
      - Results of M(kubeadm.ha.node_info) for the hosts that were RV(outside) O(scope), with their names as C(item).
    type: list
    elements: dict
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
"""

EXAMPLES = r"""
- name: Check the variables, before any host is looked at
  kubeadm.ha.cluster_plan:
    variables:
      cluster_kubernetes_version: 1.20.2
      cluster_control_plane_endpoint: 192.0.2.10:6443
      cluster_pod_subnet: 10.244.0.0/16
      cluster_service_subnet: 10.96.0.0/12
    control_plane: [cp1, cp2, cp3]
    workers: [w1]
    load_balancers: [lb1]
    scope: [cp1, cp2, cp3, w1, lb1]
  run_once: true
"""

RETURN = r"""
checked_at:
  description: When the variables were checked, seconds since the epoch.
  returned: without O(observation)
  type: float
network_objects:
  description: Names of the objects that the pod network's manifests bring.
  returned: without O(observation)
  type: list
  elements: str
external_etcd:
  description:
    - What M(kubeadm.ha.node_info) is to ask on control planes of an etcd that is not their own.
    - Empty with stacked etcd.
  returned: without O(observation)
  type: dict
outside:
  description: Hosts outside O(scope) that have to be looked at, too.
  returned: without O(observation)
  type: list
  elements: str
carriers:
  description:
    - By host that may carry the virtual IP, without O(observation) its C(address) and C(router_id), and in a plan the
      C(interface) that gets it and the host's own C(address) there.
  returned: success
  type: dict
virtual_ip:
  description: The virtual IP. Its C(address), C(prefix_length) and C(router_id), and the C(first_kubeconfig) of a pod.
  returned: when a plan was made
  type: dict
anchor:
  description: The control plane that speaks for the cluster.
  returned: when a plan was made
  type: str
ca:
  description: Public key hash of the cluster's CA, none before there is one.
  returned: when a plan was made
  type: str
control_plane_addresses:
  description: Addresses of the control planes, by host.
  returned: when a plan was made
  type: dict
addresses:
  description: Addresses by node name, of all hosts and nodes that the hosts of this run show.
  returned: when a plan was made
  type: dict
saw_all:
  description: Whether every host of the inventory is among those that were looked at.
  returned: when a plan was made
  type: bool
nodes:
  description: Names of the nodes in this run.
  returned: when a plan was made
  type: list
  elements: str
members:
  description: Names of the etcd members in this run.
  returned: when a plan was made
  type: list
  elements: str
node_labels:
  description: For each node in this run its C(name), and the C(labels), C(taints) and C(schedulable) that were given.
  returned: when a plan was made
  type: dict
etcd:
  description:
    - Of etcd on hosts of its own. The C(authority) that signs certificates in this run, none where nobody asks for any.
    - What kubeadm is told as C(external), empty with stacked etcd.
    - The C(members) by host, of all whose address is known, each with C(name), C(peer_url) and C(client_url), and all
      of them as the C(initial_cluster) of a first start.
  returned: when a plan was made
  type: dict
warnings_found:
  description: What a person should know.
  returned: when a plan was made
  type: list
  elements: str
hosts:
  description:
    - For each host in scope its action, role, reason, node name, address, the groups that plays select by, and the
      packages that later steps need, to be installed with those of the first.
  returned: when a plan was made
  type: dict
"""
