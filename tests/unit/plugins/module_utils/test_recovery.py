# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery may never do, over damaged clusters that exist in memory; then each case by example."""

from __future__ import annotations

import copy
import dataclasses
import functools
import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, identity, membership, plan, recovery
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import EtcdLook
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import (
    ETCD_DATA,
    Failed,
    Host,
    SimulatedCluster,
    SimulatedMember,
)
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_etcd_hosts import (
    CA_KEY,
    CONTROL_PLANE,
    SimulatedEtcdHosts,
)

API_SERVER = evidence.POD_MANIFESTS[0]
NOBODY = Host("nobody", "10.9.9.9", up=False)
ID = "0" * 12


class Damaged(SimulatedCluster):
    """A cluster whose hosts know which member their data is of, and which a build leaves alone where it was told to.

    Attributes:
        given_up: hosts of the group cluster_dead.
        removed: members that were taken out while they were healthy voters.
    """

    def __init__(self, control_plane: int = 3, workers: int = 1) -> None:
        super().__init__(control_plane, workers)
        self.data: dict[str, str] = {}
        self.given_up: frozenset[str] = frozenset()
        self.removed: list[str] = []

    def healthy(self, member: SimulatedMember) -> bool:
        return super().healthy(member) and self.data.get(member.host.name) == member.id

    def _start_member(self, host: Host) -> None:
        super()._start_member(host)
        member = self.member_of(host)
        assert member is not None
        if self.data.setdefault(host.name, member.id) != member.id:
            raise Failed("data of another member")

    def _add_member(self, host: Host) -> None:
        if self.member_of(host) is None and ETCD_DATA in host.traces:
            raise Failed("data of a member that is none")
        super()._add_member(host)

    def look(self, name: str) -> plan.Observation | None:
        look = super().look(name)
        if look is None:
            return None
        told = self.data.get(name) if ETCD_DATA in look.traces else None
        own = EtcdLook(
            answers=look.etcd.answers,
            leader=look.etcd.answers,
            cluster_id="1" if told else "",
            data=bool(told),
            formed=bool(told),
            member_id=told or "",
        )
        return dataclasses.replace(look, etcd=own)

    def wanted(self, scope: Any = None, **changes: Any) -> plan.Wanted:
        made = super().wanted(scope, **changes)
        kept = {group: getattr(made, group) - self.given_up for group in ("control_plane", "workers", "scope")}
        return dataclasses.replace(made, **kept)

    def looks(self, scope: Any = None) -> dict[str, plan.Observation | None]:
        return {name: look for name, look in super().looks(scope).items() if name not in self.given_up}

    # What befalls it.

    def die(self, name: str) -> None:
        self.hosts[name].up = False

    def reinstall(self, name: str) -> None:
        self.hosts[name].up = True
        self.reset(self.hosts[name])
        self.data.pop(name, None)

    def lose_data(self, name: str) -> None:
        self.hosts[name].traces.discard(ETCD_DATA)
        self.data.pop(name, None)

    def leave_unstarted(self, *, learner: bool = False) -> None:
        self._new_member(NOBODY, learner=learner)

    def be_taken_out(self, name: str) -> None:
        """As by somebody who removed its member and its Node, and left the host as it was."""
        self._remove_member(self.hosts[name])
        self.nodes.pop(name, None)

    # What a recovery does.

    def diagnose(self, **asked: Any) -> recovery.Recovery:
        self.given_up = frozenset()
        return recovery.diagnose(self.wanted(), self.looks(), recovery.Ask(**asked))

    def recover(self, **asked: Any) -> recovery.Recovery:
        made = self.diagnose(**asked)
        if made.refusals:
            return made
        for action in made.actions:
            self._act(action)
        self.given_up = frozenset(made.passed_over)
        for _round in range(3):
            self.run()
            self.pass_time()
        return made

    def _act(self, action: recovery.Action) -> None:
        if action.kind == recovery.REMOVE_MEMBER:
            (member,) = (one for one in self.members if one.id == action.subject)
            listed = [Member.from_dict(self.listed(one)) for one in self.members]
            change = membership.Remove(next(one for one in listed if one.id == member.id))
            assert membership.problem(change, listed, "", least_voters=1) is None
            if self.healthy(member) and not member.learner:
                self.removed.append(member.host.name)
            self.members.remove(member)
        elif action.kind == recovery.DELETE_NODE:
            assert not self.nodes.pop(action.subject)["ready"] or not self.hosts[action.subject].traces
        elif action.kind == recovery.WIPE:
            self.hosts[action.on].traces -= {ETCD_DATA, evidence.ETCD_MANIFEST, API_SERVER}
            self.data.pop(action.on, None)


