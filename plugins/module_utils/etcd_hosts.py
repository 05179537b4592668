# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts of etcd need: to start a cluster all together, to be taken into one that runs, or nothing.

Pure, and part of ``plan``. A cluster that was formed once is never started again: its members have published client
URLs, or their data holds what a leader proposed (``etcd_data``). Short of that, a start was interrupted, and goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from . import membership, pki
from .etcd import Member, foreign_data_problem, hexadecimal, lost_data_problem, quorum
from .etcd_pod import EXISTING, Place, moved
from .evidence import ETCD_MANIFEST, KUBELET_CONF, POD_MANIFESTS
from .problems import CLUSTER, Problem
from .situation import Observation, Wanted

START = "start"
ADD = "add"
NOTHING = "nothing"

MEMBER = "etcd member"


@dataclass
class Decision:
    """What becomes of etcd hosts.

    Attributes:
        actions: by host in scope, one of ``START``, ``ADD`` and ``NOTHING``, and why.
        places: by host, of all whose address is known.
        endpoints: client URLs of those that are members or will be.
        authority: the host that signs certificates for all others; None where none can.
        clients: control planes that begin a cluster, and need a certificate to reach etcd.
    """

    actions: dict[str, tuple[str, str]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    endpoints: list[str] = field(default_factory=list)
    authority: str | None = None
    clients: list[str] = field(default_factory=list)
    refusals: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def initial_cluster(self) -> str:
        """The members of a first start, as etcd wants them told."""
        return ",".join(sorted(f"{place.name}={place.peer_url}" for place in self.places.values()))

    @property
    def changes(self) -> list[str]:
        """The hosts that are to become members."""
        return sorted(host for host, (action, _reason) in self.actions.items() if action != NOTHING)

    def external(self) -> dict[str, Any]:
        """What kubeadm is told under ``etcd.external``; nothing where no endpoint is known."""
        return pki.etcd_hosts_as_external(self.endpoints) if self.endpoints else {}


def are_asked(wanted: Wanted) -> bool:
    """Whether this run has to look at etcd hosts at all: workers and load balancers need nothing of them."""
    return bool(wanted.scope & (wanted.control_plane | wanted.etcd))


def concern_alone(wanted: Wanted) -> bool:
    """Whether this run is about etcd, and about no node: it needs no Kubernetes cluster, and starts none."""
    return bool(wanted.scope & wanted.etcd) and not wanted.scope & (wanted.control_plane | wanted.workers)


def decide(wanted: Wanted, seen: Mapping[str, Observation | None]) -> Decision:
    """What each etcd host in scope needs, of what all hosts show.

    Args:
        wanted: what is asked for.
        seen: by inventory name; None is a host that did not answer.
    """
    looks = {host: look for host in wanted.etcd if (look := seen.get(host))}
    decision = Decision(places=_places(wanted, looks))
    if not wanted.etcd:
        return decision
    decision.warnings += _too_few(len(wanted.etcd))
    if not are_asked(wanted):
        return decision
    decision.refusals += _unaddressed(decision, wanted, looks) + _moved(decision, wanted, looks)
    speaking = speakers(looks)
    clusters = {looks[host].etcd.cluster_id for host in speaking}
    if len(clusters) > 1:
        decision.refusals.append(_several_clusters(looks, speaking))
    elif speaking:
        _extend(decision, wanted, looks, looks[speaking[0]])
    elif any(map(was_formed, looks.values())):
        remains = _remains(decision, wanted, looks)
        decision.refusals += remains or _without_quorum(wanted, seen, looks)
    else:
        _start(decision, wanted, seen, looks)
    return decision


def _places(wanted: Wanted, looks: Mapping[str, Observation]) -> dict[str, Place]:
    places = {}
    for host in sorted(wanted.etcd):
        look, said = looks.get(host), wanted.etcd_of(host)
        address = look.address if look else wanted.addresses.get(host)
        if address:
            name = look.node_name if look else host.lower()
            places[host] = Place(name, address, said.client_port, said.peer_port, said.data_dir)
    return places


def _too_few(count: int) -> list[Problem]:
    if count % 2 and count > 1:
        return []
    if count == 1:
        found, action = "1: etcd is gone when it is", "Add two."
    else:
        survives, fewer = (count - 1) // 2, count - 1
        found = f"{count}: they survive the loss of {survives or 'none'}, as {fewer} would"
        action = "Add or remove one."
    return [Problem(CLUSTER, "etcd hosts", found, "an odd number, from 3 on", action)]


def _unaddressed(decision: Decision, wanted: Wanted, looks: Mapping[str, Observation]) -> list[Problem]:
    return [
        Problem(
            host=host,
            subject="address",
            found="none: the endpoint's name leads nowhere from here",
            wanted="the address at which other members and API servers reach it",
            action="Set its cluster_node_address.",
        )
        for host in sorted(wanted.scope & looks.keys() - decision.places.keys())
    ]


def _moved(decision: Decision, wanted: Wanted, looks: Mapping[str, Observation]) -> list[Problem]:
    """Members that run elsewhere than they would be told to: a build moves none."""
    return [
        replace(problem, host=host)
        for host in sorted(wanted.scope & looks.keys() & decision.places.keys())
        if looks[host].etcd.data or looks[host].etcd.answers
        for problem in moved(decision.places[host], looks[host].etcd.flags)
    ]


def _well(look: Observation) -> int:
    return membership.healthy(membership.voters(look.members))


def speakers(looks: Mapping[str, Observation]) -> list[str]:
    """Hosts whose etcd belongs to a cluster with a leader and a quorum; first those that see most members well."""
    return sorted(
        (
            host
            for host, look in looks.items()
            if look.etcd.answers and look.etcd.leader and look.members and membership.has_quorum(look.members)
        ),
        key=lambda host: (-_well(looks[host]), host),
    )


def was_formed(look: Observation) -> bool:
    """Whether the host's etcd has been part of a cluster that once had a leader."""
    return look.etcd.formed or any(member.started for member in look.members)


def _several_clusters(looks: Mapping[str, Observation], speaking: Collection[str]) -> Problem:
    found: dict[str, list[str]] = {}
    for host in sorted(speaking):
        found.setdefault(_shown(looks[host].etcd.cluster_id), []).append(host)
    return Problem(
        host=CLUSTER,
        subject="etcd",
        found="; ".join(f"the cluster {cluster} on {', '.join(hosts)}" for cluster, hosts in sorted(found.items())),
        wanted="one cluster",
        action="Keep the hosts of one of them in the inventory.",
    )


def _shown(cluster_id: str) -> str:
    return hexadecimal(cluster_id) or "of an unknown id"


# A first start.


def _start(
    decision: Decision,
    wanted: Wanted,
    seen: Mapping[str, Observation | None],
    looks: Mapping[str, Observation],
) -> None:
    """No etcd host shows that there ever was a cluster: all of them start one together, or none does."""
    decision.refusals += _not_all(wanted) + _api_without_etcd(wanted, seen)
    for host in sorted(looks):
        look = looks[host]
        said = {ETCD_MANIFEST: look.etcd.flags.get("initial-cluster"), _data(wanted, host): look.etcd.data_cluster}
        for subject, found in said.items():
            if found and _parsed(found) != _parsed(decision.initial_cluster):
                decision.refusals.append(
                    Problem(
                        host=host,
                        subject=subject,
                        found=f"the start of another cluster ({found})",
                        wanted=decision.initial_cluster,
                        action="It was never formed: remove this, or make the inventory what it was.",
                    )
                )
        if look.etcd.flags.get("initial-cluster-state") == EXISTING:
            action = "Take it into that cluster by the inventory that has it, or remove the manifest."
            found = "a member that was to be added to a cluster which nobody shows"
            decision.refusals.append(Problem(host, ETCD_MANIFEST, found, "none, or one of a first start", action))
        decision.refusals += _remains_of_a_node(host, look)
    for host in sorted(wanted.scope & looks.keys()):
        reason = "its first start was interrupted" if has_begun(looks[host]) else "no etcd host shows a cluster"
        decision.actions[host] = (START, reason)
    decision.endpoints = sorted(place.client_url for place in decision.places.values())


def has_begun(look: Observation) -> bool:
    """Whether this host was made an etcd host before, however far that went."""
    return ETCD_MANIFEST in look.traces or look.etcd.data or look.etcd.service_manager


def _not_all(wanted: Wanted) -> list[Problem]:
    outside = sorted(wanted.etcd - wanted.scope)
    if not outside:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="etcd hosts",
            found=f"no etcd cluster yet, and {', '.join(outside)} not in this run",
            wanted=f"all {len(wanted.etcd)} in the run that starts it",
            action="Run without --limit, or include them all.",
        )
    ]


