# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a whole: its hosts, what they stand on, and the record that tells every clone on the machine of it."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from . import cgroups, network, progress, sysctls
from .build import Build
from .cgroups import ControlGroup
from .errors import LabError
from .machine import Machine
from .processes import Process, boot_id, launch
from .settings import ACTIVE_RECORD, CONTROLLER_ADDRESS, HOSTS, LAB_SOURCES, MIRROR_PORT, PACKAGE, STATE, Host
from .ssh import Ssh

MIRROR_GROUP = "mirror"

Item = TypeVar("Item")


@dataclass(frozen=True)
class HostStatus:
    """What `lab status` tells of a host."""

    host: str
    address: str
    state: str
    """running, frozen, cut, "cut from PEER ..." or off."""
    uptime_seconds: int | None
    memory_bytes: int


class Lab:
    """A lab whose files are in one clone's state directory."""

    def __init__(self, state: Path = STATE) -> None:
        self.state = state
        self.logs = state / "logs"
        self.ssh = Ssh(state)
        self.machines = {name: Machine(host, state, self.ssh, self.logs) for name, host in HOSTS.items()}
        self._mirror_record = state / "hosts" / "mirror.json"
        self._kubectl = state / "kubectl"

    @classmethod
    def active(cls) -> Lab:
        """The lab that is up on this machine, whichever clone's, or died there; without one, this clone's own."""
        return cls(Path(record["state"])) if (record := _read_record()) else cls()

    @property
    def installed(self) -> list[Machine]:
        """Hosts that have a root, on or off."""
        return [machine for machine in self.machines.values() if machine.installed]

    @property
    def running(self) -> list[str]:
        """Names of the hosts that are on."""
        return [name for name, machine in self.machines.items() if machine.running]

    def up(self, names: Iterable[str], build: Build) -> list[str]:
        """Boot those of the hosts that do not run; return their names."""
        with _exclusive():
            self._claim()
            with progress.step("network, keys and mirror"):
                sysctls.raise_needed()
                network.up()
                self.ssh.prepare()
                self._serve(build.mirror)
            missing = [self.machines[name] for name in names if not self.machines[name].running]
            booted = [machine.host.name for machine in missing]
            if missing:
                with progress.step(f"boot {' '.join(booted)}"):
                    _together(missing, lambda machine: self._boot(machine, build))
            return booted

    def refuse_another(self) -> None:
        """Raise an error if another clone's lab is alive on this machine."""
        other = Lab.active()
        if other.state != self.state and other.running:
            raise LabError(
                "this machine",
                found=f"another clone's lab is up: {' '.join(other.running)}, in {other.state}",
                wanted="one lab on a machine",
                do=f"run `{LAB_SOURCES / 'lab'} down`, which takes down whichever lab is up",
            )

    def _claim(self) -> None:
        """Make this lab the active one, after another clone's is gone."""
        self.refuse_another()
        record = _read_record()
        if record and Path(record["state"]) != self.state:
            with progress.step(f"clean up after the dead lab of {record['state']}"):
                Lab.active()._take_down()
            record = None
        if not record or record["boot"] != boot_id():
            _write_record({"state": str(self.state), "boot": boot_id(), "sysctls": sysctls.read()})

    def _serve(self, tree: Path | None) -> None:
        """Have the mirror's server serve that tree, or not run at all without one."""
        present = Process.load(self._mirror_record)
        if present and present.alive and str(tree) in present.command:
            return
        ControlGroup(MIRROR_GROUP).kill()
        self._kubectl.unlink(missing_ok=True)
        if tree:
            # The machine has no kubectl, and the person at it wants to look at the cluster.
            self._kubectl.symlink_to(next(tree.glob("release/*/bin/linux/*/kubectl")))
            self._mirror_record.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, PACKAGE / "mirror_server.py", tree, CONTROLLER_ADDRESS, str(MIRROR_PORT)]
            launch(command, ControlGroup(MIRROR_GROUP), self.logs / "mirror.log").save(self._mirror_record)

    @staticmethod
    def _boot(machine: Machine, build: Build) -> None:
        if not machine.installed:
            machine.install(build.bases[machine.host.suite], build.stores if machine.host.runs_containers else {})
        machine.power_on()
        machine.wait_for_ssh()

    def power_on(self, hosts: Iterable[Host]) -> None:
        """Boot hosts that are off; those that run stay as they are."""
        machines = [self.require(host, installed=True) for host in hosts]
        _together([machine for machine in machines if not machine.running], self._power_on)

    @staticmethod
    def _power_on(machine: Machine) -> None:
        machine.power_on()
        machine.wait_for_ssh()

    def power_off(self, hosts: Iterable[Host]) -> None:
        """Kill hosts as if their cables were pulled."""
        _together([self.require(host, installed=True) for host in hosts], Machine.power_off)

    def reinstall(self, hosts: Iterable[Host], build: Build) -> None:
        """Kill hosts and boot them from fresh disks, as the same name with nothing on it."""
        _together(
            [self.require(host, installed=True) for host in hosts], lambda machine: self._reinstall(machine, build)
        )

    @classmethod
    def _reinstall(cls, machine: Machine, build: Build) -> None:
        machine.power_off()
        machine.remove()
        cls._boot(machine, build)

    def require(self, host: Host, *, installed: bool = False, running: bool = False) -> Machine:
        """The host's machine; an error if it is not in the state that is needed."""
        machine = self.machines[host.name]
        if running and not machine.running:
            do = f"run `lab power-on {host.name}`" if machine.installed else f"run `lab up {host.name}`"
            raise LabError(f"host {host.name}", found="it is off", wanted="a running host", do=do)
        if installed and not machine.installed:
            raise LabError(f"host {host.name}", found="it was never booted", do=f"run `lab up {host.name}`")
        return machine

    def status(self) -> list[HostStatus]:
        """All hosts of the lab, in the order of the table of hosts."""
        partial_cuts = network.cut_from() if network.exists() else {}
        return [self._status(machine, partial_cuts.get(machine.host.name, [])) for machine in self.installed]

    @staticmethod
    def _status(machine: Machine, cut_from: list[str]) -> HostStatus:
        supervisor = machine.supervisor
        if not supervisor:
            state = "off"
        elif machine.group.frozen:
            state = "frozen"
        elif network.unplugged(machine.host):
            state = "cut"
        elif cut_from:
            state = f"cut from {' '.join(cut_from)}"
        else:
            state = "running"
        uptime = int(supervisor.uptime) if supervisor else None
        memory = machine.group.memory if supervisor else 0
        return HostStatus(machine.host.name, machine.host.address, state, uptime, memory)

    def down(self) -> None:
        """Remove every trace of the lab but its logs."""
        with _exclusive():
            self._take_down()

    def _take_down(self) -> None:
        groups = sorted({*cgroups.left_over(), *self.machines, MIRROR_GROUP})
        _together([ControlGroup(name) for name in groups], _end_group)
        if network.usable():
            network.down()
        cgroups.remove_all()
        if (record := _read_record()) and record["boot"] == boot_id():
            sysctls.restore(record["sysctls"])
        if (self.state / "hosts").exists():
            shutil.rmtree(self.state / "hosts")
        self._kubectl.unlink(missing_ok=True)
        for path in self.ssh.files:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        ACTIVE_RECORD.unlink(missing_ok=True)


def _end_group(group: ControlGroup) -> None:
    if remaining := group.kill():
        found = f"processes {sorted(remaining)} do not die"
        raise LabError(f"control group {group.name}", found=found, do="run `lab down` again")
    group.remove()


def _together(items: list[Item], work: Callable[[Item], None]) -> None:
    """Do the work for all items at the same time; raise the first failure after all have ended."""
    if not items:
        return
    with ThreadPoolExecutor(len(items)) as pool:
        for result in [pool.submit(work, item) for item in items]:
            result.result()


def _read_record() -> dict | None:
    try:
        return json.loads(ACTIVE_RECORD.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write_record(record: dict) -> None:
    half = ACTIVE_RECORD.with_suffix(".new")
    half.write_text(json.dumps(record, indent=2) + "\n")
    half.rename(ACTIVE_RECORD)


@contextmanager
def _exclusive() -> Iterator[None]:
    """One `up` or `down` at a time on this machine."""
    with ACTIVE_RECORD.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("wait for another `lab up` or `lab down`"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
