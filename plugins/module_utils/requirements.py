# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine must be before it becomes a node, judged for all hosts together and before anything changes.

Limits as kubeadm's preflight has them (cmd/kubeadm/app/preflight and app/constants of 1.20): they are asked here so
that they are all known at once, and not by the first host that fails half-way.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from typing import Any

from .problems import Problem

CONTROL_PLANE_CPUS = 2
CONTROL_PLANE_MEMORY_MB = 1700
KUBELET_PORTS = (10250,)
CONTROL_PLANE_PORTS = (6443, 10250, 10257, 10259)
ETCD_PORTS = (2379, 2380)
# Certificates are backdated by minutes at most, and leases are renewed within seconds.
CLOCKS_APART_SECONDS = 60.0

# A node's name is a DNS subdomain (RFC 1123, as apimachinery's validation has it).
_NODE_NAME = re.compile(r"^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")

Machine = Mapping[str, Any]


def check_new_node(
    host: str, node_name: str, machine: Machine, *, control_plane: bool, own_etcd: bool
) -> list[Problem]:
    """What stands against one host becoming a node.

    Args:
        host: its inventory name.
        node_name: what it will be called.
        machine: see ``machine.collect``.
        control_plane: it is to be one.
        own_etcd: with a member of etcd on it.
    """
    problems = []
    if not _NODE_NAME.match(node_name):
        problems.append(
            Problem(
                host=host,
                subject="node name",
                found=node_name,
                wanted="lower case letters, digits, hyphens and dots",
                action="Rename the host, or set its cluster_node_name.",
            )
        )
    if control_plane and machine["cpus"] < CONTROL_PLANE_CPUS:
        problems.append(
            Problem(host, "CPUs", str(machine["cpus"]), f"{CONTROL_PLANE_CPUS} for a control plane", "Give it more.")
        )
    if control_plane and machine["memory_mb"] < CONTROL_PLANE_MEMORY_MB:
        found, wanted = f"{machine['memory_mb']} MB", f"{CONTROL_PLANE_MEMORY_MB} MB for a control plane"
        problems.append(Problem(host, "memory", found, wanted, "Give it more."))
    wanted_ports = CONTROL_PLANE_PORTS + (ETCD_PORTS if own_etcd else ()) if control_plane else KUBELET_PORTS
    taken = sorted(set(machine["listening"]) & set(wanted_ports))
    if taken:
        problems.append(
            Problem(
                host=host,
                subject="ports",
                found=f"{', '.join(map(str, taken))} in use",
                wanted="them free",
                action="See who listens there (ss -tlnp), and stop it.",
            )
        )
    return problems


def check_distinct(machines: Mapping[str, Machine]) -> list[Problem]:
    """Identities that two hosts share, as copies of one disk image do: nodes and networks mistake one for the other."""
    problems = []
    for key, subject, action in (
        ("machine_id", "machine id", "Make a new one (rm /etc/machine-id; systemd-machine-id-setup) and reboot."),
        ("product_uuid", "product UUID", "Give each virtual machine its own in its hypervisor."),
        ("mac", "MAC address", "Give each interface its own."),
    ):
        for host, machine in sorted(machines.items()):
            mine = machine[key]
            others = sorted(o for o, other in machines.items() if o != host and mine is not None and other[key] == mine)
            if others:
                found = f"{mine}, also on {', '.join(others)}"
                problems.append(Problem(host, subject, found, "one of its own", action))
    return problems


def check_clocks(machines: Mapping[str, Machine], looked_for_seconds: float) -> list[Problem]:
    """Hosts whose clocks are apart by more than the time that looking at all of them took."""
    if len(machines) < 2:
        return []
    usual = statistics.median_low([machine["time"] for machine in machines.values()])
    problems = []
    for host, machine in sorted(machines.items()):
        ahead = machine["time"] - usual
        if abs(ahead) > CLOCKS_APART_SECONDS + looked_for_seconds:
            problems.append(
                Problem(
                    host=host,
                    subject="clock",
                    found=f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the others",
                    wanted=f"at most {CLOCKS_APART_SECONDS:.0f} s apart",
                    action="Set it, and have it kept (chrony, systemd-timesyncd): certificates depend on it.",
                )
            )
    return problems
