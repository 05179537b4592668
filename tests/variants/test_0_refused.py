# SPDX-License-Identifier: GPL-3.0-or-later
"""What bare hosts show that stands against a cluster is told before anything changes, of all hosts at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import playbook


def test_subnets_that_meet_the_hosts_own_networks(hosts: None, inventory: Path, keeps_lab: bool) -> None:
    if keeps_lab:
        pytest.skip("the lab that is kept is not bare")
    asked = '{"cluster_network": "none", "cluster_network_manifests": [], "cluster_service_subnet": "10.210.0.0/28"}'
    run = playbook("-e", asked, inventory=inventory, book="playbooks/plan.yml")
    assert run.code != 0
    refused = run.output.partition("Nothing was changed.")[2]
    for name in ("cp1", "cp2", "w1"):
        assert f"{name}: address 10.210.0.0/24 on host0: found it overlaps 10.210.0.0/28" in refused
