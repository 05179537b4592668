# SPDX-License-Identifier: GPL-3.0-or-later
"""What shows only while a playbook runs: process lists, and files that are gone again when it ends.

The lab's hosts are containers, so this machine sees their processes, what these were started with, and their files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubelab.cgroups import ControlGroup
from kubelab.settings import ACTIVE_RECORD

from .harvest import Harvest

TICK_SECONDS = 0.04
# A new process may start another program; later that is rare.
YOUNG_SECONDS = 2.0
SLOW_SECONDS = 1.0
FILES_SECONDS = 0.2
LARGEST_FILE = 64 << 20
TEMPORARY = ("tmp", "var/tmp", "root/.ansible", "root/tmp")

_CONFIG = re.compile(rb"--config=/proc/self/fd/(\d+)")


def is_up(state: Path) -> bool:
    """Whether the machine's one lab is that of this folder."""
    try:
        return bool(json.loads(ACTIVE_RECORD.read_text())["state"] == str(state))
    except FileNotFoundError:
        return False


def roots(state: Path) -> dict[str, Path]:
    """By host that runs, its root as its first process sees it."""
    found: dict[str, Path] = {}
    if not is_up(state):
        return found
    for folder in sorted((state / "hosts").glob("*")):
        for pid in sorted(ControlGroup(folder.name).pids()):
            with contextlib.suppress(OSError):
                numbers = re.search(r"^NSpid:(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
                # Pods' first processes have a third number, and may be older by their pid, for pids begin anew.
                if numbers and numbers[1].split()[1:] == ["1"]:
                    found.setdefault(folder.name, Path(f"/proc/{pid}/root"))
    return found


class Sampler:
    """Looks again and again in a thread, while it is entered by one run or by several at once.

    Args:
        state: the lab's folder.
        harvest: is told what kubeadm was told, and looks at the hosts from time to time.
        mark: what the environment of each process of the run holds on this machine.
        folders: this machine's own temporary folders, of the run alone.
        processes: the file to which each command line and environment is added, once.
        files: the file to which the content of each temporary file is added.
    """

    def __init__(
        self, state: Path, harvest: Harvest, mark: bytes, folders: Sequence[Path], processes: Path, files: Path
    ) -> None:
        self._state, self._harvest, self._mark, self._folders = state, harvest, mark, folders
        self._processes, self._files = processes, files
        self._ages: dict[int, float] = {}
        self._programs: dict[int, bytes] = {}
        self._own = set(Path("/proc/self/environ").read_bytes().split(b"\0"))
        self._written: set[int] = set()
        self._copied: set[tuple[int, int, int, int]] = set()
        self._contents: set[int] = set()
        self._roots: dict[str, Path] = {}
        self._lock, self._entered = threading.Lock(), 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Sampler:
        with self._lock:
            self._entered += 1
            if self._entered == 1:
                self._harvest.begin()
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="canary", daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._entered -= 1
            if self._entered == 0 and self._thread:
                self._stop.set()
                self._thread.join()
            if self._failure:
                raise self._failure

    def _run(self) -> None:
        try:
            slow = files = 0.0
            while True:
                last, now = self._stop.is_set(), time.monotonic()
                everyone = last or now >= slow
                if everyone:
                    self._roots = roots(self._state)
                    self._harvest.look()
                    slow = now + SLOW_SECONDS
                self._sample_processes(now, everyone=everyone)
                if last or now >= files:
                    self._sample_files()
                    files = now + FILES_SECONDS
                if last:
                    return
                self._stop.wait(TICK_SECONDS)
        except BaseException as error:  # it is raised where the run ends
            self._failure = error

    def _sample_processes(self, now: float, *, everyone: bool) -> None:
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._ages = {pid: self._ages.get(pid, now) for pid in pids}
        self._programs = {pid: command for pid, command in self._programs.items() if pid in pids}
        for pid, since in self._ages.items():
            if everyone or now - since < YOUNG_SECONDS:
                with contextlib.suppress(OSError):  # it has ended
                    self._sample(pid)

    def _sample(self, pid: int) -> None:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if self._programs.get(pid) == command:
            return
        self._programs[pid] = command
        # What the tests themselves were started with is none of the run's doing.
        environment = set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")) - self._own
        digest = hash((command, frozenset(environment)))
        if not command or digest in self._written:
            return
        self._written.add(digest)
        of_a_host = self._roots and b"/kubelab" in Path(f"/proc/{pid}/cgroup").read_bytes()
        if self._mark not in environment and not of_a_host:
            return
        if config := _CONFIG.search(command):
            self._harvest.told(f"kubeadm, process {pid}", Path(f"/proc/{pid}/fd/{int(config[1])}").read_bytes())
        with self._processes.open("ab") as stream:
            stream.write(b"process %d\n%s\n%s\n" % (pid, command, b"\0".join(environment)))

    def _sample_files(self) -> None:
        for name, root in self._roots.items():
            with contextlib.suppress(OSError):  # it was switched off in this moment
                self._harvest.memory(name, root / "run")
        hosts = [(name, root / place) for name, root in self._roots.items() for place in TEMPORARY]
        for name, folder in [*hosts, *(("this machine", folder) for folder in self._folders)]:
            for path in _regular_files(folder):
                with contextlib.suppress(OSError):
                    self._copy(name, path)

    def _copy(self, name: str, path: Path) -> None:
        state = path.stat()
        identity = (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
        if identity in self._copied or state.st_size > LARGEST_FILE:
            return
        content = path.read_bytes()
        self._copied.add(identity)
        # Modules travel again and again.
        if hash(content) in self._contents:
            return
        self._contents.add(hash(content))
        with self._files.open("ab") as stream:
            stream.write(f"\n{name}: {path}\n".encode() + content)


def _regular_files(folder: Path) -> Iterator[Path]:
    """Files below a folder, not behind links or in file systems that are mounted there."""
    try:
        entries = list(os.scandir(folder))
        device = os.stat(folder).st_dev
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_dev == device:
                yield from _regular_files(Path(entry.path))
