# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of a member of etcd's tell of its cluster while no etcd answers for it.

The write-ahead log names the cluster and the member in its head, and then holds what was proposed. A member that is
started with others for the first time writes them down as entries of term 1. What a leader has proposed is of a later
term, and a leader has been elected by a quorum: such a log belongs to a cluster that was formed.

Source: etcd's server/storage/wal (frames and records) and raft's raftpb/raft.proto, alike from 3.2 to 3.6.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from .protobuf import MalformedMessage, message

# Types of records.
_METADATA, _ENTRY = 1, 2
_CONFIGURATION_CHANGE = 1
# How much of a log is searched for another member; one that came later is not found.
_SEARCHED = 32 * 1024 * 1024
_SEGMENT = re.compile(r"^([0-9a-f]{16})-[0-9a-f]{16}\.wal$")
# A frame's length takes 56 bits; what is longer than a request may be was never written by etcd.
_LENGTH = (1 << 56) - 1
_LONGEST = 64 * 1024 * 1024

# Where a restore keeps the former member's data until it is done; see ``etcd_restoring``.
WORK = "kubeadm.ha-restore"


class MalformedLog(ValueError):
    """Not a write-ahead log: no metadata in its head."""


def look(folder: str) -> dict[str, Any] | None:
    """What the data directory shows.

    Returns:
        None where no member has left data. ``cluster_id`` and ``member_id`` in decimal, empty where nobody can tell.
        ``formed``: a leader was elected while this member took part, or nobody can tell. ``initial_cluster``: the
        members of the first start, ``name=url`` with commas between, sorted; empty where the log shows none.
    """
    if not os.path.isdir(os.path.join(folder, "member")):
        # Between two steps of a restore, the former member's data lies there.
        aside = os.path.join(folder, WORK)
        return look(aside) if os.path.isdir(os.path.join(aside, "member")) else None
    unknown = {"cluster_id": "", "member_id": "", "formed": True, "initial_cluster": ""}
    wal = os.path.join(folder, "member", "wal")
    try:
        segments = sorted(name for name in os.listdir(wal) if _SEGMENT.match(name))
        if not segments:
            return {**unknown, "formed": False}  # killed before it wrote anything
        with open(os.path.join(wal, segments[0]), "rb") as file:
            found = read(file)
    except (OSError, MalformedLog, MalformedMessage):
        return unknown
    # The first segment is given up once a snapshot holds what it said.
    first = int(_SEGMENT.sub(r"\1", segments[0]), 16)
    return {**found, "formed": found["formed"] or first > 0 or len(segments) > 1}


def has_log(folder: str) -> bool:
    """Whether there is anything of a write-ahead log: without one, etcd has never heard of what its snapshots hold.

    One that finds its data gone, and cannot join the others with nothing, leaves an empty backend alone.
    """
    wal = os.path.join(folder, "member", "wal")
    return os.path.isdir(wal) and any(map(_SEGMENT.match, os.listdir(wal)))


def began_alone(folder: str) -> bool:
    """Whether this data was begun here, by a member that has never heard of another one.

    An etcd that was told to form a cluster of its own, as the first one of every cluster of kubeadm's, does so again
    when it finds its data gone, under the ids that it had before. A leader that knows how far it was ends it as soon as
    it speaks to it; beside any other it may serve what the others never agreed on.
    """
    wal = os.path.join(folder, "member", "wal")
    try:
        segments = sorted(name for name in os.listdir(wal) if _SEGMENT.match(name))
        if not segments or int(_SEGMENT.sub(r"\1", segments[0]), 16):
            return False
        searched = own = 0
        for segment in segments:
            with open(os.path.join(wal, segment), "rb") as file:
                for record in _records(file):
                    data = record.get(3, b"")
                    searched += len(data)
                    if record.get(1) == _METADATA:
                        own = message(data).get(1, 0)
                    if searched > _SEARCHED or (record.get(1) == _ENTRY and _is_of_another(message(data), own)):
                        return False
    except (OSError, MalformedMessage):
        return False
    return own != 0


def _is_of_another(entry: dict[int, Any], own: int) -> bool:
    """Whether this entry is a change of another member than this one."""
    return entry.get(1) == _CONFIGURATION_CHANGE and bool(message(entry.get(4, b"")).get(3, 0) != own)


def read(file: BinaryIO) -> dict[str, Any]:
    """The oldest segment of a write-ahead log, up to the first entry that a leader has proposed; see ``look``.

    Raises:
        MalformedLog: no metadata in its head.
    """
    metadata: dict[int, Any] | None = None
    members: dict[str, str] = {}
    formed = False
    for record in _records(file):
        data = record.get(3, b"")
        if record.get(1) == _METADATA:
            metadata = message(data)
        elif record.get(1) == _ENTRY:
            entry = message(data)
            if entry.get(2, 0) > 1:
                formed = True
                break
            if entry.get(1) == _CONFIGURATION_CHANGE:
                members.update(_member(message(entry.get(4, b""))))
    if metadata is None:
        raise MalformedLog("no metadata")
    return {
        "cluster_id": str(metadata.get(2, 0)),
        "member_id": str(metadata.get(1, 0)),
        "formed": formed,
        "initial_cluster": ",".join(f"{name}={url}" for name, url in sorted(members.items())),
    }


def _member(change: dict[int, Any]) -> dict[str, str]:
    try:
        member = json.loads(change.get(4, b""))
        return {member["name"]: ",".join(member["peerURLs"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _records(file: BinaryIO) -> Iterator[dict[int, Any]]:
    """Records until the log ends: in zeros that were allocated, or in one that is cut short."""
    while len(head := file.read(8)) == 8:
        (word,) = struct.unpack("<Q", head)
        length = word & _LENGTH
        padding = (word >> 56) & 0x7 if word >> 63 else 0
        if not 0 < length <= _LONGEST:
            return
        body = file.read(length + padding)
        if len(body) < length + padding:
            return
        try:
            yield message(body[:length])
        except MalformedMessage:
            return
