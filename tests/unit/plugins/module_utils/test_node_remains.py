# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster left is told from what is somebody else's."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig, node_remains, x509
from ansible_collections.kubeadm.ha.plugins.module_utils.identity import cluster_id
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import authority

OURS, THEIRS = authority().pem, authority().pem


def id_of(pem: str) -> str:
    return cluster_id(x509.parse(pem).public_key_hash)


def rendered(ca: str) -> str:
    config = kubeconfig.Kubeconfig("https://192.0.2.10:6443", ca, "certificate", "key")
    return kubeconfig.render(cluster="lab", user="admin", config=config)


def test_links_are_those_of_pod_networks_and_of_kube_proxy() -> None:
    others = ["lo", "eth0", "docker0", "cni-podman0", "br-0123", "wg0", "tunl0", "veth1"]
    ours = ["cali0123456789a", "cilium_host", "cni0", "flannel.1", "kube-ipvs0", "vxlan.calico"]
    assert node_remains.links([*others, *ours]) == ours


def test_cni_configurations_of_others_are_not_taken_for_the_clusters() -> None:
    podman = json.dumps({"name": "podman", "plugins": [{"type": "bridge", "bridge": "cni-podman0"}]})
    files = {
        "10-bridge.conflist": "{}",
        "10-calico.conflist": "{}",
        "calico-kubeconfig": "",
        "00-mesh.conf": json.dumps({"name": "mesh", "kubeconfig": "/etc/cni/net.d/mesh.d/mesh"}),
        "87-podman-bridge.conflist": podman,
        "100-crio-bridge.conflist": json.dumps({"name": "crio", "plugins": [{"type": "bridge", "bridge": "cni0"}]}),
        "README": "",
    }
    ours = ["00-mesh.conf", "10-bridge.conflist", "10-calico.conflist", "calico-kubeconfig"]
    assert node_remains.cni_configurations(files) == ours
    assert node_remains.cni_networks([podman, "not JSON", "[]", "{}"]) == {"podman"}


def test_ids_in_a_kubeconfig_are_those_of_all_its_clusters() -> None:
    assert node_remains.ids_in(rendered(OURS)) == [id_of(OURS)]
    assert {*node_remains.ids_in(rendered(OURS) + rendered(THEIRS))} == {id_of(OURS), id_of(THEIRS)}
    assert node_remains.ids_in("") == []


def test_ids_in_a_kubeconfig_say_of_which_clusters_nobody_can_tell() -> None:
    by_file = "clusters:\n- cluster:\n    certificate-authority: /ca.crt\n    server: https://192.0.2.1\n"
    assert node_remains.ids_in(rendered(OURS) + by_file) == [id_of(OURS), None]
    for broken in ("!", base64.b64encode(b"no certificate").decode(), base64.b64encode(b"\xff").decode(), "AAA"):
        text = f"- cluster:\n    certificate-authority-data: {broken}\n    server: https://192.0.2.1\n"
        assert node_remains.ids_in(text) == [None]


def test_ids_in_a_kubeconfig_are_found_in_json_as_well() -> None:
    data = base64.b64encode(OURS.encode()).decode()
    text = json.dumps({"clusters": [{"cluster": {"certificate-authority-data": data, "server": "https://a"}}]})
    assert node_remains.ids_in(text) == [id_of(OURS)]


def test_pod_subnet_is_read_from_the_unit() -> None:
    unit = "[Service]\nExecStart=/usr/bin/python3 /opt/x.py --node a --endpoint b:1 --pod-subnet 10.244.0.0/16\n"
    assert node_remains.pod_subnets([unit]) == ["10.244.0.0/16"]
    assert node_remains.pod_subnets([""]) == []


def test_pod_subnets_are_those_that_anybody_was_told() -> None:
    unit = "[Service]\nExecStart=/opt/bridge.py --node-name w1 --pod-subnet 10.244.0.0/16 --interface eth0\n"
    manifest = "    - --allocate-node-cidrs=true\n    - --cluster-cidr=10.200.0.0/16,fd00:10::/48\n"
    proxy = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nclusterCIDR: 10.200.0.0/16\n"
    assert node_remains.pod_subnets([unit, manifest, proxy]) == ["10.200.0.0/16", "10.244.0.0/16", "fd00:10::/48"]
    assert node_remains.pod_subnets(['clusterCIDR: ""\n', "kind: Pod\n"]) == []


def test_routes_are_known_by_who_laid_them() -> None:
    shown = """\
10.200.0.0/24 via 192.0.2.11 dev eth0
10.200.1.0/26 via 192.0.2.12 dev tunl0 proto bird onlink
blackhole 10.200.2.0/26 proto 80
10.200.3.0/24 proto bird
\tnexthop via 192.0.2.13 dev eth0 weight 1
10.200.4.0/24 dev cni0 proto kernel scope link src 10.200.4.1
"""
    assert node_remains.route_protocols(shown) == ["80", "bird", "boot"]
    assert node_remains.route_protocols("") == []


@pytest.mark.parametrize(("pod", "address"), [("three", "192.0.2.10/32"), ("ipv6", "2001:db8::10/128")])
def test_kube_vip_is_read_from_its_manifest(pod: str, address: str) -> None:
    fixtures = Path(__file__).parents[2] / "fixtures" / "kube_vip"
    assert node_remains.kube_vip((fixtures / f"{pod}.pod").read_text()) == (address, "eth0")
    assert node_remains.kube_vip("") is None


def test_addresses_of_kube_proxy_are_told_from_the_hosts() -> None:
    shown = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 192.0.2.11/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever
2: eth0    inet6 2001:db8::11/64 scope global \\       valid_lft forever
5: kube-ipvs0    inet 10.96.0.1/32 scope global kube-ipvs0\\       valid_lft forever
"""
    assert node_remains.addresses(shown) == ({"10.96.0.1"}, {"127.0.0.1", "192.0.2.11", "2001:db8::11"})
