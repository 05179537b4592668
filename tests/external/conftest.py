# SPDX-License-Identifier: GPL-3.0-or-later
"""The third cluster, made once for all tests: etcd on hosts of its own, and a virtual IP on two load balancers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from external import FIGURES, HOSTS, site
from support import Foretold, Run, lab, listing, succeed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="use the lab that is up, and leave it up")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("measured, and not judged")
        for line in FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def hosts(request: pytest.FixtureRequest) -> Iterator[None]:
    """The lab's hosts: bare ones, unless the lab that is up is to be kept."""
    keep = request.config.getoption("--keep-lab")
    if not keep:
        lab("down")
    lab("up", *HOSTS)
    yield
    if not keep:
        lab("down")


@pytest.fixture(scope="session")
def foretold(hosts: None, request: pytest.FixtureRequest) -> Foretold:
    """What check mode said of the build before there was anything."""
    if request.config.getoption("--keep-lab"):
        pytest.skip("the lab that is kept is not bare")
    before = {name: listing(name) for name in HOSTS}
    return Foretold(succeed(site("--check", "--diff")), before)


@pytest.fixture(scope="session")
def build(hosts: None) -> Run:
    """The run that builds the cluster, at its most talkative, for what it must not say."""
    return succeed(site("-vvvv", "--diff"))


@pytest.fixture(scope="session")
def cluster(build: Run) -> None:
    """A cluster that is there."""
