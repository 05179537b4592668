# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a virtual address meets on a host that is to carry it; what that means is decided in ``virtual_ip``."""

from __future__ import annotations

import ipaddress
import json
import re
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .files import WRITTEN, read_text
from .services import runs

KEEPALIVED_CONF = "/etc/keepalived/keepalived.conf"
KUBE_VIP_MANIFEST = "/etc/kubernetes/manifests/kube-vip.yaml"

# Two adverts of a router that sends one a second, as most do.
LISTEN_SECONDS = 2.2
_PROBE_SECONDS = 0.4

# include/uapi/linux/if_ether.h, if_arp.h; RFC 826 for ARP, RFC 5227 for what a probe is.
_ETH_P_ARP = 0x0806
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_REPLY = 2
_ETHERNET_HEADER = 14
# RFC 5798: protocol 112, and where adverts go that are not sent to somebody.
_VRRP = 112
_VRRP_GROUPS = {4: "224.0.0.18", 6: "ff02::12"}
# RFC 4861, 4.3, 4.4 and 4.6.1: neighbour solicitation and advertisement, and the options with a link-layer address.
_SOLICITATION, _ADVERTISEMENT = 135, 136
_TARGET_LINK_ADDRESS = 2

Network = Any  # ipaddress has no name for both of its kinds


def look(address: str, router_id: int, interface: str | None = None, seconds: float = LISTEN_SECONDS) -> dict[str, Any]:
    """What a host shows that is to carry ``address``.

    Where the host is set up for it already nobody listens, which takes its time.

    Returns:
        ``interface`` that would carry it, with the host's own ``address`` there, its ``network`` and ``mac``; all of
        them empty where no network of the host holds the address. ``networks`` that it has (device and network), and
        ``wanted``: the interface that was asked for, if any. ``carries``: it has the address now. ``configured``: by
        what this collection wrote. ``foreign``: a keepalived runs that somebody else has set up. ``answered_by``: MAC
        addresses of machines that say the address is theirs. ``heard``: see ``parse_vrrp``, with the ``source``.
        ``peers``: see ``peers_of``.
    """
    links = interfaces()
    found = choose(links, address, interface)
    text = read_text(KEEPALIVED_CONF)
    configured = is_configured(text, address, router_id) or is_in_pod(read_text(KUBE_VIP_MANIFEST), address)
    heard = Heard()
    if found["address"] and not configured:
        heard = listen(found["interface"], found["mac"], address, seconds)
    return {
        **found,
        "networks": [{"device": device, "network": network} for device, network, _own, _mac in _networks(links)],
        "wanted": interface or "",
        "carries": has(links, address),
        "configured": configured,
        "foreign": text is not None and not text.startswith(WRITTEN) and runs("keepalived"),
        "answered_by": sorted(heard.answered_by),
        "heard": heard.packets,
        "peers": peers_of(text) if configured else {},
    }


def peers_of(keepalived_conf: str | None) -> dict[str, str]:
    """The other hosts that this collection has set keepalived up with: addresses by inventory name."""
    lines = re.findall(r"^\s*(\S+) min_ttl \d+ max_ttl \d+ # (\S+)$", keepalived_conf or "", re.MULTILINE)
    return {host: address for address, host in lines}


def is_configured(keepalived_conf: str | None, address: str, router_id: int) -> bool:
    """Whether this collection has set keepalived up for just this address and router id."""
    return (
        keepalived_conf is not None
        and keepalived_conf.startswith(WRITTEN)
        and re.search(rf"^\s*virtual_router_id {router_id}$", keepalived_conf, re.MULTILINE) is not None
        and re.search(rf"^\s*{re.escape(address)}/\d+", keepalived_conf, re.MULTILINE) is not None
    )


def is_in_pod(manifest: str | None, address: str) -> bool:
    """Whether this collection's static pod carries the address."""
    return manifest is not None and manifest.startswith(WRITTEN) and f'"{address}"' in manifest


