# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted snapshots of a cluster whose etcd is real: taken, carried, opened by their owner, and by nobody else."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import LocalEtcd
from cryptography.hazmat.primitives import serialization

from ansible_collections.kubeadm.ha.plugins.action import snapshot_key
from ansible_collections.kubeadm.ha.plugins.module_utils import (
    envelope,
    etcd,
    etcd_snapshot,
    etcd_stream,
    evidence,
    identity,
    pki,
    receiver,
    x509,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules import (
    cluster_snapshot,
    cluster_snapshot_info,
    cluster_snapshot_open,
)
from ansible_collections.kubeadm.ha.plugins.modules import (
    etcd_snapshot as plain,
)
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import bolt_files, certificates

ROOT = Path(__file__).resolve().parents[2]
UID = "0a6de3b4-94cf-4a1d-b1c2-4f3c54d1a7f0"
# Stored as an API server stores it, and searched for in all that is left behind.
CANARY = "canary-in-a-secret"
SECRET = "/registry/secrets/default/canary"
CONFIGURATION = "apiVersion: kubeadm.k8s.io/v1beta2\nclusterName: the lab\nkubernetesVersion: v1.20.2\n"


@dataclass
class ControlPlane:
    """A host with an API server's manifest and keys, as far as a snapshot needs one."""

    etcd: LocalEtcd
    folder: Path
    ca: certificates.Identity

    @property
    def cluster_id(self) -> str:
        return identity.cluster_id(x509.parse(self.ca.pem).public_key_hash)

    def put(self, key: str, value: bytes) -> None:
        body = {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode()}
        etcd.call(self.url, self.etcd.context, "/kv/put", 10.0, body)

    @property
    def url(self) -> str:
        return next(one.client_url for one in self.etcd.processes.values() if one.runs)

    def fill(self) -> None:
        """What Kubernetes would have written."""
        prefix = "/registry/configmaps/kube-system"
        self.put("/registry/namespaces/kube-system", bolt_files.namespace("kube-system", UID))
        self.put(f"{prefix}/extension-apiserver-authentication", bolt_files.config_map({"client-ca-file": self.ca.pem}))
        self.put(f"{prefix}/kubeadm-config", bolt_files.config_map({"ClusterConfiguration": CONFIGURATION}))
        self.put(SECRET, CANARY.encode())

    def options(self, public: str, **more: Any) -> dict[str, Any]:
        dest = self.folder / "spool" / "cluster.snapshot"
        return {"dest": str(dest), "public_key": public, "timeout_seconds": 5, **more}


@pytest.fixture
def control_plane(
    local_etcd: LocalEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: certificates.Identity
) -> ControlPlane:
    """A host of a cluster with three members."""
    local_etcd.begin(3)
    host = ControlPlane(local_etcd, tmp_path, certificates.authority("kubernetes"))
    folder = tmp_path / "pki"
    for one in ("ca", "front-proxy-ca", "etcd/ca"):
        (folder / one).parent.mkdir(parents=True, exist_ok=True)
        (host.ca if one == "ca" else certificates.authority(one)).write(folder, one)
    key = certificates.authority("sa").key
    public, private = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PrivateFormat.PKCS8
    encoding = serialization.Encoding.PEM
    (folder / "sa.pub").write_bytes(key.public_key().public_bytes(encoding, public))
    (folder / "sa.key").write_bytes(key.private_bytes(encoding, private, serialization.NoEncryption()))
    (folder / "sa.key").chmod(0o600)

    def moved(pair: pki.Pair) -> pki.Pair:
        public, private = (path.replace(pki.FOLDER, str(folder)) for path in (pair.public, str(pair.private)))
        return pki.Pair(public, private, pair.authority)

    monkeypatch.setattr(pki, "COMMON", tuple(map(moved, pki.COMMON)))
    monkeypatch.setattr(pki, "ETCD_CA", moved(pki.ETCD_CA))
    monkeypatch.setattr(pki, "CLUSTER_CA", moved(pki.CLUSTER_CA))
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    files = local_etcd.folder
    flags = {
        "etcd-servers": ",".join(one.client_url for one in local_etcd.processes.values()),
        "etcd-cafile": f"{files}/ca.crt",
        "etcd-certfile": f"{files}/member.crt",
        "etcd-keyfile": f"{files}/member.key",
    }
    lines = "".join(f"    - --{name}={value}\n" for name, value in flags.items())
    (manifests / "kube-apiserver.yaml").write_text(f"spec:\n  containers:\n  - command:\n    - kube-apiserver\n{lines}")
    (manifests / "etcd.yaml").write_text("")
    monkeypatch.setattr(evidence, "POD_MANIFESTS", (str(manifests / "kube-apiserver.yaml"),))
    monkeypatch.setattr(evidence, "ETCD_MANIFEST", str(manifests / "etcd.yaml"))
    monkeypatch.setattr(cluster_snapshot_open, "RECEIVER_KEY", str(tmp_path / "receiver.key"))
    host.fill()
    return host


@dataclass
class Keys:
    """The user's, as openssl makes them: where the private half is, and the public one."""

    private: Path
    public: str


@pytest.fixture(params=["X25519", "RSA"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Keys:
    return made(tmp_path, request.param)


def made(folder: Path, algorithm: str = "X25519") -> Keys:
    private = folder / f"{algorithm}.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", algorithm, "-out", private], check=True, capture_output=True)
    public = subprocess.run(["openssl", "pkey", "-in", private, "-pubout"], check=True, capture_output=True, text=True)
    return Keys(private, public.stdout)


def take(host: ControlPlane, public: str) -> dict[str, Any]:
    result, wrong = cluster_snapshot.take(host.options(public), check_mode=False)
    assert wrong == []
    return result


def info(path: str, **expected: Any) -> dict[str, Any]:
    given = {"cluster_id": "", "kube_system_uid": "", "least_revision": 0, "keys": [], "prefix": "/registry"}
    return cluster_snapshot_info.look({**given, "path": path, **expected})


def opened(host: ControlPlane, path: str, private: Path, **more: Any) -> list[str]:
    """As role snapshot opens one on a host, whose key is made there for it."""
    public = receiver.request(cluster_snapshot_open.RECEIVER_KEY)
    _header, sealed = snapshot_key.relay(
        path=path, private_key=str(private), passphrase="", receiver=public, cluster_id=""
    )
    options = {"src": path, "envelope": sealed, "dest": str(host.folder / "opened.db"), "files_dest": None, **more}
    return cluster_snapshot_open.open_snapshot(options, host="cp1", check_mode=False)[1]


def test_what_was_taken_is_opened_by_its_owner_whole(control_plane: ControlPlane, keys: Keys) -> None:
    result = take(control_plane, keys.public)
    path, folder = result["path"], control_plane.folder / "files"
    assert result["missing"] == []
    assert result["name"].startswith(f"the-{control_plane.cluster_id}-")  # as kubeadm's configuration calls it
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert CANARY.encode() not in Path(path).read_bytes()
    assert b"PRIVATE KEY" not in Path(path).read_bytes()

    written = opened(control_plane, path, keys.private, files_dest=str(folder))

    database = str(control_plane.folder / "opened.db")
    found = etcd_snapshot.read(database, keys=[SECRET])
    assert found.values == {SECRET: CANARY.encode()}
    assert (found.cluster_id, found.kube_system_uid) == (control_plane.cluster_id, UID)
    assert result["header"]["etcd"] == info(path)["header"]["etcd"]
    said = {name: result["header"]["etcd"][name] for name in ("bytes", "sha256", "revision", "keys")}
    assert said == {
        "bytes": os.path.getsize(database),
        "sha256": found.sha256,
        "revision": found.revision,
        "keys": found.keys,
    }
    assert (folder / "etc/kubernetes/kubeadm-config.yaml").read_text() == CONFIGURATION
    for name in ("ca.key", "ca.crt", "sa.key", "etcd/ca.key", "front-proxy-ca.key"):
        origin = control_plane.folder / "pki" / name
        copy = folder / str(origin).lstrip("/")
        assert copy.read_text() == origin.read_text()
        # A key is root's alone, even where it was not.
        assert copy.stat().st_mode & 0o777 == (0o600 if name.endswith(".key") else 0o644)
        assert str(copy) in written
    assert not os.path.exists(cluster_snapshot_open.RECEIVER_KEY)
    # Once more: nothing is left to do. And nothing that is there already is overwritten.
    assert opened(control_plane, path, keys.private, files_dest=str(folder)) == []
    copy.write_text("another cluster's")
    with pytest.raises(Refusal, match="Move it away if it is not missed, or give another files_dest."):
        opened(control_plane, path, keys.private, files_dest=str(folder))


def test_others_cannot_open_it_and_what_was_changed_is_told(control_plane: ControlPlane, tmp_path: Path) -> None:
    keys = made(tmp_path)
    path = take(control_plane, keys.public)["path"]
    (tmp_path / "other").mkdir()
    with pytest.raises(envelope.EnvelopeBroken, match="to which the file is sealed. Give that."):
        opened(control_plane, path, made(tmp_path / "other").private)
    assert info(path, cluster_id=control_plane.cluster_id, kube_system_uid=UID)["encrypted"]
    with pytest.raises(Refusal, match="cluster id: found .*, wanted 0123456789ab. It is another cluster's."):
        info(path, cluster_id="0123456789ab")
    with pytest.raises(Refusal, match="revision: found .* or later. It is older."):
        info(path, least_revision=10**6)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:-1])
    with pytest.raises(envelope.EnvelopeBroken, match="as it says of itself. It was cut short or damaged."):
        info(path)
    for place in (envelope.HEADER_BYTES + 5, len(whole) // 2, len(whole) - 1):
        Path(path).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(envelope.EnvelopeBroken, match="was changed or cut off"):
            opened(control_plane, path, keys.private)
    at = whole.index(b'"revision": ') + len(b'"revision": ')
    Path(path).write_bytes(whole[:at] + (b"8" if whole[at : at + 1] != b"8" else b"9") + whole[at + 1 :])
    with pytest.raises(envelope.EnvelopeBroken, match="found a header that was changed"):
        opened(control_plane, path, keys.private)
    assert not (control_plane.folder / "opened.db").exists()


def running(code: str, options: dict[str, Any], **more: Any) -> subprocess.Popen[str]:
    """Another process, which can be killed or measured."""
    collection = "ansible_collections.kubeadm.ha.plugins"
    return subprocess.Popen(
        [sys.executable, "-c", f"import json, sys\noptions = json.loads(sys.argv[1])\n{code}", json.dumps(options)],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".collections"), "COLLECTION": collection},
        text=True,
        **more,
    )


