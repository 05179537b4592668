# SPDX-License-Identifier: GPL-3.0-or-later
"""An apt repository of upstream's layout: a flat one for each minor version of Kubernetes, signed by its own key."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from .. import shell

ROOT = "core:/stable:"
REVISION = "1.1"
ARCHITECTURE = "amd64"
MAINTAINER = "The lab <root@localhost>"

# The unit knows nothing of kubeadm: what kubeadm writes is read by the drop-in that comes with it.
_UNIT = """\
[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"""
_DROP_IN = """\
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""


@dataclass(frozen=True)
class Package:
    """One binary package.

    Attributes:
        files: place on a host to what lies there: a file of this machine, or a text.
        conffiles: those of them that are the administrator's to change.
    """

    name: str
    version: str
    depends: str = ""
    files: Mapping[str, Path | str] = field(default_factory=dict)
    conffiles: tuple[str, ...] = ()

    @property
    def control(self) -> str:
        depends = f"Depends: {self.depends}\n" if self.depends else ""
        return (
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: {ARCHITECTURE}\nMaintainer: {MAINTAINER}\n"
            f"{depends}Section: admin\nPriority: optional\nDescription: {self.name}, as the lab built it\n"
        )

    def build(self, folder: Path, log: Path) -> Path:
        """Write the package into the folder; not compressed, for it only ever crosses a bridge of this machine."""
        file = folder / f"{self.name}_{self.version}_{ARCHITECTURE}.deb"
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            root = Path(scratch) / "root"
            (root / "DEBIAN").mkdir(parents=True)
            root.chmod(0o755)
            (root / "DEBIAN/control").write_text(self.control)
            (root / "DEBIAN/conffiles").write_text("".join(f"/{place}\n" for place in self.conffiles))
            for place, content in self.files.items():
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, str):
                    (root / place).write_text(content)
                else:
                    shutil.copyfile(content, root / place)
                (root / place).chmod(0o644 if isinstance(content, str) else 0o755)
            shell.run(["dpkg-deb", "--build", "--root-owner-group", "-Znone", root, file], log)
        return file


def catalogue(
    version: str, programs: Path, crictl: Path, crictl_version: str, plugins: Path, plugins_version: str
) -> list[Package]:
    """Upstream's packages for one version: names, dependencies, and who brings the kubelet's unit and its drop-in.

    programs: folder of Kubernetes's programs. crictl: the program. plugins: folder of the CNI plugins.
    """
    network = {f"opt/cni/bin/{plugin.name}": plugin.resolve() for plugin in sorted(plugins.iterdir())}
    return [
        Package(
            "kubeadm",
            f"{version}-{REVISION}",
            "kubelet (>= 1.19.0), kubectl (>= 1.19.0), kubernetes-cni (>= 1.1.1), cri-tools (>= 1.19.0)",
            {
                "usr/bin/kubeadm": programs / "kubeadm",
                "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": _DROP_IN,
            },
        ),
        Package(
            "kubelet",
            f"{version}-{REVISION}",
            "iptables (>= 1.4.21), kubernetes-cni (>= 1.1.1), mount, util-linux",
            {
                "usr/bin/kubelet": programs / "kubelet",
                "usr/lib/systemd/system/kubelet.service": _UNIT,
                "etc/default/kubelet": "KUBELET_EXTRA_ARGS=\n",
            },
            ("etc/default/kubelet",),
        ),
        Package("kubectl", f"{version}-{REVISION}", files={"usr/bin/kubectl": programs / "kubectl"}),
        Package("cri-tools", f"{crictl_version}-{REVISION}", files={"usr/bin/crictl": crictl}),
        Package("kubernetes-cni", f"{plugins_version}-{REVISION}", files=network),
    ]


def write(tree: Path, minor: str, packages: list[Package], log: Path) -> None:
    """Write the repository of one minor version (such as 1.20), with all that it holds, signed."""
    folder = tree / ROOT / f"v{minor}" / "deb"
    (folder / ARCHITECTURE).mkdir(parents=True)
    entries = [_entry(package, package.build(folder / ARCHITECTURE, log)) for package in packages]
    index = "\n".join(entries).encode()
    (folder / "Packages").write_bytes(index)
    (folder / "Packages.gz").write_bytes(gzip.compress(index, mtime=0))
    (folder / "Release").write_text(_release(folder, minor))
    _sign(folder, log)


def _entry(package: Package, file: Path) -> str:
    place = file.relative_to(file.parent.parent)
    return f"{package.control}Filename: {place}\nSize: {file.stat().st_size}\nSHA256: {_sha256(file)}\n"


def _release(folder: Path, minor: str) -> str:
    indices = [folder / "Packages", folder / "Packages.gz"]
    sums = "".join(f" {_sha256(index)} {index.stat().st_size} {index.name}\n" for index in indices)
    return (
        f"Origin: lab\nLabel: {ROOT}/v{minor}\nArchitectures: {ARCHITECTURE}\nDate: {formatdate(usegmt=True)}\n"
        f"Description: Kubernetes v{minor}, as the lab built it\nSHA256:\n{sums}"
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sign(folder: Path, log: Path) -> None:
    """Release.gpg, InRelease and Release.key, by a key that nobody has afterwards."""
    with tempfile.TemporaryDirectory(prefix="lab-gpg-") as home:
        # The agent that holds the key dies with the command's processes.
        gpg = [*shell.CONTAINED, "gpg", "--batch", "--quiet", "--homedir", home, "--pinentry-mode", "loopback"]
        gpg += ["--passphrase", ""]
        shell.run([*gpg, "--quick-generate-key", f"The lab, {folder.parent.name}", "ed25519", "sign", "never"], log)
        release = folder / "Release"
        shell.run([*gpg, "--armor", "--detach-sign", "--output", folder / "Release.gpg", release], log)
        shell.run([*gpg, "--clearsign", "--output", folder / "InRelease", release], log)
        shell.run([*gpg, "--armor", "--export", "--output", folder / "Release.key"], log)
