# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence that does not fit together, or that nobody can read: reasons to change nothing, whatever is wanted."""

from __future__ import annotations

from collections.abc import Mapping

from . import container_runtimes, membership, pki
from .evidence import CA, KUBELET_CONF, POD_MANIFESTS
from .problems import CLUSTER, Problem
from .situation import Observation, Wanted

CONNECTION = "connection"

# Certificates that each host has for itself.
_OWN = frozenset(pki.paths(pki.LEAVES))
_ETCD_CA = frozenset(pki.ETCD_CA.paths)


def unusable(wanted: Wanted, seen: Mapping[str, Observation | None]) -> list[Problem]:
    """Hosts in scope that did not answer, and evidence that nobody can use.

    Where a cluster runs, a host that never became its node begins anew: certificates of its own are no evidence then,
    nor is whatever a power cut has left empty, for what the cluster shares is fetched from there once more. Hosts of
    etcd have theirs replaced on every run where they are not whole, and so has a control plane that begins. Where
    nothing but one interrupted kubeadm init shows, nobody has ever used what it made, and what was left empty is made
    anew.
    """

    def is_replaced(host: str, look: Observation, subject: str, found: str) -> bool:
        if host == begun and found == pki.EMPTY:
            return True
        if host in wanted.etcd:
            return subject in _OWN or (look.etcd.ca_in_the_making and subject in _ETCD_CA)
        if look.has_run or look.identity:
            return False
        if runs:
            return subject in _OWN or found == pki.EMPTY
        return subject in _OWN and bool(wanted.etcd) and subject in pki.ETCD_CLIENT.paths

    begun = _begun(wanted, seen)
    runs = any(look.api_answers for host, look in seen.items() if look and host in wanted.control_plane)
    problems = [
        Problem(
            host=host,
            subject=CONNECTION,
            found="no answer",
            wanted="every host of this run reachable",
            action=f"Bring it up, or leave it out with --limit '!{host}'. Once it is dead, recover.yml takes it out.",
        )
        for host in wanted.scope
        if seen.get(host) is None
    ]
    problems += [
        Problem(host, subject, found, expected, action)
        for host, look in seen.items()
        if look
        for subject, found, expected, action in look.unusable
        if not is_replaced(host, look, subject, found)
    ]
    return problems


def _begun(wanted: Wanted, seen: Mapping[str, Observation | None]) -> str | None:
    """The one control plane that shows anything of a cluster, if all of it is from before there was an API server."""
    looks = {host: look for host, look in seen.items() if look}
    if wanted.foreign_etcd or len(looks) < len(seen) or any(look.endpoint_answers for look in looks.values()):
        return None
    marked = [host for host, look in looks.items() if host not in wanted.etcd and look.traces - wanted.handed]
    if len(marked) != 1 or marked[0] not in wanted.control_plane:
        return None
    look = looks[marked[0]]
    served = look.etcd.data or (wanted.external_etcd and POD_MANIFESTS[0] in look.traces)
    kept = [host for host in wanted.etcd & looks.keys() if looks[host].etcd.data and looks[host].etcd.keys != 0]
    return None if look.has_run or served or kept else marked[0]


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


def mixed(authorities: Mapping[str, list[str]], nodes: Mapping[str, Observation]) -> list[Problem]:
    """More than one cluster CA among the hosts and behind the endpoint.

    Where the endpoint shows which cluster is meant, each host that holds another one's CA is named with its file.
    """
    if len(authorities) < 2:
        return []
    problems = [
        Problem(
            host=CLUSTER,
            subject="certificate authority",
            found="; ".join(f"{ca[:19]}… on {', '.join(who)}" for ca, who in sorted(authorities.items())),
            wanted="one cluster CA everywhere",
            action="These are different clusters. Take the foreign hosts out of the inventory, or reset them.",
        )
    ]
    published = {look.endpoint_ca for look in nodes.values() if look.endpoint_ca}
    if len(published) == 1:
        (own,) = published
        problems += [
            Problem(
                host=host,
                subject=KUBELET_CONF if KUBELET_CONF in look.traces and CA not in look.traces else CA,
                found=f"the CA {look.ca[:19]}… of another cluster",
                wanted=f"{own[:19]}…, which the endpoint shows, or none",
                action="Reset this host if what it was is over, or take it out of the inventory.",
            )
            for host, look in sorted(nodes.items())
            if look.ca and look.ca != own
        ]
    return problems


def standing_alone(looks: Mapping[str, Observation]) -> set[str]:
    """Hosts whose etcd leads a cluster of itself, while others agree as one of several members.

    What a first member does that lost its data and was told to form a cluster: it has the ids that it had before.
    """
    led = {host: look.members for host, look in looks.items() if look.etcd.answers and look.etcd.leader}
    if not any(len(membership.voters(members)) > 1 and membership.has_quorum(members) for members in led.values()):
        return set()
    return {host for host, members in led.items() if [member.name for member in members] == [looks[host].node_name]}


def torn(nodes: Mapping[str, Observation], control_plane: frozenset[str]) -> list[Problem]:
    """Members of a stacked etcd that lead a cluster of their own: whoever asks them is told of an empty one."""
    looks = {host: nodes[host] for host in control_plane & nodes.keys()}
    return [
        Problem(
            host=host,
            subject="etcd",
            found="a cluster of this member alone, though others agree with each other",
            wanted="one cluster",
            action="Its data was lost, and it began anew: playbooks/recover.yml takes it out and joins it again.",
        )
        for host in sorted(standing_alone(looks))
    ]


def unlike(nodes: Mapping[str, Observation], control_plane: frozenset[str]) -> list[Problem]:
    """Certificates and keys that control planes of one cluster must share, and do not."""
    problems = []
    for path in (pki.SERVICE_ACCOUNTS.private, pki.FRONT_PROXY_CA.public, pki.ETCD_CA.public):
        found: dict[str, list[str]] = {}
        for host in sorted(control_plane & nodes.keys()):
            if path in nodes[host].public_keys:
                found.setdefault(nodes[host].public_keys[path], []).append(host)
        if len(found) > 1:
            problems.append(
                Problem(
                    host=CLUSTER,
                    subject=str(path),
                    found="; ".join(
                        f"public key {key[:19]}… on {', '.join(who)}" for key, who in sorted(found.items())
                    ),
                    wanted="the same one on all control planes",
                    action="Copy the one that the cluster uses to the others, or reset hosts that are no members yet.",
                )
            )
    return problems
