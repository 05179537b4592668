# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is there and what is wanted to what each host needs, and why; or to reasons to change nothing.

Pure: no I/O, no clock, no order. Inventories are sets here, so that no position in one can ever decide anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import (
    balancing,
    contradictions,
    etcd_hosts,
    external_etcd,
    identity,
    installation,
    membership,
    pki,
    pod_network,
    requirements,
    subnets,
    versions,
    virtual_ip,
)
from .etcd import Member, alarm_problem, hexadecimal, lost_data_problem, quorum
from .evidence import (
    ETCD_MANIFEST,
    INIT_PHASES,
    KUBELET_CONF,
    KUBERNETES,
    POD_MANIFESTS,
    SERVICE_MANAGER,
    SHARED_KEY,
)
from .problems import CLUSTER, Problem
from .situation import Observation, Wanted

INITIALISE = "initialise"
RESUME = "resume"
JOIN = "join"
REJOIN = "rejoin"
FINISH = "finish"
BALANCE = "balance"
START, ADD, NOTHING = etcd_hosts.START, etcd_hosts.ADD, etcd_hosts.NOTHING

CONTROL_PLANE = "control plane"
WORKER = "worker"
LOAD_BALANCER = "load balancer"
ETCD_MEMBER = etcd_hosts.MEMBER

_CONFS = ("admin", "controller-manager", "scheduler", "kubelet")
_MEANING = {
    INITIALISE: "initialise the cluster",
    RESUME: "finish initialising the cluster",
    JOIN: "join as {role}",
    REJOIN: "undo a broken join, then join as {role}",
    FINISH: "finish joining as {role}",
    BALANCE: "balance the API servers",
    START: "start etcd with the others",
    ADD: "become a member of etcd",
    NOTHING: "nothing to join",
}

HANGING = "They hang, or are not ready, as while etcd chooses a leader. Wait a minute, and run again; if it stays so,"
_FOLLOW = "follow etcd's members"
# As a member's status has it: every member tells of every alarm.
_ALARM = re.compile(r"memberID:(\d+) alarm:(\w+)")


@dataclass(frozen=True)
class Step:
    """What one host needs, and why.

    Attributes:
        balances: it carries a load balancer besides.
        follows: its API server, or the cluster's record, is to be given other endpoints of etcd besides.
    """

    action: str
    role: str
    reason: str
    node_name: str = ""
    address: str = ""
    balances: bool = False
    follows: bool = False

    def __str__(self) -> str:
        besides = [_MEANING[BALANCE]] if self.balances else []
        return ", ".join([_MEANING[self.action].format(role=self.role), *([_FOLLOW] if self.follows else []), *besides])


