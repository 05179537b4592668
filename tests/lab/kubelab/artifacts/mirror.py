# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of downloads with upstream's own paths, for hosts to fetch programs from as they would from the internet."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

from ..cache import Artifact, Cache
from ..settings import BUILT_KUBERNETES, CNI_VERSION, CRICTL_VERSION
from . import apt_repository, kubernetes
from .parts import parts

PLATFORM = "linux-amd64"


def mirror(cache: Cache, log: Path, version: str = BUILT_KUBERNETES) -> Artifact:
    """release/, cri-tools/ and cni-plugins/, each file with its .sha256, and packages in core:/stable:/."""
    programs = kubernetes.binaries(cache, log, version)
    client = kubernetes.crictl(cache, log)
    debian = parts(log)

    def build(target: Path, log: Path) -> None:
        release = target / "release" / f"v{version}" / "bin" / PLATFORM.replace("-", "/")
        release.mkdir(parents=True)
        for name in ("kubeadm", "kubelet", "kubectl"):
            shutil.copy2(cache.get(programs) / "bin" / name, release / name)
            _write_checksum(release / name)
        crictl = target / "cri-tools" / f"v{CRICTL_VERSION}" / f"crictl-v{CRICTL_VERSION}-{PLATFORM}.tar.gz"
        _pack(crictl, [cache.get(client) / "bin" / "crictl"], prefix="")
        _write_checksum(crictl)
        network = cache.get(debian) / "root/usr/lib/cni"
        plugins = target / "cni-plugins" / f"v{CNI_VERSION}" / f"cni-plugins-{PLATFORM}-v{CNI_VERSION}.tgz"
        _pack(plugins, sorted(network.iterdir()), prefix="./")
        _write_checksum(plugins, with_name=True)
        client_program = cache.get(client) / "bin" / "crictl"
        packages = apt_repository.catalogue(version, release, client_program, CRICTL_VERSION, network, CNI_VERSION)
        apt_repository.write(target, version.rpartition(".")[0], packages, log)

    ingredients = {"kubernetes": programs.key, "crictl": client.key, "parts": debian.key, "version": version}
    return Artifact("mirror", "the mirror's tree", build, ingredients, (Path(__file__), Path(apt_repository.__file__)))


def _pack(archive: Path, files: list[Path], prefix: str) -> None:
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for file in files:
            tar.add(file.resolve(), f"{prefix}{file.name}")


def _write_checksum(file: Path, *, with_name: bool = False) -> None:
    """Beside the file: its SHA-256 alone, or as sha256sum prints it."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    file.with_name(f"{file.name}.sha256").write_text(f"{digest}  {file.name}\n" if with_name else digest)
