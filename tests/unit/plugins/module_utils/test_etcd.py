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
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_cluster import EtcdCluster
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.modules import etcd_member
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.etcd_gateway import (
    BIG,
    FORMS,
    Form,
    Gateway,
    Serve,
    entry,
    serve_cluster,
)
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_etcd import SimulatedEtcd


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
        leader, follower = serve_etcd(Gateway(entries).answer), serve_etcd(Gateway(entries).answer)
        entries += [entry(1, follower.url), entry(0, leader.url)]
        assert ask(follower) == [
            Member(str(BIG), "cp0", ("https://10.0.0.0:2380",), (leader.url,), False, True, True, "3.4.13"),
            Member(str(BIG + 1), "cp1", ("https://10.0.0.1:2380",), (follower.url,), False, True, False, "3.4.13"),
        ]

    def test_members_ids_stay_exact_beyond_what_a_json_number_holds(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries).answer)
        entries += [entry(0, server.url), entry(1, None)]
        assert {one.id for one in ask(server)} == {str(BIG), str(BIG + 1)}

    def test_members_unstarted_one_is_unhealthy_and_has_no_name(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries).answer)
        entries += [entry(0, server.url), entry(1, None)]
        unstarted = ask(server)[0]
        assert (unstarted.name, unstarted.started, unstarted.healthy, unstarted.client_urls) == ("", False, False, ())

    def test_members_unreachable_one_is_unhealthy(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries).answer)
        entries += [entry(0, server.url), entry(1, https_server.unused_url())]
        assert [one.healthy for one in ask(server)] == [True, False]

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (None, "no answer"),
            ({"version": "3.4.13"}, "no leader"),
            ({"leader": str(BIG), "errors": ["memberID:1 alarm:NOSPACE "]}, "memberID:1 alarm:NOSPACE"),
            ({"leader": str(BIG), "header": {"member_id": "7"}}, "another member answers at its address"),
        ],
        ids=["refuses", "has no leader", "has an alarm", "is another"],
    )
    def test_members_sick_one_is_unhealthy_and_says_why(
        self, serve_etcd: Serve, status: dict[str, Any] | None, error: str
    ) -> None:
        entries: list[dict[str, Any]] = []
        server, sick = serve_etcd(Gateway(entries).answer), serve_etcd(Gateway(entries, status=status).answer)
        entries += [entry(0, server.url), entry(1, sick.url)]
        assert [(one.healthy, one.error) for one in ask(server)] == [(True, ""), (False, error)]

    def test_members_learner_is_told_from_a_voter(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries).answer)
        entries += [entry(0, server.url), entry(1, server.url, isLearner=True)]
        assert [one.learner for one in ask(server)] == [False, True]

    def test_members_are_asked_of_an_old_etcd_by_its_own_prefix(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries, prefix="/v3beta").answer)
        entries.append(entry(0, server.url))
        assert ask(server)[0].healthy

    def test_members_second_url_is_asked_where_the_first_is_silent(self, serve_etcd: Serve) -> None:
        entries: list[dict[str, Any]] = []
        server = serve_etcd(Gateway(entries).answer)
        entries.append(entry(0, server.url, clientURLs=[https_server.unused_url(), server.url]))
        assert ask(server)[0].healthy

    def test_members_of_an_endpoint_that_is_silent_fail(self) -> None:
        with pytest.raises(RequestFailed):
            etcd.members(https_server.unused_url(), etcd.local_context(), 1)

    def test_members_without_a_client_certificate_fail(self, serve_etcd: Serve, ca: Identity) -> None:
        server = serve_etcd(Gateway([]).answer)
        with pytest.raises(RequestFailed):
            etcd.members(server.url, https_json.verified_context(ca.pem), 2)

    def test_call_that_etcd_refuses_is_not_repeated_by_another_prefix(self, serve_etcd: Serve) -> None:
        server = serve_etcd(Gateway([], status=None).answer)
        with pytest.raises(RequestFailed, match="no leader"):
            etcd.call(server.url, etcd.local_context(), "/maintenance/status", 2)
        assert server.paths == ["/v3/maintenance/status"]


