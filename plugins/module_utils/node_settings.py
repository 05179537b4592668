# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs before it can be a node: the formats of Linux's own files, apart from reading and writing them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HEADER = "# Written by kubeadm.ha.\n"
HOSTS_BEGIN = "# BEGIN kubeadm.ha\n"
HOSTS_END = "# END kubeadm.ha\n"

# Where sysctl.d(5) looks; of files with one name, the first of these folders has its way.
SYSCTL_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")


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


@dataclass(frozen=True)
class Unit:
    """A systemd unit, as far as it decides about the next boot.

    Attributes:
        name: with its type, escaped as systemd has it.
        state: of its file: enabled, static, generated and so on; empty for one without a file.
        path: of its file.
    """

    name: str
    state: str
    path: str

    @property
    def remedy(self) -> str | None:
        """What keeps it from starting at boot: mask or disable; None where nothing starts it.

        A unit that an administrator wrote lies where a mask would, so it is disabled.
        """
        if not self.path or self.state.startswith("masked"):
            return None
        if not self.path.startswith("/etc/systemd/system/"):
            return "mask"
        return "disable" if self.state.startswith("enabled") else None


def units(shown: str) -> list[Unit]:
    """Units from what ``systemctl show --property=Id,LoadState,UnitFileState,FragmentPath`` prints, a block each."""
    found = {}
    for block in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("Id") and values.get("LoadState") not in ("masked", "not-found"):
            path = values.get("FragmentPath", "")
            found[values["Id"]] = Unit(values["Id"], values.get("UnitFileState", ""), path)
    return [found[name] for name in sorted(found)]


def sysctl_conf(values: Mapping[str, object]) -> str:
    """A file for sysctl.d(5)."""
    return HEADER + "".join(f"{name} = {value}\n" for name, value in sorted(values.items()))


def sysctl_path(name: str) -> str:
    """Where the kernel keeps a sysctl. Names that begin with a dotted part swap dots and slashes (sysctl.d(5))."""
    first = next((character for character in name if character in "./"), "/")
    return "/proc/sys/" + (name if first == "/" else name.translate(str.maketrans("./", "/.")))


def same_value(one: object, other: object) -> bool:
    """Whether the kernel takes two values for one: it writes tabs where people write blanks."""
    return str(one).split() == str(other).split()


def sysctl_order(paths: Iterable[str]) -> list[str]:
    """Files of ``SYSCTL_FOLDERS`` in the order in which systemd-sysctl applies them: by name, whatever their folder."""
    chosen: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: SYSCTL_FOLDERS.index(os.path.dirname(path))):
        chosen.setdefault(os.path.basename(path), path)
    return [chosen[name] for name in sorted(chosen)]


def sysctl_settings(text: str) -> dict[str, str]:
    """What a file for sysctl.d(5) sets, by path in /proc/sys. Patterns are left out: a setting by name beats them."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        name = name.strip().lstrip("-")
        if equals and name[:1] not in ("#", ";") and not set(name) & set("*?["):
            found[sysctl_path(name)] = value.strip()
    return found


def undone_sysctls(wanted: Mapping[str, object], later: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Settings that files which come after ours set otherwise at boot.

    Args:
        wanted: values by name.
        later: the texts of those files by path, in their order.

    Returns:
        For each the name, the value at boot, and the file that has the last word.
    """
    last: dict[str, tuple[str, str]] = {}
    for path, text in later.items():
        last.update((setting, (value, path)) for setting, value in sysctl_settings(text).items())
    return [
        (name, *last[sysctl_path(name)])
        for name, value in sorted(wanted.items())
        if sysctl_path(name) in last and not same_value(last[sysctl_path(name)][0], value)
    ]


def with_hosts(hosts: str, entries: Mapping[str, str], *, complete: bool) -> str:
    """The text of hosts(5) with one block of ours that gives these names their addresses.

    Args:
        hosts: the text as it is.
        entries: addresses by name.
        complete: these are all. Otherwise a name that is in the block already stays there.
    """
    before, begin, rest = hosts.partition(HOSTS_BEGIN)
    block, _end, after = rest.partition(HOSTS_END)
    if not begin and before and not before.endswith("\n"):
        before += "\n"
    kept = {} if complete else {name: row[0] for row in map(str.split, block.splitlines()) for name in row[1:]}
    names = {**kept, **entries}
    lines = "".join(f"{address} {name}\n" for name, address in sorted(names.items()))
    return f"{before}{HOSTS_BEGIN}{lines}{HOSTS_END}{after}"


def permissive_selinux(config: str) -> str:
    """The text of /etc/selinux/config (selinux(8)) with an enforcing mode made permissive; a disabled one stays."""
    return re.sub(r"(?m)^(\s*SELINUX\s*=\s*)enforcing\b", r"\1permissive", config)


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
