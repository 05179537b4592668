# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings as TOML (toml.io, version 1.0), which containerd and CRI-O read and Python's own library cannot write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Table = Mapping[str, Any]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_INTEGERS = range(-(2**63), 2**63)


def dump(table: Table) -> str:
    """A table as a document, in the table's own order.

    Args:
        table: by name texts, booleans, numbers, lists and tables of these.

    Raises:
        ValueError: TOML cannot say a value; the message names it.
    """
    return "\n".join(_lines((), table)).lstrip("\n") + "\n"


def _lines(path: tuple[str, ...], table: Table) -> Iterator[str]:
    """A table's own values, and then the tables in it, each under its header."""
    inner = []
    for name, value in table.items():
        if isinstance(value, Mapping) or _is_tables(value):
            inner.append((name, value))
        else:
            yield f"{_key(name)} = {_value((*path, name), value)}"
    for name, value in inner:
        place = (*path, name)
        header = ".".join(_key(part) for part in place)
        if isinstance(value, Mapping):
            # A table that holds nothing but tables is there by theirs.
            if not value or any(not isinstance(entry, Mapping) and not _is_tables(entry) for entry in value.values()):
                yield f"\n[{header}]"
            yield from _lines(place, value)
        else:
            for entry in value:
                yield f"\n[[{header}]]"
                yield from _lines(place, entry)


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _key(name: Any) -> str:
    text = str(name)
    return text if _BARE_KEY.fullmatch(text) else _text((text,), text)


def _value(path: tuple[str, ...], value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value in _INTEGERS:
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _text(path, value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(path, entry) for entry in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value((*path, name), entry)}" for name, entry in value.items()) + "}"
    raise ValueError(f"{_shown(path)}: found {value!r}, wanted a text, boolean, number of 64 bits, list or table.")


def _text(path: tuple[str, ...], text: str) -> str:
    """A basic string. Its escapes are JSON's, but for the surrogates, which are no characters, and for DEL."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{_shown(path)}: found {text!r}, wanted text in Unicode.")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _shown(path: tuple[str, ...]) -> str:
    return ".".join(str(part) for part in path)
