# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's static pod: what kubeadm is told, what its manifest says, and when a member may be stopped for a moment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd_pod,
    kubeadm_config,
    membership,
    static_pods,
    versions,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member

PLACE = etcd_pod.Place(name="etcd1", address="10.0.0.1")
# As kubeadm 1.20.2 writes it.
MANIFEST = """
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://10.0.0.1:2379
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=https://10.0.0.1:2380
    - --initial-cluster=etcd1=https://10.0.0.1:2380,etcd2=https://10.0.0.2:2380
    - --initial-cluster-state=new
    - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379
    - --listen-peer-urls=https://10.0.0.1:2380
    - --name=etcd1
    - '--quoted=yes: it is'
    image: k8s.gcr.io/etcd:3.4.13-0
"""


def member(number: int, *, healthy: bool = True, learner: bool = False) -> Member:
    return Member(str(number), f"etcd{number}", (), (), learner, healthy=healthy)


def test_kubeadm_is_told_of_the_place_of_the_first_start_and_of_what_the_user_says() -> None:
    told = etcd_pod.description(
        PLACE,
        {"etcd": {"local": {"imageTag": "3.4.13-0", "extraArgs": {"snapshot-count": "5000", "name": "ignored"}}}},
        "/run/containerd/containerd.sock",
        {"initial-cluster": "etcd1=https://10.0.0.1:2380", "initial-cluster-state": "new"},
    )
    local = told.cluster["etcd"]["local"]
    assert local["dataDir"] == "/var/lib/etcd"
    assert local["imageTag"] == "3.4.13-0"
    flags = local["extraArgs"]
    assert flags["snapshot-count"] == "5000"
    assert flags["name"] == "etcd1"
    assert flags["initial-cluster"] == "etcd1=https://10.0.0.1:2380"
    assert flags["listen-client-urls"] == "https://127.0.0.1:2379,https://10.0.0.1:2379"
    assert "data-dir" not in flags
    assert told.node["localAPIEndpoint"] == {"advertiseAddress": "10.0.0.1"}


@pytest.mark.parametrize("version", ["1.20.2", "1.28.0", "1.34.0"])
def test_every_api_of_kubeadm_can_be_told(version: str) -> None:
    told = etcd_pod.description(PLACE, {}, None, {})
    documents = kubeadm_config.render_init(told, versions.parse(version))
    assert [document["kind"] for document in documents] == ["InitConfiguration", "ClusterConfiguration"]


def test_an_ipv6_address_stands_in_brackets() -> None:
    place = replace(PLACE, address="fd00::1", client_port=3379)
    assert place.client_url == "https://[fd00::1]:3379"
    assert place.flags()["listen-client-urls"] == "https://127.0.0.1:3379,https://[fd00::1]:3379"


def test_a_manifest_says_what_its_member_runs_with() -> None:
    flags = static_pods.flags_of(MANIFEST)
    assert flags["quoted"] == "yes: it is"
    assert etcd_pod.first_start_of(flags) == {
        "initial-cluster": "etcd1=https://10.0.0.1:2380,etcd2=https://10.0.0.2:2380",
        "initial-cluster-state": "new",
    }
    assert etcd_pod.moved(PLACE, flags) == []


@pytest.mark.parametrize(
    ("elsewhere", "flag"),
    [
        ({"data_dir": "/srv/etcd"}, "--data-dir"),
        ({"client_port": 3379}, "--listen-client-urls"),
        ({"peer_port": 3380}, "--listen-peer-urls"),
        ({"address": "10.0.0.9"}, "--initial-advertise-peer-urls"),
        ({"name": "other"}, "--name"),
    ],
)
def test_a_member_with_data_is_not_moved_by_its_manifest(elsewhere: dict[str, object], flag: str) -> None:
    problems = etcd_pod.moved(replace(PLACE, **elsewhere), static_pods.flags_of(MANIFEST))
    assert any(flag in problem.subject for problem in problems)


def test_one_of_three_may_restart_and_one_of_two_may_not() -> None:
    assert membership.restart_problem(PLACE.name, [member(1), member(2), member(3)]) is None
    problem = membership.restart_problem(PLACE.name, [member(1), member(2), member(3, healthy=False)])
    assert problem is not None
    assert (problem.found, problem.wanted) == ("1 healthy of 3 voters while this one restarts", "2")
    assert membership.restart_problem(PLACE.name, [member(1), member(2)]) is not None


def test_what_is_down_already_and_what_is_alone_may_restart() -> None:
    assert (
        membership.restart_problem(PLACE.name, [member(1, healthy=False), member(2), member(3, healthy=False)]) is None
    )
    assert membership.restart_problem(PLACE.name, [member(1)]) is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=7))
def test_no_restart_that_is_allowed_takes_the_quorum(kinds: list[tuple[bool, bool]]) -> None:
    members = [
        member(number, healthy=healthy, learner=learner and number > 1)
        for number, (healthy, learner) in enumerate(kinds, 1)
    ]
    voters = [one for one in members if not one.learner]
    before = sum(one.healthy for one in voters) * 2 > len(voters)
    after = sum(one.healthy and one.name != PLACE.name for one in voters) * 2 > len(voters)
    if len(voters) > 1 and before and not after:
        assert membership.restart_problem(PLACE.name, members) is not None
    if after:
        assert membership.restart_problem(PLACE.name, members) is None
