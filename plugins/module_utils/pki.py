# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates and keys of a node as files: which belong together, which control planes share, what is wrong.

Pure: contents come in, findings go out, and of a private key only the hash of its public half does. Source: kubeadm's
cmd/kubeadm/app/phases/certs and phases/copycerts of 1.20.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import x509
from .problems import Problem

FOLDER = "/etc/kubernetes/pki"

# What a file is said to hold that a power cut has emptied: its name was written, and its content not yet.
EMPTY = "nothing in it"
_RESTORE = "Restore it from a backup or another control plane; if this host is no member yet, reset it."


@dataclass(frozen=True)
class Pair:
    """A certificate, or a public key that stands alone (``.pub``), and the private key that belongs to it.

    Attributes:
        public: path.
        private: path; None where the key is somebody else's.
        authority: it signs others.
    """

    public: str
    private: str | None
    authority: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.public,) if self.private is None else (self.public, self.private)


def authority(name: str, folder: str = FOLDER) -> Pair:
    """A CA by kubeadm's name for it."""
    return Pair(f"{folder}/{name}.crt", f"{folder}/{name}.key", authority=True)


def leaf(name: str, folder: str = FOLDER) -> Pair:
    """A certificate with its key, likewise."""
    return Pair(f"{folder}/{name}.crt", f"{folder}/{name}.key")


CLUSTER_CA, FRONT_PROXY_CA, ETCD_CA = (authority(name) for name in ("ca", "front-proxy-ca", "etcd/ca"))
SERVICE_ACCOUNTS = Pair(f"{FOLDER}/sa.pub", f"{FOLDER}/sa.key")
COMMON = (CLUSTER_CA, SERVICE_ACCOUNTS, FRONT_PROXY_CA)
LEAVES = tuple(
    leaf(name)
    for name in (
        "apiserver",
        "apiserver-kubelet-client",
        "front-proxy-client",
        "etcd/server",
        "etcd/peer",
        "etcd/healthcheck-client",
        "apiserver-etcd-client",
    )
)
SIGNED_BY_CLUSTER_CA = LEAVES[:2]
ALL = (CLUSTER_CA, FRONT_PROXY_CA, ETCD_CA, SERVICE_ACCOUNTS, *LEAVES)


def shared_pairs(etcd_client: Sequence[str] = ()) -> tuple[Pair, ...]:
    """What every control plane of a cluster must have alike, and what is therefore handed to those that join.

    Args:
        etcd_client: with external etcd the paths of its CA, of the API servers' certificate for it and of its key;
            empty with stacked etcd, whose CA is shared instead.

    Raises:
        ValueError: neither none nor three absolute paths.
    """
    if not etcd_client:
        return (*COMMON, ETCD_CA)
    if len(etcd_client) != 3 or not all(os.path.isabs(path) for path in etcd_client):
        raise ValueError(
            f"client files of external etcd: found {list(etcd_client)}, wanted the absolute paths of caFile, certFile "
            "and keyFile. Give all three."
        )
    ca, certificate, key = etcd_client
    return (*COMMON, Pair(ca, None, authority=True), Pair(certificate, key))


# What kubeadm's ``etcd.external`` calls the files by which etcd is reached: its CA, a client's certificate and its key.
ETCD_CLIENT_FIELDS = ("caFile", "certFile", "keyFile")


def etcd_client_files(external: Mapping[str, Any]) -> list[str]:
    """Those that kubeadm's ``etcd.external`` names."""
    return [external[name] for name in ETCD_CLIENT_FIELDS if external.get(name)]


def etcd_client_of(cluster: Mapping[str, Any]) -> list[str]:
    """The client files of external etcd that a ClusterConfiguration names; none with stacked etcd."""
    return etcd_client_files((cluster.get("etcd") or {}).get("external") or {})


def paths(pairs: Sequence[Pair]) -> list[str]:
    """All files of these pairs."""
    return [path for pair in pairs for path in pair.paths]


SHARED = frozenset(paths(shared_pairs()))
# How control planes reach etcd hosts: the CA that these trust, and the API server's own certificate for them.
ETCD_CLIENT = leaf("apiserver-etcd-client")
ETCD_CLIENT_FILES = (ETCD_CA.public, *ETCD_CLIENT.paths)


def etcd_hosts_as_external(endpoints: Sequence[str]) -> dict[str, Any]:
    """kubeadm's ``etcd.external`` for etcd hosts at these client URLs."""
    return {"endpoints": [*endpoints], **dict(zip(ETCD_CLIENT_FIELDS, ETCD_CLIENT_FILES))}


# What each etcd host carries, apart from the CA's key, which one of them has.
ETCD_HOST_FILES = tuple(
    path for name in ("etcd/server", "etcd/peer", "etcd/healthcheck-client") for path in leaf(name).paths
) + (ETCD_CA.public, *ETCD_CLIENT.paths)

# Where kubeadm makes etcd's CA, and what that signs for its own host, before they are put into their places: where it
# was left behind, half a CA beside it has signed nothing.
ETCD_IN_THE_MAKING = f"{FOLDER}/.etcd-in-the-making"


def handed(*, external_etcd: bool) -> frozenset[str]:
    """The files that a control plane may have been given before kubeadm was there."""
    return SHARED | frozenset(ETCD_CLIENT_FILES) if external_etcd else SHARED


def mode(pairs: Sequence[Pair], path: str) -> int:
    """The mode that kubeadm gives this file: keys are root's alone."""
    return 0o600 if any(path == pair.private for pair in pairs) else 0o644


