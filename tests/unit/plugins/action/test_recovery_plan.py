# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of a recovery: who could not be looked at, and which groups plays select by."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.action import cluster_plan, recovery_plan
from ansible_collections.kubeadm.ha.plugins.module_utils import plan, recovery, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.recovery import Action, Recovery

WANTED = plan.Wanted(
    versions.parse("1.20.2"),
    "192.0.2.10:6443",
    frozenset({"cp1", "cp2", "cp3"}),
    workers=frozenset({"w1"}),
    load_balancers=frozenset({"lb1"}),
)
EVERYONE = ("cp1", "cp2", "cp3", "lb1", "w1")


def made(*actions: Action, passed_over: set[str] | None = None, begins: str | None = None) -> Recovery:
    return Recovery(actions=list(actions), passed_over=passed_over or set(), begins=begins)


def test_without_apply_every_host_is_left_alone() -> None:
    groups = recovery_plan.groups(WANTED, made(Action(recovery.WIPE, "cp2", "cp2", "cp2")), recovery.Ask(), apply=False)
    assert groups == dict.fromkeys(EVERYONE, ["cluster_dead"])


def test_with_apply_the_dead_are_left_alone_and_others_are_worked_on() -> None:
    actions = (
        Action(recovery.SNAPSHOT, "cp2", "cp2", "cp2"),
        Action(recovery.REMOVE_MEMBER, "1", "cp1", "cp2"),
        Action(recovery.DELETE_NODE, "cp1", "cp1", "cp3"),
        Action(recovery.WIPE, "cp3", "cp3", "cp3"),
        Action(recovery.BUILD, "", "", ""),
    )
    groups = recovery_plan.groups(WANTED, made(*actions, passed_over={"cp1"}), recovery.Ask(), apply=True)
    assert groups == {
        "cp1": ["cluster_dead"],
        "cp2": ["recovery_etcd"],
        "cp3": ["recovery_nodes", "recovery_wipe"],
        "lb1": [],
        "w1": [],
    }


@pytest.mark.parametrize("apply", [True, False])
def test_who_needs_nothing_is_kept_as_it_is(apply: bool) -> None:
    groups = recovery_plan.groups(WANTED, Recovery(kept={"cp1", "w1"}), recovery.Ask(), apply=apply)
    assert {host for host, names in groups.items() if "cluster_kept" in names} == ({"cp1", "w1"} if apply else set())


def test_where_etcd_begins_again_all_that_live_forget_the_past() -> None:
    actions = (Action(recovery.BEGIN, "cp3", "", "cp3"), Action(recovery.FOLLOW, "cp2", "", "cp2"))
    groups = recovery_plan.groups(WANTED, made(*actions, passed_over={"cp1"}, begins="cp3"), recovery.Ask(), apply=True)
    assert groups == {
        "cp1": ["cluster_dead"],
        "cp2": ["recovery_api", "recovery_follow", "recovery_kubelets"],
        "cp3": ["recovery_api", "recovery_begin", "recovery_kubelets"],
        "lb1": [],
        "w1": ["recovery_kubelets"],
    }


@pytest.mark.parametrize("private_key", [True, False])
def test_an_encrypted_snapshot_is_opened_where_etcd_begins_again(private_key: bool) -> None:
    ask = recovery.Ask(snapshot=True, private_key=private_key)
    groups = recovery_plan.groups(WANTED, made(Action(recovery.BEGIN, "cp3", "", "cp3"), begins="cp3"), ask, apply=True)
    assert ("recovery_open" in groups["cp3"]) is private_key
    assert not any("recovery_open" in names for host, names in groups.items() if host != "cp3")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            "Failed to connect to the host via ssh: ssh: connect to host cp1 port 22: No route to host",
            "No route to host",
        ),
        (
            'Task failed: Data could not be sent to remote host "10.0.0.1". Make sure this\nhost can be reached over '
            "ssh: ssh: connect to host 10.0.0.1 port 22: Connection timed out.",
            "connect to host 10.0.0.1 port 22: Connection timed out",
        ),
        ("", ""),
    ],
)
def test_why_a_host_did_not_answer_is_in_ssh_s_words(message: str, why: str) -> None:
    assert recovery_plan._why({"unreachable": True, "msg": message}).endswith(why)
    assert "Make sure" not in recovery_plan._why({"msg": message})


@pytest.mark.parametrize("look", [{}, {"failed": True, "msg": "MODULE FAILURE: no space left on device"}])
def test_a_host_that_answers_and_could_not_be_looked_at_is_not_taken_for_dead(look: dict[str, Any]) -> None:
    (problem,) = cluster_plan.not_looked_at({"cp1": look, "cp2": {"unreachable": True}, "cp3": {"traces": []}})
    assert problem.host == "cp1"
    assert look.get("msg", "nothing") in problem.found


def test_a_host_that_is_left_out_of_the_run_is_refused() -> None:
    groups: dict[str, Any] = {"control_plane": ["cp1", "cp2"], "workers": [], "load_balancers": ["lb1"], "etcd": []}
    assert recovery_plan._left_out({**groups, "scope": ["cp1", "cp2", "lb1"]}) == []
    (problem,) = recovery_plan._left_out({**groups, "scope": ["cp1"]})
    assert "cp2, lb1 left out" in str(problem)
