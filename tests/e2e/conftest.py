# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab and the cluster, made once for all tests of a session."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import NODES, STATE, Foretold, Run, listing, playbook, succeed


@pytest.fixture(scope="session")
def hosts(boot: Callable[..., None]) -> None:
    """The lab's usual hosts."""
    boot()
    (STATE / "inventory").unlink(missing_ok=True)
    (STATE / "inventory").symlink_to("../inventories/lab")


@pytest.fixture(scope="session")
def foretold(hosts: None, keeps_lab: bool) -> Foretold:
    """What check mode said of the build before there was anything."""
    if keeps_lab:
        pytest.skip("the lab that is kept is not bare")
    before = {name: listing(name) for name in NODES}
    assert all("/etc/kubernetes" not in files for files in before.values())
    return Foretold(succeed(playbook("--check", "--diff")), before)


@pytest.fixture(scope="session")
def build(hosts: None) -> Run:
    """The run that builds the cluster, at its most talkative, for what it must not say."""
    return succeed(playbook("-vvvv", "--diff"))


@pytest.fixture(scope="session")
def cluster(build: Run) -> None:
    """A cluster that is there."""
