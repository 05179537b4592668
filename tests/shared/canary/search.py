# SPDX-License-Identifier: GPL-3.0-or-later
"""Where secrets must not be: files, folders, hosts' disks and journals; and who may read the files that hold them."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from .sampler import roots
from .shapes import Known

# What a host may hold secrets in, below its root: kubeadm's own, and backups that a person asked for.
RIGHTFUL = ("etc/kubernetes", "var/backups/kubeadm.ha")
JOURNAL = "var/log/journal"
# Programs and packages, which nothing but their installation writes.
INSTALLED = ("usr", "opt", "var/cache", "var/lib/apt", "var/lib/dpkg")
# Containers' roots, which are mounted there, and their networks, which nobody can read; what git keeps; and
# administrators' own kubeconfigs.
FOREIGN = ("--exclude-dir=rootfs", "--exclude-dir=netns", "--exclude-dir=.git", "--exclude-dir=.kube")
FOREIGN += ("--devices=skip", "--directories=recurse")
AT_ONCE = 2000
GREP_SECONDS = 120

_HIT = re.compile(rb"([^\0\n]+)\0(\d+):([^\n]+)\n")
_HOLDS_KEY = re.compile(rb"PRIVATE KEY-----|client-key-data: *\S")


def files(known: Known, paths: Iterable[Path]) -> dict[str, str]:
    """By file, and label, the first place where a secret shows; folders with all that is below them.

    Raises:
        RuntimeError: the search itself failed.
    """
    found: dict[str, str] = {}
    listed = [str(path) for path in paths if os.path.lexists(path)]
    patterns = b"\n".join(known.labels)
    for start in range(0, len(listed) if patterns else 0, AT_ONCE):
        for path, offset, piece in _hits(patterns, listed[start : start + AT_ONCE]):
            place = f"{path.decode()}: {known.labels.get(piece, 'a secret')}"
            found.setdefault(place, f"at byte {int(offset)}")
    return found


def _hits(patterns: bytes, paths: list[str]) -> list[tuple[bytes, bytes, bytes]]:
    """Path, offset and piece of each place.

    A file that disappeared while it was read has been seen to keep grep busy for ever: it is left out by halving.
    """
    try:
        done = subprocess.run(
            ["grep", "-aobHZF", *FOREIGN, "--file=-", "--", *paths],
            input=patterns,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
            timeout=GREP_SECONDS,
        )
    except subprocess.TimeoutExpired:
        there = [path for path in paths if os.path.lexists(path)]
        if len(there) < 2 and there == paths:
            raise
        half = len(there) // 2
        return [hit for part in (there[:half], there[half:]) if part for hit in _hits(patterns, part)]
    wrong = [line for line in done.stderr.decode().splitlines() if not line.endswith("No such file or directory")]
    if wrong:
        raise RuntimeError("\n".join(wrong[:5]))
    return _HIT.findall(done.stdout)


def changed_since(folder: Path, moment: float, excluded: Iterable[Path]) -> Iterator[Path]:
    """Files of a folder that were written since, but for those below some folders."""
    left_out = {str(path) for path in excluded}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(place, name) not in left_out]
        for name in names:
            with contextlib.suppress(OSError):
                state = os.lstat(os.path.join(place, name))
                if stat.S_ISREG(state.st_mode) and state.st_mtime >= moment:
                    yield Path(place, name)


def disks(known: Known, state: Path) -> dict[str, str]:
    """The same of the hosts' disks, of hosts that are off, too: all but programs and where secrets belong."""
    found: dict[str, str] = {}
    for folder in sorted((state / "hosts").glob("*")):
        out = {folder / "upper" / place for place in (*RIGHTFUL, *INSTALLED, JOURNAL)} | {folder / "kubelet/pki"}
        places = [*_beside(folder / "upper", out), *_beside(folder / "kubelet", out)]
        found |= files(known, places)
    return found


def _beside(folder: Path, out: set[Path]) -> Iterator[Path]:
    """What is in a folder, without some that are somewhere below it."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if any(path in one.parents for one in out):
            yield from _beside(path, out)
        elif path not in out:
            yield path


def memories(known: Known, state: Path) -> dict[str, str]:
    """The same of what hosts that run keep in memory: /run and /tmp."""
    found: dict[str, str] = {}
    for root in roots(state).values():
        found |= files(known, [root / "tmp", root / "run"])
    return found


def journals(known: Known, state: Path, scratch: Path) -> dict[str, str]:
    """The same of the hosts' journals: messages, and the command lines of those that sent them."""
    found: dict[str, str] = {}
    for folder in sorted((state / "hosts").glob("*")):
        journal = folder / "upper" / JOURNAL
        if not journal.is_dir():
            continue
        path = scratch / f"journal of {folder.name}"
        with path.open("wb") as stream:
            subprocess.run(
                ["journalctl", f"--directory={journal}", "--no-pager", "--all", "--quiet", "--output=export"]
                + ["--output-fields=MESSAGE,_CMDLINE"],
                stdout=stream,
                check=True,
            )
        found |= files(known, [path])
        path.unlink()
    return found


def modes(state: Path) -> list[str]:
    """What anybody but root could read or change of a cluster's keys, configuration and data."""
    wrong = []
    for folder in sorted((state / "hosts").glob("*")):
        for place in ("upper/etc/kubernetes", "upper/var/backups/kubeadm.ha", "etcd", "kubelet/pki"):
            for path, found in _walk(folder / place):
                shown = f"{folder.name}: {path.relative_to(folder)}"
                wrong += _judged(shown, path, found, data=place == "etcd" and not _is_shut_in(path, folder))
    for path, found in ((path, path.lstat()) for path in state.glob("*kubeconfig*")):
        wrong += _judged(str(path), path, found)
    return wrong


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for place, _folders, names in os.walk(folder):
        for path in (Path(place), *(Path(place, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                yield path, path.lstat()


def _is_shut_in(path: Path, top: Path) -> bool:
    """Whether a folder on the way to it lets nobody but root in, as etcd's own does."""
    ways = (folder for folder in path.parents if top in folder.parents)
    return any(not folder.lstat().st_mode & 0o077 for folder in ways)


def _judged(shown: str, path: Path, found: os.stat_result, *, data: bool = False) -> Iterator[str]:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return
    if (found.st_uid, found.st_gid) != (0, 0) and not stat.S_ISCHR(found.st_mode):
        yield f"{shown}: found owner {found.st_uid}:{found.st_gid}, wanted root"
    if mode & 0o022:
        yield f"{shown}: found mode {mode:04o}, wanted that nobody but root can write to it"
    if mode & 0o077 and stat.S_ISREG(found.st_mode) and (data or _HOLDS_KEY.search(path.read_bytes())):
        yield f"{shown}: found mode {mode:04o}, wanted it for root alone: it holds what is secret"
