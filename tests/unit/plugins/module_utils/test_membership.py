# SPDX-License-Identifier: GPL-3.0-or-later
"""Which change of membership may be made: no accepted one costs a cluster its quorum."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import membership
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.membership import Add, Change, Move, Promote, Remove

URL = "https://10.0.0.99:2380"


def member(number: int, *, healthy: bool = True, learner: bool = False, started: bool = True) -> Member:
    return Member(
        id=str(2**63 + number),
        name=f"m{number}" if started else "",
        peer_urls=(f"https://10.0.0.{number}:2380",),
        client_urls=(f"https://10.0.0.{number}:2379",) if started else (),
        learner=learner,
        healthy=healthy and started,
    )


kinds = st.tuples(st.sampled_from((True, True, False)), st.sampled_from((False, False, True)), st.booleans())
memberships = st.lists(kinds, min_size=1, max_size=7).map(
    lambda found: [
        member(number, healthy=healthy, learner=learner, started=healthy or started)
        for number, (healthy, learner, started) in enumerate(found)
    ]
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Member], Change]:
    found = draw(memberships)
    one = draw(st.sampled_from(found))
    change = draw(
        st.sampled_from([Add((URL,), True), Add((URL,), False), Promote(one), Remove(one), Move(one, (URL,))])
    )
    return found, change


def has_quorum(members: list[Member]) -> bool:
    """Whether the healthy voters outvote the others, counted one by one."""
    return sum(1 if one.healthy else -1 for one in members if not one.learner) > 0


def worst(change: Change, members: list[Member]) -> list[Member]:
    """The members right after the change, when whoever is new or moved does not answer yet."""
    others = [one for one in members if isinstance(change, Add) or one.id != change.member.id]
    if isinstance(change, Add):
        return [*others, member(99, started=False, learner=change.learner)]
    if isinstance(change, Promote):
        return [*others, replace(change.member, learner=False)]
    if isinstance(change, Move) and len(membership.voters(members)) > 1:
        return [*others, replace(change.member, healthy=False)]
    return others if isinstance(change, Remove) else members


@given(situations())
def test_accepted_change_leaves_a_quorum(situation: tuple[list[Member], Change]) -> None:
    members, change = situation
    if membership.problem(change, members, "host") is None:
        assert has_quorum(members)
        assert has_quorum(worst(change, members))


@given(situations())
def test_without_a_quorum_nothing_is_accepted(situation: tuple[list[Member], Change]) -> None:
    members, change = situation
    if not has_quorum(members):
        problem = membership.problem(change, members, "host")
        assert problem
        assert "before anything can change" in problem.wanted


@pytest.mark.parametrize(
    ("change", "members"),
    [
        (Remove(member(2, healthy=False)), [member(0), member(1), member(2, healthy=False)]),
        (Remove(member(2)), [member(0), member(1), member(2)]),
        (Remove(member(2, learner=True, started=False)), [member(0), member(2, learner=True, started=False)]),
        (Add((URL,), True), [member(0)]),
        (Add((URL,), False), [member(0), member(1), member(2)]),
        (Promote(member(1, learner=True)), [member(0), member(1, learner=True)]),
        (Promote(replace(member(1, learner=True), index=900)), [replace(member(0), index=1000)]),
        (Promote(member(3, learner=True)), [member(0), member(1), member(2, healthy=False), member(3, learner=True)]),
        (Move(member(0), (URL,)), [member(0)]),
        (Move(member(2, healthy=False), (URL,)), [member(0), member(1), member(2, healthy=False)]),
    ],
    ids=str,
)
def test_sound_change_is_accepted(change: Change, members: list[Member]) -> None:
    assert membership.problem(change, members, "host") is None


@pytest.mark.parametrize(
    ("change", "members", "found", "wanted"),
    [
        (Remove(member(1)), [member(0), member(1)], "2 voters", "2 left once m1 is removed"),
        (
            Remove(member(0)),
            [member(0), member(1), member(2, healthy=False)],
            "1 healthy of 2 voters once m0 is removed",
            "2",
        ),
        (Add((URL,), True), [member(0), member(1), member(2, healthy=False)], "m2 not healthy", "every voter healthy"),
        (Add((URL,), True), [member(0), member(1, learner=True)], "the learner m1", "one change at a time"),
        (Add((URL,), False), [member(0)], "1 healthy of 2 voters", "2"),
        (Promote(member(1)), [member(0), member(1)], "a voter, healthy", "a started, healthy learner"),
        (
            Promote(member(1, learner=True, started=False)),
            [member(0), member(1, learner=True, started=False)],
            "a learner, not started",
            "a started, healthy learner",
        ),
        (
            Promote(replace(member(1, learner=True), index=899)),
            [replace(member(0), index=1000), replace(member(1, learner=True), index=899)],
            "a learner at 899 of the 1000 entries",
            "900, which is 90 %",
        ),
        (Move(member(0), ("https://10.0.0.1:2380",)), [member(0), member(1)], "that m1 has them", "URLs of its own"),
        (Move(member(0), (URL,)), [member(0), member(1)], "1 healthy of 2 voters while m0 is not found", "2"),
        (Move(member(1, learner=True), (URL,)), [member(0), member(1, learner=True)], "a learner", "a voter"),
    ],
    ids=str,
)
def test_refusal_says_the_arithmetic(change: Change, members: list[Member], found: str, wanted: str) -> None:
    problem = membership.problem(change, members, "host")
    assert problem
    assert problem.found.startswith(found)
    assert problem.wanted.startswith(wanted)


def test_one_voter_may_be_what_is_wanted() -> None:
    members = [member(0), member(1)]
    assert membership.problem(Remove(members[1]), members, "host", least_voters=1) is None


@given(memberships)
def test_every_member_is_found_by_id_by_name_and_by_place(members: list[Member]) -> None:
    for one in members:
        assert membership.find(members, member_id=one.id) == one
        assert membership.find(members, peer_urls=[one.peer_urls[0].replace(":2380", "")]) == one
        if one.name:
            assert membership.find(members, name=one.name, peer_urls=["https://10.0.0.200:2380"]) == one
        else:
            assert membership.find(members, name="m200", peer_urls=one.peer_urls) == one
    assert membership.find(members, name="") is None
    assert membership.find(members, name="m200", peer_urls=["https://10.0.0.200:2380"]) is None


@given(st.permutations([replace(member(1), name="m2"), replace(member(2), name="m1")]))
def test_member_at_the_old_address_of_another_is_its_own(members: list[Member]) -> None:
    """Hosts that swapped addresses: the name decides, in whatever order etcd lists them."""
    for name in ("m1", "m2"):
        found = membership.find(members, name=name, peer_urls=[f"https://10.0.0.{name[1]}:2380"])
        assert found
        assert found.name == name


def test_member_of_another_name_is_another_one_wherever_it_is() -> None:
    members = [member(1), member(2)]
    assert membership.find(members, name="m9", peer_urls=members[1].peer_urls) is None
    problem = membership.problem(Add(members[1].peer_urls, True), members, "m9")
    assert problem
    assert problem.found == "that m2 has them"


def test_member_is_found_at_its_port_and_by_an_ipv6_address() -> None:
    one = replace(member(1, started=False), peer_urls=("https://[2001:db8::2]:12380",))
    assert membership.find([one], name="m1", peer_urls=[membership.peer_url("2001:db8::2", 12380)]) == one
    assert membership.find([one], name="m1", peer_urls=[membership.peer_url("2001:db8::2")]) is None
    assert membership.find([member(11, started=False)], peer_urls=["https://10.0.0.1:2380"]) is None
