# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of its own host before it changes anything."""

from __future__ import annotations

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import plan
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
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
