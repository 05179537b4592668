# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot says and what stands against it, on files written here; tests/etcd has real etcd's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_snapshot, identity, x509
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_snapshot import UnusableSnapshot
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import bolt_files, certificates

UID = "0a6de3b4-94cf-4a1d-b1c2-4f3c54d1a7f0"
CA = certificates.authority("kubernetes")
ID = identity.cluster_id(x509.parse(CA.pem).public_key_hash)
WHOSE: list[tuple[str, bytes | None]] = [
    ("/registry/namespaces/kube-system", bolt_files.namespace("kube-system", UID)),
    (
        "/registry/configmaps/kube-system/extension-apiserver-authentication",
        bolt_files.config_map({"client-ca-file": CA.pem, "requestheader-client-ca-file": "another"}),
    ),
]
MEMBERS = [
    {"id": 2**63 + 5, "peerURLs": ["https://10.0.0.2:2380"], "name": "cp2", "clientURLs": ["https://10.0.0.2:2379"]},
    {"id": 7, "peerURLs": ["https://10.0.0.1:2380"], "name": "cp1", "isLearner": True},
]


def written(folder: Path, changes: Any = (), *, digest: bool = True, **more: Any) -> str:
    data = bolt_files.etcd_database([*WHOSE, *changes], members=MEMBERS, **more)
    path = folder / "etcd.db"
    path.write_bytes(bolt_files.with_digest(data) if digest else data)
    return str(path)


def said(path: str, **wanted: Any) -> str:
    return "\n".join(map(str, etcd_snapshot.verify(path, host="cp1", **wanted)[1]))


def test_says_whose_it_is_and_what_is_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, [("/a", b"1"), ("/b", b"2"), ("/a", None), ("/b", b"3")])
    found = etcd_snapshot.read(path, keys=["/a", "/b", "/c"])
    assert (found.cluster_id, found.kube_system_uid) == (ID, UID)
    assert (found.revision, found.compacted_revision, found.keys, found.revisions) == (7, 0, 3, 6)
    assert found.values == {"/b": b"3"}
    assert [(one.name, one.id, one.learner) for one in found.members] == [
        ("cp1", "7", True),
        ("cp2", str(2**63 + 5), False),
    ]
    assert (found.digest, found.cluster_version, found.consistent_index) == (found.sha256, "3.4.0", 11)
    json.dumps(found.as_dict())  # goes through a module's result
    assert "values" not in found.as_dict()
    wanted = {"cluster_id": ID, "kube_system_uid": UID, "least_revision": 7, "keys": ["/b"]}
    assert said(path, **wanted) == ""


def test_database_without_a_digest_is_taken_at_its_pages_word(tmp_path: Path) -> None:
    found = etcd_snapshot.read(written(tmp_path, digest=False))
    assert (found.digest, len(found.sha256), found.keys) == ("", 64, 2)


def test_objects_stored_as_json_and_encrypted_ones(tmp_path: Path) -> None:
    changes = [
        ("/x/namespaces/kube-system", json.dumps({"metadata": {"uid": UID}}).encode()),
        ("/x/configmaps/kube-system/extension-apiserver-authentication", b"k8s:enc:aescbc:v1:key:\x00\xff"),
    ]
    found = etcd_snapshot.read(written(tmp_path, changes), prefix="/x/")
    assert (found.kube_system_uid, found.cluster_id) == (UID, "")


def test_revision_is_at_least_the_compacted_one(tmp_path: Path) -> None:
    """All changes up to there may have been deletions, of which nothing is left."""
    found = etcd_snapshot.read(written(tmp_path, compacted=90))
    assert (found.revision, found.compacted_revision) == (90, 90)


def test_each_reason_is_told_by_itself(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert said(path, cluster_id="0123456789ab") == (
        f"cp1: {path}: cluster id: found {ID}, wanted 0123456789ab. It is another cluster's. Give this one's."
    )
    assert said(path, kube_system_uid="other") == (
        f"cp1: {path}: kube-system's uid: found {UID}, wanted other. It is another cluster's. Give this one's."
    )
    assert said(path, least_revision=9).startswith(f"cp1: {path}: revision: found 3, wanted 9 or later. It is older.")
    assert said(path, keys=["/z"]).startswith(f"cp1: {path}: key /z: found none, wanted one. It is of another")
    assert len(said(path, cluster_id="x", kube_system_uid="y", least_revision=9, keys=["/z"]).splitlines()) == 4
    missing = "found no file to be read (No such file or directory), wanted one. Correct the path."
    assert said(f"{tmp_path}/none") == f"cp1: {tmp_path}/none: {missing}"
    assert "found no file to be read (Is a directory)" in said(str(tmp_path))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_flipped_bit_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = Path(written(tmp_path))
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    assert "It is damaged. Take another snapshot." in said(str(path))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_cut_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = Path(written(tmp_path))
    whole = path.read_bytes()
    # Without its digest alone it is a database.
    length = data.draw(st.integers(0, len(whole) - 1).filter(lambda length: length != len(whole) - 32))
    path.write_bytes(whole[:length])
    assert "Take another snapshot." in said(str(path))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_database_without_a_digest_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    path = Path(written(tmp_path, digest=False))
    whole = bytearray(path.read_bytes())
    for _flip in range(3):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    etcd_snapshot.verify(str(path))


@pytest.mark.parametrize("content", [b"", b"not a snapshot", bytes(8192)])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UnusableSnapshot, match="wanted a whole database of etcd's. It is cut short,"):
        etcd_snapshot.read(str(path))


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bolt_files.Writer().write({b"io": {b"containerd": b"1"}}))
    with pytest.raises(UnusableSnapshot, match="found no bucket of keys in it, wanted a database of etcd's."):
        etcd_snapshot.read(str(path))


changes = st.lists(
    st.tuples(st.sampled_from([f"/registry/{name}" for name in "abcdef"]), st.none() | st.binary(max_size=5000)),
    max_size=40,
)


@given(changes)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keys_are_those_that_a_replay_leaves(tmp_path: Path, made: list[tuple[str, bytes | None]]) -> None:
    left = dict(WHOSE)
    for key, value in made:
        left[key] = value
    left = {key: value for key, value in left.items() if value is not None}
    found = etcd_snapshot.read(written(tmp_path, made), keys=[key for key, _value in made])
    assert found.keys == len(left)
    assert found.values == {key: left[key] for key, _value in made if key in left}
    assert found.revision == 1 + len(WHOSE) + len(made)
