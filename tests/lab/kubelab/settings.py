# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, addresses, versions and paths: everything about the lab that is a choice and not a mechanism."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

SUITE = "bookworm"
"""The Debian release that hosts run, but for those of another one by name, and that everything is built on."""

BUILT_KUBERNETES = "1.20.2"
"""The one Kubernetes version whose source Debian carries, so the one that the lab can build."""

CRICTL_VERSION = "1.20.0"
"""What the lab's own CRI client says of itself: the release of cri-tools that goes with Kubernetes 1.20."""

CNI_VERSION = "1.1.1"
"""Upstream's version of the network plugins that Debian 12 carries."""

BRIDGE = "kubelab0"
SUBNET = "10.210.0.0/24"
PREFIX_LENGTH = 24
CONTROLLER = "controller"
"""What the command line calls the machine that the lab runs on."""
CONTROLLER_ADDRESS = "10.210.0.1"
MIRROR_PORT = 8080

VIRTUAL_MACHINE = "vm1"
"""The one machine that has a kernel of its own."""

PACKAGE = Path(__file__).resolve().parent
LAB_SOURCES = PACKAGE.parent
CLONE = LAB_SOURCES.parent.parent
STATE = CLONE / ".lab"
ACTIVE_RECORD = Path("/run/kubeadm-ha-lab.json")
"""Which clone's lab is up on this machine, and what it changed there."""


@dataclass(frozen=True)
class Host:
    """One machine of the lab."""

    name: str
    address: str
    suite: str = SUITE

    @property
    def runs_containers(self) -> bool:
        """Load balancers carry no images; every other host may be made a node."""
        return not self.name.startswith("lb")

    @property
    def port(self) -> str:
        """The host's interface on the bridge, as systemd-nspawn names it."""
        return f"vb-{self.name}"


def _host_table() -> dict[str, Host]:
    first_octets = {"lb": (11, 2), "cp": (21, 3), "w": (31, 9), "etcd": (41, 5)}
    network = CONTROLLER_ADDRESS.rsplit(".", 1)[0]
    hosts = {
        f"{role}{index + 1}": Host(f"{role}{index + 1}", f"{network}.{octet + index}")
        for role, (octet, count) in first_octets.items()
        for index in range(count)
    }
    # Another operating system, with another version of containerd.
    return hosts | {"trixie1": Host("trixie1", f"{network}.51", "trixie")}


HOSTS = _host_table()

TOPOLOGIES = {
    "stacked": ("lb1", "lb2", "cp1", "cp2", "cp3", "w1", "w2"),
    "external_etcd": ("lb1", "lb2", "etcd1", "etcd2", "etcd3", "cp1", "cp2", "cp3", "w1", "w2"),
    "single": ("cp1", "w1"),
}


def host(name: str) -> Host:
    """The host of that name; an unknown name is answered with the nearest known one."""
    if name in HOSTS:
        return HOSTS[name]
    near = difflib.get_close_matches(name, HOSTS, n=1, cutoff=0.3)
    raise UsageError(
        f"host {name}",
        found="the lab has no host of that name",
        wanted="one of " + " ".join(HOSTS),
        do=f"did you mean {near[0]}?" if near else "",
    )


def cache_directory() -> Path:
    """Where built artefacts are kept, outside the clone so that all clones share them."""
    return Path(os.environ.get("LAB_CACHE") or "/var/cache/kubeadm-ha-lab").absolute()


def kubernetes_version(asked: str | None = None) -> str:
    """The version asked for on the command line or by KUBERNETES_VERSION, without a leading v."""
    return (asked or os.environ.get("KUBERNETES_VERSION") or BUILT_KUBERNETES).removeprefix("v")
