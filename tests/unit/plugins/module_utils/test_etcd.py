# SPDX-License-Identifier: GPL-3.0-or-later
"""Membership and its arithmetic, and etcd's JSON gateway as a small server plays it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, https_json
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.etcd_gateway import (
    BIG,
    Gateway,
    Serve,
    entry,
)


def member(number: int, *, name: str | None = None, healthy: bool = True, learner: bool = False) -> Member:
    """The member of host cpN at 10.0.0.N; an unstarted one with an empty name."""
    name = f"cp{number}" if name is None else name
    return Member(
        id=str(BIG + number),
        name=name,
        peer_urls=(f"https://10.0.0.{number}:2380",),
        client_urls=(f"https://10.0.0.{number}:2379",) if name else (),
        learner=learner,
        healthy=healthy and bool(name),
    )


# Whether healthy, and whether a learner, which few are.
_kinds = st.tuples(st.booleans(), st.sampled_from((False, False, False, True)))
memberships = st.lists(_kinds, min_size=1, max_size=7).map(
    lambda found: [member(number, healthy=healthy, learner=learner) for number, (healthy, learner) in enumerate(found)]
)


# Pure functions.


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_quorum_is_more_than_half(voters: int, needed: int) -> None:
    assert etcd.quorum(voters) == needed


@given(memberships)
def test_member_survives_its_way_through_a_modules_result(found: list[Member]) -> None:
    assert [Member.from_dict(json.loads(json.dumps(one.as_dict()))) for one in found] == found


def test_member_without_a_name_is_not_started() -> None:
    assert member(1).started
    assert not member(1, name="").started


# The gateway.


def ask(server: https_server.Server) -> list[Member]:
    return etcd.members(server.url, etcd.local_context(), 2)


@pytest.mark.usefixtures("etcd_pki")
class TestMembers:
    def test_members_are_as_listed_each_with_its_own_word(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        leader, follower = serve_etcd(Gateway(entries)), serve_etcd(Gateway(entries))
        entries += [entry(1, follower.url), entry(0, leader.url)]
        assert ask(follower) == [
            Member(str(BIG), "cp0", ("https://10.0.0.0:2380",), (leader.url,), False, True, True, "3.4.13"),
            Member(str(BIG + 1), "cp1", ("https://10.0.0.1:2380",), (follower.url,), False, True, False, "3.4.13"),
        ]

    def test_members_ids_stay_exact_beyond_what_a_json_number_holds(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries))
        entries += [entry(0, server.url), entry(1, None)]
        assert {one.id for one in ask(server)} == {str(BIG), str(BIG + 1)}

    def test_members_unstarted_one_is_unhealthy_and_has_no_name(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries))
        entries += [entry(0, server.url), entry(1, None)]
        unstarted = ask(server)[0]
        assert (unstarted.name, unstarted.started, unstarted.healthy, unstarted.client_urls) == ("", False, False, ())

    def test_members_unreachable_one_is_unhealthy(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries))
        entries += [entry(0, server.url), entry(1, https_server.unused_url())]
        assert [one.healthy for one in ask(server)] == [True, False]

    @pytest.mark.parametrize(
        "status",
        [
            None,
            {"version": "3.4.13"},
            {"version": "3.4.13", "leader": str(BIG), "errors": ["memberID:1 alarm:NOSPACE"]},
        ],
        ids=["refuses", "has no leader", "has an alarm"],
    )
    def test_members_sick_one_is_unhealthy(self, serve_etcd: Serve, status: dict[str, Any] | None) -> None:
        entries: list[dict[str, Any]] = []
        server, sick = serve_etcd(Gateway(entries)), serve_etcd(Gateway(entries, status=status))
        entries += [entry(0, server.url), entry(1, sick.url)]
        assert [one.healthy for one in ask(server)] == [True, False]

    def test_members_learner_is_told_from_a_voter(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries))
        entries += [entry(0, server.url), entry(1, server.url, isLearner=True)]
        assert [one.learner for one in ask(server)] == [False, True]

    def test_members_are_asked_of_an_old_etcd_by_its_own_prefix(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries, prefix="/v3beta"))
        entries.append(entry(0, server.url))
        assert ask(server)[0].healthy

    def test_members_second_url_is_asked_where_the_first_is_silent(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries))
        entries.append(entry(0, server.url, clientURLs=[https_server.unused_url(), server.url]))
        assert ask(server)[0].healthy

    def test_members_of_an_endpoint_that_is_silent_fail(self) -> None:
        with pytest.raises(RequestFailed):
            etcd.members(https_server.unused_url(), etcd.local_context(), 1)

    def test_members_without_a_client_certificate_fail(self, serve_etcd: Serve, ca: Identity) -> None:
        server = serve_etcd(Gateway([]))
        with pytest.raises(RequestFailed):
            etcd.members(server.url, https_json.verified_context(ca.pem), 2)

    def test_call_that_etcd_refuses_is_not_repeated_by_another_prefix(self, serve_etcd: Serve) -> None:
        server = serve_etcd(Gateway([], status=None))
        with pytest.raises(RequestFailed, match="no leader"):
            etcd.call(server.url, etcd.local_context(), "/maintenance/status", 2)
        assert server.paths == ["/v3/maintenance/status"]


@pytest.mark.parametrize("name", ["ca.crt", "healthcheck-client.crt", "healthcheck-client.key"])
def test_has_client_certificate_only_with_all_its_files(etcd_pki: Path, name: str) -> None:
    assert etcd.has_client_certificate()
    (etcd_pki / name).unlink()
    assert not etcd.has_client_certificate()
