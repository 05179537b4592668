# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd member joined as a learner: a stacked one for the kubeadm that does not do so itself (before 1.29), or one
on a host of its own.

That kubeadm adds a voter and starts it afterwards. From one member to two, that costs the quorum for seconds, the API
servers of 1.20 then hold watches that deliver nothing for minutes (kubernetes/kubernetes#97294), and a host that dies
in between takes the cluster with it. A learner counts for nothing until it is in step, and is promoted then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import etcd, membership
from .etcd import Member
from .etcd_cluster import EtcdCluster, knows_learners
from .problems import Problem, Refusal

DATA_DIR = "/var/lib/etcd"


def data_dir(cluster_configuration: Mapping[str, Any]) -> str:
    """Where members keep their data, by ClusterConfiguration."""
    local = (cluster_configuration.get("etcd") or {}).get("local") or {}
    return str(local.get("dataDir") or DATA_DIR)


def join(
    cluster: EtcdCluster,
    *,
    name: str,
    peer_url: str,
    data: str,
    start: Callable[[str], object],
    as_voter: bool = False,
) -> None:
    """Make this host's etcd a voter, from wherever an earlier attempt has got to.

    Args:
        cluster: the members that are there.
        name: of the member, which is its node's.
        peer_url: where its peers find it.
        data: the folder that is there once it has begun.
        start: starts etcd on this host, given the value of its --initial-cluster.
        as_voter: it may be added as a voter where etcd knows no learners (before 3.4).

    Raises:
        Refusal: it would put the quorum at risk, a member of this name votes and its data is not here, or there is data
            here of a member that is none.
        RequestFailed: etcd does not answer, or refuses.
    """

    def own(members: Iterable[Member]) -> Member | None:
        return membership.find(members, name=name, peer_urls=[peer_url])

    def place(members: list[Member]) -> membership.Change | None:
        """The change that makes room for it."""
        member = own(members)
        if member is None:
            if os.path.isdir(data):
                raise Refusal([etcd.foreign_data_problem(name, data)])
            learner = knows_learners(members)
            if not (learner or as_voter):
                raise Refusal([_no_learners(name, members)])
            return membership.Add((peer_url,), learner)
        if member.started and not os.path.isdir(data):
            if not member.learner:
                raise Refusal([etcd.lost_data_problem(name, member)])
            # A learner whose data is gone can never catch up, and no vote is lost with it.
            return membership.Remove(member)
        return None

    def vote(members: list[Member]) -> membership.Change | None:
        member = own(members)
        return membership.Promote(member) if member and member.learner else None

    def unfinished(members: list[Member]) -> Problem | None:
        member = own(members)
        if member and member.healthy and not member.learner:
            return None
        found = membership.state(member) if member else "that it is not listed"
        return Problem(name, "etcd member", found, "a healthy voter", "See its log here and on the others.")

    cluster.change(place, name)
    # etcd compares these with its own list, in which one that has not started yet may have a name already.
    named = {f"{one.name}={url}" for one in cluster.members() if one.name for url in one.peer_urls}
    start(",".join(sorted({*named, f"{name}={peer_url}"})))
    cluster.change(vote, name)
    cluster.wait(unfinished)


def _no_learners(name: str, members: list[Member]) -> Problem:
    versions = sorted({member.version for member in members if member.version})
    return Problem(
        host=name,
        subject="etcd",
        found=f"version {', '.join(versions) or 'unknown'}",
        wanted="3.4 or later on every member, which takes a new member in as a learner",
        action="Upgrade etcd first.",
    )
