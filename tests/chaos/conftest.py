# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios of the sample: one cluster that is built and then grows, and one with etcd on hosts of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scenarios import Build, External, ScaleUp
from support import lab


@pytest.fixture(scope="session", autouse=True)
def own_lab() -> Iterator[None]:
    """Whatever was up goes, and nothing stays."""
    yield
    lab("down")


@pytest.fixture(scope="session")
def external() -> External:
    scenario = External()
    scenario.begin()
    return scenario


@pytest.fixture(scope="session")
def build() -> Build:
    scenario = Build()
    scenario.begin()
    return scenario


@pytest.fixture(scope="session")
def scale_up(build: Build) -> ScaleUp:
    """Of the cluster that the struck build has become."""
    scenario = ScaleUp()
    scenario.adopt()
    lab("up", *scenario.new)
    return scenario
