# SPDX-License-Identifier: GPL-3.0-or-later
"""The external topology from bare hosts, and runs that find nothing left to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from external import BALANCERS, ENDPOINT, ETCD, HOSTS, INVENTORY, NODES, is_whole, site
from support import KUBECONFIG, Foretold, Run, api, eventually, host, listing, shuffled, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig


@pytest.mark.on_demand
def test_check_mode_on_bare_hosts_tells_all_and_changes_nothing(foretold: Foretold) -> None:
    assert all(foretold.run.changed[name] for name in HOSTS)
    assert not any(host(name).file("/etc/kubernetes").exists for name in HOSTS)
    assert {name: listing(name) for name in HOSTS} == foretold.files


@pytest.mark.on_demand
def test_check_mode_said_what_the_build_then_changed(foretold: Foretold, build: Run) -> None:
    assert foretold.run.changes == build.changes
    assert foretold.run.subjects == build.subjects


def test_build_ends_with_everything_healthy(build: Run) -> None:
    eventually(is_whole, "members, load balancers, API servers and nodes are healthy")
    nodes = {node["metadata"]["name"] for node in api().get("/api/v1/nodes")["items"]}
    assert nodes == set(NODES)
    assert all(f"etcd member {name}: healthy" in build.output for name in ETCD)


def test_users_come_by_the_virtual_address(cluster: None) -> None:
    assert kubeconfig.parse(KUBECONFIG.read_text()).server == f"https://{ENDPOINT}"
    assert all(host(name).service(unit).is_enabled for name in BALANCERS for unit in ("haproxy", "keepalived"))


def test_second_run_changes_nothing_though_the_inventory_is_shuffled(cluster: None, tmp_path: Path) -> None:
    run = succeed(site(inventory=shuffled(tmp_path, INVENTORY)))
    assert set(HOSTS) <= set(run.changed)
    assert set(run.changed.values()) == {0}


@pytest.mark.on_demand
def test_check_mode_finds_nothing_to_change(cluster: None) -> None:
    assert set(succeed(site("--check", "--diff")).changed.values()) == {0}


def test_run_for_one_worker_needs_no_other_host_but_a_control_plane(cluster: None) -> None:
    run = succeed(site("--limit", "w1"))
    assert set(run.changed.values()) == {0}
    assert len(run.contacted - {"localhost", "w1"}) == 1
    assert run.contacted - {"localhost", "w1"} < set(NODES)
