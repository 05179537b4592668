# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that outlive the command that started them, recognised again without doubt before they are signalled."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .cgroups import ControlGroup

TICKS = os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """Changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (the state); the second may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@dataclass(frozen=True)
class Process:
    """A process by number, start time (clock ticks) and boot: together never used twice."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, int(_stat(pid)[19]), boot_id())

    @classmethod
    def load(cls, record: Path) -> Process | None:
        """The process that was saved there, None if there is no whole record."""
        try:
            return cls(**json.loads(record.read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def save(self, record: Path) -> None:
        record.write_text(json.dumps(asdict(self)) + "\n")

    @property
    def alive(self) -> bool:
        """Whether this very process runs; one that ended and waits to be reaped does not."""
        try:
            fields = _stat(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return int(fields[19]) == self.started and fields[0] not in "ZX" and self.boot == boot_id()

    @property
    def uptime(self) -> float:
        """Seconds since it began."""
        return float(Path("/proc/uptime").read_text().split()[0]) - self.started / TICKS

    @property
    def command(self) -> list[str]:
        """The words of its command line."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_text().split("\0")[:-1]
        except FileNotFoundError:
            return []


def launch(command: Sequence[str | Path], group: ControlGroup, console: Path, **environment: str) -> Process:
    """Start a command that stays, in a control group and session of its own, its output in the console file."""
    return Process.of(spawn(command, group, console, environment).pid)


def spawn(
    command: Sequence[str | Path],
    group: ControlGroup,
    console: Path,
    environment: Mapping[str, str],
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """The same for a caller who waits for its end; it runs in that folder."""
    joining = 'for folder in $FOLDERS; do echo $$ > "$folder/cgroup.procs"; done; unset FOLDERS; exec "$@"'
    wrapped = [*group.wrapper, "/bin/sh", "-ec", joining, "sh", *(str(word) for word in command)]
    console.parent.mkdir(parents=True, exist_ok=True)
    with console.open("ab") as out:
        return subprocess.Popen(
            wrapped,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **environment, "FOLDERS": " ".join(str(folder) for folder in group.create())},
        )