@dataclass
class Plan:
    """The answer.

    Attributes:
        steps: by host, for every host in scope.
        anchor: the control plane that speaks for the cluster: a live one, or the one that will be initialised.
        ca: public key hash of the cluster's CA; None before there is one.
        refusals: reasons to change nothing at all.
        warnings: what a person should know and may leave as it is.
        control_plane_addresses: by host, for load balancers; those that only the cluster knows by node.
        addresses: by node name, of all hosts and nodes that anything shows.
        saw_all: no host of the inventory is missing among them.
        etcd: what becomes of etcd hosts, and what they are to others.
        carriers: who may carry the virtual address; see ``virtual_ip.Placement``.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    anchor: str | None = None
    ca: str | None = None
    refusals: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    control_plane_addresses: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    saw_all: bool = False
    etcd: etcd_hosts.Decision = field(default_factory=etcd_hosts.Decision)
    carriers: dict[str, dict[str, str]] = field(default_factory=dict)


def make(wanted: Wanted, seen: Mapping[str, Observation | None], looked_for_seconds: float = 0.0) -> Plan:
    """Decide.

    Args:
        wanted: what is asked for.
        seen: by inventory name, every host in scope, every control plane, and every etcd host where they are asked;
            None is a host that did not answer.
        looked_for_seconds: how long it took to look at all of them, by which their clocks may seem apart.
    """
    plan = Plan()
    nodes = {host: look for host, look in seen.items() if look and host in wanted.control_plane | wanted.workers}
    etcd = {host: look for host, look in seen.items() if look and host in wanted.etcd}
    plan.refusals += contradictions.unusable(wanted, seen)
    plan.refusals += contradictions.doubled({**nodes, **etcd})
    plan.refusals += contradictions.renamed(nodes)
    plan.refusals += contradictions.other_runtimes(wanted, nodes)
    plan.refusals += [] if wanted.external_etcd else contradictions.torn(nodes, wanted.control_plane)
    authorities = contradictions.authorities(nodes, seen)
    plan.refusals += contradictions.mixed(authorities, nodes) or contradictions.unlike(nodes, wanted.control_plane)
    for host in sorted(wanted.load_balancers & wanted.scope - wanted.control_plane - wanted.workers - wanted.etcd):
        plan.steps[host] = Step(BALANCE, LOAD_BALANCER, f"{wanted.endpoint} leads to the control planes")
    if plan.refusals:
        return plan
    plan.ca = next(iter(authorities), None)
    plan.control_plane_addresses = _addresses(wanted, seen)
    plan.addresses = {**_registered(seen), **{look.node_name: look.address for look in seen.values() if look}}
    plan.addresses = {name: address for name, address in plan.addresses.items() if name and address}
    everyone = wanted.control_plane | wanted.workers | wanted.load_balancers | wanted.etcd
    plan.saw_all = all(seen.get(host) for host in everyone)
    plan.refusals += _unaddressed(plan, wanted)
    plan.etcd = etcd_hosts.decide(wanted, seen)
    live = [host for host in wanted.control_plane & nodes.keys() if nodes[host].api_answers]
    if live:
        # One that is no node itself may have to join anew, and could not lend a hand to itself.
        plan.anchor = min(live, key=lambda host: (nodes[host].node_name not in nodes[host].nodes, host))
        _extend(plan, wanted, nodes, nodes[plan.anchor])
    elif not etcd_hosts.concern_alone(wanted):
        _begin(plan, wanted, seen, nodes)
    _decide_etcd(plan, wanted, seen)
    _judge_external_etcd(plan, wanted, nodes)
    for host in _followers(plan, wanted, nodes):
        plan.steps[host] = replace(plan.steps[host], follows=True)
    _require(plan, wanted, {**nodes, **etcd}, looked_for_seconds)
    _keep_networks_apart(plan, wanted, seen)
    _require_programs(plan, wanted, {**nodes, **etcd})
    _place_virtual_ip(plan, wanted, seen)
    plan.warnings += _interrupted_packages(plan, seen)
    for host in wanted.load_balancers & plan.steps.keys() & (nodes.keys() | etcd.keys()):
        plan.steps[host] = replace(plan.steps[host], balances=True)
    if len(wanted.control_plane) % 2 == 0 and not wanted.external_etcd:
        plan.warnings.append(
            Problem(
                host=CLUSTER,
                subject="stacked control planes",
                found=str(len(wanted.control_plane)),
                wanted="an odd number",
                action=f"{len(wanted.control_plane)} members survive no more failures than "
                f"{len(wanted.control_plane) - 1}: add or remove one.",
            )
        )
    if plan.refusals:
        plan.anchor = None
    return plan


def _decide_etcd(plan: Plan, wanted: Wanted, seen: Mapping[str, Observation | None]) -> None:
    """Take over what was decided of etcd hosts, and who signs for them and for the control plane that begins."""
    beginning = {host for host, step in plan.steps.items() if step.action in (INITIALISE, RESUME)}
    etcd_hosts.certify(plan.etcd, wanted, seen, beginning)
    for host, (action, reason) in plan.etcd.actions.items():
        look = seen[host]
        if look:
            plan.steps[host] = Step(action, ETCD_MEMBER, reason, look.node_name, look.address)
    plan.refusals += plan.etcd.refusals
    plan.warnings += plan.etcd.warnings


def _judge_external_etcd(plan: Plan, wanted: Wanted, nodes: Mapping[str, Observation]) -> None:
    """What control planes see of etcd; where it has hosts of its own, these are judged by their own word before."""
    looks = {host: look.external_etcd for host, look in nodes.items() if look.external_etcd}
    if not wanted.foreign_etcd:
        # Their files are this run's to make.
        looks = {host: replace(look, missing=(), unfit=()) for host, look in looks.items() if look.answers}
        plan.warnings += [
            problem
            for problems in external_etcd.judge(looks, wanted.version, endpoints=plan.etcd.endpoints)
            for problem in problems
        ]
        return
    steps = {host: step.action for host, step in plan.steps.items() if step.role == CONTROL_PLANE}
    refusals, warnings = external_etcd.judge(
        looks,
        wanted.version,
        endpoints=wanted.foreign_etcd["endpoints"],
        new=[host for host, action in steps.items() if action in (INITIALISE, JOIN, REJOIN)],
        begins=INITIALISE in steps.values(),
    )
    plan.refusals += refusals
    plan.warnings += warnings
    if plan.anchor and nodes[plan.anchor].etcd_record:
        plan.refusals += external_etcd.check_record(wanted.foreign_etcd, nodes[plan.anchor].etcd_record)


def _followers(plan: Plan, wanted: Wanted, nodes: Mapping[str, Observation]) -> list[str]:
    """Members of the cluster whose API servers use other endpoints of etcd than those that are wanted.

    Where all use the right ones, and the cluster's record names others, one of them puts that right.
    """
    endpoints = wanted.foreign_etcd.get("endpoints") or plan.etcd.endpoints
    members = [host for host, step in plan.steps.items() if step.role == CONTROL_PLANE and step.action == NOTHING]
    if not endpoints or not plan.anchor or not members:
        return []
    servers = {host: nodes[host].etcd_servers for host in members}
    astray = [host for host, own in servers.items() if own and not external_etcd.same_endpoints(own, endpoints)]
    recorded = nodes[plan.anchor].etcd_record.get("endpoints")
    if not astray and recorded and not external_etcd.same_endpoints(recorded, endpoints):
        return [plan.anchor if plan.anchor in members else min(members)]
    return sorted(astray)


def _new_hosts(plan: Plan, looks: Mapping[str, Observation | None]) -> set[str]:
    """Hosts that carry nothing of what they are to become."""
    return {
        host
        for host, step in plan.steps.items()
        if step.action in (INITIALISE, JOIN)
        or (step.action in (START, ADD) and (look := looks.get(host)) and not etcd_hosts.has_begun(look))
    }


def _require(plan: Plan, wanted: Wanted, nodes: Mapping[str, Observation], looked_for_seconds: float) -> None:
    """What the machines must be: a reason to stop on a host that is to become a node, worth knowing on one that is."""
    new = _new_hosts(plan, nodes)
    looks = {host: look for host, look in nodes.items() if look.machine}
    findings: list[requirements.Finding] = []
    for host in sorted(looks.keys() & plan.steps.keys()):
        candidate = requirements.Candidate(
            host=host,
            node_name=looks[host].node_name,
            address=looks[host].address,
            machine=looks[host].machine,
            control_plane=host in wanted.control_plane,
            etcd=wanted.etcd_of(host) if host in wanted.etcd else None,
            joins=plan.steps[host].action != INITIALISE,
        )
        check = requirements.check_new_node if host in new else requirements.check_node
        findings += check(candidate, wanted.version, wanted.needs)
    machines = {host: look.machine for host, look in looks.items()}
    findings += requirements.check_distinct(machines) + requirements.check_clocks(machines, looked_for_seconds)
    refusals, warnings = requirements.sort_out(findings, new, wanted.needs)
    plan.refusals += refusals
    plan.warnings += warnings


def _keep_networks_apart(plan: Plan, wanted: Wanted, seen: Mapping[str, Observation | None]) -> None:
    """Pods and services beside what hosts have: judged on hosts that become nodes, and only said of others."""
    new = {host for host, step in plan.steps.items() if step.action in (INITIALISE, JOIN)}
    for host in sorted(new | ((wanted.load_balancers | wanted.etcd) & wanted.scope)):
        look = seen[host]
        if look is None:
            continue
        networks = look.machine.get("networks", [])
        if networks is None:
            found, action = "not known: the program ip is missing", "See that they overlap no subnet of the cluster."
            plan.warnings.append(Problem(host, "networks", found, "the host's addresses and routes", action))
        refused, known = subnets.check_host(host, networks or [], wanted.pods, wanted.services)
        (plan.refusals if host in new else plan.warnings).extend(refused)
        plan.warnings += known
        if host in new & wanted.control_plane:
            plan.refusals += subnets.check_family(host, look.address, wanted.services)
        if host in new:
            refused, known = pod_network.check_configurations(host, wanted.network, look.machine.get("cni", ()))
            plan.refusals += refused
            plan.warnings += known
            plan.refusals += subnets.check_endpoint(
                wanted.endpoint, look.endpoint_addresses, wanted.pods, wanted.services
            )


def _place_virtual_ip(plan: Plan, wanted: Wanted, seen: Mapping[str, Observation | None]) -> None:
    placed = virtual_ip.place(wanted, seen)
    plan.carriers = placed.carriers
    plan.refusals += placed.refusals
    plan.warnings += placed.warnings


def _interrupted_packages(plan: Plan, seen: Mapping[str, Observation | None]) -> list[Problem]:
    """Where packages were being installed when something stopped it: a run finishes that before it installs any."""
    found, action = "interrupted in the middle of its work", "This run has it finish: `dpkg --configure -a`."
    return [
        Problem(host, "dpkg", found, "done", action)
        for host in sorted(plan.steps)
        if (look := seen[host]) and look.packages_interrupted
    ]


def _require_programs(plan: Plan, wanted: Wanted, nodes: Mapping[str, Observation]) -> None:
    """What kubeadm, kubelet and kubectl must be, on hosts that are to be made nodes and on those that are."""
    for host, step in plan.steps.items():
        if host not in nodes:
            continue
        look, said = nodes[host], wanted.installations.get(host, installation.Installation())
        unit = look.kubelet_unit
        if step.role == ETCD_MEMBER:
            # Its own drop-in overrides whatever unit there is, one of packages as well.
            own = [path for path in unit.get("own", ()) if path != SERVICE_MANAGER]
            unit = {**unit, "own": own, "reads_flags": True}
        if step.action not in (NOTHING, BALANCE):
            plan.refusals += installation.check_new_node(
                host, said, wanted.version, look.programs, unit, look.package_manager
            )
        elif said.method == installation.EXISTING:
            plan.warnings += installation.check_skew(host, wanted.version, look.programs)
        else:
            plan.refusals += installation.check_member(host, said, wanted.version, look.programs, unit)
    if plan.anchor:
        plan.warnings += installation.check_nodes(wanted.version, nodes[plan.anchor].nodes)


def _addresses(wanted: Wanted, seen: Mapping[str, Observation | None]) -> dict[str, str]:
    """Where each control plane is: by its own word, else by the cluster's, else by the inventory's."""
    registered = _registered(seen)
    found = {}
    for host in sorted(wanted.control_plane):
        look = seen.get(host)
        address = look.address if look else registered.get(wanted.node_name(host)) or wanted.addresses.get(host)
        if address:
            found[host] = address
    return found


def _registered(seen: Mapping[str, Observation | None]) -> dict[str, str]:
    """The addresses of nodes by name, as the cluster has them."""
    registered: dict[str, str] = {}
    for _host, look in sorted(seen.items(), reverse=True):
        if look:
            registered.update((name, node["address"]) for name, node in look.nodes.items() if node["address"])
    return registered


def _unaddressed(plan: Plan, wanted: Wanted) -> list[Problem]:
    """A load balancer that is written now must not lose a control plane that is off now."""
    if not wanted.load_balancers & wanted.scope:
        return []
    return [
        Problem(
            host=host,
            subject="address",
            found="none: it does not answer, and no cluster knows it",
            wanted="the address to balance to",
            action="Bring it up, set its cluster_node_address, or take it out of the inventory.",
        )
        for host in sorted(wanted.control_plane - plan.control_plane_addresses.keys())
    ]


def _begin(
    plan: Plan, wanted: Wanted, seen: Mapping[str, Observation | None], nodes: Mapping[str, Observation]
) -> None:
    """No control plane's API server answers: start a cluster, finish starting one, or find out why not."""
    unknown = sorted(host for host in wanted.control_plane if seen.get(host) is None)
    marked = sorted(host for host in nodes if nodes[host].traces - wanted.handed)
    candidates = sorted(wanted.control_plane & wanted.scope & nodes.keys())
    answering = sorted(host for host, look in seen.items() if look and look.endpoint_answers)
    carrying = sorted(host for host in wanted.control_plane & nodes.keys() if POD_MANIFESTS[0] in nodes[host].traces)
    if answering and carrying:
        # As long as a load balancer has not noticed, or because one API server is quicker than the others.
        plan.refusals.append(
            Problem(
                host=CLUSTER,
                subject="API servers",
                found=f"one that answers at {wanted.endpoint} (seen from {', '.join(answering)}), and none on the "
                f"control planes themselves ({_silence(nodes, carrying)})",
                wanted="a control plane whose own API server answers",
                action=f"{HANGING} see the logs of etcd and kube-apiserver there.",
            )
        )
    elif unknown:
        others = (
            f"an API server at {wanted.endpoint} that is none of the others'" if answering else "no running cluster"
        )
        plan.refusals.append(
            Problem(
                host=CLUSTER,
                subject="control planes",
                found=f"no answer from {', '.join(unknown)}, and {others}" + ("" if answering else " on the others"),
                wanted="a look at every control plane: one of these may hold the cluster",
                action="Bring them up, or take them out of the inventory.",
            )
        )
    elif answering:
        plan.refusals.append(
            Problem(
                host=CLUSTER,
                subject=f"control plane endpoint {wanted.endpoint}",
                found=f"an API server (seen from {', '.join(answering)}), and none on the inventory's control planes",
                wanted="nothing there, or a cluster whose control planes are in the inventory",
                action="Put that cluster's control planes into the inventory, or choose another endpoint.",
            )
        )
    elif any(nodes[host].has_run for host in marked):
        plan.refusals.append(
            Problem(
                host=CLUSTER,
                subject="API servers",
                found=f"none answers, though {', '.join(host for host in marked if nodes[host].has_run)} "
                "belonged to a running cluster" + (f" ({_silence(nodes, carrying)})" if carrying else ""),
                wanted="at least one control plane whose API server answers",
                action="Bring a control plane back (kubelet, container runtime, etcd's quorum); a new cluster is never "
                "started over an old one.",
            )
        )
    elif not candidates:
        plan.refusals.append(
            Problem(
                host=CLUSTER,
                subject="cluster",
                found="none yet, and no control plane in this run",
                wanted="a control plane to start it on",
                action="Run without --limit, or include a control plane.",
            )
        )
    elif [host for host in marked if host not in candidates] or len(marked) > 1:
        plan.refusals.append(
            Problem(
                host=CLUSTER,
                subject="remains of a cluster",
                found=f"files of kubeadm's on {', '.join(marked)}, and no API server that answers",
                wanted="at most one control plane with an interrupted kubeadm init",
                action="Reset the hosts whose files are of no use, or include the control plane that began it.",
            )
        )
    else:
        plan.refusals += balancing.lost_on_the_way(wanted, nodes)
        if not marked:
            plan.refusals += etcd_hosts.check_unused({host: look for host in wanted.etcd if (look := seen.get(host))})
        # An etcd that somebody else runs is reached from those that were given its files.
        given = external_etcd.holders({host: look for host in candidates if (look := nodes[host].external_etcd)})
        first = (marked or (given if wanted.foreign_etcd else []) or candidates)[0]
        action = RESUME if marked else INITIALISE
        reason = (
            "kubeadm init was interrupted here, and nothing else holds a cluster"
            if marked
            else "no host, no load balancer and no CA shows a cluster"
        )
        plan.anchor = first
        plan.refusals += _authority_without_key(wanted, first, nodes[first])
        for host in sorted(wanted.scope & nodes.keys()):
            role = CONTROL_PLANE if host in wanted.control_plane else WORKER
            look = nodes[host]
            step = (action, reason) if host == first else (JOIN, f"there is no cluster yet; {first} starts it")
            plan.steps[host] = Step(step[0], role, step[1], look.node_name, look.address)


