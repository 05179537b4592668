# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host or node is meant by a name, what its removal takes, and what stands against it.

Pure: no I/O, no clock, no order. What is there is the word of one control plane that is to stay; of the host that goes
nothing is asked unless the cluster itself says that it lives.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from . import balancing, identity, membership, pki
from .etcd import Member
from .problems import CLUSTER, Problem
from .situation import Observation, VirtualIp

CONTROL_PLANE = "control plane"
WORKER = "worker"
ETCD_HOST = "etcd host"

# Whoever holds the last of one of these takes with it what signs for hosts to come.
_SIGNING_KEYS = tuple(str(pair.private) for pair in (*pki.COMMON, pki.ETCD_CA))


@dataclass(frozen=True)
class Host:
    """What the inventory says of one host.

    Attributes:
        groups: those that it is in, of ``control_plane``, ``workers``, ``load_balancers`` and ``etcd``.
        node_name: the name of its node, where that is said.
        addresses: IP addresses of its, as far as they are said.
    """

    groups: frozenset[str] = frozenset()
    node_name: str = ""
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Asked:
    """What is asked for, and all that the inventory says besides.

    Attributes:
        name: of the host or node that is to go.
        hosts: of the inventory, by name.
        endpoint: ``host:port`` of the API as all nodes reach it.
        external_etcd: etcd runs on hosts of its own.
        foreign_etcd: kubeadm's ``etcd.external`` for an etcd that somebody else runs; empty where nobody does.
        virtual_ip: see ``situation.Wanted``.
        least_voters: how many voters of etcd must be left.
        drain_seconds: how long draining may take.
    """

    name: str
    hosts: Mapping[str, Host]
    endpoint: str = ""
    external_etcd: bool = False
    foreign_etcd: Mapping[str, Any] = field(default_factory=dict)
    virtual_ip: VirtualIp | None = None
    least_voters: int = 2
    drain_seconds: int = 300

    def group(self, name: str) -> list[str]:
        """The hosts of a group, sorted."""
        return sorted(host for host, said in self.hosts.items() if name in said.groups)


@dataclass(frozen=True)
class Target:
    """Who is meant.

    Attributes:
        host: its inventory name; empty where the inventory does not have it.
        node: the name that its node has, or would have.
        role: one of the three above.
        registered: there is such a node.
        lives: the cluster says so: its node is Ready; of a host without one, its member of etcd is healthy.
        member: its member of etcd.
        addresses: where it is, as far as known.
    """

    host: str
    node: str
    role: str
    registered: bool = False
    lives: bool = False
    member: Member | None = None
    addresses: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """What people call it."""
        return self.host or self.node

    @property
    def contacted(self) -> bool:
        return self.lives and bool(self.host)

    @property
    def there(self) -> bool:
        """Whether the cluster has anything of it."""
        return self.registered or self.member is not None


@dataclass
class Removal:
    """The answer.

    Attributes:
        target: who goes.
        anchor: the control plane that does what is done to the cluster.
        ca: public key hash of the cluster's CA.
        refusals: reasons to change nothing.
        warnings: what a person should know.
        steps: subject and what becomes of it, in order.
        balancers: package manager by load balancer that is told.
        backends: addresses of the control planes that stay, by name.
        backends_before: those with the one that goes, for the case that it is kept after all.
        balances: the host that goes is a load balancer besides, and stops being one.
        drains: its pods are evicted, and waited for.
        resets: it is reset.
        followers: control planes whose API servers are given other endpoints of etcd.
        endpoints: those that stay.
        etcd: how the anchor reaches etcd, by option of ``etcd_member``.
        external: kubeadm's ``etcd.external`` as it will be; empty with stacked etcd.
        nodes: those that were Ready, and must be afterwards.
        members: likewise the healthy voters.
        afterwards: what a person does then.
    """

    target: Target
    anchor: str = ""
    ca: str | None = None
    refusals: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    balancers: dict[str, str] = field(default_factory=dict)
    backends: dict[str, str] = field(default_factory=dict)
    backends_before: dict[str, str] = field(default_factory=dict)
    balances: bool = False
    drains: bool = False
    resets: bool = False
    followers: list[str] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    etcd: dict[str, Any] = field(default_factory=dict)
    external: dict[str, Any] = field(default_factory=dict)
    nodes: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    afterwards: list[str] = field(default_factory=list)


