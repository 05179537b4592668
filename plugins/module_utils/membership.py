# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of etcd's membership: which change may be made now, and which would put the quorum at risk.

Pure: members as they were seen a moment ago go in, a reason against the change comes out. A member that is not known to
be well is counted as one that is not. Where etcd itself would accept a change that these rules refuse, the rules win:
etcd counts connections, and a voter that was just added counts as well as one that has carried the cluster for years.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Union
from urllib.parse import urlsplit

from .etcd import Member, hexadecimal, quorum
from .https_json import url
from .problems import Problem

# How much of the leader's log a learner must have before etcd promotes it (readyPercent in its server.go).
IN_STEP = 0.9

# The gateway's method below /cluster/member, and the body for it.
Request = tuple[str, dict[str, object]]


@dataclass(frozen=True)
class Add:
    """A new member, which has yet to be started; a learner where etcd knows those (from 3.4 on)."""

    peer_urls: tuple[str, ...]
    learner: bool

    @property
    def request(self) -> Request:
        body: dict[str, object] = {"peerURLs": list(self.peer_urls)}
        return "add", {**body, "isLearner": True} if self.learner else body

    @property
    def done(self) -> str:
        return "one is added"

    def __str__(self) -> str:
        return f"add a {'learner' if self.learner else 'voter'} at {', '.join(self.peer_urls)}"


@dataclass(frozen=True)
class Promote:
    """A learner becomes a voter."""

    member: Member

    @property
    def request(self) -> Request:
        return "promote", {"ID": self.member.id}

    @property
    def done(self) -> str:
        return f"{title(self.member)} votes"

    def __str__(self) -> str:
        return f"promote {title(self.member)}"


@dataclass(frozen=True)
class Remove:
    """A member leaves, for good: its data is of no use afterwards."""

    member: Member

    @property
    def request(self) -> Request:
        return "remove", {"ID": self.member.id}

    @property
    def done(self) -> str:
        return f"{title(self.member)} is removed"

    def __str__(self) -> str:
        return f"remove {title(self.member)}"


@dataclass(frozen=True)
class Move:
    """A member's peers look for it elsewhere from now on."""

    member: Member
    peer_urls: tuple[str, ...]

    @property
    def request(self) -> Request:
        return "update", {"ID": self.member.id, "peerURLs": list(self.peer_urls)}

    def __str__(self) -> str:
        return f"look for {title(self.member)} at {', '.join(self.peer_urls)}"


Change = Union[Add, Promote, Remove, Move]


def title(member: Member) -> str:
    """What people call a member: its name, or its id in etcdctl's hexadecimal while it has none."""
    return member.name or hexadecimal(member.id)


def state(member: Member) -> str:
    """How it is, in words."""
    kind = "learner" if member.learner else "voter"
    return f"a {kind}, {'healthy' if member.healthy else 'not healthy' if member.started else 'not started'}"


def find(
    members: Iterable[Member], *, member_id: str = "", name: str = "", peer_urls: Collection[str] = ()
) -> Member | None:
    """The member that is meant: by id where one is given, else by name, else by one of its peer URLs.

    An unstarted member has no name, so it is found by its peer URL alone. One that has another name than the one that
    is asked for is another member, wherever it is.
    """
    listed = list(members)
    if member_id:
        return next((one for one in listed if one.id == member_id), None)
    by_name = next((one for one in listed if name and one.name == name), None)
    if by_name:
        return by_name
    others = [one for one in listed if not (name and one.name)]
    return next((one for one in others if _places(one.peer_urls) & _places(peer_urls)), None)


def peer_url(address: str, port: int = 2380) -> str:
    """Where the member at this address is found by its peers, by default as kubeadm has it."""
    return url(address, port)


def _places(urls: Iterable[str]) -> set[tuple[str, int]]:
    return {_place(url) for url in urls}


def _place(url: str) -> tuple[str, int]:
    """Host and port, however the URL is written; etcd compares its URLs by these, too."""
    parts = urlsplit(url)
    return (parts.hostname or "", parts.port or 2380)


def voters(members: Iterable[Member]) -> list[Member]:
    return [member for member in members if not member.learner]


def healthy(members: Iterable[Member]) -> int:
    return sum(1 for member in members if member.healthy)


def after(changes: Iterable[Change], members: Iterable[Member]) -> list[Member]:
    """The members as these changes would leave them."""
    listed = {member.id: member for member in members}
    for change in changes:
        if isinstance(change, Add):
            listed[""] = Member("", "", change.peer_urls, (), change.learner)
        elif isinstance(change, Promote):
            listed[change.member.id] = replace(change.member, learner=False)
        elif isinstance(change, Move):
            listed[change.member.id] = replace(change.member, peer_urls=change.peer_urls)
        else:
            del listed[change.member.id]
    return list(listed.values())


def problem(change: Change, members: Collection[Member], host: str, *, least_voters: int = 2) -> Problem | None:
    """Why this change must not be made now; None where it may.

    Args:
        change: what is asked for.
        members: all of them, as a fresh look shows them.
        host: whom to name as the one that has the problem.
        least_voters: how many voters must be left after a removal.
    """
    lost = quorum_problem(members, host)
    if lost:
        return lost
    if isinstance(change, Add):
        return _addition_problem(change, members, host)
    if isinstance(change, Promote):
        return _promotion_problem(change, members, host)
    if isinstance(change, Remove):
        return _removal_problem(change, members, host, least_voters)
    return _move_problem(change, members, host)


def has_quorum(members: Iterable[Member]) -> bool:
    """Whether the healthy voters are enough to agree."""
    all_voters = voters(members)
    return healthy(all_voters) >= quorum(len(all_voters))


