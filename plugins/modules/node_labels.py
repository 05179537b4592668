#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_labels
short_description: Keep labels and taints of nodes
version_added: 0.1.0
description:
  - Gives nodes their labels and taints through this control plane's own API server, any number of nodes in one
    execution.
  - What this module has set it takes away again when it is wanted no more. Labels and taints that anybody else has set
    stay, those that happened to be as wanted among them. What is whose stands in the annotation
    C(kubeadm.ha/node-labels) of the node.
  - Waits for nodes that have joined and are not registered yet.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  nodes:
    description: The nodes to keep; others are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The node's name.
        type: str
        required: true
      labels:
        description: Its labels, by key.
        type: dict
        default: {}
      taints:
        description: Its taints, each with C(key), C(effect) and, where it has one, C(value).
        type: list
        elements: dict
        default: []
      schedulable:
        description:
          - Whether workloads may run there though it is a control plane. The taint that kubeadm put there is taken
            away; it is put back when this is false again.
        type: bool
        default: false
  timeout_seconds:
    description: How long to wait for a node to be registered.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Mark a worker, and keep it for some workloads
  kubeadm.ha.node_labels:
    nodes:
      - name: w1
        labels:
          node-role.kubernetes.io/worker: ""
          example.com/rack: "7"
        taints:
          - key: example.com/dedicated
            value: database
            effect: NoSchedule
"""

RETURN = r"""
changed_nodes:
  description: Names of the nodes that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import kube_api
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.node_labels import Change, Wanted, decide, unborn
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal

NODES = "/api/v1/nodes"
# Each time somebody else wrote the node between a look and a change; kubelets do so every few minutes.
ATTEMPTS = 5


def registered(api: kube_api.KubeApi, names: set[str], patience: float) -> dict[str, Document]:
    """The nodes that there are, once all of these are, by name.

    Raises:
        Refusal: some never came.
        RequestFailed: the API server does not answer.
    """
    deadline = time.monotonic() + patience
    while True:
        nodes = {node["metadata"]["name"]: node for node in api.get(NODES)["items"]}
        missing = names - nodes.keys()
        if not missing:
            return nodes
        if time.monotonic() >= deadline:
            raise Refusal(
                Problem(name, "node", "no such node", "it registered", "See the kubelet's journal on that host.")
                for name in missing
            )
        time.sleep(1)


def bring_about(api: kube_api.KubeApi, node: Document, wanted: Wanted) -> Change | None:
    """Change one node, anew if somebody else changes it at the same time; None where there was no need.

    Raises:
        RequestFailed: the API refuses.
    """
    path = f"{NODES}/{wanted.name}"
    for attempt in range(1, ATTEMPTS + 1):
        change = decide(node, wanted)
        if change is None:
            return None
        try:
            api.request("PATCH", path, change.patch, "application/merge-patch+json")
            return change
        except RequestFailed as error:
            if error.status != 409 or attempt == ATTEMPTS:
                raise
            node = api.get(path)
    raise AssertionError("unreachable")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "labels": {"type": "dict", "default": {}},
                    "taints": {"type": "list", "elements": "dict", "default": []},
                    "schedulable": {"type": "bool", "default": False},
                },
            },
            "timeout_seconds": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    wanted = [Wanted(**node) for node in module.params["nodes"]]
    changes: dict[str, Change] = {}
    try:
        if module.check_mode:
            there = kube_api.has_admin()
            nodes = registered(kube_api.local_admin(), set(), 0) if there else {}
            found = {one.name: decide(nodes.get(one.name) or unborn(one), one) for one in wanted}
            changes = {name: change for name, change in found.items() if change}
        else:
            api = kube_api.local_admin()
            nodes = registered(api, {one.name for one in wanted}, module.params["timeout_seconds"])
            for one in wanted:
                change = bring_about(api, nodes[one.name], one)
                if change:
                    changes[one.name] = change
    except (RequestFailed, Refusal) as error:
        module.fail_json(msg=str(error), changed=bool(changes), changed_nodes=sorted(changes))
    diff = [
        {
            "before_header": f"node {name}",
            "after_header": f"node {name}",
            "before": change.before,
            "after": change.after,
        }
        for name, change in sorted(changes.items())
    ]
    module.exit_json(changed=bool(changes), changed_nodes=sorted(changes), diff=diff)


if __name__ == "__main__":
    main()
