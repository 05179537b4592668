# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of the plan: gather what the hosts showed, decide once, say it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    cluster_input,
    configuration_input,
    contradictions,
    etcd_settings,
    external_etcd,
    installation,
    node_labels,
    plan,
    pod_network,
    requirements,
    subnets,
    versions,
    virtual_ip,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, describe
from ansible_collections.kubeadm.ha.plugins.plugin_utils import manifests

GROUPS = ("control_plane", "workers", "load_balancers", "etcd")

# What decides on a cluster is given, by the plan and by others that start from the same looks.
SPEC: dict[str, Any] = {
    "variables": {"type": "dict", "required": True},
    **{group: {"type": "list", "elements": "str", "required": True} for group in GROUPS},
    "etcd": {"type": "list", "elements": "str", "default": []},
    "scope": {"type": "list", "elements": "str", "required": True},
    **{each: {"type": "dict", "default": {}} for each in ("labels", "taints", "schedulable")},
    "observation": {"type": "str"},
    "looked_since": {"type": "float"},
    "network_objects": {"type": "list", "elements": "str", "default": []},
    "outside_scope": {"type": "list", "elements": "dict", "default": []},
    "external_etcd": {"type": "bool", "default": False},
    "skip_phases": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ActionBase):
    """See plugins/modules/cluster_plan.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(
            argument_spec=SPEC,
        )
        inventory = Inventory(options, task_vars)
        problems = input_problems(options, inventory)
        objects: list[pod_network.Document] = []
        if options["observation"] is None and not problems:
            objects, problems = manifests.load(options["variables"], task_vars.get("inventory_dir"))
        if problems:
            raise AnsibleActionFail(describe(problems))
        if options["observation"] is None:
            result["checked_at"] = time.time()
            result["external_etcd"] = external_etcd.question(options["variables"])
            result["network_objects"] = sorted(map(pod_network.name, objects))
            result["carriers"] = _carriers(options, inventory)
            result["outside"] = _outside(options, inventory, result["carriers"])
            return result
        wanted = wanted_of(options, inventory)
        seen = gather(options, task_vars)
        made = plan.make(wanted, seen, time.time() - (options["looked_since"] or time.time()))
        made.refusals = told_apart(made.refusals, registered(options, task_vars))
        made.warnings.extend(configuration_input.warnings(options["variables"]))
        made.warnings.extend(etcd_settings.unread(inventory.cluster_variables(), inventory.groups))
        Display().display(plan.text(wanted, made))
        if made.refusals:
            raise AnsibleActionFail("Nothing was changed.\n" + describe(made.refusals))
        result.update(_answer(options, wanted, seen, made))
        return result


class Inventory:
    """What the inventory says, by group and by host.

    Attributes:
        groups: inventory names by group, one of ``GROUPS``.
        with_kubelet: those of this run that are to run a kubelet: nodes and etcd hosts.
    """

    def __init__(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> None:
        self._hostvars = task_vars["hostvars"]
        self._scope: list[str] = options["scope"]
        self.groups = {group: frozenset(options[group]) for group in GROUPS}
        self._all_with_kubelet = self.groups["control_plane"] | self.groups["workers"] | self.groups["etcd"]
        self.with_kubelet = sorted(self._all_with_kubelet & frozenset(self._scope))

    def cluster_variables(self) -> dict[str, dict[str, Any]]:
        """Variables that begin with cluster_, by name and host; templates are worked out where their kind matters."""
        found: dict[str, dict[str, Any]] = {}
        for host in self._scope:
            for name, value in self._hostvars.raw_get(host).items():
                if name.startswith("cluster_"):
                    templated = isinstance(value, str) and name in cluster_input.SHAPES
                    found.setdefault(name, {})[host] = self._hostvars[host][name] if templated else value
        return found

    def places(self) -> dict[str, dict[str, Any]]:
        """What tells one host from another, of all that the inventory has: each must have its own."""
        return {host: self._said(host, cluster_input.OF_A_HOST) for host in self._all_with_kubelet}

    def configurations(self) -> dict[str, dict[str, Any]]:
        """What each host is to be told, of which a group or a host may have its own."""
        return {host: _plain(self._said(host, configuration_input.OF_HOSTS)) for host in self._scope}

    @cached_property
    def runtimes(self) -> dict[str, dict[str, Any]]:
        """What each host's container runtime is to be."""
        names = cluster_input.RUNTIME_VARIABLES
        return {host: dict.fromkeys(names) | self._said(host, names) for host in self.with_kubelet}

    @cached_property
    def installations(self) -> dict[str, installation.Installation]:
        """How programs come to each host."""
        return {host: installation.Installation.from_variables(self._hostvars[host]) for host in self.with_kubelet}

    @cached_property
    def etcd(self) -> dict[str, dict[str, Any]]:
        """What is said of each etcd host's member; those outside this run belong to the same cluster."""
        return {host: _plain(self._said(host, etcd_settings.VARIABLES)) for host in self.groups["etcd"]}

    def addresses(self) -> dict[str, str]:
        """Of control planes, etcd hosts and load balancers, as far as they are said."""
        hosts = self.groups["control_plane"] | self.groups["etcd"] | self.groups["load_balancers"]
        found = {host: self._hostvars[host].get("cluster_node_address") for host in hosts}
        return {host: address for host, address in found.items() if address}

    def node_names(self) -> dict[str, str]:
        """Of all that are or will be nodes, as far as they are said."""
        found = {host: self._hostvars[host].get("cluster_node_name") for host in self._all_with_kubelet}
        return {host: name for host, name in found.items() if name}

    def virtual_ip(self, address: str) -> list[Problem]:
        """What hosts say that goes ill with a virtual address; of the password nothing is ever returned."""
        everyone = frozenset().union(*self.groups.values())
        passwords = {self._hostvars[host].get("cluster_virtual_ip_password") for host in self.groups["load_balancers"]}
        return [
            *virtual_ip.check_places(address, {host: self._said(host, virtual_ip.PLACES) for host in everyone}),
            *virtual_ip.check_passwords(passwords),
        ]

    def _said(self, host: str, names: Collection[str]) -> dict[str, Any]:
        variables = self._hostvars[host]
        return {name: variables[name] for name in names if name in variables}