def _silence(nodes: Mapping[str, Observation], carrying: Collection[str]) -> str:
    """Why these hosts' API servers are silent, as far as they say, and how many members of etcd run there."""
    # What was asked for comes first, with a URL.
    why = balancing.by_value({host: nodes[host].api_error.partition(": ")[2] or "no answer" for host in carrying})
    said = [f"{', '.join(hosts)}: {error}" for error, hosts in why.items()]
    voters = max((sum(not member.learner for member in nodes[host].members) for host in carrying), default=0)
    running = [host for host in carrying if nodes[host].etcd.answers]
    if voters:
        said.append(f"etcd runs on {', '.join(running)}, of {voters} voters, and a quorum is {quorum(voters)}")
    return "; ".join(said)


def _authority_without_key(wanted: Wanted, host: str, look: Observation) -> list[Problem]:
    """kubeadm init takes a CA without its key for one that is kept elsewhere, and that has signed all there is."""
    authority = pki.CLUSTER_CA
    if authority.public not in look.traces or authority.private in look.traces:
        return []
    signed = [path for leaf in pki.SIGNED_BY_CLUSTER_CA for path in leaf.paths]
    signed += [f"{KUBERNETES}/{conf}.conf" for conf in _CONFS]
    missing = [path for path in signed if path not in look.traces]
    joins = len(wanted.control_plane & wanted.scope) > 1
    if not missing and not joins:
        return []
    found = f"none beside {authority.public}" + (f", and no {', '.join(missing)}" if missing else "")
    return [
        Problem(
            host=host,
            subject=str(authority.private),
            found=found,
            wanted="the key of that CA"
            + ("" if joins else ", or everything that kubeadm expects such a CA to have signed"),
            action="Put the key there for the time of the run, or remove the CA and let kubeadm make one."
            + (" Without it nothing can be signed on control planes that join." if joins else ""),
        )
    ]


