# SPDX-License-Identifier: GPL-3.0-or-later
"""The third cluster, made once for all tests: etcd on hosts of its own, and a virtual IP on two load balancers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from external import FIGURES, HOSTS, site
from support import Foretold, Run, listing, succeed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("measured, and not judged")
        for line in FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def hosts(boot: Callable[..., None]) -> None:
    """The hosts of all groups."""
    boot(*HOSTS)


@pytest.fixture(scope="session")
def foretold(hosts: None, keeps_lab: bool) -> Foretold:
    """What check mode said of the build before there was anything."""
    if keeps_lab:
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
