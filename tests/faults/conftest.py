# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that meets with one fault after the other, each mended before the next.

It begins with two control planes and a worker, and grows. Each node's name is the beginning of another one's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from faults import FIRST, UNFIT, Cluster
from support import host, playbook, succeed


@pytest.fixture(scope="session")
def cluster(boot: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster that is there."""
    boot(*FIRST, "cp3", "w2", "w3", *UNFIT)
    cluster = Cluster(tmp_path_factory.mktemp("inventories"))
    # As much room as is asked for, and none of it used: a fault later takes it away.
    mounted = "findmnt --types tmpfs /var/lib/etcd"
    host("cp3").check_output(f"{mounted} || mount -t tmpfs -o size=2300m etcd /var/lib/etcd")
    host("w2").check_output("hostname Node-Of-W2 && hostname > /etc/hostname")
    succeed(playbook(inventory=cluster.inventory(*FIRST)))
    return cluster
