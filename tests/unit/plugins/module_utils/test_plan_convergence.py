# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed anywhere, limited to any hosts, and run again always end in one whole cluster.

A simulated cluster is planned for and changed by random runs, and then by whole ones that nobody disturbs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, plan, versions
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import SimulatedCluster

CONTROL_PLANE = ("cp1", "cp2", "cp3")
WORKERS = ("w1", "w2")
HOSTS = (*CONTROL_PLANE, *WORKERS)
# Each takes a control plane in by another order of stages.
FLAVOURS: dict[str, dict[str, Any]] = {
    "1.20": {"version": versions.parse("1.20.2")},
    "1.29": {"version": versions.parse("1.29.3")},
    "1.33": {"version": versions.parse("1.33.4")},
    "external etcd": {"external_etcd": True},
    "1.20, sealed": {"version": versions.parse("1.20.2"), "sealed": True},
    "1.29, sealed": {"version": versions.parse("1.29.3"), "sealed": True},
}
STAGES = 18


@dataclass(frozen=True)
class Disturbed:
    """One run that something befalls.

    Attributes:
        kills: by host, before which stage kubeadm is killed there.
        kubelets_go_on: kubelets that were started do their part nevertheless.
        order: of the hosts that join.
        time_passes: whether nodes that fell silent are NotReady by the next run.
        down: hosts that are switched off during it.
        scope: ``--limit``.
    """

    kills: dict[str, int]
    kubelets_go_on: bool
    order: tuple[str, ...]
    time_passes: bool
    down: frozenset[str] = frozenset()
    scope: frozenset[str] = field(default_factory=lambda: frozenset(HOSTS))


_kills = st.dictionaries(st.sampled_from(HOSTS), st.integers(0, STAGES), max_size=len(HOSTS))
_orders = st.permutations(HOSTS).map(tuple)
killed_runs = st.builds(Disturbed, _kills, st.booleans(), _orders, st.booleans())
limited_runs = st.builds(
    Disturbed,
    _kills,
    st.booleans(),
    _orders,
    st.booleans(),
    down=st.frozensets(st.sampled_from(HOSTS), max_size=2),
    scope=st.frozensets(st.sampled_from(HOSTS), min_size=1),
)


def serving_members(cluster: SimulatedCluster) -> set[str]:
    """Voters that have their data, on hosts that are nodes."""
    return {
        one.id
        for one in cluster.voters
        if one.started and one.host.name in cluster.nodes and evidence.KUBELET_CONF in one.host.traces
    }


def run(cluster: SimulatedCluster, scope: Collection[str] = HOSTS, **disturbance: Any) -> plan.Plan:
    """One run, whatever befalls it: it makes no second authority and takes from the cluster nothing that serves."""
    whole, serving, had_quorum = set(filter(cluster.is_whole, HOSTS)), serving_members(cluster), cluster.has_quorum
    made = cluster.run(scope, **disturbance)
    assert cluster.authorities_made <= 1
    assert whole <= set(filter(cluster.is_whole, HOSTS)), "a whole host was taken apart"
    assert serving <= serving_members(cluster), "a member that votes for a registered node was taken out"
    assert cluster.has_quorum or not had_quorum, "etcd's quorum was taken"
    return made


def disturb(cluster: SimulatedCluster, what: Disturbed) -> None:
    for name, host in cluster.hosts.items():
        host.up = name not in what.down
    run(cluster, what.scope, kills=what.kills, kubelets_go_on=what.kubelets_go_on, order=what.order)
    if what.time_passes:
        cluster.pass_time()


def finish(cluster: SimulatedCluster) -> plan.Plan:
    """Whole runs with every host up, until one finds nothing to do or patience ends."""
    for host in cluster.hosts.values():
        host.up = True
    for _round in range(5):
        cluster.pass_time()
        made = run(cluster)
        if not made.refusals and {step.action for step in made.steps.values()} == {plan.NOTHING}:
            break
    return made