@functools.cache
def _built(control_plane: int, workers: int) -> Damaged:
    cluster = Damaged(control_plane, workers)
    cluster.converge()
    return cluster


def built(control_plane: int = 3, workers: int = 1) -> Damaged:
    """A cluster that is whole."""
    return copy.deepcopy(_built(control_plane, workers))


DAMAGES = ("die", "reinstall", "die and reinstall", "lose_data", "be_taken_out")


@st.composite
def damaged(draw: st.DrawFn) -> Damaged:
    """A cluster of three or five control planes, and what befell it; workers may be hit, too."""
    cluster = built(draw(st.sampled_from((3, 5))), draw(st.integers(0, 2)))
    for name in draw(st.lists(st.sampled_from(sorted(cluster.hosts)), max_size=4, unique=True)):
        damage = draw(st.sampled_from(DAMAGES))
        if name in cluster.workers and damage in ("lose_data", "be_taken_out"):
            continue
        if damage == "be_taken_out":
            try:
                cluster.be_taken_out(name)
            except Failed:
                continue
        elif damage == "die and reinstall":
            cluster.die(name)
            cluster.pass_time()
            cluster.reinstall(name)
        else:
            getattr(cluster, damage)(name)
    for learner in draw(st.lists(st.booleans(), max_size=1)):
        cluster.leave_unstarted(learner=learner)
    if draw(st.booleans()):
        cluster.pass_time()
    return cluster


def is_well(cluster: Damaged) -> bool:
    """Whether all that lives is whole, and nothing else is listed."""
    living = {name for name, host in cluster.hosts.items() if host.up}
    return (
        all(cluster.is_whole(name) for name in living)
        and all(map(cluster.healthy, cluster.members))
        and {member.host.name for member in cluster.members} == living & cluster.control_plane
    )


@given(damaged())
def test_recovery_mends_what_has_a_quorum_and_what_it_does_not_refuse(cluster: Damaged) -> None:
    cluster.pass_time()
    assume(cluster.has_quorum and cluster.works)
    made = cluster.recover()
    assert not made.refusals, describe(made.refusals)
    assert is_well(cluster)


@given(damaged())
def test_recovery_takes_no_healthy_voter_and_keeps_the_quorum_at_every_step(cluster: Damaged) -> None:
    had = cluster.has_quorum
    cluster.recover()
    assert cluster.removed == []
    assert cluster.has_quorum == had


@given(damaged())
def test_recovery_a_second_one_finds_nothing_to_mend(cluster: Damaged) -> None:
    cluster.pass_time()
    assume(not cluster.recover().refusals)
    again = cluster.diagnose()
    assert [str(case) for case in again.cases if case.mended] == []
    assert [action.kind for action in again.actions] == [recovery.BUILD]


@given(damaged())
def test_recovery_leaves_alone_what_lives(cluster: Damaged) -> None:
    healthy = {member.host.name for member in filter(cluster.healthy, cluster.members)} | cluster.workers
    whole = {name for name, host in cluster.hosts.items() if host.up and cluster.is_whole(name) and name in healthy}
    made = cluster.diagnose()
    changes = (recovery.REMOVE_MEMBER, recovery.DELETE_NODE, recovery.WIPE)
    touched = {action.title.split()[0] for action in made.actions if action.kind in changes}
    assert not whole & (touched | made.passed_over | {case.subject for case in made.cases})
    assert made.kept <= {name for name, host in cluster.hosts.items() if host.up and name in cluster.nodes}


