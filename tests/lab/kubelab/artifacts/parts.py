# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that images and the mirror take from Debian as they are."""

from __future__ import annotations

from pathlib import Path

from .. import chroot, packages
from ..cache import Artifact

PACKAGES = ("etcd-server", "etcd-client", "busybox-static", "iptables", "conntrack", "containernetworking-plugins")


def parts(log: Path) -> Artifact:
    """The packages' files and those of what they depend on, in root/: unpacked, not installed."""

    def build(target: Path, log: Path) -> None:
        chroot.make(target / "root", log, "extract", PACKAGES)

    return Artifact("parts", "etcd, busybox, iptables and network plugins", build, packages.candidates(PACKAGES, log))
