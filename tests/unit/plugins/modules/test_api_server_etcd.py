# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server gets other endpoints of etcd: only while others answer, and no more of it changes than these."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd_look,
    etcd_servers,
    evidence,
    external_etcd,
    kubeconfig,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.external_etcd import Answer
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules import api_server_etcd
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates, https_server

URLS = [f"https://10.0.0.{number}:2379" for number in (1, 2, 3)]
MEMBERS = tuple((str(number), f"e{number}", (url,)) for number, url in enumerate(URLS, 1))
WHOLE = Answer(version="3.4.13", cluster="9", member="1", leader="1", members=MEMBERS, keys=7)
MANIFEST = """\
spec:
  containers:
  - command:
    - kube-apiserver
    - --etcd-cafile=/ca.crt
    - --etcd-certfile=/client.crt
    - --etcd-keyfile=/client.key
    - --etcd-servers={}
    - --written-by=hand
"""
CONFIGURATION = """\
etcd:
  external:
    caFile: /ca.crt
    endpoints:
    - {}
    keyFile: /client.key
kind: ClusterConfiguration
"""


@dataclass
class Host:
    """A control plane among others.

    Attributes:
        manifest: where its API server's is.
        recorded: the cluster's ClusterConfiguration.
        answers: by endpoint, where it is not whole.
        own: its own API server is ready,
        ready: as are those at these addresses.
        starts: the kubelet starts what the manifest says.
        asked: endpoints that were looked at.
    """

    manifest: Path
    recorded: str
    answers: dict[str, Answer] = field(default_factory=dict)
    own: bool = True
    ready: set[str] = field(default_factory=lambda: {"10.0.0.22", "10.0.0.23"})
    starts: bool = True
    asked: list[str] = field(default_factory=list)
    replaced: list[dict[str, Any]] = field(default_factory=list)

    def get(self, path: str) -> dict[str, Any]:
        if path == evidence.KUBEADM_CONFIG:
            return {"metadata": {"resourceVersion": "5"}, "data": {"ClusterConfiguration": self.recorded, "x": "y"}}
        assert path == api_server_etcd.NODES
        return {"items": [node(f"cp{number}", f"10.0.0.2{number}") for number in (1, 2, 3)] + [node("w1", "w", {})]}

    def replace(self, path: str, document: dict[str, Any]) -> None:
        assert path == evidence.KUBEADM_CONFIG
        self.replaced.append(document)
        self.recorded = document["data"]["ClusterConfiguration"]

    def look(self, endpoints: list[str], *files: Any) -> dict[str, Any]:
        assert files == ("/ca.crt", "/client.crt", "/client.key", "/registry", 5.0)
        self.asked += endpoints
        return {"answers": {url: self.answers.get(url, WHOLE).as_dict() for url in endpoints}}

    def running(self) -> list[list[str]]:
        return [etcd_servers.of_manifest(self.manifest.read_text()) if self.starts else ["https://old:2379"]]