def input_problems(options: Mapping[str, Any], inventory: Inventory) -> list[Problem]:
    """Everything that is wrong with what the user says, before any host is looked at."""
    version = options["variables"]["cluster_kubernetes_version"]
    values = inventory.cluster_variables()
    problems = cluster_input.check(options["variables"], inventory.groups, inventory.configurations())
    problems += cluster_input.unknown(values)
    problems += cluster_input.check_shapes(values)
    if options["observation"] is None:
        # Once is enough, for it asks for every host of the inventory.
        problems += cluster_input.check_hosts(inventory.places())
        with contextlib.suppress(ValueError):  # said of the address itself
            virtual = virtual_ip.of(options["variables"])
            problems += inventory.virtual_ip(virtual.address) if virtual else []
    problems += cluster_input.check_runtimes(inventory.runtimes, version)
    problems += etcd_settings.check(inventory.etcd, version)
    for host, said in inventory.installations.items():
        problems += installation.check_inventory(host, said, version)
    for host in options["scope"]:
        problems += node_labels.check(host, **_of_node(options, host))
    return problems


def wanted_of(options: Mapping[str, Any], inventory: Inventory) -> plan.Wanted:
    variables = options["variables"]
    return plan.Wanted(
        version=versions.parse(variables["cluster_kubernetes_version"]),
        endpoint=variables["cluster_control_plane_endpoint"],
        **inventory.groups,
        addresses=inventory.addresses(),
        node_names=inventory.node_names(),
        etcd_settings={host: etcd_settings.EtcdSettings.from_variables(said) for host, said in inventory.etcd.items()},
        cri_sockets=cluster_input.cri_sockets(inventory.runtimes, variables["cluster_kubernetes_version"]),
        external_etcd=options["external_etcd"],
        foreign_etcd=external_etcd.described(variables),
        skip_phases=frozenset(options["skip_phases"]),
        pods=subnets.parse(variables["cluster_pod_subnet"]),
        services=subnets.parse(variables["cluster_service_subnet"]),
        network=variables.get("cluster_network") or pod_network.BRIDGE,
        network_objects=frozenset(options["network_objects"]),
        needs=requirements.Needs.of(variables, external_etcd=options["external_etcd"]),
        scope=frozenset(options["scope"]),
        installations=inventory.installations,
        virtual_ip=virtual_ip.of(variables),
    )


def _carriers(options: Mapping[str, Any], inventory: Inventory) -> dict[str, dict[str, Any]]:
    """What those hosts have to look for that are to carry the virtual address, by inventory name."""
    virtual = virtual_ip.of(options["variables"])
    if virtual is None:
        return {}
    hosts = inventory.groups["control_plane" if virtual.in_pods else "load_balancers"]
    return {host: {"address": virtual.address, "router_id": virtual.router_id} for host in hosts}


def _outside(options: Mapping[str, Any], inventory: Inventory, carriers: Collection[str]) -> list[str]:
    """The hosts outside this run to be looked at, control planes first.

    Etcd hosts matter to one another and to control planes, and those that share an address to each other.
    """
    scope, groups = frozenset(options["scope"]), inventory.groups
    found = [groups["control_plane"]]
    if scope & (groups["control_plane"] | groups["etcd"]):
        found.append(groups["etcd"])
    if scope & frozenset(carriers):
        found.append(frozenset(carriers))
    return list(dict.fromkeys(host for hosts in found for host in sorted(hosts - scope)))


