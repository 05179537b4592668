# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's static pod on a host of its own: what kubeadm is told of it, and what it cannot be told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import config_check, kubeadm_config
from .https_json import url
from .problems import Problem

NEW = "new"
EXISTING = "existing"

# What kubeadm was told when it last wrote the manifest: the cause beside its effect, written after it.
CAUSE = "/etc/kubernetes/kubeadm-etcd.yaml"

# What a member was started with for the first time. etcd reads none of it again, and it stays as it is.
_FIRST_START = ("initial-cluster", "initial-cluster-state")


@dataclass(frozen=True)
class Place:
    """Where a member is, and keeps its data.

    Attributes:
        name: of the member and of its host as a node.
        address: an IP address, by which peers and clients reach it.
        client_port: for clients.
        peer_port: for other members.
        data_dir: an absolute path.
    """

    name: str
    address: str
    client_port: int = 2379
    peer_port: int = 2380
    data_dir: str = "/var/lib/etcd"

    @property
    def client_url(self) -> str:
        return url(self.address, self.client_port)

    @property
    def peer_url(self) -> str:
        return url(self.address, self.peer_port)

    @property
    def local_url(self) -> str:
        """For clients on the host itself."""
        return url("127.0.0.1", self.client_port)

    def flags(self) -> dict[str, str]:
        """etcd's own words for it."""
        return {
            "name": self.name,
            "data-dir": self.data_dir,
            "advertise-client-urls": self.client_url,
            "listen-client-urls": f"{self.local_url},{self.client_url}",
            "initial-advertise-peer-urls": self.peer_url,
            "listen-peer-urls": self.peer_url,
        }


def description(
    place: Place, cluster: Mapping[str, Any], cri_socket: str | None, first_start: Mapping[str, str]
) -> kubeadm_config.Description:
    """What kubeadm is told to make the static pod.

    Args:
        place: of the member.
        cluster: ClusterConfiguration, with what is wanted of etcd under ``etcd.local``.
        cri_socket: the container runtime's; without it kubeadm looks for one.
        first_start: ``initial-cluster`` and ``initial-cluster-state``.
    """
    local = (cluster.get("etcd") or {}).get("local") or {}
    said = dict(config_check.arguments(local.get("extraArgs") or {}))
    flags = {**said, **place.flags(), **{name: first_start[name] for name in _FIRST_START if name in first_start}}
    del flags["data-dir"]  # kubeadm has a field for it, which the pod's volume follows
    node: dict[str, Any] = {
        "nodeRegistration": {"name": place.name, **({"criSocket": cri_socket} if cri_socket else {})},
        "localAPIEndpoint": {"advertiseAddress": place.address},
    }
    etcd = {"local": {**local, "dataDir": place.data_dir, "extraArgs": flags}}
    return kubeadm_config.Description(cluster={**cluster, "etcd": etcd}, node=node, kubelet={}, kube_proxy={})


def first_start_of(flags: Mapping[str, str]) -> dict[str, str]:
    """With what a member was started for the first time."""
    return {name: flags[name] for name in _FIRST_START if name in flags}


def moved(place: Place, flags: Mapping[str, str]) -> list[Problem]:
    """What a member that has data cannot be told by its manifest alone: where it is."""
    return [
        Problem(
            host=place.name,
            subject=f"etcd's --{name}",
            found=f"{wanted}, though the member runs with {flags[name]}",
            wanted="what it runs with",
            action="Set it back; a member moves by being removed and added anew.",
        )
        for name, wanted in place.flags().items()
        if name in flags and set(flags[name].split(",")) != set(wanted.split(","))
    ]
