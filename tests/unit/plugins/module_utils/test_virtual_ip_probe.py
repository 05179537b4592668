# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface a virtual address belongs to, and what packets say. That they come is tried in tests/virtual_ip."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import virtual_ip_probe as probe

ADDRESS = "192.0.2.10"


def link(name: str, *addresses: str, mac: str = "02:00:00:00:00:01") -> dict[str, Any]:
    """An interface as ``ip -json address`` prints it."""
    split = (address.split("/") for address in addresses)
    return {
        "ifname": name,
        "address": mac,
        "addr_info": [{"local": address, "prefixlen": int(prefix)} for address, prefix in split],
    }


LINKS = [
    link("lo", "127.0.0.1/8", "::1/128", mac="00:00:00:00:00:00"),
    link("eth0", "198.51.100.11/24", "2001:db8::11/64", "fe80::1/64"),
    link("eth1", "192.0.2.11/24", "192.0.2.12/24"),
    {"ifname": "down0", "address": "02:00:00:00:00:02"},
]


@pytest.mark.parametrize(
    ("address", "interface", "own"),
    [
        (ADDRESS, "eth1", "192.0.2.11"),
        ("198.51.100.10", "eth0", "198.51.100.11"),
        ("2001:db8::10", "eth0", "2001:db8::11"),
        ("203.0.113.10", "", ""),
        ("127.0.0.10", "", ""),
    ],
)
def test_choose_takes_the_interface_whose_network_holds_the_address(address: str, interface: str, own: str) -> None:
    found = probe.choose(LINKS, address)
    assert (found["interface"], found["address"]) == (interface, own)


def test_choose_takes_no_other_than_was_asked_for() -> None:
    assert probe.choose(LINKS, ADDRESS, "eth1")["interface"] == "eth1"
    assert probe.choose(LINKS, ADDRESS, "eth0")["interface"] == ""


@pytest.mark.parametrize("prefix", [24, 32])
def test_choose_on_the_host_that_has_the_address_finds_its_own(prefix: int) -> None:
    links = [link("eth1", "192.0.2.11/24", f"{ADDRESS}/{prefix}")]
    assert probe.choose(links, ADDRESS)["address"] == "192.0.2.11"


def test_choose_takes_the_narrowest_network() -> None:
    links = [link("wide", "10.0.0.1/8"), link("narrow", "10.1.2.3/24")]
    assert probe.choose(links, "10.1.2.10")["interface"] == "narrow"
    assert probe.choose(list(reversed(links)), "10.1.2.10")["interface"] == "narrow"


OURS = f"# Written by kubeadm.ha.\nvrrp_instance x {{\n  virtual_router_id 10\n  virtual_ipaddress {{\n{ADDRESS}/32\n"


@pytest.mark.parametrize(
    ("text", "configured"),
    [
        (OURS, True),
        (None, False),
        (OURS.replace("kubeadm.ha", "hand"), False),
        (OURS.replace(" 10\n", " 100\n"), False),
        (OURS.replace(ADDRESS, "192.0.2.101"), False),
        (OURS.replace(ADDRESS, f"1{ADDRESS}"), False),
    ],
)
def test_host_is_set_up_for_just_this_address_and_router_id(text: str | None, configured: bool) -> None:
    assert probe.is_configured(text, ADDRESS, 10) is configured


def test_peers_are_known_by_what_was_written_of_them() -> None:
    text = (Path(__file__).parents[2] / "fixtures" / "keepalived" / "three.conf").read_text()
    assert probe.peers_of(text) == {"lb2": "192.0.2.12", "lb3": "192.0.2.13"}
    assert probe.peers_of(None) == {}


