# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab's secrets are learnt, without asking anybody: a host's disk is a folder of this machine.

Private keys are read where they lie. Every token that a cluster ever had is in the log of its etcd, which is not
encrypted here. Certificate keys are seen in the memory that kubeadm is given its configuration by, and each upload in
etcd's log has to open with one of them: so none was missed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ansible_collections.kubeadm.ha.plugins.module_utils import envelope

from .shapes import Known

# Folders of a host's disk that hold keys, below the lab's folder for it.
KEY_FOLDERS = ("upper/etc/kubernetes", "upper/root", "upper/var/backups", "kubelet/pki")
LARGEST_KEY_FILE = 1 << 20
CHUNK, OVERLAP = 1 << 20, 1 << 16
NONCE = 12

# A Secret's data as the API server stores it: a map of protobuf, and service accounts' tokens beside it.
_TOKEN_SECRET = re.compile(rb"\n\x0ctoken-secret\x12\x10([a-z0-9]{16})")
_UPLOADED = re.compile(rb"\n\x06ca\.key\x12([\x80-\xff]+[\x00-\x7f])")
_WEB_TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.([\w-]{100,})")
# What kubeadm is told, as YAML or JSON.
_TOLD_TOKEN = re.compile(rb"\"?token\"?: *['\"]?[a-z0-9]{6}\.([a-z0-9]{16})\b")
_TOLD_KEY = re.compile(rb"\"?certificateKey\"?: *['\"]?([0-9a-f]{64})\b")


class Harvest:
    """All that was learnt of the lab's secrets so far.

    Args:
        state: the lab's folder.
        known: where secrets are put.
    """

    def __init__(self, state: Path, known: Known) -> None:
        self._state, self._known = state, known
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._read: dict[tuple[Path, int], int] = {}
        self._uploaded: set[bytes] = set()
        self._certificate_keys: set[bytes] = set()
        self._owners: list[bytes] = []
        self.keys = 0
        self.data_keys: set[bytes] = set()
        self.tokens: set[bytes] = set()

    @property
    def unopened(self) -> int:
        """How many uploads of certificates no certificate key opens that was seen."""
        return sum(not any(_opens(key, sealed) for key in self._certificate_keys) for sealed in self._uploaded)

    @property
    def certificate_keys(self) -> int:
        return len(self._certificate_keys)

    def begin(self) -> None:
        """Learn what came about while nobody watched, whose certificate keys nobody can have seen."""
        watched = set(self._uploaded)
        self.look()
        self._uploaded &= watched

    def look(self) -> None:
        """Learn what is on the hosts' disks by now, and on this machine for the cluster's users."""
        for folder in sorted((self._state / "hosts").glob("*")):
            for place in KEY_FOLDERS:
                for path in _files(folder / place):
                    self._file(f"{folder.name}: {path.relative_to(folder)}", path)
            for path in _files(folder / "etcd"):
                if path.suffix == ".wal":
                    self._log(f"{folder.name}'s etcd", path)
        for path in self._state.glob("*kubeconfig*"):
            self._file(str(path), path)

    def users(self, paths: Iterable[Path]) -> None:
        """Learn the keys among files that belong to users, and those of snapshots that were encrypted to them."""
        snapshots = []
        for path in paths:
            self._owners += self._file(str(path), path)
            if path.suffix == ".snapshot":
                snapshots.append(path)
        for path in snapshots:
            self._snapshot(path)

    def _snapshot(self, path: Path) -> None:
        with path.open("rb") as stream:

            def read_at(offset: int, length: int) -> bytes:
                stream.seek(offset)
                return stream.read(length)

            for pem in self._owners:
                with contextlib.suppress(envelope.EnvelopeBroken):
                    key = envelope.open_key(envelope.read_header(read_at), pem)
                    self._known.secret(f"data key of {path}", key)
                    self.data_keys.add(key)

    def told(self, label: str, config: bytes) -> None:
        """Learn what a kubeadm was told."""
        for match in _TOLD_TOKEN.finditer(config):
            self._token(label, match[1])
        for match in _TOLD_KEY.finditer(config):
            self._certificate_keys.add(bytes.fromhex(match[1].decode()))
            self._known.secret(f"certificate key of {label}", match[1])
            self._known.secret(f"certificate key of {label}", bytes.fromhex(match[1].decode()))

    def _token(self, label: str, secret: bytes) -> None:
        self.tokens.add(secret)
        self._known.secret(f"bootstrap token of {label}", secret)

    def _file(self, label: str, path: Path) -> list[bytes]:
        """Learn what a file holds that was not read before; returns its private keys."""
        try:
            state = path.lstat()
            identity = (state.st_ino, state.st_mtime_ns, state.st_size)
            if self._seen.get(path) == identity or state.st_size > LARGEST_KEY_FILE:
                return []
            text = path.read_bytes()
        except OSError:  # it was replaced or removed in this moment, or is a link to somewhere inside the host
            return []
        self._seen[path] = identity
        found = self._known.private_keys_in(label, text)
        self.keys += len(found)
        if path.name.startswith("kubeadm-ha-"):
            self._known.secret(label, text)
        return found

    def memory(self, host: str, run: Path) -> None:
        """Learn the keys that a host keeps in /run for a moment."""
        for path in run.glob("kubeadm-ha-*.key"):
            self._file(f"{host}: /run/{path.name}", path)

    def _log(self, label: str, path: Path) -> None:
        """Read what was appended to a log since the last look; after that it holds zeros."""
        try:
            with path.open("rb") as stream:
                place = (path, os.fstat(stream.fileno()).st_ino)
                begin = max(self._read.get(place, 0) - OVERLAP, 0)
                stream.seek(begin)
                text = b""
                while (chunk := stream.read(CHUNK)).strip(b"\0"):
                    text += chunk
        except OSError:
            return
        text = text.rstrip(b"\0")
        self._read[place] = begin + len(text)
        for match in _TOKEN_SECRET.finditer(text):
            self._token(label, match[1])
        for match in _WEB_TOKEN.finditer(text):
            self._known.secret(f"service account's token of {label}", match[1])
        for match in _UPLOADED.finditer(text):
            sealed = text[match.end() : match.end() + _varint(match[1])]
            if len(sealed) == _varint(match[1]):
                self._uploaded.add(sealed)


def _varint(text: bytes) -> int:
    return sum((byte & 0x7F) << 7 * index for index, byte in enumerate(text))


def _opens(key: bytes, sealed: bytes) -> bool:
    try:
        AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], None)
        return True
    except InvalidTag:
        return False


def _files(folder: Path) -> Iterator[Path]:
    """What lies below a folder, which others work in: what they take away meanwhile is passed over."""
    for place, _folders, names in os.walk(folder):
        for name in names:
            yield Path(place, name)
