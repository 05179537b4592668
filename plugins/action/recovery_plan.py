# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of a recovery: from the same looks as the plan's to what is broken; decided once, and said."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.kubeadm.ha.plugins.action import cluster_plan
from ansible_collections.kubeadm.ha.plugins.module_utils import membership, recovery
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import url
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, describe

DEAD, KEPT = "cluster_dead", "cluster_kept"
SNAPSHOTS = "/var/backups/kubeadm.ha"

# The group of a host on which an action is done.
_GROUPS = {
    recovery.SNAPSHOT: "recovery_etcd",
    recovery.REMOVE_MEMBER: "recovery_etcd",
    recovery.DELETE_NODE: "recovery_nodes",
    recovery.STOP: "recovery_api",
    recovery.WIPE: "recovery_wipe",
    recovery.BEGIN: "recovery_begin",
    recovery.FOLLOW: "recovery_follow",
    recovery.START: "recovery_start",
}


class ActionModule(ActionBase):
    """See plugins/modules/recovery_plan.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {name: option for name, option in cluster_plan.SPEC.items() if name != "outside_scope"}
        _validated, options = self.validate_argument_spec(
            argument_spec={
                **spec,
                "observation": {"type": "str", "required": True},
                "apply": {"type": "bool", "default": False},
                "confirm": {"type": "str", "default": ""},
                "snapshot": {"type": "bool", "default": False},
                "private_key": {"type": "bool", "default": False, "no_log": False},
                "survivor": {"type": "str", "default": ""},
                "forget": {"type": "list", "elements": "str", "default": []},
            },
        )
        options["outside_scope"] = []
        inventory = cluster_plan.Inventory(options, task_vars)
        looks = cluster_plan.registered(options, task_vars)
        problems = cluster_plan.input_problems(options, inventory) + _left_out(options)
        problems += cluster_plan.not_looked_at(looks)
        if problems:
            raise AnsibleActionFail(describe(problems))
        wanted = cluster_plan.wanted_of(options, inventory)
        names = {host: task_vars["hostvars"][host].get("cluster_node_name") for host in options["scope"]}
        ask = recovery.Ask(
            forget=frozenset(options["forget"]),
            confirm=options["confirm"],
            snapshot=options["snapshot"],
            private_key=options["private_key"],
            survivor=options["survivor"],
            names={host: name for host, name in names.items() if name},
            silence={host: _why(look) for host, look in looks.items() if look.get("unreachable")},
        )
        seen = cluster_plan.gather(options, task_vars)
        made = recovery.diagnose(wanted, seen, ask, time.time() - (options["looked_since"] or time.time()))
        Display().display(recovery.text(wanted, made, apply=options["apply"]))
        if made.refusals and options["apply"]:
            raise AnsibleActionFail("Nothing was changed.\n" + describe(made.refusals))
        result.update(answer(wanted, seen, made, ask, apply=options["apply"] and not self._task.check_mode))
        return result


def _left_out(options: Mapping[str, Any]) -> list[Problem]:
    everyone = frozenset().union(*(options[group] for group in cluster_plan.GROUPS))
    missing = sorted(everyone - frozenset(options["scope"]))
    if not missing:
        return []
    action = "Run without --limit: a host that is dead is recognised, and passed over."
    return [Problem(CLUSTER, "scope", f"{', '.join(missing)} left out", "a look at every host", action)]


def _why(look: Mapping[str, Any]) -> str:
    """ssh's own words, without those that Ansible puts around them."""
    said = " ".join(str(look.get("msg", "")).split())
    return re.split(r"\b(?:via|over) ssh: ", said)[-1].removeprefix("ssh: ").rstrip(".")[:160]


def answer(
    wanted: recovery.Wanted,
    seen: Mapping[str, recovery.Observation | None],
    made: recovery.Recovery,
    ask: recovery.Ask,
    *,
    apply: bool,
) -> dict[str, Any]:
    """What the plays that follow, and programs, need of a diagnosis."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return {
        "cluster_id": made.cluster_id,
        "ca": made.ca,
        "cases": [dataclasses.asdict(case) for case in sorted(made.cases)],
        "actions": [dataclasses.asdict(action) for action in made.actions],
        "applied": apply,
        "anchor": made.anchor,
        "speaker": made.speaker,
        "members": made.subjects(recovery.REMOVE_MEMBER),
        "nodes": made.subjects(recovery.DELETE_NODE),
        "snapshot": f"{SNAPSHOTS}/{made.cluster_id}-{stamp}.db" if made.subjects(recovery.SNAPSHOT) else "",
        "endpoints": made.endpoints,
        "source": recovery.FROM_SNAPSHOT if ask.snapshot else recovery.FROM_DATA,
        "survivors": [dataclasses.asdict(survivor) for survivor in made.survivors],
        "passed_over": sorted(made.passed_over),
        "kept": sorted(made.kept),
        "places": places(wanted, seen),
        "groups": groups(wanted, made, ask, apply=apply),
        "refusals": [str(problem) for problem in sorted(set(made.refusals))],
        "warnings_found": [str(problem) for problem in sorted(set(made.warnings))],
    }


def groups(wanted: recovery.Wanted, made: recovery.Recovery, ask: recovery.Ask, *, apply: bool) -> dict[str, list[str]]:
    """The groups of each host; all of them end here where nothing is to be done."""
    everyone = wanted.control_plane | wanted.workers | wanted.load_balancers | wanted.etcd
    found: dict[str, set[str]] = {host: set() for host in sorted(everyone)}
    for host in made.passed_over if apply else everyone:
        found[host].add(DEAD)
    for host in made.kept if apply else ():
        found[host].add(KEPT)
    for action in made.actions if apply else ():
        if action.on:
            found[action.on].add(_GROUPS[action.kind])
    if made.begins and apply and ask.snapshot and ask.private_key:
        found[made.begins].add("recovery_open")
    if made.begins and apply:
        for host in everyone - made.passed_over:
            found[host] |= {"recovery_api"} if host in wanted.control_plane else set()
            found[host] |= {"recovery_kubelets"} if host in wanted.control_plane | wanted.workers else set()
            found[host] |= {"recovery_start"} if host in wanted.control_plane - recovery.carriers(wanted) else set()
    return {host: sorted(names) for host, names in found.items()}


def places(wanted: recovery.Wanted, seen: Mapping[str, recovery.Observation | None]) -> dict[str, dict[str, str]]:
    """What each host's own member is, or will be."""
    found = {}
    for host in sorted(recovery.carriers(wanted)):
        look, said = seen.get(host), wanted.etcd_of(host)
        if look:
            found[host] = {
                "name": look.node_name,
                "peer_url": membership.peer_url(look.address, said.peer_port),
                "client_url": url("127.0.0.1", said.client_port),
                "data_dir": recovery.data_dir(wanted, host, look),
            }
    return found