@given(damaged(), st.integers())
def test_recovery_order_of_anything_given_changes_nothing(cluster: Damaged, seed: int) -> None:
    luck = random.Random(seed)
    wanted, seen = cluster.wanted(), cluster.looks()
    other = {
        name: look
        and dataclasses.replace(
            look,
            members=tuple(luck.sample(look.members, len(look.members))),
            nodes=dict(luck.sample(sorted(look.nodes.items()), len(look.nodes))),
        )
        for name, look in luck.sample(sorted(seen.items()), len(seen))
    }
    told = [recovery.text(wanted, recovery.diagnose(wanted, looks, recovery.Ask())) for looks in (seen, other)]
    assert told[0] == told[1]


@given(damaged(), st.text(max_size=12))
def test_recovery_without_a_quorum_does_nothing_unless_the_cluster_is_named(cluster: Damaged, said: str) -> None:
    assume(not cluster.has_quorum and said != ID)
    made = cluster.diagnose(confirm=said)
    assert made.actions == []
    assert made.refusals


# By example.


def kinds(made: recovery.Recovery) -> dict[str, str]:
    return {case.subject: case.kind for case in made.cases}


def steps(made: recovery.Recovery) -> list[str]:
    return [action.kind for action in made.actions]


def test_recovery_of_a_cluster_that_is_well_has_nothing_to_say() -> None:
    cluster = built()
    made = cluster.recover()
    assert (made.cases, steps(made), made.passed_over) == ([], [recovery.BUILD], set())
    assert "Nothing is wrong with it." in recovery.text(cluster.wanted(), made)


@pytest.mark.parametrize("name", ["cp1", "cp2", "cp3"])
def test_recovery_of_a_dead_control_plane_is_the_same_whichever_it_is(name: str) -> None:
    cluster = built()
    cluster.die(name)
    cluster.pass_time()
    made = cluster.diagnose()
    assert kinds(made) == {name: recovery.DEAD}
    assert "Whether it was initialised first makes no difference." in made.cases[0].remedy
    assert steps(made) == [recovery.SNAPSHOT, recovery.REMOVE_MEMBER, recovery.DELETE_NODE, recovery.BUILD]
    assert made.passed_over == {name}
    assert name not in {made.anchor, made.speaker}


def test_recovery_of_a_host_that_died_just_now_waits_for_its_node() -> None:
    cluster = built()
    cluster.die("cp1")
    made = cluster.diagnose()
    assert kinds(made) == {"cp1": recovery.UNREACHABLE}
    assert "run again then" in made.cases[0].remedy
    assert steps(made) == [recovery.BUILD]


def test_recovery_leaves_a_host_that_is_only_out_of_reach_for_this_machine() -> None:
    cluster = built()
    seen = {**cluster.looks(), "cp1": None, "w1": None}
    ask = recovery.Ask(silence={"cp1": "Connection timed out"})
    made = recovery.diagnose(cluster.wanted(), seen, ask)
    assert kinds(made) == {"cp1": recovery.UNREACHABLE, "w1": recovery.UNREACHABLE}
    assert "no answer over SSH (Connection timed out), etcd member cp1" in made.cases[0].evidence
    assert made.passed_over == {"cp1", "w1"}
    assert steps(made) == [recovery.BUILD]


@pytest.mark.parametrize("noticed", [True, False])
def test_recovery_of_the_same_name_reinstalled_takes_out_the_old_one(noticed: bool) -> None:
    cluster = built()
    cluster.reinstall("cp1")
    if noticed:
        cluster.pass_time()
    made = cluster.recover()
    assert kinds(made) == {"cp1": recovery.REINSTALLED}
    assert is_well(cluster)


def test_recovery_keeps_hosts_as_they_are_that_have_nothing_to_learn() -> None:
    cluster = built()
    assert cluster.diagnose().kept == {"cp1", "cp2", "cp3", "w1"}
    cluster.reinstall("cp1")
    assert cluster.diagnose().kept == {"cp2", "cp3", "w1"}
    cluster.die("w1")
    cluster.pass_time()
    assert cluster.diagnose().kept == {"cp2", "cp3"}
    cluster.hosts["cp1"].address = "10.0.0.99"
    assert cluster.diagnose().kept == set()


def test_recovery_that_was_killed_after_the_member_was_removed_takes_out_the_node() -> None:
    """Though its kubelet was heard of so late that the Node is Ready still."""
    cluster = built()
    cluster.reinstall("cp1")
    first = cluster.diagnose()
    for action in first.actions[: [action.kind for action in first.actions].index(recovery.REMOVE_MEMBER) + 1]:
        cluster._act(action)
    made = cluster.recover()
    assert kinds(made) == {"cp1": recovery.REINSTALLED}
    assert steps(made) == [recovery.SNAPSHOT, recovery.DELETE_NODE, recovery.BUILD]
    assert is_well(cluster)