def to_ask(asked: Asked) -> list[str]:
    """The control planes that may speak for the cluster: all but the one that may be meant, which may be off."""
    meant = asked.name.lower()
    return [
        host
        for host in asked.group("control_plane")
        if meant not in (host.lower(), asked.hosts[host].node_name.lower())
    ]


def nobody_to_ask(asked: Asked) -> Problem:
    """Why a removal is refused where the inventory has no control plane besides."""
    return Problem(
        host=asked.name,
        subject="control planes",
        found="no other one in the inventory",
        wanted="one that stays",
        action="The last control plane goes with its cluster: see playbooks/reset.yml.",
    )


def nobody_speaks(asked: Asked) -> Problem:
    """Why a removal is refused where no control plane answers."""
    return Problem(
        host=CLUSTER,
        subject="API servers",
        found=f"none that answers on {', '.join(to_ask(asked))}",
        wanted="one, on a control plane that is a node and stays",
        action="See playbooks/recover.yml for what is wrong: nothing is removed from a cluster that cannot agree.",
    )


def speaker(looks: Mapping[str, Observation | None], asked: Asked) -> str | None:
    """The control plane that speaks for the cluster, of those that were looked at; None where none can."""
    able = (
        host
        for host, look in looks.items()
        if look
        and host in to_ask(asked)
        and look.api_answers
        and look.node_name in look.nodes
        # Only its own look may have shown that it is the one that is meant.
        and look.node_name != asked.name.lower()
    )
    return min(able, default=None)


def members_of(look: Observation, *, external_etcd: bool) -> list[Member]:
    """etcd's members as a control plane sees them; who is not heard by it counts as not healthy."""
    if not external_etcd:
        return list(look.members)
    answers = list(look.external_etcd.answers.values()) if look.external_etcd else []
    listed = max((answer.members for answer in answers if answer.speaks), key=len, default=())
    by_id = {answer.member: answer for answer in answers if answer.speaks}
    found = []
    for member_id, name, urls in listed:
        answer = by_id.get(member_id)
        healthy = answer is not None and answer.able and not answer.alarms
        learner = answer is not None and answer.learner
        found.append(Member(member_id, name, (), urls, learner, healthy=healthy))
    return found


def _word_of(anchor: str, looks: Mapping[str, Observation | None]) -> Observation:
    """What the control plane showed that speaks for the cluster."""
    look = looks[anchor]
    if look is None:
        raise AssertionError("a speaker has answered")
    return look


# Who is meant.


def locate(asked: Asked, looks: Mapping[str, Observation | None], anchor: str) -> Target | Problem:
    """The host and the node that are meant, or why nobody can tell.

    A name is never taken for a part of another one. An inventory name and a node name mean the same where the inventory
    says so (``cluster_node_name``), where they differ in case alone, or where the host's address is the node's.

    Args:
        asked: for.
        looks: at control planes, by inventory name; None is one that did not answer.
        anchor: the one of them that speaks for the cluster.
    """
    spoken = _word_of(anchor, looks)
    nodes, members = spoken.nodes, members_of(spoken, external_etcd=asked.external_etcd)
    names = {host: _names(host, said, looks.get(host), nodes, members) for host, said in asked.hosts.items()}
    name, lowered = asked.name, asked.name.lower()
    known = nodes.keys() | {member.name for member in members}
    if name in asked.hosts:
        hosts, found = [name], names[name] | ({lowered} & known)
    else:
        hosts = sorted(host for host, own in names.items() if lowered in own or host.lower() == lowered)
        found = ({lowered} & known) | {own for host in hosts for own in names[host]}
    if len(found) == 1:
        hosts = sorted({*hosts, *(host for host, own in names.items() if own & found)})
    if not hosts and not found:
        return _unknown(asked, known)
    if len(found) > 1 or len(hosts) > 1:
        return _ambiguous(asked, hosts, found)
    host, node = (hosts or [""])[0], min(found)
    if host and asked.hosts[host].groups == {"load_balancers"} and node not in known:
        return _no_node(host)
    return _target(asked, host, node, nodes, members)


