# SPDX-License-Identifier: GPL-3.0-or-later
"""What the build left on the hosts, looked at from outside."""

from __future__ import annotations

import pytest
from support import CONTROL_PLANES, NODES, WORKERS, host

pytestmark = pytest.mark.usefixtures("cluster")

KEYS = ("ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client", "sa")
ETCD_KEYS = ("ca", "server", "peer", "healthcheck-client")


@pytest.mark.parametrize("name", NODES)
def test_node_is_set_up_for_this_boot_and_the_next(name: str) -> None:
    node = host(name)
    assert len(node.file("/proc/swaps").content_string.splitlines()) == 1
    for setting in ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv4.ip_forward"):
        assert node.sysctl(setting) == 1
        assert f"{setting} = 1" in node.file("/etc/sysctl.d/99-zz-kubeadm-ha.conf").content_string
    for tool in ("iptables", "ip6tables", "arptables", "ebtables"):
        assert node.check_output(f"readlink -f /etc/alternatives/{tool}").endswith(("legacy", "legacy-multi"))
    for service in ("containerd", "kubelet", "bridge-network"):
        assert node.service(service).is_enabled
        assert node.service(service).is_running


@pytest.mark.parametrize("name", NODES)
def test_node_runs_pods_under_the_runtime_that_was_named(name: str) -> None:
    assert host(name).run("crictl info").rc == 0
    assert "containerd" in host(name).file("/var/lib/kubelet/kubeadm-flags.env").content_string


@pytest.mark.parametrize("name", CONTROL_PLANES)
def test_control_plane_keeps_its_keys_to_root(name: str) -> None:
    node = host(name)
    paths = [f"/etc/kubernetes/pki/{key}.key" for key in KEYS]
    paths += [f"/etc/kubernetes/pki/etcd/{key}.key" for key in ETCD_KEYS]
    paths += [f"/etc/kubernetes/{conf}.conf" for conf in ("admin", "controller-manager", "scheduler", "kubelet")]
    for path in paths:
        assert (node.file(path).user, node.file(path).mode) == ("root", 0o600), path


@pytest.mark.parametrize("name", CONTROL_PLANES)
def test_control_plane_answers_by_itself(name: str) -> None:
    assert host(name).check_output("curl --silent --insecure https://127.0.0.1:6443/readyz") == "ok"


@pytest.mark.parametrize("name", WORKERS)
def test_worker_holds_no_key_of_the_cluster(name: str) -> None:
    assert host(name).run("find /etc/kubernetes -name '*.key'").stdout == ""
    assert not host(name).file("/etc/kubernetes/admin.conf").exists


@pytest.mark.parametrize("name", ["lb1", "lb2"])
def test_load_balancer_sees_every_control_plane_up(name: str) -> None:
    node = host(name)
    assert node.service("haproxy").is_enabled
    statistics = node.check_output(
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); "
        "s.sendall(b'show stat\\n'); print(s.makefile().read())\""
    )
    up = {
        line.split(",")[1] for line in statistics.splitlines() if line.startswith("kube_apiserver,") and ",UP," in line
    }
    assert set(CONTROL_PLANES) <= up
