# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs for etcd hosts that are killed anywhere, limited to any hosts, and run again end in one etcd cluster.

Whatever befalls them, they form one cluster, make one CA, and never begin a second of either.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import plan
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_etcd_hosts import (
    CA_KEY,
    CONTROL_PLANE,
    SimulatedEtcdHosts,
)

HOSTS = ("etcd1", "etcd2", "etcd3")
STAGES = 20


@dataclass(frozen=True)
class Disturbed:
    """One run that something befalls.

    Attributes:
        killed_before: its stage, counted over all hosts.
        down: hosts that are switched off during it.
        scope: ``--limit``.
        grows: the inventory has one more host from now on.
    """

    killed_before: int | None = None
    down: frozenset[str] = frozenset()
    scope: frozenset[str] | None = None
    grows: bool = field(default=False)


_names = st.frozensets(st.sampled_from((*HOSTS, CONTROL_PLANE)), min_size=1)
histories = st.lists(
    st.builds(
        Disturbed,
        st.none() | st.integers(0, STAGES),
        st.frozensets(st.sampled_from(HOSTS), max_size=2),
        st.none() | _names,
        st.integers(0, 9).map(lambda luck: luck == 0),
    ),
    max_size=5,
)


def run(etcd: SimulatedEtcdHosts, scope: frozenset[str] | None = None, killed_before: int | None = None) -> plan.Plan:
    """One run, whatever befalls it, and what it may never do."""
    formed, had_quorum, initialised = list(etcd.formed), etcd.has_quorum and bool(etcd.members), etcd.initialised
    made = etcd.run(scope, killed_before=killed_before)
    starts = {host for host, step in made.steps.items() if step.action == plan.START}
    if starts and not made.refusals:
        assert starts == set(etcd.hosts), "a start is of all hosts"
        assert not formed, "a formed cluster is never started again"
        assert not initialised, "no etcd is started for a cluster that lives in another one"
    assert len(etcd.formed) <= 1
    assert sum(CA_KEY in host.traces for host in etcd.hosts.values()) <= 1
    assert etcd.has_quorum or not had_quorum, "etcd's quorum was taken"
    return made


def finish(etcd: SimulatedEtcdHosts) -> plan.Plan:
    """Whole runs with every host up, until one finds nothing to do or patience ends."""
    for host in etcd.hosts.values():
        host.up = True
    etcd.settle()
    for _round in range(6):
        made = run(etcd)
        if not made.refusals and {step.action for step in made.steps.values()} == {plan.NOTHING}:
            break
    return made


def assert_whole(etcd: SimulatedEtcdHosts, made: plan.Plan) -> None:
    assert made.refusals == []
    assert {step.action for step in made.steps.values()} == {plan.NOTHING}
    assert [name for name in etcd.hosts if not etcd.is_whole(name)] == []
    assert len(etcd.members) == len(etcd.hosts)
    assert made.etcd.external()["endpoints"] == sorted(f"https://{host.address}:2379" for host in etcd.hosts.values())
    assert len({host.ca for host in etcd.hosts.values()}) == 1
    assert etcd.initialised


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_one_run_makes_a_whole_cluster(size: int) -> None:
    etcd = SimulatedEtcdHosts(size)
    run(etcd)
    assert_whole(etcd, etcd.plan())
    assert etcd.authorities_made == 1


@pytest.mark.parametrize("stage", range(STAGES))
def test_a_build_killed_before_any_stage_is_finished_by_the_next_run(stage: int) -> None:
    etcd = SimulatedEtcdHosts()
    run(etcd, killed_before=stage)
    run(etcd)
    assert_whole(etcd, etcd.plan())


@pytest.mark.parametrize("stage", range(STAGES))
def test_an_addition_killed_before_any_stage_is_finished_by_the_next_run(stage: int) -> None:
    etcd = SimulatedEtcdHosts()
    run(etcd)
    etcd.grow()
    etcd.grow()
    run(etcd, killed_before=stage)
    assert_whole(etcd, finish(etcd))


@settings(max_examples=300)
@given(histories, st.none() | st.sampled_from(HOSTS))
def test_disturbed_runs_then_whole_ones_make_a_whole_cluster(history: list[Disturbed], given_to: str | None) -> None:
    etcd = SimulatedEtcdHosts()
    if given_to:
        etcd.give_ca(given_to)
    for what in history:
        if what.grows and etcd.formed:  # before that, another inventory is another start
            etcd.grow()
        for name, host in etcd.hosts.items():
            host.up = name not in what.down
        run(etcd, what.scope, what.killed_before)
    assert_whole(etcd, finish(etcd))
    assert given_to is None or etcd.authorities_made == 0


@settings(max_examples=100)
@given(_names)
def test_a_whole_cluster_planned_again_needs_nothing(scope: frozenset[str]) -> None:
    etcd = SimulatedEtcdHosts()
    run(etcd)
    made = etcd.plan(scope)
    assert {host: step.action for host, step in made.steps.items()} == dict.fromkeys(scope, plan.NOTHING)
    assert not made.refusals
    assert [problem for problem in made.warnings if problem.subject == "etcd hosts"] == []


def test_data_that_is_gone_is_missed_by_nobody_but_the_plan() -> None:
    etcd = SimulatedEtcdHosts()
    run(etcd)
    lost = etcd.hosts["etcd2"]
    lost.data = None
    etcd.settle()
    assert lost.data is None, "its peers know that it was there"
    made = run(etcd)
    assert [(problem.host, problem.subject) for problem in made.refusals] == [("etcd2", "etcd member")]


def test_a_cluster_without_quorum_is_never_started_again() -> None:
    etcd = SimulatedEtcdHosts()
    run(etcd)
    for name in ("etcd1", "etcd2"):
        etcd.hosts[name].data = None
        etcd.hosts[name].traces.clear()
        etcd.hosts[name].ca = None
    made = run(etcd)
    assert {problem.subject for problem in made.refusals} >= {"etcd quorum"}
    assert etcd.hosts["etcd1"].data is None


def test_an_inventory_that_grew_over_an_interrupted_start_is_refused_with_what_to_reset() -> None:
    etcd = SimulatedEtcdHosts()
    run(etcd, killed_before=11)
    assert etcd.hosts["etcd1"].initial_cluster
    assert not etcd.formed
    etcd.grow()
    made = run(etcd)
    assert made.refusals
    assert all("another cluster" in problem.found for problem in made.refusals)
