# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind of machine a host is, read from the kernel and from /etc; what it means is decided in ``requirements``."""

from __future__ import annotations

import contextlib
import glob
import ipaddress
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from typing import Any

from . import pod_network
from .files import read_text

# State of a listening socket in /proc/net/tcp (proc(5), include/net/tcp_states.h).
_LISTEN = "0A"

# Services whose running says something: firewalls, whoever keeps the clock, and systemd's resolver.
FIREWALLS = ("firewalld", "ufw")
CLOCK_KEEPERS = ("chrony", "chronyd", "systemd-timesyncd", "ntp", "ntpd", "ntpsec", "openntpd")
RESOLVER = "systemd-resolved"
# Where images, containers and etcd's data are kept unless somebody says otherwise, and logs.
DATA_FOLDERS = ("/var/lib/kubelet", "/var/lib/containerd", "/var/lib/etcd", "/var/log")
# What kubeadm wants to find empty.
EMPTY_FOLDERS = ("/var/lib/etcd", "/etc/kubernetes/manifests")


def collect(*, name_owners: bool = False, data_folders: Iterable[str] = ()) -> dict[str, Any]:
    """The machine.

    Args:
        name_owners: find out which processes listen. That takes a look at every open file, so it is for bare hosts.
        data_folders: look at the room there, too.

    Returns:
        ``hostname``, ``os`` (id and version), ``kernel`` (release), ``container`` (whether it is one), ``cpus``,
        ``memory_mb`` and ``time`` (seconds since the epoch). ``machine_id``, ``product_uuid`` and ``mac`` (of the
        interface with the default route), each None where there is none. ``cgroups``: ``version`` and ``controllers``.
        ``addresses`` that others can reach it by, and ``default_route``: whether there is one. ``listening``: TCP ports
        in use, and ``owners`` by port. ``services``: those of the above that run. ``name_servers`` of resolv.conf.
        ``disks``: by folder the ``free_mb`` and ``size_mb`` of the file system that it is on, or would be.
        ``occupied``: what is in folders that kubeadm wants to find empty.
        ``cni``: names of the files with CNI configuration.
    """
    sockets = [read_text(path) or "" for path in glob.glob("/proc/net/tcp*")]
    routes, routes6 = read_text("/proc/net/route") or "", read_text("/proc/net/ipv6_route") or ""
    release = dict(line.split("=", 1) for line in (read_text("/etc/os-release") or "").splitlines() if "=" in line)
    return {
        "hostname": platform.node(),
        "os": " ".join(release.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID")).strip(),
        "kernel": platform.release(),
        "container": os.path.exists("/run/systemd/container"),
        "cpus": os.cpu_count() or 0,
        "memory_mb": memory_mb(read_text("/proc/meminfo") or ""),
        "time": time.time(),
        "machine_id": _machine_id(),
        "product_uuid": _product_uuid(),
        "mac": _mac(default_interface(routes)),
        "cgroups": cgroups(read_text("/sys/fs/cgroup/cgroup.controllers"), read_text("/proc/cgroups") or ""),
        "addresses": addresses(read_text("/proc/net/fib_trie") or "", read_text("/proc/net/if_inet6") or ""),
        "default_route": default_interface(routes) is not None or has_default_route6(routes6),
        "listening": sorted({port for text in sockets for port in listening(text)}),
        "owners": _owners(sockets) if name_owners else {},
        "services": _running(),
        "name_servers": name_servers(read_text("/etc/resolv.conf") or ""),
        "disks": {folder: _disk(folder) for folder in dict.fromkeys((*DATA_FOLDERS, *data_folders))},
        "occupied": {folder: names for folder in EMPTY_FOLDERS if (names := _names(folder))},
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


def has_default_route6(routes: str) -> bool:
    """Whether packets find a way out by IPv6, from the text of /proc/net/ipv6_route: no heading, addresses in hex.

    Without such a way the kernel lists one that refuses, on the loopback interface.
    """
    rows = [line.split() for line in routes.splitlines()]
    return any(len(row) > 9 and row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo" for row in rows)


def cgroups(unified: str | None, hierarchies: str) -> dict[str, Any]:
    """Version and controllers of control groups.

    Args:
        unified: the text of /sys/fs/cgroup/cgroup.controllers, which is there with version 2 alone (cgroups(7)).
        hierarchies: the text of /proc/cgroups: name, hierarchy, number of groups, and whether it is enabled.
    """
    if unified is not None:
        return {"version": 2, "controllers": sorted(unified.split())}
    rows = [line.split() for line in hierarchies.splitlines() if not line.startswith("#")]
    return {"version": 1, "controllers": sorted(row[0] for row in rows if len(row) == 4 and row[3] == "1")}


def addresses(fib_trie: str, if_inet6: str) -> list[str]:
    """The addresses of a host's interfaces that others can reach it by: none of loopback, none of a single link.

    Args:
        fib_trie: the text of /proc/net/fib_trie; a host's own addresses are its leaves of type LOCAL.
        if_inet6: the text of /proc/net/if_inet6: address in hex, then other columns.
    """
    found = {ipaddress.ip_address(text) for text in re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", fib_trie)}
    found |= {
        ipaddress.ip_address(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])))
        for line in if_inet6.splitlines()
        if line.strip()
    }
    ordered = sorted(found, key=lambda address: (address.version, int(address)))
    return [str(address) for address in ordered if not (address.is_loopback or address.is_link_local)]


def listening(sockets: str) -> list[int]:
    """TCP ports in use, from the text of /proc/net/tcp or tcp6 (proc(5))."""
    return [port for port, _inode in _listeners(sockets)]


def _listeners(sockets: str) -> list[tuple[int, str]]:
    """Ports that are listened on, each with the inode of its socket."""
    rows = [line.split() for line in sockets.splitlines()[1:]]
    return [(int(row[1].rpartition(":")[2], 16), row[9]) for row in rows if len(row) > 9 and row[3] == _LISTEN]


def name_servers(resolv_conf: str) -> list[str]:
    """The servers of resolv.conf(5)."""
    rows = [line.split() for line in resolv_conf.splitlines()]
    return [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]


def running_units(shown: str) -> list[str]:
    """Names of services that are active, from what ``systemctl show --property=Id,ActiveState`` prints."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    names = {block.get("Id", "") for block in blocks if block.get("ActiveState") == "active"}
    return sorted(name[: -len(".service")] for name in names if name.endswith(".service"))


def _running() -> list[str]:
    units = [f"{name}.service" for name in (*FIREWALLS, *CLOCK_KEEPERS, RESOLVER)]
    try:
        command = ["systemctl", "show", "--property=Id,ActiveState", *units]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):  # no systemd, or one that does not answer
        return []
    found = running_units(done.stdout)
    # Ubuntu's unit runs, and does nothing, on every host whose firewall was never enabled.
    enabled = re.search(r"^ENABLED=yes", read_text("/etc/ufw/ufw.conf") or "", re.MULTILINE)
    return [name for name in found if name != "ufw" or enabled]


def _owners(sockets: Iterable[str]) -> dict[str, str]:
    """By port as text: the process that listens there, by name and number."""
    ports = {f"socket:[{inode}]": str(port) for text in sockets for port, inode in _listeners(text)}
    found: dict[str, str] = {}
    for path in glob.iglob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # the process ended, or closed the file
            port = ports.get(os.readlink(path))
            if port and port not in found:
                pid = path.split("/")[2]
                found[port] = f"{(read_text(f'/proc/{pid}/comm') or '').strip()}, process {pid}"
    return found


def _disk(folder: str) -> dict[str, int]:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    status = os.statvfs(folder)
    megabyte = 1_000_000
    return {
        "free_mb": status.f_bavail * status.f_frsize // megabyte,
        "size_mb": status.f_blocks * status.f_frsize // megabyte,
    }


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _machine_id() -> str | None:
    """As machine-id(5) has it: a word stands there until the first boot."""
    text = (read_text("/etc/machine-id") or "").strip()
    return None if text in ("", "uninitialized") else text


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
