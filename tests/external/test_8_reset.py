# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster is taken off all hosts that it has by now, those of etcd and of the virtual address among them."""

from __future__ import annotations

from pathlib import Path

import pytest
from external import BALANCERS, NODES, holders, members, of_today, site
from support import cluster_id, host, succeed

pytestmark = pytest.mark.usefixtures("cluster")


def test_reset_leaves_nothing_of_the_cluster_on_any_host(tmp_path: Path) -> None:
    etcd = tuple(members("etcd3"))
    inventory, confirmed = of_today(tmp_path), ("-e", f"reset_confirm={cluster_id()}")
    succeed(site(*confirmed, inventory=inventory, book="playbooks/reset.yml"))
    for name in (*etcd, *NODES):
        found = host(name).run("find /etc/kubernetes /var/lib/kubelet /var/lib/etcd -mindepth 1")
        assert (name, found.stdout) == (name, "")
        assert not host(name).service("kubelet").is_running
        assert not host(name).file("/etc/systemd/system/kubelet.service.d/20-etcd-service-manager.conf").exists
    for name in BALANCERS:
        assert not host(name).service("haproxy").is_running
        assert not host(name).service("keepalived").is_running
    assert holders() == []
    again = site(*confirmed, inventory=inventory, book="playbooks/reset.yml")
    assert set(succeed(again).changed.values()) == {0}