def check_unused(looks: Mapping[str, Observation]) -> list[Problem]:
    """What stands against a new cluster in this etcd: API servers have written there, and none is known.

    Args:
        looks: what etcd hosts showed, by name.
    """
    kept = {host: look.etcd.keys for host, look in looks.items() if look.etcd.keys}
    if not kept:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="etcd",
            found=f"{max(kept.values())} keys of a Kubernetes cluster on {', '.join(sorted(kept))}, and nothing of it "
            "on the control planes",
            wanted="none before kubeadm init",
            action="If its control planes are elsewhere, put them into the inventory. If nothing in it is missed, "
            "delete the keys (etcdctl del --prefix).",
        )
    ]


def _api_without_etcd(wanted: Wanted, seen: Mapping[str, Observation | None]) -> list[Problem]:
    """A Kubernetes cluster keeps what it is in etcd: where there is one, there is an etcd that is not these hosts'."""
    unknown = sorted(host for host in wanted.control_plane if seen.get(host) is None)
    control_planes = {host: look for host in wanted.control_plane if (look := seen.get(host))}
    signs = {
        "an API server that answers": [host for host, look in control_planes.items() if look.api_answers],
        "an API server at the endpoint": [host for host, look in seen.items() if look and look.endpoint_answers],
        "a control plane of a cluster that ran": [host for host, look in control_planes.items() if look.has_run],
    }
    found = [f"{what} ({', '.join(sorted(hosts))})" for what, hosts in signs.items() if hosts]
    problems = []
    if found:
        problems.append(
            Problem(
                host=CLUSTER,
                subject="etcd hosts",
                found=f"nothing of etcd on {', '.join(sorted(wanted.etcd))}, and {', '.join(found)}",
                wanted="the etcd of that cluster",
                action="Put its hosts into the group etcd, or restore its data: an empty one is never started for it.",
            )
        )
    if unknown and wanted.scope & wanted.etcd:
        problems.append(
            Problem(
                host=CLUSTER,
                subject="etcd hosts",
                found=f"nothing of etcd, and no answer from the control plane {', '.join(unknown)}",
                wanted="a look at every control plane: it may belong to a cluster whose etcd is elsewhere",
                action="Bring it up, or take it out of the inventory.",
            )
        )
    return problems