def _answer(
    options: Mapping[str, Any],
    wanted: plan.Wanted,
    seen: Mapping[str, plan.Observation | None],
    made: plan.Plan,
) -> dict[str, Any]:
    """What the plays that follow need of the plan."""
    sealed = options["variables"].get("cluster_certificate_distribution") == "sealed"
    nodes = {host: step for host, step in made.steps.items() if step.role in (plan.CONTROL_PLANE, plan.WORKER)}
    carrier = plan.ETCD_MEMBER if wanted.external_etcd else plan.CONTROL_PLANE
    members = [step for step in made.steps.values() if step.role == carrier]
    return {
        "anchor": made.anchor,
        "ca": made.ca,
        "control_plane_addresses": made.control_plane_addresses,
        "addresses": made.addresses,
        "saw_all": made.saw_all,
        "nodes": sorted(step.node_name for step in nodes.values()),
        "members": sorted(step.node_name for step in members),
        "node_labels": {host: {"name": step.node_name, **_of_node(options, host)} for host, step in nodes.items()},
        "etcd": _etcd(wanted, made),
        "virtual_ip": virtual_ip.describe(wanted),
        "carriers": made.carriers,
        "warnings_found": [str(problem) for problem in made.warnings],
        "hosts": {
            host: {
                **_host(step, seen[host], sealed=sealed, groups=_groups_besides(wanted, made, host)),
                "packages": _packages(wanted, made, host),
            }
            for host, step in made.steps.items()
        },
    }


def _etcd(wanted: plan.Wanted, made: plan.Plan) -> dict[str, Any]:
    """Where etcd's members are that run on hosts of their own, and who signs for them."""
    return {
        "authority": made.etcd.authority,
        "external": wanted.foreign_etcd or made.etcd.external(),
        "members": {
            host: {name: getattr(place, name) for name in ("name", "peer_url", "client_url")}
            for host, place in made.etcd.places.items()
        },
        "initial_cluster": made.etcd.initial_cluster,
    }


def _of_node(options: Mapping[str, Any], host: str) -> dict[str, Any]:
    """What the user wants of one host's node."""
    return {
        "labels": options["labels"].get(host, {}),
        "taints": options["taints"].get(host, []),
        "schedulable": options["schedulable"].get(host, False),
    }


def _packages(wanted: plan.Wanted, made: plan.Plan, host: str) -> list[str]:
    """What later steps need on a host, which is installed together with what its first step needs."""
    packages = ["python3-cryptography"] if host in {*made.etcd.clients, *wanted.etcd} else []
    if wanted.virtual_ip and not wanted.virtual_ip.in_pods and host in made.carriers:
        packages.append("keepalived")
    return packages


def _groups_besides(wanted: plan.Wanted, made: plan.Plan, host: str) -> list[str]:
    """What else than its step puts a host into a group: a certificate for etcd's hosts, and the virtual address."""
    groups = ["plan_etcd_client"] if host in made.etcd.clients else []
    if wanted.virtual_ip and host in made.carriers:
        groups.append("plan_kube_vip" if wanted.virtual_ip.in_pods else "plan_virtual_ip")
    return groups


def _host(
    step: plan.Step, look: plan.Observation | None, *, sealed: bool = False, groups: Collection[str] = ()
) -> dict[str, Any]:
    """What the playbooks need of one host's step.

    Args:
        step: of this host.
        look: at it.
        sealed: the certificates reach joining control planes sealed, and not through the API.
        groups: that it belongs to besides.
    """
    joins = step.action in (plan.JOIN, plan.REJOIN, plan.FINISH)
    role = step.role.replace(" ", "_")
    groups = [*groups, *(["plan_join", f"plan_join_{role}"] if joins else [])]
    if joins and step.role == plan.CONTROL_PLANE and sealed:
        groups.append("plan_receive")
    if step.action in (plan.INITIALISE, plan.RESUME):
        groups.append("plan_initialise")
    groups += ["plan_etcd_endpoints"] if step.follows else []
    groups += ["plan_interrupted_packages"] if look and look.packages_interrupted else []
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


def _plain(value: Any) -> Any:
    """A value with every template in it resolved, which happens where it is looked at."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def gather(options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, plan.Observation | None]:
    """What each host showed: those in scope by their own registered result, the others by the delegated look."""
    seen = {host: _observation(look) for host, look in registered(options, task_vars).items()}
    seen.update((look["item"], _observation(look)) for look in options["outside_scope"])
    return seen


def registered(options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By host in scope, the result of the look at it."""
    return {host: task_vars["hostvars"][host].get(options["observation"]) or {} for host in options["scope"]}


def told_apart(refusals: list[Problem], looks: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Refusals, with hosts that answer and could not be looked at told from those that do not answer."""
    failed = not_looked_at({host: look for host, look in looks.items() if look.get("failed")})
    hosts = {problem.host for problem in failed}
    return failed + [one for one in refusals if one.subject != contradictions.CONNECTION or one.host not in hosts]


def not_looked_at(looks: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Hosts that answer and could not be looked at: nobody knows whether they live."""
    return [
        Problem(
            host=host,
            subject="look at the host",
            found=str(look.get("msg") or "nothing").strip() or "nothing",
            wanted="what it shows, or no answer at all",
            action="See that Ansible can work there as root (python3, become, room in /tmp).",
        )
        for host, look in looks.items()
        if not look.get("unreachable") and "traces" not in look
    ]


def _observation(look: Mapping[str, Any] | None) -> plan.Observation | None:
    if not look or look.get("unreachable") or look.get("failed") or "traces" not in look:
        return None
    return plan.Observation.from_result(look)
