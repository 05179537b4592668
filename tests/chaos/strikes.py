# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are struck: the controller with all its processes at one stroke, or the power of a host."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import signs
from kubelab.cgroups import ControlGroup
from kubelab.lab import Lab
from kubelab.processes import spawn
from kubelab.settings import HOSTS
from points import BOUNDARY, POWER_LOSS, POWER_OFF, Point, task_of
from support import ROOT, STATE, eventually, lab

GROUP = "controller"
"""Every process of a run that is struck is in this control group: workers are in sessions of their own."""

LONGEST_RUN_SECONDS = 900.0
"""A run that has neither come to the point nor ended by then hangs."""

GRACE_SECONDS = 30.0
"""How long a run may go on after a host lost its power: usually it ends by itself, and says so."""

LOG = STATE / "logs" / "chaos-struck.log"
BOUNDARIES = STATE / "logs" / "chaos-boundaries.jsonl"


class Controller:
    """One run of a playbook that can be killed."""

    def __init__(self, book: str, inventory: Path, arguments: Sequence[str], halt: list[Any] | None) -> None:
        self._group = ControlGroup(GROUP)
        self._group.kill()
        for path in (LOG, BOUNDARIES):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        environment = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/shared/callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "kubeadm.ha.phases,boundaries",
            "KUBEADM_HA_BOUNDARIES": str(BOUNDARIES),
            "KUBEADM_HA_HALT": json.dumps(halt),
        }
        command = ["ansible-playbook", book, "-i", inventory, *arguments]
        self._process = spawn(command, self._group, LOG, environment, ROOT)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Return whether the condition came about before the run's end, and before so many seconds were over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            if self._process.poll() is not None:
                return False
            time.sleep(0.005)
        return False

    def end(self) -> int:
        """Let it go to its end; return its exit code."""
        try:
            return self._process.wait(LONGEST_RUN_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill it with all it started here, its kept connections as well. What it started on hosts lives on."""
        self._group.kill()
        self._process.wait()
        self._group.remove()

    @property
    def told(self) -> list[dict[str, Any]]:
        """What the callback said so far."""
        return [json.loads(line) for line in BOUNDARIES.read_text().splitlines()]


def record(book: str, inventory: Path, arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Run a playbook to its end, and return what it told of its boundaries."""
    run = Controller(book, inventory, arguments, None)
    code = run.end()
    assert code == 0, LOG.read_text()[-4000:]
    return run.told


def strike(
    point: Point,
    sign: signs.Sign | None,
    book: str,
    inventory: Path,
    arguments: Sequence[str],
    grace: float = GRACE_SECONDS,
) -> bool:
    """Begin a run, and strike it at a point; return whether it came to that point.

    Args:
        point: where.
        sign: shows that it is there; None at a boundary.
        book, inventory, arguments: the run.
        grace: how many seconds a run may go on after a host lost its power.
    """
    if sign and sign.there():
        return False
    run = Controller(book, inventory, arguments, task_of(point) if point.how == BOUNDARY else None)
    try:
        arrived = sign.there if sign else lambda: '"halted"' in BOUNDARIES.read_text()
        came = run.wait(arrived, LONGEST_RUN_SECONDS)
        if came and sign and point.how in (POWER_OFF, POWER_LOSS):
            power_off(sign.host)
            run.wait(lambda: False, grace)
    finally:
        run.kill()
    if came and sign and point.how == POWER_LOSS:
        signs.inside(sign.host, sign.path).write_text("")
    if came and sign and point.how in (POWER_OFF, POWER_LOSS):
        power_on(sign.host)
    return came


def power_off(name: str) -> None:
    """Stop a host where it is, then take its power away."""
    machines = Lab.active()
    machines.machines[name].group.set_frozen(True)
    machines.power_off([HOSTS[name]])


def power_on(name: str) -> None:
    """Have a host back with what it runs: wherever a whole control plane ran, its API server answers again."""
    lab("power-on", name)
    for machine in Lab.active().installed:
        if machine.running and _has_served(machine.host.name):
            eventually(functools.partial(_serves, machine.host.name), f"API server of {machine.host.name} is back")


def _has_served(name: str) -> bool:
    kubelet = signs.file(name, f"{signs.KUBERNETES}/kubelet.conf", holds="kubelet-client-current.pem")
    # Of one that a power loss has emptied nothing comes back before the next run.
    server = signs.file(name, f"{signs.KUBERNETES}/manifests/kube-apiserver.yaml", holds="kube-apiserver")
    return kubelet.there() and server.there()


def _serves(name: str) -> bool:
    return signs.found(name, "/api/v1/namespaces/default") is not None


def lab_of_this_clone() -> None:
    """See that no other clone's lab is up, which `lab down` would take down as readily.

    Raises:
        LabError: one is.
    """
    Lab().refuse_another()


def bare(*names: str) -> None:
    """Have these hosts, as new, and no others."""
    lab_of_this_clone()
    lab("down")
    lab("up", *names)


def switch_off(*names: str) -> None:
    """Take the power of hosts that may be off already, or may never have been there."""
    machines = Lab.active()
    machines.power_off([HOSTS[name] for name in names if machines.machines[name].installed])


def reinstall(*names: str) -> None:
    """Give hosts a new disk, and boot them: the same names and addresses, and nothing of what they were."""
    switch_off(*names)
    for machine in (Lab.active().machines[name] for name in names):
        if machine.installed:
            shutil.rmtree(machine.folder)
    lab("up", *names)


def commit() -> str:
    """What is tried, as git names it; dirty where the collection itself is not what was committed."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    changed = [*git, "diff", "--quiet", "HEAD", "--", "playbooks", "plugins", "roles"]
    return name.strip() + ("-dirty" if subprocess.run(changed, check=False).returncode else "")