def _remains_of_a_node(host: str, look: Observation) -> list[Problem]:
    """A kubelet serves a cluster or runs etcd alone, and would start what manifests are left."""
    remains = [path for path in (KUBELET_CONF, *POD_MANIFESTS) if path in look.traces]
    if not remains:
        return []
    action = "Reset it (kubeadm reset), or take it out of the group etcd."
    return [Problem(host, "remains of a node", ", ".join(remains), "a host for etcd alone", action)]


def _data(wanted: Wanted, host: str) -> str:
    return f"{wanted.etcd_of(host).data_dir}/member"


def _parsed(initial_cluster: str) -> frozenset[tuple[str, str, str]]:
    """The members of an ``initial-cluster``, comparable however it was written."""
    members = set()
    for part in filter(None, initial_cluster.split(",")):
        name, _separator, url = part.partition("=")
        members.add((name, *_address(url)))
    return frozenset(members)


def _address(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return (parts.hostname or url).lower(), str(parts.port or "")


# A cluster that runs.


def _extend(decision: Decision, wanted: Wanted, looks: Mapping[str, Observation], speaker: Observation) -> None:
    """A cluster answers: what does each host lack to be the member that it should be?"""
    members = list(speaker.members)
    own = {host: _own(members, place) for host, place in decision.places.items()}
    for host in sorted(wanted.scope & looks.keys() & own.keys()):
        decision.actions[host] = _step(decision, wanted, host, looks[host], own[host], speaker)
    adding = sorted(host for host, (action, _reason) in decision.actions.items() if action == ADD)
    finished = {member.id for host in adding if (member := own[host])}
    # As they are once this run has finished those that are members already.
    later = [replace(one, healthy=True, learner=False) if one.id in finished else one for one in members]
    for host in adding:
        change = membership.Add((decision.places[host].peer_url,), learner=True)
        problem = None if own[host] else membership.problem(change, later, host)
        if problem and not membership.passes(change, later):
            decision.refusals.append(problem)
    urls = {url for member in members for url in member.client_urls}
    unpublished = {host for host, member in own.items() if member and not member.started}
    decision.endpoints = sorted(urls | {decision.places[host].client_url for host in unpublished | set(adding)})
    strangers = {one.id for one in members} - {one.id for one in own.values() if one}
    # A host whose address nobody knows may be one of them.
    if strangers and own.keys() >= wanted.etcd:
        decision.warnings.append(_not_in_inventory([one for one in members if one.id in strangers]))


def _own(members: Collection[Member], place: Place) -> Member | None:
    """The member of this place; one that bears another name is there in its stead."""
    by_name = membership.find(members, name=place.name, peer_urls=(place.peer_url,))
    return by_name or membership.find(members, peer_urls=(place.peer_url,))


def _not_in_inventory(members: Collection[Member]) -> Problem:
    found = ", ".join(sorted(map(membership.title, members)))
    action = "They stay as they are: nothing is removed unasked."
    return Problem(
        CLUSTER, "etcd members", f"{found}, of no host in the inventory", "every member in the group etcd", action
    )


def _step(
    decision: Decision,
    wanted: Wanted,
    host: str,
    look: Observation,
    member: Member | None,
    speaker: Observation,
) -> tuple[str, str]:
    """What one host needs of a cluster that runs, and why."""
    place, said = decision.places[host], look.etcd
    if said.cluster_id and said.cluster_id != speaker.etcd.cluster_id:
        decision.refusals.append(_foreign(wanted, host, look, speaker))
        return NOTHING, "a member of another etcd cluster"
    if member is None and (said.data or said.answers):
        decision.refusals.append(foreign_data_problem(host, _data(wanted, host)))
        return NOTHING, "not a member, though it has data"
    if member is None:
        decision.refusals += _remains_of_a_node(host, look) + _foreign_manifest(host, look, place, speaker)
        return ADD, "not a member yet"
    if member.name not in ("", place.name):
        decision.refusals.append(_renamed(host, member, place))
        return NOTHING, f"the member {member.name}"
    if not member.started:
        decision.refusals += _remains_of_a_node(host, look)
        return ADD, "its member is listed, and was never started"
    if said.member_id and said.member_id != member.id:
        decision.refusals.append(foreign_data_problem(host, _data(wanted, host)))
        return NOTHING, "data of a member that was taken out"
    if member.learner:
        return ADD, "its member was never promoted"
    # An etcd that finds its data gone leaves an empty backend before it gives up.
    if said.lost:
        decision.refusals.append(lost_data_problem(host, member))
        return NOTHING, "a member without its data"
    decision.warnings += _unlike(host, look, member)
    return NOTHING, "a member of the etcd cluster"


def _foreign(wanted: Wanted, host: str, look: Observation, speaker: Observation) -> Problem:
    return Problem(
        host=host,
        subject=_data(wanted, host),
        found=f"a member of the etcd cluster {_shown(look.etcd.cluster_id)}",
        wanted=f"none, or one of {_shown(speaker.etcd.cluster_id)}, which {speaker.node_name} belongs to",
        action=f"Move it and {ETCD_MANIFEST} away if nothing in it is missed, or take the host out of the group etcd.",
    )


def _foreign_manifest(host: str, look: Observation, place: Place, speaker: Observation) -> list[Problem]:
    """A member is added with those that are there; who names others alone was to start, or join, something else."""
    known = {_address(url) for member in speaker.members for url in member.peer_urls}
    said = look.etcd.flags.get("initial-cluster", "")
    others = {(one, port) for _name, one, port in _parsed(said)} - {_address(place.peer_url)}
    if not others or others & known:
        return []
    found = f"a member of another cluster ({said})"
    action = "Remove it if that cluster is gone, or take the host out of the group etcd."
    return [Problem(host, ETCD_MANIFEST, found, "none, or one that names members of this cluster", action)]


def _renamed(host: str, member: Member, place: Place) -> Problem:
    return Problem(
        host=host,
        subject=f"etcd member at {place.peer_url}",
        found=member.name,
        wanted=place.name,
        action=f"A member keeps its name: set cluster_node_name to {member.name}, or remove it and add it anew.",
    )


def _unlike(host: str, look: Observation, member: Member) -> list[Problem]:
    """What should be known of a member that stays as it is."""
    problems = []
    if not member.healthy:
        action = "See its container's log (crictl ps -a --name etcd): until it is back, fewer others may fail."
        problems.append(Problem(host, f"etcd member {member.name}", "not healthy", "healthy", action))
    return problems


def _remains(decision: Decision, wanted: Wanted, looks: Mapping[str, Observation]) -> list[Problem]:
    """Data that is all of clusters which none of these hosts was meant for; nothing where any may be of this one."""
    own = {_address(place.peer_url) for place in decision.places.values()}
    formed = {host: look.etcd for host, look in looks.items() if was_formed(look)}
    for said in formed.values():
        peers = {(address, port) for _name, address, port in _parsed(said.data_cluster)}
        if said.answers or not peers or peers & own:
            return []
    return [
        Problem(
            host=host,
            subject=_data(wanted, host),
            found=f"a member of another etcd cluster ({said.data_cluster})",
            wanted="none: no etcd host of this inventory shows a cluster",
            action=f"Move it and {ETCD_MANIFEST} away if nothing in it is missed, or put that cluster's hosts into the "
            "group etcd.",
        )
        for host, said in sorted(formed.items())
    ]


def _without_quorum(
    wanted: Wanted, seen: Mapping[str, Observation | None], looks: Mapping[str, Observation]
) -> list[Problem]:
    """A cluster was formed and cannot decide anything: whatever is done now may undo what it has agreed on."""
    listed = max((look.members for look in looks.values()), key=len, default=())
    count = len(membership.voters(listed)) or len(wanted.etcd)
    told = [f"{host}: {_state(seen.get(host))}" for host in sorted(wanted.etcd) if host in seen]
    clusters = {look.etcd.cluster_id for look in looks.values() if was_formed(look) and look.etcd.cluster_id}
    problems = [
        Problem(
            host=CLUSTER,
            subject="etcd quorum",
            found=f"{max(map(_well, looks.values()), default=0)} healthy of {count} voters ({'; '.join(told)})",
            wanted=f"{quorum(count)} that agree on a leader",
            action="Bring members back (kubelet, container runtime, network); if their data is lost, restore a "
            "snapshot. A new cluster is never started over an old one: data that is of no use has to be moved away.",
        )
    ]
    if len(clusters) > 1:
        formed = [host for host, look in looks.items() if was_formed(look) and look.etcd.cluster_id]
        problems.append(_several_clusters(looks, formed))
    return problems


def _state(look: Observation | None) -> str:
    if look is None:
        return "unreachable"
    if look.etcd.answers:
        return "answers, with a leader" if look.etcd.leader else "answers, without a leader"
    if look.etcd.data:
        return "no answer, though it has data" if look.etcd.formed else "no answer, waits for its first start"
    return "no data"


# Certificates.


def certify(
    decision: Decision, wanted: Wanted, seen: Mapping[str, Observation | None], beginning: Collection[str]
) -> None:
    """Decide who signs for etcd hosts that are to become members, and for a control plane that begins a cluster.

    Control planes that join are handed what that one has.
    """
    looks = {host: look for host in wanted.etcd if (look := seen.get(host))}
    control_planes = {host: look for host in wanted.control_plane if (look := seen.get(host))}
    if not wanted.etcd or not are_asked(wanted):
        return
    decision.refusals += _several_authorities({**control_planes, **looks})
    key, certificate = str(pki.ETCD_CA.private), pki.ETCD_CA.public
    half = sorted(host for host, look in looks.items() if _has_half_ca(look))
    holders = sorted(host for host, look in looks.items() if key in look.traces and host not in half)
    known = sorted(host for host, look in looks.items() if certificate in look.traces and host not in half)
    for host in sorted({*holders} - {*known}):
        action = "Put its certificate beside it, or remove it: it alone can sign nothing."
        decision.refusals.append(Problem(host, key, "no certificate beside it", certificate, action))
    decision.warnings += _copies(holders, control_planes)
    decision.clients = sorted(
        host
        for host in control_planes.keys() & {*beginning}
        if not _has_whole(control_planes[host], pki.ETCD_CLIENT_FILES)
    )
    asking = [host for host in decision.changes if not _has_whole(looks[host], pki.ETCD_HOST_FILES)]
    asking += decision.clients
    starts = any(action == START for action, _reason in decision.actions.values())
    if holders:
        decision.authority = holders[0]
    elif starts and not known:
        decision.authority = min(half or wanted.etcd)
    elif asking and (known or not decision.refusals):
        decision.refusals.append(_no_key(wanted, looks, known, control_planes, asking))


def _has_whole(look: Observation, files: Collection[str]) -> bool:
    return look.traces >= {*files} and not {subject for subject, *_others in look.unusable} & {*files}


def _has_half_ca(look: Observation) -> bool:
    """Whether kubeadm was stopped there while it made a CA: what there is of it has signed nothing."""
    return look.etcd.ca_in_the_making and not _has_whole(look, pki.ETCD_CA.paths)


def _several_authorities(looks: Mapping[str, Observation]) -> list[Problem]:
    found: dict[str, list[str]] = {}
    for host, look in sorted(looks.items()):
        if pki.ETCD_CA.public in look.public_keys and not _has_half_ca(look):
            found.setdefault(look.public_keys[pki.ETCD_CA.public], []).append(host)
    if len(found) < 2:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject=pki.ETCD_CA.public,
            found="; ".join(f"public key {key[:19]}… on {', '.join(who)}" for key, who in sorted(found.items())),
            wanted="the same one on all etcd hosts and control planes",
            action="These are different clusters. Take the foreign hosts out of the inventory, or reset them.",
        )
    ]


