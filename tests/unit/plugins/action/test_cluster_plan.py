# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part: what hosts registered becomes observations, and steps become groups that plays select by."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.action import cluster_plan
from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_pod, plan, versions

LOOK = {
    "changed": False,
    "node_name": "cp1",
    "address": "192.0.2.11",
    "package_manager": "dnf",
    "traces": [],
    "ca": None,
    "problems": [],
    "has_run": False,
    "identity": None,
    "endpoint": {"answers": False, "ca": None, "error": None},
    "api": None,
    "etcd": None,
}


WANTED = plan.Wanted(versions.parse("1.20.2"), "192.0.2.10:6443", frozenset({"cp1", "cp2"}))


def test_observation_of_a_registered_look_is_what_the_host_showed() -> None:
    assert cluster_plan._observation(LOOK) == plan.Observation("cp1", "192.0.2.11", "dnf")


@pytest.mark.parametrize(
    "look",
    [
        None,
        {},
        {"unreachable": True, "msg": "Failed to connect to the host via ssh"},
        {"failed": True, "msg": "MODULE FAILURE", "rc": 1},
        {"skipped": True},
        {**LOOK, "failed": True},
    ],
    ids=["none", "empty", "unreachable", "failed", "skipped", "failed with values"],
)
def test_observation_of_a_host_that_was_not_looked_at_is_none(look: dict[str, Any] | None) -> None:
    assert cluster_plan._observation(look) is None


def test_gather_takes_hosts_in_scope_and_control_planes_outside_it() -> None:
    options = {
        "observation": "look",
        "scope": ["cp1", "w1", "w2"],
        "outside_scope": [{**LOOK, "item": "cp2", "node_name": "cp2"}, {"item": "cp3", "unreachable": True}],
    }
    variables = {"hostvars": {"cp1": {"look": LOOK}, "w1": {"look": {"unreachable": True}}, "w2": {}, "cp2": {}}}
    seen = cluster_plan._gather(options, variables)
    assert {host: look and look.node_name for host, look in seen.items()} == {
        "cp1": "cp1",
        "w1": None,
        "w2": None,
        "cp2": "cp2",
        "cp3": None,
    }


def step(action: str, role: str = plan.CONTROL_PLANE) -> dict[str, Any]:
    return cluster_plan._host(plan.Step(action, role, "why", "n", "a"), plan.Observation("n", "a", "zypper"))


@pytest.mark.parametrize("action", [plan.INITIALISE, plan.RESUME])
def test_host_that_begins_the_cluster_is_in_that_group_alone(action: str) -> None:
    assert step(action)["groups"] == ["plan_initialise"]


@pytest.mark.parametrize("action", [plan.JOIN, plan.REJOIN, plan.FINISH])
@pytest.mark.parametrize(("role", "name"), [(plan.CONTROL_PLANE, "control_plane"), (plan.WORKER, "worker")])
def test_host_that_joins_is_in_the_groups_of_its_role(action: str, role: str, name: str) -> None:
    found = step(action, role)
    assert found["groups"] == ["plan_join", f"plan_join_{name}"]
    assert found["join_role"] == f"{name}_join"


@pytest.mark.parametrize(("action", "role"), [(plan.NOTHING, plan.WORKER), (plan.BALANCE, plan.LOAD_BALANCER)])
def test_host_that_joins_nothing_is_in_no_group(action: str, role: str) -> None:
    assert step(action, role)["groups"] == []


def test_host_carries_what_playbooks_need_of_its_step() -> None:
    assert step(plan.JOIN, plan.WORKER) == {
        "action": plan.JOIN,
        "role": plan.WORKER,
        "reason": "why",
        "node_name": "n",
        "address": "a",
        "package_manager": "zypper",
        "join_role": "worker_join",
        "groups": ["plan_join", "plan_join_worker"],
    }


def test_control_plane_that_asks_for_a_certificate_of_etcd_is_in_that_group_besides() -> None:
    made = plan.Plan()
    made.etcd.clients = ["cp1"]
    assert cluster_plan._groups_besides(WANTED, made, "cp1") == ["plan_etcd_client"]
    assert cluster_plan._groups_besides(WANTED, made, "cp2") == []


@pytest.mark.parametrize("action", [plan.START, plan.ADD, plan.NOTHING])
def test_host_of_etcd_joins_nothing(action: str) -> None:
    found = step(action, plan.ETCD_MEMBER)
    assert (found["action"], found["role"], found["groups"]) == (action, "etcd member", [])


def test_etcd_is_told_as_its_role_and_kubeadm_want_it() -> None:
    made = plan.Plan()
    made.etcd.places["etcd1"] = etcd_pod.Place("etcd1", "192.0.2.21", 12379, 12380)
    made.etcd.endpoints, made.etcd.authority = ["https://192.0.2.21:12379"], "etcd1"
    assert cluster_plan._etcd(WANTED, made) == {
        "authority": "etcd1",
        "external": {
            "endpoints": ["https://192.0.2.21:12379"],
            "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
            "certFile": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "keyFile": "/etc/kubernetes/pki/apiserver-etcd-client.key",
        },
        "members": {
            "etcd1": {
                "name": "etcd1",
                "peer_url": "https://192.0.2.21:12380",
                "client_url": "https://192.0.2.21:12379",
            }
        },
        "initial_cluster": "etcd1=https://192.0.2.21:12380",
    }
