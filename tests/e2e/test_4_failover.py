# SPDX-License-Identifier: GPL-3.0-or-later
"""A control plane struck: the cluster goes on without it, and it comes back by itself."""

from __future__ import annotations

import pytest
from support import answers, eventually, lab, lease_holder, node_is_ready, playbook, succeed

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.on_demand]

LEADERS = ("kube-controller-manager", "kube-scheduler")


def test_one_control_plane_off_and_the_cluster_goes_on(cluster: None) -> None:
    struck = lease_holder("kube-controller-manager")
    try:
        lab("power-off", struck)
        eventually(answers, f"the API answers without {struck}")
        eventually(
            lambda: all(lease_holder(component) != struck for component in LEADERS),
            f"controller manager and scheduler are led from elsewhere than {struck}",
        )
        eventually(lambda: not node_is_ready(struck), f"{struck} is seen as not Ready")
        assert answers()
        planned = playbook(book="playbooks/plan.yml")
        assert planned.code != 0
        assert f"{struck}: connection: found no answer" in planned.output
        without = succeed(playbook("--limit", f"all:!{struck}", book="playbooks/plan.yml"))
        assert "Plan for Kubernetes" in without.output
    finally:
        lab("power-on", struck)
    eventually(lambda: node_is_ready(struck), f"{struck} comes back by itself")


def test_after_all_that_a_run_changes_nothing(cluster: None) -> None:
    run = succeed(playbook())
    assert set(run.changed.values()) == {0}