def _names(
    host: str,
    said: Host,
    look: Observation | None,
    nodes: Mapping[str, Mapping[str, Any]],
    members: Collection[Member],
) -> set[str]:
    """What the host is called in the cluster: one name, or several where there is doubt."""
    own = said.node_name or (look.node_name if look else "")
    if own:
        return {own}
    there = nodes.keys() | {member.name for member in members}
    by_address = {name for name, node in nodes.items() if node["address"] in said.addresses}
    by_address |= {member.name for member in members if member.name and _at(member) & said.addresses}
    return ({host.lower()} & there) | by_address or {host.lower()}


def _at(member: Member) -> set[str]:
    """The hosts in a member's URLs."""
    return {urlsplit(url).hostname or "" for url in (*member.peer_urls, *member.client_urls)}


def _target(
    asked: Asked, host: str, node: str, nodes: Mapping[str, Mapping[str, Any]], members: Collection[Member]
) -> Target:
    said = asked.hosts.get(host, Host())
    registered = nodes.get(node)
    addresses = said.addresses | ({registered["address"]} if registered and registered["address"] else frozenset())
    member = next((one for one in members if one.name == node), None) or next(
        (one for one in members if not one.name and _at(one) & addresses), None
    )
    if registered and asked.external_etcd:
        member = None  # a node's is on another host
    if (registered and registered["control_plane"]) or "control_plane" in said.groups:
        role = CONTROL_PLANE
    elif registered or "workers" in said.groups:
        role = WORKER
    elif asked.external_etcd and (member or "etcd" in said.groups):
        role = ETCD_HOST
    else:
        role = CONTROL_PLANE if member else WORKER
    lives = registered["ready"] if registered else member is not None and member.healthy
    return Target(host, node, role, registered is not None, bool(lives), member, addresses)


def _unknown(asked: Asked, known: Iterable[str]) -> Problem:
    names = sorted({*known, *asked.hosts} - {""})
    near = difflib.get_close_matches(asked.name.lower(), names, n=3)
    return Problem(
        host=CLUSTER,
        subject="remove_node_name",
        found=f"{asked.name!r}, which is no host of the inventory, no node and no member of etcd",
        wanted="one of these",
        action=f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(names)}.",
    )


def _ambiguous(asked: Asked, hosts: Collection[str], found: Collection[str]) -> Problem:
    return Problem(
        host=CLUSTER,
        subject="remove_node_name",
        found=f"{asked.name!r}, which may be {' and '.join(sorted(found))} in the cluster"
        + (f", and {' and '.join(sorted(hosts))} in the inventory" if hosts else ""),
        wanted="one host, and one node",
        action="Say by cluster_node_name which node each of these hosts is.",
    )


def _no_node(host: str) -> Problem:
    return Problem(
        host=host,
        subject="role",
        found="a load balancer, and no node",
        wanted="a worker, a control plane or an etcd host",
        action="Stop keepalived and haproxy there, take it out of the inventory, and run site.yml for its peer.",
    )


def look_at(asked: Asked, looks: Mapping[str, Observation | None], anchor: str, target: Target) -> list[str]:
    """The hosts to look at before it is decided, none of them twice: those that lose it, and itself if it lives.

    Who holds what it holds of keys is asked only where it may hold the last one.
    """
    hosts = {target.host} if target.contacted else set()
    spoken = _word_of(anchor, looks)
    if target.role == CONTROL_PLANE:
        hosts |= {host for host in asked.group("load_balancers") if host != target.host}
        if target.contacted and not _keys_of(spoken) >= {*_keys(asked)}:
            hosts |= {host for host in asked.group("control_plane") if _is_ready(asked, host, spoken, looks)}
    if target.role == ETCD_HOST and target.contacted:
        healthy = {one.name for one in members_of(spoken, external_etcd=True) if one.healthy}
        named = {host: _names(host, asked.hosts[host], None, {}, ()) for host in asked.group("etcd")}
        hosts |= {host for host, own in named.items() if own & healthy}
    return sorted(hosts - {host for host, look in looks.items() if look} - {anchor})


def _is_ready(asked: Asked, host: str, spoken: Observation, looks: Mapping[str, Observation | None]) -> bool:
    names = _names(host, asked.hosts[host], looks.get(host), spoken.nodes, ())
    return any(spoken.nodes.get(name, {}).get("ready") for name in names)


# What is done.