@pytest.mark.parametrize("noticed", [True, False])
def test_recovery_of_a_worker_reinstalled_under_its_name_takes_out_its_node(noticed: bool) -> None:
    cluster = built()
    cluster.reinstall("w1")
    if noticed:
        cluster.pass_time()
    made = cluster.recover()
    assert kinds(made) == {"w1": recovery.REINSTALLED}
    assert is_well(cluster)


def test_recovery_refuses_a_bare_host_with_the_name_of_one_that_lives_elsewhere() -> None:
    cluster = built()
    look = cluster.look("cp1")
    assert look
    bare = plan.Observation("cp1", "10.0.0.99")
    made = recovery.diagnose(cluster.wanted(), {**cluster.looks(), "cp1": bare}, recovery.Ask())
    assert "another machine uses the name" in describe(made.refusals)


def test_recovery_of_lost_data_removes_before_it_adds() -> None:
    cluster = built()
    cluster.lose_data("cp1")
    made = cluster.recover()
    assert kinds(made) == {"cp1": recovery.DATA_LOST}
    assert steps(made) == [
        recovery.STOP,
        recovery.SNAPSHOT,
        recovery.REMOVE_MEMBER,
        recovery.WIPE,
        recovery.BUILD,
    ]
    assert is_well(cluster)


def test_recovery_knows_data_that_is_not_what_its_member_voted_for() -> None:
    """What becomes of it when it is deleted hangs on who the member was, and on what its leader knows."""
    cluster = built()
    look = cluster.look("cp1")
    assert look
    silent = dataclasses.replace(look.etcd, answers=False, leader=False)
    listed = [dataclasses.replace(one, healthy=one.name != "cp1") for one in look.members]
    signs: tuple[tuple[dict[str, bool], str], ...] = (
        ({"began_alone": True}, recovery.DATA_LOST),
        ({"without_log": True}, recovery.DATA_LOST),
        ({"log_cut": True}, recovery.DATA_LOST),
        ({}, recovery.AILING),
    )
    for sign, kind in signs:
        own = dataclasses.replace(silent, **sign)
        seen: dict[str, plan.Observation | None] = {
            name: found and dataclasses.replace(found, members=tuple(listed)) for name, found in cluster.looks().items()
        }
        seen["cp1"] = dataclasses.replace(look, members=(), api_answers=False, nodes={}, etcd=own)
        made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask())
        assert kinds(made) == {"cp1": kind}


def test_recovery_stops_a_member_that_stands_alone_and_is_served_by_none_such() -> None:
    """It began anew, leads itself and seems well to the others; a build by what its API server says would be fatal."""
    cluster = built()
    look = cluster.look("cp1")
    assert look
    own = tuple(member for member in look.members if member.name == "cp1")
    nodes = {"cp1": look.nodes["cp1"]}
    seen = {**cluster.looks(), "cp1": dataclasses.replace(look, members=own, nodes=nodes)}
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask())
    assert kinds(made) == {"cp1": recovery.DATA_LOST}
    assert (made.anchor, made.speaker, made.refusals) == ("cp2", "cp2", [])
    assert steps(made)[:3] == [recovery.STOP, recovery.SNAPSHOT, recovery.REMOVE_MEMBER]
    assert made.subjects(recovery.WIPE) == ["cp1"]
    refused = plan.make(cluster.wanted(), seen)
    assert "cp1: etcd: found a cluster of this member alone" in describe(refused.refusals)
    assert refused.steps == {}


def test_recovery_of_an_unstarted_member_of_nobody_takes_it_out() -> None:
    cluster = built()
    cluster.leave_unstarted()
    made = cluster.recover()
    assert [case.kind for case in made.cases] == [recovery.LEFT_BEHIND]
    assert is_well(cluster)


