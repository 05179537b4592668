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
    "kubelet.config.k8s.io/v1beta1": "kubelet-v1beta1-{}.json",
    "kubeproxy.config.k8s.io/v1alpha1": "kubeproxy-v1alpha1-{}.json",
}
# What the Go types decode by rules of their own, and the tables show as objects without fields.
_OWN_RULES = {
    "resource.QuantityValue": {"type": ["string", "integer"]},
    "v1.TimeOrMetaDuration": {"type": ["string", "integer"]},
}


@functools.cache
def table(api: str, release: str = "1.20") -> Schema:
    """The table of an apiVersion; of 1.20 or 1.36, where the API went on without a new name."""
    found = json.loads((FOLDER / _FILES[api].format(release)).read_text(encoding="utf-8"))
    found["$defs"].update({name: schema for name, schema in _OWN_RULES.items() if name in found["$defs"]})
    return found


@functools.cache
def _validator(api: str, kind: str, release: str) -> jsonschema.Draft202012Validator:
    found = table(api, release)
    return jsonschema.Draft202012Validator({"$ref": found["kinds"][kind]["$ref"], "$defs": found["$defs"]})


def validate(document: dict[str, Any], release: str = "1.20") -> None:
    """Raise jsonschema.ValidationError where the API of this document cannot say what it says."""
    _validator(document["apiVersion"], document["kind"], release).validate(document)


def leaves(api: str, kind: str, release: str = "1.20") -> dict[str, str]:
    """The type of every value that a kind can hold, by its path; lists and maps add ``[]`` and ``{}`` to it."""
    found = table(api, release)

    def walk(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
        schema = resolved(found, schema)
        if "properties" in schema:
            for name, inner in schema["properties"].items():
                yield from walk(inner, f"{path}.{name}" if path else name)
        elif schema["type"] == "array":
            yield from walk(schema["items"], f"{path}[]")
        elif schema["type"] == "object":
            yield from walk(schema["additionalProperties"], f"{path}{{}}")
        else:
            yield path, schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])

    every = dict(walk(found["kinds"][kind], ""))
    return {path: type_ for path, type_ in every.items() if path not in ("apiVersion", "kind")}


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
