# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of membership after the other, whatever happens in between: every one that is made is sound.

The etcd of these tests accepts everything. Whatever can happen between two of a run's requests does: another run, an
answer that is lost or a change that comes about late, a freeze that outlasts the lock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_lock, membership
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules.etcd_member import needed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_etcd import SimulatedEtcd

Options = dict[str, Any]

FREEZES = ("freeze", "freeze", "pause")
FATES = ("lost", "late", "dropped")


def goal(**options: Any) -> Options:
    return {"state": "present", "name": "", "id": "", "peer_urls": [], **options}


def goals(number: int) -> list[Options]:
    """What may be wanted of the member of that number."""
    url = f"https://10.0.0.{number}:2380"
    return [
        goal(name=f"m{number}", state="absent", peer_urls=[url]),
        goal(name=f"m{number}", state="voting", peer_urls=[url]),
        goal(name=f"m{number}", peer_urls=[url]),
    ]


kinds_of_members = ("voter", "voter", "voter", "voter", "dead", "learner", "unstarted")
clusters = st.lists(st.sampled_from(kinds_of_members), min_size=1, max_size=5).filter(
    lambda kinds: not {"voter", "dead"}.isdisjoint(kinds)
)
any_goal = st.integers(0, 4).flatmap(lambda number: st.sampled_from([*goals(number), goals(number)[0]]))


def build(kinds: list[str]) -> SimulatedEtcd:
    etcd = SimulatedEtcd()
    learners = 0
    for number, kind in enumerate(kinds):
        learners += kind in ("learner", "unstarted")
        if kind in ("learner", "unstarted") and learners > 1:
            continue  # etcd takes one at a time
        etcd.add(
            "" if kind == "unstarted" else f"m{number}",
            number=number,
            learner=kind in ("learner", "unstarted"),
            alive=kind in ("voter", "learner"),
        )
    return etcd


def is_met(etcd: SimulatedEtcd, options: Options) -> bool:
    """Whether the cluster is as these options want it, looked up without the code under test."""
    found = [one for one in etcd.processes if one.peer_url in options["peer_urls"]]
    if options["state"] == "absent":
        return not found
    return bool(found) and (options["state"] == "present" or not found[0].learner)


def run(etcd: SimulatedEtcd, options: Options, patience: float = 60.0) -> list[membership.Change] | None:
    """One run of the module; None where it failed."""
    try:
        return etcd.client(patience).change(lambda members: needed(options, members), "host")
    except (Refusal, RequestFailed):
        return None


@dataclass
class Interference:
    """What happens before requests, by their number; the rest of the time nothing does."""

    etcd: SimulatedEtcd
    events: dict[int, tuple[str, Options]]
    requests: int = field(default=0)
    inside: bool = False

    def __call__(self, _method: str) -> None:
        if self.inside:
            return
        kind, options = self.events.get(self.requests, ("", {}))
        self.requests += 1
        if kind in FATES:
            self.etcd.fate = kind
        elif kind:
            self.inside = True
            if kind == "freeze":
                self.etcd.pass_time(etcd_lock.LIFETIME_SECONDS + 1)
            run(self.etcd, options, patience=5.0)
            self.inside = False


events = st.dictionaries(st.integers(0, 12), st.tuples(st.sampled_from(FATES + FREEZES), any_goal), max_size=4)


@given(clusters, any_goal, events)
@settings(max_examples=1500, deadline=None)
def test_every_change_is_sound_when_it_is_made(
    kinds: list[str], wanted: Options, happens: dict[int, tuple[str, Options]]
) -> None:
    etcd = build(kinds)
    had_quorum = etcd.has_quorum
    with etcd.reachable():
        etcd.before = Interference(etcd, happens)
        made = run(etcd, wanted)
        if made is not None:
            assert had_quorum
            assert is_met(etcd, wanted)
        etcd.before = lambda _method: None
        etcd.pass_time(60.0)
    assert etcd.unsound == []
    assert etcd.has_quorum == had_quorum


