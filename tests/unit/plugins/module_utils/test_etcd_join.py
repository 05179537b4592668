# SPDX-License-Identifier: GPL-3.0-or-later
"""A member joins as a learner and votes in the end, from wherever an earlier attempt has got to."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_join
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import authority
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.etcd_gateway import (
    BIG,
    EtcdCluster,
    Gateway,
    Serve,
    entry,
)

ADDRESS = "10.0.0.9"
PEER_URL = f"https://{ADDRESS}:2380"
ADDED = ("add", {"peerURLs": [PEER_URL], "isLearner": True})


class Host:
    """The host that joins, as cp9: its etcd's data, and the process that answers once it is started."""

    def __init__(self, cluster: EtcdCluster, serve: Serve, data: Path) -> None:
        self.cluster, self.data = cluster, data
        self.url = serve(Gateway(cluster.entries)).url
        self.started_with: list[str] = []

    @property
    def entry(self) -> dict[str, Any]:
        (found,) = [one for one in self.cluster.entries if one["peerURLs"] == [PEER_URL]]
        return found

    def start(self, initial_cluster: str) -> None:
        self.started_with.append(initial_cluster)
        self.data.mkdir(exist_ok=True)
        self.entry.update(name="cp9", clientURLs=[self.url])

    def join(self, **options: Any) -> None:
        values = {"name": "cp9", "address": ADDRESS, "data": str(self.data), "start": self.start, "patience": 5.0}
        etcd_join.join(options.pop("endpoints", self.cluster.urls), **{**values, **options})


