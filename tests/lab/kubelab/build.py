# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that must be built before hosts can boot, as much of it at a time as depends on nothing unfinished."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .artifacts import images, kubernetes, mirror, parts
from .artifacts.base import PACKAGES, base
from .cache import Cache
from .errors import LabError
from .settings import BUILT_KUBERNETES

ARCHITECTURE = "x86_64"


@dataclass(frozen=True)
class Build:
    """Folders of finished artefacts."""

    base: Path
    image_store: Path | None = None
    """None where the lab builds no Kubernetes of the version asked for; so is the mirror."""
    mirror: Path | None = None


def build(cache: Cache, log: Path, version: str) -> Build:
    """Return what hosts need, built where the cache lacks it."""
    log.unlink(missing_ok=True)
    packages.install_missing(log)
    packages.candidates({*PACKAGES, *kubernetes.COMPILER, kubernetes.BINARY_PACKAGE, *parts.PACKAGES}, log)
    root = base(log)
    if version != BUILT_KUBERNETES:
        return Build(cache.get(root) / "root")
    if os.uname().machine != ARCHITECTURE:
        raise LabError(
            "this machine's architecture",
            found=os.uname().machine,
            wanted=f"{ARCHITECTURE}, the only one that the lab builds Kubernetes for",
        )
    programs = kubernetes.binaries(cache, log, version)
    first = [programs, root, parts.parts(log)]
    with ThreadPoolExecutor(len(first)) as pool:
        for work in [pool.submit(cache.get, artifact) for artifact in first]:
            work.result()
    store = images.store(cache, log, root, version)
    tree = mirror.mirror(cache, log, version)
    return Build(cache.get(root) / "root", cache.get(store) / "containerd", cache.get(tree))
