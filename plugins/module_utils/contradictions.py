# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence that does not fit together, or that nobody can read: reasons to change nothing, whatever is wanted."""

from __future__ import annotations

from collections.abc import Mapping

from . import container_runtimes
from .problems import CLUSTER, Problem
from .situation import Observation, Wanted


def unusable(wanted: Wanted, seen: Mapping[str, Observation | None]) -> list[Problem]:
    """Hosts in scope that did not answer, and evidence that nobody can read."""
    problems = [
        Problem(
            host=host,
            subject="connection",
            found="no answer",
            wanted="every host of this run reachable",
            action=f"Bring it up, or leave it out with --limit '!{host}'.",
        )
        for host in wanted.scope
        if seen.get(host) is None
    ]
    problems += [
        Problem(
            host=host,
            subject=subject,
            found=found,
            wanted="a readable file",
            action="Restore the file, or reset this host.",
        )
        for host, look in seen.items()
        if look
        for subject, found in look.unusable
    ]
    return problems


def doubled(nodes: Mapping[str, Observation]) -> list[Problem]:
    """Node names and addresses that two hosts share."""
    problems = []
    for subject, values in (
        ("node name", {host: look.node_name for host, look in nodes.items()}),
        ("address", {host: look.address for host, look in nodes.items() if look.address}),
    ):
        for host, value in values.items():
            others = sorted(other for other, theirs in values.items() if theirs == value and other != host)
            if others:
                problems.append(
                    Problem(
                        host=host,
                        subject=subject,
                        found=f"{value}, also on {', '.join(others)}",
                        wanted="one of its own",
                        action="Give each host its own.",
                    )
                )
    return problems


def renamed(nodes: Mapping[str, Observation]) -> list[Problem]:
    """Hosts that are nodes already, under another name than the one wanted."""
    return [
        Problem(
            host=host,
            subject="node name",
            found=f"{look.identity}, by its kubelet's certificate",
            wanted=look.node_name,
            action=f"A node keeps its name: set cluster_node_name to {look.identity}, or remove it and join.",
        )
        for host, look in nodes.items()
        if look.identity and look.identity != look.node_name
    ]


def other_runtimes(wanted: Wanted, nodes: Mapping[str, Observation]) -> list[Problem]:
    """Hosts whose kubelets use another container runtime than the one wanted."""
    return [
        container_runtimes.another(host, look.cri_socket, socket)
        for host, socket in wanted.cri_sockets.items()
        if (look := nodes.get(host)) and look.cri_socket and not container_runtimes.same_socket(look.cri_socket, socket)
    ]


def authorities(nodes: Mapping[str, Observation], seen: Mapping[str, Observation | None]) -> dict[str, list[str]]:
    """Every cluster CA that anything shows, with who shows it; the endpoint is seen by load balancers, too."""
    found: dict[str, list[str]] = {}
    for host, look in sorted(nodes.items()):
        if look.ca:
            found.setdefault(look.ca, []).append(host)
    for host in sorted(seen):
        look = seen[host]
        if look and look.endpoint_ca:
            witnesses = found.setdefault(look.endpoint_ca, [])
            if not any(witness.startswith("the endpoint") for witness in witnesses):
                witnesses.append(f"the endpoint as {host} sees it")
    return found


def mixed(authorities: Mapping[str, list[str]]) -> list[Problem]:
    """More than one cluster CA among the hosts and behind the endpoint."""
    if len(authorities) < 2:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="certificate authority",
            found="; ".join(f"{ca[:19]}… on {', '.join(who)}" for ca, who in sorted(authorities.items())),
            wanted="one cluster CA everywhere",
            action="These are different clusters. Take the foreign hosts out of the inventory, or reset them.",
        )
    ]