def purpose(host: str, ca_hash: str, pairs: Sequence[Pair]) -> dict[str, object]:
    """What an envelope with these files is bound to."""
    return {"host": host, "ca": ca_hash, "files": sorted(paths(pairs))}


def half_made(contents: Mapping[str, str | OSError]) -> list[str]:
    """Files that a kubeadm init was stopped in the middle of, and that the next one neither replaces nor takes.

    A key without its certificate (kubeadm writes it first), or a pair with nothing in one of its files. The certificate
    of a CA alone is whole: its key may be kept elsewhere. Where a CA is half made, so is all that was signed.

    Args:
        contents: by path, of the files that are there.
    """

    def is_half(pair: Pair) -> bool:
        here = [contents[path] for path in pair.paths if path in contents]
        if any(isinstance(content, str) and not content.strip() for content in here):
            return True
        return len(here) == 1 and not (pair.authority and pair.public in contents)

    half = [pair for pair in ALL if is_half(pair)]
    if any(pair.authority for pair in half):
        half = [pair for pair in ALL if pair in half or pair in LEAVES]
    return [path for path in paths(half) if path in contents]


@dataclass(frozen=True)
class Findings:
    """What files say.

    Attributes:
        public_keys: by path, the public key hash of each certificate and key that could be read.
        fingerprints: by path, what changes when the file means something else; of a private key it is that hash.
        problems: what is wrong, with no host in it.
    """

    public_keys: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def judge(pairs: Sequence[Pair], contents: Mapping[str, str | OSError], now: datetime.datetime) -> Findings:
    """Look into every file that is there, and at how they fit together.

    Args:
        pairs: what to look for.
        contents: by path, of the files that are there.
        now: UTC, for authorities that have ended.
    """
    found = Findings()
    for pair in pairs:
        public = _look_at_public(pair, contents.get(pair.public), now, found)
        private = _look_at_private(pair.private, contents.get(pair.private), found) if pair.private else None
        if public and private and public != private:
            what = f"a key that does not belong to {pair.public}"
            found.problems.append(Problem("", str(pair.private), what, "the key that does", _RESTORE))
    return found


def _look_at_public(pair: Pair, content: str | OSError | None, now: datetime.datetime, found: Findings) -> str | None:
    """The public key hash, where there is one to be read."""
    path = pair.public
    if content is None:
        return None
    if isinstance(content, OSError):
        found.problems.append(_unreadable(path, content))
        return None
    try:
        if path.endswith(".pub"):
            found.public_keys[path] = found.fingerprints[path] = x509.public_key_hash(content)
            return found.public_keys[path]
        certificates = x509.parse_all(content)
    except (x509.MalformedCertificate, x509.MalformedKey) as error:
        found.problems.append(Problem("", path, _cut(content, error), "a whole file", _RESTORE))
        return None
    found.public_keys[path] = certificates[0].public_key_hash
    found.fingerprints[path] = " ".join(certificate.fingerprint for certificate in certificates)
    if pair.authority and not certificates[0].not_before <= now <= certificates[0].not_after:
        found.problems.append(_not_valid(path, certificates[0], now))
    return certificates[0].public_key_hash


def _look_at_private(path: str, content: str | OSError | None, found: Findings) -> str | None:
    """The hash of its public half, where it can be told."""
    if content is None:
        return None
    if isinstance(content, OSError):
        found.problems.append(_unreadable(path, content))
        return None
    try:
        public = x509.private_key_hash(content)
    except x509.MalformedKey as error:
        found.problems.append(Problem("", path, _cut(content, error), "a whole file", _RESTORE))
        return None
    if public is not None:
        found.public_keys[path] = found.fingerprints[path] = public
    return public


def _cut(content: str, error: ValueError) -> str:
    return str(error) if content.strip() else EMPTY


def _unreadable(path: str, error: OSError) -> Problem:
    return Problem("", path, f"what nobody can read ({error.strerror or error})", "a file", _RESTORE)


def _not_valid(path: str, certificate: x509.Certificate, now: datetime.datetime) -> Problem:
    ended = certificate.not_after < now
    moment = certificate.not_after if ended else certificate.not_before
    return Problem(
        host="",
        subject=path,
        found=f"a CA that {'ended' if ended else 'begins'} on {moment:%Y-%m-%d %H:%M} UTC, by this host's clock",
        wanted="one that is valid",
        action="Correct the clock if it is wrong. kubeadm renews no CA: replace it by Kubernetes' guide to the manual "
        "rotation of CA certificates."
        if ended
        else "Correct the clock.",
    )


def missing(pairs: Sequence[Pair], contents: Mapping[str, object]) -> list[Problem]:
    """Files of these pairs that are not there to be handed out."""
    return [
        Problem(
            host="",
            subject=path,
            found="no file",
            wanted="the file, to hand it to control planes that join",
            action="Put it back for the time of the join: without it nothing can be signed on the joining hosts.",
        )
        for path in paths(pairs)
        if path not in contents
    ]


def foreign(have: Findings, get: Findings) -> list[Problem]:
    """Files that are here and mean something else than those that are to come; what only is cut short may be replaced.

    A certificate that was renewed keeps its key, and may be replaced.
    """
    return [
        Problem(
            host="",
            subject=path,
            found=f"one of public key {have.public_keys[path]}",
            wanted=get.public_keys[path],
            action="This host holds the files of another cluster. Reset it, or take it out of the inventory.",
        )
        for path in get.public_keys
        if have.public_keys.get(path, get.public_keys[path]) != get.public_keys[path]
    ]