def quorum_problem(members: Iterable[Member], host: str) -> Problem | None:
    """Why nothing can be changed, and nothing that is seen can be relied on."""
    all_voters = voters(members)
    if has_quorum(all_voters):
        return None
    unwell = sorted(title(member) for member in all_voters if not member.healthy) or ["none"]
    return Problem(
        host=host,
        subject="etcd quorum",
        found=f"{healthy(all_voters)} healthy of {len(all_voters)} voters ({', '.join(unwell)} not)",
        wanted=f"{quorum(len(all_voters))} before anything can change",
        action="Bring members back; if their data is lost, restore a snapshot.",
    )


def restart_problem(name: str, members: Iterable[Member]) -> Problem | None:
    """Why the member of this name must not be stopped for a moment: would the others still agree?

    One that is alone, or not healthy anyway, has nobody to lose.
    """
    all_voters = voters(members)
    others = [member for member in all_voters if member.name != name]
    if len(all_voters) == 1 or not any(member.name == name and member.healthy for member in all_voters):
        return None
    return _too_few("while this one restarts", healthy(others), len(all_voters), name)


def well(members: Iterable[Member]) -> list[Member]:
    """The members as they would be if each that was ever started were healthy."""
    return [replace(member, healthy=member.started) for member in members]


def passes(change: Change, members: Collection[Member]) -> bool:
    """Whether a problem with this change may go away by waiting: learners start, catch up, and are promoted."""
    return isinstance(change, Promote) or (
        isinstance(change, Add)
        and all(member.healthy for member in voters(members))
        and any(member.learner for member in members)
    )


def _addition_problem(change: Add, members: Collection[Member], host: str) -> Problem | None:
    unwell = sorted(title(member) for member in voters(members) if not member.healthy)
    if unwell:
        return Problem(
            host=host,
            subject="etcd members",
            found=f"{', '.join(unwell)} not healthy",
            wanted="every voter healthy before one is added",
            action="Bring it back, or remove it first: a member more would make the quorum larger, not safer.",
        )
    taken = _taken(change.peer_urls, members, host)
    if taken:
        return taken
    learners = sorted(title(member) for member in members if member.learner)
    if learners:
        return Problem(
            host=host,
            subject="etcd members",
            found=f"the learner {', '.join(learners)}",
            wanted="one change at a time",
            action="Wait until it votes, or remove it.",
        )
    if change.learner:
        return None
    count = len(voters(members))
    return _too_few(f"once {change.done}", healthy(voters(members)), count + 1, host)


def _promotion_problem(change: Promote, members: Collection[Member], host: str) -> Problem | None:
    member = change.member
    if not (member.learner and member.started and member.healthy):
        return Problem(
            host=host,
            subject=f"etcd member {title(member)}",
            found=state(member),
            wanted="a started, healthy learner",
            action="See its log: nothing is promoted that could not vote.",
        )
    front = max(one.index for one in members)
    if member.index and member.index < IN_STEP * front:
        return Problem(
            host=host,
            subject=f"etcd member {title(member)}",
            found=f"a learner at {member.index} of the {front} entries of the log",
            wanted=f"{math.ceil(IN_STEP * front)}, which is 90 %",
            action="Wait until it has caught up; see the network between the members.",
        )
    # It was seen healthy, so it counts from the moment on at which it votes.
    return _too_few(f"once {change.done}", healthy(voters(members)) + 1, len(voters(members)) + 1, host)


def _removal_problem(change: Remove, members: Collection[Member], host: str, least_voters: int) -> Problem | None:
    if change.member.learner:
        return None
    others = [member for member in voters(members) if member.id != change.member.id]
    if len(others) < least_voters:
        return Problem(
            host=host,
            subject="etcd members",
            found=f"{len(others) + 1} voters",
            wanted=f"{least_voters} left once {change.done}",
            action="Add another member first, or lower least_voters if one member is what you want.",
        )
    return _too_few(f"once {change.done}", healthy(others), len(others), host)


def _move_problem(change: Move, members: Collection[Member], host: str) -> Problem | None:
    taken = _taken(change.peer_urls, [member for member in members if member.id != change.member.id], host)
    if taken:
        return taken
    if change.member.learner:
        # With its old URLs etcd forgets that it is a learner (seen in 3.4.23): a voter more, which is not in step.
        return Problem(
            host=host,
            subject=f"etcd member {title(change.member)}",
            found="a learner",
            wanted="a voter: etcd takes a learner that is moved for one",
            action="Remove it, and add it at its new place.",
        )
    count = len(voters(members))
    if count == 1:
        return None
    # Its peers lose sight of it until it answers at the new place.
    others = [member for member in voters(members) if member.id != change.member.id]
    return _too_few(f"while {title(change.member)} is not found at its new place", healthy(others), count, host)


def _taken(urls: Collection[str], others: Iterable[Member], host: str) -> Problem | None:
    owner = next((member for member in others if _places(member.peer_urls) & _places(urls)), None)
    if owner is None:
        return None
    return Problem(
        host=host,
        subject=f"peer URLs {', '.join(urls)}",
        found=f"that {title(owner)} has them",
        wanted="URLs of its own",
        action="Correct them.",
    )


def _too_few(when: str, agreeing: int, count: int, host: str) -> Problem | None:
    if agreeing >= quorum(count):
        return None
    return Problem(
        host=host,
        subject="etcd quorum",
        found=f"{agreeing} healthy of {count} voters {when}",
        wanted=str(quorum(count)),
        action="Bring the other members back first.",
    )