def arp(operation: int, sender: str, target: str = "0.0.0.0") -> bytes:
    ends = b"\xff" * 6 + bytes.fromhex("020000000007") + b"\x08\x06"
    head = b"\x00\x01\x08\x00\x06\x04" + operation.to_bytes(2, "big")
    return ends + head + ends[6:12] + socket.inet_aton(sender) + b"\0" * 6 + socket.inet_aton(target)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (arp(2, ADDRESS), (ADDRESS, "02:00:00:00:00:07")),
        (arp(2, ADDRESS) + b"\0" * 18, (ADDRESS, "02:00:00:00:00:07")),
        (arp(1, ADDRESS, ADDRESS), (ADDRESS, "02:00:00:00:00:07")),
        (arp(1, "192.0.2.12", ADDRESS), None),
        (arp(1, "0.0.0.0", ADDRESS), None),
        (arp(2, ADDRESS)[:-1], None),
    ],
    ids=["reply", "padded", "announcement", "question", "probe", "cut"],
)
def test_arp_says_who_has_an_address(frame: bytes, told: Any) -> None:
    assert probe.parse_arp(frame) == told


def test_question_of_another_probe_for_the_same_address_is_no_answer() -> None:
    """Two hosts of one run ask at the same time."""
    heard = probe.Heard()
    probe._note_neighbour(heard, arp(1, "0.0.0.0", "0.0.0.0"), ADDRESS, 4)
    assert heard.answered_by == set()


ADVERTISEMENT = bytes.fromhex("88000000e0000000") + socket.inet_pton(socket.AF_INET6, "2001:db8::10")


@pytest.mark.parametrize(
    ("packet", "told"),
    [
        (ADVERTISEMENT + bytes.fromhex("0201020000000007"), ("2001:db8::10", "02:00:00:00:00:07")),
        (ADVERTISEMENT + bytes.fromhex("0501000000000000" + "0201020000000007"), ("2001:db8::10", "02:00:00:00:00:07")),
        (ADVERTISEMENT, ("2001:db8::10", "")),
        (ADVERTISEMENT + b"\x05\x00" + b"\0" * 6, ("2001:db8::10", "")),
        (b"\x87" + ADVERTISEMENT[1:], None),
        (ADVERTISEMENT[:20], None),
    ],
    ids=["with option", "second option", "no option", "option of no length", "solicitation", "cut"],
)
def test_advertisement_says_who_has_an_address(packet: bytes, told: Any) -> None:
    assert probe.parse_advertisement(packet) == told


# As keepalived 2.2.7 sent them: version 3 without, version 2 with a password.
VERSION_3 = bytes.fromhex("310ac8010032b8a1") + socket.inet_aton(ADDRESS)
VERSION_2 = bytes.fromhex("210ac8010101b8a1") + socket.inet_aton(ADDRESS) + b"s3cret\0\0"


@pytest.mark.parametrize("packet", [VERSION_3, VERSION_2])
def test_vrrp_says_router_id_and_addresses_in_either_version(packet: bytes) -> None:
    assert probe.parse_vrrp(packet, 4) == {"router_id": 10, "addresses": [ADDRESS]}


def test_vrrp_over_ipv6() -> None:
    packet = (
        VERSION_3[:3]
        + b"\x02"
        + VERSION_3[4:8]
        + b"".join(socket.inet_pton(socket.AF_INET6, address) for address in ("fe80::1", "2001:db8::10"))
    )
    assert probe.parse_vrrp(packet, 6) == {"router_id": 10, "addresses": ["fe80::1", "2001:db8::10"]}


@pytest.mark.parametrize("packet", [b"", VERSION_3[:7], b"\x32" + VERSION_3[1:], b"\x41" + VERSION_3[1:]])
def test_what_is_no_advert_says_nothing(packet: bytes) -> None:
    assert probe.parse_vrrp(packet, 4) is None


@given(st.binary(max_size=80), st.sampled_from((4, 6)))
def test_no_packet_is_too_strange(packet: bytes, version: int) -> None:
    heard = probe.Heard()
    probe._note_vrrp(heard, packet, "192.0.2.77", version)
    probe._note_neighbour(heard, packet, ADDRESS, version)


def test_same_packet_is_told_once() -> None:
    heard = probe.Heard()
    for _time in range(3):
        probe._note_vrrp(heard, VERSION_3, "fe80::7%eth0", 6)
    assert [packet["source"] for packet in heard.packets] == ["fe80::7"]