@pytest.mark.parametrize(("has_data", "healthy"), [(True, False), (True, True), (False, False)])
def test_recovery_takes_out_a_learner_that_does_not_run_and_leaves_others_to_the_build(
    has_data: bool, healthy: bool
) -> None:
    cluster = built()
    look = cluster.look("cp3")
    assert look
    seen = dict(cluster.looks())
    for name, found in seen.items():
        if found and found.members:
            members = (
                dataclasses.replace(one, learner=True, healthy=healthy) if one.name == "cp3" else one
                for one in found.members
            )
            seen[name] = dataclasses.replace(found, members=tuple(members))
    own = dataclasses.replace(look.etcd, answers=False, leader=False, data=has_data)
    seen["cp3"] = dataclasses.replace(look, members=(), api_answers=False, nodes={}, etcd=own)
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask())
    assert kinds(made) == {"cp3": recovery.LEFT_BEHIND}
    assert bool(made.subjects(recovery.WIPE)) is (has_data and not healthy)
    assert made.after is not None
    assert made.after.steps["cp3"].action == plan.FINISH


def test_recovery_leaves_a_member_and_a_node_of_no_host_until_they_are_dead_and_named() -> None:
    cluster = built(5, 1)
    cluster.control_plane -= {"cp5"}
    cluster.die("cp5")
    made = cluster.diagnose(forget=frozenset({"cp5"}))
    assert "Node cp5, which is alive" in describe(made.refusals)
    cluster.pass_time()
    made = cluster.diagnose()
    assert kinds(made) == {"etcd member cp5": recovery.UNEXPLAINED, "Node cp5": recovery.UNEXPLAINED}
    assert steps(made) == [recovery.BUILD]
    assert all("-e recover_forget=cp5" in case.remedy for case in made.cases)
    made = cluster.diagnose(forget=frozenset({"cp5"}))
    assert steps(made) == [recovery.SNAPSHOT, recovery.REMOVE_MEMBER, recovery.DELETE_NODE, recovery.BUILD]


def test_recovery_passes_over_a_dead_worker_and_keeps_its_node_unless_told() -> None:
    cluster = built(3, 2)
    cluster.die("w1")
    cluster.pass_time()
    made = cluster.diagnose()
    assert (kinds(made), made.passed_over, steps(made)) == ({"w1": recovery.DEAD}, {"w1"}, [recovery.BUILD])
    made = cluster.diagnose(forget=frozenset({"w1"}))
    assert made.subjects(recovery.DELETE_NODE) == ["w1"]


def test_recovery_of_a_lost_quorum_names_what_is_left_and_refuses_to_guess() -> None:
    cluster = built()
    cluster.die("cp1")
    cluster.die("cp2")
    made = cluster.diagnose()
    assert kinds(made) == {"etcd": recovery.QUORUM_LOST}
    assert "cp3: member" in made.cases[0].remedy
    assert f"recover_confirm={ID}" in made.cases[0].remedy
    assert f"wanted {ID}, the id of this cluster" in describe(made.refusals)
    made = cluster.diagnose(confirm=ID)
    assert made.begins == "cp3"
    assert steps(made) == [recovery.BEGIN, recovery.DELETE_NODE, recovery.DELETE_NODE, recovery.BUILD]
    assert made.passed_over == {"cp1", "cp2"}


def test_recovery_of_a_lost_quorum_begins_where_most_is_known_and_the_others_follow() -> None:
    cluster = built(5)
    for name in ("cp1", "cp2", "cp3"):
        cluster.die(name)
    seen = cluster.looks()
    for name, index in (("cp4", 100), ("cp5", 200)):
        look = seen[name]
        assert look
        listed = tuple(
            Member(str(n), f"cp{n}", (), ("u",), False, index=index if f"cp{n}" == name else 0) for n in range(1, 6)
        )
        etcd = dataclasses.replace(look.etcd, answers=True, leader=False, member_id=name[-1])
        seen[name] = dataclasses.replace(look, members=listed, etcd=etcd)
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask(confirm=ID))
    assert (made.begins, made.subjects(recovery.FOLLOW)) == ("cp5", ["cp4"])
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask(confirm=ID, survivor="cp4"))
    assert (made.begins, made.subjects(recovery.FOLLOW)) == ("cp4", ["cp5"])
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask(confirm=ID, survivor="cp1"))
    assert "one of cp5, cp4" in describe(made.refusals)


