# SPDX-License-Identifier: GPL-3.0-or-later
"""On a kernel that has virtual servers: kube-proxy's are taken away, and nobody else's."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from conftest import INVENTORY
from support import ROOT, ansible_environment
from testinfra.host import Host

# As kube-proxy leaves them in mode ipvs: its interface with the services' addresses, and virtual servers for these and
# for a NodePort. The last two are somebody else's. linux/ip_vs.h: IP_VS_SO_SET_ADD and struct ip_vs_service_user.
SERVERS = """\
import socket, struct
kernel = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for protocol, address, port in ((6, "10.96.0.1", 443), (17, "10.96.0.10", 53), (6, "10.0.2.15", 30080),
                                (6, "10.0.2.15", 80), (6, "203.0.113.5", 443)):
    place = protocol, socket.inet_aton(address), struct.pack("!H", port)
    server = struct.pack("=H2x4s2s2xI16sIII", *place, 0, b"rr", 0, 0, 0)
    kernel.setsockopt(socket.IPPROTO_IP, 64 + 1024 + 64 + 2, server)
"""
INTERFACE = """\
modprobe ip_vs_rr
ip link add kube-ipvs0 type dummy
ip address add 10.96.0.1/32 dev kube-ipvs0
ip address add 10.96.0.10/32 dev kube-ipvs0
"""


def reset(*arguments: str) -> dict[str, Any]:
    """What kubeadm_reset says."""
    done = subprocess.run(
        ["ansible", "vm1", "-i", INVENTORY, "--one-line", *arguments, "-m", "kubeadm.ha.kubeadm_reset"]
        + ["-a", "cluster_id=000000000000 cri_socket=/run/containerd/containerd.sock"],
        cwd=ROOT,
        env=ansible_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


@pytest.fixture(scope="module")
def serving(unfit: Host) -> Host:
    unfit.check_output(f"set -e; {INTERFACE}")
    unfit.check_output(f"python3 -c '{SERVERS}'")
    return unfit


def test_reset_takes_kube_proxys_virtual_servers_alone(serving: Host) -> None:
    ours = [
        "virtual server TCP 10.0.2.15:30080",
        "virtual server TCP 10.96.0.1:443",
        "virtual server UDP 10.96.0.10:53",
    ]
    foretold = reset("--check")
    assert foretold["removed"] == [*ours, "link kube-ipvs0"]
    assert serving.file("/proc/net/ip_vs").content_string.count(" rr") == 5
    assert reset()["removed"] == foretold["removed"]
    left = [line.split()[1] for line in serving.file("/proc/net/ip_vs").content_string.splitlines() if " rr" in line]
    assert sorted(left) == ["0A00020F:0050", "CB007105:01BB"]
    assert not serving.file("/sys/class/net/kube-ipvs0").exists
    assert not reset()["changed"]
