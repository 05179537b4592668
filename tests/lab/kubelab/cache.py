# SPDX-License-Identifier: GPL-3.0-or-later
"""Artefacts keyed by everything that went into them: built once, used whole, shared by every clone on the machine."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import progress
from .errors import LabError
from .settings import LAB_SOURCES

Builder = Callable[[Path, Path], None]
"""Fills an empty folder (first argument) with the artefact, logging to a file (second argument)."""


@dataclass(frozen=True)
class Artifact:
    """Something that takes long to build and depends on nothing but its ingredients."""

    kind: str
    description: str
    build: Builder
    ingredients: Mapping[str, str]
    """Name to value of everything that decides the result: versions, scripts, keys of other artefacts."""
    recipe: tuple[Path, ...] = ()
    """Files of the lab whose content decides it, too."""

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that change when anything that went in changes."""
        digest = hashlib.sha256(json.dumps(dict(self.ingredients), sort_keys=True).encode())
        for source in self.recipe:
            digest.update(f"{source.relative_to(LAB_SOURCES)}\0".encode() + source.read_bytes())
        return digest.hexdigest()[:12]

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.key}"


class Cache:
    """A folder of finished artefacts, each named kind-key."""

    def __init__(self, root: Path, logs: Path) -> None:
        self.root = root
        self.logs = logs

    def find(self, artifact: Artifact) -> Path | None:
        """The finished artefact's folder, or None while nobody has built it."""
        place = self.root / artifact.name
        return place if place.is_dir() else None

    def get(self, artifact: Artifact) -> Path:
        """The artefact's folder, built first if need be."""
        return self.find(artifact) or self._build(artifact)

    def _build(self, artifact: Artifact) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        place = self.root / artifact.name
        with self._lock(artifact.kind):
            if place.is_dir():
                return place
            half_built = self.root / f".{artifact.kind}.building"
            if half_built.exists():
                shutil.rmtree(half_built)
            half_built.mkdir()
            log = self.logs / f"build-{artifact.kind}.log"
            log.unlink(missing_ok=True)
            with progress.step(f"build {artifact.kind}: {artifact.description}"):
                artifact.build(half_built, log)
            half_built.rename(place)
        return place

    @contextmanager
    def _lock(self, kind: str) -> Iterator[None]:
        """Held by one build of a kind at a time; the kernel frees it when a builder dies."""
        with (self.root / f".{kind}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with progress.step(f"wait for another build of {kind}"):
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def clear(self) -> None:
        """Remove every artefact; refuse while one is being built."""
        if not self.root.is_dir():
            return
        for path in self.root.glob(".*.lock"):
            with path.open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise LabError(
                        f"cache {self.root}",
                        found=f"a build of {path.name[1:-5]} is running",
                        do="wait for it or stop it, then run `lab clean` again",
                    ) from None
        for entry in self.root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.root.rmdir()
