# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module makes of its own host before it changes anything."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, kubeadm_config, pki, plan, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.modules import kubeadm_join
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import SimulatedCluster


@pytest.mark.parametrize("host", ["cp2", "w1"])
def test_decide_whole_member_needs_nothing(host: str) -> None:
    cluster = SimulatedCluster(3, 1).converge()
    assert cluster.action_on_host(plan.FINISH, cluster.hosts[host]) == plan.NOTHING


def test_decide_bare_host_joins() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.reset(cluster.hosts["w1"])
    assert cluster.action_on_host(plan.JOIN, cluster.hosts["w1"]) == plan.JOIN


def test_decide_host_that_is_not_registered_rejoins() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    del cluster.nodes["w1"]
    assert cluster.action_on_host(plan.REJOIN, cluster.hosts["w1"]) == plan.REJOIN


def test_decide_host_whose_kubelet_has_no_certificate_rejoins_though_its_old_node_is_there() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.hosts["w1"].has_run = False
    assert cluster.action_on_host(plan.REJOIN, cluster.hosts["w1"]) == plan.REJOIN


def test_decide_worker_whose_kubelet_has_no_configuration_yet_rejoins_though_its_old_node_is_there() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.hosts["w1"].traces.discard(evidence.KUBELET_CONF)
    assert cluster.plan().steps["w1"].action == plan.REJOIN
    assert cluster.action_on_host(plan.REJOIN, cluster.hosts["w1"]) == plan.REJOIN


def test_decide_worker_with_the_authority_alone_rejoins_because_preflight_wants_it_bare() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.reset(cluster.hosts["w1"])
    cluster.hosts["w1"].traces = {evidence.CA}
    assert cluster.action_on_host(plan.REJOIN, cluster.hosts["w1"]) == plan.REJOIN


def test_decide_voter_without_its_label_is_finished_and_not_joined_anew() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.nodes["cp2"]["control_plane"] = False
    assert cluster.action_on_host(plan.FINISH, cluster.hosts["cp2"]) == plan.FINISH


def test_decide_node_under_another_name_is_refused() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.hosts["w1"].name = "renamed"
    cluster.hosts["w1"].identity = "w1"
    with pytest.raises(ValueError, match="found w1 by the kubelet's certificate, wanted renamed"):
        cluster.action_on_host(plan.JOIN, cluster.hosts["w1"])