def decide(asked: Asked, looks: Mapping[str, Observation | None], anchor: str, target: Target) -> Removal:
    """What the removal takes, or what stands against it.

    Args:
        asked: for.
        looks: at the control planes that were asked, and at the hosts of ``look_at``.
        anchor: the control plane that speaks for the cluster.
        target: who goes.
    """
    spoken = _word_of(anchor, looks)
    members = members_of(spoken, external_etcd=asked.external_etcd)
    removal = Removal(target, anchor, spoken.ca)
    reached = looks.get(target.host) if target.contacted else None
    removal.drains = target.registered and target.lives
    removal.resets = reached is not None
    removal.refusals += _last_control_plane(target, spoken) + _member_stays(asked, target, members)
    removal.refusals += _other_machine(target, reached, spoken) + _last_keys(asked, target, reached, looks)
    _judge_endpoint(removal, asked, spoken)
    _balance(removal, asked, spoken, looks)
    _reach_etcd(removal, asked, spoken, members)
    removal.nodes = sorted(name for name, node in spoken.nodes.items() if node["ready"] and name != target.node)
    staying = [one for one in members if target.member is None or one.id != target.member.id]
    removal.members = sorted(one.name for one in staying if one.healthy and not one.learner)
    if asked.foreign_etcd:
        removal.members = []
    _tell(removal, asked, staying, reached)
    return removal


def _last_control_plane(target: Target, spoken: Observation) -> list[Problem]:
    others = [name for name, node in spoken.nodes.items() if node["control_plane"] and name != target.node]
    if target.role != CONTROL_PLANE or others:
        return []
    action = "The last control plane goes with its cluster: see playbooks/reset.yml."
    return [Problem(target.title, "control planes", "no other one in the cluster", "one that stays", action)]


def _member_stays(asked: Asked, target: Target, members: Collection[Member]) -> list[Problem]:
    """What stands against the member's removal, or against any change of the cluster."""
    if asked.foreign_etcd:
        return []
    if not members:
        action = "See etcd's log there: nothing is removed while its members are unknown."
        return [Problem(CLUSTER, "etcd", "no answer that lists its members", "the list of members", action)]
    if target.member is None:
        problem = membership.quorum_problem(members, CLUSTER)
    else:
        change = membership.Remove(target.member)
        problem = membership.problem(change, members, target.title, least_voters=asked.least_voters)
    if problem is None:
        return []
    return [replace(problem, action=problem.action.replace("lower least_voters", "lower remove_node_least_voters"))]


def _other_machine(target: Target, reached: Observation | None, spoken: Observation) -> list[Problem]:
    """A host that carries another cluster, or another node, is not the one to be reset."""
    if reached is None:
        return []
    problems = []
    wanted = f"{target.node} of this cluster"
    if reached.ca and spoken.ca and reached.ca != spoken.ca:
        found = f"a node of the cluster {identity.cluster_id(reached.ca)}"
        action = "The host behind this inventory name is another one: correct its address, or remove the node by name."
        problems.append(Problem(target.host, "cluster", found, wanted, action))
    if target.registered and reached.identity and reached.identity != target.node:
        action = "Set cluster_node_name of the host, or correct its address."
        problems.append(Problem(target.host, "node name", f"{reached.identity}, by its kubelet", wanted, action))
    return problems


def _keys(asked: Asked) -> list[str]:
    etcd_ca = str(pki.ETCD_CA.private)
    return [path for path in _SIGNING_KEYS if not (asked.external_etcd and path == etcd_ca)]


def _keys_of(look: Observation) -> set[str]:
    return {*_SIGNING_KEYS} & look.traces


def _last_keys(
    asked: Asked, target: Target, reached: Observation | None, looks: Mapping[str, Observation | None]
) -> list[Problem]:
    """Keys that nobody else was seen to have; without them nothing is ever signed again."""
    if reached is None or target.role == WORKER:
        return []
    keys = _keys_of(reached) & {*_keys(asked)} if target.role == CONTROL_PLANE else _keys_of(reached)
    group = "control_plane" if target.role == CONTROL_PLANE else "etcd"
    others = [look for host in asked.group(group) if host != target.host and (look := looks.get(host))]
    kept = {path for look in others for path in _keys_of(look)}
    return [
        Problem(
            host=target.host,
            subject=path,
            found=f"the key on no other {target.role} that was looked at",
            wanted="a copy that stays",
            action=f"Copy it to another {target.role} first (mode 0600): nothing could be signed any more.",
        )
        for path in sorted(keys - kept)
    ]