def _extend(plan: Plan, wanted: Wanted, nodes: Mapping[str, Observation], anchor: Observation) -> None:
    """A cluster runs: what does each host lack to be the member that it should be?"""
    cluster = anchor.nodes
    plan.refusals += _other_version(wanted, cluster)
    plan.refusals += etcd_hosts.check_record(wanted, plan.etcd, anchor.etcd_record)
    plan.refusals += subnets.check_fixed({subnets.PODS: wanted.pods, subnets.SERVICES: wanted.services}, anchor.subnets)
    if wanted.network:
        refused, known = pod_network.check_record(wanted.network, wanted.network_objects, anchor.network)
        plan.refusals += refused
        plan.warnings += known
    if not wanted.external_etcd and not anchor.members:
        plan.refusals.append(
            Problem(
                host=plan.anchor,
                subject="etcd",
                found="no answer from the member on this host, though its API server answers",
                wanted="the list of members",
                action="See etcd's log on this host; nothing is joined to members that are unknown.",
            )
        )
    for host in sorted(wanted.scope & nodes.keys()):
        look = nodes[host]
        if host in wanted.control_plane:
            action, reason = _control_plane_step(plan, wanted, host, look, anchor)
            role = CONTROL_PLANE
        else:
            action, reason = _worker_step(plan, host, look, cluster)
            role = WORKER
        plan.steps[host] = Step(action, role, reason, look.node_name, look.address)
    _judge_members(plan, wanted, anchor)
    plan.refusals += _not_handed_out(plan, wanted, anchor)
    plan.refusals += _rejoins_at_once(plan, wanted, nodes, anchor)
    _lead_there(plan, wanted, nodes, cluster)
    if plan.anchor in plan.steps and plan.steps[plan.anchor].action in (JOIN, REJOIN):
        plan.refusals.append(
            Problem(
                host=plan.anchor,
                subject="API servers",
                found="the only one that answers is on this host, whose join was interrupted",
                wanted="one on a control plane that is a node, for this host to join",
                action="Bring another control plane back first.",
            )
        )
    unfinished = _unfinished_init(wanted, anchor.node_name, anchor)
    if unfinished and plan.anchor not in wanted.scope:
        plan.refusals.append(
            Problem(
                host=plan.anchor,
                subject="kubeadm init",
                found=f"interrupted before {unfinished}",
                wanted="a cluster that is whole before others join it",
                action="Include this host in the run, which then finishes it.",
            )
        )
    outside = sorted(cluster.keys() - {look.node_name for look in nodes.values()})
    # Only a run over everything has looked at every host, and can say that a node belongs to none.
    if outside and wanted.scope >= wanted.control_plane | wanted.workers:
        plan.warnings.append(
            Problem(
                host=CLUSTER,
                subject="nodes",
                found=f"{', '.join(outside)} in the cluster and not in the inventory",
                wanted="every node in the inventory",
                action="They stay as they are: nothing is removed unasked.",
            )
        )