def test_recovery_begins_nothing_again_where_enough_members_have_their_data() -> None:
    cluster = built()
    seen = {
        name: look
        and dataclasses.replace(
            look, api_answers=False, members=(), etcd=dataclasses.replace(look.etcd, answers=False, leader=False)
        )
        for name, look in cluster.looks().items()
    }
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask(confirm=ID))
    assert "bring their etcd back instead" in describe(made.refusals)
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask(confirm=ID, snapshot=True))
    assert not made.refusals
    assert made.begins == "cp1"
    assert made.subjects(recovery.FOLLOW) == ["cp2", "cp3"]


def test_recovery_names_load_balancers_that_lead_to_the_dead() -> None:
    cluster = built()
    cluster.die("cp1")
    cluster.pass_time()
    addresses = tuple(cluster.hosts[name].address for name in ("cp1", "cp2", "cp3"))
    wanted = dataclasses.replace(cluster.wanted(), load_balancers=frozenset({"lb1", "lb2"}))
    wanted = dataclasses.replace(wanted, scope=wanted.scope | {"lb1", "lb2"})
    seen = {**cluster.looks(), "lb1": plan.Observation("lb1", "10.0.1.1", back_ends=addresses), "lb2": None}
    made = recovery.diagnose(wanted, seen, recovery.Ask())
    assert kinds(made) == {"cp1": recovery.DEAD, "lb1": recovery.ASTRAY, "lb2": recovery.UNREACHABLE}
    assert "10.0.0.11" in next(case.evidence for case in made.cases if case.subject == "lb1")
    assert made.passed_over == {"cp1", "lb2"}


def test_recovery_names_clocks_disks_and_certificates() -> None:
    cluster = built()
    seen = dict(cluster.looks())
    for name, moment, free in (("cp1", 0.0, 20000), ("cp2", 0.0, 3), ("cp3", 600.0, 20000), ("w1", 0.0, 20000)):
        look = seen[name]
        assert look
        machine = {"time": moment, "disks": {"/var/lib/etcd": {"free_mb": free, "size_mb": 40000}}}
        seen[name] = dataclasses.replace(look, machine=machine)
    ended = (("/etc/kubernetes/pki/ca.crt", "one that ended", "one that is valid", "Renew it."),)
    look = seen["w1"]
    assert look
    seen["w1"] = dataclasses.replace(look, unusable=ended)
    made = recovery.Recovery()
    recovery._judge_machines(recovery._Scene(cluster.wanted(), seen, recovery.Ask(), made), 0.0)
    told = {case.subject: case.evidence for case in made.cases}
    assert "disk: found 3 MB free" in told["cp2"]
    assert "clock: found 600 s ahead" in told["cp3"]
    assert "ca.crt: found one that ended" in told["w1"]
    assert not any(case.mended for case in made.cases)


def test_recovery_of_nothing_is_refused() -> None:
    bare = SimulatedCluster()
    made = recovery.diagnose(bare.wanted(), bare.looks(), recovery.Ask())
    assert "Build it with site.yml." in describe(made.refusals)


def test_recovery_says_what_the_build_would_refuse_before_anything_is_changed() -> None:
    cluster = built()
    cluster.die("cp1")
    cluster.pass_time()
    seen = cluster.looks()
    look = seen["w1"]
    assert look
    seen["w1"] = dataclasses.replace(look, unusable=(("ca.crt", "one that ended", "one that is valid", "Renew it."),))
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask())
    assert "w1: ca.crt: found one that ended" in describe(made.refusals)


def test_recovery_id_is_the_cluster_s() -> None:
    cluster = built()
    assert cluster.diagnose().cluster_id == identity.cluster_id(cluster.hosts["cp1"].ca)


# etcd on hosts of its own.


def external() -> SimulatedEtcdHosts:
    cluster = SimulatedEtcdHosts()
    for _round in range(3):
        cluster.run()
    assert all(map(cluster.is_whole, cluster.hosts))
    cluster.hosts["etcd2"].traces.add(CA_KEY)  # the one that signed may be lost
    return cluster


def judge(cluster: SimulatedEtcdHosts, **asked: Any) -> recovery.Recovery:
    seen = {name: cluster.look(name) for name in (CONTROL_PLANE, *cluster.hosts)}
    return recovery.diagnose(cluster.wanted(), seen, recovery.Ask(**asked))