def test_decide_control_plane_whose_etcd_is_silent_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that is slow for five seconds votes all the same, and what follows here may reset its host."""
    cluster = SimulatedCluster(3, 1).converge()
    silent = {"answers": False, "error": "timed out", "members": []}
    monkeypatch.setattr(cluster, "etcd_of", lambda _host: silent)
    with pytest.raises(RequestFailed):
        cluster.action_on_host(plan.FINISH, cluster.hosts["cp2"])


def test_decide_control_plane_whose_manifest_of_etcd_is_empty_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = SimulatedCluster(3, 1).converge()
    silent = {"answers": False, "error": "refused", "members": []}
    monkeypatch.setattr(cluster, "etcd_of", lambda _host: silent)
    monkeypatch.setattr(kubeadm_join, "read_text", {evidence.ETCD_MANIFEST: ""}.get)
    assert cluster.action_on_host(plan.FINISH, cluster.hosts["cp2"]) == plan.FINISH


CONTROL_PLANE: dict[str, Any] = {
    "endpoint": "lb.example.com:6443",
    "token": None,
    "ca_hash": None,
    "control_plane": True,
    "certificate_key": None,
    "node_name": "cp2",
    "address": "192.0.2.12",
    "node": {"nodeRegistration": {"kubeletExtraArgs": [{"name": "v", "value": 2}]}, "controlPlane": None},
}


@pytest.mark.parametrize("kubeadm", ["1.20.2", "1.25.3", "1.36.0"])
def test_describe_without_credentials_renders_for_check_mode(kubeadm: str) -> None:
    (document,) = kubeadm_config.render_join(kubeadm_join.describe(CONTROL_PLANE), versions.parse(kubeadm))
    assert document["discovery"] == {"bootstrapToken": {"apiServerEndpoint": "lb.example.com:6443"}}
    assert document["controlPlane"] == {"localAPIEndpoint": {"advertiseAddress": "192.0.2.12"}}
    assert document["nodeRegistration"]["name"] == "cp2"


class Recorder:
    """A kubeadm that only notes what it is told."""

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.config = ""

    def run(self, argv: list[str], *, config: str) -> None:
        self.argv, self.config = argv, config


def test_start_etcd_tells_kubeadm_of_arguments_and_patches_as_it_reads_them() -> None:
    """kubeadm 1.20 knows arguments as a mapping, and patches by an argument alone."""
    told = Recorder()
    patches = {"directory": "/etc/kubernetes/patches"}
    options: dict[str, Any] = {
        **CONTROL_PLANE,
        "node": {**CONTROL_PLANE["node"], "patches": patches},
        "cluster_configuration": {"kind": "ClusterConfiguration", "etcd": {"local": {"extraArgs": {"v": "1"}}}},
    }
    kubeadm_join.start_etcd(told, versions.parse("1.20.2"), options, "cp1=https://192.0.2.11:2380")
    assert told.argv == ["init", "phase", "etcd", "local", "--experimental-patches=/etc/kubernetes/patches"]
    init, cluster = yaml.safe_load_all(told.config)
    assert init["nodeRegistration"] == {"name": "cp2", "kubeletExtraArgs": {"v": "2"}}
    assert "patches" not in init
    assert cluster["etcd"]["local"]["extraArgs"] == {
        "v": "1",
        "initial-cluster": "cp1=https://192.0.2.11:2380",
        "initial-cluster-state": "existing",
    }


OPTIONS: dict[str, Any] = {
    "endpoint": "192.0.2.10:6443",
    "version": "1.29.0",
    "token": "abcdef.0123456789abcdef",
    "ca_hash": "sha256:" + "a" * 64,
    "control_plane": True,
    "certificate_key": None,
    "node_name": "cp2",
    "address": "192.0.2.12",
    "external_etcd": False,
    "etcd_endpoints": [],
    "cluster_configuration": {},
    "node": {},
}


def test_describe_without_a_certificate_key_has_none_so_that_nothing_is_downloaded() -> None:
    assert kubeadm_join.describe(OPTIONS).node["controlPlane"] == {
        "localAPIEndpoint": {"advertiseAddress": "192.0.2.12"}
    }
    (document,) = kubeadm_config.render_join(kubeadm_join.describe(OPTIONS), kubeadm_join.versions.parse("1.20.2"))
    assert "certificateKey" not in document["controlPlane"]


def test_describe_with_a_certificate_key_hands_it_on() -> None:
    described = kubeadm_join.describe({**OPTIONS, "certificate_key": "k" * 64})
    assert described.node["controlPlane"]["certificateKey"] == "k" * 64


class Reset:
    """kubeadm, as far as it empties the folder of certificates."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths

    def run(self, argv: list[str]) -> None:
        assert argv[0] == "reset"
        for path in self.paths:
            path.unlink()


@pytest.mark.parametrize(
    ("changes", "stays"),
    [({}, True), ({"certificate_key": "k"}, False), ({"control_plane": False}, False)],
    ids=["handed over", "downloaded", "worker"],
)
def test_undo_keeps_what_no_download_brings_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], stays: bool
) -> None:
    pair = pki.Pair(str(tmp_path / "ca.crt"), str(tmp_path / "ca.key"), authority=True)
    monkeypatch.setattr(pki, "shared_pairs", lambda _etcd_client: (pair,))
    files = [Path(path) for path in pair.paths]
    for path in files:
        path.write_text(path.name, encoding="ascii")
    kubeadm_join.undo(Reset(*files), {**OPTIONS, **changes})  # type: ignore[arg-type]
    assert [path.exists() for path in files] == [stays, stays]
    if stays:
        assert [path.read_text(encoding="ascii") for path in files] == ["ca.crt", "ca.key"]
        assert [path.stat().st_mode & 0o777 for path in files] == [0o644, 0o600]


def node(ready: str) -> dict[str, Any]:
    return {"metadata": {"name": "cp2"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


@pytest.mark.parametrize("last", [node("False"), node("Unknown"), None], ids=["not ready", "unknown", "gone"])
def test_wait_until_forgotten_ends_once_the_node_is_not_ready(monkeypatch: pytest.MonkeyPatch, last: Any) -> None:
    monkeypatch.setattr(kubeadm_join.time, "sleep", lambda _seconds: None)
    answers = iter([node("True"), node("True"), last])
    kubeadm_join.wait_until_forgotten(SimpleNamespace(find=lambda _path: next(answers)), OPTIONS)  # type: ignore[arg-type]


def test_wait_until_forgotten_gives_up_on_a_node_that_stays_ready() -> None:
    with pytest.raises(RequestFailed, match="found Ready -1 s after its host was reset"):
        kubeadm_join.wait_until_forgotten(SimpleNamespace(find=lambda _path: node("True")), OPTIONS, patience=-1)  # type: ignore[arg-type]
