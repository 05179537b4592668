# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of real etcd: taken, read, and told from others."""

from __future__ import annotations

import base64
import os
import random
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from conftest import Kind, LocalEtcd

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, etcd_snapshot
from ansible_collections.kubeadm.ha.plugins.modules import etcd_snapshot as module

# Debian's releases carry 3.4 and 3.5.
VERSIONS = pytest.mark.parametrize("local_etcd", [Kind("bookworm"), Kind("trixie")], indirect=True, ids=["3.4", "3.5"])


def call(etcd_processes: LocalEtcd, method: str, **body: Any) -> Any:
    for name in ("key", "value", "range_end"):
        if name in body:
            body[name] = base64.b64encode(body[name].encode()).decode()
    return etcd.call(etcd_processes.processes["m0"].client_url, etcd_processes.context, method, 10.0, body)


def options(etcd_processes: LocalEtcd, dest: Path, **more: Any) -> dict[str, Any]:
    folder = etcd_processes.folder
    return {
        "endpoints": [one.client_url for one in etcd_processes.processes.values()],
        "ca_file": f"{folder}/ca.crt",
        "cert_file": f"{folder}/member.crt",
        "key_file": f"{folder}/member.key",
        "dest": str(dest),
        "quorum": True,
        "timeout_seconds": 5,
        **more,
    }


def fill(
    etcd_processes: LocalEtcd, count: int, seed: int, before: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Write and delete, and return the keys that are left with their values: some of several pages, most small."""
    chance = random.Random(seed)
    left = dict(before)
    for number in range(count):
        key = f"/registry/{chance.choice('abc')}/{chance.randrange(count // 2)}"
        if chance.random() < 0.2:
            call(etcd_processes, "/kv/deleterange", key=key)
            left.pop(key, None)
        else:
            left[key] = f"{number} " + "x" * (
                chance.randrange(20_000) if chance.random() < 0.05 else chance.randrange(200)
            )
            call(etcd_processes, "/kv/put", key=key, value=left[key])
    return left


@VERSIONS
def test_snapshot_says_what_etcd_says(local_etcd: LocalEtcd, tmp_path: Path) -> None:
    local_etcd.begin(3)
    left = fill(local_etcd, 600, seed=1)
    compacted = call(local_etcd, "/kv/range", key="test")["header"]["revision"]
    call(local_etcd, "/kv/compaction", revision=compacted, physical=True)
    left = fill(local_etcd, 100, seed=2, before=left)
    said = call(local_etcd, "/kv/range", key="/registry/", range_end="/registry0", count_only=True)
    members = call(local_etcd, "/cluster/member/list")["members"]

    result = module.take(options(local_etcd, tmp_path / "one.db"), check_mode=False)

    found = etcd_snapshot.read(result["path"], keys=[*left, "/registry/nowhere"])
    assert {key: value.decode() for key, value in found.values.items()} == left
    assert (result["revision"], found.revision) == (int(said["header"]["revision"]),) * 2
    assert found.compacted_revision == int(compacted)
    assert found.keys == result["keys"] == len(left) + 1 == int(said["count"]) + 1  # and "test"
    assert found.digest == found.sha256 == result["sha256"]
    assert {one.id for one in found.members} == {one["ID"] for one in members}
    assert {one.peer_urls for one in found.members} == {tuple(one["peerURLs"]) for one in members}
    assert found.cluster_version.startswith("3.")
    assert found.consistent_index > 0
    assert etcd_snapshot.verify(result["path"], least_revision=found.revision, keys=left)[1] == []
    assert stat.S_IMODE(os.stat(result["path"]).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["one.db"]


@VERSIONS
def test_database_of_a_member_that_is_off_says_the_same(local_etcd: LocalEtcd, tmp_path: Path) -> None:
    local_etcd.begin(1)
    fill(local_etcd, 200, seed=3)
    taken = etcd_snapshot.read(module.take(options(local_etcd, tmp_path / "one.db"), check_mode=False)["path"])
    local_etcd.processes["m0"].kill()
    left = etcd_snapshot.read(str(local_etcd.processes["m0"].data / "member/snap/db"))
    assert left.digest == ""
    assert (left.keys, left.revision, left.members) == (taken.keys, taken.revision, taken.members)


def test_older_damaged_cut_and_other_clusters_are_told_apart(local_etcd: LocalEtcd, tmp_path: Path) -> None:
    local_etcd.begin(1)
    fill(local_etcd, 100, seed=4)
    older = module.take(options(local_etcd, tmp_path / "older.db"), check_mode=False)
    call(local_etcd, "/kv/put", key="/registry/later", value="x")
    newer = module.take(options(local_etcd, tmp_path / "newer.db"), check_mode=False)

    def said(path: str, **wanted: Any) -> str:
        return "\n".join(map(str, etcd_snapshot.verify(path, host="cp1", **wanted)[1]))

    assert said(newer["path"], least_revision=newer["revision"], keys=["/registry/later"]) == ""
    assert f"revision: found {older['revision']}, wanted {newer['revision']} or later. It is older." in said(
        older["path"], least_revision=newer["revision"]
    )
    assert "key /registry/later: found none, wanted one." in said(older["path"], keys=["/registry/later"])
    assert "kube-system's uid: found none, wanted some. It does not say whose" in said(
        newer["path"], kube_system_uid="some"
    )
    whole = Path(newer["path"]).read_bytes()
    chance = random.Random(5)
    for _time in range(20):
        place = chance.randrange(len(whole))
        Path(newer["path"]).write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :]
        )
        assert "as it says of itself. It is damaged." in said(newer["path"])
        Path(newer["path"]).write_bytes(whole[:place])
        assert "Take another snapshot." in said(newer["path"])
        # Without a digest only what the pages tell is noticed; whatever it is, it is told and no crash.
        bare = bytearray(whole[:-32])
        bare[place % len(bare)] ^= 0xFF
        Path(newer["path"]).write_bytes(bare)
        said(newer["path"])
