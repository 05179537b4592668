# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static pods: what a manifest tells its program, and with what the program runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_FLAG = re.compile(r"""^\s*- ['"]?--([a-z0-9-]+)=(.*?)['"]?$""", re.MULTILINE)


def flags_of(manifest: str) -> dict[str, str]:
    """What a manifest that kubeadm wrote tells its program: flags without their dashes, and their values."""
    return dict(_FLAG.findall(manifest))


def running(program: str) -> Iterator[tuple[dict[str, str], float]]:
    """This host's processes of a program: their flags, and when each began, in seconds since the machine's boot."""
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, flags in processes(program):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                # proc(5): the name in parentheses may hold anything; the start time is the 20th field after it.
                began = int(stat.read().rpartition(")")[2].split()[19])
        except (OSError, IndexError, ValueError):
            continue  # it ended meanwhile
        yield flags, began / ticks


def processes(program: str) -> Iterator[tuple[int, dict[str, str]]]:
    """This host's processes of a program: their ids, and their flags.

    An image may start its program by another one, so it may also be the first argument.
    """
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as command:
                words = command.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if program in map(os.path.basename, words[:2]):
            pairs = (word[2:].partition("=") for word in words if word.startswith("--"))
            yield int(pid), {name: value for name, _sign, value in pairs}
