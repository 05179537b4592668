# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's virtual servers (IPVS): which of them kube-proxy made, and how one is removed without a tool for it."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from .requirements import NODE_PORTS

_PROTOCOLS = {"TCP": socket.IPPROTO_TCP, "UDP": socket.IPPROTO_UDP, "SCTP": 132}
_ROW = re.compile(r"^(TCP|UDP|SCTP)\s+(?:([0-9A-F]{8})|\[([0-9a-f:]+)\]):([0-9A-F]{4})\s", re.MULTILINE)
# linux/ip_vs.h: IP_VS_SO_SET_DEL, and struct ip_vs_service_user as C lays it out: protocol, address, port, mark,
# scheduler, flags, timeout, mask.
_SET_DEL = 64 + 1024 + 64 + 4
_SERVICE = struct.Struct("=H2x4s2s2xI16sIII")


class VirtualServer(NamedTuple):
    """One virtual server.

    Attributes:
        protocol: TCP, UDP or SCTP.
        address: without brackets.
        port: its number.
    """

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.protocol} {f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"


def parse(ip_vs: str) -> list[VirtualServer]:
    """Virtual servers from the text of /proc/net/ip_vs; those by firewall mark, which kube-proxy has none of, are not.

    The kernel writes IPv4 addresses and ports in hex there.
    """
    return [
        VirtualServer(protocol, str(ipaddress.ip_address(int(four, 16) if four else six)), int(port, 16))
        for protocol, four, six, port in _ROW.findall(ip_vs)
    ]


def of_cluster(
    servers: Collection[VirtualServer], cluster_addresses: Collection[str], host_addresses: Collection[str]
) -> list[VirtualServer]:
    """Those that kube-proxy made: of services' own addresses, and of this host's at the ports for services.

    Args:
        servers: all that there are.
        cluster_addresses: those that kube-proxy keeps on its interface.
        host_addresses: all others of the host.
    """
    first, last = NODE_PORTS
    return sorted(
        server
        for server in servers
        if server.address in cluster_addresses or (server.address in host_addresses and first <= server.port <= last)
    )


def remove(server: VirtualServer) -> None:
    """Remove an IPv4 virtual server, if it is there still.

    Raises:
        OSError: the kernel does not.
    """
    service = _SERVICE.pack(
        _PROTOCOLS[server.protocol],
        socket.inet_aton(server.address),
        struct.pack("!H", server.port),
        *(0, b"", 0, 0, 0),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as kernel, suppress(ProcessLookupError):
        kernel.setsockopt(socket.IPPROTO_IP, _SET_DEL, service)
