# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of other choices is as whole, and as still on a second run, as the lab's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Run, api, node_is_ready, playbook, succeed


@pytest.mark.on_demand
def test_check_mode_said_what_the_build_then_changed(foretold: Run, build: Run) -> None:
    assert foretold.changes == build.changes
    assert foretold.subjects == build.subjects


def test_even_number_of_members_is_worth_a_warning(build: Run) -> None:
    assert "Know: cluster: stacked control planes: found 2, wanted an odd number." in build.output


def test_every_node_is_ready(build: Run) -> None:
    names = {node["metadata"]["name"] for node in api().get("/api/v1/nodes")["items"]}
    assert {"cp1", "cp2", "w1", "trixie1"} <= names
    assert all(node_is_ready(name) for name in names)


@pytest.mark.parametrize(
    "arguments",
    [pytest.param((), id="run"), pytest.param(("--check", "--diff"), id="check", marks=pytest.mark.on_demand)],
)
def test_second_run_changes_nothing(cluster: None, inventory: Path, arguments: tuple[str, ...]) -> None:
    run = succeed(playbook(*arguments, inventory=inventory))
    assert set(run.changed.values()) == {0}
