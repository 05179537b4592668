# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written as TOML is read as the same by a parser that is not ours."""

from __future__ import annotations

from typing import Any

import pytest
import tomllib
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import toml

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, width=64) | texts
)  # NaN is no equal of itself
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
tables = st.dictionaries(texts, values, max_size=5)


@given(tables)
def test_dump_is_read_as_what_was_written(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml.dump(table)) == table


@given(tables)
def test_dump_keeps_the_order_of_a_table_s_own_values(table: dict[str, Any]) -> None:
    own = {name: value for name, value in table.items() if not isinstance(value, (dict, list))}
    assert list(tomllib.loads(toml.dump(own))) == list(own)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({}, "\n"),
        ({"a": {}}, "[a]\n"),
        ({"a": {"b": {"c": 1}}}, "[a.b]\nc = 1\n"),
        ({"io.containerd.grpc.v1.cri": {"a b": "\x7f\n"}}, '["io.containerd.grpc.v1.cri"]\n"a b" = "\\u007f\\n"\n'),
        ({"a": [{"b": 1}, {"b": {"c": True}}]}, "[[a]]\nb = 1\n\n[[a]]\n\n[a.b]\nc = true\n"),
        ({"a": [1, {"b": [2]}]}, "a = [1, {b = [2]}]\n"),
        ({"t": {"x": 1}, "a": 2}, "a = 2\n\n[t]\nx = 1\n"),
    ],
)
def test_dump_looks_as_people_write_it(table: dict[str, Any], text: str) -> None:
    assert toml.dump(table) == text


@pytest.mark.parametrize("value", [None, 2**63, -(2**63) - 1, b"x", "\ud800", [None], {"x": None}])
def test_dump_refuses_what_toml_cannot_say_and_names_it(value: object) -> None:
    with pytest.raises(ValueError, match=r"plugins\.cri.*found"):
        toml.dump({"plugins": {"cri": value}})
