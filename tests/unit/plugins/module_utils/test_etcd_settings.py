# SPDX-License-Identifier: GPL-3.0-or-later
"""What users say of etcd hosts: ports, folders and times that etcd would not take are told by host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_settings
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_settings import EtcdSettings
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem

HEARTBEAT, ELECTION = "cluster_etcd_heartbeat_milliseconds", "cluster_etcd_election_milliseconds"
GROUPS = {"control_plane": frozenset(("cp1",)), "workers": frozenset(("w1",)), "etcd": frozenset[str]()}


def check(**said: Any) -> list[Problem]:
    return etcd_settings.check({"etcd1": said, "etcd2": said}, "1.20.2")


def subjects(problems: list[Problem]) -> set[tuple[str, str]]:
    return {(problem.host, problem.subject) for problem in problems}


def both(subject: str) -> set[tuple[str, str]]:
    return {("etcd1", subject), ("etcd2", subject)}


def test_nothing_said_is_fine_and_means_what_kubeadm_does() -> None:
    assert check() == []
    settings = EtcdSettings.from_variables({})
    assert (settings.data_dir, settings.client_port, settings.peer_port) == ("/var/lib/etcd", 2379, 2380)


def test_everything_said_is_taken() -> None:
    said: dict[str, Any] = {
        "cluster_etcd_data_dir": "/srv/etcd/",
        "cluster_etcd_client_port": "12379",
        "cluster_etcd_peer_port": 12380,
        HEARTBEAT: 250,
        ELECTION: 2500,
        "cluster_etcd_extra_args": {"quota-backend-bytes": "8589934592"},
        "cluster_etcd_local": {"imageTag": "3.4.13-0"},
    }
    assert check(**said) == []
    assert EtcdSettings.from_variables(said) == EtcdSettings("/srv/etcd", 12379, 12380)


@pytest.mark.parametrize("folder", ["etcd", "", "/", "//", "/..", 7, "./etcd"])
def test_a_folder_that_is_none_is_refused(folder: object) -> None:
    assert subjects(check(cluster_etcd_data_dir=folder)) == both("cluster_etcd_data_dir")


@pytest.mark.parametrize("port", [0, -1, 65536, "http", True, 2381, 10248, 10250, 2380, [2379]])
def test_a_port_that_is_none_or_taken_is_refused(port: object) -> None:
    found = check(cluster_etcd_client_port=port)
    assert {problem.host for problem in found} == {"etcd1", "etcd2"}
    assert {problem.subject for problem in found} <= {"cluster_etcd_client_port", "cluster_etcd_peer_port"}


@given(st.integers(1, 60_000), st.integers(1, 60_000))
def test_times_are_those_that_etcd_takes(heartbeat: int, election: int) -> None:
    taken = 5 * heartbeat <= election <= 50_000
    assert (check(**{HEARTBEAT: heartbeat, ELECTION: election}) == []) is taken


@pytest.mark.parametrize("value", [0, -5, "soon", 1.5, False])
@pytest.mark.parametrize("name", [HEARTBEAT, ELECTION])
def test_times_that_are_none_are_refused(name: str, value: object) -> None:
    assert subjects(check(**{name: value})) == both(name)


def test_a_heartbeat_is_judged_beside_the_election_that_etcd_has_by_itself() -> None:
    (problem, _other) = check(**{HEARTBEAT: 300})
    assert (problem.subject, problem.found) == (ELECTION, "1000, with heartbeats every 300")
    assert problem.wanted.startswith("at least 1500")


def test_members_that_count_differently_are_refused() -> None:
    (problem,) = etcd_settings.check({"etcd1": {ELECTION: 1000}, "etcd2": {ELECTION: 2000}, "etcd3": {}}, "1.20.2")
    assert (problem.host, problem.subject) == (CLUSTER, ELECTION)
    assert problem.found == "1000 on etcd1, 2000 on etcd2, etcd's default on etcd3"


@pytest.mark.parametrize("name", ["name", "initial-cluster", "data-dir", "listen-peer-urls", "force-new-cluster"])
def test_arguments_that_the_run_makes_are_refused(name: str) -> None:
    assert subjects(check(cluster_etcd_extra_args={name: "x"})) == both(f"cluster_etcd_extra_args.{name}")


@pytest.mark.parametrize("value", ["a", ["a"], 1])
def test_arguments_of_another_form_are_refused(value: object) -> None:
    assert subjects(check(cluster_etcd_extra_args=value)) == both("cluster_etcd_extra_args")


@pytest.mark.parametrize(
    ("local", "subject"),
    [
        ({"imageTga": "3.4.13-0"}, "cluster_etcd_local.imageTga"),
        ({"dataDir": "/srv/etcd"}, "cluster_etcd_local.dataDir"),
        ({"extraArgs": {"a": "b"}}, "cluster_etcd_local.extraArgs"),
    ],
)
def test_fields_that_kubeadm_does_not_have_or_others_say_are_refused(local: dict[str, Any], subject: str) -> None:
    assert subjects(check(cluster_etcd_local=local)) == both(subject)


def test_what_is_said_of_etcd_hosts_while_there_are_none_is_told() -> None:
    said = {"cluster_etcd_data_dir": {"cp1": "/srv/etcd"}, "cluster_name": {"cp1": "a"}}
    (problem,) = etcd_settings.unread(said, GROUPS)
    assert (problem.host, problem.subject) == (CLUSTER, "cluster_etcd_data_dir")
    assert etcd_settings.unread(said, {**GROUPS, "etcd": frozenset(("etcd1",))}) == []


def topology(variables: dict[str, Any], *etcd: str) -> list[Problem]:
    return etcd_settings.check_topology(variables, {**GROUPS, "etcd": frozenset(etcd)})


ENDPOINTS = {"cluster_etcd_endpoints": ["https://192.0.2.41:2379"]}
EXTERNAL = {"cluster_etcd_topology": "external"}


def test_etcd_in_one_place_is_fine() -> None:
    assert topology({}) == topology({"cluster_etcd_topology": "stacked"}) == []
    assert topology(EXTERNAL, "etcd1") == topology({**EXTERNAL, **ENDPOINTS}) == []
    assert topology({"cluster_configuration": {"etcd": {"local": {"dataDir": "/srv/etcd"}}}}) == []


@pytest.mark.parametrize(
    ("variables", "etcd", "subject"),
    [
        ({}, ["etcd1"], "cluster_etcd_topology"),
        (ENDPOINTS, [], "cluster_etcd_topology"),
        (EXTERNAL, [], "cluster_etcd_topology"),
        ({**EXTERNAL, **ENDPOINTS}, ["etcd1"], "cluster_etcd_endpoints"),
        (EXTERNAL, ["cp1", "etcd1"], "groups"),
        (EXTERNAL, ["w1", "etcd1"], "groups"),
        (
            {**EXTERNAL, "cluster_configuration": {"etcd": {"local": {"dataDir": "/srv/etcd"}}}},
            ["etcd1"],
            "cluster_configuration.etcd.local",
        ),
    ],
)
def test_etcd_in_two_places_or_none_is_refused(variables: dict[str, Any], etcd: list[str], subject: str) -> None:
    (problem,) = topology(variables, *etcd)
    assert problem.subject == subject
    assert problem.host == (etcd[0] if subject == "groups" else CLUSTER)
