# SPDX-License-Identifier: GPL-3.0-or-later
"""Membership and its arithmetic, and etcd's JSON gateway as a small server plays it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, https_json
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.etcd_gateway import (
    BIG,
    EtcdCluster,
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


def agree(voters: list[Member]) -> bool:
    """Whether the healthy ones outvote the others, counted one by one."""
    return sum(1 if voter.healthy else -1 for voter in voters) > 0


@given(memberships, st.integers(0, 6))
def test_removal_problem_is_there_only_where_the_others_would_not_agree(found: list[Member], index: int) -> None:
    leaving = found[index % len(found)]
    left = [voter for voter in found if voter is not leaving and not voter.learner]
    problem = etcd.removal_problem("cp9", leaving, found)
    assert (problem is None) == (leaving.learner or agree(left))


def test_removal_problem_says_the_arithmetic() -> None:
    found = [member(1), member(2, healthy=False), member(3), member(4, learner=True)]
    problem = etcd.removal_problem("cp3", found[2], found)
    assert problem
    assert (problem.host, problem.found) == ("cp3", "1 healthy of the 2 other voters")
    assert problem.wanted == "2, once the member cp3 is taken out"


def test_removal_problem_of_the_last_voter_is_one() -> None:
    assert etcd.removal_problem("cp1", member(1), [member(1), member(2, learner=True)])


def test_removal_problem_of_an_unstarted_member_names_its_id() -> None:
    unstarted = member(2, name="")
    problem = etcd.removal_problem("cp2", unstarted, [member(1, healthy=False), unstarted])
    assert problem
    assert unstarted.id in problem.wanted


def test_find_member_by_name_whatever_its_address() -> None:
    found = [member(1), member(2)]
    assert etcd.find_member(found, name="cp2", address="192.0.2.1") == found[1]


def test_find_member_that_is_unstarted_by_the_address_of_its_peer_url() -> None:
    found = [member(1), member(2, name="")]
    assert etcd.find_member(found, name="cp2", address="10.0.0.2") == found[1]


def test_find_member_by_an_ipv6_address() -> None:
    unstarted = Member("1", "", ("https://[2001:db8::2]:2380",), (), False)
    assert etcd.find_member([member(1), unstarted], name="cp2", address="2001:db8::2") == unstarted


def test_find_member_takes_no_address_for_another_that_begins_with_it() -> None:
    assert etcd.find_member([member(11, name="")], name="cp1", address="10.0.0.1") is None


def test_find_member_of_a_host_without_an_address_takes_no_unstarted_one() -> None:
    assert etcd.find_member([member(2, name="")], name="cp9", address="") is None


def test_find_member_of_a_stranger_is_none() -> None:
    assert etcd.find_member([member(1), member(2)], name="cp9", address="10.0.0.9") is None


@given(st.integers())
def test_find_member_of_a_host_with_the_old_address_of_another_is_its_own(seed: int) -> None:
    """Two hosts that swapped addresses: the name decides, in whatever order etcd lists them."""
    one, other = member(1, name="cp2"), member(2, name="cp1")
    found = random.Random(seed).sample([one, other], 2)
    assert etcd.find_member(found, name="cp2", address="10.0.0.2") == one
    assert etcd.find_member(found, name="cp1", address="10.0.0.1") == other


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


@pytest.mark.usefixtures("etcd_pki")
class TestRemoveMember:
    def test_remove_member_takes_out_the_one_of_that_name(self, etcd_cluster: EtcdCluster) -> None:
        assert etcd.remove_member(etcd_cluster.urls[:2], name="cp2", address="10.0.0.2")
        assert etcd_cluster.changes == [("remove", {"ID": str(BIG + 2)})]
        assert etcd_cluster.ids == [0, 1]

    def test_remove_member_that_never_started_is_found_by_its_address(self, etcd_cluster: EtcdCluster) -> None:
        etcd_cluster.entries[2] = entry(2, None)
        assert etcd.remove_member(etcd_cluster.urls[:1], name="cp2", address="10.0.0.2")
        assert etcd_cluster.ids == [0, 1]

    def test_remove_member_that_is_none_changes_nothing(self, etcd_cluster: EtcdCluster) -> None:
        assert not etcd.remove_member(etcd_cluster.urls, name="cp9", address="10.0.0.9")
        assert etcd_cluster.changes == []

    def test_remove_member_that_the_others_cannot_spare_is_refused(self, etcd_cluster: EtcdCluster) -> None:
        etcd_cluster.gateways[1].status = None
        with pytest.raises(Refusal, match="1 healthy of the 2 other voters"):
            etcd.remove_member(etcd_cluster.urls, name="cp2", address="10.0.0.2")
        assert etcd_cluster.changes == []

    def test_remove_member_asks_the_next_endpoint_where_one_is_silent(self, etcd_cluster: EtcdCluster) -> None:
        assert etcd.remove_member([https_server.unused_url(), etcd_cluster.urls[0]], name="cp2", address="10.0.0.2")
        assert etcd_cluster.ids == [0, 1]

    def test_remove_member_without_any_endpoint_that_answers_fails(self) -> None:
        with pytest.raises(RequestFailed):
            etcd.remove_member([https_server.unused_url()], name="cp2", address="10.0.0.2")
        with pytest.raises(RequestFailed, match="no endpoint to ask for the member cp2"):
            etcd.remove_member([], name="cp2", address="10.0.0.2")

    def test_remove_member_that_is_still_listed_fails(self, etcd_cluster: EtcdCluster) -> None:
        etcd_cluster.gateways[0].keeps = True
        with pytest.raises(RequestFailed, match="still listed after its removal"):
            etcd.remove_member(etcd_cluster.urls[:1], name="cp2", address="10.0.0.2")

    def test_remove_member_whose_own_endpoint_is_asked_first_is_taken_out(self, etcd_cluster: EtcdCluster) -> None:
        """A member that is removed stops its process, and cannot be asked afterwards: the others can."""
        etcd_cluster.gateways[0].after = lambda _method, _body: setattr(etcd_cluster.gateways[0], "gone", True)
        assert etcd.remove_member(etcd_cluster.urls, name="cp0", address="10.0.0.0")
        assert etcd_cluster.ids == [1, 2]

    def test_remove_member_of_a_host_without_certificates_is_an_os_error(
        self, etcd_pki: Path, etcd_cluster: EtcdCluster
    ) -> None:
        (etcd_pki / "healthcheck-client.key").unlink()
        with pytest.raises(OSError):
            etcd.remove_member(etcd_cluster.urls, name="cp2", address="10.0.0.2")

    @pytest.mark.parametrize("name", ["ca.crt", "healthcheck-client.crt", "healthcheck-client.key"])
    def test_has_client_certificate_only_with_all_its_files(self, etcd_pki: Path, name: str) -> None:
        assert etcd.has_client_certificate()
        (etcd_pki / name).unlink()
        assert not etcd.has_client_certificate()
