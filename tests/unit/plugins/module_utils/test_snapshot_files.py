# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files belong into a snapshot, how etcd is reached, and how the file is called; tests/etcd takes real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import envelope, pki, snapshot_files
from ansible_collections.kubeadm.ha.plugins.module_utils.snapshot_files import ApiServer
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import bolt_files

FLAGS = {
    "etcd-servers": "https://10.0.0.1:2379,https://10.0.0.2:2379",
    "etcd-cafile": "/etc/etcd/ca.crt",
    "etcd-certfile": "/etc/etcd/client.crt",
    "etcd-keyfile": "/etc/etcd/client.key",
}
CLIENT = tuple(FLAGS[name] for name in ("etcd-cafile", "etcd-certfile", "etcd-keyfile"))
ENDPOINTS = ("https://10.0.0.1:2379", "https://10.0.0.2:2379")
MANIFEST = "/kube-apiserver.yaml"


def server(**changes: str) -> Any:
    flags = {**FLAGS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return snapshot_files.api_server({name: value for name, value in flags.items() if value}, MANIFEST, "cp1")


def test_etcd_is_reached_as_the_api_server_reaches_it() -> None:
    assert server() == ApiServer(ENDPOINTS, CLIENT, "/registry", "")
    told = server(etcd_prefix="/elsewhere", encryption_provider_config="/etc/kubernetes/enc.yaml")
    assert told == ApiServer(ENDPOINTS, CLIENT, "/elsewhere", "/etc/kubernetes/enc.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"etcd_keyfile": ""}, "--etcd-keyfile: found none, wanted a file."),
        ({"etcd_servers": "http://127.0.0.1:2379"}, "--etcd-servers: found http://127.0.0.1:2379, wanted https URLs."),
        ({"etcd_servers": ""}, "--etcd-servers: found none, wanted https URLs."),
    ],
)
def test_etcd_without_tls_is_refused(changes: dict[str, str], said: str) -> None:
    (problem,) = server(**changes)
    assert f"cp1: {MANIFEST}: {said}" in str(problem)


def test_files_are_those_that_control_planes_share_and_what_encrypts_secrets() -> None:
    own = server(encryption_provider_config="/etc/kubernetes/enc.yaml")
    stacked = snapshot_files.wanted_files(own, stacked=True)
    external = snapshot_files.wanted_files(own, stacked=False)
    assert set(stacked) == {*pki.SHARED, "/etc/kubernetes/enc.yaml"}
    assert set(external) == {*pki.paths(pki.COMMON), *CLIENT, "/etc/kubernetes/enc.yaml"}


@given(st.dictionaries(st.text(min_size=1, max_size=30), st.tuples(st.integers(0, 0o777), st.text())))
def test_what_is_put_behind_a_database_comes_back(files: dict[str, tuple[int, str]]) -> None:
    database = bolt_files.with_digest(
        bolt_files.etcd_database(
            [
                (
                    "/registry/configmaps/kube-system/kubeadm-config",
                    bolt_files.config_map(
                        {"ClusterConfiguration": "kind: x\nclusterName: 'prod'\nkubernetesVersion: v1.2.3\n"}
                    ),
                )
            ]
        )
    )
    texts, modes = ({path: one[part] for path, one in files.items()} for part in (1, 0))
    whole = database + snapshot_files.documents(texts, modes)  # type: ignore[arg-type]
    found = snapshot_files.read(
        lambda offset, length: whole[offset : offset + length], len(whole), len(database), "it", "/registry/"
    )
    assert found.files == files
    assert (found.cluster_name, found.kubernetes_version) == ("prod", "v1.2.3")
    json.dumps(snapshot_files.told(found))


def test_files_that_are_none_are_refused() -> None:
    database = bolt_files.with_digest(bolt_files.etcd_database([]))
    for behind in (b"", b"[]", b'{"files": {"/a": {}}}'):
        whole = database + behind
        with pytest.raises(envelope.EnvelopeBroken, match="found no files behind etcd's snapshot"):
            snapshot_files.read(
                lambda offset, length, whole=whole: whole[offset : offset + length],
                len(whole),
                len(database),
                "it",
                "/registry",
            )


def test_name_holds_nothing_that_leads_elsewhere() -> None:
    assert snapshot_files.name("a/../b c", "0123456789ab", "20261120T200000Z") == (
        "a_.._b_c-0123456789ab-20261120T200000Z.snapshot"
    )