def _lead_there(
    plan: Plan, wanted: Wanted, nodes: Mapping[str, Observation], cluster: Mapping[str, Mapping[str, Any]]
) -> None:
    """Back ends are the members that there are, and the endpoint must lead to them."""
    joining = {host for host, step in plan.steps.items() if step.action in (JOIN, REJOIN, FINISH)}
    refusals, warnings = balancing.leads_nowhere(wanted, nodes, joining)
    plan.refusals += refusals
    plan.warnings += warnings + balancing.not_told(wanted, joining)
    # One that did not answer has no name by its own word.
    names = {look.node_name for look in nodes.values()} | set(
        map(wanted.node_name, wanted.control_plane - nodes.keys())
    )
    unlisted = balancing.unlisted_members(cluster, plan.control_plane_addresses, names)
    plan.control_plane_addresses.update(unlisted)
    if unlisted and wanted.load_balancers & wanted.scope:
        plan.warnings.append(balancing.member_stays(unlisted))


def _other_version(wanted: Wanted, cluster: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    found = {node["kubelet"] for node in cluster.values() if node["control_plane"]} - {None, f"v{wanted.version}"}
    if not found:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="cluster_kubernetes_version",
            found=f"control planes that run {', '.join(sorted(found))}",
            wanted=f"v{wanted.version}",
            action="A build never changes the version of a running cluster. Set the version that it runs.",
        )
    ]