@pytest.fixture
def host(etcd_cluster: EtcdCluster, serve_etcd: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(etcd_join.time, "sleep", lambda _seconds: None)
    return Host(etcd_cluster, serve_etcd, tmp_path / "member")


def test_join_adds_a_learner_and_promotes_it_once_it_is_started(host: Host) -> None:
    host.join()
    assert host.cluster.changes == [ADDED, ("promote", {"ID": host.entry["ID"]})]
    assert "isLearner" not in host.entry


def test_join_starts_a_member_that_knows_all_started_ones_and_itself(host: Host) -> None:
    host.cluster.entries.append(entry(7, None))
    host.join()
    (names,) = host.started_with
    assert names.split(",") == [
        "cp0=https://10.0.0.0:2380",
        "cp1=https://10.0.0.1:2380",
        "cp2=https://10.0.0.2:2380",
        f"cp9={PEER_URL}",
    ]


def test_join_of_an_ipv6_host_has_brackets_in_its_peer_url(host: Host) -> None:
    def start(initial_cluster: str) -> None:
        host.started_with.append(initial_cluster)
        host.cluster.entries[-1].update(name="cp9", clientURLs=[host.url])

    host.join(address="2001:db8::9", start=start)
    assert host.cluster.changes[0] == ("add", {"peerURLs": ["https://[2001:db8::9]:2380"], "isLearner": True})


def test_join_goes_on_with_the_learner_of_an_earlier_attempt(host: Host) -> None:
    host.cluster.entries.append(entry(9, None, isLearner=True))
    host.join()
    assert host.cluster.changes == [("promote", {"ID": str(BIG + 9)})]


def test_join_of_a_learner_that_was_started_only_promotes_it(host: Host) -> None:
    host.data.mkdir()
    host.cluster.entries.append(entry(9, host.url, isLearner=True))
    host.join()
    assert host.cluster.changes == [("promote", {"ID": str(BIG + 9)})]


def test_join_of_a_voter_changes_nothing(host: Host) -> None:
    host.data.mkdir()
    host.cluster.entries.append(entry(9, host.url))
    host.join()
    assert host.cluster.changes == []


def test_join_of_a_learner_that_lost_its_data_begins_again(host: Host) -> None:
    host.cluster.entries.append(entry(9, host.url, isLearner=True))
    host.join()
    assert [method for method, _body in host.cluster.changes] == ["remove", "add", "promote"]
    assert host.cluster.changes[0][1] == {"ID": str(BIG + 9)}


def test_join_of_a_voter_that_lost_its_data_is_refused_and_starts_nothing(host: Host) -> None:
    host.cluster.entries.append(entry(9, host.url))
    with pytest.raises(Refusal, match=f"etcdctl member remove {BIG + 9:x}"):
        host.join()
    assert host.cluster.changes == []
    assert host.started_with == []


def test_join_over_the_data_of_a_member_that_was_taken_out_is_refused(host: Host) -> None:
    host.data.mkdir()
    with pytest.raises(Refusal, match="does not list"):
        host.join()
    assert host.cluster.changes == []


@pytest.mark.parametrize(
    "reason",
    [
        "etcdserver: too many learner members in cluster",
        "etcdserver: unhealthy cluster",
        "etcdserver: re-configuration failed due to not enough started members",
        "etcdserver: leader changed",
        "etcdserver: request timed out",
        "etcdserver: no leader",
    ],
)
def test_join_waits_while_another_change_is_on_its_way(host: Host, reason: str) -> None:
    for gateway in host.cluster.gateways:
        gateway.refusals = [reason, reason]
    host.join()
    assert "isLearner" not in host.entry


def test_join_waits_until_the_learner_is_in_step(host: Host) -> None:
    def start(initial_cluster: str) -> None:
        host.start(initial_cluster)
        for gateway in host.cluster.gateways:
            gateway.refusals = ["etcdserver: can only promote a learner member which is in sync with leader"] * 2

    host.join(start=start)
    assert "isLearner" not in host.entry


def test_join_whose_answers_are_lost_goes_on_from_what_was_done(host: Host) -> None:
    """A change is accepted, and the connection breaks before the answer: asked again, etcd refuses the second one."""
    for gateway in host.cluster.gateways:
        gateway.loses_answers = True
    host.join()
    assert [entry["ID"] for entry in host.cluster.entries].count(host.entry["ID"]) == 1
    assert "isLearner" not in host.entry


def test_join_refused_by_one_member_and_unanswered_by_another_waits(host: Host) -> None:
    host.cluster.gateways[0].gone = True
    for gateway in host.cluster.gateways[1:]:
        gateway.refusals = ["etcdserver: unhealthy cluster"] * 3
    host.join()
    assert "isLearner" not in host.entry


def test_join_while_no_member_answers_for_a_moment_goes_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    first_answer = etcd_join.etcd.first_answer

    def sometimes(*arguments: Any) -> Any:
        if next(looks) % 3:
            raise RequestFailed("etcd: timed out")
        return first_answer(*arguments)

    monkeypatch.setattr(etcd_join.etcd, "first_answer", sometimes)
    host.join()
    assert "isLearner" not in host.entry


def test_join_that_is_refused_for_too_long_says_by_whom_how_long_and_how_far_the_members_are(host: Host) -> None:
    for gateway in host.cluster.gateways:
        gateway.refusals = ["etcdserver: unhealthy cluster"] * 1000
    with pytest.raises(RequestFailed) as failed:
        host.join(patience=0.1)
    text = str(failed.value)
    assert "found no place for the new member cp9 after 0 s" in text
    assert "etcdserver: unhealthy cluster" in text
    assert "cp1 voter, healthy" in text


def test_join_without_anybody_to_ask_fails_at_once(host: Host) -> None:
    with pytest.raises(RequestFailed, match="found no healthy member to ask"):
        etcd_join.join([], name="cp9", address=ADDRESS, data=str(host.data), start=host.start, patience=3600.0)


def test_join_of_members_that_another_authority_signed_fails_at_once(host: Host, etcd_pki: Path) -> None:
    (etcd_pki / "ca.crt").write_text(authority("etcd-ca").pem, encoding="ascii")
    with pytest.raises(RequestFailed, match="CERTIFICATE"):
        host.join(patience=3600.0)


def test_join_refused_for_good_fails_at_once(host: Host) -> None:
    for gateway in host.cluster.gateways:
        gateway.refusals = ["etcdserver: permission denied"]
    with pytest.raises(RequestFailed, match="permission denied"):
        host.join(patience=3600.0)
    assert host.started_with == []


def test_join_asks_the_members_that_answer(host: Host) -> None:
    host.cluster.gateways[0].gone = True
    host.join()
    assert "isLearner" not in host.entry


def test_join_without_any_member_that_answers_fails(host: Host) -> None:
    with pytest.raises(RequestFailed):
        host.join(endpoints=[https_server.unused_url()], patience=0.1)


@pytest.mark.parametrize(
    ("configuration", "folder"),
    [
        ({}, "/var/lib/etcd"),
        ({"etcd": None}, "/var/lib/etcd"),
        ({"etcd": {"local": {"dataDir": "/srv/etcd"}}}, "/srv/etcd"),
    ],
)
def test_data_dir_is_what_the_cluster_says(configuration: dict[str, Any], folder: str) -> None:
    assert etcd_join.data_dir(configuration) == folder


def test_join_of_a_member_that_does_not_start_fails_and_gives_it_no_vote(host: Host) -> None:
    with pytest.raises(RequestFailed, match=r"found no started member cp9 after 0 s.*learner, not started"):
        host.join(start=lambda _initial_cluster: None, patience=0.1)
    assert host.entry["isLearner"] is True