@pytest.mark.parametrize("moment", range(14))
@pytest.mark.parametrize("first", ["", *FATES])
@pytest.mark.parametrize("kind", ["freeze", "pause"])
def test_two_runs_never_take_one_each_out_of_three(first: str, kind: str, moment: int) -> None:
    etcd = build(["voter", "voter", "voter"])
    with etcd.reachable():
        etcd.fate = first
        etcd.before = Interference(etcd, {moment: (kind, goals(2)[0])})
        run(etcd, goals(1)[0], patience=300.0)
        etcd.pass_time(60.0)
    assert len(etcd.accepted) == 1


@given(clusters, any_goal)
@settings(deadline=None)
def test_what_is_sound_is_made_and_told(kinds: list[str], wanted: Options) -> None:
    etcd = build(kinds)
    met, spare = is_met(etcd, wanted), len(etcd.voters) > 2
    well = all(one.alive for one in etcd.voters)
    waits = wanted["state"] != "absent" and any(one.learner for one in etcd.processes)
    with etcd.reachable():
        made = run(etcd, wanted)
    if made is not None:
        assert [change.request[0] for change in made] == [words.split()[0] for words in etcd.accepted]
        assert bool(made) != met
    elif well:
        # Nobody starts what is announced here, so that it cannot vote.
        assert waits or not met
        assert waits or wanted["state"] == "voting" or (wanted["state"] == "absent" and not spare)


@given(clusters, any_goal)
@settings(deadline=None)
def test_check_mode_changes_nothing_and_foretells_the_first_change(kinds: list[str], wanted: Options) -> None:
    etcd, twin = build(kinds), build(kinds)
    with etcd.reachable():
        try:
            told = etcd.client().change(lambda members: needed(wanted, members), "host", check_mode=True)
        except (Refusal, RequestFailed):
            told = None
        assert etcd.accepted == []
        assert etcd.now == 0
    with twin.reachable():
        made = run(twin, wanted)
    if made is not None:
        assert told is not None
        assert [str(change) for change in made[:1]] == [str(change) for change in told]


def test_voter_that_is_silent_for_a_moment_stops_nothing() -> None:
    etcd = build(["voter", "voter", "voter"])
    etcd.processes[2].alive = False

    def recover(_method: str) -> None:
        etcd.processes[2].alive = etcd.now > 10

    etcd.before = recover
    with etcd.reachable():
        assert run(etcd, goals(4)[2])
    assert 10 < etcd.now < 20


def test_voter_that_stays_silent_is_a_refusal_soon() -> None:
    etcd = build(["voter", "voter", "dead"])
    with etcd.reachable(), pytest.raises(Refusal, match="m2 not healthy"):
        etcd.client(300.0).change(lambda members: needed(goals(4)[2], members), "host")
    assert etcd.now < 40


def test_refusal_by_the_arithmetic_alone_is_one_at_once() -> None:
    etcd = build(["voter", "voter"])
    with etcd.reachable(), pytest.raises(Refusal, match="2 left once m1 is removed"):
        etcd.client(300.0).change(lambda members: needed(goals(1)[0], members), "host")
    assert etcd.now == 0


def test_run_that_waits_for_a_learner_holds_no_lock() -> None:
    """The learner's own run needs the lock for its vote."""
    etcd = build(["voter", "learner"])
    etcd.before = Interference(etcd, {5: ("pause", goals(1)[1])})
    with etcd.reachable():
        assert run(etcd, goals(4)[2])
    assert [words.split()[0] for words in etcd.accepted] == ["promote", "add"]


def test_lost_answer_is_no_second_change() -> None:
    etcd = build(["voter"])
    etcd.fate = "lost"
    with etcd.reachable():
        made = run(etcd, goals(4)[2])
    assert made
    assert len(made) == len(etcd.accepted) == 1


def test_lock_is_free_after_every_end() -> None:
    etcd = build(["voter", "voter", "voter", "learner"])
    with etcd.reachable():
        assert run(etcd, goals(3)[1])
        assert run(etcd, goals(0)[0])
        assert run(etcd, goals(1)[0])
        assert run(etcd, goals(2)[0]) is None
        with etcd_lock.Lock(etcd.client().ask).held(patience=0):
            pass
