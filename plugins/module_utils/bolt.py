# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of bolt, the B+tree in which etcd keeps its keys: read whole, and judged on the way.

A file is pages of one size. Pages 0 and 1 hold the state of the last two transactions, each with a checksum; the valid
one with the higher number counts. From its root bucket on, branch pages point at pages, and leaf pages hold keys with
values, of which some are buckets: with a root page of their own, or small enough to lie in the value itself.
Nothing but the two has a checksum. A flipped bit is noticed where it breaks the order of keys or the way to a page.

Source: go.etcd.io/bbolt's internal/common (page.go, meta.go, inode.go, bucket.go), format version 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ReadAt = Callable[[int, int], bytes]
Path = tuple[bytes, ...]

_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META, _FREELIST = 0x01, 0x02, 0x04, 0x10
_IS_BUCKET = 0x01
_NO_FREELIST = 0xFFFFFFFFFFFFFFFF
# A count that says that the real one stands in front of the list.
_LONG_COUNT = 0xFFFF
# Page sizes that bbolt itself looks for the second state at.
_PAGE_SIZES = tuple(1024 << power for power in range(15))
# A tree of pages with two keys each that fills all numbers there are is 64 levels deep.
_DEEPEST = 64
_BUCKETS_DEEPEST = 16

_PAGE_BYTES, _ELEMENT_BYTES, _BUCKET_BYTES, _META_BYTES = 16, 16, 16, 64
_CHECKED_BYTES = 56
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class MalformedDatabase(ValueError):
    """Not bolt's file, or not a whole one; the message says what was found."""


@dataclass(frozen=True)
class Meta:
    """The state that one transaction has left.

    Attributes:
        page_bytes: size of a page.
        root: page of the root bucket.
        freelist: page of the list of free pages, or None where it is not kept.
        pages: how many pages there are.
        transaction: its number.
    """

    page_bytes: int
    root: int
    freelist: int | None
    pages: int
    transaction: int


@dataclass(frozen=True)
class _Page:
    """A page with what overflows into those behind it, or the part of a value that stands for one."""

    number: int
    kind: int
    count: int
    data: bytes


