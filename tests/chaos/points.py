# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to strike, in which order, and what became of it: decisions without a lab."""

from __future__ import annotations

import fnmatch
import itertools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WAYS = BOUNDARY, POWER_OFF, POWER_LOSS, KILL = "boundary", "power-off", "power-loss", "kill"


@dataclass(frozen=True)
class Point:
    """One place to strike.

    Attributes:
        scenario: which run is struck.
        how: ``boundary``: the controller is killed as a task begins. ``kill``: the controller is killed in the middle
            of a module, when a sign shows on a host. ``power-off``: that host is switched off then. ``power-loss``: it
            is, and the file that was the sign has nothing in it afterwards.
        where: the task as ``play > task #number``, or the sign as ``host sign``.
    """

    scenario: str
    how: str
    where: str

    @property
    def key(self) -> str:
        return f"{self.scenario}/{self.how}/{self.where}"


def boundary(scenario: str, play: str, task: str, number: int = 1) -> Point:
    return Point(scenario, BOUNDARY, f"{play} > {task} #{number}")


def task_of(point: Point) -> list[Any]:
    """Play, task and number of a boundary, as the callback ``boundaries`` knows it."""
    play, _separator, rest = point.where.partition(" > ")
    task, _separator, number = rest.rpartition(" #")
    return [play, task, int(number)]


def boundary_trials(scenario: str, told: Iterable[Mapping[str, Any]]) -> list[list[Point]]:
    """Every boundary of a run, in trials.

    A trial is what is struck before a run goes to its end. Boundaries between which nothing changed find the hosts in
    the same state, however often they are struck there, so they share a trial.
    """
    trials: list[list[Point]] = []
    for line in told:
        if "here" not in line:
            continue
        if line["changed"] or not trials:
            trials.append([])
        trials[-1].append(boundary(scenario, *line["here"]))
    return trials


def chained(trials: Iterable[list[Point]], most: int) -> list[list[Point]]:
    """Trials of so many points, each struck one after the other on the same hosts, in the order that was given."""
    joined: list[list[Point]] = []
    for trial in trials:
        if joined and len(joined[-1]) + len(trial) <= most:
            joined[-1] += trial
        else:
            joined.append([*trial])
    return joined


def abreast(jobs: Iterable[list[Point]], most: int) -> list[list[Point]]:
    """Trials of at most so many points, of which no two are of the same job; jobs follow each other in a run."""
    trials = [[point for point in row if point] for row in itertools.zip_longest(*jobs)]
    return [trial[start : start + most] for trial in trials for start in range(0, len(trial), most)]


@dataclass(frozen=True)
class Outcome:
    """What became of a point.

    Attributes:
        point: its key.
        survived: the run after it made the cluster whole, and the one after that changed nothing. None: the run ended
            before it came to the point.
        seconds: how long its trial took,
        together: with so many points.
        why: what was wrong, where something was.
        commit: what was tried.
        at: when, in seconds since 1970.
    """

    point: str
    survived: bool | None
    seconds: float
    together: int
    why: str
    commit: str
    at: float


class Results:
    """Outcomes in a file, a line each; the last one of a point counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.outcomes: dict[str, Outcome] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                outcome = Outcome(**json.loads(line))
                self.outcomes[outcome.point] = outcome

    def add(self, point: Point, survived: bool | None, seconds: float, together: int, why: str, commit: str) -> None:
        outcome = Outcome(point.key, survived, round(seconds, 1), together, why, commit, round(time.time()))
        self.outcomes[outcome.point] = outcome
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as stream:
            stream.write(json.dumps(asdict(outcome)) + "\n")


def fits(point: Point, pattern: str) -> bool:
    """Whether a point is one of those that CHAOS_ONLY asks for: by a pattern, or by a text that is in its key."""
    return fnmatch.fnmatchcase(point.key, pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*")
