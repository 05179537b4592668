# SPDX-License-Identifier: GPL-3.0-or-later
"""What a data directory tells, from logs written here as etcd frames them; tests/etcd reads those of a real etcd."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_data

CLUSTER, MEMBER = 2**63 + 11, 2**64 - 3
FIRST = "0000000000000000-0000000000000000.wal"


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def message(**fields: int | bytes) -> bytes:
    """A protocol buffer: fields by ``fNUMBER``."""
    out = b""
    for name, value in fields.items():
        number = int(name[1:])
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            out += varint(number << 3) + varint(value)
    return out


def frame(kind: int, data: bytes) -> bytes:
    """A record, padded to 8 bytes."""
    record = message(f1=kind, f2=0xDEADBEEF, f3=data)
    padding = -len(record) % 8
    length = len(record) | ((0x80 | padding) << 56 if padding else 0)
    return struct.pack("<Q", length) + record + bytes(padding)


def entry(term: int, index: int, kind: int = 0, data: bytes = b"") -> bytes:
    return frame(2, message(f1=kind, f2=term, f3=index, f4=data))


def born_with(name: str, number: int) -> bytes:
    """The entry by which a member of a first start is written down."""
    context = json.dumps({"id": number, "peerURLs": [f"https://10.0.0.{number}:2380"], "name": name}).encode()
    return entry(1, number, 1, message(f1=0, f2=0, f3=number, f4=context))


HEAD = frame(4, b"") + frame(1, message(f1=MEMBER, f2=CLUSTER)) + frame(5, message(f1=0, f2=0))
BORN = born_with("etcd1", 1) + born_with("etcd2", 2) + frame(3, message(f1=5, f2=0, f3=2))
ZEROS = bytes(4096)


def write(folder: Path, *segments: bytes, first: int = 0) -> Path:
    wal = folder / "member" / "wal"
    wal.mkdir(parents=True)
    for number, content in enumerate(segments, start=first):
        (wal / f"{number:016x}-{number * 1000:016x}.wal").write_bytes(content)
    (wal / "0.tmp").write_bytes(ZEROS)
    return folder


def test_look_at_no_data_is_none(tmp_path: Path) -> None:
    assert etcd_data.look(str(tmp_path)) is None
    assert etcd_data.look(str(tmp_path / "missing")) is None


def test_look_at_a_member_that_waits_for_its_first_start_names_those_it_waits_for(tmp_path: Path) -> None:
    assert etcd_data.look(str(write(tmp_path, HEAD + BORN + ZEROS))) == {
        "cluster_id": str(CLUSTER),
        "member_id": str(MEMBER),
        "formed": False,
        "initial_cluster": "etcd1=https://10.0.0.1:2380,etcd2=https://10.0.0.2:2380",
    }


def test_look_at_what_a_leader_has_proposed_is_of_a_cluster_that_was_formed(tmp_path: Path) -> None:
    found = etcd_data.look(str(write(tmp_path, HEAD + BORN + entry(2, 3) + ZEROS)))
    assert found is not None
    assert found["formed"]
    assert found["cluster_id"] == str(CLUSTER)


def test_look_at_a_log_whose_beginning_was_given_up_is_of_a_cluster_that_was_formed(tmp_path: Path) -> None:
    found = etcd_data.look(str(write(tmp_path, HEAD, first=7)))
    assert found is not None
    assert found["formed"]


def test_look_at_a_member_that_was_killed_before_it_wrote_anything(tmp_path: Path) -> None:
    found = etcd_data.look(str(write(tmp_path)))
    assert found == {"cluster_id": "", "member_id": "", "formed": False, "initial_cluster": ""}


@pytest.mark.parametrize("content", [b"", ZEROS, b"not a log at all", HEAD[:20]], ids=["empty", "zeros", "text", "cut"])
def test_look_at_a_log_that_nobody_can_read_is_of_a_formed_cluster(tmp_path: Path, content: bytes) -> None:
    found = etcd_data.look(str(write(tmp_path, content)))
    assert found is not None
    assert found["formed"]


def test_look_at_data_without_a_log_is_taken_for_data_of_a_formed_cluster(tmp_path: Path) -> None:
    (tmp_path / "member" / "snap").mkdir(parents=True)
    found = etcd_data.look(str(tmp_path))
    assert found is not None
    assert found["formed"]


@given(st.integers(0, len(HEAD + BORN) - 1))
def test_look_at_a_log_cut_anywhere_never_fails(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    found = etcd_data.look(str(write(tmp_path_factory.mktemp("cut"), (HEAD + BORN)[:length] + ZEROS)))
    assert found is not None
    assert not found["formed"] or not found["cluster_id"], "what no leader wrote is of no formed cluster"


@given(st.binary(max_size=200))
def test_look_at_anything_never_fails(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    found: Any = etcd_data.look(str(write(tmp_path_factory.mktemp("any"), content)))
    assert set(found) == {"cluster_id", "member_id", "formed", "initial_cluster"}


def change_of(number: int, term: int, index: int) -> bytes:
    """The entry by which a leader adds, promotes or removes a member."""
    return entry(term, index, 1, message(f1=0, f2=0, f3=number, f4=b"{}"))


OWN = change_of(MEMBER, 1, 1) + entry(2, 2)


@pytest.mark.parametrize(
    ("segments", "first", "alone"),
    [
        ([HEAD + OWN + ZEROS], 0, True),
        ([HEAD + ZEROS], 0, True),
        ([HEAD + OWN, HEAD + entry(2, 3) + ZEROS], 0, True),
        ([HEAD + OWN + change_of(7, 2, 3) + ZEROS], 0, False),
        ([HEAD + OWN, HEAD + entry(2, 3) + change_of(7, 3, 4) + ZEROS], 0, False),
        ([HEAD + BORN + ZEROS], 0, False),
        ([HEAD + OWN + ZEROS], 7, False),
        ([], 0, False),
        ([b"not a log at all"], 0, False),
    ],
    ids=[
        "alone",
        "nothing yet",
        "two segments",
        "another",
        "another later",
        "with others",
        "cut",
        "none",
        "unreadable",
    ],
)
def test_began_alone_is_a_log_from_its_beginning_that_knows_of_no_other(
    tmp_path: Path, segments: list[bytes], first: int, alone: bool
) -> None:
    assert etcd_data.began_alone(str(write(tmp_path, *segments, first=first))) is alone
