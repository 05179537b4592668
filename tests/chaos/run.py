# SPDX-License-Identifier: GPL-3.0-or-later
"""Every point of every scenario, one after the other, in as many sessions as it takes.

CHAOS_ONLY: only points whose key has this text in it, or fits this pattern, whether they were tried before or not.
CHAOS_SECONDS: begin no trial after so many seconds.
CHAOS_CHAIN: strike at up to so many points one after the other before a run goes to its end. That is much faster, and
what is wrong after it may be any one's fault.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from kubelab.lab import Lab
from points import WAYS, Point, Results, selected
from scenarios import KEPT, SCENARIOS, Scenario
from strikes import GRACE_SECONDS, commit, lab_of_this_clone
from support import STATE, lab

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

RESULTS = STATE / "chaos.jsonl"


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
    chain = int(os.environ.get("CHAOS_CHAIN", "1"))
    results, version = Results(RESULTS), commit()
    lab_of_this_clone()
    try:
        # A pattern that begins with a scenario, and then a way, is about no other.
        first, _separator, rest = only.partition("/")
        scenarios = [kind() for name, kind in SCENARIOS.items() if first == name or first not in SCENARIOS]
        ways = [way for way in WAYS if rest.startswith(f"{way}/")] or WAYS
        trials = [(scenario, trial) for scenario in scenarios for trial in scenario.trials(ways, chain)]
        everything = [point for _scenario, trial in trials for point in trial]
        chosen = selected([trial for _scenario, trial in trials], only, results)
        left = sum(map(len, chosen))
        print(f"{len(everything)} points in {len(trials)} trials; to be tried now: {left} in {len(chosen)}", flush=True)
        done = 0
        for scenario, trial in trials:
            if trial not in chosen:
                continue
            if time.monotonic() > latest:
                print("time is over; the same command goes on from here")
                break
            begun = time.monotonic()
            outcomes, why = try_out(scenario, trial, GRACE_SECONDS if chain == 1 else 0.0)
            seconds = time.monotonic() - begun
            for point, survived in outcomes.items():
                done += 1
                if survived is not None or chain == 1:  # it may yet be reached by a trial of its own
                    results.add(point, survived, seconds, len(trial), "" if survived else why, version)
                word = {True: "survived", False: f"NOT SURVIVED: {why}", None: f"not reached. {why}"}[survived]
                print(f"{done} of {left}  {seconds:5.0f} s  {point.key}: {word}", flush=True)
        return summary([point for point in everything if not only or any(point in trial for trial in chosen)], results)
    finally:
        lab("down")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