def node(name: str, address: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    labels = {"node-role.kubernetes.io/control-plane": ""} if labels is None else labels
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


@pytest.fixture
def cp1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    manifest = tmp_path / "kube-apiserver.yaml"
    manifest.write_text(MANIFEST.format(URLS[0]))
    manifest.chmod(0o600)
    host = Host(manifest, CONFIGURATION.format(URLS[0]))
    monkeypatch.setattr(api_server_etcd, "MANIFEST", str(manifest))
    monkeypatch.setattr(api_server_etcd, "answering_api", lambda: host)
    monkeypatch.setattr(api_server_etcd.kube_api, "local_is_ready", lambda: host.own)
    monkeypatch.setattr(api_server_etcd, "ready", host.ready.__contains__)
    monkeypatch.setattr(api_server_etcd, "running_with", host.running)
    monkeypatch.setattr(api_server_etcd.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(etcd_look, "look", host.look)
    monkeypatch.setattr(evidence, "identity", lambda: "cp1")
    return host


def follow(endpoints: list[str], check_mode: bool = False) -> dict[str, Any]:
    return api_server_etcd.follow(endpoints, 0.0, check_mode)


def test_both_places_get_the_endpoints_and_keep_the_rest(cp1: Host) -> None:
    result = follow(URLS)
    assert result["changed"]
    assert result["endpoints"] == URLS[:1]
    assert [change["before_header"].rpartition("/")[2] for change in result["diff"]] == [
        "kubeadm-config, ClusterConfiguration",
        "kube-apiserver.yaml",
    ]
    assert cp1.manifest.read_text() == MANIFEST.format(",".join(URLS))
    assert cp1.manifest.stat().st_mode & 0o777 == 0o600
    assert cp1.recorded == CONFIGURATION.format("\n    - ".join(URLS))
    # What others have changed meanwhile is not overwritten: the version that was read goes with it, and the other keys.
    assert cp1.replaced[0]["metadata"] == {"resourceVersion": "5"}
    assert cp1.replaced[0]["data"]["x"] == "y"


def test_a_second_time_changes_nothing_and_asks_nobody(cp1: Host) -> None:
    follow(URLS)
    cp1.asked.clear()
    assert follow(URLS[::-1]) == {"changed": False, "endpoints": URLS, "diff": []}
    assert cp1.asked == []


def test_check_mode_foretells_it(cp1: Host) -> None:
    cp1.answers[URLS[2]] = Answer(failure=external_etcd.NO_CONNECTION, error="not started yet")
    foretold = follow(URLS, check_mode=True)
    assert cp1.manifest.read_text() == MANIFEST.format(URLS[0])
    assert cp1.replaced == []
    cp1.answers.clear()
    assert follow(URLS) == foretold


def test_run_that_was_killed_in_between_is_finished(cp1: Host) -> None:
    cp1.recorded = CONFIGURATION.format("\n    - ".join(URLS))
    assert len(follow(URLS)["diff"]) == 1
    assert cp1.replaced == []
    assert cp1.manifest.read_text() == MANIFEST.format(",".join(URLS))


def test_record_alone_is_put_right_without_a_restart(cp1: Host) -> None:
    cp1.manifest.write_text(MANIFEST.format(",".join(URLS)))
    cp1.ready.clear()
    cp1.starts = False
    assert len(follow(URLS)["diff"]) == 1
    assert cp1.recorded == CONFIGURATION.format("\n    - ".join(URLS))


@pytest.mark.parametrize(
    ("answers", "ready", "says"),
    [
        ({}, set(), "cp1: API servers: found 0 of the 2 others ready, wanted at least 1 while this one restarts."),
        ({URLS[2]: replace(WHOLE, cluster="8")}, {"10.0.0.22"}, "found etcd cluster 8, wanted 9, which is in use."),
        (
            {url: replace(WHOLE, leader="", keys=None) for url in URLS},
            {"10.0.0.22"},
            "cp1: etcd quorum: found 3 of 3 endpoints that answer, and none that reads with a quorum",
        ),
    ],
)
def test_refused_before_anything_changes(
    cp1: Host, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer], ready: set[str], says: str
) -> None:
    cp1.answers, cp1.ready = answers, ready
    monkeypatch.setattr(api_server_etcd, "ready", ready.__contains__)
    times = iter(range(0, 10000, 61))
    monkeypatch.setattr(api_server_etcd.time, "monotonic", lambda: next(times))
    with pytest.raises(Refusal, match=says):
        follow(URLS)
    assert cp1.manifest.read_text() == MANIFEST.format(URLS[0])
    assert cp1.replaced == []


def test_api_server_that_is_down_already_has_nothing_to_lose(cp1: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        api_server_etcd,
        "restart_problems",
        lambda _api: etcd_servers.restart_problems("cp1", own=False, others=2, ready=0),
    )
    assert follow(URLS)["changed"]


def test_api_server_that_does_not_come_back_is_told(cp1: Host) -> None:
    cp1.starts = False
    with pytest.raises(Refusal, match="cp1: API server: found none that runs with the new endpoints alone, wanted one"):
        follow(URLS)


def test_host_without_an_api_server(cp1: Host) -> None:
    cp1.manifest.unlink()
    with pytest.raises(Refusal, match="found no file, wanted the manifest of kube-apiserver"):
        follow(URLS)


@pytest.mark.parametrize("place", ["manifest", "configuration"])
def test_what_is_written_another_way_is_left_to_people(cp1: Host, place: str) -> None:
    if place == "manifest":
        cp1.manifest.write_text("spec: {}\n")
    else:
        cp1.recorded = "etcd:\n  local:\n    dataDir: /var/lib/etcd\n"
    with pytest.raises(Refusal, match=r"wanted the form that kubeadm gives it\. Change it by hand to https://10"):
        follow(URLS)
    assert cp1.replaced == []


def test_own_api_server_that_is_silent_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def get(self, path: str) -> None:
            raise RequestFailed("no answer")

    monkeypatch.setattr(api_server_etcd.kube_api, "local_admin", Silent)
    monkeypatch.setattr(api_server_etcd.kube_api, "KubeApi", lambda config: ("by the endpoint", config))
    monkeypatch.setattr(api_server_etcd.kubeconfig, "parse", lambda text: text)
    monkeypatch.setattr(api_server_etcd, "read_text", lambda path: path)
    assert api_server_etcd.answering_api() == ("by the endpoint", "/etc/kubernetes/admin.conf")


@pytest.mark.parametrize(("status", "is_ready"), [(200, True), (500, False)])
def test_other_api_server_says_itself_whether_it_is_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ca: certificates.Identity, status: int, is_ready: bool
) -> None:
    admin = ca.issue("kubernetes-admin")
    known = kubeconfig.Kubeconfig("https://lb:6443", ca.pem, admin.pem, admin.key_pem)
    monkeypatch.setattr(api_server_etcd.kubeconfig, "parse", lambda _text: known)
    monkeypatch.setattr(api_server_etcd, "read_text", lambda _path: "")
    answer = (status, "ok")
    with https_server.serve(lambda _request: answer, ca, tmp_path, client_certificate=True) as server:
        monkeypatch.setattr(api_server_etcd, "PORT", int(server.url.rpartition(":")[2]))
        assert api_server_etcd.ready("127.0.0.1") == is_ready
        # A certificate for another place is still one of this cluster's.
        assert api_server_etcd.ready("localhost") == is_ready
        assert set(server.paths) == {"/readyz"}
    assert not api_server_etcd.ready("127.0.0.1")


def test_what_runs_is_told_by_its_process() -> None:
    argv = ["kube-apiserver", "-c", "import time; time.sleep(60)", f"--etcd-servers={','.join(URLS)}", "--other=1"]
    with subprocess.Popen(argv, executable=sys.executable) as process:
        try:
            deadline = time.monotonic() + 30
            while URLS not in (found := api_server_etcd.running_with()):
                assert time.monotonic() < deadline, found
        finally:
            process.kill()
    assert URLS not in api_server_etcd.running_with()
