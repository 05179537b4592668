# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot taken of a member of etcd that runs: who is asked, whether there is room, and the bytes as they come.

A member gives what it has applied itself. One that is cut off from the others would give what was once so, without a
word; therefore it first answers a read that a quorum stands behind. What it then gives is at least of that revision.
Source: Snapshot in etcd's server/etcdserver/api/v3rpc/maintenance.go.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import etcd
from .https_json import RequestFailed
from .problems import Problem

# What is left free beside a snapshot: etcd's own data, or the kubelet's, may lie on the same disk.
LEAST_FREE_BYTES = 64 << 20
_MEGABYTE = 1 << 20
# etcd gives a read up after 5 s and two election time-outs, of 1 s by default.
_LONGEST_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Source:
    """A member that gives a snapshot.

    Attributes:
        endpoint: its client URL.
        database_bytes: size of its database; the snapshot has 32 bytes more.
        version: of this etcd.
        revision: that the snapshot knows at least.
        quorum: that revision is the cluster's, and not only what this member knew.
    """

    endpoint: str
    database_bytes: int
    version: str
    revision: int
    quorum: bool


def choose(endpoints: Sequence[str], context: ssl.SSLContext, timeout: float, *, quorum: bool = True) -> Source:
    """The first of these members that can give a snapshot, and stands behind it.

    Args:
        endpoints: client URLs.
        context: speaks as a client that etcd trusts.
        timeout: seconds for one answer; a member that is off is not waited for longer than etcd takes to give up.
        quorum: False takes also what one member alone knows.

    Raises:
        RequestFailed: none can; the message says why of each.
    """
    timeout = min(timeout, _LONGEST_ANSWER_SECONDS)
    failures = []
    for endpoint in endpoints:
        try:
            return _source(endpoint, context, timeout, quorum=True)
        except RequestFailed as error:
            failures.append(str(error))
    if not quorum:
        alone = []
        for endpoint in endpoints:
            with contextlib.suppress(RequestFailed):
                alone.append(_source(endpoint, context, timeout, quorum=False))
        if alone:
            return max(alone, key=lambda source: source.revision)
    raise RequestFailed(
        f"etcd: found no member that reads with a quorum ({'; '.join(failures) or 'no endpoint'}), wanted one. Bring "
        "members back. Where that cannot be, what one member alone knows is taken only if it is asked for."
        if quorum
        else f"etcd: found no member that answers ({'; '.join(failures) or 'no endpoint'}), wanted one. Start one."
    )


def _source(endpoint: str, context: ssl.SSLContext, timeout: float, *, quorum: bool) -> Source:
    read = {"key": "AA==", "count_only": True, "serializable": not quorum}
    revision = etcd.call(endpoint, context, "/kv/range", timeout, read).get("header", {}).get("revision", 0)
    status = etcd.call(endpoint, context, "/maintenance/status", timeout)
    return Source(
        endpoint=endpoint,
        database_bytes=int(status.get("dbSize", 0)),
        version=str(status.get("version", "")),
        revision=int(revision),
        quorum=quorum,
    )


def room_problem(path: str, wanted: int, replaced: int = 0) -> Problem | None:
    """Whether a file of so many bytes finds no room, or would leave too little of it.

    Args:
        path: where it is to be; the folders above it that are not there yet are to be made.
        wanted: in bytes.
        replaced: what an earlier attempt has left in its place.
    """
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize + replaced
    needed = wanted + wanted // 10 + LEAST_FREE_BYTES
    if free >= needed:
        return None
    return Problem(
        host=socket.gethostname(),
        subject=f"free space at {folder}",
        found=f"{free // _MEGABYTE} MiB",
        wanted=f"{-(-needed // _MEGABYTE)} MiB: a database of {-(-wanted // _MEGABYTE)} MiB, and what must stay free",
        action="Make room there, or choose another folder.",
    )


def blobs(source: Source, context: ssl.SSLContext, timeout: float) -> Iterator[bytes]:
    """The snapshot, piece by piece, and its digest as the last bytes.

    Args:
        source: who gives it.
        context: speaks as a client that etcd trusts.
        timeout: seconds of silence after which it is given up.

    Raises:
        RequestFailed: it does not come, or not to its end.
    """
    expected, came = None, 0
    for answer in etcd.stream(source.endpoint, context, "/maintenance/snapshot", timeout):
        try:
            blob = base64.b64decode(answer.get("blob", ""), validate=True)
            remaining = int(answer.get("remaining_bytes", 0))
        except (binascii.Error, ValueError, TypeError) as error:
            raise RequestFailed(f"{source.endpoint}: found an answer that is no piece of a snapshot.") from error
        came += len(blob)
        if expected is None:
            expected = came + remaining
        yield blob
    if expected is None or came != expected + 32:
        wanted = f"{expected + 32} bytes" if expected else "one"
        raise RequestFailed(f"{source.endpoint}: found a snapshot that ends after {came} bytes, wanted {wanted}.")


def size_of(path: str) -> int:
    """Of a file in bytes; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
