# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot of etcd says of itself, and what stands against using it.

A snapshot is etcd's database as of one transaction, and behind it the SHA-256 of that. A database is made of pages,
whose size is a multiple of 512 bytes, so the length of a file tells whether the digest is there; a database that was
copied out of a data directory has none, and is judged by its pages alone.

Sources: Snapshot in etcd's server/etcdserver/api/v3rpc/maintenance.go; hasChecksum in etcdutl/snapshot/v3_snapshot.go;
server/storage/schema (buckets and their keys), server/storage/mvcc/revision.go and kvstore.go (restore), alike from 3.2
to 3.6. Kubernetes' objects: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/protobuf and api/core/v1.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from . import identity, x509
from .bolt import Database, MalformedDatabase, ReadAt
from .problems import Problem
from .protobuf import MalformedMessage, fields, varint

DIGEST_BYTES = 32
PREFIX = "/registry"
ANOTHER = "Take another snapshot."

_WHOLE = "a whole database of etcd's"
_DAMAGED = f"It is cut short, damaged, or something else. {ANOTHER}"
_PAGE_MULTIPLE = 512
_PIECE_BYTES = 1 << 20
_KEY, _META, _MEMBERS, _CLUSTER = (b"key",), (b"meta",), (b"members",), (b"cluster",)
# A revision: its number, an underscore and the number of the change in it; behind it, where a key was deleted, a "t".
_REVISION_BYTES, _TOMBSTONE = 17, b"t"
_KUBERNETES = b"k8s\0"


class UnusableSnapshot(ValueError):
    """It cannot be read as a snapshot of etcd.

    Attributes:
        problem: why, with no host in it.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem).removeprefix(": "))


@dataclass(frozen=True)
class Member:
    """A member as the snapshot lists it; its id is a decimal string, as elsewhere."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot says of itself.

    Attributes:
        path: the file.
        size_bytes: of the whole file, the digest included.
        sha256: of the database, in hex.
        digest: what the file itself says of that; empty where it does not.
        revision: the cluster's last change in it.
        compacted_revision: the oldest change that can still be told; 0 where none was ever taken back.
        keys: how many there are.
        revisions: how many changes are kept, deletions included.
        members: of the cluster that it was taken from.
        consistent_index: how far it knows raft's log.
        cluster_version: etcd's, as the cluster agreed upon; empty where it does not say.
        cluster_id: of the Kubernetes cluster; empty where no CA is found in it.
        kube_system_uid: of Kubernetes' namespace kube-system; empty where there is none, or it is encrypted.
        values: of the keys that were asked for and are there, as they are stored.
    """

    path: str
    size_bytes: int
    sha256: str
    digest: str
    revision: int
    compacted_revision: int
    keys: int
    revisions: int
    members: tuple[Member, ...]
    consistent_index: int
    cluster_version: str
    cluster_id: str
    kube_system_uid: str
    values: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """For a module's result: all but the values."""
        found = {name: value for name, value in asdict(self).items() if name != "values"}
        members = [
            {**asdict(one), "peer_urls": [*one.peer_urls], "client_urls": [*one.client_urls]} for one in self.members
        ]
        return {**found, "members": members}


def has_digest(size: int) -> bool:
    """Whether a file of so many bytes ends with its digest."""
    return size % _PAGE_MULTIPLE == DIGEST_BYTES


def read(path: str, *, prefix: str = PREFIX, keys: Collection[str] = ()) -> Snapshot:
    """Read a snapshot, or the database in a data directory whose etcd does not run.

    Args:
        path: the file.
        prefix: below which API servers keep their keys.
        keys: of which the values are wanted.

    Raises:
        UnusableSnapshot: no file, not a whole one, one whose digest is another, or nothing that etcd has written.
    """
    try:
        with open(path, "rb") as file:
            descriptor = file.fileno()
            size = os.fstat(descriptor).st_size
            return read_from(lambda offset, length: os.pread(descriptor, length, offset), size, path, prefix, keys)
    except OSError as error:
        raise _unusable(path, f"no file to be read ({error.strerror})", "one", "Correct the path.") from error