def _judge_endpoint(removal: Removal, asked: Asked, spoken: Observation) -> None:
    """Every node and user comes by the endpoint; it must not go with the host."""
    virtual = {asked.virtual_ip.address} if asked.virtual_ip else set()
    means = {*spoken.endpoint_addresses} - virtual
    target = removal.target
    if not means or not means <= target.addresses or not target.there:
        return
    problem = Problem(
        host=target.title,
        subject=f"control plane endpoint {asked.endpoint}",
        found=f"an address of this host ({', '.join(sorted(means))})",
        wanted="one that leads elsewhere once it is gone",
        action="Let the endpoint's name, or its address, lead to a load balancer or another control plane first.",
    )
    (removal.refusals if target.lives else removal.warnings).append(problem)


def _balance(removal: Removal, asked: Asked, spoken: Observation, looks: Mapping[str, Observation | None]) -> None:
    target = removal.target
    removal.balances = removal.resets and "load_balancers" in asked.hosts[target.host].groups
    if target.role != CONTROL_PLANE:
        return
    removal.backends_before = _backends(asked, spoken, looks)
    gone = {target.host, target.node} - {""}
    removal.backends = {
        name: address
        for name, address in removal.backends_before.items()
        if name not in gone and address not in target.addresses
    }
    for host in asked.group("load_balancers"):
        look = looks.get(host)
        if host == target.host:
            continue
        if look:
            removal.balancers[host] = look.package_manager
        else:
            found, wanted = "no answer", f"it told that {target.title} goes"
            action = f"It sends nobody to a back end that is down. Once it is back: site.yml --limit {host}."
            removal.warnings.append(Problem(host, "load balancer", found, wanted, action))


def _backends(asked: Asked, spoken: Observation, looks: Mapping[str, Observation | None]) -> dict[str, str]:
    """The control planes with their addresses, by the names that ``plan`` gives to back ends."""
    found: dict[str, str] = {}
    names: set[str] = set()
    for host in asked.group("control_plane"):
        look, said = looks.get(host), asked.hosts[host]
        own = _names(host, said, look, spoken.nodes, ())
        names |= own
        registered = [node["address"] for name in own if (node := spoken.nodes.get(name))]
        address = look.address if look else next((one for one in (*registered, *sorted(said.addresses)) if one), "")
        if address:
            found[host] = address
    found.update(balancing.unlisted_members(spoken.nodes, found, names))
    return found


def _reach_etcd(removal: Removal, asked: Asked, spoken: Observation, members: Collection[Member]) -> None:
    """How the anchor speaks to etcd, and what API servers are told of it."""
    target = removal.target
    if not asked.external_etcd:
        return
    if asked.foreign_etcd:
        removal.external = dict(asked.foreign_etcd)
        return
    staying = [one for one in members if target.member is None or one.id != target.member.id]
    removal.endpoints = sorted({url for one in staying for url in one.client_urls})
    removal.external = pki.etcd_hosts_as_external(removal.endpoints)
    healthy = sorted({url for one in staying if one.healthy for url in one.client_urls})
    authority, certificate, key = pki.ETCD_CLIENT_FILES
    removal.etcd = {"endpoints": healthy, "ca_file": authority, "cert_file": certificate, "key_file": key}
    if target.role != ETCD_HOST:
        return
    for host in asked.group("control_plane"):
        names = _names(host, asked.hosts[host], None, spoken.nodes, ())
        if any(spoken.nodes.get(name, {}).get("ready") for name in names):
            removal.followers.append(host)
        else:
            found, action = "no node that is Ready", "It follows with the next run of site.yml that has it."
            wanted = "its API server told which members stay"
            removal.warnings.append(Problem(host, "etcd endpoints", found, wanted, action))


# What is said.


