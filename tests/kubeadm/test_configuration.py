# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm reads what is rendered for it, all of it, and takes no value that the collection refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeadm.ha.plugins.module_utils import config_check, kubeadm_config, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm_config import Description
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import configurations

VERSION = versions.parse("1.20.2")
KINDS = {"init": ("InitConfiguration", "ClusterConfiguration"), "join": ("JoinConfiguration",)}


@pytest.fixture
def config_migrate(program: Path, tmp_path: Path) -> Any:
    """What kubeadm makes of documents: its own reading of them by kind, what it said, and its exit code."""

    def run(documents: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], str, int]:
        path = tmp_path / "kubeadm.yaml"
        path.write_text(kubeadm_config.dump(documents), encoding="utf-8")
        done = subprocess.run(
            [program, "config", "migrate", "--old-config", path], capture_output=True, text=True, check=False
        )
        found = {document["kind"]: document for document in yaml.safe_load_all(done.stdout)} if done.stdout else {}
        return found, done.stderr, done.returncode

    return run


def in_all(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Where what was found lacks something of what was wanted; defaults may stand beside it."""
    if isinstance(wanted, dict):
        inner = found if isinstance(found, dict) else {}
        return [place for key, value in wanted.items() for place in in_all(value, inner.get(key), f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            place for index, value in enumerate(wanted) for place in in_all(value, found[index], f"{path}[{index}]")
        ]
    # Go leaves false out.
    return [] if wanted == found or (wanted is False and found is None) else [f"{path}: {found!r} for {wanted!r}"]


@pytest.mark.parametrize("command", ["init", "init with etcd of its own", "join", "join by a file"])
def test_kubeadm_reads_every_field_as_it_was_meant(config_migrate: Any, command: str) -> None:
    documents = configurations.golden("v1beta2")[command]
    for document in documents:
        if document["kind"] == "ClusterConfiguration":
            # Without a version it asks the internet for one.
            document.setdefault("kubernetesVersion", "v1.20.2")
    found, said, code = config_migrate(documents)
    assert code == 0, said
    assert "unknown field" not in said
    for document in documents:
        assert in_all(document, found[document["kind"]]) == []


# What kubeadm itself refuses, so that nobody is refused for our sake; what it lets through and then does not start
# with is not here.
REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("init", "cluster", {"etcd": {"local": {}, "external": {"endpoints": ["https://192.0.2.1:2379"]}}}),
    ("init", "cluster", {"etcd": {"external": {"endpoints": ["http://192.0.2.1:2379"], "caFile": "/ca.crt"}}}),
    ("init", "cluster", {"etcd": {"external": {"endpoints": ["192.0.2.1:2379"]}}}),
    ("init", "cluster", {"etcd": {"external": {"endpoints": ["https://a:2379"], "certFile": "/a", "caFile": "/b"}}}),
    ("init", "cluster", {"etcd": {"external": {"endpoints": ["https://a:2379"], "certFile": "/a", "keyFile": "/b"}}}),
    ("init", "cluster", {"etcd": {"external": {"endpoints": ["https://a:2379"], "caFile": "ca.crt"}}}),
    ("init", "cluster", {"etcd": {"local": {"dataDir": "etcd"}}}),
    ("init", "cluster", {"etcd": {"local": {"serverCertSANs": ["UPPER.example.com"]}}}),
    ("init", "cluster", {"certificatesDir": "pki"}),
    ("init", "cluster", {"apiServer": {"certSANs": ["10.0.0.0/8"]}}),
    ("init", "cluster", {"networking": {"dnsDomain": "Cluster.local"}}),
    ("init", "cluster", {"featureGates": {"EtcdLearnerMode": True}}),
    ("init", "node", {"nodeRegistration": {"name": "CP_1"}}),
    ("init", "node", {"localAPIEndpoint": {"advertiseAddress": "cp1"}}),
    ("init", "node", {"localAPIEndpoint": {"advertiseAddress": "192.0.2.1", "bindPort": 70000}}),
    ("init", "node", {"bootstrapTokens": [{"token": "abcdef.0123"}]}),
    ("init", "node", {"bootstrapTokens": [{"token": "abcdef.0123456789abcdef", "usages": ["sign"]}]}),
    ("init", "node", {"bootstrapTokens": [{"token": "abcdef.0123456789abcdef", "groups": ["system:nodes"]}]}),
    ("init", "node", {"bootstrapTokens": [{"token": "abcdef.0123456789abcdef", "ttl": "1 day"}]}),
    (
        "init",
        "node",
        {"bootstrapTokens": [{"token": "abcdef.0123456789abcdef", "expires": "2030-01-31T12:00:00Z"}]},
    ),
    ("join", "node", {"discovery": {"file": {"kubeConfigPath": "http://lb"}}}),
    (
        "join",
        "node",
        {
            "discovery": {
                "bootstrapToken": {"apiServerEndpoint": "lb", "token": "abcdef.0123456789abcdef"},
                "tlsBootstrapToken": "abcdef.0123456789abcdef",
            }
        },
    ),
]


@pytest.mark.parametrize(("command", "part", "body"), REFUSED)
def test_kubeadm_takes_no_value_that_is_refused(
    config_migrate: Any, command: str, part: str, body: dict[str, Any]
) -> None:
    kind = "ClusterConfiguration" if part == "cluster" else KINDS[command][0]
    assert config_check.check(kind, body, VERSION) != []
    documents = [{"apiVersion": "kubeadm.k8s.io/v1beta2", "kind": kind, **body}]
    if command == "init":
        rest = kubeadm_config.render_init(Description(cluster={"kubernetesVersion": "v1.20.2"}), VERSION)
        documents = [document if document["kind"] != kind else {**document, **documents[0]} for document in rest]
    _found, said, code = config_migrate(documents)
    assert code != 0, said


def test_kubeadm_says_which_field_it_does_not_know(config_migrate: Any) -> None:
    """The words that the tests above look for are the ones that it uses."""
    document = {"apiVersion": "kubeadm.k8s.io/v1beta2", "kind": "ClusterConfiguration", "kubernetesVersion": "v1.20.2"}
    _found, said, _code = config_migrate([{**document, "nonsense": 1}])
    assert 'unknown field "nonsense"' in said
