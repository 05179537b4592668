# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the plan: gather what the hosts showed, decide once, say it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    cluster_input,
    configuration_input,
    installation,
    node_labels,
    plan,
    pod_network,
    requirements,
    subnets,
    versions,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe
from ansible_collections.kubeadm.ha.plugins.plugin_utils import manifests

GROUPS = ("control_plane", "workers", "load_balancers")


class ActionModule(ActionBase):
    """See plugins/modules/cluster_plan.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(
            argument_spec={
                "variables": {"type": "dict", "required": True},
                **{group: {"type": "list", "elements": "str", "required": True} for group in GROUPS},
                "scope": {"type": "list", "elements": "str", "required": True},
                **{each: {"type": "dict", "default": {}} for each in ("labels", "taints", "schedulable")},
                "observation": {"type": "str"},
                "looked_since": {"type": "float"},
                "network_objects": {"type": "list", "elements": "str", "default": []},
                "outside_scope": {"type": "list", "elements": "dict", "default": []},
                "external_etcd": {"type": "bool", "default": False},
                "skip_phases": {"type": "list", "elements": "str", "default": []},
            },
        )
        groups = {group: frozenset(options[group]) for group in GROUPS}
        problems = cluster_input.check(options["variables"], groups, _configurations(options["scope"], task_vars))
        values = _cluster_variables(options["scope"], task_vars)
        problems += cluster_input.unknown(values)
        problems += cluster_input.check_shapes(values)
        if options["observation"] is None:
            # Once is enough, for it asks for every host of the inventory.
            problems += cluster_input.check_hosts(_of_each_host(groups["control_plane"] | groups["workers"], task_vars))
        runtimes = {
            host: _values(task_vars["hostvars"][host], cluster_input.RUNTIME_VARIABLES)
            for host in options["scope"]
            if host in groups["control_plane"] | groups["workers"]
        }
        problems += cluster_input.check_runtimes(runtimes, options["variables"]["cluster_kubernetes_version"])
        installations = {
            host: installation.Installation.from_variables(task_vars["hostvars"][host])
            for host in sorted((groups["control_plane"] | groups["workers"]) & frozenset(options["scope"]))
        }
        for host, said in installations.items():
            problems += installation.check_inventory(host, said, options["variables"]["cluster_kubernetes_version"])
        for host in options["scope"]:
            problems += node_labels.check(host, **_of_node(options, host))
        objects: list[pod_network.Document] = []
        if options["observation"] is None and not problems:
            objects, problems = manifests.load(options["variables"], task_vars.get("inventory_dir"))
        if problems:
            raise AnsibleActionFail(describe(problems))
        if options["observation"] is None:
            result["checked_at"] = time.time()
            result["network_objects"] = sorted(map(pod_network.name, objects))
            return result
        wanted = plan.Wanted(
            version=versions.parse(options["variables"]["cluster_kubernetes_version"]),
            endpoint=options["variables"]["cluster_control_plane_endpoint"],
            **groups,
            addresses={
                host: address
                for host in groups["control_plane"]
                if (address := task_vars["hostvars"][host].get("cluster_node_address"))
            },
            cri_sockets=cluster_input.cri_sockets(runtimes, options["variables"]["cluster_kubernetes_version"]),
            external_etcd=options["external_etcd"],
            skip_phases=frozenset(options["skip_phases"]),
            pods=subnets.parse(options["variables"]["cluster_pod_subnet"]),
            services=subnets.parse(options["variables"]["cluster_service_subnet"]),
            network=options["variables"].get("cluster_network") or pod_network.BRIDGE,
            network_objects=frozenset(options["network_objects"]),
            needs=requirements.Needs.of(options["variables"], external_etcd=options["external_etcd"]),
            scope=frozenset(options["scope"]),
            installations=installations,
        )
        seen = _gather(options, task_vars)
        made = plan.make(wanted, seen, time.time() - (options["looked_since"] or time.time()))
        made.warnings.extend(configuration_input.warnings(options["variables"]))
        Display().display(plan.text(wanted, made))
        if made.refusals:
            raise AnsibleActionFail("Nothing was changed.\n" + describe(made.refusals))
        sealed = options["variables"].get("cluster_certificate_distribution") == "sealed"
        result.update(
            anchor=made.anchor,
            ca=made.ca,
            control_plane_addresses=made.control_plane_addresses,
            addresses=made.addresses,
            saw_all=made.saw_all,
            nodes=sorted(step.node_name for step in made.steps.values() if step.node_name),
            members=[]
            if wanted.external_etcd
            else sorted(step.node_name for step in made.steps.values() if step.role == plan.CONTROL_PLANE),
            node_labels={
                host: {"name": step.node_name, **_of_node(options, host)}
                for host, step in made.steps.items()
                if step.node_name
            },
            warnings_found=[str(problem) for problem in made.warnings],
            hosts={host: _host(step, seen[host], sealed=sealed) for host, step in made.steps.items()},
        )
        return result


def _of_node(options: Mapping[str, Any], host: str) -> dict[str, Any]:
    """What the user wants of one host's node."""
    return {
        "labels": options["labels"].get(host, {}),
        "taints": options["taints"].get(host, []),
        "schedulable": options["schedulable"].get(host, False),
    }


