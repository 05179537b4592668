# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind of machine a host is, read from the kernel and from /etc; what it means is decided in ``requirements``."""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import platform
import shutil
import subprocess
import time
from typing import Any

from . import pod_network
from .files import read_text

# State of a listening socket in /proc/net/tcp (proc(5), include/net/tcp_states.h).
_LISTEN = "0A"


def collect() -> dict[str, Any]:
    """The machine.

    Returns:
        ``hostname``, ``os`` (id and version), ``cpus``, ``memory_mb``, ``time`` (seconds since the epoch),
        ``machine_id``, ``product_uuid`` and ``mac`` (of the interface with the default route), each None where there is
        none, ``listening``: TCP ports in use, and ``cni``: names of the files with CNI configuration.
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
        "cni": _cni_configurations(),
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


def networks(addresses: str, routes: str) -> list[dict[str, str]]:
    """Where a host's addresses and routes lead, but for the default routes and for what never leaves the host or link.

    Args:
        addresses: what ``ip -json address`` prints.
        routes: what ``ip -json route show table all`` prints, of one or more families.

    Returns:
        For each its ``network``, ``device`` (may be empty), ``kind`` (address or route), and routing ``protocol`` as
        ip-route(8) names it (empty for addresses).
    """
    found = [
        (f"{entry['local']}/{entry['prefixlen']}", link["ifname"], "address", "")
        for link in json.loads(addresses)
        for entry in link.get("addr_info", ())
        if "local" in entry
    ]
    found += [
        (route["dst"], route.get("dev", ""), "route", str(route.get("protocol", "")))
        for route in json.loads(routes)
        # Those of the kernel's own making follow from addresses.
        if route["dst"] != "default"
        and route.get("protocol") != "kernel"
        and route.get("type", "unicast") not in ("local", "broadcast", "multicast", "anycast")
    ]
    listed = ((ipaddress.ip_network(text, strict=False), *rest) for text, *rest in found)
    return [
        {"network": str(network), "device": device, "kind": kind, "protocol": protocol}
        for network, device, kind, protocol in listed
        if not (network.is_loopback or network.is_link_local or network.is_multicast)
    ]


def host_networks() -> list[dict[str, str]] | None:
    """``networks`` of this host, None where its program ip cannot tell them."""
    program = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "ip"
    try:
        shown = [
            subprocess.run([program, "-json", *what], capture_output=True, text=True, check=True, timeout=10).stdout
            for what in (("address",), ("route", "show", "table", "all"))
        ]
        return networks(*shown)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def _cni_configurations() -> list[str]:
    """Files that a container runtime would read (libcni's endings)."""
    try:
        names = os.listdir(pod_network.CONFIGURATIONS)
    except OSError:
        return []
    return sorted(name for name in names if name.endswith((".conf", ".conflist", ".json")))


def _product_uuid() -> str | None:
    try:
        return (read_text("/sys/class/dmi/id/product_uuid") or "").strip().lower() or None
    except OSError:
        return None


def _mac(interface: str | None) -> str | None:
    return (read_text(f"/sys/class/net/{interface}/address") or "").strip() or None if interface else None
