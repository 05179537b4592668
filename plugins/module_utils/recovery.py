# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is broken in a cluster, by what is alive of it, and what mends it in which order; or what stands against that.

Pure, as ``plan`` is, whose answer for what is left is a part of this one: a recovery takes out what is gone, and a
build then joins what is there. Nothing is dead for one silence: its host, its etcd member and its Node have to agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import contradictions, etcd_hosts, identity, membership, pki, plan, requirements
from .etcd import Member, hexadecimal, quorum
from .evidence import ETCD_MANIFEST, POD_MANIFESTS
from .problems import CLUSTER, Problem
from .situation import EtcdLook, Observation, Wanted

DEAD = "dead"
REINSTALLED = "reinstalled"
LEFT_BEHIND = "left behind"
DATA_LOST = "data lost"
CAME_BACK = "came back"
UNEXPLAINED = "unexplained"
UNREACHABLE = "unreachable"
AILING = "ailing"
ASTRAY = "load balancer"
QUORUM_LOST = "quorum lost"
INTERRUPTED = "interrupted restore"

SNAPSHOT = "take a snapshot"
REMOVE_MEMBER = "remove member"
DELETE_NODE = "delete node"
WIPE = "set data aside"
BEGIN = "begin again"
FOLLOW = "set data aside to follow"
START = "start API server"
STOP = "stop API server"
BUILD = "build"

FROM_DATA = "data"
FROM_SNAPSHOT = "snapshot"

_NO_DIFFERENCE = "Whether it was initialised first makes no difference."


@dataclass(frozen=True)
class Ask:
    """What the user says besides the inventory.

    Attributes:
        forget: names of members and nodes that may go though no host of the inventory stands behind them.
        confirm: the id of the cluster that may begin again from what is left of it.
        snapshot: a snapshot to begin from was given; else a survivor's data is what there is.
        private_key: that is encrypted, and this opens it; else it is on the host that begins, in clear.
        survivor: the host to begin on; empty where the one that knows most is meant.
        names: of nodes, by inventory name, of hosts that may not say it themselves.
        silence: why a host did not answer, by inventory name.
    """

    forget: frozenset[str] = frozenset()
    confirm: str = ""
    snapshot: bool = False
    private_key: bool = False
    survivor: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    silence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Case:
    """One thing that is wrong.

    Attributes:
        kind: one of the names above.
        subject: the host, member or node that it is about.
        evidence: what shows it.
        remedy: what this recovery does about it, or what a person does.
        mended: this recovery does something about it.
    """

    kind: str
    subject: str
    evidence: str
    remedy: str
    mended: bool = True

    def __str__(self) -> str:
        return f"{self.subject}: {self.kind}: {self.evidence}. {self.remedy}"


@dataclass(frozen=True)
class Action:
    """One step.

    Attributes:
        kind: one of the names above.
        subject: the member's id, the node's name, or the host.
        title: the same for people.
        on: the host where it is done.
    """

    kind: str
    subject: str
    title: str
    on: str

    def __str__(self) -> str:
        return {
            SNAPSHOT: f"take a snapshot of etcd on {self.on}",
            REMOVE_MEMBER: f"remove the etcd member {self.title}, by {self.on}",
            DELETE_NODE: f"delete the Node {self.title}, by {self.on}",
            WIPE: f"set the data of etcd aside on {self.on}",
            BEGIN: f"begin etcd again on {self.on}, from {self.title}",
            FOLLOW: f"set the data of etcd aside on {self.on}, to join anew",
            STOP: f"stop the API server on {self.on}, whose etcd is not the cluster's",
            START: f"start the API server on {self.on}",
            BUILD: "run site.yml: load balancers, joins, verification",
        }[self.kind]


@dataclass(frozen=True)
class Survivor:
    """What one host still has of an etcd that has lost its quorum.

    Attributes:
        index: how much of raft's log it knows to be committed; 0 where its etcd does not say.
        answers: its etcd runs, without a leader.
    """

    host: str
    member_id: str
    index: int
    answers: bool
    data_dir: str

    def __str__(self) -> str:
        index = f"raft index {self.index}" if self.index else "raft index unknown: its etcd does not run"
        return (
            f"{self.host}: member {hexadecimal(self.member_id) or 'of an unknown id'}, {index}, data in {self.data_dir}"
        )


