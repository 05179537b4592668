# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster from bare hosts, and runs that find nothing left to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import (
    CONTROL_PLANES,
    KUBECONFIG,
    NODES,
    ROOT,
    STATE,
    Foretold,
    Run,
    api,
    host,
    listing,
    playbook,
    shuffled,
    succeed,
)

# What kubeadm and the kubelet write by themselves, once they are told to; check mode says that they would be.
KUBEADMS = ("/etc/kubernetes/", "/var/lib/kubelet/")
# What the network's agent writes on a node from the pod network that the cluster gives to the node once it has joined:
# before that nobody can know it. Check mode names the agent.
AGENTS = ("/etc/cni/net.d/10-bridge.conflist",)


def test_check_mode_on_bare_hosts_tells_all_and_changes_nothing(foretold: Foretold) -> None:
    assert "initialise the cluster" in foretold.run.output
    assert all(foretold.run.changed[name] for name in (*NODES, "lb1", "lb2"))
    assert all(not host(name).file("/etc/kubernetes").exists for name in NODES)
    assert {name: listing(name) for name in NODES} == foretold.files


def test_check_mode_said_what_the_build_then_changed(foretold: Foretold, build: Run) -> None:
    assert foretold.run.changes == build.changes
    assert foretold.run.subjects == build.subjects


@pytest.mark.parametrize("name", NODES)
def test_check_mode_named_every_file_that_the_build_then_wrote(foretold: Foretold, build: Run, name: str) -> None:
    written = {path for path, _state in listing(name).items() ^ foretold.files[name].items()}
    told = {subject for where, subject in foretold.run.subjects if where == name}
    unsaid = {path for path in written if not path.startswith((*KUBEADMS, *AGENTS)) and path not in told}
    assert {path for path in unsaid if str(Path(path).parent) not in told} == set()


def test_build_ends_with_every_node_ready(build: Run) -> None:
    nodes = api().get("/api/v1/nodes")["items"]
    ready = {
        node["metadata"]["name"]
        for node in nodes
        if any(entry["type"] == "Ready" and entry["status"] == "True" for entry in node["status"]["conditions"])
    }
    assert ready == set(NODES)
    assert all(f"etcd member {name}: healthy" in build.output for name in CONTROL_PLANES)
    assert "TIME PER PHASE" in build.output


def test_build_leaves_no_credentials_behind(cluster: None) -> None:
    secrets = api().get("/api/v1/namespaces/kube-system/secrets")["items"]
    left = [
        secret["metadata"]["name"]
        for secret in secrets
        if secret["type"] == "bootstrap.kubernetes.io/token" or secret["metadata"]["name"] == "kubeadm-certs"
    ]
    assert left == []


def test_kubeconfig_serves_the_readmes_command(cluster: None) -> None:
    assert KUBECONFIG.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        [STATE / "kubectl", "--kubeconfig", KUBECONFIG, "get", "nodes"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.count(" Ready ") == len(NODES)


def test_check_mode_finds_nothing_to_change(cluster: None) -> None:
    assert set(succeed(playbook("--check", "--diff")).changed.values()) == {0}


def test_second_run_by_the_installed_collection_and_a_shuffled_inventory_changes_nothing(
    cluster: None, tmp_path: Path
) -> None:
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", tmp_path], cwd=ROOT, check=True, capture_output=True
    )
    archive = next(tmp_path.glob("kubeadm-ha-*.tar.gz"))
    subprocess.run(
        # By force, for the clone's own configuration counts the collection as installed.
        ["ansible-galaxy", "collection", "install", "--force", "--offline", archive, "-p", tmp_path / "collections"],
        check=True,
        capture_output=True,
    )
    installed = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections")}
    folder = tmp_path / "inventory"
    folder.mkdir()
    run = succeed(playbook(inventory=shuffled(folder), book="kubeadm.ha.site", env=installed))
    assert set(run.changed.values()) == {0}
    assert "initialise" not in run.output.split("PLAY RECAP")[0].split("Plan for")[1].split("PLAY")[0]
