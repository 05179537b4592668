# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images with the names that kubeadm wants, and a containerd store that holds them unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import chroot, shell
from ..cache import Artifact, Cache
from ..settings import BUILT_KUBERNETES
from . import kubernetes
from .parts import parts

REGISTRY = "k8s.gcr.io"
ETCD_TAG = "3.4.13-0"
"""What kubeadm 1.20 asks for. The programs in it are Debian's, of the same minor version."""
PAUSE_TAG = "3.2"

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
IPTABLES = [f"{family}{verb}" for family in ("iptables", "ip6tables") for verb in ("", "-save", "-restore")]
APPLETS = ("cat", "date", "echo", "env", "hostname", "httpd", "ip", "ls", "nc", "nslookup", "sh", "sleep", "wget")
"""Busybox's commands that go by their own names in the pause image, which serves test workloads, too."""


@dataclass
class Image:
    """One layer, and what runs by default."""

    name: str
    tag: str
    files: dict[str, Path] = field(default_factory=dict)
    """Place in the image to file of this machine."""
    links: dict[str, str] = field(default_factory=dict)
    """Place in the image to what the link there points at."""
    entrypoint: Sequence[str] = ()

    def write(self, archive: Path) -> None:
        """Write the image as a docker-archive."""
        layer = archive.with_suffix(".layer")
        with tarfile.open(layer, "w") as tar:
            for folder in ("tmp", "run", *_parents([*self.files, *self.links])):
                tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755))
            for place, source in sorted(self.files.items()):
                entry = _entry(place, tarfile.REGTYPE, source.stat().st_mode & 0o755)
                entry.size = source.stat().st_size
                with source.open("rb") as content:
                    tar.addfile(entry, content)
            for place, target in sorted(self.links.items()):
                entry = _entry(place, tarfile.SYMTYPE, 0o777)
                entry.linkname = target
                tar.addfile(entry)
        with layer.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": [f"PATH={PATH}"], "Entrypoint": list(self.entrypoint)},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
        ).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        reference = f"{REGISTRY}/{self.name}:{self.tag}"
        manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
        with tarfile.open(archive, "w") as tar:
            tar.add(layer, "layer.tar")
            for name, content in ((config_name, config), ("manifest.json", json.dumps(manifest).encode())):
                entry = _entry(name, tarfile.REGTYPE, 0o644)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        layer.unlink()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _parents(places: Sequence[str]) -> list[str]:
    """Every folder above the places, outer ones first."""
    return sorted({str(parent) for place in places for parent in Path(place).parents} - {"."})


def _with_libraries(root: Path, programs: dict[str, str]) -> dict[str, Path]:
    """Files for programs and plugins (place in the image to place in root) with the libraries that they load."""
    loader = "/lib64/ld-linux-x86-64.so.2"
    files = {place: root / source for place, source in programs.items()}
    for source in programs.values():
        listing = shell.output(["chroot", root, loader, "--list", f"/{source}"])
        for library in re.findall(r"(/\S+) \(0x", listing):
            files[library.lstrip("/")] = root / library.lstrip("/")
    return {place: source.resolve() for place, source in files.items()}


def _catalogue(programs: Path, root: Path, version: str) -> list[Image]:
    """All images. programs: Kubernetes's. root: Debian's parts."""
    components = [
        Image(name, f"v{version}", {f"usr/local/bin/{name}": programs / name})
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ]
    etcd = {f"usr/local/bin/{name}": f"usr/bin/{name}" for name in ("etcd", "etcdctl")}
    filters = ["usr/sbin/xtables-legacy-multi", "usr/sbin/conntrack"]
    filters += [str(extension.relative_to(root)) for extension in (root / LIBRARIES / "xtables").glob("lib*.so")]
    proxy = _with_libraries(root, {place: place for place in filters})
    proxy["usr/local/bin/kube-proxy"] = programs / "kube-proxy"
    return [
        *components,
        Image("kube-proxy", f"v{version}", proxy, {f"usr/sbin/{name}": "xtables-legacy-multi" for name in IPTABLES}),
        Image("etcd", ETCD_TAG, _with_libraries(root, etcd)),
        Image(
            "pause",
            PAUSE_TAG,
            {"bin/busybox": root / "bin/busybox"},
            {f"bin/{applet}": "busybox" for applet in APPLETS},
            ("/bin/busybox", "sleep", "infinity"),
        ),
    ]


def archives(cache: Cache, log: Path, version: str = BUILT_KUBERNETES) -> Artifact:
    """One docker-archive an image, as NAME.tar."""
    programs = kubernetes.binaries(cache, log, version)
    debian = parts(log)

    def build(target: Path, log: Path) -> None:
        for image in _catalogue(cache.get(programs) / "bin", cache.get(debian) / "root", version):
            image.write(target / f"{image.name}.tar")

    ingredients = {"kubernetes": programs.key, "parts": debian.key, "version": version}
    return Artifact("images", "container images", build, ingredients, (Path(__file__),))


_IMPORT = """
cat > /run/config.toml <<END
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
END
containerd --config /run/config.toml &
until ctr version; do sleep 0.1; done
for archive in /srv/*.tar; do ctr --namespace k8s.io images import "$archive"; done
ctr --namespace k8s.io images check
kill %1
wait %1
"""


def store(cache: Cache, log: Path, base: Artifact, version: str = BUILT_KUBERNETES) -> Artifact:
    """A containerd's folder with all images imported and unpacked, in containerd/."""
    images = archives(cache, log, version)

    def build(target: Path, log: Path) -> None:
        folder = target / "containerd"
        folder.mkdir()
        chroot.run(
            cache.get(base) / "root",
            _IMPORT,
            log,
            read_only=True,
            writable={"/var/lib/containerd": folder},
            readable={"/srv": cache.get(images)},
        )

    ingredients = {"images": images.key, "base": base.key, "script": _IMPORT}
    return Artifact("image-store", "containerd's store with all images unpacked", build, ingredients)
