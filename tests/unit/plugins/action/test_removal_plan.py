# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of a removal: what the inventory says of hosts, and which hosts take part in which play."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.action import removal_plan
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.removal import CONTROL_PLANE, Removal, Target

CLUSTER = {"cluster_kubernetes_version": "1.20.2", "cluster_control_plane_endpoint": "192.0.2.10:6443"}
OPTIONS = {"name": "w1", "least_voters": 2, "drain_timeout_seconds": 300}


def task_vars(**hosts: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {"cp1": {}, "cp2": {}, "w1": {}, "lb1": {}}
    groups = {"all": ["w1", "lb1", "cp2", "cp1"], "control_plane": ["cp2", "cp1"], "workers": ["w1"]}
    return {
        "groups": {**groups, "load_balancers": ["lb1"]},
        "hostvars": {name: {**CLUSTER, **said, **hosts.get(name, {})} for name, said in known.items()},
    }


def test_hosts_are_what_the_inventory_says() -> None:
    inventory = removal_plan.Inventory(
        task_vars(w1={"cluster_node_name": "rack-7", "ansible_host": "192.0.2.31"}, cp2={"ansible_host": "cp2.example"})
    )
    assert inventory.problems() == []
    asked = inventory.asked(OPTIONS)
    worker = asked.hosts["w1"]
    assert (worker.groups, worker.node_name, worker.addresses) == ({"workers"}, "rack-7", {"192.0.2.31"})
    assert asked.hosts["cp2"].addresses == frozenset()
    assert asked.group("control_plane") == ["cp1", "cp2"]


def test_a_look_asks_what_site_yml_asks() -> None:
    external = {"cluster_etcd_topology": "external", "cluster_etcd_data_dir": "/srv/etcd"}
    inventory = removal_plan.Inventory(task_vars(cp1=external, cp2={**external, "cluster_node_name": "b"}))
    assert inventory.look("cp2") == {
        "host": "cp2",
        "endpoint": "192.0.2.10:6443",
        "version": "1.20.2",
        "node_name": "b",
        "etcd_data_dir": "/srv/etcd",
        "external_etcd": {
            "endpoints": [],
            "ca_file": "/etc/kubernetes/pki/etcd/ca.crt",
            "cert_file": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "key_file": "/etc/kubernetes/pki/apiserver-etcd-client.key",
            "prefix": "/registry",
        },
    }
    assert inventory.look("lb1")["external_etcd"] == {}


@pytest.mark.parametrize(
    ("said", "subject"),
    [
        ({"cluster_kubernetes_version": ""}, "cluster_kubernetes_version"),
        ({"cluster_control_plane_endpoint": None}, "cluster_control_plane_endpoint"),
        ({"cluster_kubernetes_version": "newest"}, "variables"),
    ],
)
def test_variables_without_which_nobody_can_be_asked_are_named(said: dict[str, Any], subject: str) -> None:
    found = removal_plan.Inventory(task_vars(cp1=said)).problems()
    assert [problem.subject for problem in found] == [subject]


def test_an_inventory_without_control_planes_is_named() -> None:
    variables = task_vars()
    del variables["groups"]["control_plane"]
    assert [one.subject for one in removal_plan.Inventory(variables).problems()] == ["group control_plane"]


def groups(made: Removal) -> dict[str, list[str]]:
    return {one["name"]: one["groups"] for one in removal_plan._hosts(made)}


def test_who_goes_dead_is_in_no_play_but_marked_so() -> None:
    member = Member("7", "cp1", (), ("https://192.0.2.21:2379",), False)
    target = Target("cp1", "cp1", CONTROL_PLANE, registered=True, member=member)
    made = Removal(target, "cp2", balancers={"lb1": "apt"})
    assert groups(made) == {
        "cp1": ["cluster_dead"],
        "cp2": ["removal_anchor", "removal_member", "removal_node"],
        "lb1": ["removal_balancers"],
    }


def test_a_step_that_is_not_needed_has_no_host() -> None:
    assert groups(Removal(Target("", "w9", "worker"), "cp2")) == {"cp2": ["removal_anchor"]}
    target = Target("w1", "w1", "worker", registered=True, lives=True)
    made = Removal(target, "cp2", drains=True, resets=True)
    assert groups(made) == {"cp2": ["removal_anchor", "removal_drain", "removal_node"], "w1": ["removal_target"]}