@pytest.mark.usefixtures("etcd_pki")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.version)
class TestForms:
    """Each version of etcd, spoken to as it wants to be."""

    @pytest.fixture
    def cluster(self) -> SimulatedEtcd:
        simulated = SimulatedEtcd()
        for number in range(3):
            simulated.add(f"cp{number}", number=number)
        return simulated

    def test_sure_list_is_read_by_a_quorum(self, cluster: SimulatedEtcd, form: Form, serve_etcd: Serve) -> None:
        first, *_others = serve_cluster(cluster, form, serve_etcd)
        found = etcd.members(first.url, etcd.local_context(), 2, sure=True)
        assert [(one.id, one.name, one.learner, one.healthy) for one in found] == [
            (one.id, one.name, False, True) for one in cluster.processes
        ]
        # Its own state, asked for with all others', comes after the list.
        served = [request for request in first.requests if request.path.startswith(f"{form.prefix}/")][:-1]
        asked = [(request.path.removeprefix(form.prefix), request.body) for request in served]
        if etcd.release(form.version) >= (3, 5):
            assert asked[1:] == [("/cluster/member/list", {"linearizable": True})]
        else:
            assert [path for path, _body in asked[1:]] == ["/kv/range", "/cluster/member/list"]

    def test_members_come_and_go(self, cluster: SimulatedEtcd, form: Form, serve_etcd: Serve) -> None:
        servers = serve_cluster(cluster, form, serve_etcd)
        client = EtcdCluster([server.url for server in servers], etcd.local_context(), patience=5.0)
        wanted = {"state": "present", "name": "cp9", "id": "", "peer_urls": ["https://10.0.0.9:2380"]}
        (made,) = client.change(lambda members: etcd_member.needed(wanted, members), "cp9")
        assert (
            "isLearner" in made.request[1]
            if etcd.release(form.version) >= (3, 4)
            else "isLearner" not in made.request[1]
        )
        (unstarted,) = [one for one in client.members() if not one.name]
        assert unstarted.learner is (etcd.release(form.version) >= (3, 4))
        gone = {"state": "absent", "name": "", "id": unstarted.id, "peer_urls": []}
        assert client.change(lambda members: etcd_member.needed(gone, members), "cp9")
        assert [one.name for one in client.members()] == ["cp0", "cp1", "cp2"]
        assert cluster.unsound == []

    def test_refusal_says_what_etcd_said(self, cluster: SimulatedEtcd, form: Form, serve_etcd: Serve) -> None:
        server, *_others = serve_cluster(cluster, form, serve_etcd)
        body = {"peerURLs": ["https://10.0.0.0:2380"]}
        with pytest.raises(RequestFailed, match="Peer URLs already exists") as refused:
            etcd.call(server.url, etcd.local_context(), "/cluster/member/add", 2, body)
        assert etcd.refuses(refused.value)
        with pytest.raises(RequestFailed, match="member not found") as refused:
            etcd.call(server.url, etcd.local_context(), "/cluster/member/remove", 2, {"ID": "1"})
        assert server.paths.count(f"{form.prefix}/cluster/member/remove") == 1
        assert etcd.waits(refused.value)


@pytest.mark.parametrize(
    ("status", "text", "refused", "worth_waiting"),
    [
        (503, "etcdserver: unhealthy cluster", True, True),
        (503, "etcdserver: request timed out", False, True),
        (504, "context deadline exceeded", False, True),
        (500, "raft: stopped", False, False),
        (412, "etcdserver: too many learner members in cluster", True, True),
        (400, "etcdserver: can only promote a learner member which is in sync with leader", True, True),
        (403, "etcdserver: permission denied", True, False),
        (0, "connection refused", False, True),
        (0, "CERTIFICATE_VERIFY_FAILED", False, False),
    ],
)
def test_failures_are_told_apart(status: int, text: str, refused: bool, worth_waiting: bool) -> None:
    error = RequestFailed(text, status)
    assert etcd.refuses(error) is refused
    assert etcd.waits(error) is worth_waiting


@pytest.mark.parametrize("name", ["ca.crt", "healthcheck-client.crt", "healthcheck-client.key"])
def test_has_client_certificate_only_with_all_its_files(etcd_pki: Path, name: str) -> None:
    assert etcd.has_client_certificate()
    (etcd_pki / name).unlink()
    assert not etcd.has_client_certificate()