def _copies(holders: Collection[str], control_planes: Mapping[str, Observation]) -> list[Problem]:
    elsewhere = [host for host, look in control_planes.items() if str(pki.ETCD_CA.private) in look.traces]
    hosts = sorted({*holders, *elsewhere})
    if len(hosts) < 2:
        return []
    action = (
        f"Keep it on one etcd host, {min(holders)} for example, and delete it elsewhere."
        if holders
        else ("Keep it on one etcd host, and delete it elsewhere.")
    )
    return [Problem(CLUSTER, str(pki.ETCD_CA.private), f"on {', '.join(hosts)}", "on one etcd host alone", action)]


def _no_key(
    wanted: Wanted,
    looks: Mapping[str, Observation],
    known: Collection[str],
    control_planes: Mapping[str, Observation],
    asking: Collection[str],
) -> Problem:
    path = str(pki.ETCD_CA.private)
    silent = sorted(wanted.etcd - looks.keys())
    elsewhere = sorted(host for host, look in control_planes.items() if path in look.traces)
    found = f"none beside the certificates on {', '.join(known)}" if known else "none on any etcd host"
    found += f"; no answer from {', '.join(silent)}" if silent else ""
    if silent:
        action = "Bring these up, or put the key onto one of the others for the time of the run."
    elif elsewhere:
        action = f"Move the one on {elsewhere[0]} to an etcd host."
    else:
        action = "Put it onto one of the etcd hosts for the time of the run."
    return Problem(CLUSTER, path, found, f"it on one etcd host, to sign for {', '.join(asking)}", action)


# What a running Kubernetes cluster says of its etcd.


def check_record(wanted: Wanted, decision: Decision, record: Mapping[str, Any]) -> list[Problem]:
    """Why this is not the cluster whose etcd the inventory has; endpoints that only lag behind are no reason.

    Args:
        wanted: what is asked for.
        decision: on etcd hosts.
        record: see ``evidence.cluster_etcd``; empty where nobody knows.
    """
    topology = "external" if wanted.external_etcd else "stacked"
    if record and record["topology"] != topology:
        action = f"A build never moves etcd: set cluster_etcd_topology to {record['topology']}."
        return [Problem(CLUSTER, "cluster_etcd_topology", topology, f"{record['topology']}, as it runs", action)]
    recorded = {_address(url) for url in record.get("endpoints", ())}
    if not recorded or not wanted.etcd or not are_asked(wanted):
        return []
    places = sorted(place.client_url for place in decision.places.values())
    if recorded & {_address(url) for url in (*decision.endpoints, *places)}:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="etcd hosts",
            found="endpoints of another cluster: the one that runs has its etcd at "
            + ", ".join(sorted(record["endpoints"])),
            wanted=", ".join(places),
            action="Put its etcd hosts into the group etcd, or take its control planes out of the inventory.",
        )
    ]