def mend(cluster: SimulatedEtcdHosts, made: recovery.Recovery) -> None:
    assert not made.refusals, describe(made.refusals)
    for action in made.actions:
        if action.kind == recovery.REMOVE_MEMBER:
            del cluster.members[action.subject]
        elif action.kind == recovery.WIPE:
            cluster.hosts[action.on].data = None
            cluster.hosts[action.on].traces.discard(evidence.ETCD_MANIFEST)
    cluster.settle()
    for _round in range(2):
        cluster.run(frozenset((CONTROL_PLANE, *cluster.hosts)) - made.passed_over)


def test_recovery_of_a_dead_etcd_host_needs_no_node() -> None:
    cluster = external()
    cluster.hosts["etcd1"].up = False
    made = judge(cluster)
    assert kinds(made) == {"etcd1": recovery.DEAD}
    assert steps(made) == [recovery.SNAPSHOT, recovery.REMOVE_MEMBER, recovery.BUILD]
    assert (made.anchor, made.speaker, made.passed_over) == (CONTROL_PLANE, "etcd2", {"etcd1"})


@pytest.mark.parametrize("bare", [True, False])
def test_recovery_of_an_etcd_host_reinstalled_or_without_its_data_joins_it_anew(bare: bool) -> None:
    cluster = external()
    host = cluster.hosts["etcd1"]
    host.data = None
    if bare:
        host.traces, host.service_manager, host.ca = set(), False, None
    made = judge(cluster)
    assert kinds(made) == {"etcd1": recovery.REINSTALLED if bare else recovery.DATA_LOST}
    assert made.kept == {CONTROL_PLANE, *cluster.hosts} - {"etcd1"}
    mend(cluster, made)
    assert all(map(cluster.is_whole, cluster.hosts))
    assert judge(cluster).cases == []


def test_recovery_of_an_etcd_host_takes_ports_of_its_own_kubelet_for_no_one_else_s() -> None:
    cluster = external()
    cluster.hosts["etcd1"].data = None
    seen = {name: cluster.look(name) for name in (CONTROL_PLANE, *cluster.hosts)}
    look = seen["etcd1"]
    assert look
    seen["etcd1"] = dataclasses.replace(look, machine={"time": 0.0, "listening": [10248, 10250]})
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask())
    assert steps(made) == [recovery.SNAPSHOT, recovery.REMOVE_MEMBER, recovery.WIPE, recovery.BUILD]
    assert not made.refusals, describe(made.refusals)


def test_recovery_of_a_lost_quorum_of_etcd_hosts_begins_on_one_of_them() -> None:
    cluster = external()
    for name in ("etcd1", "etcd2"):
        cluster.hosts[name].up = False
    made = judge(cluster)
    assert kinds(made) == {"etcd": recovery.QUORUM_LOST}
    made = judge(cluster, confirm=made.cluster_id)
    assert (made.begins, steps(made)) == ("etcd3", [recovery.BEGIN, recovery.BUILD])


def test_recovery_goes_on_where_a_restore_was_interrupted_before_api_servers_were_back() -> None:
    cluster = external()
    seen = {name: cluster.look(name) for name in (CONTROL_PLANE, *cluster.hosts)}
    look = seen[CONTROL_PLANE]
    assert look
    seen[CONTROL_PLANE] = dataclasses.replace(look, traces=look.traces - {API_SERVER}, api_answers=False, nodes={})
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask())
    assert kinds(made) == {CONTROL_PLANE: recovery.INTERRUPTED}
    assert steps(made) == [recovery.START, recovery.BUILD]


def test_recovery_is_silent_about_nodes_where_no_api_server_answers() -> None:
    cluster = external()
    seen = {name: cluster.look(name) for name in (CONTROL_PLANE, *cluster.hosts)}
    look = seen[CONTROL_PLANE]
    assert look
    seen[CONTROL_PLANE] = dataclasses.replace(look, api_answers=False, nodes={})
    made = recovery.diagnose(cluster.wanted(), seen, recovery.Ask())
    assert made.actions == []
    assert "etcd has a quorum by etcd" in describe(made.refusals)
    assert "Wait a minute, and run again" in describe(made.refusals)
