# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs and archives from a folder that stands for a server: by version, by checksum, whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils.changes import ChangeFailed
from ansible_collections.kubeadm.ha.plugins.modules.verified_binaries import Installer

PLUGINS = ["loopback", "bridge"]


def script(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says} >&2\n")
    path.chmod(0o755)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    return folder


def publish(path: Path) -> Path:
    path.with_name(f"{path.name}.sha256").write_text(f"{sha256(path)}  {path.name}\n")
    return path


def program(server: Path, version: str = "v1.20.2") -> Path:
    return publish(script(server / "kubelet", f"Kubernetes {version}"))


def archive(server: Path, words: str) -> Path:
    """An archive of CNI plugins that say this of their version."""
    path = server / "plugins.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name in sorted(PLUGINS):
            tar.add(script(server / "files" / name, f"CNI {name} plugin {words}"), f"./{name}")
    return publish(path)


class Host:
    """A host's folder for programs, and the module on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._installer = Installer(mock.Mock(run_command=self._run), timeout=5)

    @staticmethod
    def _run(argv: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def binary(self, source: Path, **more: Any) -> dict[str, Any]:
        packed = source.suffix == ".tgz"
        place = {
            "dest": str(self.folder if packed else self.folder / source.name),
            "members": PLUGINS if packed else [],
        }
        asked = {"version": "v1.20.2", "version_command": [], "sha256": None}
        return {"url": source.as_uri(), **place, **asked, **more}

    def found(self, binary: dict[str, Any]) -> str:
        return self._installer.found(binary)

    def is_wanted(self, binary: dict[str, Any]) -> bool:
        return self.found(binary) == self._installer.wanted(binary)

    def install(self, binary: dict[str, Any]) -> None:
        assert not self.is_wanted(binary)
        self._installer.install(binary)
        assert self.is_wanted(binary)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


def test_program_is_installed_by_the_checksum_beside_it(host: Host, server: Path) -> None:
    host.install(host.binary(program(server)))


def test_program_of_another_version_is_found_and_replaced(host: Host, server: Path) -> None:
    script(host.folder / "kubelet", "Kubernetes v1.20.20")
    assert host.found(host.binary(program(server))) == "Kubernetes v1.20.20"
    host.install(host.binary(program(server)))


def test_pinned_checksum_is_believed_and_not_the_servers(host: Host, server: Path) -> None:
    source = program(server)
    source.with_name("kubelet.sha256").unlink()
    host.install(host.binary(source, sha256=sha256(source)))


def test_download_that_the_server_vouches_for_is_refused_where_another_is_pinned(host: Host, server: Path) -> None:
    with pytest.raises(ChangeFailed, match=f"wanted {'a' * 64}"):
        host.install(host.binary(program(server), sha256="a" * 64))
    assert list(host.folder.iterdir()) == []


def test_program_that_says_the_version_and_is_another_is_replaced_where_it_is_pinned(host: Host, server: Path) -> None:
    source = program(server)
    script(host.folder / "kubelet", "Kubernetes v1.20.2, with something added")
    assert host.is_wanted(host.binary(source))
    assert host.found(host.binary(source, sha256=sha256(source))) == "another checksum"
    host.install(host.binary(source, sha256=sha256(source)))


def test_pinned_program_of_another_version_is_refused(host: Host, server: Path) -> None:
    source = program(server, "v1.20.1")
    with pytest.raises(ChangeFailed, match="holds something else"):
        host.install(host.binary(source, sha256=sha256(source)))


def test_plugins_are_judged_by_their_own_words(host: Host, server: Path) -> None:
    host.install(host.binary(archive(server, "v1.7.1"), version="v1.7.1"))
    binary = host.binary(archive(server, "v1.7.10"), version="v1.7.10")
    assert host.found(binary) == "CNI loopback plugin v1.7.1"
    host.install(binary)


def test_plugins_of_which_one_was_left_behind_are_not_whole(host: Host, server: Path) -> None:
    binary = host.binary(archive(server, "v1.7.1"), version="v1.7.1")
    host.install(binary)
    script(host.folder / "bridge", "CNI bridge plugin v1.6.0")
    assert host.found(binary) == "CNI bridge plugin v1.6.0"
    (host.folder / "bridge").unlink()
    assert host.found(binary) == f"no {host.folder}/bridge"


def test_plugins_that_do_not_know_their_version_are_left_alone(host: Host, server: Path) -> None:
    host.install(host.binary(archive(server, "version unknown"), version="v1.1.1"))
    assert host.is_wanted(host.binary(archive(server, "version unknown"), version="v1.7.1"))


def test_archive_is_pinned_as_a_download(host: Host, server: Path) -> None:
    source = archive(server, "v1.7.1")
    with pytest.raises(ChangeFailed, match="found sha256"):
        host.install(host.binary(source, version="v1.7.1", sha256="a" * 64))
    host.install(host.binary(source, version="v1.7.1", sha256=sha256(source)))