def interfaces() -> list[dict[str, Any]]:
    """What ``ip -json address`` prints; empty where it cannot."""
    program = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin") or "ip"
    try:
        done = subprocess.run([program, "-json", "address"], capture_output=True, text=True, check=True, timeout=10)
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def has(links: Sequence[Mapping[str, Any]], address: str) -> bool:
    """Whether one of these interfaces has the address."""
    return any(entry["local"] == address for link in links for entry in link.get("addr_info", ()))


def _networks(links: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Interfaces with the networks that they are in, the host's address there, and their MAC address."""
    found = []
    for link in links:
        for entry in link.get("addr_info", ()):
            own = ipaddress.ip_interface(f"{entry['local']}/{entry['prefixlen']}")
            if own.network.num_addresses > 1 and not (own.ip.is_loopback or own.ip.is_link_local):
                found.append((link["ifname"], str(own.network), str(own.ip), link.get("address", "")))
    return found


def choose(links: Sequence[Mapping[str, Any]], address: str, interface: str | None = None) -> dict[str, str]:
    """The interface whose network holds the address, the narrowest one of several.

    Args:
        links: what ``ip -json address`` prints.
        address: the virtual one. An interface that has it as its own is in its network by another one.
        interface: the only one that may be chosen.
    """
    virtual = ipaddress.ip_address(address)
    fitting = [
        (-ipaddress.ip_network(network).prefixlen, device, own, network, mac)
        for device, network, own, mac in _networks(links)
        if virtual in ipaddress.ip_network(network) and own != address and interface in (None, "", device)
    ]
    if not fitting:
        return dict.fromkeys(("interface", "address", "network", "mac"), "")
    # By the kernel's order the first address of an interface is the one that it speaks from.
    _length, device, own, network, mac = min(fitting, key=lambda one: one[:2])
    return {"interface": device, "address": own, "network": network, "mac": mac}


@dataclass
class Heard:
    """What came in while listening.

    Attributes:
        answered_by: MAC addresses of those that say the address is theirs.
        packets: VRRP, each once; see ``parse_vrrp``, with the ``source``.
    """

    answered_by: set[str] = field(default_factory=set)
    packets: list[dict[str, Any]] = field(default_factory=list)


def listen(interface: str, mac: str, address: str, seconds: float) -> Heard:
    """Ask on the interface who has the address, and listen for VRRP meanwhile. Nothing is changed by it.

    Raises:
        OSError: the kernel gives no such sockets; they need CAP_NET_RAW.
    """
    version = ipaddress.ip_address(address).version
    heard = Heard()
    with _vrrp_socket(interface, version) as adverts, _neighbour_socket(interface, version) as neighbours:
        ask = _arp_question(mac, address) if version == 4 else _solicitation(mac, address)
        readers: dict[socket.socket, Callable[[bytes, Any], None]] = {
            adverts: lambda packet, sender: _note_vrrp(heard, packet, sender[0], version),
            neighbours: lambda packet, _sender: _note_neighbour(heard, packet, address, version),
        }
        end = time.monotonic() + seconds
        next_question, questions = time.monotonic(), 3
        while (now := time.monotonic()) < end:
            if questions and now >= next_question:
                ask(neighbours, interface)
                next_question, questions = now + _PROBE_SECONDS, questions - 1
            wait = min(end, next_question if questions else end) - time.monotonic()
            for ready in select.select(list(readers), [], [], max(wait, 0))[0]:
                readers[ready](*ready.recvfrom(2048))
    return heard


def _vrrp_socket(interface: str, version: int) -> socket.socket:
    group = socket.inet_pton(socket.AF_INET if version == 4 else socket.AF_INET6, _VRRP_GROUPS[version])
    index = socket.if_nametoindex(interface)
    made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, _VRRP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    if version == 4:  # struct ip_mreqn, ip(7)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", group, b"\0" * 4, index))
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack("16si", group, index))
    return made


def _neighbour_socket(interface: str, version: int) -> socket.socket:
    if version == 4:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP))
        made.bind((interface, _ETH_P_ARP))
        return made
    made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    return made


def _raw_mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _text_mac(raw: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in raw)


