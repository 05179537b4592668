# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that meets with one fault after the other, each mended before the next.

It begins with two control planes and a worker, and grows. Each node's name is the beginning of another one's.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults import FIRST, UNFIT, Cluster
from support import host, lab, playbook, succeed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="use the lab that is up, and leave it up")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that is there."""
    keep = request.config.getoption("--keep-lab")
    if not keep:
        lab("down")
    lab("up", *FIRST, "cp3", "w2", "w3", *UNFIT)
    cluster = Cluster(tmp_path_factory.mktemp("inventories"))
    # As much room as is asked for, and none of it used: a fault later takes it away.
    mounted = "findmnt --types tmpfs /var/lib/etcd"
    host("cp3").check_output(f"{mounted} || mount -t tmpfs -o size=2300m etcd /var/lib/etcd")
    host("w2").check_output("hostname Node-Of-W2 && hostname > /etc/hostname")
    succeed(playbook(inventory=cluster.inventory(*FIRST)))
    yield cluster
    if not keep:
        lab("down")
