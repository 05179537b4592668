# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk that the virtual machine starts from: Debian with a kernel of its own, and the keys to log in."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from .. import chroot, packages, shell
from ..cache import Artifact
from ..settings import LAB_SOURCES, VIRTUAL_MACHINE
from ..ssh import make_key
from .base import IDLE_UNITS as IDLE_IN_CONTAINERS

FILES = LAB_SOURCES / "vmfs"
"""Files laid over Debian's own."""

PACKAGES = (
    "linux-image-cloud-amd64",
    "systemd-sysv",
    "dbus",
    "udev",
    "openssh-server",
    "python3",
    "python3-apt",
    "iproute2",
    "iptables",
    "ebtables",
    "arptables",
    "conntrack",
    "ethtool",
    "socat",
    "kmod",
    "procps",
)
"""What preflight would install is there already: the machine has no way to a package mirror."""

SIZE = "2G"
"""Of the file system; what is never written takes no room."""

_NEEDED = ("systemd-networkd", "systemd-udev", "getty.target")
_IDLE = (
    "getty@tty1.service",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "serial-getty@ttyS0.service",
    "systemd-binfmt.service",
)
"""Each takes seconds where the processor is emulated."""


def disk(log: Path) -> Artifact:
    """disk.raw and vmlinuz to boot from; id_ed25519 and known_hosts to log in as root."""
    files = sorted(path for path in FILES.rglob("*") if path.is_file())
    ingredients = {**packages.candidates(PACKAGES, log), "sources": "\n".join(packages.debian_sources())}
    return Artifact("disk", "Debian for the virtual machine", _build, ingredients, (Path(__file__), *files))


def _build(target: Path, log: Path) -> None:
    root, files = target / "root", shlex.quote(str(FILES))
    idle = [unit for unit in IDLE_IN_CONTAINERS if not unit.startswith(_NEEDED)]
    hooks = [
        f'tar --create --directory={files} --owner=root --group=root . | tar --extract --directory="$1"',
        f'chroot "$1" systemctl mask {" ".join((*idle, *_IDLE))}',
        'chroot "$1" systemctl enable systemd-networkd.service',
        'rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id',
        ': > "$1/etc/machine-id"',
    ]
    chroot.make(root, log, "minbase", PACKAGES, hooks)
    _lay_keys(target, root)
    # ext4 and NVMe are built into Debian's cloud kernel, so it needs no initial RAM disk.
    kernel = next((root / "boot").glob("vmlinuz-*"))
    shutil.move(kernel, target / "vmlinuz")
    for remains in (root / "boot").glob("initrd.img-*"):
        remains.unlink()
    image = target / "disk.raw"
    with image.open("wb") as empty:
        empty.truncate(0)
    shell.run(["mke2fs", "-q", "-t", "ext4", "-d", root, image, SIZE], log)
    shutil.rmtree(root)


def _lay_keys(target: Path, root: Path) -> None:
    """A key to log in with, which only root of this machine can read, and one that the machine proves itself by."""
    make_key(target / "id_ed25519", "kubeadm-ha-lab")
    host_key = root / "etc/ssh/ssh_host_ed25519_key"
    make_key(host_key, VIRTUAL_MACHINE)
    proof = host_key.with_suffix(".pub").read_text()
    (target / "known_hosts").write_text(f"{VIRTUAL_MACHINE} {proof}")
    folder = root / "root/.ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    allowed = folder / "authorized_keys"
    allowed.write_text((target / "id_ed25519.pub").read_text())
    allowed.chmod(0o600)
