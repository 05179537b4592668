# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of the cluster is taken, leaves nothing on its node, is opened by its owner, and shown to nobody else."""

from __future__ import annotations

import base64
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from owner import OPENED, Owner, made
from support import CONTROL_PLANES, KUBECONFIG, Run, api, host, lab, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_snapshot, identity, kubeconfig, x509
from ansible_collections.kubeadm.ha.plugins.modules import cluster_snapshot_info

SECRETS = "/api/v1/namespaces/default/secrets"
CANARY = "canary-in-a-snapshot"
# Where Ansible, the collection and whoever is killed might leave something.
LEFT = "/var/spool /tmp /var/tmp /run /root /dev/shm"
SPOOL = "/var/spool/kubeadm.ha"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return made(tmp_path_factory.mktemp("owner"))


@pytest.fixture(scope="module")
def cluster_id() -> str:
    return identity.cluster_id(x509.parse(kubeconfig.parse(KUBECONFIG.read_text()).ca).public_key_hash)


@pytest.fixture(scope="module")
def secret(cluster: None) -> Iterator[None]:
    """What a snapshot holds and nobody may see."""
    data = {"value": base64.b64encode(CANARY.encode()).decode()}
    api().create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"}, "data": data})
    yield
    api().delete(f"{SECRETS}/canary")


@pytest.fixture(scope="module")
def taken(owner: Owner, secret: None) -> Run:
    """Foretold first, and then taken while one control plane does not answer."""
    foretold = succeed(owner.take("--check", "--diff"))
    assert "an encrypted snapshot, 0600" in foretold.output
    assert owner.snapshots == []
    try:
        lab("cut", "cp1", "--from", "controller")
        return succeed(owner.take("-vvvv", "--diff"))
    finally:
        lab("heal", "cp1")


def found_in_clear(name: str) -> str:
    """Files of a host that hold the canary or a CA's key, beside etcd's and kubeadm's own."""
    key = host(name).check_output("sed -n 2p /etc/kubernetes/pki/ca.key")
    pattern = f"-e {CANARY} -e {key[:40]}"
    return host(name).run(f"grep -rlaF --devices=skip --exclude-dir=containerd {pattern} {LEFT}").stdout


def test_snapshot_is_kept_under_its_name_for_its_owner_alone(taken: Run, owner: Owner, cluster_id: str) -> None:
    (path,) = owner.snapshots
    assert re.fullmatch(rf"lab-{cluster_id}-\d{{8}}T\d{{6}}Z\.snapshot", path.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert CANARY.encode() not in content
    assert b"PRIVATE KEY" not in content
    told = cluster_snapshot_info.look(
        {
            "path": str(path),
            "cluster_id": cluster_id,
            "kube_system_uid": "",
            "least_revision": 1,
            "keys": [],
            "prefix": "",
        }
    )
    assert told["header"]["etcd"]["members"] == [*CONTROL_PLANES]
    assert told["header"]["kubernetes_version"] == "v1.20.2"
    # As a job template hands it on, and as a person reads it.
    assert f'"file": "{path}"' in taken.output or f"file: {path}" in taken.output
    assert f"etcd: revision {told['revision']}, {told['keys']} keys" in taken.output


def test_nothing_of_it_stays_on_a_node_or_in_what_was_printed(taken: Run, owner: Owner) -> None:
    for name in CONTROL_PLANES:
        assert host(name).run(f"find {SPOOL} -type f").stdout == ""
        assert found_in_clear(name) == ""
    keys = [line for name in ("ca", "sa", "etcd/ca") for line in key_lines("cp1", f"/etc/kubernetes/pki/{name}.key")]
    assert [line for line in (*keys, CANARY) if line in taken.output] == []


def key_lines(name: str, path: str) -> list[str]:
    return host(name).check_output(f"grep -v -- ---- {path}").splitlines()


def test_owner_opens_it_on_a_host_and_nobody_else_does(
    taken: Run, owner: Owner, cluster_id: str, tmp_path: Path
) -> None:
    node, stranger = "cp2", made(tmp_path)
    refused = owner.open(node, key=stranger.private)
    assert refused.code != 0
    assert "to which the file is sealed. Give that." in refused.output
    assert not host(node).file(OPENED).exists
    foretold = succeed(owner.open(node, "-vvvv", "--diff", "--check"))
    assert f"{OPENED}/etcd.db" in foretold.output
    assert not host(node).file(OPENED).exists
    run = succeed(owner.open(node, "-e", f"snapshot_open_cluster_id={cluster_id}", "-vvvv", "--diff"))
    try:
        copy = tmp_path / "etcd.db"
        copy.write_bytes(base64.b64decode(host(node).check_output(f"base64 -w0 {OPENED}/etcd.db")))
        key = "/registry/secrets/default/canary"
        found = etcd_snapshot.read(str(copy), keys=[key])
        assert CANARY.encode() in found.values[key]
        assert etcd_snapshot.verify(str(copy), cluster_id=cluster_id, kube_system_uid=uid())[1] == []
        assert host(node).file(f"{OPENED}/etcd.db").mode == 0o600
        for name in ("ca.key", "ca.crt", "sa.key", "etcd/ca.key", "front-proxy-ca.crt"):
            path = f"/etc/kubernetes/pki/{name}"
            same = host(node).run(f"cmp {path} {OPENED}{path}")
            assert same.rc == 0, same.stdout
            assert host(node).file(OPENED + path).mode == host(node).file(path).mode
        configuration = host(node).file(f"{OPENED}/etc/kubernetes/kubeadm-config.yaml").content_string
        assert "clusterName: lab" in configuration
        assert host(node).run(f"find {SPOOL} /run/kubeadm-ha-snapshot.key -type f").stdout == ""
        secrets = [
            *key_lines(node, "/etc/kubernetes/pki/ca.key"),
            *owner.private.read_text().splitlines()[1:-1],
            CANARY,
        ]
        assert [line for line in secrets if line in run.output] == []
    finally:
        host(node).check_output(f"rm -r {OPENED}")


def uid() -> str:
    return api().get("/api/v1/namespaces/kube-system")["metadata"]["uid"]


def test_private_key_given_by_mistake_is_refused_and_not_passed_on(owner: Owner, secret: None) -> None:
    run = owner.take("-vvvv", key=owner.private)
    assert run.code != 0
    assert "public key: found a private key, wanted the public half alone." in run.output
    assert [line for line in owner.private.read_text().splitlines()[1:-1] if line in run.output] == []
    assert len(owner.snapshots) <= 1
