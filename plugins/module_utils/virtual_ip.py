# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One address that moves between hosts: what users say of it, and whether the hosts can carry it.

Who has it is up to VRRP (RFC 5798, and RFC 3768 where there is a password) or to kube-vip; here is decided only who
may, and under which address each of them speaks to the others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .problems import CLUSTER, Problem
from .requirements import API_PORT
from .situation import Observation, VirtualIp, Wanted
from .virtual_ip_probe import KEEPALIVED_CONF

KEEPALIVED = "keepalived"
KUBE_VIP = "kube-vip"
PROVIDERS = (KEEPALIVED, KUBE_VIP)

# What says where a host is.
PLACES = ("ansible_host", "cluster_node_address")
# RFC 2338, 5.3.10: authentication data has eight bytes. keepalived cuts the rest off and says nothing.
PASSWORD_LENGTH = 8
# What keepalived's configuration gives no meaning of its own (quotes, comments, variables).
_PASSWORD = re.compile(r"^[A-Za-z0-9%&()*+,./:;<=>?@\[\]^_|~-]+$")


def parse(value: Any) -> tuple[str, int]:
    """``address`` or ``address/prefix`` as the address in its usual spelling and the length of the prefix.

    Without a prefix it is the address alone: no second route to a subnet that the host is in already.

    Raises:
        ValueError: neither, or an address that no host can have.
    """
    interface = ipaddress.ip_interface(str(value))
    address = interface.ip
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ValueError(f"{address} is none that others reach a host by")
    return str(address), interface.network.prefixlen


def default_router_id(address: str) -> int:
    """A virtual router id that two addresses of one subnet seldom share: the last byte of the address."""
    return ipaddress.ip_address(address).packed[-1] or 255


def of(variables: Mapping[str, Any]) -> VirtualIp | None:
    """From ``cluster_*`` variables that ``check`` has passed; None where no address is to be carried."""
    if not variables.get("cluster_virtual_ip"):
        return None
    address, prefix_length = parse(variables["cluster_virtual_ip"])
    return VirtualIp(
        address=address,
        prefix_length=prefix_length,
        router_id=int(variables.get("cluster_virtual_router_id") or default_router_id(address)),
        in_pods=variables.get("cluster_virtual_ip_provider") == KUBE_VIP,
    )


def describe(wanted: Wanted) -> dict[str, Any]:
    """What the plays need of it: ``address``, ``prefix_length``, ``router_id``, and ``first_kubeconfig``.

    The last is what a pod comes to the API server by while kubeadm init runs. Since 1.29 the rights of admin.conf are
    bound late in it (kubeadm's phases/kubeconfig, CHANGELOG-1.29).
    """
    virtual = wanted.virtual_ip
    if virtual is None:
        return {}
    return {
        "address": virtual.address,
        "prefix_length": virtual.prefix_length,
        "router_id": virtual.router_id,
        "first_kubeconfig": f"/etc/kubernetes/{'super-admin' if wanted.version.minor >= 29 else 'admin'}.conf",
    }


def check(variables: Mapping[str, Any], groups: Mapping[str, Collection[str]]) -> list[Problem]:
    """What is wrong with what is said of the virtual address, and with the hosts that should carry it."""
    said = {name: variables.get(name) for name in _DEPENDENT if variables.get(name)}
    value = variables.get("cluster_virtual_ip")
    if not value:
        return [
            Problem(
                host=CLUSTER,
                subject=name,
                found=f"{text!r}, and no cluster_virtual_ip",
                wanted="both or neither",
                action="Say which address is meant, or leave this out.",
            )
            for name, text in sorted(said.items())
        ]
    try:
        address, _prefix_length = parse(value)
    except ValueError:
        return [
            Problem(
                host=CLUSTER,
                subject="cluster_virtual_ip",
                found=repr(value),
                wanted="an address that no host has yet, such as 192.0.2.10, or with its prefix 192.0.2.10/24",
                action="Choose a free one of the subnet that the hosts are in.",
            )
        ]
    return [
        *_leads_elsewhere(address, variables.get("cluster_control_plane_endpoint")),
        *_number(
            variables,
            "cluster_virtual_router_id",
            255,
            "Choose one that nobody uses in the subnet, or leave it out for the last byte of the address.",
        ),
        *(_in_pods(variables, groups) if variables.get("cluster_virtual_ip_provider") == KUBE_VIP else _pair(groups)),
        *_number(
            variables,
            "cluster_load_balancer_monitor_port",
            65535,
            "Choose a port of 127.0.0.1 that nothing uses on these hosts.",
        ),
    ]


