# SPDX-License-Identifier: GPL-3.0-or-later
"""Every point of every scenario, one after the other, in as many sessions as it takes.

CHAOS_ONLY: only points whose key has this text in it, or fits this pattern, whether they were tried before or not.
CHAOS_SECONDS: begin no trial after so many seconds.
CHAOS_CHAIN: strike at up to so many points one after the other before a run goes to its end. With 1 it takes many times
as long, and tells whose fault it is that something is wrong in the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from kubelab.lab import Lab
from points import WAYS, Point, Results, fits
from scenarios import KEPT, SCENARIOS, Scenario
from strikes import GRACE_SECONDS, commit, lab_of_this_clone
from support import STATE, lab

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

RESULTS = Path(__file__).with_name("outcomes.jsonl")
"""In the clone and not in the lab's folder: what took hours is worth a commit, and goes on on another machine."""


def try_out(scenario: Scenario, trial: list[Point], grace: float) -> tuple[dict[Point, bool | None], str]:
    """Make one trial; return what became of its points, and what was wrong."""
    scenario.begin()
    came: list[Point] = []
    try:
        for point in trial:
            begun = time.monotonic()
            if scenario.strike(point, grace):
                came.append(point)
            if len(trial) > 1:
                print(f"    {time.monotonic() - begun:5.0f} s  {point.key}", flush=True)
        scenario.finish()
        survived, why = True, ""
    except (AssertionError, RequestFailed, OSError, subprocess.TimeoutExpired) as error:
        survived, why = False, str(error)
        scenario.spoil()
        keep_logs(trial[-1])
    missed = "the run ended before it came to this point" if survived and len(came) < len(trial) else ""
    return {point: survived if point in came else None for point in trial}, why or missed


def keep_logs(point: Point) -> None:
    """Keep what tells why a point was not survived, before the hosts go."""
    folder = KEPT / "failed" / point.key.replace("/", "_").replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    for path in (STATE / "logs").glob("chaos-*"):
        shutil.copy2(path, folder)
    for machine in Lab.active().installed:
        if journal := machine.journal():
            with (folder / f"journal-{machine.host.name}.log").open("w") as stream:
                words = ["journalctl", f"--directory={journal}", "--lines=3000", "--no-pager"]
                subprocess.run(words, stdout=stream, stderr=subprocess.DEVNULL, check=False)


def summary(everything: list[Point], results: Results) -> int:
    """Print what is known by now; return the exit code."""
    outcomes = [results.outcomes[point.key] for point in everything if point.key in results.outcomes]
    for outcome in outcomes:
        if not outcome.survived:
            print(f"{'NOT REACHED' if outcome.survived is None else 'NOT SURVIVED'} {outcome.point}: {outcome.why}")
    tried = [outcome for outcome in outcomes if outcome.survived is not None]
    survived = sum(bool(outcome.survived) for outcome in tried)
    print(f"{len(everything)} points, {len(tried)} tried, {survived} survived")
    return 0 if survived == len(everything) else 1


def main() -> int:
    only = os.environ.get("CHAOS_ONLY", "")
    latest = time.monotonic() + float(os.environ.get("CHAOS_SECONDS", "inf"))
    chain = int(os.environ.get("CHAOS_CHAIN", "20"))
    results, version = Results(RESULTS), commit()
    lab_of_this_clone()
    try:
        # A pattern that begins with a scenario, and then a way, is about no other.
        first, _separator, rest = only.partition("/")
        scenarios = [kind() for name, kind in SCENARIOS.items() if first == name or first not in SCENARIOS]
        ways = [way for way in WAYS if rest.startswith(f"{way}/")] or WAYS
        asked = [point for scenario in scenarios for trial in scenario.trials(ways) for point in trial]
        asked = [point for point in asked if not only or fits(point, only)]
        left = {point for point in asked if only or point.key not in results.outcomes}
        # What a chain passes by is chained once more with the like of it, and at last gets a trial of its own.
        for links in (chain, chain, 1):
            trials = [(one, trial) for one in scenarios for trial in one.trials(ways, links, left.__contains__)]
            print(f"{len(asked)} points; to be tried now: {len(left)} in {len(trials)} trials", flush=True)
            for scenario, trial in trials:
                if time.monotonic() > latest:
                    print("time is over; the same command goes on from here")
                    return summary(asked, results)
                begun = time.monotonic()
                outcomes, why = try_out(scenario, trial, GRACE_SECONDS if links == 1 else 0.0)
                seconds = time.monotonic() - begun
                for point, survived in outcomes.items():
                    if survived is not None or links == 1:
                        results.add(point, survived, seconds, len(trial), "" if survived else why, version)
                        left.discard(point)
                    word = {True: "survived", False: f"NOT SURVIVED: {why}", None: f"not reached. {why}"}[survived]
                    print(f"{len(left)} left  {seconds:5.0f} s  {point.key}: {word}", flush=True)
        return summary(asked, results)
    finally:
        lab("down")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