def assert_whole(cluster: SimulatedCluster, made: plan.Plan) -> None:
    assert not made.refusals
    assert {host: step.action for host, step in made.steps.items()} == dict.fromkeys(HOSTS, plan.NOTHING)
    assert [name for name in HOSTS if not cluster.is_whole(name)] == []
    assert cluster.lasting == set(evidence.INIT_PHASES)
    assert cluster.authorities_made == 1
    assert len(cluster.members) == len(cluster.voters) == (0 if cluster.external_etcd else len(CONTROL_PLANE))


each_flavour = pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS.keys())


def build(flavour: dict[str, Any]) -> SimulatedCluster:
    return SimulatedCluster(len(CONTROL_PLANE), len(WORKERS), **flavour)


@each_flavour
def test_undisturbed_run_makes_a_whole_cluster(flavour: dict[str, Any]) -> None:
    cluster = build(flavour)
    run(cluster)
    assert_whole(cluster, cluster.plan())


@each_flavour
@settings(max_examples=200)
@given(history=st.lists(killed_runs, max_size=6))
def test_killed_runs_run_again_make_a_whole_cluster(flavour: dict[str, Any], history: list[Disturbed]) -> None:
    cluster = build(flavour)
    for what in history:
        disturb(cluster, what)
    assert_whole(cluster, finish(cluster))


@each_flavour
@settings(max_examples=200)
@given(history=st.lists(limited_runs, max_size=6))
def test_limited_runs_with_hosts_down_then_whole_runs_make_a_whole_cluster(
    flavour: dict[str, Any], history: list[Disturbed]
) -> None:
    cluster = build(flavour)
    for what in history:
        disturb(cluster, what)
    assert_whole(cluster, finish(cluster))


@each_flavour
@settings(max_examples=30)
@given(scope=st.frozensets(st.sampled_from(HOSTS), min_size=1), order=_orders)
def test_whole_cluster_planned_again_needs_nothing(
    flavour: dict[str, Any], scope: frozenset[str], order: tuple[str, ...]
) -> None:
    cluster = build(flavour)
    run(cluster, order=order)
    made = cluster.plan(scope)
    assert {host: step.action for host, step in made.steps.items()} == dict.fromkeys(scope, plan.NOTHING)
    assert not made.refusals
    assert not made.warnings


@pytest.mark.parametrize("goes_on", [True, False], ids=["kubelet goes on", "kubelet dies too"])
@pytest.mark.parametrize("stage", range(14))
def test_init_killed_before_any_stage_is_finished_by_the_next_run(stage: int, goes_on: bool) -> None:
    cluster = SimulatedCluster(3, 2)
    run(cluster, kills={"cp1": stage}, kubelets_go_on=goes_on)
    cluster.pass_time()
    run(cluster)
    assert_whole(cluster, cluster.plan())


@each_flavour
@pytest.mark.parametrize("goes_on", [True, False], ids=["kubelet goes on", "kubelet dies too"])
@pytest.mark.parametrize("stage", range(STAGES))
@pytest.mark.parametrize("host", ["cp3", "w1"])
def test_join_killed_before_any_stage_is_made_good(
    flavour: dict[str, Any], host: str, stage: int, goes_on: bool
) -> None:
    cluster = build(flavour)
    run(cluster, kills={host: stage}, kubelets_go_on=goes_on)
    assert_whole(cluster, finish(cluster))


@each_flavour
@pytest.mark.parametrize("stage", range(STAGES))
def test_undoing_a_broken_join_killed_before_any_stage_is_made_good(flavour: dict[str, Any], stage: int) -> None:
    cluster = build(flavour)
    run(cluster, kills={"cp3": 8}, kubelets_go_on=False)
    cluster.pass_time()
    run(cluster, kills={"cp3": stage}, kubelets_go_on=True)
    assert_whole(cluster, finish(cluster))


def test_node_object_of_a_lone_control_plane_that_was_deleted_comes_back_or_is_refused() -> None:
    cluster = SimulatedCluster(1, 0).converge()
    del cluster.nodes["cp1"]
    made = cluster.run()
    assert made.refusals or cluster.is_whole("cp1")
