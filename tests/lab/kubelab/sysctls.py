# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings that the lab or its kubelets change for the whole machine, so that they can be put back."""

from __future__ import annotations

from pathlib import Path

NEEDED = {
    "net.ipv4.ip_forward": 1,
    "fs.inotify.max_user_instances": 8192,
    "fs.inotify.max_user_watches": 1048576,
}
"""Name to the least value: forwarding for the way out, and inotify enough for every host's systemd and kubelet."""

CHANGED_BY_HOSTS = (
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.pid_max",
    "kernel.printk",
    "kernel.sysrq",
    "kernel.core_pattern",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "vm.max_map_count",
    "vm.swappiness",
    "fs.file-max",
    "fs.nr_open",
    "fs.protected_hardlinks",
    "fs.protected_symlinks",
    "fs.protected_regular",
    "fs.protected_fifos",
)
"""Not in a name space of their own: systemd's defaults and the kubelet set some of these from within a host."""


def _file(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def read() -> dict[str, str]:
    """Name to value of all that may change."""
    names = (*NEEDED, *CHANGED_BY_HOSTS)
    return {name: _file(name).read_text().strip() for name in names if _file(name).exists()}


def raise_needed() -> None:
    """Raise what is lower than the lab needs."""
    for name, least in NEEDED.items():
        if int(_file(name).read_text()) < least:
            _file(name).write_text(str(least))


def restore(values: dict[str, str]) -> None:
    """Put back what differs."""
    for name, value in values.items():
        if _file(name).read_text().strip() != value:
            _file(name).write_text(value)