_DEPENDENT = ("cluster_virtual_router_id",)


def _leads_elsewhere(address: str, endpoint: Any) -> list[Problem]:
    host = str(endpoint or "").rpartition(":")[0].strip("[]")
    try:
        elsewhere = ipaddress.ip_address(host) != ipaddress.ip_address(address)
    except ValueError:  # a name, of which hosts tell what it means, or nothing, of which others tell
        return []
    if not elsewhere:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="cluster_control_plane_endpoint",
            found=f"{host}, which is not cluster_virtual_ip ({address})",
            wanted="that address, or a name that means it",
            action="Make the two agree.",
        )
    ]


def _number(variables: Mapping[str, Any], name: str, most: int, action: str) -> list[Problem]:
    value = variables.get(name)
    if value in (None, "") or (str(value).isdigit() and 1 <= int(value) <= most):
        return []
    return [Problem(CLUSTER, name, repr(value), f"a number from 1 to {most}", action)]


def _pair(groups: Mapping[str, Collection[str]]) -> list[Problem]:
    if groups["load_balancers"]:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="cluster_virtual_ip",
            found="no host in the group load_balancers",
            wanted="the hosts whose keepalived is to carry it",
            action=f"Put two hosts into the group, which may be control planes, or set cluster_virtual_ip_provider to "
            f"{KUBE_VIP}.",
        )
    ]


def _in_pods(variables: Mapping[str, Any], groups: Mapping[str, Collection[str]]) -> list[Problem]:
    """At the address that kube-vip carries, the API servers answer themselves."""
    problems = []
    port = str(variables.get("cluster_control_plane_endpoint") or "").rpartition(":")[2]
    if port and port != str(API_PORT):
        problems.append(
            Problem(
                host=CLUSTER,
                subject="cluster_control_plane_endpoint",
                found=f"port {port}",
                wanted=f"{API_PORT}: with {KUBE_VIP} the API servers answer there themselves",
                action="Correct it.",
            )
        )
    if groups["load_balancers"]:
        problems.append(
            Problem(
                host=CLUSTER,
                subject="group load_balancers",
                found=", ".join(sorted(groups["load_balancers"])),
                wanted=f"no host: with {KUBE_VIP} nobody comes by one",
                action=f"Empty the group, or set cluster_virtual_ip_provider to {KEEPALIVED}.",
            )
        )
    return problems


def check_passwords(passwords: Collection[Any]) -> list[Problem]:
    """What is wrong with the password, as hosts have it; the text of a problem holds nothing of it."""
    texts = {"" if password is None else str(password) for password in passwords}
    longest = max(map(len, texts), default=0)
    found = ""
    if len(texts) > 1:
        found = "hosts that have another one than others"
    elif longest > PASSWORD_LENGTH:
        found = f"{longest} characters"
    elif any(text and not _PASSWORD.match(text) for text in texts):
        found = "a character that keepalived's configuration would take for something else"
    if not found:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="cluster_virtual_ip_password",
            found=found,
            wanted=f"one for all, of at most {PASSWORD_LENGTH} letters, digits and the like: VRRP carries no more",
            action="Choose another one, or none: it travels in clear, and hosts take nothing but from their peers' "
            "addresses without it, too.",
        )
    ]


