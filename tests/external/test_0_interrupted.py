# SPDX-License-Identifier: GPL-3.0-or-later
"""A build that is killed while etcd is begun, once with a member's plug pulled; then run to its end.

All of it with one control plane that is its own endpoint, for etcd is what is struck.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from external import ETCD, INVENTORY, etcd_is_whole
from kubelab.settings import HOSTS as LAB
from support import lab, node_is_ready, playbook, rewritten, strike, succeed

# Where to strike: the task that has begun, and how long it has been at it. The times choose a point; none is judged.
# STRIKES=all strikes everywhere.
POINTS = [
    ("certificates | Sign all requests", 0.2),
    ("etcd : Run the member", 0.5),
]
MORE = [
    ("etcd : Let the kubelet be etcd's service manager", 1.0),
    ("certificates | Make the CA", 0.5),
    ("certificates | Install what was signed", 0.3),
    ("etcd : See the members of this run well", 1.0),
    ("Have it by a request", 1.0),
]
if os.environ.get("STRIKES") == "all":
    POINTS += MORE


@pytest.fixture(scope="module")
def own_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bare hosts, to be struck, and their inventory; the session's own come after these."""
    if request.config.getoption("--keep-lab"):
        pytest.skip("the lab that is kept is not bare")
    lab("down")
    lab("up", *ETCD, "cp1")

    def reduce(everything: dict[str, Any]) -> None:
        everything["vars"]["cluster_control_plane_endpoint"] = f"{LAB['cp1'].address}:6443"
        everything["vars"]["cluster_virtual_ip"] = ""
        everything["children"] = {
            "etcd": everything["children"]["etcd"],
            "control_plane": {"hosts": {"cp1": {}}},
        }

    return rewritten(tmp_path_factory.mktemp("inventory"), reduce, INVENTORY)


@pytest.mark.parametrize(("task", "seconds"), POINTS, ids=[task for task, _after in POINTS])
def test_killed_run_leaves_hosts_that_the_next_run_goes_on_from(own_lab: Path, task: str, seconds: float) -> None:
    strike(task, seconds, own_lab)
    planned = succeed(playbook(inventory=own_lab, book="playbooks/plan.yml"))
    assert "Refused" not in planned.output


def test_member_switched_off_while_it_starts_is_started_by_the_next_run(own_lab: Path) -> None:
    strike("etcd : Run the member", 1.5, own_lab)
    lab("power-off", "etcd2")
    lab("power-on", "etcd2")
    succeed(playbook(inventory=own_lab))
    assert etcd_is_whole()
    assert node_is_ready("cp1")
    assert set(succeed(playbook(inventory=own_lab)).changed.values()) == {0}