STREAM = """
import os
from ansible_collections.kubeadm.ha.plugins.module_utils import envelope, etcd, etcd_stream
from ansible_collections.kubeadm.ha.plugins.module_utils.files import replacing
context = etcd.client_context(options["ca_file"], options["cert_file"], options["key_file"])
source = etcd_stream.choose(options["endpoints"], context, 5.0)
with replacing(options["dest"]) as file:
    writer = envelope.Writer(file, envelope.new_key())
    for number, blob in enumerate(etcd_stream.blobs(source, context, 5.0)):
        writer.write(blob)
        if number == 40:
            file.flush()
            print("half", flush=True)
            sys.stdin.read()
"""


def client(host: ControlPlane, **more: Any) -> dict[str, Any]:
    files = host.etcd.folder
    return {
        "endpoints": [one.client_url for one in host.etcd.processes.values()],
        "ca_file": f"{files}/ca.crt",
        "cert_file": f"{files}/member.crt",
        "key_file": f"{files}/member.key",
        "quorum": True,
        "timeout_seconds": 5,
        **more,
    }


def test_killed_in_the_middle_it_leaves_ciphertext_that_the_next_run_clears(control_plane: ControlPlane) -> None:
    for number in range(60):
        control_plane.put(f"/registry/secrets/default/{number}", CANARY.encode() * 2000)
    keys = made(control_plane.folder)
    dest = control_plane.options(keys.public)["dest"]
    os.makedirs(os.path.dirname(dest))
    process = running(STREAM, client(control_plane, dest=dest), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    with pytest.raises(Refusal, match="found another run that writes it, wanted one at a time. Let it end."):
        take(control_plane, keys.public)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = os.listdir(os.path.dirname(dest))
    content = (Path(dest).parent / left).read_bytes()
    assert len(content) > 1 << 20
    assert CANARY.encode() not in content
    take(control_plane, keys.public)
    assert os.listdir(os.path.dirname(dest)) == [os.path.basename(dest)]


def test_memory_does_not_grow_with_the_database(control_plane: ControlPlane) -> None:
    megabytes = 64
    for number in range(megabytes):
        control_plane.put(f"/registry/large/{number}", os.urandom(1 << 20))
    code = """
import os, resource
from ansible_collections.kubeadm.ha.plugins.modules import etcd_snapshot
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
etcd_snapshot.take(options, check_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    dest = str(control_plane.folder / "large.db")
    process = running(code, client(control_plane, dest=dest), stdout=subprocess.PIPE)
    grown, _nothing = process.communicate(timeout=120)
    assert os.path.getsize(dest) > megabytes << 20
    assert int(grown) < 40 << 10  # KiB


def test_there_is_room_or_nothing_is_begun(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = made(control_plane.folder)

    class Full:
        f_bavail, f_frsize = 70 << 8, 4096  # 70 MiB: enough for the database alone

    monkeypatch.setattr(os, "statvfs", lambda _path: Full)
    take(control_plane, keys.public)
    Full.f_bavail = 60 << 8
    for check_mode in (True, False):
        with pytest.raises(Refusal, match=r"free space at .*: found 60 MiB, wanted \d+ MiB: a database of "):
            cluster_snapshot.take(control_plane.options(keys.public), check_mode=check_mode)


def test_one_member_alone_gives_a_snapshot_only_if_asked(control_plane: ControlPlane) -> None:
    keys = made(control_plane.folder)
    written = etcd_snapshot.read(
        plain.take(client(control_plane, dest=f"{control_plane.folder}/a.db"), check_mode=False)["path"]
    )
    for name in ("m0", "m1"):
        control_plane.etcd.processes[name].kill()
    with pytest.raises(etcd.RequestFailed, match="found no member that reads with a quorum"):
        take(control_plane, keys.public)
    options = client(control_plane, dest=f"{control_plane.folder}/b.db", quorum=False)
    alone = plain.take(options, check_mode=False)
    assert (alone["quorum"], alone["revision"]) == (False, written.revision)
    assert etcd_snapshot.verify(alone["path"], cluster_id=control_plane.cluster_id, keys=[SECRET])[1] == []


def test_source_that_ends_early_is_told(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when etcd is stopped while it sends."""
    whole = etcd.stream

    def cut(*arguments: Any) -> Any:
        yield from list(whole(*arguments))[:-1]

    monkeypatch.setattr(etcd_stream.etcd, "stream", cut)
    keys = made(control_plane.folder)
    with pytest.raises(etcd.RequestFailed, match=r"found a snapshot that ends after \d+ bytes, wanted \d+ bytes"):
        take(control_plane, keys.public)
    assert os.listdir(control_plane.folder / "spool") == []


def test_other_host_than_a_control_plane_and_etcd_of_another_cluster_are_refused(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = made(control_plane.folder)
    other = certificates.authority("kubernetes")
    control_plane.put(
        "/registry/configmaps/kube-system/extension-apiserver-authentication",
        bolt_files.config_map({"client-ca-file": other.pem}),
    )
    with pytest.raises(Refusal, match=f"cluster id: found .*, wanted {control_plane.cluster_id}. It is another clust"):
        take(control_plane, keys.public)
    monkeypatch.setattr(evidence, "POD_MANIFESTS", ("/nowhere.yaml",))
    with pytest.raises(Refusal, match="/nowhere.yaml: found none, wanted that of an API server. Run this on a control"):
        take(control_plane, keys.public)


def test_with_external_etcd_the_clients_files_and_what_encrypts_secrets_come_along(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CA's key is not on a control plane then, and Secrets may be encrypted by a key that is on it alone."""
    keys = made(control_plane.folder)
    encryption = control_plane.folder / "encryption.yaml"
    encryption.write_text("kind: EncryptionConfiguration\n")
    encryption.chmod(0o600)
    manifest = Path(evidence.POD_MANIFESTS[0])
    manifest.write_text(f"{manifest.read_text()}    - --encryption-provider-config={encryption}\n")
    monkeypatch.setattr(evidence, "ETCD_MANIFEST", "/nowhere/etcd.yaml")
    (control_plane.folder / "pki" / "front-proxy-ca.key").unlink()
    result = take(control_plane, keys.public)
    own, folder = control_plane.etcd.folder, control_plane.folder / "pki"
    client_files = {f"{own}/ca.crt", f"{own}/member.crt", f"{own}/member.key"}
    common = {f"{folder}/{name}" for name in ("ca.crt", "ca.key", "front-proxy-ca.crt", "sa.key", "sa.pub")}
    assert set(result["header"]["files"]) == client_files | common | {str(encryption)}
    assert result["missing"] == [f"{folder}/front-proxy-ca.key"]
    opened(control_plane, result["path"], keys.private, files_dest=f"{control_plane.folder}/files")
    copy = Path(f"{control_plane.folder}/files{encryption}")
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("kind: EncryptionConfiguration\n", 0o600)
