# SPDX-License-Identifier: GPL-3.0-or-later
"""A build that is killed, and killed again, and once more with a host's plug pulled; then run to its end."""

from __future__ import annotations

import pytest
from support import NODES, host, lab, node_is_ready, playbook, strike, succeed

# Where to strike: the task that has begun, and how long it has been at it. The times choose a point; none is judged.
POINTS = [
    ("Install kubeadm, kubelet, kubectl", 1.0),
    ("control_plane_init : Initialise the cluster", 2.0),
    ("control_plane_init : Initialise the cluster", 8.0),
    ("Make token, discovery hash and certificate key", 0.2),
    ("Join in the planned role", 3.0),
]


@pytest.fixture(scope="module")
def own_lab(request: pytest.FixtureRequest) -> None:
    """Bare hosts, to be struck; the session's own come after these."""
    if request.config.getoption("--keep-lab"):
        pytest.skip("the lab that is kept is not bare")
    lab("down")
    lab("up")


@pytest.mark.parametrize(("task", "seconds"), POINTS, ids=[f"{task.split()[0]}-{after}s" for task, after in POINTS])
def test_killed_run_leaves_hosts_that_the_next_run_goes_on_from(own_lab: None, task: str, seconds: float) -> None:
    strike(task, seconds)
    planned = succeed(playbook(book="playbooks/plan.yml"))
    assert "Refused" not in planned.output


def test_host_switched_off_while_it_joins_is_joined_by_the_next_run(own_lab: None) -> None:
    strike("Join in the planned role", 5.0)
    lab("power-off", "cp2", "w1")
    lab("power-on", "cp2", "w1")
    authority = host("cp1").check_output("sha256sum /etc/kubernetes/pki/ca.crt").split()[0]
    succeed(playbook())
    assert all(node_is_ready(name) for name in NODES)
    assert set(succeed(playbook()).changed.values()) == {0}
    # However often it was begun, it is one cluster.
    found = {host(name).check_output("sha256sum /etc/kubernetes/pki/ca.crt").split()[0] for name in NODES}
    assert found == {authority}
