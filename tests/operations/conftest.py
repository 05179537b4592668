# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that is changed, struck and mended: three control planes with stacked etcd, two workers, two balancers."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from support import STATE, Run, playbook, succeed

# All runs are as talkative as can be, for what they must not say.
os.environ["ANSIBLE_VERBOSITY"] = "4"


@pytest.fixture(scope="session")
def hosts(boot: Callable[..., None]) -> None:
    """The lab's usual hosts."""
    boot()
    (STATE / "inventory").unlink(missing_ok=True)
    (STATE / "inventory").symlink_to("../inventories/lab")


@pytest.fixture(scope="session")
def build(hosts: None) -> Run:
    return succeed(playbook())


@pytest.fixture(scope="session")
def cluster(build: Run) -> None:
    """A cluster that is there."""
