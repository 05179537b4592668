# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes, from Debian's source package: the tree with its compiler, the programs, and a CRI client."""

from __future__ import annotations

import shutil
from pathlib import Path

from .. import chroot, packages
from ..cache import Artifact, Builder, Cache
from ..settings import BUILT_KUBERNETES, CRICTL_VERSION, LAB_SOURCES

COMPILER = ("golang-go", "golang-github-modern-go-reflect2-dev", "make", "rsync", "jq", "dpkg-dev", "ca-certificates")
SOURCE_PACKAGE = "kubernetes"
BINARY_PACKAGE = "kubernetes-client"
"""Built by Debian from the same source, so its version is the source's; apt knows it without source lists."""

PROGRAMS = (
    "kubeadm",
    "kubelet",
    "kubectl",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
)
CRICTL = LAB_SOURCES / "crictl"

TREE = "/build/go/src/k8s.io/kubernetes"
"""Where the source lies in the chroot: in a GOPATH, as the tree's own makefile wants it."""

_FETCH = f"""
sed 's/^deb /deb-src /' /etc/apt/sources.list > /etc/apt/sources.list.d/source.list
apt-get update
mkdir -p /build/package {Path(TREE).parent}
cd /build/package
apt-get source --only-source {SOURCE_PACKAGE}
mv */ {TREE}
rm -rf /build/package
cd {TREE}
# The vendored reflect2 reads the Go runtime's own maps, whose layout changed with Go 1.18: it would panic.
rm vendor/github.com/modern-go/reflect2/*.go vendor/github.com/modern-go/reflect2/*.s
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.go /usr/share/gocode/src/github.com/modern-go/reflect2/*.s \\
   vendor/github.com/modern-go/reflect2/
apt-get clean
"""

_COMPILE = f"""
cd {TREE}
export HOME=/tmp GOPATH=/build/go GOCACHE=/tmp/go-build CGO_ENABLED=0 KUBE_GIT_VERSION_FILE=/tmp/version
cat > $KUBE_GIT_VERSION_FILE <<END
KUBE_GIT_COMMIT=debian
KUBE_GIT_TREE_STATE=clean
KUBE_GIT_VERSION=v$VERSION
KUBE_GIT_MAJOR=$(echo $VERSION | cut -d. -f1)
KUBE_GIT_MINOR=$(echo $VERSION | cut -d. -f2)
END
make WHAT="{" ".join(f"cmd/{program}" for program in PROGRAMS)}"
cp {" ".join(f"_output/local/bin/linux/*/{program}" for program in PROGRAMS)} /mnt/
"""

_COMPILE_CRICTL = f"""
cd {TREE}
export HOME=/tmp GOPATH=/build/go GOCACHE=/tmp/go-build CGO_ENABLED=0 GO111MODULE=off
mkdir -p cmd/crictl
cp /srv/*.go cmd/crictl/
go vet ./cmd/crictl
go build -ldflags "-s -w -X main.version=v$VERSION" -o /mnt/crictl ./cmd/crictl
"""


def source(log: Path) -> Artifact:
    """A chroot in root/ with Go and the patched Kubernetes tree."""

    def build(target: Path, log: Path) -> None:
        root = target / "root"
        chroot.make(root, log, "minbase", COMPILER)
        chroot.run(root, _FETCH, log, readable={"/etc/ssl/certs": Path("/etc/ssl/certs")})

    versions = packages.candidates([*COMPILER, BINARY_PACKAGE], log)
    return Artifact("kubernetes-source", "Kubernetes's source and a Go compiler", build, {**versions, "script": _FETCH})


def binaries(cache: Cache, log: Path, version: str = BUILT_KUBERNETES) -> Artifact:
    """Kubernetes's programs, static, in bin/. The version is what they say of themselves; the source is the same."""
    tree = source(log)
    return Artifact(
        "kubernetes",
        f"compile Kubernetes {version}, about 5 minutes on two cores",
        _compiler(cache, tree, _COMPILE, version),
        {"source": tree.key, "script": _COMPILE, "version": version},
    )


def crictl(cache: Cache, log: Path) -> Artifact:
    """The lab's own CRI client, static, as bin/crictl."""
    tree = source(log)
    return Artifact(
        "crictl",
        "compile the CRI client",
        _compiler(cache, tree, _COMPILE_CRICTL, CRICTL_VERSION, sources=CRICTL),
        {"source": tree.key, "script": _COMPILE_CRICTL, "version": CRICTL_VERSION},
        recipe=tuple(sorted(CRICTL.glob("*.go"))),
    )


def _compiler(cache: Cache, tree: Artifact, script: str, version: str, *, sources: Path | None = None) -> Builder:
    """A builder that runs the script in the tree's chroot, which stays untouched: results to /mnt, sources at /srv."""

    def build(target: Path, log: Path) -> None:
        results, scratch = target / "bin", target / "scratch"
        results.mkdir()
        (scratch / "tmp").mkdir(parents=True)
        chroot.run(
            cache.get(tree) / "root",
            script,
            log,
            read_only=True,
            writable={"/mnt": results, "/tmp": scratch / "tmp"},
            readable={"/srv": sources} if sources else {},
            overlaid={TREE: scratch / "tree"},
            variables={"VERSION": version},
        )
        shutil.rmtree(scratch)

    return build