def _host(step: plan.Step, look: plan.Observation | None, *, sealed: bool = False) -> dict[str, Any]:
    """What the playbooks need of one host's step.

    Args:
        step: of this host.
        look: at it.
        sealed: the certificates reach joining control planes sealed, and not through the API.
    """
    joins = step.action in (plan.JOIN, plan.REJOIN, plan.FINISH)
    role = step.role.replace(" ", "_")
    groups = ["plan_join", f"plan_join_{role}"] if joins else []
    if joins and step.role == plan.CONTROL_PLANE and sealed:
        groups.append("plan_receive")
    if step.action in (plan.INITIALISE, plan.RESUME):
        groups = ["plan_initialise"]
    return {
        "action": step.action,
        "role": step.role,
        "reason": step.reason,
        "node_name": step.node_name,
        "address": step.address,
        "package_manager": look.package_manager if look else "auto",
        "join_role": f"{role}_join",
        "groups": groups,
    }


def _cluster_variables(scope: list[str], task_vars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Variables that begin with cluster_, by host; templates are worked out where their kind is asked for."""
    found: dict[str, dict[str, Any]] = {}
    hostvars = task_vars["hostvars"]
    for host in scope:
        for name, value in hostvars.raw_get(host).items():
            if name.startswith("cluster_"):
                templated = isinstance(value, str) and name in cluster_input.SHAPES
                found.setdefault(name, {})[host] = hostvars[host][name] if templated else value
    return found


def _of_each_host(hosts: Collection[str], task_vars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the inventory says of each node by itself."""
    found = {}
    for host in hosts:
        variables = task_vars["hostvars"][host]
        found[host] = {name: variables[name] for name in cluster_input.OF_A_HOST if name in variables}
    return found


def _configurations(scope: list[str], task_vars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each host is to be told, of which a group or a host may have its own."""
    found = {}
    for host in scope:
        variables = task_vars["hostvars"][host]
        found[host] = {name: _plain(variables[name]) for name in configuration_input.OF_HOSTS if name in variables}
    return found


def _plain(value: Any) -> Any:
    """A value with every template in it resolved, which happens where it is looked at."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _values(variables: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: variables.get(name) for name in names}


def _gather(options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, plan.Observation | None]:
    """What each host showed: those in scope by their own registered result, the others by the delegated look."""
    seen = {host: _observation(task_vars["hostvars"][host].get(options["observation"])) for host in options["scope"]}
    seen.update((look["item"], _observation(look)) for look in options["outside_scope"])
    return seen


def _observation(look: Mapping[str, Any] | None) -> plan.Observation | None:
    if not look or look.get("unreachable") or look.get("failed") or "traces" not in look:
        return None
    return plan.Observation.from_result(look)
