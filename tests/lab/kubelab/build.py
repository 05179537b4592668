# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that must be built before hosts can boot, as much of it at a time as depends on nothing unfinished."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from . import packages
from .artifacts import docker, images, kubernetes, mirror, parts
from .artifacts.base import PACKAGES, base
from .cache import Cache
from .errors import LabError
from .settings import BUILT_KUBERNETES, SUITE

ARCHITECTURE = "x86_64"


@dataclass(frozen=True)
class Build:
    """Folders of finished artefacts."""

    bases: Mapping[str, Path]
    """By release of Debian."""
    stores: Mapping[str, Path] = field(default_factory=dict)
    """Image stores, by folder of /var/lib; none where the lab builds no Kubernetes of the version asked for."""
    mirror: Path | None = None
    """None where the lab builds no Kubernetes of the version asked for."""


def build(cache: Cache, log: Path, version: str, suites: Collection[str] = (SUITE,)) -> Build:
    """Return what hosts of these releases of Debian need, built where the cache lacks it."""
    log.unlink(missing_ok=True)
    packages.install_missing(log)
    known = {*PACKAGES, *kubernetes.COMPILER, kubernetes.BINARY_PACKAGE, *parts.PACKAGES, *docker.PACKAGES}
    packages.candidates(known, log)
    roots = {suite: base(log, suite) for suite in {SUITE, *suites}}
    if version != BUILT_KUBERNETES:
        return Build({suite: cache.get(root) / "root" for suite, root in roots.items()})
    if os.uname().machine != ARCHITECTURE:
        raise LabError(
            "this machine's architecture",
            found=os.uname().machine,
            wanted=f"{ARCHITECTURE}, the only one that the lab builds Kubernetes for",
        )
    programs = kubernetes.binaries(cache, log, version)
    first = [programs, *roots.values(), parts.parts(log)]
    with ThreadPoolExecutor(len(first)) as pool:
        for work in [pool.submit(cache.get, artifact) for artifact in first]:
            work.result()
    stores = {
        "containerd": images.store(cache, log, roots[SUITE], version),
        "docker": docker.store(cache, log, version),
    }
    tree = mirror.mirror(cache, log, version)
    return Build(
        {suite: cache.get(root) / "root" for suite, root in roots.items()},
        {name: cache.get(store) / name for name, store in stores.items()},
        cache.get(tree),
    )