def _tell(removal: Removal, asked: Asked, staying: Collection[Member], reached: Observation | None) -> None:
    target = removal.target
    if removal.balancers:
        removal.steps.append((", ".join(removal.balancers), f"send nobody to {target.title} any more"))
    if target.registered:
        _tell_of_node(removal, asked)
    if removal.followers and target.there:
        what = f"use the etcd of {', '.join(map(membership.title, staying))} alone, one after the other"
        removal.steps.append((", ".join(removal.followers), what))
    if target.member:
        voters = membership.voters(staying)
        counted = f"{membership.healthy(voters)} healthy of {len(voters)} voters stay"
        removal.steps.append((f"etcd member {membership.title(target.member)}", f"is removed: {counted}"))
        if len(voters) < 3 and not target.member.learner:
            action = "Add one before the next failure."
            problem = Problem(CLUSTER, "etcd", f"{len(voters)} voters then", "3, to survive the loss of one", action)
            removal.warnings.append(problem)
    if reached is not None:
        removal.steps.append((target.host, "is reset" + ", and balances no more" * removal.balances))
    elif target.there:
        removal.steps.append((target.title, f"is not reset: {_why_not(target)}"))
    if target.registered:
        removal.steps.append((f"node {target.node}", "is deleted"))
    _tell_what_to_do(removal, asked, reached)


def _tell_of_node(removal: Removal, asked: Asked) -> None:
    target = removal.target
    if removal.drains:
        what = f"is drained within {asked.drain_seconds} s, or kept"
    else:
        what = "is not drained: it is not Ready, and its pods begin elsewhere once it is deleted"
        found, wanted = "not Ready", "a host that is off"
        action = "One that merely lost its network runs its pods on: switch it off first."
        removal.warnings.append(Problem(target.title, "node", found, wanted, action))
    removal.steps.append((f"node {target.node}", what))


def _why_not(target: Target) -> str:
    if not target.host:
        return "the inventory does not have it"
    if not target.lives:
        unwell = "its node is not Ready" if target.registered else "its member of etcd is not healthy"
        return f"{unwell}, so nothing contacts it"
    return "it does not answer, though the cluster says that it lives"


def _tell_what_to_do(removal: Removal, asked: Asked, reached: Observation | None) -> None:
    target, cluster = removal.target, identity.cluster_id(removal.ca)
    if target.host and asked.hosts[target.host].groups:
        what = f"Take {target.host} out of the inventory: a run of site.yml would join it again."
        removal.afterwards.append(what)
        if "load_balancers" in asked.hosts[target.host].groups and asked.virtual_ip:
            what = f"Then run site.yml, so that its peers stop waiting for {target.host}."
            removal.afterwards.append(what)
    if target.there and reached is None:
        reset = f"reset.yml -e reset_confirm={cluster} --limit {target.host}" if target.host else "kubeadm reset there"
        what = f"{target.title} was not reset. When it is back: {reset}."
        if target.role != ETCD_HOST:
            what += f" If its node is in the cluster again then, remove_node.yml -e remove_node_name={target.title}."
        removal.afterwards.append(what)


def text(asked: Asked, removal: Removal) -> str:
    """The plan for people: a line a step, then what to know and what stands against it."""
    target = removal.target
    cluster = f"cluster {identity.cluster_id(removal.ca)}" if removal.ca else "the cluster"
    state = "Ready" if target.registered and target.lives else "not Ready" if target.registered else "no node"
    name = target.title if target.title == target.node else f"{target.title} ({target.node})"
    lines = [f"Plan to remove {name} from {cluster}: {target.role}, {state}, by the word of {removal.anchor}"]
    if not target.there:
        lines.append(f"  There is nothing to remove: no node {target.node}, and no member of etcd.")
    width = max((len(subject) for subject, _what in removal.steps), default=0)
    lines += [f"  {subject:<{width}}  {what}" for subject, what in removal.steps]
    for heading, problems in (("Know", removal.warnings), ("Refused", removal.refusals)):
        lines += [f"  {heading}: {problem}" for problem in sorted(set(problems))]
    return "\n".join(lines)


def summary(removal: Removal, *, check_mode: bool = False) -> list[str]:
    """What was done, or in check mode would be, and what is left to a person, in lines."""
    target = removal.target
    if target.there:
        what = [f"back end at {', '.join(removal.balancers)}"] if removal.balancers else []
        what += ["member of etcd"] if target.member else []
        what += [f"node {target.node}"] if target.registered else []
        done = "would be removed" if check_mode else "is removed"
        lines = [f"{target.title} {done}: {', '.join(what)}{', and the host is reset' if removal.resets else ''}."]
    else:
        lines = [f"{target.title}: there was nothing to remove."]
    if removal.members:
        lines.append(f"etcd's voters: {', '.join(removal.members)}")
    return [*lines, *removal.afterwards]
