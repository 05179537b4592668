# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian root file systems: making them, and running commands in them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import packages, shell
from .settings import SUITE

MACHINE_CERTIFICATES = Path("/usr/local/share/ca-certificates")
"""Certificate authorities that a person added to this machine; a mirror may need them."""

_ENVIRONMENT = ("HOME=/root", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def make(
    root: Path,
    log: Path,
    variant: str,
    include: Iterable[str],
    hooks: Sequence[str] = (),
    *,
    keep_lists: bool = False,
    suite: str = SUITE,
) -> None:
    """Fill root with Debian from this machine's own sources, or mmdebstrap's if the machine has none for the release.

    hooks: shell commands run at the end, with root as $1. keep_lists: whether apt's package lists stay.
    """
    command = ["mmdebstrap", "--mode=root", f"--variant={variant}", f"--include={','.join(include)}"]
    command += [f"--aptopt={line.rstrip(';')}" for line in packages.apt_settings().splitlines()]
    command += [f"--customize-hook={hook}" for hook in hooks]
    command += ["--skip=cleanup/apt/lists"] if keep_lists else []
    if suite != SUITE:
        # A mirror that stands still for this machine's release may be older than the other one's lists are valid.
        command += ['--aptopt=Acquire::Check-Valid-Until "false"']
    shell.run([*shell.CONTAINED, *command, suite, root, *packages.debian_sources(suite)], log)


def run(
    root: Path,
    script: str,
    log: Path,
    *,
    read_only: bool = False,
    writable: Mapping[str, Path] | None = None,
    readable: Mapping[str, Path] | None = None,
    overlaid: Mapping[str, Path] | None = None,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run a bash script in root; nothing stays mounted or running afterwards.

    read_only: whether root itself must stay as it is; /run is always empty at first, and lost afterwards.
    writable, readable: place in root to file or folder of this machine, mounted there.
    overlaid: place in root to scratch folder that takes the writes made there.
    """
    mounts: list[list[str | Path]] = []

    def mount(place: str, *words: str | Path) -> None:
        mounts.append(["mount", *words, f"{root}{place}"])

    if read_only:
        mount("", "--bind", root)
        mount("", "--options", "remount,bind,ro")
    mount("/proc", "--types", "proc", "proc")
    mount("/run", "--types", "tmpfs", "--options", "mode=755", "tmpfs")
    for place in ("/dev", "/sys"):
        mount(place, "--rbind", place)
    for place, source in (writable or {}).items():
        mount(place, "--bind", source)
    for place, source in (readable or {}).items():
        mount(place, "--bind", "--options", "ro", source)
    for place, scratch in (overlaid or {}).items():
        layers = {"lowerdir": f"{root}{place}", "upperdir": scratch / "changes", "workdir": scratch / "work"}
        for folder in ("changes", "work"):
            (scratch / folder).mkdir(parents=True)
        mount(place, "--types", "overlay", "--options", ",".join(f"{k}={v}" for k, v in layers.items()), "overlay")

    environment = [*_ENVIRONMENT, *(f"{name}={value}" for name, value in (variables or {}).items())]
    inside = [
        "env",
        "--ignore-environment",
        *environment,
        "chroot",
        root,
        "/bin/bash",
        "-euxo",
        "pipefail",
        "-c",
        script,
    ]
    steps = [shlex.join(map(str, words)) for words in [*mounts, ["exec", *inside]]]
    shell.run([*shell.CONTAINED, "/bin/sh", "-ec", "\n".join(steps)], log)
