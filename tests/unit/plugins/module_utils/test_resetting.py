# SPDX-License-Identifier: GPL-3.0-or-later
"""No host is reset that was not meant, or that a living cluster would miss."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import resetting
from ansible_collections.kubeadm.ha.plugins.module_utils.resetting import Look

OURS, THEIRS = "3f8a6c01d2e4", "aaaaaaaaaaaa"
NODES = ("cp1", "cp2", "cp3", "w1")
CONTROL_PLANES = NODES[:3]


def living(ready: Mapping[str, bool] | None = None) -> dict[str, Look]:
    """A whole cluster."""
    nodes = dict.fromkeys(NODES, True) | dict(ready or {})
    members = frozenset(CONTROL_PLANES)
    looks = {name: Look(frozenset({name}), frozenset({OURS}), ("kubelet.service",)) for name in NODES}
    for name in CONTROL_PLANES:
        looks[name] = Look(looks[name].names, looks[name].ids, looks[name].removed, nodes=nodes, members=members)
    return looks | {"lb1": Look(frozenset({"lb1"}))}


def parted(looks: Mapping[str, Look | None], scope: set[str]) -> resetting.Plan:
    """The plan for a run over some of the hosts."""
    inside = {host: look for host, look in looks.items() if host in scope}
    outside = {host: looks[host] for host in CONTROL_PLANES if host not in scope}
    return resetting.decide(OURS, inside, outside, [host for host in inside if host == "lb1"])


def silent(looks: dict[str, Look], *hosts: str) -> dict[str, Look | None]:
    return {**looks, **dict.fromkeys(hosts)}


def test_whole_cluster_may_go() -> None:
    assert parted(living(), {*NODES, "lb1"}).refusals() == []


@given(st.sets(st.sampled_from([*NODES, "lb1"]), min_size=1))
def test_part_of_a_living_cluster_may_not_go(scope: set[str]) -> None:
    refused = {problem.host for problem in parted(living(), scope).problems}
    assert refused == (set() if scope >= {*NODES} else scope)


@given(st.sets(st.sampled_from(NODES), min_size=1), st.sets(st.sampled_from(NODES)))
def test_nothing_goes_while_a_ready_node_is_elsewhere(scope: set[str], dead: set[str]) -> None:
    looks = living(dict.fromkeys(dead, False))
    plan = parted(silent(looks, *(dead - scope)), scope)
    asked = (scope | {*NODES} - dead) & {*CONTROL_PLANES}
    if asked and {*NODES} - scope - dead:
        assert {problem.host for problem in plan.problems} == scope
    else:
        assert plan.refusals() == []


def test_host_that_has_left_may_go_while_the_cluster_lives() -> None:
    looks = living()
    nodes = {"cp1": True, "cp2": True, "w1": True}
    for name in ("cp1", "cp2"):
        looks[name] = Look(looks[name].names, looks[name].ids, nodes=nodes, members=frozenset({"cp1", "cp2"}))
    looks["cp3"] = Look(frozenset({"cp3"}), frozenset({OURS}), ("kubelet.service",))
    assert parted(looks, {"cp3"}).refusals() == []


def test_member_without_a_node_may_not_go_while_the_cluster_lives() -> None:
    looks = living()
    nodes = {"cp1": True, "cp2": True, "w1": True}
    for name in ("cp1", "cp2"):
        looks[name] = Look(looks[name].names, looks[name].ids, nodes=nodes, members=frozenset(CONTROL_PLANES))
    looks["cp3"] = Look(frozenset({"cp3"}), frozenset({OURS}), ("kubelet.service",))
    (problem,) = parted(looks, {"cp3"}).problems
    assert problem.action.startswith("Run remove_node.yml with -e remove_node_name=cp3 first")


def test_nothing_goes_in_part_while_nobody_tells_who_belongs_to_the_cluster() -> None:
    looks = {name: Look(look.names, look.ids, look.removed) for name, look in living().items()}
    (problem,) = parted(looks, {"cp3"}).problems
    assert (problem.host, problem.subject) == ("cluster", "API server")
    assert "cp1, cp2 outside of this run" in problem.found
    assert parted(looks, {*NODES}).refusals() == []
    assert parted(silent(looks, "cp1", "cp2"), {"cp3", "w1"}).refusals() == []


def test_silent_host_is_named_with_the_way_to_leave_it_out() -> None:
    (refusal,) = parted(silent(living(), "w1"), {*NODES}).refusals()
    assert refusal.startswith("w1: connection: found no answer, wanted one, to reset it.")
    assert "--limit 'all:!w1'" in refusal


@pytest.mark.parametrize("confirmed", ["", "3f8a", "none", OURS.upper(), f"sha256:{OURS}"])
def test_what_confirms_nothing_is_answered_with_the_id(confirmed: str) -> None:
    (refusal,) = resetting.decide(confirmed, living(), {}).refusals()
    assert f"wanted {OURS} (cp1, cp2, cp3, w1)" in refusal
    assert f"-e reset_confirm={OURS}" in refusal


def test_host_of_another_cluster_is_named_once() -> None:
    looks = living()
    looks["w1"] = Look(frozenset({"w1"}), frozenset({THEIRS}), hindrance="cluster: found another")
    (refusal,) = resetting.decide(OURS, looks, {}).refusals()
    assert refusal.startswith(f"w1: cluster: found {THEIRS}, wanted {OURS}")


@given(st.text(alphabet="0123456789abcdef", min_size=12, max_size=12).filter(lambda each: each != OURS))
def test_wrong_id_is_refused_on_every_host(confirmed: str) -> None:
    refused = {problem.host for problem in resetting.decide(confirmed, living(), {}).problems}
    assert refused == {*NODES}


@pytest.mark.parametrize("confirmed", [OURS, "none"])
def test_what_shows_no_cluster_may_be_cleared(confirmed: str) -> None:
    assert resetting.decide(confirmed, {"cp1": Look(removed=("content of /etc/kubernetes",))}, {}).refusals() == []
    (refusal,) = resetting.decide("", {"cp1": Look()}, {}).refusals()
    assert "wanted none, for no host shows a cluster" in refusal


def test_hindrances_are_said_beside_all_else() -> None:
    looks = silent(living(), "w1") | {
        "cp1": Look(frozenset({"cp1"}), hindrance="container runtime: found none. Start it.")
    }
    refusals = resetting.decide(OURS, looks, {}).refusals()
    assert [line.split(":")[0] for line in refusals] == ["w1", "cp1"]


def test_text_names_what_goes_and_what_stays() -> None:
    look = Look(ids=frozenset({OURS}), removed=("kubelet.service", "link cni0"), left=("/root/.kube/config: why",))
    text = resetting.decide(OURS, {"w1": look, "w2": Look()}, {}).text()
    assert text.splitlines() == [
        f"Reset of cluster {OURS}",
        "  w1: kubelet.service, link cni0",
        "    stays: /root/.kube/config: why",
        "  w2: nothing is there to be removed",
    ]


def test_look_is_read_from_what_the_modules_return() -> None:
    info = {
        "node_name": "cp1",
        "identity": "old-name",
        "api": {"answers": True, "nodes": {"cp1": {"ready": True}}},
        "etcd": {"answers": False, "members": []},
    }
    look = Look.of(info, {"cluster_ids": [OURS], "removed": ["x"], "left": []})
    assert look.names == {"cp1", "old-name"}
    assert (look.nodes, look.members) == ({"cp1": True}, None)
    assert Look.of(info, {"cluster_ids": [OURS], "msg": "why"}).hindrance == "why"
    assert Look.of({"api": None, "etcd": None}, None, ids=[OURS]).ids == {OURS}