@dataclass
class Recovery:
    """The answer.

    Attributes:
        cases: what is wrong; empty where nothing is.
        actions: in their order; ``BUILD`` is always the last one.
        passed_over: hosts that are not contacted any more in this run.
        anchor: the control plane that is asked for Nodes.
        speaker: the host whose etcd is asked for members.
        ca: public key hash of the cluster's CA.
        endpoints: client URLs of the members that stay.
        survivors: where the quorum is lost.
        begins: the survivor that begins again.
        refusals: reasons to change nothing at all.
        warnings: what a person should know and may leave as it is.
        after: what a build does with what is left; None where nobody can tell before the cluster answers again.
        kept: nodes and hosts of etcd that a build has nothing to do with, and nothing new to tell.
    """

    cases: list[Case] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    passed_over: set[str] = field(default_factory=set)
    anchor: str | None = None
    speaker: str | None = None
    ca: str | None = None
    endpoints: list[str] = field(default_factory=list)
    survivors: list[Survivor] = field(default_factory=list)
    begins: str | None = None
    refusals: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    after: plan.Plan | None = None
    kept: set[str] = field(default_factory=set)

    @property
    def cluster_id(self) -> str:
        return identity.cluster_id(self.ca)

    def subjects(self, kind: str) -> list[str]:
        """What actions of this kind are about, in their order."""
        return [action.subject for action in self.actions if action.kind == kind]


@dataclass
class _Scene:
    """What a diagnosis looks at, and what it has found so far.

    Attributes:
        alone: see ``contradictions.standing_alone``.
    """

    wanted: Wanted
    seen: Mapping[str, Observation | None]
    ask: Ask
    made: Recovery
    alone: set[str] = field(default_factory=set)
    registry: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    leaving: dict[str, Member] = field(default_factory=dict)
    nodes_out: set[str] = field(default_factory=set)
    wiped: set[str] = field(default_factory=set)

    def name(self, host: str) -> str:
        look = self.seen.get(host)
        return look.node_name if look else self.ask.names.get(host) or host.lower()

    def node(self, host: str) -> Mapping[str, Any] | None:
        return self.registry.get(self.name(host))

    def member(self, host: str) -> Member | None:
        """The host's own one, where it is to carry one."""
        if host not in carriers(self.wanted):
            return None
        look = self.seen.get(host)
        node = self.node(host)
        address = (look and look.address) or self.wanted.addresses.get(host) or (node and node["address"])
        port = self.wanted.etcd_of(host).peer_port
        urls = [membership.peer_url(address, port)] if address else []
        return membership.find(self.members, name=self.name(host), peer_urls=urls)

    def say(self, kind: str, subject: str, evidence: str, remedy: str, *, mended: bool = True) -> None:
        self.made.cases.append(Case(kind, subject, evidence, remedy, mended))

    def take_out(self, member: Member | None) -> None:
        if member:
            self.leaving[member.id] = member


def carriers(wanted: Wanted) -> frozenset[str]:
    """The hosts of this inventory that are to carry a member of etcd."""
    return wanted.etcd if wanted.external_etcd else wanted.control_plane


