# SPDX-License-Identifier: GPL-3.0-or-later
"""Of the kernel's virtual servers, those that kube-proxy made are told from others."""

from __future__ import annotations

from ansible_collections.kubeadm.ha.plugins.module_utils import virtual_servers
from ansible_collections.kubeadm.ha.plugins.module_utils.virtual_servers import VirtualServer

# net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_info_seq_show.
SHOWN = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr
  -> C000020B:192B      Masq    1      0          0
UDP  0A60000A:0035 rr
TCP  C000020B:7594 rr persistent 10800
TCP  C000020B:0050 wrr
TCP  CB007105:01BB sh
TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:01BB rr
FWM  00000001 wlc
"""
API, DNS = VirtualServer("TCP", "10.96.0.1", 443), VirtualServer("UDP", "10.96.0.10", 53)
NODE_PORT, SIX = VirtualServer("TCP", "192.0.2.11", 30100), VirtualServer("TCP", "fd00::1", 443)
OTHERS = [VirtualServer("TCP", "192.0.2.11", 80), VirtualServer("TCP", "203.0.113.5", 443)]


def test_parse_reads_what_the_kernel_shows() -> None:
    assert virtual_servers.parse(SHOWN) == [API, DNS, NODE_PORT, *OTHERS, SIX]
    assert virtual_servers.parse("") == []
    assert [str(API), str(SIX)] == ["TCP 10.96.0.1:443", "TCP [fd00::1]:443"]


def test_those_of_the_cluster_are_of_its_addresses_and_of_the_ports_for_services() -> None:
    found = virtual_servers.of_cluster(
        virtual_servers.parse(SHOWN), {"10.96.0.1", "10.96.0.10", "fd00::1"}, {"192.0.2.11"}
    )
    assert found == sorted([API, DNS, NODE_PORT, SIX])
    assert virtual_servers.of_cluster(virtual_servers.parse(SHOWN), set(), set()) == []
