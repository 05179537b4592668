# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker more, alone in its run, and other settings on a cluster that runs: both as check mode foretold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import HOSTS, NODES, api, eventually, extended, lab, node_is_ready, playbook, succeed

SETTINGS = (
    "--extra-vars={load_balancer_idle_timeout: 2h}",
    "--extra-vars={cluster_containerd_cri_settings: {restrict_oom_score_adj: true, max_concurrent_downloads: 7}}",
)


@contextlib.contextmanager
def out_of_reach(*others: str) -> Iterator[None]:
    """Hosts cut from the machine that runs Ansible, and not from each other."""
    try:
        for name in others:
            lab("cut", name, "--from", "controller")
        yield
    finally:
        for name in others:
            lab("heal", name, "--from", "controller")


@pytest.mark.on_demand
def test_new_worker_joins_with_limit_and_needs_no_host_but_one_control_plane(cluster: None, tmp_path: Path) -> None:
    lab("up", "w3")
    inventory = extended(tmp_path, workers=["w3", *(f"elsewhere{number}" for number in range(20))])
    with out_of_reach(*(name for name in HOSTS if name != "cp1")):
        foretold = succeed(playbook("--limit", "w3", "--check", "--diff", inventory=inventory))
        run = succeed(playbook("--limit", "w3", "--diff", inventory=inventory))
    assert set(run.changed) == {"w3"}
    assert run.changed["w3"] > 0
    assert (foretold.changes, foretold.subjects) == (run.changes, run.subjects)
    assert run.contacted == {"w3", "cp1"}
    eventually(lambda: node_is_ready("w3"), "w3 is Ready")
    again = succeed(playbook("--limit", "w3", inventory=inventory))
    assert again.changed == {"w3": 0}
    nodes = {node["metadata"]["name"] for node in api().get("/api/v1/nodes")["items"]}
    assert "w3" in nodes


def test_other_settings_reach_a_running_cluster_as_check_mode_said(cluster: None) -> None:
    foretold = succeed(playbook("--check", "--diff", *SETTINGS))
    run = succeed(playbook("--diff", *SETTINGS))
    assert (foretold.changes, foretold.subjects) == (run.changes, run.subjects)
    assert {name for name, subject in run.subjects if subject == "/etc/haproxy/haproxy.cfg"} == {"lb1", "lb2"}
    assert {name for name, subject in run.subjects if subject == "/etc/containerd/config.toml"} == set(NODES)
    assert set(succeed(playbook(*SETTINGS)).changed.values()) == {0}
