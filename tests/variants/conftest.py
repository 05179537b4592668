# SPDX-License-Identifier: GPL-3.0-or-later
"""The second cluster, made once for all tests of a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, playbook, succeed

INVENTORY = Path(__file__).parent / "inventory"
PREINSTALL = Path(__file__).parent / "preinstall.yml"
HOSTS = ("cp1", "cp2", "w1", "trixie1")


@pytest.fixture(scope="session")
def inventory() -> Path:
    """The second cluster's inventory."""
    return INVENTORY


@pytest.fixture(scope="session")
def hosts(boot: Callable[..., None]) -> None:
    """The second cluster's hosts, of which one has Kubernetes' programs already."""
    boot(*HOSTS)
    succeed(playbook(inventory=INVENTORY, book=str(PREINSTALL)))


@pytest.fixture(scope="session")
def foretold(hosts: None, inventory: Path, keeps_lab: bool) -> Run:
    """What check mode said of the build before there was anything."""
    if keeps_lab:
        pytest.skip("the lab that is kept is not bare")
    return succeed(playbook("--check", "--diff", inventory=inventory))


@pytest.fixture(scope="session")
def build(hosts: None, inventory: Path) -> Run:
    """The run that builds the cluster, at its most talkative, for what it must not say."""
    return succeed(playbook("-vvvv", "--diff", inventory=inventory))


@pytest.fixture(scope="session")
def cluster(build: Run) -> None:
    """A cluster that is there."""
