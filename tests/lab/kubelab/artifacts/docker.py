# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker store that holds the images unpacked, for hosts that get Docker later."""

from __future__ import annotations

import shutil
from pathlib import Path

from .. import chroot, packages
from ..cache import Artifact, Cache
from ..settings import BUILT_KUBERNETES
from . import images

PACKAGES = ("docker.io", "bash", "coreutils")

_LOAD = """
containerd --root /tmp/containerd --state /run/containerd &
dockerd --host unix:///run/docker.sock --containerd /run/containerd/containerd.sock --exec-root /run/docker \\
  --pidfile /run/docker.pid --bridge none --iptables=false --storage-driver overlay2 &
export DOCKER_HOST=unix:///run/docker.sock
until docker version > /run/version 2>&1; do sleep 0.1; done
for archive in /srv/*.tar; do docker load --input "$archive"; done
kill %2
wait %2
kill %1
wait %1
"""


def store(cache: Cache, log: Path, version: str = BUILT_KUBERNETES) -> Artifact:
    """A Docker's folder with all images loaded, in docker/."""
    archives = images.archives(cache, log, version)

    def build(target: Path, log: Path) -> None:
        root, scratch, folder = (target / name for name in ("root", "scratch", "docker"))
        chroot.make(root, log, "extract", PACKAGES)
        writable = {"/var/lib/docker": folder, "/etc/docker": scratch / "key", "/tmp": scratch / "tmp"}
        for place in (*writable.values(), *(root / place.lstrip("/") for place in (*writable, "/srv"))):
            place.mkdir(parents=True, exist_ok=True)
        chroot.run(root, _LOAD, log, read_only=True, writable=writable, readable={"/srv": cache.get(archives)})
        for place in (root, scratch, *(entry for entry in folder.iterdir() if entry.name not in ("image", "overlay2"))):
            shutil.rmtree(place)

    ingredients = {"images": archives.key, **packages.candidates(PACKAGES, log), "script": _LOAD}
    return Artifact("docker-store", "Docker's store with all images unpacked", build, ingredients)