def diagnose(
    wanted: Wanted, seen: Mapping[str, Observation | None], ask: Ask, looked_for_seconds: float = 0.0
) -> Recovery:
    """Decide.

    Args:
        wanted: what is asked for; all hosts of the inventory are in its scope.
        seen: by inventory name, every host; None is one that did not answer.
        ask: what else the user says.
        looked_for_seconds: see ``plan.make``.
    """
    made = Recovery()
    nodes = {host: look for host, look in seen.items() if look and host in wanted.control_plane | wanted.workers}
    authorities = contradictions.authorities(nodes, seen)
    made.ca = next(iter(authorities), None) if len(authorities) == 1 else None
    made.refusals += contradictions.mixed(authorities, nodes)
    alone = contradictions.standing_alone({host: look for host in carriers(wanted) if (look := seen.get(host))})
    live = [host for host in wanted.control_plane & nodes.keys() - alone if nodes[host].api_answers]
    made.anchor = min(live, key=lambda host: (nodes[host].node_name not in nodes[host].nodes, host), default=None)
    made.speaker = _speaker(wanted, seen)
    scene = _Scene(wanted, seen, ask, made, alone)
    if made.refusals:
        return made
    formed = [host for host in carriers(wanted) if (look := seen.get(host)) and etcd_hosts.was_formed(look)]
    if carriers(wanted) and not made.speaker and formed:
        _lose_quorum(scene)
        return made
    if not made.anchor:
        if not _resume(scene):
            made.refusals.append(_no_api(scene))
        return made
    scene.registry = nodes[made.anchor].nodes
    speaker = seen[made.speaker] if made.speaker else None
    scene.members = speaker.members if speaker else ()
    for host in sorted(wanted.control_plane | wanted.workers | wanted.etcd):
        look = seen.get(host)
        if look is None:
            _judge_silent(scene, host)
        elif _is_bare(wanted, host, look):
            _judge_bare(scene, host, look)
        elif host in carriers(wanted):
            _judge_carrier(scene, host, look)
    _judge_balancers(scene)
    _judge_unexplained(scene)
    _judge_machines(scene, looked_for_seconds)
    _order(scene)
    _foresee(scene, looked_for_seconds)
    return made


def _speaker(wanted: Wanted, seen: Mapping[str, Observation | None]) -> str | None:
    """The host whose etcd has a leader and a quorum; of several, one in whose eyes most members are well."""
    looks = {host: look for host in carriers(wanted) if (look := seen.get(host))}
    return next(iter(etcd_hosts.speakers(looks)), None)


def _resume(scene: _Scene) -> bool:
    """etcd has begun again, and the run ended before API servers were back: their manifests still lie aside."""
    made, wanted = scene.made, scene.wanted
    speaker = scene.seen[made.speaker] if made.speaker else None
    voters = {member.name for member in membership.voters(speaker.members)} if speaker else set()
    stopped = sorted(
        host
        for host in wanted.control_plane
        if (look := scene.seen.get(host))
        and look.has_run
        and POD_MANIFESTS[0] not in look.traces
        and (wanted.external_etcd or look.node_name in voters)
    )
    if not voters or not stopped:
        return False
    for host in stopped:
        evidence = f"etcd has a quorum, and {POD_MANIFESTS[0]} is not in its place"
        scene.say(INTERRUPTED, host, evidence, "Its API server is started, then the build goes on.")
    made.passed_over |= {host for host in scene.seen if scene.seen[host] is None}
    made.actions += [Action(START, host, host, host) for host in stopped] + [Action(BUILD, "", "", "")]
    return True


def _no_api(scene: _Scene) -> Problem:
    """Who cannot be asked for Nodes is not told which of them are dead."""
    shown = [host for host, look in scene.seen.items() if look and (look.ca or look.has_run or look.etcd.data)]
    silent = sorted(host for host in scene.wanted.control_plane if scene.seen.get(host) is None)
    if not shown and not silent:
        return Problem(
            host=CLUSTER,
            subject="cluster",
            found="none: no host shows a trace of one",
            wanted="one to recover",
            action="Build it with site.yml.",
        )
    told = [f"no answer from {', '.join(silent)}"] if silent else []
    told += [f"etcd has a quorum by {scene.made.speaker}"] if scene.made.speaker else []
    causes = (
        "kubelet and the containers of kube-apiserver on the control planes (crictl ps -a, crictl logs); "
        "certificates that ended and full disks stop them, too."
    )
    return Problem(
        host=CLUSTER,
        subject="API servers",
        found="none that answers" + (f" ({'; '.join(told)})" if told else ""),
        wanted="one on a control plane of the inventory, to tell which nodes live",
        action=f"{plan.HANGING} see {causes}" if scene.made.speaker else f"See {causes}",
    )


# One host at a time.


def _judge_silent(scene: _Scene, host: str) -> None:
    """A host that does not answer over SSH: dead, or only out of reach."""
    scene.made.passed_over.add(host)
    member, node, name = scene.member(host), scene.node(host), scene.name(host)
    told = [_silence(scene, host)]
    if host in carriers(scene.wanted):
        told.append(_told(member))
    if host in scene.wanted.control_plane | scene.wanted.workers:
        told.append("no Node" if node is None else "Node Ready" if node["ready"] else "Node not Ready")
    evidence = ", ".join(told)
    if member and member.healthy or node and node["ready"]:
        late = node and node["ready"] and member and not member.healthy
        remedy = "Not dead: left as it is, and passed over."
        if late:
            remedy += " A Node counts as Ready until it was silent for some 40 s: if it died just now, run again then."
        scene.say(UNREACHABLE, host, evidence, remedy, mended=False)
        return
    if host in scene.wanted.workers and name not in scene.ask.forget:
        remedy = "It is passed over" + (
            f", and its Node stays: remove_node.yml, or -e recover_forget={name}, takes it out." if node else "."
        )
        scene.say(DEAD, host, evidence, remedy, mended=False)
        return
    scene.take_out(member)
    if node is not None:
        scene.nodes_out.add(name)
    gone = [*(["member"] if member else []), *(["Node"] if node is not None else [])]
    if gone:
        remedy = f"Its {' and '.join(gone)} {'go' if len(gone) > 1 else 'goes'}, and it is passed over."
    else:
        remedy = "Nothing of it is in the cluster: it is passed over."
    if host in scene.wanted.control_plane:
        remedy += f" {_NO_DIFFERENCE}"
    scene.say(DEAD, host, evidence, remedy, mended=bool(gone))


def _silence(scene: _Scene, host: str) -> str:
    why = scene.ask.silence.get(host)
    return "no answer over SSH" + (f" ({why})" if why else "")


def _told(member: Member | None) -> str:
    if member is None:
        return "no etcd member"
    if not member.started:
        return f"etcd member {hexadecimal(member.id)} never started"
    return f"etcd member {membership.title(member)} ({hexadecimal(member.id)}) " + (
        "healthy" if member.healthy else "does not answer"
    )


def _is_bare(wanted: Wanted, host: str, look: Observation) -> bool:
    if host in wanted.etcd:
        return not etcd_hosts.has_begun(look)
    handed = pki.handed(external_etcd=wanted.external_etcd) if host in wanted.control_plane else frozenset()
    return look.traces <= handed


def _judge_carrier(scene: _Scene, host: str, look: Observation) -> None:
    """A host that answers, and should have a member."""
    member, own = scene.member(host), look.etcd
    if member is None:
        if own.data:
            scene.wiped.add(host)
            evidence = f"{_data_of(own)}, which the cluster does not list"
            scene.say(CAME_BACK, host, evidence, "It was taken out: its data is set aside, and it joins anew.")
    elif own.data and own.member_id not in ("", member.id) and not member.healthy:
        scene.wiped.add(host)
        scene.take_out(member)
        evidence = f"{_data_of(own)}, and the cluster lists it as {hexadecimal(member.id)}"
        scene.say(CAME_BACK, host, evidence, "That data is set aside, and it joins anew.")
    elif not member.started or member.learner:
        evidence = f"{_told(member)}, a learner" if member.learner else _told(member)
        remedy = "Its join was interrupted: site.yml finishes it."
        if own.data and not member.healthy:
            scene.wiped.add(host)
            scene.take_out(member)
            remedy = "It never voted, and nothing is lost with it: it goes with its data, and joins anew."
        scene.say(LEFT_BEHIND, host, evidence, remedy)
    elif _has_lost_data(scene, host, look):
        scene.take_out(member)
        if own.data or ETCD_MANIFEST in look.traces:
            scene.wiped.add(host)
        evidence = f"{_told(member)}, {_what_is_left(own)}"
        scene.say(DATA_LOST, host, evidence, "Its member goes before an empty one is added: it joins anew.")
    elif not member.healthy:
        evidence = f"{_told(member)}, though its host answers and its data is there"
        remedy = "Left as it is: see its container's log there (crictl ps -a --name etcd, crictl logs), disk and clock."
        scene.say(AILING, host, evidence, remedy, mended=False)


