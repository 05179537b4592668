# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of its own host before it changes anything."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeadm_config, plan, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.modules import kubeadm_join
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import SimulatedCluster


@pytest.mark.parametrize("host", ["cp2", "w1"])
def test_decide_whole_member_needs_nothing(host: str) -> None:
    cluster = SimulatedCluster(3, 1).converge()
    assert cluster.action_on_host(plan.FINISH, cluster.hosts[host]) == plan.NOTHING


def test_decide_bare_host_joins() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.reset(cluster.hosts["w1"])
    assert cluster.action_on_host(plan.JOIN, cluster.hosts["w1"]) == plan.JOIN


def test_decide_host_that_is_not_registered_rejoins() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    del cluster.nodes["w1"]
    assert cluster.action_on_host(plan.REJOIN, cluster.hosts["w1"]) == plan.REJOIN


def test_decide_host_whose_kubelet_has_no_certificate_rejoins_though_its_old_node_is_there() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.hosts["w1"].has_run = False
    assert cluster.action_on_host(plan.REJOIN, cluster.hosts["w1"]) == plan.REJOIN


def test_decide_voter_without_its_label_is_finished_and_not_joined_anew() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.nodes["cp2"]["control_plane"] = False
    assert cluster.action_on_host(plan.FINISH, cluster.hosts["cp2"]) == plan.FINISH


def test_decide_node_under_another_name_is_refused() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.hosts["w1"].name = "renamed"
    cluster.hosts["w1"].identity = "w1"
    with pytest.raises(ValueError, match="found w1 by the kubelet's certificate, wanted renamed"):
        cluster.action_on_host(plan.JOIN, cluster.hosts["w1"])


def test_decide_control_plane_whose_etcd_is_silent_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that is slow for five seconds votes all the same, and what follows here may reset its host."""
    cluster = SimulatedCluster(3, 1).converge()
    silent = {"answers": False, "error": "timed out", "members": []}
    monkeypatch.setattr(cluster, "etcd_of", lambda _host: silent)
    with pytest.raises(RequestFailed):
        cluster.action_on_host(plan.FINISH, cluster.hosts["cp2"])


CONTROL_PLANE: dict[str, Any] = {
    "endpoint": "lb.example.com:6443",
    "token": None,
    "ca_hash": None,
    "control_plane": True,
    "certificate_key": None,
    "node_name": "cp2",
    "address": "192.0.2.12",
    "node": {"nodeRegistration": {"kubeletExtraArgs": [{"name": "v", "value": 2}]}, "controlPlane": None},
}


@pytest.mark.parametrize("kubeadm", ["1.20.2", "1.25.3", "1.36.0"])
def test_describe_without_credentials_renders_for_check_mode(kubeadm: str) -> None:
    (document,) = kubeadm_config.render_join(kubeadm_join.describe(CONTROL_PLANE), versions.parse(kubeadm))
    assert document["discovery"] == {"bootstrapToken": {"apiServerEndpoint": "lb.example.com:6443"}}
    assert document["controlPlane"] == {"localAPIEndpoint": {"advertiseAddress": "192.0.2.12"}}
    assert document["nodeRegistration"]["name"] == "cp2"


class Recorder:
    """A kubeadm that only notes what it is told."""

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.config = ""

    def run(self, argv: list[str], *, config: str) -> None:
        self.argv, self.config = argv, config


def test_start_etcd_tells_kubeadm_of_arguments_and_patches_as_it_reads_them() -> None:
    """kubeadm 1.20 knows arguments as a mapping, and patches by an argument alone."""
    told = Recorder()
    patches = {"directory": "/etc/kubernetes/patches"}
    options: dict[str, Any] = {
        **CONTROL_PLANE,
        "node": {**CONTROL_PLANE["node"], "patches": patches},
        "cluster_configuration": {"kind": "ClusterConfiguration", "etcd": {"local": {"extraArgs": {"v": "1"}}}},
    }
    kubeadm_join.start_etcd(told, versions.parse("1.20.2"), options, "cp1=https://192.0.2.11:2380")
    assert told.argv == ["init", "phase", "etcd", "local", "--experimental-patches=/etc/kubernetes/patches"]
    init, cluster = yaml.safe_load_all(told.config)
    assert init["nodeRegistration"] == {"name": "cp2", "kubeletExtraArgs": {"v": "2"}}
    assert "patches" not in init
    assert cluster["etcd"]["local"]["extraArgs"] == {
        "v": "1",
        "initial-cluster": "cp1=https://192.0.2.11:2380",
        "initial-cluster-state": "existing",
    }
