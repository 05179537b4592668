# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of bolt's files, on files written here; tests/etcd reads those of a real etcd."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils.bolt import Database, MalformedDatabase
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import bolt_files
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.bolt_files import Writer

PAGE = 1024

keys = st.binary(min_size=1, max_size=8)
leaves = st.binary(max_size=40) | st.integers(0, 3000).map(lambda length: b"v" * length)
buckets = st.recursive(
    st.dictionaries(keys, leaves, max_size=12),
    lambda inner: st.dictionaries(keys, leaves | inner, max_size=8),
    max_leaves=30,
)
contents = st.dictionaries(keys, buckets, max_size=6)


def database(data: bytes) -> Database:
    return Database(lambda offset, length: data[offset : offset + length], len(data))


def swept(data: bytes) -> list[tuple[tuple[bytes, ...], bytes, bytes]]:
    return list(database(data).sweep())


def flat(bucket: Any, path: tuple[bytes, ...] = ()) -> list[tuple[tuple[bytes, ...], bytes, bytes]]:
    found = []
    for key, value in sorted(bucket.items()):
        found += [(path, key, value)] if isinstance(value, bytes) else flat(value, (*path, key))
    return found


@given(contents, st.integers(2, 9), st.sampled_from("<>"), st.booleans(), st.sampled_from([1024, 4096]))
def test_reads_what_was_written(wanted: Any, fan: int, order: str, freelist: bool, page_bytes: int) -> None:
    data = Writer(page_bytes, fan, order).write(wanted, freelist=freelist)
    assert swept(data) == flat(wanted)


@given(contents, st.data())
@settings(max_examples=200)
def test_damage_is_refused_or_leaves_a_tree_and_never_crashes(wanted: Any, data: st.DataObject) -> None:
    whole = bytearray(Writer(PAGE).write(wanted))
    for _flip in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = swept(bytes(whole))
    except MalformedDatabase:
        return
    for before, after in zip(found, found[1:]):
        assert before[0] != after[0] or before[1] < after[1]


@given(contents, st.data())
def test_what_is_cut_short_is_refused(wanted: Any, data: st.DataObject) -> None:
    whole = Writer(PAGE).write(wanted)
    with pytest.raises(MalformedDatabase):
        swept(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=3000))
def test_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDatabase):
        database(data)


@pytest.mark.parametrize("broken", [0, 1])
def test_one_broken_state_leaves_the_other(broken: int) -> None:
    wanted = {b"one": {b"key": b"value" * 300}}
    data = bytearray(Writer(PAGE).write(wanted))
    data[broken * PAGE + 50] ^= 1
    assert swept(bytes(data)) == flat(wanted)
    assert database(bytes(data)).meta.transaction == (7 if broken == 0 else 8)


def test_newer_state_counts() -> None:
    """bbolt writes them by turns: the newer one may be the second."""
    writer = Writer(PAGE)
    data = bytearray(writer.write({b"old": {}}))
    root = writer._tree({b"new": {b"key": b"value"}})
    for number in range(len(data) // PAGE, writer.next):
        data += writer.pages[number]
    data[PAGE : 2 * PAGE] = writer._page(1, bolt_files.META, 0, writer.meta(root, 9))
    assert swept(bytes(data)) == [((b"new",), b"key", b"value")]


def test_loop_is_refused() -> None:
    writer = Writer(PAGE)
    data = bytearray(writer.write({b"one": {bytes([number]): b"v" * 300 for number in range(30)}}))
    place = next(number for number, page in writer.pages.items() if page[8] == bolt_files.BRANCH)
    data[place * PAGE + 16 + 8 : place * PAGE + 16 + 16] = place.to_bytes(8, "little")
    with pytest.raises(MalformedDatabase, match=f"two ways to page {place}"):
        swept(bytes(data))


def test_long_list_of_free_pages_says_its_length_itself() -> None:
    free = 0xFFFF + 9
    writer = Writer(PAGE)
    data = writer.write({b"one": {}}, free=free)
    assert swept(data) == []
    listed = database(data).meta.freelist
    assert listed is not None
    shorter = bytearray(data)
    shorter[listed * PAGE + 16 : listed * PAGE + 24] = (2**40).to_bytes(8, "little")
    with pytest.raises(MalformedDatabase, match="free pages"):
        swept(bytes(shorter))


def test_page_that_is_in_use_and_free_is_refused() -> None:
    data = bytearray(Writer(PAGE).write({b"one": {b"key": b"v" * 2000}}))
    listed = database(bytes(data)).meta.freelist
    assert listed is not None
    data[listed * PAGE + 16 : listed * PAGE + 24] = (2).to_bytes(8, "little")
    with pytest.raises(MalformedDatabase, match="two ways to page 2"):
        swept(bytes(data))


def test_keys_that_are_not_in_order_are_refused() -> None:
    data = bytearray(Writer(PAGE).write({b"one": {b"a%d" % number: b"v" * 300 for number in range(9)}}))
    place = data.rindex(b"a4v")
    data[place : place + 2] = b"b4"
    with pytest.raises(MalformedDatabase, match="that are not in order"):
        swept(bytes(data))