def _data_of(own: EtcdLook) -> str:
    return f"data of the etcd member {hexadecimal(own.member_id) or '(unknown)'}"


def _has_lost_data(scene: _Scene, host: str, look: Observation) -> bool:
    """Whether the data on this host is not what its member has voted for."""
    own = look.etcd
    if own.answers:
        return host in scene.alone
    begun = own.began_alone and len(membership.voters(scene.members)) > 1
    return own.lost or begun


def _what_is_left(own: EtcdLook) -> str:
    if own.answers or own.began_alone:
        return "and its data was begun anew, by a member that knows of no other"
    if own.log_cut and own.formed and not own.without_log:
        return "and its log is shorter than what it has agreed to, in its own last word"
    return "and what is there was never part of the cluster" if own.data else "and its data is gone"


def _judge_bare(scene: _Scene, host: str, look: Observation) -> None:
    """A host that carries nothing: it is new, or has the name of a member or a Node."""
    member, node = scene.member(host), scene.node(host)
    if member is None and node is None:
        return
    told = "it carries nothing of a cluster"
    if member is not None:
        told += f", {_told(member)}"
    if node is not None:
        told += ", Node Ready" if node["ready"] else ", Node not Ready"
    elsewhere = node is not None and node["ready"] and node["address"] not in (None, look.address)
    if member and member.healthy or elsewhere:
        scene.made.refusals.append(
            Problem(
                host=host,
                subject=f"node name {look.node_name}",
                found=f"{told}: another machine uses the name",
                wanted="a name of its own",
                action="Rename one of them, or take this host out of the inventory.",
            )
        )
        return
    scene.take_out(member)
    if node is not None:
        scene.nodes_out.add(scene.name(host))
    remedy = "What is left of the old one goes, then it joins."
    if host in scene.wanted.control_plane:
        remedy += f" {_NO_DIFFERENCE}"
    scene.say(REINSTALLED, host, told, remedy)


# What is no host.


def _judge_balancers(scene: _Scene) -> None:
    """Load balancers that do not answer, or send to those that are dead."""
    wanted, seen = scene.wanted, scene.seen
    for host in sorted(wanted.load_balancers - wanted.control_plane - wanted.workers - wanted.etcd):
        if seen.get(host) is None:
            scene.made.passed_over.add(host)
            scene.say(UNREACHABLE, host, _silence(scene, host), "It is passed over.", mended=False)
    dead = {str(node["address"]) for name in scene.nodes_out if (node := scene.registry.get(name)) and node["address"]}
    dead -= {look.address for look in seen.values() if look}  # one that was reinstalled is there again
    known = {look.address for host, look in seen.items() if look and host in wanted.control_plane}
    known |= {str(node["address"]) for name, node in scene.registry.items() if node["control_plane"]}
    known |= {
        wanted.addresses[host] for host in (wanted.control_plane - scene.made.passed_over) & wanted.addresses.keys()
    }
    for host in sorted(wanted.load_balancers):
        look = seen.get(host)
        astray = sorted(set(look.back_ends) & dead | set(look.back_ends) - known) if look else []
        if astray:
            evidence = f"HAProxy has {', '.join(astray)} among its servers, where no control plane is"
            scene.say(ASTRAY, host, evidence, "Its checks send nobody there; site.yml strikes it off.")


