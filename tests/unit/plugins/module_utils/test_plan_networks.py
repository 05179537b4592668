# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan makes of the hosts' networks and of the network that a cluster has."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import plan, pod_network, requirements, subnets
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import ENDPOINT, SimulatedCluster

ADDRESS = {"network": "10.244.0.0/24", "device": "eth0", "kind": "address", "protocol": ""}
WIDE = {"network": "10.0.0.0/8", "device": "vpn0", "kind": "route", "protocol": "static"}
ASKED = {
    "pods": subnets.parse("10.244.0.0/16"),
    "services": subnets.parse("10.96.0.0/12"),
    "network": "bridge",
}
BORN = {subnets.PODS: "10.244.0.0/16", subnets.SERVICES: "10.96.0.0/12"}


@pytest.fixture(autouse=True)
def sound_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machines are no subject here."""
    for name in ("check_new_node", "check_distinct", "check_clocks"):
        monkeypatch.setattr(requirements, name, lambda *_given, **_named: [])


def decide(cluster: SimulatedCluster, seen: dict[str, dict[str, Any]], **asked: Any) -> plan.Plan:
    """The plan, with more to be seen of some hosts."""
    looks = cluster.looks()
    for host, more in seen.items():
        look = looks.get(host)
        assert look is not None
        looks[host] = dataclasses.replace(look, **more)
    return plan.make(cluster.wanted(**{**ASKED, **asked}), looks)


def networks(*found: dict[str, str], cni: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"machine": {"networks": list(found), "cni": cni}}


def subjects(problems: list[plan.Problem]) -> list[tuple[str, str]]:
    return sorted((problem.host, problem.subject) for problem in problems)


def test_networks_of_all_hosts_are_refused_at_once() -> None:
    made = decide(SimulatedCluster(1, 1), {"cp1": networks(ADDRESS), "w1": networks(ADDRESS, WIDE)})
    assert subjects(made.refusals) == [(host, "address 10.244.0.0/24 on eth0") for host in ("cp1", "w1")]
    assert subjects(made.warnings) == [("w1", "route 10.0.0.0/8 on vpn0")] * 2


def test_networks_of_a_node_are_its_own_affair() -> None:
    cluster = SimulatedCluster(1, 1).converge()
    assert decide(cluster, {"cp1": networks(ADDRESS), "w1": networks(ADDRESS)}).refusals == []


def test_networks_of_the_host_that_joins_a_live_cluster_are_judged() -> None:
    cluster = SimulatedCluster(1, 1).converge()
    cluster.reset(cluster.hosts["w1"])
    del cluster.nodes["w1"]
    made = decide(cluster, {"cp1": networks(ADDRESS), "w1": networks(ADDRESS)})
    assert subjects(made.refusals) == [("w1", "address 10.244.0.0/24 on eth0")]


def test_networks_of_a_load_balancer_are_only_said() -> None:
    cluster = SimulatedCluster(1, 0)
    looks = {**cluster.looks(), "lb1": plan.Observation("lb1", "10.0.0.9", **networks(ADDRESS))}
    wanted = cluster.wanted(**ASKED, load_balancers=frozenset(("lb1",)), scope=frozenset(("cp1", "lb1")))
    made = plan.make(wanted, looks)
    assert made.refusals == []
    assert ("lb1", "address 10.244.0.0/24 on eth0") in subjects(made.warnings)


def test_networks_that_nobody_can_tell_are_said_to_be_unknown() -> None:
    made = decide(SimulatedCluster(1, 0), {"cp1": {"machine": {"networks": None}}})
    assert (made.refusals, ("cp1", "networks") in subjects(made.warnings)) == ([], True)


def test_endpoint_whose_name_leads_into_the_pods_is_refused() -> None:
    made = decide(SimulatedCluster(1, 0), {"cp1": {"endpoint_addresses": ("10.244.1.1", "192.0.2.1")}})
    (problem,) = made.refusals
    assert problem.found.startswith(f"{ENDPOINT}, 10.244.1.1 of which")


def test_control_plane_of_another_family_than_its_services_is_refused() -> None:
    ipv6 = {"pods": subnets.parse("fd00:1::/48"), "services": subnets.parse("fd00:2::/112")}
    made = decide(SimulatedCluster(1, 1), {}, **ipv6)
    assert subjects(made.refusals) == [("cp1", "address")]


def test_configuration_of_the_bridge_under_another_network_is_refused() -> None:
    made = decide(SimulatedCluster(1, 0), {"cp1": networks(cni=("10-bridge.conflist",))}, network="flannel")
    assert [problem.found for problem in made.refusals] == ["10-bridge.conflist"]


@pytest.mark.parametrize("born", [BORN, {}])
def test_live_cluster_with_its_own_subnets_is_fine(born: dict[str, str]) -> None:
    made = decide(SimulatedCluster(1, 1).converge(), {"cp1": {"subnets": born}})
    assert made.refusals == []


def test_live_cluster_with_other_subnets_is_refused() -> None:
    made = decide(SimulatedCluster(1, 1).converge(), {"cp1": {"subnets": {**BORN, subnets.PODS: "10.7.0.0/16"}}})
    assert subjects(made.refusals) == [("cluster", subnets.PODS)]


@pytest.mark.parametrize(
    ("wanted", "refused", "said"), [("bridge", 0, 0), ("flannel", 1, 0), ("none", 0, 1)], ids=["same", "other", "none"]
)
def test_live_cluster_keeps_its_network(wanted: str, refused: int, said: int) -> None:
    record = {"network": "bridge", "objects": []}
    made = decide(SimulatedCluster(1, 1).converge(), {"cp1": {"network": record}}, network=wanted)
    warnings = [problem for problem in made.warnings if problem.subject == "cluster_network"]
    assert (len(made.refusals), len(warnings)) == (refused, said)


def test_live_cluster_names_the_objects_that_its_manifests_no_longer_bring() -> None:
    names = ["DaemonSet.apps kube-system/old", "Namespace net"]
    record = {"network": "manifest", "objects": names}
    cluster, asked = SimulatedCluster(1, 1).converge(), {"network": "manifest", "network_objects": frozenset(names[1:])}
    made = decide(cluster, {"cp1": {"network": record}}, **asked)
    assert [problem.found for problem in made.warnings if problem.subject == "pod network"] == names[:1]
    assert made.refusals == []
    assert pod_network.check_record("manifest", names, record) == ([], [])
