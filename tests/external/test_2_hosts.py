# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys are on which host, and how etcd and its clients prove who they are."""

from __future__ import annotations

import pytest
from external import (
    BALANCERS,
    CONTROL_PLANE_FILES,
    CONTROL_PLANES,
    ETCD,
    HOSTS,
    MEMBER_FILES,
    PKI,
    WORKERS,
    etcd_servers,
    members,
    pki_files,
    url,
)
from support import api, host

pytestmark = pytest.mark.usefixtures("cluster")

# What control planes hand on to each other, as kubeadm has it.
SHARED = {"ca.key", "sa.key", "front-proxy-ca.key", "apiserver-etcd-client.key"}


@pytest.fixture(scope="module")
def authority() -> str:
    """The one etcd host that holds the key of etcd's CA."""
    holders = [name for name in HOSTS if host(name).file(f"{PKI}/etcd/ca.key").exists]
    assert len(holders) == 1, holders
    return holders[0]


@pytest.mark.parametrize("name", ETCD)
def test_etcd_host_holds_what_kubeadms_guide_lists_and_no_more(name: str, authority: str) -> None:
    assert set(pki_files(name)) == MEMBER_FILES | ({"etcd/ca.key"} if name == authority else set())


@pytest.mark.parametrize("name", CONTROL_PLANES)
def test_control_plane_holds_of_etcd_what_a_client_needs(name: str, authority: str) -> None:
    assert name != authority
    assert set(pki_files(name)) == CONTROL_PLANE_FILES


@pytest.mark.parametrize("name", [*WORKERS, *BALANCERS])
def test_nobody_else_holds_a_key(name: str) -> None:
    assert host(name).run("find /etc/kubernetes -name '*.key'").stdout == ""


@pytest.mark.parametrize("name", [*ETCD, *CONTROL_PLANES])
def test_keys_are_roots_alone(name: str) -> None:
    for path, mode in pki_files(name).items():
        # What kubeadm hands on to control planes it writes for root alone, certificates too.
        assert mode in {"600 root:root"} | (set() if path.endswith(".key") else {"644 root:root"}), path
    if name in ETCD:
        data = host(name).file("/var/lib/etcd/member")
        assert (data.user, data.mode) == ("root", 0o700)
    else:
        assert host(name).check_output("ls /var/lib/etcd") == ""


def test_each_host_has_keys_of_its_own() -> None:
    found: dict[str, str] = {}
    for name in (*ETCD, *CONTROL_PLANES):
        for line in host(name).check_output(f"find {PKI} -name '*.key' -exec sha256sum {{}} +").splitlines():
            digest, path = line.split()
            key = path.removeprefix(f"{PKI}/")
            owner = "control planes" if name in CONTROL_PLANES and key in SHARED else name
            assert found.setdefault(digest, f"{key} of {owner}") == f"{key} of {owner}"
    assert sum(entry.endswith(ETCD) for entry in found.values()) == len(ETCD) * 4 + 1


def test_members_are_three_voters_by_name() -> None:
    for name in ETCD:
        found = members(name)
        assert {title: member["clientURLs"] for title, member in found.items()} == {one: [url(one)] for one in ETCD}
        assert {title: member["peerURLs"] for title, member in found.items()} == {one: [url(one, 2380)] for one in ETCD}
        assert not any(member.get("isLearner") for member in found.values())


@pytest.mark.parametrize("port", [2379, 2380])
@pytest.mark.parametrize("name", ETCD)
def test_nobody_without_a_certificate_is_let_in(name: str, port: int) -> None:
    refused = host("w1").run(f"curl -sS --insecure --max-time 5 {url(name, port)}/version")
    # It connects, and fails in the handshake or as soon as it wants to speak.
    assert refused.rc in (35, 55, 56), refused.stderr


@pytest.mark.parametrize("name", CONTROL_PLANES)
def test_api_server_uses_every_member_and_proves_who_it_is(name: str) -> None:
    assert etcd_servers(name) == {url(one) for one in ETCD}
    reached = host(name).check_output("ss -Htn state established dport = :2379 | awk '{print $4}'").split()
    assert set(reached) == {url(one).removeprefix("https://") for one in ETCD}


def test_kubeadm_knows_that_etcd_is_external() -> None:
    config = api().get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")["data"]["ClusterConfiguration"]
    assert "external:" in config
    assert "local:" not in config
    assert all(url(name) in config for name in ETCD)
    pods = api().get("/api/v1/namespaces/kube-system/pods?labelSelector=component%3Detcd")["items"]
    assert pods == []


@pytest.mark.parametrize("name", ETCD)
def test_etcd_host_keeps_etcd_after_a_boot_and_is_no_node(name: str) -> None:
    node = host(name)
    assert node.service("kubelet").is_enabled
    assert node.service("kubelet").is_running
    assert node.file("/etc/systemd/system/kubelet.service.d/20-etcd-service-manager.conf").exists
    assert node.check_output("ls /etc/kubernetes/manifests") == "etcd.yaml"
    assert not node.file("/etc/kubernetes/kubelet.conf").exists