def _judge_unexplained(scene: _Scene) -> None:
    """Members and Nodes that no host of the inventory stands behind."""
    wanted, forget = scene.wanted, scene.ask.forget
    own = {member.id for host in carriers(wanted) if (member := scene.member(host))}
    for member in sorted(scene.members, key=lambda one: one.id):
        if member.id in own:
            continue
        named = {member.name, hexadecimal(member.id), member.id} & forget
        told = f"{_told(member)}, at {', '.join(member.peer_urls)}, of no host in the inventory"
        title = f"etcd member {membership.title(member)}"
        if not member.healthy and (not member.started or member.learner):
            scene.take_out(member)
            scene.say(LEFT_BEHIND, title, told, "It never voted, and a join of it was broken: it goes.")
        elif member.healthy and named:
            scene.made.refusals.append(_alive(title))
        elif named:
            scene.take_out(member)
            scene.say(UNEXPLAINED, title, told, "It is dead, and recover_forget names it: it goes.")
        else:
            remedy = _stays(membership.title(member), alive=member.healthy)
            scene.say(UNEXPLAINED, title, told, remedy, mended=False)
    names = {scene.name(host) for host in wanted.control_plane | wanted.workers}
    for name, node in sorted(scene.registry.items()):
        if name in forget and node["ready"]:
            scene.made.refusals.append(_alive(f"Node {name}"))
        if name in names:
            continue
        told = f"{'Ready' if node['ready'] else 'not Ready'}, of no host in the inventory"
        if name in forget and not node["ready"]:
            scene.nodes_out.add(name)
            scene.say(UNEXPLAINED, f"Node {name}", told, "It is dead, and recover_forget names it: it goes.")
        else:
            scene.say(UNEXPLAINED, f"Node {name}", told, _stays(name, alive=node["ready"]), mended=False)


def _stays(name: str, *, alive: bool) -> str:
    or_else = "" if alive else f", or, if it is gone for good, say -e recover_forget={name}"
    return f"Left as it is: put its host into the inventory{or_else}."


def _alive(title: str) -> Problem:
    action = "Take it out with remove_node.yml, which asks its pods to leave first."
    return Problem(CLUSTER, "recover_forget", f"{title}, which is alive", "names of what is dead", action)


def _judge_machines(scene: _Scene, looked_for_seconds: float) -> None:
    """What is wrong with a host that answers, and is no matter of members: its clock, disk and certificates."""
    looks = {host: look for host, look in scene.seen.items() if look}
    problems = [
        Problem(host, subject, found, expected, action)
        for host, look in looks.items()
        for subject, found, expected, action in look.unusable
    ]
    machines = {host: look.machine for host, look in looks.items() if look.machine}
    problems += [finding.problem for finding in requirements.check_clocks(machines, looked_for_seconds)]
    problems += [
        finding.problem
        for host, machine in machines.items()
        for finding in requirements.check_disks(host, machine)
        if finding.fatal
    ]
    for problem in sorted(set(problems)):
        evidence = f"{problem.subject}: found {problem.found}, wanted {problem.wanted}"
        scene.say(AILING, problem.host, evidence, problem.action, mended=False)


# What is done.


def _order(scene: _Scene) -> None:
    """What is gone goes before anything is added, one at a time.

    First of all, nobody may be served by an etcd that is not the cluster's: one that began anew, and that its peers
    leave alone once it is no member of theirs.
    """
    made = scene.made
    # Voters first that never started: they count, and nobody stands behind them.
    leaving = sorted(scene.leaving.values(), key=lambda one: (one.learner, one.started, one.name, one.id))
    left: Sequence[Member] = scene.members
    for member in leaving:
        change = membership.Remove(member)
        problem = membership.problem(change, left, membership.title(member), least_voters=1)
        if problem:
            made.refusals.append(problem)
            break
        left = membership.after([change], left)
    speaker, anchor = made.speaker or "", made.anchor or ""
    serving = sorted(scene.wiped & scene.wanted.control_plane)
    made.actions += [Action(STOP, host, host, host) for host in serving]
    if speaker and (leaving or scene.nodes_out or scene.wiped):
        made.actions.append(Action(SNAPSHOT, speaker, speaker, speaker))
    for member in leaving:
        title = f"{membership.title(member)} ({hexadecimal(member.id)})" if member.name else hexadecimal(member.id)
        made.actions.append(Action(REMOVE_MEMBER, member.id, title, speaker))
    made.actions += [Action(WIPE, host, host, host) for host in sorted(scene.wiped)]
    made.actions += [Action(DELETE_NODE, name, name, anchor) for name in sorted(scene.nodes_out)]
    made.endpoints = sorted({url for member in left if member.healthy for url in member.client_urls})
    made.actions.append(Action(BUILD, "", "", ""))


