# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios of the sample: one cluster that is built, grows, and has a control plane replaced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scenarios import Build, Replace, ScaleUp
from strikes import lab_of_this_clone
from support import lab


@pytest.fixture(scope="session")
def own_lab() -> Iterator[None]:
    """Hosts that are this session's alone, and gone after it."""
    lab_of_this_clone()
    yield
    lab("down")


@pytest.fixture(scope="session")
def build(own_lab: None) -> Build:
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


@pytest.fixture(scope="session")
def replace(scale_up: ScaleUp) -> Replace:
    """Of the cluster that has grown."""
    scenario = Replace()
    scenario.workers = scale_up.workers
    scenario.adopt()
    return scenario
