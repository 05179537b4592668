# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that is changed, struck and mended: three control planes with stacked etcd, two workers, two balancers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support import STATE, Run, lab, playbook, succeed

# All runs are as talkative as can be, for what they must not say.
os.environ["ANSIBLE_VERBOSITY"] = "4"


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
def build(hosts: None) -> Run:
    return succeed(playbook())


@pytest.fixture(scope="session")
def cluster(build: Run) -> None:
    """A cluster that is there."""