def _foresee(scene: _Scene, looked_for_seconds: float) -> None:
    """What the build at the end will do, and refuse, once everything before it is done."""
    made, gone = scene.made, frozenset(scene.made.passed_over)
    wanted = replace(
        scene.wanted,
        **{
            group: getattr(scene.wanted, group) - gone
            for group in ("control_plane", "workers", "load_balancers", "etcd", "scope")
        },
    )
    seen = {host: _later(scene, host, look) for host, look in scene.seen.items() if host not in gone}
    made.after = plan.make(wanted, seen, looked_for_seconds)
    made.refusals += made.after.refusals
    made.warnings += made.after.warnings
    prepared = made.after.steps.keys() & (wanted.control_plane | wanted.workers | wanted.etcd)
    joining = {host for host in prepared if made.after.steps[host].action != plan.NOTHING}
    if all(_is_where_it_was(scene, host) for host in joining):
        made.kept = prepared - joining


def _is_where_it_was(scene: _Scene, host: str) -> bool:
    """Whether others know this host's name and address, of its Node or its member that was."""
    look, node, member = scene.seen.get(host), scene.node(host), scene.member(host)
    if look is None:
        return False
    if host in scene.wanted.etcd:
        own = membership.peer_url(look.address, scene.wanted.etcd_of(host).peer_port)
        return member is not None and own in member.peer_urls
    return node is not None and node["address"] == look.address


def _later(scene: _Scene, host: str, look: Observation | None) -> Observation | None:
    """What a host will show once this recovery has done its part."""
    if look is None:
        return None
    if host in scene.wiped:
        stopped = {ETCD_MANIFEST, POD_MANIFESTS[0]}
        kept = frozenset(path for path in look.traces if path not in stopped and not path.endswith("/member"))
        # Of the kubelet on a host of etcd's nothing goes, so that its ports are its own.
        etcd = EtcdLook(service_manager=look.etcd.service_manager)
        return replace(look, traces=kept, etcd=etcd, members=(), api_answers=False, nodes={})
    return replace(
        look,
        members=tuple(member for member in look.members if member.id not in scene.leaving),
        nodes={name: node for name, node in look.nodes.items() if name not in scene.nodes_out},
    )


# Without a quorum.


def _lose_quorum(scene: _Scene) -> None:
    """etcd was formed and cannot decide anything: what is left of it, and the two ways to go on from there."""
    made, wanted = scene.made, scene.wanted
    looks = {host: look for host in carriers(wanted) if (look := scene.seen.get(host))}
    listed = max((look.members for look in looks.values()), key=len, default=())
    voters = len(membership.voters(listed)) or len(carriers(wanted))
    made.survivors = sorted(
        (_survivor(wanted, host, look) for host, look in looks.items() if look.etcd.formed),
        key=lambda one: (-one.index, not one.answers, one.host),
    )
    silent = sorted(host for host in carriers(wanted) if scene.seen.get(host) is None)
    empty = sorted(host for host, look in looks.items() if not look.etcd.formed)
    running = [one.host for one in made.survivors if one.answers]
    evidence = f"{len(running)} of {voters} voters of etcd run, {quorum(voters)} would have to agree"
    evidence += f"; no answer from {', '.join(silent)}" if silent else ""
    evidence += f"; no data on {', '.join(empty)}" if empty else ""
    told = "; ".join(map(str, made.survivors))
    remedy = f"What is left: {told or 'nothing'}. {_ways(scene)}"
    scene.say(QUORUM_LOST, "etcd", evidence, remedy, mended=bool(scene.ask.confirm))
    hosts = wanted.control_plane | wanted.workers | wanted.load_balancers | wanted.etcd
    made.passed_over |= {host for host in hosts if scene.seen.get(host) is None}
    begins = _choose(scene, voters)
    if begins is None:
        return
    made.begins = begins
    source = "the snapshot" if scene.ask.snapshot else "its own data"
    made.actions.append(Action(BEGIN, begins, source, begins))
    made.actions += [Action(FOLLOW, host, host, host) for host in sorted(looks.keys() - {begins})]
    gone = made.passed_over & wanted.control_plane
    served = sorted(host for host in wanted.control_plane if scene.seen.get(host))
    by = begins if begins in served else served[0] if served else None
    # Whether these Nodes are listed shows when the API answers again.
    made.actions += [Action(DELETE_NODE, name, name, by) for name in sorted(map(scene.name, gone)) if by]
    made.actions.append(Action(BUILD, "", "", ""))


