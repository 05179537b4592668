# SPDX-License-Identifier: GPL-3.0-or-later
"""What a power cut leaves of kubeadm init's certificates, and that kubeadm goes on once the half of it is put aside."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import pki
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_each


def make_certificates(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["init", "phase", "certs", "all", f"--cert-dir={folder}", "--kubernetes-version=v1.20.2"]
    words += ["--control-plane-endpoint=127.0.0.1:6443"]
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def whole(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that kubeadm makes."""
    folder = tmp_path_factory.mktemp("pki")
    assert make_certificates(program, folder).returncode == 0
    return folder


def contents(folder: Path) -> dict[str, str | OSError]:
    """What half_made asks for, of a folder that stands for kubeadm's own."""
    there = read_each(path.replace(pki.FOLDER, str(folder)) for path in pki.paths(pki.ALL))
    return {path.replace(str(folder), pki.FOLDER): content for path, content in there.items()}


def test_what_kubeadm_makes_is_whole(whole: Path) -> None:
    assert len(contents(whole)) == len(pki.paths(pki.ALL))
    assert pki.half_made(contents(whole)) == []


def test_authority_whose_key_is_kept_elsewhere_is_whole(whole: Path) -> None:
    there = contents(whole)
    del there[str(pki.CLUSTER_CA.private)]
    assert pki.half_made(there) == []


# kubeadm writes a key before its certificate.
STRUCK = [("ca.crt", False), ("apiserver.crt", False), ("etcd/ca.crt", False), ("sa.pub", False)]
STRUCK += [(name, True) for name in ("ca.crt", "front-proxy-ca.key", "etcd/peer.crt", "apiserver.key", "sa.key")]


@pytest.mark.parametrize(("name", "emptied"), STRUCK, ids=[f"{name}-{'empty' if e else 'gone'}" for name, e in STRUCK])
def test_kubeadm_goes_on_where_it_was_stopped_once_what_is_half_made_is_aside(
    program: Path, whole: Path, tmp_path: Path, name: str, emptied: bool
) -> None:
    folder = tmp_path / "pki"
    subprocess.run(["cp", "--archive", whole, folder], check=True)
    struck = folder / name
    struck.write_text("") if emptied else struck.unlink()
    for half in pki.half_made(contents(folder)):
        (folder / Path(half).relative_to(pki.FOLDER)).unlink()
    done = make_certificates(program, folder)
    assert done.returncode == 0, done.stderr
    assert len(contents(folder)) == len(pki.paths(pki.ALL))
    assert pki.half_made(contents(folder)) == []
