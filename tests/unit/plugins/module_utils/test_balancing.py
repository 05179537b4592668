# SPDX-License-Identifier: GPL-3.0-or-later
"""Back ends follow the members, and an endpoint that leads nowhere is told before anything depends on it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import plan
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import VirtualIp
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import (
    ENDPOINT,
    SimulatedCluster,
)

HOSTS = ("cp1", "cp2", "cp3", "w1", "w2")
SUBJECT = f"control plane endpoint {ENDPOINT}"
LOST = "no answer within 5 s"


def planned(cluster: SimulatedCluster, seen: dict[str, dict[str, Any]] | None = None, **wanted: Any) -> plan.Plan:
    """The plan where some hosts see the endpoint otherwise; balancers that are no nodes are hosts of their own."""
    balancers = wanted.get("load_balancers", frozenset())
    scope = wanted.pop("scope", {*cluster.hosts, *balancers})
    looks = {
        **cluster.looks(scope & cluster.hosts.keys()),
        **{host: plan.Observation(host, "10.0.1.1") for host in balancers & scope - cluster.hosts.keys()},
    }
    for host, changes in (seen or {}).items():
        look = looks[host]
        assert look
        looks[host] = dataclasses.replace(look, **changes)
    return plan.make(cluster.wanted(scope, **wanted), looks)


def told(problems: list[plan.Problem]) -> list[str]:
    return [str(problem) for problem in problems if problem.subject == SUBJECT]


@given(st.frozensets(st.sampled_from(HOSTS)), st.booleans())
def test_no_cluster_is_begun_where_packets_to_the_endpoint_are_lost(lost: frozenset[str], balanced: bool) -> None:
    balancers = frozenset(("lb1",)) if balanced else frozenset()
    made = planned(SimulatedCluster(3, 2), {h: {"endpoint_error": LOST} for h in lost}, load_balancers=balancers)
    assert bool(made.refusals) == bool(lost)
    assert all(host in describe(made.refusals) for host in lost)


def test_time_out_says_who_sees_it_and_what_to_do() -> None:
    made = planned(SimulatedCluster(3, 2), {"cp2": {"endpoint_error": LOST}, "w1": {"endpoint_error": LOST}})
    (text,) = told(made.refusals)
    assert f"found {LOST}, seen from cp2, w1; wanted a refusal at least" in text.replace(", wanted", "; wanted")
    assert "firewalls" in text


SILENT = {"endpoint_answers": False, "endpoint_ca": None}


def test_external_balancer_that_leads_nowhere_is_told_to_a_whole_cluster_and_stops_nothing() -> None:
    made = planned(SimulatedCluster(3, 1).converge(), {"w1": SILENT})
    assert not made.refusals
    (text,) = told(made.warnings)
    assert "found no API server, seen from w1" in text
    assert "GET /readyz" in text


def grown(*joining: str) -> SimulatedCluster:
    """A cluster that some hosts are not part of yet."""
    cluster = SimulatedCluster(3, 2)
    cluster.run(set(HOSTS) - set(joining))
    cluster.pass_time()
    return cluster


@pytest.mark.parametrize("changes", [SILENT, {**SILENT, "endpoint_error": LOST}])
def test_join_through_an_endpoint_that_leads_nowhere_is_refused(changes: dict[str, Any]) -> None:
    made = planned(grown("w2"), {"w2": changes})
    (text,) = told(made.refusals)
    assert "seen from w2" in text


def test_refusal_of_a_balancer_that_this_run_sets_up_stops_no_join() -> None:
    made = planned(grown("w2"), {"w2": SILENT}, load_balancers=frozenset(("lb1",)))
    assert not made.refusals
    assert not told(made.warnings)


def test_packets_lost_on_the_way_to_a_balancer_that_this_run_sets_up_are_told() -> None:
    lost = {**SILENT, "endpoint_error": "No route to host"}
    made = planned(grown("w2"), {"w2": lost}, load_balancers=frozenset(("lb1",)))
    assert "No route to host, seen from w2" in told(made.refusals)[0]


def test_member_that_left_the_inventory_stays_a_back_end_and_is_told() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    kept = frozenset(("cp1", "cp2"))
    made = planned(cluster, control_plane=kept, scope={*kept, "lb1"}, load_balancers=frozenset(("lb1",)))
    assert made.control_plane_addresses == {host.name: host.address for host in cluster.hosts.values()}
    (problem,) = [problem for problem in made.warnings if problem.subject == "load balancers"]
    assert problem.found.startswith("cp3 in the cluster")


def test_host_that_left_the_cluster_and_the_inventory_is_no_back_end() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    del cluster.nodes["cp3"]
    kept = frozenset(("cp1", "cp2"))
    assert planned(cluster, control_plane=kept, scope=set(kept)).control_plane_addresses.keys() == kept


@given(st.frozensets(st.sampled_from(("cp1", "cp2", "cp3")), max_size=1), st.frozensets(st.sampled_from(HOSTS)))
def test_back_ends_are_the_members_whoever_is_down_or_left_out(down: frozenset[str], scope: frozenset[str]) -> None:
    cluster = SimulatedCluster(3, 2).converge()
    for host in down:
        cluster.hosts[host].up = False
    made = planned(cluster, scope=set(scope - down) | {"lb1"}, load_balancers=frozenset(("lb1",)))
    assert not made.refusals
    assert made.control_plane_addresses == {
        name: host.address for name, host in cluster.hosts.items() if name in cluster.control_plane
    }


def test_new_control_plane_of_which_no_balancer_hears_is_told() -> None:
    made = planned(grown("cp3"), load_balancers=frozenset(("lb1",)), scope={"cp3"})
    (problem,) = [problem for problem in made.warnings if problem.subject == "load balancers"]
    assert "--limit lb1" in problem.action


@pytest.mark.parametrize("cluster", [SimulatedCluster(3, 1), SimulatedCluster(3, 1).converge()], ids=["bare", "whole"])
def test_balancer_on_a_control_plane_keeps_the_step_of_the_node_and_says_both(cluster: SimulatedCluster) -> None:
    alone = planned(cluster)
    made = planned(cluster, load_balancers=cluster.control_plane)
    assert {host: step.action for host, step in made.steps.items()} == {
        host: step.action for host, step in alone.steps.items()
    }
    assert {
        host for host, step in made.steps.items() if "balance the API servers" in str(step)
    } == cluster.control_plane


def test_control_plane_outside_the_run_does_not_stop_it_by_what_it_sees() -> None:
    cluster = SimulatedCluster(3, 0)
    looks = cluster.looks()
    look = looks["cp3"]
    assert look
    looks["cp3"] = dataclasses.replace(look, endpoint_error=LOST)
    assert not plan.make(cluster.wanted({"cp1", "cp2"}), looks).refusals


def test_listed_control_plane_is_one_back_end_whatever_the_cluster_calls_it_or_where_it_sees_it() -> None:
    """cp2 is off, and a node by another name; cp3 advertises another address than its kubelet."""
    cluster = SimulatedCluster(3, 0).converge()
    cluster.nodes["rack7"] = cluster.nodes.pop("cp2")
    cluster.nodes["cp3"]["address"] = "10.9.9.9"
    cluster.hosts["cp2"].up = False
    made = planned(cluster, scope={"cp1", "cp3"}, addresses={"cp2": cluster.hosts["cp2"].address})
    assert made.control_plane_addresses == {host.name: host.address for host in cluster.hosts.values()}


VIRTUAL = VirtualIp(ENDPOINT.rpartition(":")[0], 32, 10)
UNANSWERED = {**SILENT, "endpoint_error": "No route to host", "endpoint_addresses": (VIRTUAL.address,)}


def carried(cluster: SimulatedCluster, seen: dict[str, Any], *scope: str) -> plan.Plan:
    """The plan where load balancers are to carry the endpoint's address, of which one is seen by these hosts."""
    shown = {"address": "192.0.2.1", "interface": "eth0", "network": "192.0.2.0/24", "mac": "", "networks": []}
    shown.update(carries=False, configured=False, foreign=False, answered_by=[], heard=[], peers={}, wanted="")
    looks = {**{host: UNANSWERED | more for host, more in seen.items()}, "lb1": {"virtual_ip": shown}}
    looks = {host: look for host, look in looks.items() if host in scope}
    return planned(cluster, looks, load_balancers=frozenset(("lb1",)), virtual_ip=VIRTUAL, scope=set(scope))


def test_address_that_nobody_has_before_this_run_gives_it_to_one_is_no_reason_to_stop() -> None:
    for cluster, new in ((SimulatedCluster(3, 2), HOSTS), (grown("w2"), ("w2",))):
        made = carried(cluster, {host: {} for host in new}, "lb1", *HOSTS)
        assert not made.refusals, describe(made.refusals)
        assert not told(made.warnings)


def test_address_that_this_run_gives_to_nobody_is_a_reason_to_stop() -> None:
    assert told(carried(grown("w2"), {"w2": {}}, *HOSTS).refusals)


def test_name_that_means_nothing_is_a_reason_to_stop_whoever_gets_the_address() -> None:
    unknown = {"endpoint_addresses": (), "endpoint_error": "Name or service not known"}
    made = carried(SimulatedCluster(3, 2), {"w1": unknown}, "lb1", *HOSTS)
    assert "Name or service not known, seen from w1" in told(made.refusals)[0]
