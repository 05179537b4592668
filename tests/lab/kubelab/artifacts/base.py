# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system that every host starts from: Debian with a container runtime, as a cloud image would be."""

from __future__ import annotations

import functools
import shlex
import shutil
from pathlib import Path

from .. import chroot, packages
from ..cache import Artifact
from ..settings import LAB_SOURCES, SUITE

ROOTFS = LAB_SOURCES / "rootfs"
"""Files laid over Debian's own."""

PACKAGES = (
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "python3-apt",
    "ca-certificates",
    "curl",
    "openssl",
    "iproute2",
    "iptables",
    "ebtables",
    "arptables",
    "iputils-ping",
    "conntrack",
    "ethtool",
    "socat",
    "kmod",
    "procps",
    "containerd",
    "runc",
)
"""Nothing that the collection installs by itself (haproxy, keepalived, python3-cryptography, Kubernetes)."""

TO_COME = ("haproxy", "keepalived", "python3-cryptography", "docker.io", "docker-cli")
"""What hosts may be asked to install. Of anything else apt knows on them only after an update."""

TRIM_LISTS = Path(__file__).with_name("trim_lists")

IDLE_UNITS = (
    "apt-daily.timer",
    "apt-daily.service",
    "apt-daily-upgrade.timer",
    "apt-daily-upgrade.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
    "dev-hugepages.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "console-getty.service",
    "getty.target",
    "systemd-logind.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-pcrphase.service",
    "systemd-pcrphase-sysinit.service",
)
"""Units of no use on a host without console, disks or firmware; each would cost memory or boot time on every host."""


def base(log: Path, suite: str = SUITE) -> Artifact:
    """Debian with PACKAGES, in root/. What another release has of them, this machine's apt cannot tell."""
    certificates = {path.name: path.read_text() for path in sorted(chroot.MACHINE_CERTIFICATES.glob("**/*.crt"))}
    files = sorted(path for path in ROOTFS.rglob("*") if path.is_file())
    ingredients = {
        **(packages.candidates(PACKAGES, log) if suite == SUITE else dict.fromkeys(PACKAGES, suite)),
        **certificates,
        "sources": "\n".join(packages.debian_sources(suite)),
        "apt": packages.apt_settings(),
    }
    kind, name = ("base", "Debian") if suite == SUITE else (f"base-{suite}", f"Debian's {suite}")
    build = functools.partial(_build, suite=suite)
    return Artifact(kind, f"{name} for the hosts", build, ingredients, (Path(__file__), TRIM_LISTS, *files))


def _build(target: Path, log: Path, *, suite: str) -> None:
    root = target / "root"
    certificates = chroot.MACHINE_CERTIFICATES
    files = shlex.quote(str(ROOTFS))
    hooks = [
        f'tar --create --directory={files} --owner=root --group=root . | tar --extract --directory="$1"',
        f'[ ! -d {certificates} ] || cp --recursive {certificates}/. "$1{certificates}/"',
        'chroot "$1" update-ca-certificates',
        f'chroot "$1" systemctl mask {" ".join(IDLE_UNITS)}',
        'chroot "$1" systemctl enable lab-cgroups.service lab-network.service',
        # Each host brings its own.
        'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname" "$1/etc/resolv.conf"',
        'rm -f "$1"/etc/machine-id "$1"/var/lib/dbus/machine-id && touch "$1/etc/machine-id"',
        f'{shlex.quote(str(TRIM_LISTS))} "$1" {" ".join(TO_COME)}',
    ]
    chroot.make(root, log, "minbase", PACKAGES, hooks, keep_lists=True, suite=suite)
    shutil.rmtree(root / "var/lib/containerd", ignore_errors=True)
    for place in ("var/lib/containerd", "var/lib/docker", "var/lib/kubelet", "var/lib/etcd"):
        (root / place).mkdir(mode=0o700)
