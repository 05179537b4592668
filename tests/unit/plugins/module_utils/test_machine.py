# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's own tables are read as proc(5) has them."""

from __future__ import annotations

import json
import os
import shutil
import socket

import pytest

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


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        ("", False),
        # The kernel's own entry where there is no way out.
        (f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n", False),
        (f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth0\n", True),
        (f"20010db8{'0' * 24} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001     eth0\n", False),
    ],
)
def test_default_route_of_ipv6_is_one_that_leads_out(routes: str, found: bool) -> None:
    assert machine.has_default_route6(routes) is found


def test_control_groups_are_of_version_2_where_one_hierarchy_holds_all() -> None:
    hierarchies = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t7\t1\nmemory\t0\t1\t0\npids\t8\t7\t1\n"
    assert machine.cgroups("cpuset cpu io memory\n", hierarchies) == {
        "version": 2,
        "controllers": ["cpu", "cpuset", "io", "memory"],
    }
    assert machine.cgroups(None, hierarchies) == {"version": 1, "controllers": ["cpu", "pids"]}


FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 1
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.11
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 169.254.3.4
           /32 host LOCAL
        |-- 192.0.2.11
           /32 host LOCAL
        |-- 10.0.0.9
           /32 host LOCAL
"""
IF_INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000000fc00fffe000001 02 40 20 80     eth0
20010db8000000000000000000000011 02 40 00 80     eth0
"""


def test_addresses_are_those_that_others_can_reach() -> None:
    assert machine.addresses(FIB_TRIE, IF_INET6) == ["10.0.0.9", "192.0.2.11", "2001:db8::11"]
    assert machine.addresses("", "") == []


def test_name_servers_are_read_from_their_lines_alone() -> None:
    text = "# nameserver 192.0.2.1\nsearch example.com\nnameserver 127.0.0.53\nnameserver\tfe80::1%eth0\n"
    assert machine.name_servers(text) == ["127.0.0.53", "fe80::1%eth0"]


def test_running_units_are_the_active_ones() -> None:
    shown = "Id=chrony.service\nActiveState=active\n\nId=ufw.service\nActiveState=inactive\n"
    assert machine.running_units(shown) == ["chrony"]
    assert machine.running_units("") == []


def test_collect_names_the_process_that_listens_where_it_is_asked_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert machine.collect(name_owners=True)["owners"][port].endswith(f", process {os.getpid()}")
    assert machine.collect()["owners"] == {}


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
    assert found["disks"]["/var/lib/etcd"]["size_mb"] > found["disks"]["/var/lib/etcd"]["free_mb"] > 0
    assert found["kernel"] == os.uname().release