def _survivor(wanted: Wanted, host: str, look: Observation) -> Survivor:
    own = membership.find(look.members, member_id=look.etcd.member_id) if look.etcd.member_id else None
    own = own or membership.find(look.members, name=look.node_name)
    directory = data_dir(wanted, host, look)
    index = own.index if own else 0
    return Survivor(host, look.etcd.member_id or (own.id if own else ""), index, look.etcd.answers, directory)


def data_dir(wanted: Wanted, host: str, look: Observation) -> str:
    """Where a host's member keeps its data: by its manifest, or else by the inventory."""
    return look.etcd.flags.get("data-dir") or wanted.etcd_of(host).data_dir


def _ways(scene: _Scene) -> str:
    confirm = f"-e recover_apply=true -e recover_confirm={scene.made.cluster_id}"
    return (
        "If a member can be brought back, do that: nothing is lost then. Else there are two ways, and by both what the "
        "others alone knew is lost. From the data of the survivor that knows most: "
        f"{confirm}. From a snapshot: {confirm} -e recover_snapshot=FILE -e recover_private_key=FILE. Hosts that are "
        "given up must never come back with their disks: they would serve the former cluster."
    )


def _choose(scene: _Scene, voters: int) -> str | None:
    """The host that begins again, where the user has said that one may."""
    made, ask = scene.made, scene.ask
    hosts = [one.host for one in made.survivors]
    problem: Problem | None = None
    if not ask.confirm or ask.confirm != made.cluster_id:
        found = ask.confirm or "nothing"
        action = "This cannot be taken back: say it once it is sure that the other members are lost."
        problem = Problem(CLUSTER, "recover_confirm", found, f"{made.cluster_id}, the id of this cluster", action)
    elif not hosts:
        action = "Restore a backup of a host of etcd's, with its /etc/kubernetes, and run again."
        problem = Problem(CLUSTER, "etcd", "no host with data of a member", "one to begin again on", action)
    elif ask.survivor and ask.survivor not in hosts:
        problem = Problem(CLUSTER, "recover_survivor", ask.survivor, f"one of {', '.join(hosts)}", "Name one of them.")
    elif not ask.snapshot and len(hosts) >= quorum(voters):
        found = f"data of members on {', '.join(hosts)}, of {voters} voters"
        action = "Enough of them have their data: bring their etcd back instead (kubelet, containers, disk, clock)."
        problem = Problem(CLUSTER, "etcd quorum", found, "too few to agree", action)
    if problem:
        made.refusals.append(problem)
        return None
    return ask.survivor or hosts[0]


def text(wanted: Wanted, made: Recovery, *, apply: bool = True) -> str:
    """The diagnosis for people: cases with what shows them, what is done in which order, and what follows."""
    cluster = f"cluster {made.cluster_id}" if made.ca else "a cluster"
    lines = [f"Diagnosis of {cluster}, endpoint {wanted.endpoint}"]
    lines += [f"  {case}" for case in sorted(made.cases)] or ["  Nothing is wrong with it."]
    if len(made.actions) > 1:
        lines.append("To be done, in this order")
        lines += [f"  {number}. {action}" for number, action in enumerate(made.actions, start=1)]
    if made.after:
        lines.append(plan.text(wanted, made.after))
    own = set(made.refusals) - set(made.after.refusals if made.after else ())
    lines += [f"  Refused: {problem}" for problem in sorted(own)]
    if len(made.actions) > 1 and not apply:
        lines.append("Nothing of this was done: say -e recover_apply=true for that.")
    return "\n".join(lines)
