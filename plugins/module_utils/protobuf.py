# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocol buffers by field number, without their schema: as much as etcd and Kubernetes write to disk.

Source: Protocol Buffers, "Encoding" (wire types 0, 1, 2 and 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_FIXED = {1: 8, 5: 4}


class MalformedMessage(ValueError):
    """Cut short, or with a kind of field that is long out of use."""


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Fields in their order: varints as integers, and everything else as bytes.

    Raises:
        MalformedMessage: see there.
    """
    position = 0
    while position < len(data):
        key, position = varint(data, position)
        kind = key & 7
        if kind == 0:
            value, position = varint(data, position)
            yield key >> 3, value
            continue
        if kind == 2:
            length, position = varint(data, position)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise MalformedMessage(f"a field of wire type {kind}")
        if position + length > len(data):
            raise MalformedMessage("cut short")
        yield key >> 3, data[position : position + length]
        position += length


def message(data: bytes) -> dict[int, Any]:
    """Fields by number, of each the last one.

    Raises:
        MalformedMessage: see there.
    """
    return dict(fields(data))


def varint(data: bytes, position: int) -> tuple[int, int]:
    """An unsigned number of 64 bits, and the position behind it.

    Raises:
        MalformedMessage: cut short.
    """
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise MalformedMessage("cut short")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
