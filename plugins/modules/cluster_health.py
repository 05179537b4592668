#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_health
short_description: Wait until a cluster is whole, or say what is missing
version_added: 0.1.0
description:
  - Reads, on a control plane, the nodes, etcd's members and who answers at the endpoint, and waits until all is as it
    should be.
  - Fails with everything that is missing when the time is over. Changes nothing.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  endpoint:
    description: The control plane endpoint, C(host:port).
    type: str
    required: true
  nodes:
    description: Names of the nodes that must be there. The API server of each control plane among them must answer.
    type: list
    elements: str
    default: []
  ready:
    description: Whether the nodes must be Ready. Without a network they can only be registered.
    type: bool
    default: true
  members:
    description: Names of the etcd members that must be healthy.
    type: list
    elements: str
    default: []
  external_etcd:
    description:
      - Where etcd runs on hosts of its own, how API servers reach it, in kubeadm's words for C(etcd.external). Without
        it the members are this host's own and those that it knows.
    type: dict
    default: {}
  timeout_seconds:
    description: How long to wait.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Wait for three control planes and two workers
  kubeadm.ha.cluster_health:
    endpoint: 192.0.2.10:6443
    nodes: [cp1, cp2, cp3, w1, w2]
    members: [cp1, cp2, cp3]
"""

RETURN = r"""
ca:
  description: Public key hash of the cluster's CA.
  returned: success
  type: str
nodes:
  description:
    - Every node by name, with C(ready), C(control_plane), C(address) and C(kubelet).
  returned: success
  type: dict
user_bindings:
  description:
    - The bindings that M(kubeadm.ha.user_access) made for users, with their C(name), C(namespace) and C(binding).
  returned: success
  type: list
  elements: dict
members:
  description: etcd's members, with their health and which one leads.
  returned: success
  type: list
  elements: dict
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd,
    etcd_look,
    evidence,
    external_etcd,
    kube_api,
    pki,
    user_access,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_cluster import EtcdCluster
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed, url
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, describe
from ansible_collections.kubeadm.ha.plugins.module_utils.requirements import API_PORT

API_SERVER_PODS = "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-apiserver"


def etcd_members(external: dict[str, Any]) -> list[dict[str, Any]]:
    """etcd's members now; none where nobody answers."""
    if not external:
        return evidence.etcd_state(3.0)["members"]
    try:
        context = etcd.client_context(*pki.etcd_client_files(external))
        members = EtcdCluster(external["endpoints"], context, timeout=3.0).members()
    except (RequestFailed, OSError):
        return []
    return [member.as_dict() for member in members]


def external_problems(external: dict[str, Any]) -> list[Problem]:
    """What API servers lack of an etcd elsewhere, whose members may be out of this host's reach."""
    files = pki.etcd_client_files(external)
    found = etcd_look.look(external["endpoints"], *files, external_etcd.PREFIX, 3.0)
    answers = [external_etcd.Answer.from_dict(answer) for answer in found["answers"].values()]
    if any(answer.able for answer in answers):
        return []
    said = sorted({answer.error for answer in answers if answer.error})
    shown = f"none that reads with a quorum ({'; '.join(said) or 'no answer'})"
    where = ", ".join(external["endpoints"])
    return [Problem(CLUSTER, f"etcd at {where}", shown, "one of them that does", "See etcd's log there.")]


def silent_api_servers(nodes: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[Problem]:
    """The control planes among these nodes whose own API server is silent, whomever the load balancer leads to.

    kubeadm join has ended before it is up, and whatever keeps it down shows nowhere else. Where nobody but a load
    balancer may reach it, its kubelet's word is taken.
    """
    known = {name: nodes[name] for name in names if name in nodes}
    addresses = {name: node["address"] for name, node in known.items() if node["control_plane"] and node["address"]}

    def ask(address: str) -> str:
        try:
            kube_api.cluster_info(url(address, API_PORT), 2.0)
        except RequestFailed as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(max(len(addresses), 1)) as threads:
        errors = {name: error for name, error in zip(addresses, threads.map(ask, addresses.values())) if error}
    ready = ready_api_servers() if errors else set()
    action = "See the kubelet's journal on that host, and what its runtime says of kube-apiserver."
    return [
        Problem(name, "API server", error, "an answer", action) for name, error in errors.items() if name not in ready
    ]


def ready_api_servers() -> set[str]:
    """The nodes whose kubelets say that their API server is ready; none where nobody can be asked."""
    try:
        pods = kube_api.local_admin().get(API_SERVER_PODS)["items"]
    except RequestFailed:
        return set()
    return {
        pod["spec"]["nodeName"]
        for pod in pods
        for condition in pod["status"].get("conditions", ())
        if (condition["type"], condition["status"]) == ("Ready", "True")
    }


def look(options: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The cluster now, and what it lacks."""
    problems = []
    api = evidence.api_state(None)
    nodes = api.get("nodes", {})
    if not api["answers"]:
        problems.append(
            Problem(CLUSTER, "API server of this host", api["error"], "an answer", "See the kubelet's journal here.")
        )
    fine = {name for name, node in nodes.items() if node["ready"] or not options["ready"]}
    for name in sorted(set(options["nodes"]) - fine):
        found = "not Ready" if name in nodes else "no such node"
        problems.append(Problem(name, "node", found, "Ready", "See the kubelet's journal on that host."))
    problems += silent_api_servers(nodes, sorted(options["nodes"]))
    members = etcd_members(options["external_etcd"]) if options["members"] or options["external_etcd"] else []
    healthy = {member["name"] for member in members if member["healthy"] and not member["learner"]}
    errors = {member["name"]: member["error"] for member in members}
    for name in sorted(set(options["members"]) - healthy):
        found = f"not healthy ({errors[name]})" if errors.get(name) else "not healthy"
        problems.append(Problem(name, "etcd member", found, "a healthy voter", "See etcd's log on that host."))
    voters = [member for member in members if not member["learner"]]
    if options["external_etcd"]:
        problems += external_problems(options["external_etcd"])
    elif voters and len(healthy) < etcd.quorum(len(voters)):
        found = f"{len(healthy)} healthy of {len(voters)} voters"
        problems.append(Problem(CLUSTER, "etcd", found, "a quorum", "Bring members back first."))
    try:
        kube_api.cluster_info(f"https://{options['endpoint']}", 5.0)
    except RequestFailed as error:
        problems.append(
            Problem(CLUSTER, f"endpoint {options['endpoint']}", str(error), "an API server", "See the load balancer.")
        )
    return {
        "ca": evidence.look_at_certificates().public_keys.get(evidence.CA),
        "nodes": nodes,
        "members": members,
    }, problems


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoint": {"type": "str", "required": True},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "ready": {"type": "bool", "default": True},
            "members": {"type": "list", "elements": "str", "default": []},
            "external_etcd": {"type": "dict", "default": {}},
            "timeout_seconds": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    deadline = time.monotonic() + module.params["timeout_seconds"]
    found, problems = look(module.params)
    while problems and not module.check_mode and time.monotonic() < deadline:
        time.sleep(1)
        found, problems = look(module.params)
    if problems and not module.check_mode:
        module.fail_json(msg=describe(problems), **found)
    try:
        found["user_bindings"] = [one.as_dict() for one in user_access.bound(kube_api.local_admin())]
    except RequestFailed as error:
        if not module.check_mode:
            module.fail_json(msg=str(error), **found)
        found["user_bindings"] = []
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
