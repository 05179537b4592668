# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of a removal: what the inventory says, what hosts showed, one decision, said once."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    external_etcd,
    identity,
    removal,
    versions,
    virtual_ip,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, describe
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import Observation

GROUPS = ("control_plane", "workers", "load_balancers", "etcd")
# Of the whole cluster, read from one of its control planes.
CLUSTER_VARIABLES = (
    "cluster_kubernetes_version",
    "cluster_control_plane_endpoint",
    "cluster_configuration",
    "cluster_etcd_topology",
    "cluster_etcd_endpoints",
    "cluster_etcd_ca_file",
    "cluster_etcd_certificate_file",
    "cluster_etcd_key_file",
    "cluster_virtual_ip",
    "cluster_virtual_ip_provider",
    "cluster_virtual_router_id",
)
# Options of node_info by the variables of a host that say them.
LOOK_VARIABLES = {
    "node_name": "cluster_node_name",
    "address": "cluster_node_address",
    "etcd_data_dir": "cluster_etcd_data_dir",
    "etcd_client_port": "cluster_etcd_client_port",
}


class ActionModule(ActionBase):
    """See plugins/modules/removal_plan.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "str", "required": True},
                "looks": {"type": "list", "elements": "dict"},
                "decide": {"type": "bool", "default": False},
                "least_voters": {"type": "int", "default": 2},
                "drain_timeout_seconds": {"type": "int", "default": 300},
            },
        )
        inventory = Inventory(task_vars)
        problems = inventory.problems() + _problems(options)
        if problems:
            raise _refused(problems)
        asked = inventory.asked(options)
        if options["looks"] is None:
            hosts = removal.to_ask(asked)
            if not hosts:
                raise _refused([removal.nobody_to_ask(asked)])
            result["look_at"] = [inventory.look(host) for host in hosts]
            return result
        looks = {look["item"]["host"]: _observation(look) for look in options["looks"]}
        anchor = removal.speaker(looks, asked)
        if anchor is None:
            raise _refused([removal.nobody_speaks(asked)])
        target = removal.locate(asked, looks, anchor)
        if isinstance(target, Problem):
            raise _refused([target])
        if not options["decide"]:
            result["look_at"] = [inventory.look(host) for host in removal.look_at(asked, looks, anchor, target)]
            return result
        made = removal.decide(asked, looks, anchor, target)
        Display().display(removal.text(asked, made))
        if made.refusals:
            raise _refused(made.refusals)
        result.update(_answer(asked, made, check_mode=self._task.check_mode))
        return result


class Inventory:
    """What the inventory says of hosts and cluster."""

    def __init__(self, task_vars: Mapping[str, Any]) -> None:
        self._hostvars, groups = task_vars["hostvars"], task_vars["groups"]
        self._names = sorted(groups["all"])
        members = {name: frozenset(groups.get(name, ())) for name in GROUPS}
        self._groups = {host: frozenset(name for name in GROUPS if host in members[name]) for host in self._names}
        speaking = sorted(groups.get("control_plane", ()))
        self._variables = self._said(speaking[0], CLUSTER_VARIABLES) if speaking else None

    def problems(self) -> list[Problem]:
        """Why nothing can be asked of this inventory."""
        if self._variables is None:
            action = "Put hosts into the inventory's group."
            return [Problem(CLUSTER, "group control_plane", "no host", "at least one", action)]
        problems = []
        for name in ("cluster_kubernetes_version", "cluster_control_plane_endpoint"):
            if not self._variables.get(name):
                problems.append(Problem(CLUSTER, name, "nothing", "the cluster's own", "Set it in the inventory."))
        try:
            versions.parse(str(self._variables.get("cluster_kubernetes_version") or "1.20.2"))
            virtual_ip.of(self._variables)
        except ValueError as error:
            problems.append(Problem(CLUSTER, "variables", str(error), "what site.yml takes", "Correct it."))
        return problems

    def asked(self, options: Mapping[str, Any]) -> removal.Asked:
        """All that the decision may know of what is wanted."""
        variables = self._variables or {}
        return removal.Asked(
            name=options["name"],
            hosts={host: self._host(host) for host in self._names},
            endpoint=variables["cluster_control_plane_endpoint"],
            external_etcd=variables.get("cluster_etcd_topology") == "external",
            foreign_etcd=external_etcd.described(variables),
            virtual_ip=virtual_ip.of(variables),
            least_voters=options["least_voters"],
            drain_seconds=options["drain_timeout_seconds"],
        )

    def look(self, host: str) -> dict[str, Any]:
        """What ``node_info`` is asked of a host."""
        variables = self._variables or {}
        said = self._said(host, LOOK_VARIABLES.values())
        speaks = "control_plane" in self._groups[host]
        return {
            "host": host,
            "endpoint": variables["cluster_control_plane_endpoint"],
            "version": variables["cluster_kubernetes_version"],
            "external_etcd": external_etcd.question(variables) if speaks else {},
            **{option: said[name] for option, name in LOOK_VARIABLES.items() if said.get(name)},
        }

    def _host(self, host: str) -> removal.Host:
        said = self._said(host, ("cluster_node_name", "cluster_node_address", "ansible_host"))
        addresses = {said.get("cluster_node_address"), said.get("ansible_host"), host}
        return removal.Host(
            groups=self._groups[host],
            node_name=str(said.get("cluster_node_name") or ""),
            addresses=frozenset(str(address) for address in addresses if _is_address(address)),
        )

    def _said(self, host: str, names: Any) -> dict[str, Any]:
        variables = self._hostvars[host]
        return {name: variables[name] for name in names if name in variables}


def _problems(options: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the options themselves."""
    problems = []
    if not options["name"].strip():
        action = "Say it: -e remove_node_name=NAME."
        problems.append(Problem(CLUSTER, "remove_node_name", "nothing", "a host of the inventory, or a node", action))
    for option, least in (("least_voters", 1), ("drain_timeout_seconds", 1)):
        if options[option] < least:
            wanted = f"a number from {least} on"
            problems.append(Problem(CLUSTER, f"remove_node_{option}", str(options[option]), wanted, "Correct it."))
    return problems


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(str(value or ""))
    except ValueError:
        return False
    return True