class Database:
    """A database that somebody else may still be writing into as little as a finished snapshot is."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        """
        Args:
            read_at: offset and length to so many bytes.
            size: of the file, in bytes.

        Raises:
            MalformedDatabase: neither of the two states is valid, or the file is too short for it.
        """
        self._read_at, self._size = read_at, size
        self._order = "<"
        self.meta = self._newest()
        if self.meta.pages * self.meta.page_bytes > size:
            raise MalformedDatabase(f"{size} bytes for {self.meta.pages} pages of {self.meta.page_bytes}")

    def sweep(self) -> Iterator[tuple[Path, bytes, bytes]]:
        """Every key with its value, in order, and the names of the buckets around it.

        Raises:
            MalformedDatabase: a page is out of reach, reached twice or not what it should be, or keys are not in order.
        """
        reached = bytearray(self.meta.pages // 8 + 1)
        for number in (0, 1):
            self._reach(reached, number)
        yield from self._bucket((), self._tree(self.meta.root, reached), reached)
        if self.meta.freelist is not None:
            self._sweep_freelist(self.meta.freelist, reached)

    def _bucket(self, path: Path, leaves: Iterator[_Page], reached: bytearray) -> Iterator[tuple[Path, bytes, bytes]]:
        last: bytes | None = None
        for leaf in leaves:
            for is_bucket, key, value in self._elements(leaf):
                if last is not None and key <= last:
                    raise MalformedDatabase(f"keys of page {leaf.number} that are not in order")
                last = key
                if not is_bucket:
                    yield path, key, value
                    continue
                if len(path) >= _BUCKETS_DEEPEST or len(value) < _BUCKET_BYTES:
                    raise MalformedDatabase(f"a bucket in page {leaf.number} that is none")
                (root,) = struct.unpack_from(f"{self._order}Q", value)
                inner = self._tree(root, reached) if root else iter([self._inline(value[_BUCKET_BYTES:], leaf.number)])
                yield from self._bucket((*path, key), inner, reached)

    def _tree(self, root: int, reached: bytearray) -> Iterator[_Page]:
        """The leaf pages below this one, from the first to the last."""
        levels: list[Iterator[int]] = [iter([root])]
        while levels:
            number = next(levels[-1], None)
            if number is None:
                levels.pop()
                continue
            page = self._page(number, reached)
            if page.kind == _LEAF:
                yield page
            elif len(levels) > _DEEPEST:
                raise MalformedDatabase(f"page {number} too deep below page {root}")
            else:
                levels.append(iter(self._children(page)))

    def _page(self, number: int, reached: bytearray, kinds: tuple[int, ...] = (_BRANCH, _LEAF)) -> _Page:
        size = self.meta.page_bytes
        self._reach(reached, number)
        head = self._read(number * size, size)
        own, kind, count, overflow = struct.unpack_from(f"{self._order}QHHI", head)
        if own != number or kind not in kinds:
            raise MalformedDatabase(f"page {own} of kind {kind:#x} in the place of page {number}")
        if number + overflow >= self.meta.pages:
            raise MalformedDatabase(f"page {number} going on behind the end")
        for more in range(number + 1, number + overflow + 1):
            self._reach(reached, more)
        rest = self._read((number + 1) * size, overflow * size) if overflow else b""
        return _Page(number, kind, count, head + rest)

    def _reach(self, reached: bytearray, number: int) -> None:
        if number >= self.meta.pages:
            raise MalformedDatabase(f"the way to page {number} of {self.meta.pages}")
        place, bit = number >> 3, 1 << (number & 7)
        if reached[place] & bit:
            raise MalformedDatabase(f"two ways to page {number}")
        reached[place] |= bit

    def _inline(self, data: bytes, number: int) -> _Page:
        if len(data) < _PAGE_BYTES:
            raise MalformedDatabase(f"a bucket in page {number} that is cut short")
        _own, kind, count, _overflow = struct.unpack_from(f"{self._order}QHHI", data)
        if kind != _LEAF:
            raise MalformedDatabase(f"a bucket of kind {kind:#x} in page {number}")
        return _Page(number, kind, count, data)

    def _elements(self, page: _Page) -> Iterator[tuple[bool, bytes, bytes]]:
        data, size = page.data, len(page.data)
        if _PAGE_BYTES + page.count * _ELEMENT_BYTES > size:
            raise MalformedDatabase(f"{page.count} keys in page {page.number}")
        unpack = struct.Struct(f"{self._order}IIII").unpack_from
        for start in range(_PAGE_BYTES, _PAGE_BYTES + page.count * _ELEMENT_BYTES, _ELEMENT_BYTES):
            flags, position, key_bytes, value_bytes = unpack(data, start)
            begin = start + position
            middle = begin + key_bytes
            end = middle + value_bytes
            if end > size:
                raise MalformedDatabase(f"a value behind the end of page {page.number}")
            yield bool(flags & _IS_BUCKET), data[begin:middle], data[middle:end]

    def _children(self, page: _Page) -> list[int]:
        if not page.count or _PAGE_BYTES + page.count * _ELEMENT_BYTES > len(page.data):
            raise MalformedDatabase(f"{page.count} ways from page {page.number}")
        unpack = struct.Struct(f"{self._order}IIQ").unpack_from
        return [unpack(page.data, _PAGE_BYTES + index * _ELEMENT_BYTES)[2] for index in range(page.count)]

    def _sweep_freelist(self, number: int, reached: bytearray) -> None:
        page = self._page(number, reached, (_FREELIST,))
        numbers = page.data[_PAGE_BYTES:]
        count = page.count
        if count == _LONG_COUNT:
            (count,) = struct.unpack_from(f"{self._order}Q", numbers)
            numbers = numbers[8:]
        if count * 8 > len(numbers):
            raise MalformedDatabase(f"{count} free pages in page {number}")
        for free in struct.unpack_from(f"{self._order}{count}Q", numbers):
            self._reach(reached, free)

    def _newest(self) -> Meta:
        """The valid state of the last transaction. Where the second page lies, the first says, if it can be read."""
        first = self._meta_at(0)
        places = (first.page_bytes,) if first else _PAGE_SIZES
        seconds = [meta for place in places if (meta := self._meta_at(place)) and meta.page_bytes == place]
        found = [meta for meta in (first, *seconds[:1]) if meta]
        if not found:
            raise MalformedDatabase("no valid state of a transaction")
        return max(found, key=lambda meta: meta.transaction)

    def _meta_at(self, offset: int) -> Meta | None:
        if offset + _PAGE_BYTES + _META_BYTES > self._size:
            return None
        head = self._read(offset, _PAGE_BYTES + _META_BYTES)
        data = head[_PAGE_BYTES:]
        # bolt writes in the order of its machine.
        for order in "<>":
            magic, version, page_bytes, _flags, root, _sequence, freelist, pages, transaction, checksum = struct.unpack(
                f"{order}IIIIQQQQQQ", data
            )
            if magic != _MAGIC:
                continue
            whole = version == _VERSION and checksum == _fnv(data[:_CHECKED_BYTES]) and page_bytes in _PAGE_SIZES
            if not whole:
                return None
            self._order = order
            return Meta(page_bytes, root, None if freelist == _NO_FREELIST else freelist, pages, transaction)
        return None

    def _read(self, offset: int, length: int) -> bytes:
        data = self._read_at(offset, length)
        if len(data) != length:
            raise MalformedDatabase(f"{offset + len(data)} bytes, with more to come")
        return data


def _fnv(data: bytes) -> int:
    """FNV-1a of 64 bits."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return value