def read_from(read_at: ReadAt, size: int, path: str, prefix: str = PREFIX, keys: Collection[str] = ()) -> Snapshot:
    """The same of what is not a file in clear.

    Args:
        read_at: offset and length to so many bytes.
        size: in bytes.
        path: for messages.
        prefix: as for ``read``.
        keys: likewise.

    Raises:
        UnusableSnapshot: see ``read``.
    """
    if size % _PAGE_MULTIPLE not in (0, DIGEST_BYTES):
        raise _unusable(path, f"{size} bytes", _WHOLE, _DAMAGED)
    database_bytes = size - DIGEST_BYTES if has_digest(size) else size
    digest = read_at(database_bytes, DIGEST_BYTES).hex() if has_digest(size) else ""
    found = hashlib.sha256()
    for offset in range(0, database_bytes, _PIECE_BYTES):
        found.update(read_at(offset, min(_PIECE_BYTES, database_bytes - offset)))
    sha256 = found.hexdigest()
    if digest not in ("", sha256):
        raise _unusable(path, f"sha256 {sha256}", f"{digest}, as it says of itself", f"It is damaged. {ANOTHER}")
    wanted = {f"{prefix.rstrip('/')}{name}": name for name in _OWN_KEYS}
    contents = _Contents({key.encode() for key in (*wanted, *keys)})
    try:
        for bucket, key, value in Database(read_at, database_bytes).sweep():
            contents.take(bucket, key, value)
    except (MalformedDatabase, MalformedMessage, ValueError, struct.error) as error:
        raise _unusable(path, str(error), _WHOLE, _DAMAGED) from error
    if not contents.is_etcd:
        raise _unusable(path, "no bucket of keys in it", "a database of etcd's", "Correct the path.")
    own = {name: contents.values.get(key.encode(), b"") for key, name in wanted.items()}
    return Snapshot(
        path=path,
        size_bytes=size,
        sha256=sha256,
        digest=digest,
        revision=max(contents.revision, contents.compacted),
        compacted_revision=contents.compacted,
        keys=len(contents.alive),
        revisions=contents.revisions,
        members=tuple(sorted(contents.members, key=lambda member: (member.name, member.id))),
        consistent_index=contents.consistent_index,
        cluster_version=contents.cluster_version,
        cluster_id=_cluster_id(own[_CLIENT_CA]),
        kube_system_uid=_uid(own[_KUBE_SYSTEM]),
        values={key: contents.values[key.encode()] for key in keys if key.encode() in contents.values},
    )


def verify(
    path: str,
    *,
    host: str = "",
    cluster_id: str = "",
    kube_system_uid: str = "",
    least_revision: int = 0,
    keys: Collection[str] = (),
    prefix: str = PREFIX,
) -> tuple[Snapshot | None, list[Problem]]:
    """What is in a snapshot, where it can be read, and what stands against using it.

    Args:
        path: the file.
        host: that has it, for messages.
        cluster_id: of the cluster that it must be of.
        kube_system_uid: likewise, by the namespace that is made anew with each cluster.
        least_revision: that it must know.
        keys: that must be in it.
        prefix: below which API servers keep their keys.
    """
    try:
        found = read(path, prefix=prefix, keys=keys)
    except UnusableSnapshot as error:
        return None, [dataclasses.replace(error.problem, host=host)]
    return found, judge(
        found,
        host=host,
        cluster_id=cluster_id,
        kube_system_uid=kube_system_uid,
        least_revision=least_revision,
        keys=keys,
    )


def judge(
    found: Snapshot,
    *,
    host: str = "",
    cluster_id: str = "",
    kube_system_uid: str = "",
    least_revision: int = 0,
    keys: Collection[str] = (),
) -> list[Problem]:
    """What stands against using a snapshot that has been read; see ``verify``."""
    problems = []
    of_other = "It is another cluster's. Give this one's."
    for subject, is_, wanted in (
        ("cluster id", found.cluster_id, cluster_id),
        ("kube-system's uid", found.kube_system_uid, kube_system_uid),
    ):
        if wanted and is_ != wanted:
            action = of_other if is_ else "It does not say whose it is, so it cannot be told from another cluster's."
            problems.append(Problem(host, f"{found.path}: {subject}", is_ or "none", wanted, action))
    if found.revision < least_revision:
        wanted = f"{least_revision} or later"
        action = "It is older. Give a newer one, or this revision if what came later may be lost."
        problems.append(Problem(host, f"{found.path}: revision", str(found.revision), wanted, action))
    for key in sorted(set(keys) - set(found.values)):
        action = f"It is of another cluster, or of an earlier time. {ANOTHER}"
        problems.append(Problem(host, f"{found.path}: key {key}", "none", "one", action))
    return problems


# Kubernetes' own objects by which it is known whose snapshot it is; in it their keys begin with the prefix.
_KUBE_SYSTEM = "/namespaces/kube-system"
_CLIENT_CA = "/configmaps/kube-system/extension-apiserver-authentication"
_OWN_KEYS = (_KUBE_SYSTEM, _CLIENT_CA)


