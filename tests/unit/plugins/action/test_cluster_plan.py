# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part: what hosts registered becomes observations, and steps become groups that plays select by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.action import cluster_plan
from ansible_collections.kubeadm.ha.plugins.module_utils import contradictions, etcd_pod, plan, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem

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
    seen = cluster_plan.gather(options, variables)
    assert {host: look and look.node_name for host, look in seen.items()} == {
        "cp1": "cp1",
        "w1": None,
        "w2": None,
        "cp2": "cp2",
        "cp3": None,
    }


def test_host_whose_look_failed_is_not_said_to_be_silent() -> None:
    silent = [Problem(host, contradictions.CONNECTION, "no answer", "one", "Bring it up.") for host in ("w1", "w2")]
    looks = {"cp1": LOOK, "w1": {"failed": True, "msg": "No space left on device"}, "w2": {"unreachable": True}}
    first, second = cluster_plan.told_apart(silent, looks)
    assert (first.host, first.found) == ("w1", "No space left on device")
    assert second == silent[1]


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


def test_host_whose_packages_were_interrupted_is_in_that_group_besides() -> None:
    look = cluster_plan._observation({**LOOK, "packages_interrupted": True})
    found = cluster_plan._host(plan.Step(plan.NOTHING, plan.WORKER, "why"), look)
    assert found["groups"] == ["plan_interrupted_packages"]


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


def inventory(scope: list[str], hostvars: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
    """A run's options and the inventory that they are of, with a host or two in each group."""
    groups = {"control_plane": ["cp2", "cp1"], "workers": ["w1"], "load_balancers": ["lb1", "lb2"], "etcd": ["etcd1"]}
    names = [name for hosts in groups.values() for name in hosts]
    options = {**groups, "scope": scope, "variables": {"cluster_virtual_ip": "192.0.2.10"}}
    known = {name: (hostvars or {}).get(name, {}) for name in names}
    return options, cluster_plan.Inventory(options, {"hostvars": known})


@pytest.mark.parametrize(
    ("scope", "outside"),
    [
        (["cp1", "cp2", "w1", "lb1", "lb2", "etcd1"], []),
        (["w1"], ["cp1", "cp2"]),
        (["lb1"], ["cp1", "cp2", "lb2"]),
        (["cp1"], ["cp2", "etcd1"]),
        (["etcd1"], ["cp1", "cp2"]),
    ],
)
def test_hosts_outside_the_run_are_looked_at_where_they_matter_to_it(scope: list[str], outside: list[str]) -> None:
    options, known = inventory(scope)
    assert cluster_plan._outside(options, known, cluster_plan._carriers(options, known)) == outside


def test_hosts_that_are_to_carry_an_address_are_told_what_to_look_for() -> None:
    options, known = inventory(["lb1"])
    assert cluster_plan._carriers(options, known) == dict.fromkeys(
        ("lb1", "lb2"), {"address": "192.0.2.10", "router_id": 10}
    )
    options["variables"]["cluster_virtual_ip_provider"] = "kube-vip"
    assert set(cluster_plan._carriers(options, known)) == {"cp1", "cp2"}
    options["variables"]["cluster_virtual_ip"] = ""
    assert cluster_plan._carriers(options, known) == {}


def test_password_is_judged_on_the_controller_and_told_nobody() -> None:
    secret = "l3ngthy-secret"
    hostvars = {name: {"cluster_virtual_ip_password": secret} for name in ("lb1", "lb2")}
    (problem,) = inventory(["lb1"], hostvars)[1].virtual_ip("192.0.2.10")
    assert "found 14 characters" in str(problem)
    assert secret not in str(problem)
    (problem,) = inventory(["lb1"], {"lb1": {"cluster_virtual_ip_password": "short"}})[1].virtual_ip("192.0.2.10")
    assert "hosts that have another one than others" in str(problem)


@pytest.mark.parametrize(("in_pods", "group"), [(False, "plan_virtual_ip"), (True, "plan_kube_vip")])
def test_host_that_carries_the_address_is_in_the_group_of_whoever_moves_it(in_pods: bool, group: str) -> None:
    wanted = SimpleNamespace(virtual_ip=SimpleNamespace(in_pods=in_pods))
    made = plan.Plan(carriers={"lb1": {}})
    assert cluster_plan._groups_besides(wanted, made, "lb1") == [group]
    assert cluster_plan._groups_besides(wanted, made, "lb2") == []
    assert cluster_plan._groups_besides(SimpleNamespace(virtual_ip=None), made, "lb1") == []