def _refused(problems: list[Problem]) -> AnsibleActionFail:
    return AnsibleActionFail("Nothing was changed.\n" + describe(problems))


def _observation(look: Mapping[str, Any]) -> Observation | None:
    if look.get("unreachable") or look.get("failed") or "traces" not in look:
        return None
    return Observation.from_result(look)


def _answer(asked: removal.Asked, made: removal.Removal, *, check_mode: bool) -> dict[str, Any]:
    """What the plays that follow need."""
    target = made.target
    return {
        "cluster_id": identity.cluster_id(made.ca),
        "host": target.host,
        "node": target.node,
        "role": target.role,
        "there": target.there,
        "contacted": made.resets,
        "hosts": _hosts(made),
        "endpoint": asked.endpoint,
        "backends": made.backends,
        "backends_before": made.backends_before,
        "balances": made.balances,
        "etcd_member": {"id": target.member.id, **made.etcd} if target.member else {},
        "etcd_endpoints": made.endpoints,
        "external_etcd": made.external,
        "nodes": made.nodes,
        "members": made.members,
        "steps": [f"{subject}: {what}" for subject, what in made.steps],
        "afterwards": made.afterwards,
        "warnings_found": [str(problem) for problem in made.warnings],
        "summary": removal.summary(made, check_mode=check_mode),
    }


def _hosts(made: removal.Removal) -> list[dict[str, Any]]:
    """Who takes part in which play; a group that stays empty is a step that is not needed."""
    target = made.target
    anchor = {
        "removal_anchor": True,
        "removal_drain": made.drains,
        "removal_member": target.member is not None,
        "removal_node": target.registered,
    }
    found: dict[str, list[str]] = {made.anchor: [group for group, needed in anchor.items() if needed]}
    for host in made.balancers:
        found.setdefault(host, []).append("removal_balancers")
    for host in made.followers:
        found.setdefault(host, []).append("removal_followers")
    if made.resets:
        found.setdefault(target.host, []).append("removal_target")
    elif target.host:
        found.setdefault(target.host, []).append("cluster_dead")
    return [
        {"name": host, "groups": groups, "package_manager": made.balancers.get(host, "auto")}
        for host, groups in sorted(found.items())
    ]