def check_places(address: str, places: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Hosts of the inventory that have this address for their own.

    Args:
        address: the virtual one.
        places: by inventory name, ``PLACES`` as far as they are said.
    """
    return [
        _taken(host, address, f"that of {host}, by its {name}")
        for host, said in sorted(places.items())
        for name, value in sorted(said.items())
        if _same(value, address)
    ]


def _same(value: Any, address: str) -> bool:
    try:
        return ipaddress.ip_address(str(value)) == ipaddress.ip_address(address)
    except ValueError:
        return False


def _taken(host: str, address: str, found: str) -> Problem:
    return Problem(
        host=host,
        subject=f"cluster_virtual_ip {address}",
        found=found,
        wanted="an address that no machine has for its own",
        action="Choose a free one, or take it away from there.",
    )


@dataclass
class Placement:
    """Where the address can go.

    Attributes:
        carriers: by inventory name, the interface that gets it (empty where it is not known) and the host's own address
            there.
        refusals: reasons to change nothing.
        warnings: what a person should know.
    """

    carriers: dict[str, dict[str, str]] = field(default_factory=dict)
    refusals: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def place(wanted: Wanted, seen: Mapping[str, Observation | None]) -> Placement:
    """Judge the hosts that may carry the address, by what each showed (``virtual_ip_probe.look``)."""
    placed = Placement()
    virtual = wanted.virtual_ip
    if virtual is None or not wanted.carriers & wanted.scope:
        return placed
    looks = {host: look for host, look in seen.items() if look}
    carriers = {host: looks[host].virtual_ip for host in wanted.carriers & looks.keys() if looks[host].virtual_ip}
    # Of hosts that are off: what is said of them, else what their peers speak to.
    known = {host: address for shown in carriers.values() for host, address in shown["peers"].items()}
    known.update(wanted.addresses)
    for host in sorted(wanted.carriers):
        if host in carriers:
            shown = carriers[host]
            if shown["address"]:
                # An API server's certificate is for the address that it advertises.
                own = looks[host].address if virtual.in_pods else shown["address"]
                placed.carriers[host] = {"interface": shown["interface"], "address": own}
            else:
                placed.refusals.append(_no_subnet(host, virtual.address, shown))
        elif host in known:
            placed.carriers[host] = {"interface": "", "address": known[host]}
        else:
            placed.refusals.append(_no_address(host))
    placed.refusals += [_foreign(host) for host, shown in sorted(carriers.items()) if shown["foreign"]]
    placed.refusals += _disagree(placed.carriers, carriers)
    placed.refusals += _other_machines(virtual, wanted, looks, carriers)
    placed.refusals += _other_routers(virtual, carriers, placed.carriers)
    placed.refusals += _name_means_another(wanted, virtual.address, looks)
    if len(wanted.carriers) == 1:
        placed.warnings.append(
            Problem(
                host=CLUSTER,
                subject=f"cluster_virtual_ip {virtual.address}",
                found=f"one host to carry it, {', '.join(wanted.carriers)}",
                wanted="two at least",
                action="Add another one: with this host the address is gone.",
            )
        )
    return placed


def _no_subnet(host: str, address: str, shown: Mapping[str, Any]) -> Problem:
    networks = ", ".join(f"{entry['network']} on {entry['device']}" for entry in shown["networks"]) or "none"
    return Problem(
        host=host,
        subject=f"cluster_virtual_ip {address}",
        found=f"networks {networks}",
        wanted="one that the address lies in" + (f", on {shown['wanted']}" if shown["wanted"] else ""),
        action="Choose an address of the hosts' subnet"
        + (", or correct cluster_virtual_ip_interface." if shown["wanted"] else "."),
    )


def _no_address(host: str) -> Problem:
    return Problem(
        host=host,
        subject="address",
        found="none: it does not answer, and the inventory does not say it",
        wanted="the address by which the other hosts of the virtual IP speak to it",
        action="Bring it up, set its cluster_node_address, or take it out of the inventory.",
    )


def _foreign(host: str) -> Problem:
    return Problem(
        host=host,
        subject=KEEPALIVED_CONF,
        found="a file that somebody else wrote, and a keepalived that runs by it",
        wanted="none, or a keepalived that is stopped: the file is replaced whole",
        action="Let another host serve what it does here, and stop it.",
    )


def _disagree(placed: Mapping[str, Mapping[str, str]], carriers: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """An address that the inventory says of a host that did not answer, outside the subnet that the others have."""
    networks = {ipaddress.ip_network(shown["network"]) for shown in carriers.values() if shown["network"]}
    return [
        Problem(
            host=host,
            subject="cluster_node_address",
            found=f"{entry['address']}, outside {', '.join(sorted(map(str, networks)))}",
            wanted="its address in the subnet of the virtual IP",
            action="Correct it.",
        )
        for host, entry in sorted(placed.items())
        if host not in carriers
        and networks
        and not any(ipaddress.ip_address(entry["address"]) in network for network in networks)
    ]


def _other_machines(
    virtual: VirtualIp,
    wanted: Wanted,
    looks: Mapping[str, Observation],
    carriers: Mapping[str, Mapping[str, Any]],
) -> list[Problem]:
    """Somebody has the address already: a machine that answers for it, or a host that was given it by hand."""
    ours = {shown["mac"] for shown in carriers.values() if shown["carries"]}
    problems = [
        _taken(host, virtual.address, f"on {shown['interface']}, put there by somebody else")
        for host, shown in sorted(carriers.items())
        if shown["carries"] and not shown["configured"]
    ]
    problems += [
        _taken(host, virtual.address, "among its addresses")
        for host, look in sorted(looks.items())
        if host not in wanted.carriers and virtual.address in look.machine.get("addresses", ())
    ]
    known = {look.machine.get("mac"): host for host, look in looks.items()}
    strangers: dict[str, list[str]] = {}
    for host, shown in sorted(carriers.items()):
        for mac in shown["answered_by"]:
            if mac not in ours:
                strangers.setdefault(mac, []).append(host)
    if not problems:
        problems = [
            _taken(
                CLUSTER,
                virtual.address,
                f"a machine that answers for it, with the MAC address {mac}"
                + (f" of {known[mac]}" if mac in known else "")
                + f", seen from {', '.join(hosts)}",
            )
            for mac, hosts in sorted(strangers.items())
        ]
    return problems


def _other_routers(
    virtual: VirtualIp, carriers: Mapping[str, Mapping[str, Any]], placed: Mapping[str, Mapping[str, str]]
) -> list[Problem]:
    """VRRP packets with our router id, or about our address, from a machine that is none of ours."""
    ours = {entry["address"] for entry in placed.values()}
    heard: dict[tuple[str, int, bool], list[str]] = {}
    for host, shown in sorted(carriers.items()):
        for packet in shown["heard"]:
            about = virtual.address in packet["addresses"]
            # kube-vip speaks no VRRP, and has no use for a router id.
            same = packet["router_id"] == virtual.router_id and not virtual.in_pods
            if packet["source"] not in ours and (about or same):
                heard.setdefault((packet["source"], packet["router_id"], about), []).append(host)
    return [
        Problem(
            host=CLUSTER,
            subject=f"cluster_virtual_router_id {virtual.router_id}",
            found=f"VRRP from {source} with router id {router_id}"
            + (f", about {virtual.address}" if about else "")
            + f", heard on {', '.join(hosts)}",
            wanted="a router id and an address of its own in this subnet",
            action="Choose another address: that machine moves it already."
            if about
            else "Set cluster_virtual_router_id to a number that nobody uses there.",
        )
        for (source, router_id, about), hosts in sorted(heard.items())
    ]


def _name_means_another(wanted: Wanted, address: str, looks: Mapping[str, Observation]) -> list[Problem]:
    """The endpoint's name leads elsewhere, on hosts that know it at all."""
    means: dict[str, list[str]] = {}
    for host, look in sorted(looks.items()):
        if host in wanted.scope and look.endpoint_addresses and address not in look.endpoint_addresses:
            means.setdefault(", ".join(look.endpoint_addresses), []).append(host)
    return [
        Problem(
            host=CLUSTER,
            subject=f"control plane endpoint {wanted.endpoint}",
            found=f"{addresses}, by its name on {', '.join(hosts)}",
            wanted=f"cluster_virtual_ip ({address})",
            action="Let the name mean that address, in DNS or in /etc/hosts.",
        )
        for addresses, hosts in sorted(means.items())
    ]
