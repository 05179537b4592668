# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: one bridge, a way out for its subnet alone, and cuts between any two ends."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from . import shell
from .settings import BRIDGE, CONTROLLER, CONTROLLER_ADDRESS, PREFIX_LENGTH, SUBNET, Host

FILTER = ("ebtables-nft", "--concurrent")
"""Filters what passes the bridge's ports, unseen and untouched by the hosts."""

IFF_UP = 1
"""The bit among an interface's flags that says it is on."""

_TAG = ("-m", "comment", "--comment", "kubeadm-ha-lab")
_RULES = (
    # Where bridge-nf-call-iptables is 1, frames between hosts come by here, too, bound for the bridge: they must keep
    # their source, whatever address of a pod or service they go to.
    ("nat", "POSTROUTING", ("-s", SUBNET, "!", "-o", BRIDGE, *_TAG, "-j", "MASQUERADE")),
    # Something else on the machine may deny forwarding.
    ("filter", "FORWARD", ("-i", BRIDGE, *_TAG, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-o", BRIDGE, *_TAG, "-j", "ACCEPT")),
)
"""Table, chain, rule."""


def exists() -> bool:
    return Path(f"/sys/class/net/{BRIDGE}").exists()


def usable() -> bool:
    """Whether the tools are there; without them nothing can have been made."""
    return all(shutil.which(tool) for tool in ("ip", "iptables", FILTER[0]))


def up() -> None:
    """Make the bridge and the way out; whatever is there already stays."""
    if not exists():
        shell.output(["ip", "link", "add", BRIDGE, "type", "bridge"])
    shell.output(["ip", "address", "replace", f"{CONTROLLER_ADDRESS}/{PREFIX_LENGTH}", "dev", BRIDGE])
    shell.output(["ip", "link", "set", BRIDGE, "up"])
    for table, chain, rule in _RULES:
        if not _has(table, chain, rule):
            shell.output(["iptables", "--wait", "-t", table, "-I", chain, *rule])


def down() -> None:
    """Take everything back that up and cut made."""
    for table, chain, rule in _RULES:
        while _has(table, chain, rule):
            shell.output(["iptables", "--wait", "-t", table, "-D", chain, *rule])
    for chain, rule in _cuts():
        shell.output([*FILTER, "-D", chain, *rule])
    for port in _ports():
        shell.succeeds(["ip", "link", "delete", port])
    if exists():
        shell.output(["ip", "link", "delete", BRIDGE])


def _has(table: str, chain: str, rule: Iterable[str]) -> bool:
    return shell.succeeds(["iptables", "--wait", "-t", table, "-C", chain, *rule])


def _ports() -> list[str]:
    """Interfaces that join hosts to the bridge, also those of hosts that died a moment ago."""
    links = json.loads(shell.output(["ip", "-json", "link", "show", "type", "veth"]) or "[]")
    return [link["ifname"] for link in links if link.get("master") == BRIDGE]


def cut(host: Host, peer: Host | None) -> None:
    """Drop every frame between two hosts, or every packet between a host and this machine if peer is None.

    The way out through this machine stays open, as its packets bear other addresses.
    """
    present = _cuts()
    for chain, rule in _cut_rules(host, peer):
        if (chain, rule) not in present:
            shell.output([*FILTER, "-A", chain, *rule])


def heal(host: Host, peer: Host | None) -> None:
    """Undo one cut; undoing none is no error."""
    present = _cuts()
    for chain, rule in _cut_rules(host, peer):
        if (chain, rule) in present:
            shell.output([*FILTER, "-D", chain, *rule])


def heal_all(host: Host) -> None:
    """Undo every cut of a host."""
    for chain, rule in _cuts():
        if host.port in rule:
            shell.output([*FILTER, "-D", chain, *rule])


def has_port(host: Host) -> bool:
    """Whether the host's end on the bridge exists, as it does while the host runs."""
    return Path(f"/sys/class/net/{host.port}").exists()


def unplug(host: Host) -> None:
    """Cut a host from everything: its cable is out."""
    shell.output(["ip", "link", "set", host.port, "down"])


def plug(host: Host) -> None:
    shell.output(["ip", "link", "set", host.port, "up"])


def unplugged(host: Host) -> bool:
    """Whether the host's port is shut."""
    return has_port(host) and not int(Path(f"/sys/class/net/{host.port}/flags").read_text(), 16) & IFF_UP


def cut_from() -> dict[str, list[str]]:
    """Host name to the names of what it is cut from, for hosts with cuts of single peers."""
    found: dict[str, set[str]] = {}
    for _number, rule in _cuts():
        ends = [port.removeprefix("vb-") for port in rule if port.startswith("vb-")]
        first, second = ends if len(ends) == 2 else (ends[0], CONTROLLER)
        found.setdefault(first, set()).add(second)
        found.setdefault(second, set()).add(first)
    return {name: sorted(peers) for name, peers in found.items()}


def _cut_rules(host: Host, peer: Host | None) -> list[tuple[str, tuple[str, ...]]]:
    """Chain and rule for both directions, spelled as the filter lists them."""
    if peer:
        return [
            ("FORWARD", ("-i", host.port, "-o", peer.port, "-j", "DROP")),
            ("FORWARD", ("-i", peer.port, "-o", host.port, "-j", "DROP")),
        ]
    return [
        ("INPUT", ("-p", "IPv4", "-i", host.port, "--ip-dst", CONTROLLER_ADDRESS, "-j", "DROP")),
        ("OUTPUT", ("-p", "IPv4", "-o", host.port, "--ip-src", CONTROLLER_ADDRESS, "-j", "DROP")),
    ]


def _cuts() -> list[tuple[str, tuple[str, ...]]]:
    """The rules about the lab's ports that the bridge's filter holds now."""
    found = []
    chain = ""
    for line in shell.output([*FILTER, "-L"]).splitlines():
        if heading := re.match(r"Bridge chain: (\w+)", line):
            chain = heading[1]
        elif "vb-" in line:
            found.append((chain, tuple(line.split())))
    return found
