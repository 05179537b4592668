# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups, one per host: the bounds by which a host is frozen, measured, and killed without leaving anything.

A machine mounts several version 1 hierarchies, or one of version 2, or both kinds (hybrid). On version 2 under systemd
the group is a scope that systemd makes and delegates; everywhere else the lab makes its own folders.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from functools import cache
from pathlib import Path

NAME = "kubelab"
MOUNT_POINT = Path("/sys/fs/cgroup")


@cache
def hierarchies() -> dict[str, Path]:
    """Controller to the root of its hierarchy; "unified" is version 2, a named hierarchy goes by "name=..."."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, place, kind, options, *_rest = line.split()
        if not Path(place).is_relative_to(MOUNT_POINT):
            continue
        if kind == "cgroup2":
            found["unified"] = Path(place)
        elif kind == "cgroup":
            # The controllers' names stand among the mount options; what else is there does no harm.
            found.update(dict.fromkeys(options.split(","), Path(place)))
    return found


def under_systemd() -> bool:
    """Whether systemd runs this machine, so that it owns a version 2 hierarchy."""
    return Path("/run/systemd/system").is_dir() and set(hierarchies()) == {"unified"}


class ControlGroup:
    """The group of one host, in every hierarchy."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = f"{NAME}.slice/{NAME}-{name}.scope" if under_systemd() else f"{NAME}/{name}"

    @property
    def wrapper(self) -> list[str]:
        """What a command must be prefixed with to run in the group."""
        if not under_systemd():
            return []
        scope = [f"--unit={NAME}-{self.name}", f"--slice={NAME}", "--property=Delegate=yes"]
        return ["systemd-run", "--scope", "--quiet", "--collect", *scope]

    def create(self) -> list[Path]:
        """Make the group; return the folders that a process must join."""
        if under_systemd():
            return []
        folders = []
        for root in dict.fromkeys(hierarchies().values()):
            folder = root
            for part in Path(self.path).parts:
                _enable_controllers(folder)
                folder = folder / part
                folder.mkdir(exist_ok=True)
                _inherit_cpuset(folder)
            folders.append(folder)
        return folders

    def _folders(self) -> list[Path]:
        folders = (root / self.path for root in dict.fromkeys(hierarchies().values()))
        return [folder for folder in folders if folder.is_dir()]

    def pids(self) -> set[int]:
        """Every process in the group, those in groups below it too."""
        found: set[int] = set()
        for folder in self._folders():
            for below, _folders, _files in os.walk(folder):
                try:
                    found.update(int(pid) for pid in (Path(below) / "cgroup.procs").read_text().split())
                except OSError:
                    continue
        return found

    def kill(self, seconds: float = 10) -> set[int]:
        """Kill every process of the group; return those that are still there after that time.

        They are frozen first, so that none sees another die and acts on it, nor can its number pass to a stranger. They
        get the signal before they are thawed, so they never run again.
        """
        deadline = time.monotonic() + seconds
        while remaining := self.pids():
            if time.monotonic() > deadline:
                return remaining
            self.set_frozen(True)
            for pid in self.pids():
                # One that was killed before it froze is still listed for a moment.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.set_frozen(False)
            time.sleep(0.02)
        return set()

    def remove(self, seconds: float = 5) -> None:
        """Remove the empty group; the kernel may hold it for a moment after its last process ended."""
        deadline = time.monotonic() + seconds
        for folder in self._folders():
            for below, _folders, _files in os.walk(folder, topdown=False):
                while not _removed(below) and time.monotonic() < deadline:
                    time.sleep(0.02)

    @property
    def frozen(self) -> bool:
        switch, frozen, _thawed = self._freezer()
        return switch.exists() and switch.read_text().strip() in frozen

    def set_frozen(self, frozen: bool) -> None:
        """Stop every process of the group where it is, or let all go on."""
        switch, stopped, going = self._freezer()
        if switch.exists():
            switch.write_text(stopped[0] if frozen else going)

    def _freezer(self) -> tuple[Path, tuple[str, ...], str]:
        """The file that freezes the group, the words for frozen (the first is to be written), and the one for not."""
        if root := hierarchies().get("freezer"):
            return root / self.path / "freezer.state", ("FROZEN", "FREEZING"), "THAWED"
        return hierarchies()["unified"] / self.path / "cgroup.freeze", ("1",), "0"

    @property
    def memory(self) -> int:
        """Bytes that the group needs: what it uses, less file pages that the kernel may drop at once."""
        if root := hierarchies().get("memory"):
            usage, statistic = "memory.usage_in_bytes", "total_inactive_file"
        else:
            root, usage, statistic = hierarchies()["unified"], "memory.current", "inactive_file"
        folder = root / self.path
        try:
            used = int((folder / usage).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except FileNotFoundError:
            return 0
        return max(0, used - int(statistics.get(statistic, 0)))


def remove_all() -> None:
    """Remove the folders that held the groups, once they are empty."""
    for root in dict.fromkeys(hierarchies().values()):
        _removed(root / NAME)


def left_over() -> list[str]:
    """Names of groups that exist, whoever made them."""
    names: dict[str, None] = {}
    for root in dict.fromkeys(hierarchies().values()):
        parent = root / NAME
        if parent.is_dir():
            names.update((child.name, None) for child in sorted(parent.iterdir()) if child.is_dir())
        for scope in root.glob(f"{NAME}.slice/{NAME}-*.scope"):
            names[scope.stem.removeprefix(f"{NAME}-")] = None
    return list(names)


def _removed(folder: Path | str) -> bool:
    """Whether the folder is gone now; False while the kernel still holds it."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        return error.errno not in (errno.EBUSY, errno.ENOTEMPTY)
    return True


def _inherit_cpuset(folder: Path) -> None:
    """A version 1 cpuset begins without processors and memory, and takes no process until it has some."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if hierarchies().get("cpuset") in folder.parents and not (folder / name).read_text().strip():
            (folder / name).write_text((folder.parent / name).read_text())


def _enable_controllers(folder: Path) -> None:
    """On version 2 a group has the controllers that the group above it hands down."""
    available = folder / "cgroup.controllers"
    if available.exists() and (controllers := available.read_text().split()):
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
