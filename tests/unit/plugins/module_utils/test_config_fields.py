# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's one table of fields says what the APIs' own tables say, field by field and type by type."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import config_fields, config_values, versions
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import api_tables

JSON_TYPES = {
    "flag": "boolean",
    "number": "integer",
    "port": "integer",
    "decimal": "number",
    "quantity": "string or integer",
    "duration or nanoseconds": "string or integer",
}
KUBEADM = "kubeadm.k8s.io"
OLDER = ("ClusterConfiguration", "InitConfiguration", "JoinConfiguration")
COMPONENTS = ("KubeletConfiguration", "KubeProxyConfiguration")
# An API's table, and the minor at which the collection's is to be the same.
TABLES = [
    *((f"{KUBEADM}/v1beta2", kind, "1.20", 20) for kind in OLDER),
    *((f"{KUBEADM}/v1beta3", kind, "1.20", 30) for kind in OLDER),
    *((api, kind, "1.20", 36) for kind, api in config_fields.KINDS.items() if api.startswith(KUBEADM)),
    *((config_fields.KINDS[kind], kind, f"1.{minor}", minor) for kind in COMPONENTS for minor in (20, 36)),
]
# What older APIs say in other words, and what is said to their kubeadms by arguments.
MOVED = {
    "InitConfiguration": {"timeouts.controlPlaneComponentHealthCheck": "string"},
    "JoinConfiguration": {"timeouts.discovery": "string"},
}
MOVED_FROM = {"ClusterConfiguration": {"apiServer.timeoutForControlPlane"}, "JoinConfiguration": {"discovery.timeout"}}
BY_ARGUMENT = {"skipPhases[]": "string", "patches.directory": "string"}


def leaves(kind: str, minor: int | None, *, arguments_are_lists: bool = True) -> dict[str, str]:
    """The type of every value that our table has for this kind and minor, as ``api_tables.leaves`` has them."""

    def walk(type_name: str, path: str) -> Iterator[tuple[str, str]]:
        if type_name in config_fields.TYPES:
            for name, field in config_fields.fields(type_name).items():
                if field.is_of(minor):
                    yield from walk(field.type, f"{path}.{name}" if path else name)
        elif type_name == "arguments" and arguments_are_lists:
            yield from ((f"{path}[].{name}", "string") for name in ("name", "value"))
        elif type_name == "arguments":
            yield f"{path}{{}}", "string"
        elif type_name.startswith("list of "):
            yield from walk(type_name[len("list of ") :], f"{path}[]")
        elif type_name.startswith("map of "):
            yield from walk(type_name[len("map of ") :], f"{path}{{}}")
        else:
            yield path, JSON_TYPES.get(type_name, "string")

    return dict(walk(kind, ""))


@pytest.mark.parametrize(("api", "kind", "release", "minor"), TABLES)
def test_table_is_that_of_the_api(api: str, kind: str, release: str, minor: int) -> None:
    expected = api_tables.leaves(api, kind, release)
    older = api in (f"{KUBEADM}/v1beta2", f"{KUBEADM}/v1beta3")
    if older:
        expected = {path: type_ for path, type_ in expected.items() if path not in MOVED_FROM.get(kind, ())}
        expected.update(MOVED.get(kind, {}))
    if api.endswith("v1beta2") and kind != "ClusterConfiguration":
        expected.update(BY_ARGUMENT)
    assert leaves(kind, minor, arguments_are_lists=not older) == expected


@pytest.mark.parametrize(
    ("kind", "minor", "path"),
    [
        ("ClusterConfiguration", 35, "etcd.external.httpEndpoints[]"),
        ("UpgradeConfiguration", 33, "plan.etcdUpgrade"),
        ("KubeletConfiguration", 31, "failCgroupV1"),
        ("KubeletConfiguration", 22, "memorySwap.swapBehavior"),
        ("KubeProxyConfiguration", 29, "nftables.syncPeriod"),
    ],
)
def test_field_that_came_within_an_api_is_known_from_its_minor_on(kind: str, minor: int, path: str) -> None:
    assert path in leaves(kind, minor)
    assert path not in leaves(kind, minor - 1)


@pytest.mark.parametrize("minor", range(versions.OLDEST_MINOR + 1, versions.NEWEST_MINOR))
@pytest.mark.parametrize("path", ["tracing.endpoint", "logging.sanitization"])
def test_field_of_one_end_is_let_through_for_the_minors_between(path: str, minor: int) -> None:
    assert path in leaves("KubeletConfiguration", minor)


def test_every_object_and_type_of_the_table_is_used_and_there() -> None:
    used = {field.type for name in config_fields.TYPES for field in config_fields.fields(name).values()}
    used = {name.rsplit(" of ", 1)[-1] for name in used} - {"arguments"}
    there = {*config_fields.TYPES, *config_values.TYPES, *config_values.CHOICES}
    assert used ^ (there - config_fields.KINDS.keys()) == set()
