# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's static pod on a host of its own: what kubeadm is told of it, and what a manifest and a process say.

Pure, but for ``running``, which looks at this host's processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import config_check, kubeadm_config
from .etcd import Member, quorum
from .problems import Problem

NEW = "new"
EXISTING = "existing"

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
        return self._url(self.address, self.client_port)

    @property
    def peer_url(self) -> str:
        return self._url(self.address, self.peer_port)

    @property
    def local_url(self) -> str:
        """For clients on the host itself."""
        return self._url("127.0.0.1", self.client_port)

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

    @staticmethod
    def _url(address: str, port: int) -> str:
        return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"


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


def restart_problem(place: Place, members: list[Member]) -> Problem | None:
    """Why this member must not be stopped for a moment: would the others still agree? Unhealthy ones do not count."""
    voters = [member for member in members if not member.learner]
    healthy = [member.name for member in voters if member.healthy]
    others = len([name for name in healthy if name != place.name])
    if place.name not in healthy or len(voters) == 1 or others >= quorum(len(voters)):
        return None
    return Problem(
        host=place.name,
        subject="etcd quorum",
        found=f"{others} healthy of {len(voters)} voters while this one restarts",
        wanted=str(quorum(len(voters))),
        action="Bring the other members back first.",
    )


def running() -> Iterator[tuple[dict[str, str], float]]:
    """The etcd processes of this host: their flags, and when each began, in seconds since the machine's boot."""
    ticks = os.sysconf("SC_CLK_TCK")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as command:
                program, *arguments = command.read().decode(errors="replace").split("\0")
            if os.path.basename(program) != "etcd":
                continue
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                # proc(5): the name in parentheses may hold anything; the start time is the 20th field after it.
                began = int(stat.read().rpartition(")")[2].split()[19])
        except (OSError, IndexError, ValueError):
            continue  # it ended meanwhile
        pairs = (argument[2:].partition("=") for argument in arguments if argument.startswith("--"))
        yield {name: value for name, _sign, value in pairs}, began / ticks
