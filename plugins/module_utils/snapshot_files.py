# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of a whole cluster: etcd's, and behind it the files without which it could not be used, in one envelope.

The first ``etcd.bytes`` bytes of what is in the envelope are etcd's snapshot, the rest is JSON: under ``files``, by
path, each with ``mode`` and ``text``.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import envelope, etcd_snapshot, pki
from .bolt import ReadAt
from .etcd_snapshot import Snapshot
from .problems import Problem

KUBEADM_CONFIG = "/configmaps/kube-system/kubeadm-config"
# Without it nobody can read the Secrets that an API server has encrypted.
_ENCRYPTION = "encryption-provider-config"
_CLUSTER_NAME = re.compile(r"^clusterName:[ \t]*[\"']?([^\s\"']+)", re.MULTILINE)
_VERSION = re.compile(r"^kubernetesVersion:[ \t]*[\"']?([^\s\"']+)", re.MULTILINE)
_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
SUFFIX = ".snapshot"
DAMAGED = "It was cut short or damaged. Take it from another copy."


@dataclass(frozen=True)
class ApiServer:
    """How this host's API server reaches etcd, by its manifest.

    Attributes:
        endpoints: https URLs.
        client: the paths of etcd's CA, of the API server's certificate for it and of its key.
        prefix: below which it keeps its keys.
        encryption: path of the file by which it encrypts what it keeps; empty where it does not.
    """

    endpoints: tuple[str, ...]
    client: tuple[str, str, str]
    prefix: str
    encryption: str


def api_server(flags: Mapping[str, str], manifest: str, host: str) -> ApiServer | list[Problem]:
    """How an API server reaches etcd, or why it cannot be reached that way.

    Args:
        flags: of the API server, from its manifest; none where there is no manifest.
        manifest: its path, for messages.
        host: likewise.
    """
    if not flags:
        wanted, action = "that of an API server", "Run this on a control plane."
        return [Problem(host, manifest, "none", wanted, action)]
    endpoints = tuple(one for one in flags.get("etcd-servers", "").split(",") if one)
    names = ("etcd-cafile", "etcd-certfile", "etcd-keyfile")
    problems = [
        Problem(host, f"{manifest}: --{name}", "none", "a file", "etcd is only spoken to by certificates.")
        for name in names
        if not flags.get(name)
    ]
    if not endpoints or not all(one.startswith("https://") for one in endpoints):
        found = ",".join(endpoints) or "none"
        action = "etcd is only spoken to by TLS."
        problems.append(Problem(host, f"{manifest}: --etcd-servers", found, "https URLs", action))
    if problems:
        return problems
    ca, certificate, key = (flags[name] for name in names)
    prefix = flags.get("etcd-prefix", etcd_snapshot.PREFIX)
    return ApiServer(endpoints, (ca, certificate, key), prefix, flags.get(_ENCRYPTION, ""))


def wanted_files(server: ApiServer, *, stacked: bool) -> list[str]:
    """The files that belong into the snapshot, by path."""
    found = pki.paths(pki.shared_pairs(() if stacked else server.client))
    return [*found, server.encryption] if server.encryption else found


def documents(contents: Mapping[str, str], modes: Mapping[str, int]) -> bytes:
    """What stands behind etcd's snapshot."""
    files = {path: {"mode": f"{modes[path]:04o}", "text": text} for path, text in sorted(contents.items())}
    return json.dumps({"files": files}).encode()


def read_modes(paths: Sequence[str]) -> dict[str, int]:
    return {path: stat.S_IMODE(os.stat(path).st_mode) for path in paths}


@dataclass(frozen=True)
class Contents:
    """What an envelope holds.

    Attributes:
        etcd: what etcd's snapshot says of itself.
        files: by path, mode and text.
        configuration: the ConfigMap kubeadm-config, which lies in etcd.
    """

    etcd: Snapshot
    files: Mapping[str, tuple[int, str]]
    configuration: Mapping[str, str]

    @property
    def cluster_name(self) -> str:
        found = _CLUSTER_NAME.search(self.configuration.get("ClusterConfiguration", ""))
        return found[1] if found else "kubernetes"

    @property
    def kubernetes_version(self) -> str:
        """Empty where kubeadm has not told it."""
        found = _VERSION.search(self.configuration.get("ClusterConfiguration", ""))
        return found[1] if found else ""


