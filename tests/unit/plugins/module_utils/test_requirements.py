# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that must not become nodes are refused, each with all that stands against it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import requirements
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem

FIT = {
    "hostname": "cp1",
    "os": "debian 12",
    "cpus": 2,
    "memory_mb": 1700,
    "time": 1_000_000.0,
    "machine_id": "a",
    "product_uuid": None,
    "mac": "02:00:00:00:00:01",
    "listening": [22],
}


def check(name: str = "cp1", *, control_plane: bool = True, own_etcd: bool = True, **machine: Any) -> list[Problem]:
    return requirements.check_new_node("cp1", name, {**FIT, **machine}, control_plane=control_plane, own_etcd=own_etcd)


def test_machine_at_the_limits_is_fit() -> None:
    assert check() == []


def test_machine_with_several_faults_is_refused_with_all_of_them() -> None:
    found = check("CP_1", cpus=1, memory_mb=1699, listening=[22, 6443, 2379])
    assert [problem.subject for problem in found] == ["node name", "CPUs", "memory", "ports"]
    assert "2379, 6443" in found[-1].found


def test_worker_is_not_held_to_a_control_planes_limits() -> None:
    assert check(control_plane=False, cpus=1, memory_mb=500, listening=[6443, 2379]) == []
    assert [problem.subject for problem in check(control_plane=False, listening=[10250])] == ["ports"]


def test_etcds_ports_may_be_taken_where_etcd_is_elsewhere() -> None:
    assert check(own_etcd=False, listening=[2379]) == []


@pytest.mark.parametrize("name", ["node1", "node-1.example.com", "1", "a" * 63])
def test_node_name_that_kubernetes_takes_is_taken(name: str) -> None:
    assert check(name) == []


@pytest.mark.parametrize("name", ["", "Node1", "node_1", "-node", "node-", "a..b", "node.", "a" * 254])
def test_node_name_that_kubernetes_refuses_is_refused(name: str) -> None:
    assert [problem.subject for problem in check(name)] == ["node name"]


@pytest.mark.parametrize("key", ["machine_id", "product_uuid", "mac"])
def test_identity_that_two_hosts_share_names_both(key: str) -> None:
    machines = {
        name: {**FIT, "machine_id": name, "mac": name, "product_uuid": name, **({key: "same"} if name != "w1" else {})}
        for name in ("cp1", "cp2", "w1")
    }
    found = requirements.check_distinct(machines)
    assert [(problem.host, problem.found) for problem in found] == [
        ("cp1", "same, also on cp2"),
        ("cp2", "same, also on cp1"),
    ]


def test_identity_that_no_host_has_is_shared_by_nobody() -> None:
    nothing = {**FIT, "machine_id": None, "mac": None}
    assert requirements.check_distinct({"cp1": nothing, "cp2": nothing}) == []


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=7), st.sampled_from([-600.0, 600.0, 86400.0]))
def test_clock_that_is_off_is_found_and_the_others_are_not(offsets: list[float], off: float) -> None:
    machines = {f"h{index}": {**FIT, "time": 1e9 + offset} for index, offset in enumerate(offsets)}
    assert requirements.check_clocks(machines, 0.0) == []
    machines["late"] = {**FIT, "time": 1e9 + off}
    (problem,) = requirements.check_clocks(machines, 0.0)
    assert problem.host == "late"
    assert ("ahead of" if off > 0 else "behind") in problem.found


def test_clocks_may_seem_apart_by_the_time_that_looking_took() -> None:
    machines = {"cp1": FIT, "cp2": FIT, "w300": {**FIT, "time": FIT["time"] + 200}}
    assert requirements.check_clocks(machines, 180.0) == []
    assert requirements.check_clocks(machines, 60.0) != []
