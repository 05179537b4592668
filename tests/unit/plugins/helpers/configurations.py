# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions of every field, and random ones, made from the collection's own table of fields."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import config_fields, config_values

FOLDER = Path(__file__).parents[2] / "fixtures" / "kubeadm"

texts = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=8)
names = st.text("abc-", min_size=1, max_size=4)
labels = st.text("abc", min_size=1, max_size=4)
arguments = st.dictionaries(labels, texts | st.integers() | st.booleans(), max_size=3)
argument_lists = arguments.map(lambda found: [{"name": key, "value": found[key]} for key in found])
_HEXADECIMAL = st.text("0123456789abcdef", min_size=64, max_size=64)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "flag": st.booleans(),
    "number": st.integers(0, 2**31 - 1),
    "decimal": st.integers(0, 9) | st.sampled_from((0.5, 2.25)),
    "quantity": st.sampled_from(("100m", "1Gi", "1e3", 5)),
    "duration": st.sampled_from(("5m0s", "8760h", "1.5h", "0", "250ms")),
    "duration or nanoseconds": st.sampled_from(("5s", 5_000_000_000)),
    "time": st.just("2030-01-31T12:00:00Z"),
    "path": labels.map("/srv/{}".format),
    "path or url": st.sampled_from(("/srv/kubeconfig", "https://lb.example.com")),
    "socket": st.sampled_from(("/run/crio/crio.sock", "unix:///run/crio/crio.sock")),
    "port": st.integers(1, 65535),
    "address": st.sampled_from(("192.0.2.11", "2001:db8::11")),
    "endpoint": st.sampled_from(("lb.example.com:6443", "[2001:db8::1]:6443")),
    "url": st.sampled_from(("https://192.0.2.21:2379", "https://[2001:db8::21]:2379")),
    "domain": labels.map("{}.local".format),
    "node name": labels,
    "SAN": st.sampled_from(("192.0.2.10", "lb.example.com", "*.example.com")),
    "token": st.just("abcdef.0123456789abcdef"),
    "token group": st.just("system:bootstrappers:ours"),
    "key": _HEXADECIMAL,
    "hash": _HEXADECIMAL.map("sha256:{}".format),
}
# Values that an object cannot be without, and fields that exclude one another.
_REQUIRED = {
    "BootstrapTokenDiscovery": {"apiServerEndpoint"},
    "EnvVar": {"name"},
    "ExternalEtcd": {"endpoints", "caFile", "certFile", "keyFile"},
    "FileDiscovery": {"kubeConfigPath"},
    "HostPathMount": {"name", "hostPath", "mountPath"},
    "Patches": {"directory"},
    "Taint": {"key", "effect"},
}
_EXCLUSIVE = {"Discovery": "file", "EnvVar": "valueFrom", "Etcd": "external"}
# Fields that kubeadm's own defaults exclude.
NEVER_TAKEN = {"BootstrapToken": "expires"}


def objects(name: str, minor: int, oldest: int | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of this type that Kubernetes 1.minor takes, and every other minor from the oldest on."""
    fields = {
        field: values(found.type, minor, oldest)
        for field, found in config_fields.fields(name).items()
        if found.is_of(minor) and found.is_of(oldest or minor) and field != NEVER_TAKEN.get(name)
    }
    required = {field: fields.pop(field).filter(bool) for field in sorted(_REQUIRED.get(name, ()))}
    other = _EXCLUSIVE.get(name)
    if not other:
        return st.fixed_dictionaries(required, optional=fields)
    first = {"Discovery": "bootstrapToken", "EnvVar": "value", "Etcd": "local"}[name]
    return st.one_of(
        st.fixed_dictionaries(required, optional={key: found for key, found in fields.items() if key != left_out})
        for left_out in (other, first)
    )


def values(type_name: str, minor: int, oldest: int | None = None) -> st.SearchStrategy[Any]:
    """Values of a type of the table."""
    if type_name in config_fields.TYPES:
        return objects(type_name, minor, oldest)
    if type_name == "arguments":
        return arguments | argument_lists
    if type_name == "list of HostPathMount":
        return st.lists(objects("HostPathMount", minor), max_size=2, unique_by=lambda volume: volume["name"])
    if type_name.startswith("list of "):
        least = 1 if type_name == "list of url" else 0
        return st.lists(values(type_name[len("list of ") :], minor, oldest), min_size=least, max_size=2)
    if type_name.startswith("map of "):
        return st.dictionaries(labels, values(type_name[len("map of ") :], minor, oldest), max_size=2)
    if type_name in config_values.CHOICES:
        minors = {minor, oldest or minor}
        choices = config_values.CHOICES[type_name].items()
        return st.sampled_from([word for word, (since, until) in choices if all(since <= m <= until for m in minors)])
    return VALUES[type_name]


# JSON of any form, mostly near what is meant: names that the tables know, with values that are wrong for most.
_ALL_NAMES = sorted({field for name in config_fields.TYPES for field in config_fields.fields(name)} | {"name", "value"})
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from(("all", "https://a", "/", "5m")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_ALL_NAMES) | texts | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)


@functools.cache
def _load(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))


def golden(name: str) -> dict[str, Any]:
    """A file of tests/unit/fixtures/kubeadm: its cases by name."""
    return copy.deepcopy(_load(name))


def known_to(name: str, body: Mapping[str, Any], minor: int) -> dict[str, Any]:
    """The part of an object that Kubernetes 1.minor has fields for."""

    def part(type_name: str, value: Any) -> Any:
        inner = type_name.rsplit(" of ", 1)[-1]
        if inner not in config_fields.TYPES:
            return value
        return [known_to(inner, item, minor) for item in value] if "list of" in type_name else part_of(inner, value)

    def part_of(inner: str, value: Any) -> Any:
        return known_to(inner, value, minor)

    fields = config_fields.fields(name)
    found = {key: part(fields[key].type, value) for key, value in body.items() if fields[key].is_of(minor)}
    return {key: value for key, value in found.items() if value != {} or body[key] == {}}


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every path at which a document says something; items of lists share ``[]``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from paths(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from paths(inner, f"{path}[]")
    else:
        yield path


def read(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rendered documents by kind, in the neutral words again: arguments as mappings, moved timeouts where they were."""
    found = {document["kind"]: copy.deepcopy(document) for document in documents}
    cluster = found.get("ClusterConfiguration", {})
    timeout = cluster.get("apiServer", {}).pop("timeoutForControlPlane", None)
    if timeout:
        found["InitConfiguration"].setdefault("timeouts", {})["controlPlaneComponentHealthCheck"] = timeout
    join = found.get("JoinConfiguration", {})
    timeout = join.get("discovery", {}).pop("timeout", None)
    if timeout:
        join.setdefault("timeouts", {})["discovery"] = timeout
    return {kind: neutral(document) for kind, document in found.items()}


def neutral(value: Any, key: str = "") -> Any:
    """A document without what only its form says: nulls, empty objects, apiVersion and kind, sockets with a scheme."""
    if key in ("extraArgs", "kubeletExtraArgs"):
        pairs = value.items() if isinstance(value, Mapping) else ((item["name"], item["value"]) for item in value)
        return {name: str(text).lower() if isinstance(text, bool) else str(text) for name, text in pairs}
    if isinstance(value, Mapping):
        inner = {name: neutral(item, name) for name, item in value.items() if name not in ("apiVersion", "kind")}
        return {name: item for name, item in inner.items() if item is not None and item != {}}
    if isinstance(value, list):
        return [neutral(item) for item in value]
    return value.removeprefix("unix://") if key == "criSocket" else value
