# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's own tables are read as proc(5) has them."""

from __future__ import annotations

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
