# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes versions, and what follows from them."""

from __future__ import annotations

import re
from typing import NamedTuple

# The range that the rules in this collection were written for.
OLDEST_MINOR = 20
NEWEST_MINOR = 36

_VERSION = re.compile(r"^v?1\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$")


class Version(NamedTuple):
    """A Kubernetes release; compares in release order."""

    minor: int
    patch: int

    def __str__(self) -> str:
        return f"1.{self.minor}.{self.patch}"


def parse(text: str) -> Version:
    """``"1.20.2"`` or ``"v1.20.2"`` as a Version.

    Raises:
        ValueError: anything else; pre-releases and builds are not supported.
    """
    match = _VERSION.match(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes version of the form 1.x.y")
    return Version(int(match.group(1)), int(match.group(2)))


def config_api(kubeadm: Version) -> str:
    """The newest ``kubeadm.k8s.io`` version that this kubeadm reads.

    Source: cmd/kubeadm/app/util/config/common.go of 1.20 and 1.36; the release notes of 1.22 and 1.31.
    """
    if kubeadm.minor >= 31:
        return "v1beta4"
    if kubeadm.minor >= 22:
        return "v1beta3"
    return "v1beta2"


def kubelet_config_map(version: Version) -> str:
    """Name of the ConfigMap in kube-system that joining kubelets read (unversioned from 1.24)."""
    return "kubelet-config" if version.minor >= 24 else f"kubelet-config-1.{version.minor}"


def joins_as_learner(version: Version) -> bool:
    """Whether kubeadm adds an etcd member as a learner: the gate EtcdLearnerMode is on from 1.29."""
    return version.minor >= 29


# The tag of pause by the first minor that has it (kubeadm's constants, by minikube's table of images per version).
_PAUSE = {36: "3.10.2", 34: "3.10.1", 31: "3.10", 26: "3.9", 25: "3.8", 24: "3.7", 23: "3.6", 22: "3.5", 21: "3.4.1"}


def image_repository(version: Version) -> str:
    """Where kubeadm takes images from by default: it changed with 1.25 (release notes of 1.25)."""
    return "registry.k8s.io" if version.minor >= 25 else "k8s.gcr.io"


def sandbox_image(version: Version, repository: str | None = None) -> str:
    """The pause image, which the container runtime must know before kubeadm runs."""
    tag = next((tag for minor, tag in _PAUSE.items() if version.minor >= minor), "3.2")
    return f"{repository or image_repository(version)}/pause:{tag}"
