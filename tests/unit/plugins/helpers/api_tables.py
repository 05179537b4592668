# SPDX-License-Identifier: GPL-3.0-or-later
"""The field tables in tests/unit/fixtures/api: what each configuration API can say."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

Schema = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "fixtures" / "api"
KUBEADM_APIS = ("v1beta2", "v1beta3", "v1beta4")
_FILES = {
    **{f"kubeadm.k8s.io/{api}": f"kubeadm-{api}.json" for api in KUBEADM_APIS},
    "kubelet.config.k8s.io/v1beta1": "kubelet-v1beta1-1.20.json",
    "kubeproxy.config.k8s.io/v1alpha1": "kubeproxy-v1alpha1-1.20.json",
}


@functools.cache
def table(api: str) -> Schema:
    """The table of an apiVersion."""
    return json.loads((FOLDER / _FILES[api]).read_text(encoding="utf-8"))


@functools.cache
def _validator(api: str, kind: str) -> jsonschema.Draft202012Validator:
    found = table(api)
    return jsonschema.Draft202012Validator({"$ref": found["kinds"][kind]["$ref"], "$defs": found["$defs"]})


def validate(document: dict[str, Any]) -> None:
    """Raise jsonschema.ValidationError where the API of this document cannot say what it says."""
    _validator(document["apiVersion"], document["kind"]).validate(document)


def fields(api: str, kind: str) -> dict[tuple[str, ...], Schema]:
    """Every field of a kind by path, objects included; not what lies inside a list."""
    found = table(api)

    def walk(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
        schema = resolved(found, schema)
        if path:
            yield path, schema
        for name, inner in schema.get("properties", {}).items():
            if (*path, name) not in (("apiVersion",), ("kind",)):
                yield from walk(inner, (*path, name))

    return dict(walk(found["kinds"][kind], ()))


def resolved(found: Schema, schema: Schema) -> Schema:
    """A schema of this table, its reference followed."""
    while "$ref" in schema:
        schema = found["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema
