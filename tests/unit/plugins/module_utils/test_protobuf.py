# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages are read by field number, and nothing that is cut short is taken for whole."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import protobuf
from ansible_collections.kubeadm.ha.plugins.module_utils.protobuf import MalformedMessage
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import bolt_files

numbers = st.integers(1, 2**29 - 1)
pairs = st.lists(st.tuples(numbers, st.integers(0, 2**64 - 1) | st.binary(max_size=300)))


@given(pairs)
def test_fields_come_in_their_order(written: list[tuple[int, int | bytes]]) -> None:
    data = bolt_files.message(*written)
    assert list(protobuf.fields(data)) == written
    assert protobuf.message(data) == dict(written)


@given(numbers, st.binary(min_size=1, max_size=300), st.data())
def test_what_is_cut_short_is_refused(number: int, text: bytes, data: st.DataObject) -> None:
    whole = bolt_files.message((number, text))
    with pytest.raises(MalformedMessage):
        list(protobuf.fields(whole[: data.draw(st.integers(1, len(whole) - 1))]))


@given(st.binary(max_size=100))
def test_anything_is_fields_or_refused(data: bytes) -> None:
    try:
        list(protobuf.fields(data))
    except MalformedMessage:
        return


def test_fixed_numbers_are_passed_on_as_they_are_and_groups_are_refused() -> None:
    fixed = bytes([1 << 3 | 1]) + struct.pack("<d", 1.5) + bytes([2 << 3 | 5]) + struct.pack("<f", 2.5)
    assert list(protobuf.fields(fixed)) == [(1, struct.pack("<d", 1.5)), (2, struct.pack("<f", 2.5))]
    with pytest.raises(MalformedMessage, match="wire type 3"):
        list(protobuf.fields(bytes([1 << 3 | 3])))
