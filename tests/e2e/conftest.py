# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab and the cluster, made once for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import NODES, STATE, Foretold, Run, lab, listing, playbook, succeed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="use the lab that is up, and leave it up")


@pytest.fixture(scope="session")
def hosts(request: pytest.FixtureRequest) -> Iterator[None]:
    """The lab's hosts: bare ones, unless the lab that is up is to be kept."""
    keep = request.config.getoption("--keep-lab")
    if not keep:
        lab("down")
    lab("up")
    (STATE / "inventory").unlink(missing_ok=True)
    (STATE / "inventory").symlink_to("../inventories/lab")
    yield
    if not keep:
        lab("down")


@pytest.fixture(scope="session")
def foretold(hosts: None, request: pytest.FixtureRequest) -> Foretold:
    """What check mode said of the build before there was anything."""
    if request.config.getoption("--keep-lab"):
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
