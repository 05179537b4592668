# SPDX-License-Identifier: GPL-3.0-or-later
"""What befalls a cluster, where users become root, Docker runs beside containerd, and pods lay the network's routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from owner import OPENED, made
from support import answers, cluster_id, eventually, host, lab, lose_member, node_is_ready, playbook, succeed

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.on_demand]

HOSTS = ("cp1", "cp2", "w1", "trixie1")
RECOVER = "playbooks/recover.yml"


def test_snapshot_is_taken_and_opened_on_a_host_where_nobody_logs_in_as_root(inventory: Path, tmp_path: Path) -> None:
    owner = made(tmp_path, inventory)
    try:
        lab("cut", "cp1", "--from", "controller")
        succeed(owner.take())
    finally:
        lab("heal", "cp1", "--from", "controller")
    succeed(owner.open("cp2"))
    assert host("cp2").run(f"cmp /etc/kubernetes/pki/ca.key {OPENED}/etc/kubernetes/pki/ca.key").rc == 0
    host("cp2").check_output(f"rm -r {OPENED}")


def test_worker_leaves_with_the_routes_of_its_network_and_comes_again(inventory: Path) -> None:
    worker = host("w1")
    assert "10.200." in worker.check_output("ip route")
    succeed(playbook("-e", "remove_node_name=w1", inventory=inventory, book="playbooks/remove_node.yml"))
    assert "10.200." not in worker.check_output("ip route")
    succeed(playbook("--limit", "w1", inventory=inventory))
    eventually(lambda: node_is_ready("w1"), "w1 is Ready")


def test_lost_quorum_begins_again_beside_docker(inventory: Path) -> None:
    """Of two members the other one is lost."""
    lose_member("cp2", "/var/lib/etcd/variants/member")
    eventually(lambda: not answers(), "no API without a quorum")
    given = {"recover_apply": True, "recover_confirm": cluster_id()}
    succeed(playbook("-e", json.dumps(given), inventory=inventory, book=RECOVER))
    eventually(lambda: all(node_is_ready(name) for name in HOSTS), "all nodes are Ready")
    again = succeed(playbook("-e", "recover_apply=true", inventory=inventory, book=RECOVER))
    assert set(again.changed.values()) == {0}, again.changes


def test_reset_takes_all_of_it_off_the_hosts(inventory: Path) -> None:
    confirmed = ("-e", f"reset_confirm={cluster_id()}")
    succeed(playbook(*confirmed, inventory=inventory, book="playbooks/reset.yml"))
    for name in HOSTS:
        found = host(name).run(
            "find /etc/kubernetes /var/lib/kubelet /var/lib/etcd -mindepth 1; ip route | grep '10.200'"
        )
        assert (name, found.stdout) == (name, "")
    again = succeed(playbook(*confirmed, inventory=inventory, book="playbooks/reset.yml"))
    assert set(again.changed.values()) == {0}
