# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind of machine a host is, read from the kernel and from /etc; what it means is decided in ``requirements``."""

from __future__ import annotations

import glob
import os
import platform
import time
from typing import Any

from .files import read_text

# State of a listening socket in /proc/net/tcp (proc(5), include/net/tcp_states.h).
_LISTEN = "0A"


def collect() -> dict[str, Any]:
    """The machine.

    Returns:
        ``hostname``, ``os`` (id and version), ``cpus``, ``memory_mb``, ``time`` (seconds since the epoch),
        ``machine_id``, ``product_uuid`` and ``mac`` (of the interface with the default route), each None where there is
        none, and ``listening``: TCP ports in use.
    """
    sockets = [read_text(path) or "" for path in glob.glob("/proc/net/tcp*")]
    release = dict(line.split("=", 1) for line in (read_text("/etc/os-release") or "").splitlines() if "=" in line)
    return {
        "hostname": platform.node(),
        "os": " ".join(release.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID")).strip(),
        "cpus": os.cpu_count() or 0,
        "memory_mb": memory_mb(read_text("/proc/meminfo") or ""),
        "time": time.time(),
        "machine_id": (read_text("/etc/machine-id") or "").strip() or None,
        "product_uuid": _product_uuid(),
        "mac": _mac(default_interface(read_text("/proc/net/route") or "")),
        "listening": sorted({port for text in sockets for port in listening(text)}),
    }


def memory_mb(meminfo: str) -> int:
    """Total memory in MB, which kubeadm counts as 1000000 bytes, from the text of /proc/meminfo (proc(5))."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024 // 1_000_000
    return 0


def default_interface(routes: str) -> str | None:
    """The interface of the default route, from the text of /proc/net/route: columns, addresses in hex."""
    rows = [line.split() for line in routes.splitlines()[1:]]
    return next((row[0] for row in rows if len(row) > 7 and row[1] == row[7] == "00000000"), None)


def listening(sockets: str) -> list[int]:
    """TCP ports in use, from the text of /proc/net/tcp or tcp6 (proc(5))."""
    rows = [line.split() for line in sockets.splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == _LISTEN]


def _product_uuid() -> str | None:
    try:
        return (read_text("/sys/class/dmi/id/product_uuid") or "").strip().lower() or None
    except OSError:
        return None


def _mac(interface: str | None) -> str | None:
    return (read_text(f"/sys/class/net/{interface}/address") or "").strip() or None if interface else None
