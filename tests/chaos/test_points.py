# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points there are, which of them share a trial, and which are left to try."""

from __future__ import annotations

from pathlib import Path

from points import KILL, POWER_LOSS, Point, Results, abreast, boundary, boundary_trials, chained, fits, task_of
from scenarios import Build


def told(*changed: bool) -> list[dict[str, object]]:
    return [{"here": ["Play", "role : Task", number], "changed": each} for number, each in enumerate(changed, 1)]


def test_boundaries_share_a_trial_as_long_as_nothing_changes() -> None:
    trials = boundary_trials("build", [*told(False, False, True, False, True), {"halted": ["Play", "role : Task", 5]}])
    assert [[task_of(point)[2] for point in trial] for trial in trials] == [[1, 2], [3, 4], [5]]


def test_task_of_a_boundary_is_what_the_callback_is_told() -> None:
    assert task_of(boundary("build", "Plan", "role : Do #1 > #2", 3)) == ["Plan", "role : Do #1 > #2", 3]


def test_outcomes_are_known_to_the_next_session(tmp_path: Path) -> None:
    first, second = Point("build", KILL, "cp1 a"), Point("build", KILL, "cp1 b")
    Results(tmp_path / "results").add(first, True, 1.0, 1, "", "abc")
    known = Results(tmp_path / "results").outcomes
    assert first.key in known and second.key not in known


def test_points_are_asked_for_by_a_text_or_a_pattern() -> None:
    point = Point("build", KILL, "cp1 pki/ca.crt")
    assert fits(point, "cp1 pki") and fits(point, "build/*") and fits(point, "*/kill/*")
    assert not fits(point, "cp2") and not fits(point, "kill/*")


def test_what_is_left_of_a_scenario_makes_its_trials() -> None:
    scenario = Build()
    (lost,) = [
        trial for trial in scenario.trials([POWER_LOSS], 20) if any("cp1 pki/ca.crt" in point.key for point in trial)
    ]
    other = {point.key for point in lost if "ca.crt" not in point.key}
    left = scenario.trials([POWER_LOSS], 20, lambda point: point.key not in other)
    assert {point.key for trial in left for point in trial} >= {point.key for point in lost} - other
    assert not any(point.key in other for trial in left for point in trial)


def test_last_outcome_of_a_point_counts(tmp_path: Path) -> None:
    point = Point("build", KILL, "cp1 a")
    for survived in (False, True):
        Results(tmp_path / "results").add(point, survived, 1.0, 1, "", "abc")
    assert Results(tmp_path / "results").outcomes[point.key].survived


def test_chain_keeps_the_order_and_holds_so_many_points_at_most() -> None:
    a, b, c, d = (Point("build", KILL, f"cp1 {name}") for name in "abcd")
    assert chained([[a], [b, c], [d]], 3) == [[a, b, c], [d]]
    assert chained([[a, b], [c]], 1) == [[a, b], [c]]


def test_points_abreast_are_each_of_another_job() -> None:
    a, b, c, d = (Point("build", KILL, f"cp1 {name}") for name in "abcd")
    assert abreast([[a, b], [c], [d]], 5) == [[a, c, d], [b]]
    assert abreast([[a, b], [c], [d]], 2) == [[a, c], [d], [b]]