def read(read_at: ReadAt, size: int, etcd_bytes: int, path: str, prefix: str) -> Contents:
    """Read back what is in an envelope.

    Args:
        read_at: offset and length to so many bytes of what is in it.
        size: of what is in it.
        etcd_bytes: how much of it is etcd's snapshot.
        path: for messages.
        prefix: below which API servers keep their keys.

    Raises:
        UnusableSnapshot: etcd's snapshot is none.
        EnvelopeBroken: the file was changed, or cut short.
    """
    key = f"{prefix.rstrip('/')}{KUBEADM_CONFIG}"
    found = etcd_snapshot.read_from(read_at, etcd_bytes, path, prefix, [key])
    try:
        texts = json.loads(read_at(etcd_bytes, size - etcd_bytes))["files"]
        files = {str(name): (int(one["mode"], 8), str(one["text"])) for name, one in texts.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise envelope.EnvelopeBroken(f"{path}: found no files behind etcd's snapshot, wanted them.") from error
    return Contents(found, files, etcd_snapshot.config_map(found.values.get(key, b"")))


def read_header(read_at: ReadAt, size: int, path: str) -> dict[str, Any]:
    """The header of an encrypted snapshot that has the length that it had; see ``envelope.read_header``.

    Raises:
        EnvelopeBroken: it has none, or is cut short.
    """
    try:
        header = envelope.read_header(read_at)
        bytes_then = int(header["bytes"])
        of_header(header, path)
    except envelope.EnvelopeBroken as error:
        raise envelope.EnvelopeBroken(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError):
        raise envelope.EnvelopeBroken(f"{path}: header: found fields missing, wanted them all. {DAMAGED}") from None
    if bytes_then != size:
        raise envelope.EnvelopeBroken(
            f"{path}: found {size} bytes, wanted {bytes_then}, as it says of itself. {DAMAGED}"
        )
    return header


def of_header(header: Mapping[str, Any], path: str) -> Snapshot:
    """What a header says of etcd's snapshot, as far as it does.

    Raises:
        KeyError, TypeError, ValueError: fields are missing, or are none.
    """
    said = header["etcd"]
    return Snapshot(
        path=path,
        size_bytes=int(said["bytes"]),
        sha256=str(said["sha256"]),
        digest=str(said["sha256"]),
        revision=int(said["revision"]),
        compacted_revision=0,
        keys=int(said["keys"]),
        revisions=0,
        members=(),
        consistent_index=0,
        cluster_version="",
        cluster_id=str(header["cluster_id"]),
        kube_system_uid=str(header["kube_system_uid"]),
    )


def shown(header: Mapping[str, Any]) -> dict[str, Any]:
    """A header without what is of use to a program alone."""
    said = {name: value for name, value in header.items() if name not in ("sealed", "mac", "format")}
    return {**said, "sealed_for": header["sealed"]["for"]}


def told(contents: Contents) -> dict[str, Any]:
    """What a header says of what is in the envelope; none of it is secret."""
    found = contents.etcd
    return {
        "cluster_id": found.cluster_id,
        "cluster_name": contents.cluster_name,
        "kubernetes_version": contents.kubernetes_version,
        "kube_system_uid": found.kube_system_uid,
        "files": sorted(contents.files),
        "etcd": {
            "bytes": found.size_bytes,
            "sha256": found.sha256,
            "revision": found.revision,
            "keys": found.keys,
            "members": [member.name for member in found.members],
        },
    }


def name(cluster_name: str, cluster_id: str, moment: str) -> str:
    """How the file is called on the controller.

    Args:
        cluster_name: what does not belong into a file's name is replaced in it.
        cluster_id: of the cluster.
        moment: UTC, of digits.
    """
    return f"{_IN_NAMES.sub('_', cluster_name)}-{cluster_id}-{moment}{SUFFIX}"