def _arp_question(mac: str, address: str) -> Callable[[socket.socket, str], None]:
    """A probe by RFC 5227: it bears no address of the sender's, so nobody learns anything from it."""
    own, target = _raw_mac(mac), socket.inet_aton(address)
    question = _ARP.pack(1, 0x0800, 6, 4, 1, own, b"\0" * 4, b"\0" * 6, target)
    frame = b"\xff" * 6 + own + struct.pack("!H", _ETH_P_ARP) + question
    return lambda opened, _interface: _send(lambda: opened.send(frame))


def _solicitation(mac: str, address: str) -> Callable[[socket.socket, str], None]:
    """A neighbour solicitation to the group of those whose address ends alike (RFC 4291, 2.7.1)."""
    target = socket.inet_pton(socket.AF_INET6, address)
    group = str(ipaddress.IPv6Address(socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:13] + target[13:]))
    packet = struct.pack("!BBHI16sBB6s", _SOLICITATION, 0, 0, 0, target, 1, 1, _raw_mac(mac))
    return lambda opened, interface: _send(
        lambda: opened.sendto(packet, (group, 0, 0, socket.if_nametoindex(interface)))
    )


def _send(send: Callable[[], Any]) -> None:
    try:
        send()
    except OSError as error:
        raise OSError(error.errno, f"asking who has the virtual address: {error.strerror}") from error


def _note_neighbour(heard: Heard, packet: bytes, address: str, version: int) -> None:
    found = parse_arp(packet) if version == 4 else parse_advertisement(packet)
    if found and found[0] == address:
        heard.answered_by.add(found[1])


def parse_arp(frame: bytes) -> tuple[str, str] | None:
    """Address and MAC address that an ARP reply tells of its sender; None for anything else.

    Somebody who has the address may also announce it meanwhile, in a request about itself (RFC 5227).
    """
    packet = frame[_ETHERNET_HEADER : _ETHERNET_HEADER + _ARP.size]
    if len(packet) < _ARP.size:
        return None
    hardware, protocol, _hardware_length, _length, operation, mac, sender, _target_mac, target = _ARP.unpack(packet)
    if (hardware, protocol) != (1, 0x0800) or not (operation == _ARP_REPLY or sender == target):
        return None
    return socket.inet_ntoa(sender), _text_mac(mac)


def parse_advertisement(packet: bytes) -> tuple[str, str] | None:
    """Address and MAC address that a neighbour advertisement tells; None for anything else."""
    if len(packet) < 24 or packet[0] != _ADVERTISEMENT:
        return None
    target, options = str(ipaddress.IPv6Address(packet[8:24])), packet[24:]
    while len(options) >= 8 and options[1]:
        if options[0] == _TARGET_LINK_ADDRESS:
            return target, _text_mac(options[2:8])
        options = options[options[1] * 8 :]
    return target, ""


def _note_vrrp(heard: Heard, packet: bytes, source: str, version: int) -> None:
    # Raw sockets of IPv4 give the header, too; those of IPv6 do not (raw(7), ipv6(7)).
    content = packet[(packet[0] & 0x0F) * 4 :] if version == 4 and packet else packet
    found = parse_vrrp(content, version)
    if found:
        entry = {"source": source.partition("%")[0], **found}
        if entry not in heard.packets:
            heard.packets.append(entry)


def parse_vrrp(packet: bytes, version: int) -> dict[str, Any] | None:
    """A VRRP advert as ``router_id`` and ``addresses``; None for anything else.

    Versions 2 and 3 agree on all that is read here (RFC 3768 and RFC 5798, 5.1).

    Args:
        packet: without the IP header.
        version: of IP.
    """
    if len(packet) < 8 or packet[0] & 0x0F != 1 or packet[0] >> 4 not in (2, 3):
        return None
    size, family = (4, socket.AF_INET) if version == 4 else (16, socket.AF_INET6)
    parts = [packet[start : start + size] for start in range(8, 8 + packet[3] * size, size)]
    addresses = [socket.inet_ntop(family, part) for part in parts if len(part) == size]
    return {"router_id": packet[1], "addresses": addresses}
