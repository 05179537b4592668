# SPDX-License-Identifier: GPL-3.0-or-later
"""The performance goals, each as a ratio of two things measured in this one run, so that no machine's speed decides.

Needs the lab for itself: it takes it down and boots it anew.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kubelab.settings import TOPOLOGIES
from support import INVENTORY, ROOT, STATE, extended, host

DEAD = "cp3"
# With a virtual IP its load balancers agree on it before nodes are begun; bare commands do all at once, and never look.
INSTALL_GOALS = {"stacked": 1.25, "external_etcd": 1.5}
# Who types the bare commands knows already what has died. Half of ours is to find that out on all hosts, to keep what
# etcd holds, to look anew at what is left, to see to the load balancers, and to verify the end.
REPLACE_GOAL = 2.5
INVENTORIES = {"stacked": INVENTORY, "external_etcd": ROOT / "inventories" / "lab_external_etcd"}


@dataclass(frozen=True)
class Figure:
    """One goal and what was measured.

    Attributes:
        key: its name in .lab/bench.json.
        goal: the most that it may be.
        value: what it is.
        how: what was measured, with its parts in seconds where it has such.
    """

    key: str
    goal: float
    value: float
    how: str


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(*argv: str | Path) -> None:
    """Run a command of the clone; its output goes to a log that is named when it fails."""
    log = STATE / "logs" / "bench.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    with log.open("a") as stream:
        done = subprocess.run(argv, cwd=ROOT, env=environment, stdout=stream, stderr=stream, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, argv))} failed: see {log}")


def seconds(work: Callable[[], None]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def lab(*argv: str) -> None:
    run(ROOT / "tests/lab/lab", *argv)


def site(*argv: str, inventory: Path = INVENTORY) -> None:
    run("ansible-playbook", "site.yml", "-i", inventory, *argv)


def new_lab(topology: str) -> None:
    lab("down")
    lab("up", "--topology", topology)


def build_bare(topology: str) -> float:
    say(f"{topology}: booting hosts, building by bare commands ...")
    new_lab(topology)
    bare = seconds(lambda: by_hand(topology))
    say(f"  {bare:.1f} s")
    return bare


def build(topology: str) -> float:
    say(f"{topology}: booting hosts anew, building by site.yml ...")
    new_lab(topology)
    ours = seconds(lambda: site(inventory=INVENTORIES[topology]))
    say(f"  {ours:.1f} s")
    return ours


def by_hand(*argv: str) -> None:
    run(sys.executable, ROOT / "tests/bench/bare.py", *argv)


def over(key: str, goal: float, ours: float, bare: float) -> Figure:
    """What the collection takes over what bare commands take, in seconds each, on hosts of the same kind."""
    return Figure(key, goal, ours / bare, f"{ours:.1f} s over {bare:.1f} s")


def install_over_bare(topology: str) -> Figure:
    """The build by site.yml, over its steps as bare commands."""
    bare = build_bare(topology)
    return over("install_over_bare", INSTALL_GOALS[topology], build(topology), bare)


def replaced(work: Callable[[], None]) -> float:
    """Seconds to put a new host in the place of a control plane that has died, under its name."""
    say(f"{DEAD} dies, a host installed anew waits under its name, and takes its place ...")
    lab("power-off", DEAD)
    shutil.rmtree(STATE / "hosts" / DEAD)
    lab("up", DEAD)
    took = seconds(work)
    say(f"  {took:.1f} s")
    return took


def recover() -> None:
    run("ansible-playbook", "playbooks/recover.yml", "-i", INVENTORY, "-e", "recover_apply=true")


def stacked() -> list[Figure]:
    """The figures of one cluster with stacked etcd, each bare one measured while its cluster is there."""
    bare_build, bare_replace = build_bare("stacked"), replaced(lambda: by_hand("replace", DEAD))
    return [
        over("install_over_bare", INSTALL_GOALS["stacked"], build("stacked"), bare_build),
        *noop("stacked"),
        over("replace_control_plane", REPLACE_GOAL, replaced(recover), bare_replace),
        add_worker_200_over_0(),
    ]


def executions(topology: str) -> dict[str, int]:
    """How many commands SSH has started on each host since it booted, by the host's own journal."""
    count = "journalctl -t sshd --no-pager | grep -c 'Starting session'"
    return {name: int(host(name).check_output(count)) for name in TOPOLOGIES[topology]}


def noop(topology: str) -> list[Figure]:
    """A run that finds nothing to do: its remote executions, and its time over one ping of the same hosts."""
    say("runs that find nothing to do ...")
    inventory = INVENTORIES[topology]
    site(inventory=inventory)
    before = executions(topology)
    idle = seconds(lambda: site(inventory=inventory))
    # One more for the look itself.
    counts = {name: after - before[name] - 1 for name, after in executions(topology).items()}
    ping = min(seconds(lambda: run("ansible", "all", "-m", "ping", "-i", inventory)) for _round in range(3))
    say(f"  {idle:.1f} s, ping {ping:.1f} s, {max(counts.values())} executions")
    by_kind: dict[str, int] = {}
    for name, count in counts.items():
        kind = name.rstrip("0123456789")
        by_kind[kind] = max(count, by_kind.get(kind, 0))
    most = ", ".join(f"{kind} {count}" for kind, count in by_kind.items())
    return [
        Figure("noop_executions_per_host", 12, max(counts.values()), f"by its sshd's journal; {most}"),
        Figure("noop_over_ping", 15, idle / ping, f"{idle:.1f} s over {ping:.1f} s"),
    ]


def external() -> list[Figure]:
    """The same of etcd on hosts of its own, under names that say so."""
    figures = [install_over_bare("external_etcd"), *noop("external_etcd")]
    return [dataclasses.replace(figure, key=f"external_{figure.key}") for figure in figures]


def add_worker(name: str, simulated: int) -> float:
    """Seconds to add one worker, in an inventory with so many further ones that are only names."""
    with tempfile.TemporaryDirectory() as folder:
        names = [name, *(f"simulated{number}" for number in range(simulated))]
        inventory = extended(Path(folder), workers=names)
        return seconds(lambda: site("--limit", name, inventory=inventory))


def add_worker_200_over_0() -> Figure:
    """Adding a worker to a large inventory over adding one to a small one; each twice, the better one counts."""
    say("adding workers w3 to w6 ...")
    lab("up", "w3", "w4", "w5", "w6")
    alone = min(add_worker("w3", 0), add_worker("w5", 0))
    crowded = min(add_worker("w4", 200), add_worker("w6", 200))
    say(f"  {alone:.1f} s alone, {crowded:.1f} s among 200")
    return Figure("add_worker_200_over_0", 1.2, crowded / alone, f"{crowded:.1f} s over {alone:.1f} s")


def table(figures: list[Figure]) -> str:
    """The figures for people."""
    lines = [f"{'figure':<34}{'measured':>10}{'at most':>10}  {'':<4}from"]
    for figure in figures:
        verdict = "" if figure.value <= figure.goal else "OVER"
        lines.append(f"{figure.key:<34}{figure.value:>10.2f}{figure.goal:>10.2f}  {verdict:<4}{figure.how}")
    return "\n".join(lines)


def main() -> None:
    figures = [*stacked(), *external()]
    print(re.sub(r" +$", "", table(figures), flags=re.MULTILINE))
    (STATE / "bench.json").write_text(json.dumps({figure.key: round(figure.value, 3) for figure in figures}, indent=2))
    lab("down")
    sys.exit(any(figure.value > figure.goal for figure in figures))


if __name__ == "__main__":
    main()