class _Contents:
    """What a sweep over a database has shown so far."""

    def __init__(self, wanted: Collection[bytes]) -> None:
        self._wanted = frozenset(wanted)
        self.is_etcd = False
        self.values: dict[bytes, bytes] = {}
        # Hashes stand for keys, of which there may be a million.
        self.alive: set[int] = set()
        self.revisions = self.compacted = self.consistent_index = 0
        self.revision = 1  # as etcd begins
        self.members: list[Member] = []
        self.cluster_version = ""

    def take(self, bucket: tuple[bytes, ...], key: bytes, value: bytes) -> None:
        """
        Raises:
            ValueError: etcd would not have written that.
        """
        if bucket == _KEY:
            self.is_etcd = True
            self._take_change(key, value)
        elif bucket == _META:
            self.is_etcd = True
            if key == b"consistent_index":
                (self.consistent_index,) = struct.unpack(">Q", value)
            elif key in (b"finishedCompactRev", b"scheduledCompactRev"):
                self.compacted = max(self.compacted, _revision(value))
        elif bucket == _MEMBERS:
            self.members.append(_member(value))
        elif bucket == _CLUSTER and key == b"clusterVersion":
            self.cluster_version = value.decode("ascii", "replace")

    def _take_change(self, revision: bytes, value: bytes) -> None:
        self.revision = _revision(revision)  # they are in order
        self.revisions += 1
        # The key is the first field of mvccpb.KeyValue.
        if value[:1] != b"\x0a":
            raise ValueError("a change without a key")
        length, start = varint(value, 1)
        key = value[start : start + length]
        if revision[_REVISION_BYTES:] == _TOMBSTONE:
            self.alive.discard(hash(key))
            self.values.pop(key, None)
            return
        self.alive.add(hash(key))
        if key in self._wanted:
            self.values[key] = bytes(dict(fields(value)).get(5, b""))


def _revision(data: bytes) -> int:
    if len(data) not in (_REVISION_BYTES, _REVISION_BYTES + 1) or data[8:9] != b"_":
        raise ValueError("a revision that is none")
    return int.from_bytes(data[:8], "big")


def _member(value: bytes) -> Member:
    """
    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(value)
        return Member(
            id=str(found["id"]),
            name=found.get("name", ""),
            peer_urls=tuple(found.get("peerURLs") or ()),
            client_urls=tuple(found.get("clientURLs") or ()),
            learner=bool(found.get("isLearner", False)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("a member that is none") from error


def _uid(value: bytes) -> str:
    """``metadata.uid`` of a stored object: field 5 of field 1."""
    for metadata in _object(value, 1):
        if isinstance(metadata, dict):
            return str(metadata.get("uid", ""))
        for number, uid in _fields(metadata):
            if number == 5 and isinstance(uid, bytes):
                return uid.decode("ascii", "replace")
    return ""


def _cluster_id(value: bytes) -> str:
    """The id of the cluster whose API servers publish this CA for their clients."""
    try:
        return identity.cluster_id(x509.parse(config_map(value).get("client-ca-file", "")).public_key_hash)
    except x509.MalformedCertificate:
        return ""


def config_map(value: bytes) -> dict[str, str]:
    """The data of a ConfigMap as it is stored; empty where it is none, or encrypted."""
    found: dict[str, str] = {}
    for entry in _object(value, 2):
        if isinstance(entry, dict):
            return {str(name): str(text) for name, text in entry.items()}
        pair = dict(_fields(entry))
        if isinstance(pair.get(1), bytes):
            found[pair[1].decode("utf-8", "replace")] = bytes(pair.get(2, b"")).decode("utf-8", "replace")
    return found


def _object(value: bytes, number: int) -> Iterator[Any]:
    """A field of a stored object, each time that it is there: metadata is 1, and of a ConfigMap data is 2.

    API servers store a protocol buffer in an envelope, or where they are told so, JSON.
    """
    if value.startswith(b"{"):
        try:
            found = json.loads(value).get("metadata" if number == 1 else "data")
        except ValueError:
            return
        if isinstance(found, dict):
            yield found
    elif value.startswith(_KUBERNETES):
        for envelope, raw in _fields(value[len(_KUBERNETES) :]):
            if envelope == 2 and isinstance(raw, bytes):
                yield from (inner for name, inner in _fields(raw) if name == number and isinstance(inner, bytes))


def _fields(data: bytes) -> list[tuple[int, Any]]:
    try:
        return list(fields(data))
    except MalformedMessage:
        return []


def _unusable(path: str, found: str, wanted: str, action: str) -> UnusableSnapshot:
    return UnusableSnapshot(Problem("", path, found, wanted, action))