def _control_plane_step(
    plan: Plan, wanted: Wanted, host: str, look: Observation, anchor: Observation
) -> tuple[str, str]:
    node = anchor.nodes.get(look.node_name)
    member = None if wanted.external_etcd else _member(look, anchor)
    votes = wanted.external_etcd or (member is not None and member.started and not member.learner)
    if look.traces <= pki.handed(external_etcd=wanted.external_etcd):
        if member is not None:
            plan.refusals.append(lost_data_problem(host, member))
        return _fresh(plan, host, look, node)
    if node is not None and SHARED_KEY not in look.traces and not node["control_plane"]:
        plan.refusals.append(_other_role(host, "a worker: it carries none of a control plane's keys", "control_plane"))
        return NOTHING, "a worker of the cluster"
    unfinished = _unfinished_init(wanted, look.node_name, anchor) if host == plan.anchor else None
    if unfinished:
        return RESUME, f"kubeadm init stopped before {unfinished}"
    if node is None:
        leaving = membership.Remove(member) if member is not None else None
        problem = membership.problem(leaving, anchor.members, host, least_voters=1) if leaving else None
        if problem:
            plan.refusals.append(problem)
        return REJOIN, "kubeadm join was interrupted: no Node object"
    if not votes:
        return FINISH, "kubeadm join was interrupted: no voting etcd member"
    missing = [path for path in _control_plane_files(wanted) if path not in look.traces]
    if not node["control_plane"]:
        return FINISH, "kubeadm join was interrupted: not marked as a control plane"
    # Only where etcd comes before the API server, and the mark may be an earlier installation's.
    etcd_first = not wanted.external_etcd and not versions.joins_as_learner(wanted.version)
    if etcd_first and not look.traces & {*POD_MANIFESTS}:
        return FINISH, "kubeadm join was interrupted: no manifest of the API server"
    if missing:
        plan.warnings.append(
            Problem(
                host=host,
                subject="kubeadm's files",
                found=f"no {', '.join(missing)}",
                wanted="all files of a control plane",
                action="It is a member and stays one; restore the files if they were not removed on purpose.",
            )
        )
    return NOTHING, "a member of the cluster"


