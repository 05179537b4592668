# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs before it can be a node: the formats of Linux's own files, apart from reading and writing them."""

from __future__ import annotations

import re
from collections.abc import Mapping

HEADER = "# Written by kubeadm.ha.\n"


def active_swaps(proc_swaps: str) -> list[str]:
    """Devices and files in use as swap, from the text of /proc/swaps (proc(5)): a heading, then one a line.

    White space in a name is written as an octal escape.
    """
    names = [line.split()[0] for line in proc_swaps.splitlines()[1:] if line.strip()]
    return [re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name) for name in names]


def without_swap(fstab: str) -> str:
    """The text of fstab(5) with its swap entries commented out; every other line stays to the letter."""
    return "".join(f"# {line}" if _is_swap(line) else line for line in fstab.splitlines(keepends=True))


def _is_swap(line: str) -> bool:
    fields = line.split()
    return len(fields) >= 3 and not fields[0].startswith("#") and fields[2] == "swap"


def sysctl_conf(values: Mapping[str, object]) -> str:
    """A file for sysctl.d(5)."""
    return HEADER + "".join(f"{name} = {value}\n" for name, value in sorted(values.items()))


def sysctl_path(name: str) -> str:
    """Where the kernel keeps a sysctl. Names that begin with a dotted part swap dots and slashes (sysctl.d(5))."""
    first = next((character for character in name if character in "./"), "/")
    return "/proc/sys/" + (name if first == "/" else name.translate(str.maketrans("./", "/.")))


def modules_conf(names: list[str]) -> str:
    """A file for modules-load.d(5)."""
    return HEADER + "".join(f"{name}\n" for name in sorted(names))


def alternative_in_use(query: str) -> tuple[str | None, list[str]]:
    """Current value and choices, from the output of update-alternatives --query (update-alternatives(1))."""
    current, choices = None, []
    for line in query.splitlines():
        key, _separator, value = line.partition(": ")
        if key == "Value":
            current = value.strip()
        elif key == "Alternative":
            choices.append(value.strip())
    return current, choices
