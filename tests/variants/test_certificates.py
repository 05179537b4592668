# SPDX-License-Identifier: GPL-3.0-or-later
"""pki_export and pki_import: cp2 gets the certificates that control planes share sealed, all of them, none besides."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support import ROOT, ansible_environment, api, eventually, host, node_is_ready, playbook, succeed

pytestmark = pytest.mark.usefixtures("cluster")

FOLDER = "/etc/kubernetes/pki"
SHARED = (
    "ca.crt",
    "ca.key",
    "sa.pub",
    "sa.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "etcd/ca.crt",
    "etcd/ca.key",
)
LEAVES = (
    *("apiserver", "apiserver-kubelet-client", "front-proxy-client", "apiserver-etcd-client"),
    *("etcd/server", "etcd/peer", "etcd/healthcheck-client"),
)
RECEIVER_KEY = "/run/kubeadm-ha-receiver.key"


def digests(name: str) -> dict[str, str]:
    """SHA-256 by path below the folder."""
    listed = host(name).check_output(f"cd {FOLDER} && find . -type f | xargs sha256sum")
    return {path.removeprefix("./"): digest for digest, path in (line.split() for line in listed.splitlines())}


def test_second_control_plane_has_what_is_shared_and_leaf_certificates_of_its_own() -> None:
    first, second = digests("cp1"), digests("cp2")
    assert {path for path in second if first.get(path) == second[path]} == set(SHARED)
    assert set(second) == {*SHARED, *(f"{leaf}.{kind}" for leaf in LEAVES for kind in ("crt", "key"))}


@pytest.mark.parametrize("path", SHARED)
def test_second_control_plane_keeps_keys_to_root_as_kubeadm_does(path: str) -> None:
    file = host("cp2").file(f"{FOLDER}/{path}")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600 if path.endswith(".key") else 0o644)


def test_nothing_was_uploaded_and_nothing_stayed_for_receiving() -> None:
    assert api().find("/api/v1/namespaces/kube-system/secrets/kubeadm-certs") is None
    assert not host("cp2").file(RECEIVER_KEY).exists


def run_module(name: str, module: str, arguments: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """One module on one host."""
    return subprocess.run(
        [
            "ansible",
            name,
            "-i",
            Path(__file__).parent / "inventory",
            "-m",
            f"kubeadm.ha.{module}",
            "-a",
            arguments,
            *flags,
        ],
        cwd=ROOT,
        env=ansible_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_request_of_an_interrupted_import_is_replaced_by_the_next(inventory: Path) -> None:
    for _attempt in range(2):
        assert run_module("cp2", "pki_import", "state=requested host=cp2").returncode == 0
        file = host("cp2").file(RECEIVER_KEY)
        assert (file.user, file.mode, file.size) == ("root", 0o600, 32)
    digest = host("cp2").check_output(f"sha256sum {RECEIVER_KEY}")
    assert run_module("cp2", "pki_import", "state=requested host=cp2").returncode == 0
    assert host("cp2").check_output(f"sha256sum {RECEIVER_KEY}") != digest
    host("cp2").check_output(f"rm {RECEIVER_KEY}")


@pytest.mark.on_demand
def test_join_that_was_interrupted_is_undone_and_done_again_with_what_was_handed_over(inventory: Path) -> None:
    """As if cp2 had been struck in the middle: some files are here, and a key waits for an envelope.

    Undoing takes away all certificates, those among them that have just been handed over and no download brings again.
    """
    node = host("cp2")
    before = {path: digest for path, digest in digests("cp2").items() if path in SHARED}
    run_module("cp2", "pki_import", "state=requested host=cp2")
    node.check_output(f"cp -a {FOLDER} /run/kept && kubeadm reset --force --cri-socket=/run/containerd/containerd.sock")
    api().delete("/api/v1/nodes/cp2")
    node.check_output(f"mkdir -p {FOLDER} && cp -a /run/kept/ca.* /run/kept/apiserver.* {FOLDER} && rm -rf /run/kept")
    run = succeed(playbook("--diff", inventory=inventory))
    assert re.search(r"cp2 +undo a broken join, then join as control plane", run.output)
    assert {path: digest for path, digest in digests("cp2").items() if path in SHARED} == before
    assert not node.file(RECEIVER_KEY).exists
    eventually(lambda: node_is_ready("cp2"), "cp2 is Ready again")