def _worker_step(plan: Plan, host: str, look: Observation, cluster: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    node = cluster.get(look.node_name)
    if not look.traces:
        return _fresh(plan, host, look, node)
    if node is not None and node["control_plane"]:
        plan.refusals.append(_other_role(host, "a control plane of the cluster", "workers"))
        return NOTHING, "a control plane of the cluster"
    if node is None or KUBELET_CONF not in look.traces:
        return REJOIN, "kubeadm join was interrupted: " + ("no Node object" if node is None else f"no {KUBELET_CONF}")
    return NOTHING, "a member of the cluster"


def _other_role(host: str, found: str, group: str) -> Problem:
    return Problem(
        host=host,
        subject="role",
        found=found,
        wanted=f"what the group {group} says",
        action="Put it into the other group, or remove the node and join it anew.",
    )


def _fresh(plan: Plan, host: str, look: Observation, node: Mapping[str, Any] | None) -> tuple[str, str]:
    """A host without a trace of kubeadm, but for certificates that it was handed."""
    if node is None:
        return JOIN, "not a member yet" + (", though it has the cluster's certificates" if look.traces else "")
    if node["ready"]:
        same = node["address"] == look.address
        plan.refusals.append(
            Problem(
                host=host,
                subject=f"node name {look.node_name}",
                found="a node of that name that is Ready, though this host carries nothing of it",
                wanted="a name of its own",
                action="If it was just reset, wait a minute until its node is not Ready, and run again."
                if same
                else "Another machine uses the name: rename one of them.",
            )
        )
    return JOIN, "installed anew: the cluster knows its name, the host knows nothing of the cluster"


def _member(look: Observation, anchor: Observation) -> Member | None:
    """The host's own member of a stacked etcd."""
    return membership.find(anchor.members, name=look.node_name, peer_urls=[membership.peer_url(look.address)])


def _judge_members(plan: Plan, wanted: Wanted, anchor: Observation) -> None:
    """Members of a stacked etcd that are not well. Most of that may pass; an alarm passes by no waiting."""
    if wanted.external_etcd:
        return
    joins = any(step.action in (JOIN, REJOIN, FINISH) for step in plan.steps.values())
    voters = sorted((each for each in anchor.members if not each.learner), key=lambda each: (each.name, each.id))
    names = {each.id: each.name for each in voters}
    raised = {alarm for each in voters for alarm in _ALARM.findall(each.error)}
    alarms = [alarm_problem(kind, names.get(member) or hexadecimal(member)) for member, kind in sorted(raised)]
    (plan.refusals if joins else plan.warnings).extend(alarms)
    plan.warnings += [
        Problem(
            host=CLUSTER,
            subject=f"etcd member {each.name or each.id}",
            found=f"not healthy ({each.error or 'no answer'}), by {plan.anchor}'s member",
            wanted="every voter healthy",
            action="No control plane joins while it is so. See etcd's log on its host.",
        )
        for each in voters
        if not each.healthy and not _ALARM.search(each.error)
    ]


def _not_handed_out(plan: Plan, wanted: Wanted, anchor: Observation) -> list[Problem]:
    """Keys that joining control planes need and that the one that speaks for the cluster does not have."""
    if not any(step.role == CONTROL_PLANE and step.action in (JOIN, REJOIN) for step in plan.steps.values()):
        return []
    client = pki.etcd_client_files(wanted.foreign_etcd)
    pairs = pki.COMMON if wanted.external_etcd and not client else pki.shared_pairs(client)
    given = set(client) - set(anchor.external_etcd.missing if anchor.external_etcd else client)
    problems = pki.missing(pairs, dict.fromkeys({*anchor.traces, *given}))
    return [replace(problem, host=plan.anchor or CLUSTER) for problem in problems]


def _rejoins_at_once(
    plan: Plan, wanted: Wanted, nodes: Mapping[str, Observation], anchor: Observation
) -> list[Problem]:
    """Broken joins are undone side by side: what would be left if all of their members were out?"""
    if wanted.external_etcd:
        return []
    found = {
        host: _member(nodes[host], anchor)
        for host, step in plan.steps.items()
        if step.action == REJOIN and step.role == CONTROL_PLANE
    }
    leaving = {member.id for member in found.values() if member is not None and not member.learner}
    voters = [member for member in anchor.members if not member.learner]
    staying = [member for member in voters if member.id not in leaving]
    healthy = sum(1 for member in staying if member.healthy)
    # In the worst order the healthy ones leave first, and the others still count.
    lingering = sum(1 for member in voters if member.id in leaving and not member.healthy)
    if len(leaving) < 2 or healthy >= quorum(len(staying) + lingering):
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="etcd quorum",
            found=f"{healthy} healthy voters that stay while {', '.join(sorted(found))} rejoin",
            wanted=str(quorum(len(staying) + lingering)),
            action="Join them one after the other, with --limit.",
        )
    ]


