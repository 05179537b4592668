# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from nodes and users to the API servers: does the endpoint lead there, and to whom does a balancer send?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .problems import CLUSTER, Problem
from .situation import Observation, Wanted


def lost_on_the_way(wanted: Wanted, nodes: Mapping[str, Observation]) -> list[Problem]:
    """Nodes to which nothing comes back from the endpoint, not even a refusal.

    Before there is an API server a refusal is as it should be, and so is a connection that is closed again: the packets
    have found a host or a load balancer. A time-out says that no join, and later no kubelet, would get through.
    """
    lost = {
        host: look.endpoint_error
        for host, look in nodes.items()
        if host in wanted.scope and look.endpoint_error and not _comes_up(wanted, look)
    }
    if not lost:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject=f"control plane endpoint {wanted.endpoint}",
            found="; ".join(f"{error}, seen from {', '.join(who)}" for error, who in by_value(lost).items()),
            wanted="a refusal at least, from every node",
            action="See that its name resolves, that its host is up, and that firewalls and security groups let nodes "
            "reach this port.",
        )
    ]


def leads_nowhere(
    wanted: Wanted, nodes: Mapping[str, Observation], joining: Collection[str]
) -> tuple[list[Problem], list[Problem]]:
    """A cluster runs, and some nodes find no API server at its endpoint.

    Returns:
        Refusals and warnings. Who joins does so by the endpoint. Where this run sets the load balancers up, a refusal
        there is what it is about to mend.
    """
    mended = bool(wanted.load_balancers & wanted.scope)
    blind = {
        host: look.endpoint_error or "no API server"
        for host, look in nodes.items()
        if host in wanted.scope
        and not look.endpoint_answers
        and not _comes_up(wanted, look)
        and (look.endpoint_error or not mended)
    }
    refusals, warnings = [], []
    for hosts, problems in ((blind.keys() & joining, refusals), (blind.keys() - joining, warnings)):
        found = by_value({host: blind[host] for host in hosts})
        if found:
            problems.append(
                Problem(
                    host=CLUSTER,
                    subject=f"control plane endpoint {wanted.endpoint}",
                    found="; ".join(f"{error}, seen from {', '.join(who)}" for error, who in found.items()),
                    wanted="an API server: a control plane of this cluster runs one",
                    action=_mend(wanted),
                )
            )
    return refusals, warnings


def _comes_up(wanted: Wanted, look: Observation) -> bool:
    """Whether the endpoint means, to this host, the virtual address that nobody carries before this run lets them."""
    return (
        wanted.virtual_ip is not None
        and bool(wanted.carriers & wanted.scope)
        and wanted.virtual_ip.address in look.endpoint_addresses
    )


def _mend(wanted: Wanted) -> str:
    if wanted.load_balancers:
        return "Run with the load balancers, and see HAProxy's journal there."
    return (
        "Let what leads there (load balancer, DNS) lead to port 6443 of the control planes, checked by GET /readyz "
        "over TLS, and let nodes reach it."
    )


def by_value(found: Mapping[str, str]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for host, error in sorted(found.items(), key=lambda item: (item[1], item[0])):
        hosts.setdefault(error, []).append(host)
    return hosts


def unlisted_members(
    cluster: Mapping[str, Mapping[str, object]], listed: Mapping[str, str], names: Collection[str]
) -> dict[str, str]:
    """Control planes of the running cluster that the inventory does not have, with their addresses.

    They serve the API until somebody removes them, and clients that were sent to them must not lose them meanwhile.

    Args:
        cluster: the nodes, by name; see ``evidence.describe_node``.
        listed: the inventory's control planes with their addresses.
        names: their node names, as far as known.
    """
    found = {
        name: str(node["address"])
        for name, node in cluster.items()
        if node["control_plane"] and node["address"] and name not in names and node["address"] not in listed.values()
    }
    return {name if name not in listed else f"{name}:{address}": address for name, address in sorted(found.items())}


def member_stays(names: Collection[str]) -> Problem:
    """What a person should know of control planes that the inventory no longer has."""
    return Problem(
        host=CLUSTER,
        subject="load balancers",
        found=f"{', '.join(sorted(names))} in the cluster as control planes, and not in the inventory",
        wanted="back ends that are members",
        action="They stay back ends until they are removed from the cluster: see playbooks/remove_node.yml.",
    )


def not_told(wanted: Wanted, joining: Collection[str]) -> list[Problem]:
    """New control planes of which no load balancer will hear in this run."""
    absent = sorted(wanted.load_balancers - wanted.scope)
    new = sorted(wanted.control_plane & set(joining))
    if not absent or not new:
        return []
    return [
        Problem(
            host=CLUSTER,
            subject="load balancers",
            found=f"{', '.join(absent)} not in this run, though {', '.join(new)} joins",
            wanted="back ends that are all of the members",
            action=f"Run again with --limit {','.join(absent)}: until then no client is sent to it.",
        )
    ]
