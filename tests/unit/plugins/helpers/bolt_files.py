# SPDX-License-Identifier: GPL-3.0-or-later
"""bolt's files as bbolt writes them, and etcd's in them: what tests read without a real etcd.

Source: go.etcd.io/bbolt's internal/common (page.go, meta.go, bucket.go); tests/etcd holds the reader against real ones.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Union

Bucket = Mapping[bytes, Union[bytes, "Bucket"]]

BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
NO_FREELIST = 2**64 - 1
INLINE_BYTES = 1024


def fnv(data: bytes) -> int:
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


class Writer:
    """Writes one database.

    Attributes:
        fan: so many keys of a page at most.
    """

    def __init__(self, page_bytes: int = 4096, fan: int = 5, order: str = "<") -> None:
        self.page_bytes, self.fan, self.order = page_bytes, fan, order
        self.pages: dict[int, bytes] = {}
        self.next = 2  # behind two states

    def write(self, contents: Bucket, *, transaction: int = 8, freelist: bool = True, free: int = 2) -> bytes:
        root = self._tree(contents)
        listed = self._freelist(free) if freelist else NO_FREELIST
        self.next += free
        for number, told in ((0, transaction), (1, transaction - 1)):
            self.pages[number] = self._page(number, META, 0, self.meta(root, told, listed))
        covered = self._covered()
        return b"".join(
            self.pages.get(number, bytes(self.page_bytes)) for number in range(self.next) if number not in covered
        )

    def _freelist(self, free: int) -> int:
        """The list of so many pages behind it."""
        long = free >= 0xFFFF
        pages = -(-(16 + 8 * (free + long)) // self.page_bytes)
        first = self.next + pages
        numbers = [free, *range(first, first + free)] if long else range(first, first + free)
        return self._place(FREELIST, min(free, 0xFFFF), struct.pack(f"{self.order}{len(numbers)}Q", *numbers))

    def meta(self, root: int, transaction: int, freelist: int = NO_FREELIST) -> bytes:
        data = struct.pack(
            f"{self.order}IIIIQQQQQ", 0xED0CDAED, 2, self.page_bytes, 0, root, 0, freelist, self.next, transaction
        )
        return data + struct.pack(f"{self.order}Q", fnv(data))

    def _covered(self) -> set[int]:
        """Pages that another one goes on over."""
        size = self.page_bytes
        return {
            more for number, data in self.pages.items() for more in range(number + 1, number + -(-len(data) // size))
        }

    def _place(self, kind: int, count: int, body: bytes) -> int:
        number = self.next
        page = self._page(number, kind, count, body)
        self.pages[number] = page
        self.next += -(-len(page) // self.page_bytes)
        return number

    def _page(self, number: int, kind: int, count: int, body: bytes) -> bytes:
        overflow = max(-(-(len(body) + 16) // self.page_bytes) - 1, 0)
        page = struct.pack(f"{self.order}QHHI", number, kind, count, overflow) + body
        return page.ljust((overflow + 1) * self.page_bytes, b"\0")

    def _elements(self, contents: Bucket) -> list[tuple[int, bytes, bytes]]:
        return [
            (0, key, value) if isinstance(value, bytes) else (1, key, self._bucket(value))
            for key, value in sorted(contents.items())
        ]

    def _bucket(self, contents: Bucket) -> bytes:
        """The value that stands for a bucket; a small one without buckets lies in it."""
        plain = [(0, key, value) for key, value in sorted(contents.items()) if isinstance(value, bytes)]
        size = sum(16 + len(key) + len(value) for _flags, key, value in plain)
        if len(plain) == len(contents) and size <= INLINE_BYTES:
            body = self._leaf(plain)
            head = struct.pack(f"{self.order}QHHI", 0, LEAF, len(plain), 0)
            return struct.pack(f"{self.order}QQ", 0, 7) + head + body
        return struct.pack(f"{self.order}QQ", self._tree(contents), 7)

    def _leaf(self, elements: Sequence[tuple[int, bytes, bytes]]) -> bytes:
        heads, data = b"", b""
        for index, (flags, key, value) in enumerate(elements):
            position = (len(elements) - index) * 16 + len(data)
            heads += struct.pack(f"{self.order}IIII", flags, position, len(key), len(value))
            data += key + value
        return heads + data

    def _branch(self, children: Sequence[tuple[bytes, int]]) -> bytes:
        heads, data = b"", b""
        for index, (key, number) in enumerate(children):
            position = (len(children) - index) * 16 + len(data)
            heads += struct.pack(f"{self.order}IIQ", position, len(key), number)
            data += key
        return heads + data

    def _tree(self, contents: Bucket) -> int:
        elements = self._elements(contents)
        pieces = [elements[start : start + self.fan] for start in range(0, len(elements), self.fan)] or [[]]
        level = [(piece[0][1] if piece else b"", self._place(LEAF, len(piece), self._leaf(piece))) for piece in pieces]
        while len(level) > 1:
            groups = [level[start : start + self.fan] for start in range(0, len(level), self.fan)]
            level = [(group[0][0], self._place(BRANCH, len(group), self._branch(group))) for group in groups]
        return level[0][1]


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def message(*pairs: tuple[int, int | bytes]) -> bytes:
    """A protocol buffer of these fields."""
    out = b""
    for number, value in pairs:
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            out += varint(number << 3) + varint(value)
    return out


def change(key: str, value: bytes = b"", revision: int = 1) -> bytes:
    """mvccpb.KeyValue."""
    return message((1, key.encode()), (2, revision), (3, revision), (4, 1), (5, value))


def revision(main: int, sub: int = 0, *, deleted: bool = False) -> bytes:
    return struct.pack(">Q", main) + b"_" + struct.pack(">Q", sub) + (b"t" if deleted else b"")


def stored(kind: str, *body: tuple[int, int | bytes]) -> bytes:
    """An object as API servers store it."""
    return b"k8s\0" + message((1, message((1, b"v1"), (2, kind.encode()))), (2, message(*body)))


def namespace(name: str, uid: str) -> bytes:
    metadata = message((1, name.encode()), (2, b""), (3, b""), (4, b""), (5, uid.encode()), (6, b""), (7, 0))
    return stored("Namespace", (1, metadata), (2, message((1, b"kubernetes"))))


def config_map(data: Mapping[str, str]) -> bytes:
    entries = [(2, message((1, name.encode()), (2, text.encode()))) for name, text in data.items()]
    return stored("ConfigMap", (1, message((1, b"some"), (5, b"uid"))), *entries)


def etcd_database(
    changes: Sequence[tuple[str, bytes | None]],
    *,
    members: Sequence[Mapping[str, Any]] = (),
    compacted: int = 0,
    writer: Writer | None = None,
) -> bytes:
    """etcd's database after these changes, each of a revision of its own; None deletes."""
    keys: dict[bytes, bytes] = {}
    for number, (key, value) in enumerate(changes, 2):
        if value is None:
            keys[revision(number, deleted=True)] = message((1, key.encode()))
        else:
            keys[revision(number)] = change(key, value, number)
    meta = {b"consistent_index": struct.pack(">Q", len(changes) + 5), b"term": struct.pack(">Q", 2)}
    if compacted:
        meta[b"finishedCompactRev"] = revision(compacted)
    listed = {f"{one['id']:x}".encode(): json.dumps(one).encode() for one in members}
    buckets: Bucket = {
        b"key": keys,
        b"meta": meta,
        b"members": listed,
        b"cluster": {b"clusterVersion": b"3.4.0"},
        b"alarm": {},
    }
    return (writer or Writer()).write(buckets)


def with_digest(database: bytes) -> bytes:
    """A snapshot: the database and its digest."""
    return database + hashlib.sha256(database).digest()
