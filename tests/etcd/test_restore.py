# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd without its quorum begun again: real etcd and etcdctl on real data, by a kubelet that runs no containers."""

from __future__ import annotations

import base64
import functools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import LocalEtcd, Member, Program
from kubelet import Kubelet

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd,
    etcd_pod,
    etcd_restorer,
    etcd_restoring,
    evidence,
    identity,
    set_aside,
    x509,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_restorer import Restorer, Wish
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

TAG = "k8s.gcr.io/etcd:3.4.23-0"


class Killed(BaseException):
    """The module's process is gone."""


@dataclass
class Host:
    """A host whose etcd was one of three, and is left alone."""

    kubelet: Kubelet
    member: Member
    etcd: LocalEtcd
    manifests: Path
    programs: Path
    cluster_id: str

    @property
    def manifest(self) -> Path:
        return self.manifests / "etcd.yaml"

    def restore(self, **options: Any) -> Restorer:
        wish = Wish(**{"source": "data", "cluster_id": self.cluster_id, "timeout": 30.0, **options})
        restorer = Restorer(wish, self.kubelet.restart)
        restorer.check()
        restorer.work()
        return restorer

    def ask(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return etcd.call(self.member.client_url, self.etcd.context, method, 3.0, body)

    def put(self, key: str, value: str = "x") -> None:
        """Write a key, by whichever process has a quorum."""
        self.etcd.cluster().ask("/kv/put", {"key": etcd.encoded(key), "value": etcd.encoded(value)})

    def held(self) -> set[str]:
        answer = self.ask("/kv/range", {"key": "AA==", "range_end": "AA=="})
        return {base64.b64decode(entry["key"]).decode() for entry in answer.get("kvs", ())}

    def names(self) -> list[str]:
        return [member["name"] for member in self.ask("/cluster/member/list")["members"]]

    def save(self, path: Path) -> Path:
        """A snapshot, by etcdctl."""
        folder = self.etcd.folder
        files = [f"--cacert={folder}/ca.crt", f"--cert={folder}/member.crt", f"--key={folder}/member.key"]
        command = [self.programs / "etcdctl", f"--endpoints={self.member.client_url}", *files, "snapshot", "save", path]
        subprocess.run(command, check=True, capture_output=True)
        return path

    def kept(self) -> list[Path]:
        return sorted(self.member.data.parent.glob(f"{self.member.name}-before-*/member"))


def flags(process: Member, pki: Path) -> dict[str, Any]:
    files = {
        f"{prefix}{kind}-file": pki / name
        for prefix in ("", "peer-")
        for kind, name in (("cert", "member.crt"), ("key", "member.key"), ("trusted-ca", "ca.crt"))
    }
    return {
        "advertise-client-urls": process.client_url,
        "client-cert-auth": "true",
        "data-dir": process.data,
        "election-timeout": 500,
        "heartbeat-interval": 50,
        "initial-advertise-peer-urls": process.peer_url,
        "initial-cluster": f"{process.name}={process.peer_url}",
        "listen-client-urls": process.client_url,
        "listen-peer-urls": process.peer_url,
        "name": process.name,
        "peer-client-cert-auth": "true",
        **files,
    }


MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
{flags}
    image: {image}
    name: etcd
"""


@pytest.fixture
def host(
    local_etcd: LocalEtcd, program: Program, authority: certificates.Identity, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    """One of three that are well; the first, as kubeadm init leaves it: it could begin a cluster of its own."""
    public_key_hash = x509.parse(authority.pem).public_key_hash
    root = local_etcd.folder / "host"
    manifests = root / "manifests"
    manifests.mkdir(parents=True)
    pki = local_etcd.folder
    for kind in ("crt", "key"):
        shutil.copy(pki / f"member.{kind}", pki / f"healthcheck-client.{kind}")
    programs = program("bookworm").parent
    monkeypatch.setattr(etcd, "PKI", str(pki))
    monkeypatch.setattr(evidence, "MANIFESTS", str(manifests))
    monkeypatch.setattr(set_aside, "FOLDER", str(root / "aside"))
    monkeypatch.setattr(etcd_restorer, "ONE_SHOT", str(manifests / "etcd-restore.yaml"))
    monkeypatch.setattr(etcd_restorer, "POD_LOGS", str(root / "logs"))
    monkeypatch.setattr(etcd_pod, "CAUSE", str(root / "cause"))
    monkeypatch.setattr(etcd_restorer, "kubernetes_ca", lambda: public_key_hash)
    local_etcd.begin(3)
    first = local_etcd.processes["m0"]
    first.kill()
    lines = "\n".join(f"    - --{name}={value}" for name, value in flags(first, pki).items())
    (manifests / "etcd.yaml").write_text(MANIFEST.format(flags=lines, image=TAG))
    kubelet = Kubelet(manifests, root / "logs", programs)
    monkeypatch.setattr(
        set_aside, "pids", lambda name, **said: [1] if name == "kubelet" else kubelet.pids(name, **said)
    )
    local_etcd.wait_until(lambda: local_etcd.is_well(local_etcd.processes), "three members that are well")
    made = Host(kubelet, first, local_etcd, manifests, programs, identity.cluster_id(public_key_hash))
    # By this it is known whose snapshot it is.
    published = {"metadata": {}, "data": {"client-ca-file": authority.pem}}
    made.put("/registry/configmaps/kube-system/extension-apiserver-authentication", json.dumps(published))
    yield made
    kubelet.end()


def lose_the_others(host: Host) -> None:
    for name in ("m1", "m2"):
        host.etcd.processes[name].wipe()


def test_quorum_of_the_others_is_found_though_the_own_etcd_is_stopped(host: Host) -> None:
    text = host.manifest.read_text()
    host.manifest.unlink()
    host.etcd.wait_until(lambda: not host.kubelet.pids("etcd"))
    aside = Path(set_aside.aside(set_aside.ETCD))
    aside.parent.mkdir()
    aside.write_text(text)
    with pytest.raises(Refusal, match=r"found 3 voters that agree \(m0, m1, m2\)"):
        host.restore()
    assert aside.read_text() == text


@pytest.mark.parametrize("sees_the_api", [True, False])
def test_data_that_is_left_becomes_the_cluster(host: Host, sees_the_api: bool) -> None:
    host.kubelet.sees_the_api = sees_the_api
    host.put("a")
    before = host.manifest.read_text()
    with pytest.raises(Refusal, match=r"m0: etcd quorum: found 3 voters that agree \(m0, m1, m2\), wanted none"):
        host.restore()
    assert host.manifest.read_text() == before
    lose_the_others(host)
    restorer = host.restore()
    assert host.names() == ["m0"]
    assert host.held() >= {"a"}
    told = restorer.told()
    assert told["keys"] == len(host.held()) and told["revision"] > 1
    host.put("b")
    (kept,) = host.kept()
    assert restorer.kept == str(kept.parent) and (kept / "wal").is_dir()
    after = host.manifest.read_text()
    assert after.replace("    - --initial-cluster-state=existing\n", "") == before
    assert {path.name for path in host.manifests.iterdir()} == {"etcd.yaml"}
    with pytest.raises(Refusal, match=r"found 1 voters that agree"):
        host.restore()


def test_snapshot_becomes_the_cluster_and_shares_no_id_with_the_former(host: Host, tmp_path: Path) -> None:
    host.put("a")
    snapshot = host.save(tmp_path / "etcd.db")
    host.put("b")
    former = host.ask("/maintenance/status")["header"]
    lose_the_others(host)
    host.restore(source="snapshot", snapshot=str(snapshot))
    assert "a" in host.held() and "b" not in host.held()
    now = host.ask("/maintenance/status")["header"]
    assert (now["cluster_id"], now["member_id"]) != (former["cluster_id"], former["member_id"])
    assert now["cluster_id"] != former["cluster_id"]
    assert host.names() == ["m0"]


def test_data_that_is_lost_begins_no_empty_cluster_afterwards(host: Host) -> None:
    lose_the_others(host)
    host.restore()
    text = host.manifest.read_text()
    host.manifest.unlink()
    host.etcd.wait_until(lambda: not host.kubelet.pids("etcd"))
    shutil.rmtree(host.member.data)
    host.manifest.write_text(text)
    log = host.manifests.parent / "logs/kube-system_etcd-host_hash/etcd/0.log"
    host.etcd.wait_until(lambda: "could not retrieve cluster information" in log.read_text())


def appended(command: Callable[..., list[str]], word: str, *arguments: Any, **options: Any) -> list[str]:
    """What a command would be, with a word more."""
    return [*command(*arguments, **options), word]


def die(_self: Restorer) -> None:
    """As if the process were killed there."""
    raise Killed


def test_failed_restore_leaves_all_as_it_was_and_says_why(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = host.save(tmp_path / "etcd.db")
    lose_the_others(host)
    before = host.manifest.read_text()
    wrong = functools.partial(appended, etcd_restoring.restore_command, "--no-such-flag")
    monkeypatch.setattr(etcd_restoring, "restore_command", wrong)
    with pytest.raises(Refusal, match=r"Error: unknown flag: --no-such-flag"):
        host.restore(source="snapshot", snapshot=str(snapshot))
    assert host.manifest.read_text() == before
    assert {path.name for path in host.manifests.iterdir()} == {"etcd.yaml"}
    assert {path.name for path in host.member.data.iterdir()} == {"member"}
    assert not host.kept()


def test_restore_that_was_never_given_its_end_is_no_end_of_the_next(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = host.save(tmp_path / "etcd.db")
    lose_the_others(host)
    with monkeypatch.context() as patched:
        patched.setattr(Restorer, "_finish", die)
        with pytest.raises(Killed):
            host.restore()
    host.put("a")
    text = host.manifest.read_text()
    host.manifest.unlink()
    host.etcd.wait_until(lambda: not host.kubelet.pids("etcd"))
    shutil.rmtree(host.member.data / "member")
    host.manifest.write_text(text)
    host.restore(source="snapshot", snapshot=str(snapshot))
    assert "a" not in host.held()
    assert len(host.kept()) == 2
    assert host.names() == ["m0"]


@pytest.mark.parametrize(
    ("step", "late"), [("_watch", False), ("_watch", True), ("_take", False), ("_take", True), ("_finish", False)]
)
def test_killed_run_is_finished_by_the_next(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, late: bool
) -> None:
    host.put("a")
    snapshot = host.save(tmp_path / "etcd.db")
    lose_the_others(host)
    done = getattr(Restorer, step)

    def killed(self: Restorer, *arguments: Any) -> None:
        if late:
            done(self, *arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Restorer, step, killed)
        with pytest.raises(Killed):
            host.restore(source="snapshot", snapshot=str(snapshot))
    host.restore(source="snapshot", snapshot=str(snapshot))
    assert host.names() == ["m0"]
    assert "a" in host.held()
    assert len(host.kept()) == 1
    assert {path.name for path in host.manifests.iterdir()} == {"etcd.yaml"}
    assert {path.name for path in host.member.data.iterdir()} == {"member"}
