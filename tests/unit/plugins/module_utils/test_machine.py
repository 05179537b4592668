# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's own tables are read as proc(5) has them."""

from __future__ import annotations

import json
import shutil
import socket

from ansible_collections.kubeadm.ha.plugins.module_utils import machine

ROUTES = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth1	0000D20A	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	00000000	0100A8C0	0003	0	0	0	00000000	0	0	0
"""


def test_memory_is_counted_as_kubeadm_counts_it() -> None:
    assert machine.memory_mb("MemTotal:        1660156 kB\nMemFree:   1 kB\n") == 1699
    assert machine.memory_mb("") == 0


def test_default_interface_is_the_one_of_the_default_route() -> None:
    assert machine.default_interface(ROUTES) == "eth0"
    assert machine.default_interface(ROUTES.splitlines()[0]) is None


def test_networks_are_those_that_lead_off_the_host() -> None:
    links = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}, {"local": "::1", "prefixlen": 128}]},
        {"ifname": "eth0", "addr_info": [{"local": "10.0.0.5", "prefixlen": 24}]},
        {"ifname": "eth0", "addr_info": [{"local": "fe80::1", "prefixlen": 64}]},
        {"ifname": "eth1", "addr_info": [{"local": "fd00::5", "prefixlen": 64}]},
        {"ifname": "ifb0", "addr_info": [{}]},
    ]
    routes = [
        {"dst": "default", "gateway": "10.0.0.1", "dev": "eth0"},
        {"dst": "10.0.0.0/24", "dev": "eth0", "protocol": "kernel"},
        {"type": "local", "dst": "10.0.0.5", "dev": "eth0", "table": "local", "protocol": "static"},
        {"dst": "10.8.0.0/16", "gateway": "10.0.0.2", "dev": "eth0", "protocol": "static", "table": "7"},
        {"type": "unreachable", "dst": "172.16.0.0/12", "protocol": "98"},
        {"dst": "10.9.0.1", "dev": "wg0", "protocol": "boot"},
    ]
    found = machine.networks(json.dumps(links), json.dumps(routes))
    assert [tuple(entry.values()) for entry in found] == [
        ("10.0.0.0/24", "eth0", "address", ""),
        ("fd00::/64", "eth1", "address", ""),
        ("10.8.0.0/16", "eth0", "route", "static"),
        ("172.16.0.0/12", "", "route", "98"),
        ("10.9.0.1/32", "wg0", "route", "boot"),
    ]


def test_collect_tells_this_hosts_networks_or_that_it_cannot() -> None:
    found = machine.host_networks()
    assert (found is None) is (shutil.which("ip") is None)
    assert all(set(entry) == {"network", "device", "kind", "protocol"} for entry in found or ())


def test_collect_sees_a_port_that_is_listened_on_until_it_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in machine.collect()["listening"]
    assert port not in machine.collect()["listening"]


def test_collect_tells_what_the_requirements_ask_for() -> None:
    found = machine.collect()
    assert found["cpus"] >= 1
    assert found["memory_mb"] > 0
    assert found["hostname"] == socket.gethostname()