def _control_plane_files(wanted: Wanted) -> list[str]:
    manifests = [*POD_MANIFESTS, *([] if wanted.external_etcd else [ETCD_MANIFEST])]
    return manifests + [f"{KUBERNETES}/{conf}.conf" for conf in _CONFS]


def _unfinished_init(wanted: Wanted, node_name: str, anchor: Observation) -> str | None:
    """What kubeadm init did not get to; asked only while no second node has come.

    In a grown cluster an object that is missing was taken away by somebody, and is not kubeadm init's to bring back.
    """
    if anchor.nodes.keys() - {node_name}:
        return None
    return first_missing_phase(anchor.lasting, wanted.skip_phases) or (
        None if node_name in anchor.nodes else "its node was registered"
    )


def first_missing_phase(lasting: Collection[str], skipped: Collection[str]) -> str | None:
    """The first phase of kubeadm init whose objects are missing, of those that were not skipped."""
    for phase in INIT_PHASES:
        if phase not in lasting and phase not in skipped and phase.split("/")[0] not in skipped:
            return phase
    return None


def text(wanted: Wanted, plan: Plan) -> str:
    """The plan for people: a line a host, with reasons; then what to know, and what stands against it."""
    kind = "external" if wanted.external_etcd else "stacked"
    cluster = f", cluster {identity.cluster_id(plan.ca)}" if plan.ca else ""
    lines = [f"Plan for Kubernetes {wanted.version}, {kind} etcd, endpoint {wanted.endpoint}{cluster}"]
    width = max((len(host) for host in plan.steps), default=0)
    act = max((len(str(step)) for step in plan.steps.values()), default=0)
    lines += [f"  {host:<{width}}  {step!s:<{act}}  {step.reason}" for host, step in sorted(plan.steps.items())]
    for heading, problems in (("Know", plan.warnings), ("Refused", plan.refusals)):
        lines += [f"  {heading}: {problem}" for problem in sorted(set(problems))]
    return "\n".join(lines)
