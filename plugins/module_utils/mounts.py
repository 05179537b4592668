# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts, and folders emptied with respect for them: what is mounted somewhere is never deleted through it."""

from __future__ import annotations

import os
import re

_MOUNTS = "/proc/self/mountinfo"


def below(folder: str, mountinfo: str | None = None) -> list[str]:
    """Where something is mounted below a folder, the folder itself left out, in the order in which to unmount it.

    Args:
        folder: a path without links in it.
        mountinfo: the text of /proc/self/mountinfo (proc(5)), the host's own where it is not given. A blank in a path
            is written there as an octal escape.
    """
    if mountinfo is None:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as stream:
            mountinfo = stream.read()
    points = [_unescape(line.split()[4]) for line in mountinfo.splitlines() if line.strip()]
    # One that was mounted later may lie below an earlier one, or on top of it.
    return [point for point in reversed(points) if point.startswith(folder.rstrip("/") + "/")]


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def content(folder: str) -> list[str]:
    """What lies in a folder, or in the one that it leads to: names, sorted; none where there is no folder.

    A file system's own lost+found does not count, nor do folders that hold nothing and that something is mounted on.
    """
    real = os.path.realpath(folder)
    points = {*below(real)}
    try:
        found = sorted(os.listdir(real))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in found if not _stays(os.path.join(real, name), points)]


def _stays(path: str, points: set[str]) -> bool:
    """Whether a path is something that ``empty`` leaves: lost+found, and folders on the way to mounts."""
    if os.path.basename(path) == "lost+found" and os.path.isdir(path):
        return True
    if not any(point == path or point.startswith(path + "/") for point in points):
        return False
    return os.path.isdir(path) and all(_stays(os.path.join(path, name), points) for name in os.listdir(path))


def empty(folder: str) -> None:
    """Remove what is in a folder, or in the one that it leads to. Folders that something is mounted on stay, emptied.

    Raises:
        OSError: something cannot be removed.
    """
    real = os.path.realpath(folder)
    points = {*below(real)}
    if not os.path.isdir(real):
        return
    for path in [os.path.join(real, name) for name in os.listdir(real)]:
        _remove(path, points)


def _remove(path: str, points: set[str]) -> None:
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
    elif not _stays(path, points):
        for name in os.listdir(path):
            _remove(os.path.join(path, name), points)
        if not any(point == path or point.startswith(path + "/") for point in points):
            os.rmdir(path)
