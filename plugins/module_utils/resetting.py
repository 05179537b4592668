# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether hosts may be reset: that they are the ones that were meant, and that no cluster lives on with them in it.

Pure: what hosts showed comes in, and a plan or every reason against it goes out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .problems import CLUSTER, Problem, some

# What is confirmed where no host shows a cluster: there may still be half of one.
NO_CLUSTER = "none"
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Look:
    """What one host showed.

    Attributes:
        names: those under which it is, or would be, a node and a member.
        ids: of the clusters whose CA it has.
        removed: what a reset would remove.
        left: what it would leave though it may be a cluster's.
        hindrance: why a reset would not begin; empty where it would.
        nodes: ready or not, by name, as its own API server tells; None where that does not answer.
        members: names of etcd's members, likewise.
    """

    names: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    hindrance: str = ""
    nodes: Mapping[str, bool] | None = None
    members: frozenset[str] | None = None

    @classmethod
    def of(cls, info: Mapping[str, Any], preview: Mapping[str, Any] | None, ids: Collection[str] = ()) -> Look:
        """From the results of node_info, and of kubeadm_reset in check mode where that was asked.

        Args:
            info: of node_info.
            preview: of kubeadm_reset; None for a host that is not to be reset.
            ids: where there is no preview.
        """
        api, etcd = info.get("api") or {}, info.get("etcd") or {}
        told = preview or {"cluster_ids": ids, "removed": [], "left": []}
        return cls(
            names=frozenset(filter(None, (info.get("node_name"), info.get("identity")))),
            ids=frozenset(told.get("cluster_ids") or ()),
            removed=tuple(told.get("removed") or ()),
            left=tuple(told.get("left") or ()),
            hindrance="" if "removed" in told else str(told.get("msg") or "the look at it failed"),
            nodes={name: node["ready"] for name, node in api["nodes"].items()} if api.get("answers") else None,
            members=frozenset(member["name"] for member in etcd["members"]) if etcd.get("answers") else None,
        )


@dataclass
class Plan:
    """What is to be done, or why nothing is.

    Attributes:
        cluster: the id that was confirmed.
        looks: of the hosts to be reset, by inventory name.
        problems: every reason against it.
        hindrances: why single hosts could not be reset, each in its module's own words after the host's name.
    """

    cluster: str
    looks: dict[str, Look] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    hindrances: list[str] = field(default_factory=list)

    def refusals(self) -> list[str]:
        return [*map(str, sorted({*self.problems})), *sorted(self.hindrances)]

    def text(self) -> str:
        """The plan as a person reads it before anything is done."""
        lines = [f"Reset of cluster {self.cluster or '(not confirmed)'}"]
        for host, look in sorted(self.looks.items()):
            lines.append(f"  {host}: {', '.join(look.removed) or 'nothing is there to be removed'}")
            lines += [f"    stays: {reason}" for reason in look.left]
        return "\n".join([*lines, *(f"  Refused: {reason}" for reason in self.refusals())])


def decide(
    confirmed: str,
    scope: Mapping[str, Look | None],
    outside: Mapping[str, Look | None],
    load_balancers: Collection[str] = (),
) -> Plan:
    """The plan for a reset.

    Args:
        confirmed: the id of the cluster that is to go, as the user gives it; may be empty.
        scope: the hosts to be reset, None for one that did not answer.
        outside: control planes and etcd hosts of the inventory that are not, likewise.
        load_balancers: those in ``scope`` whose balancing is to go.
    """
    looks = {host: look for host, look in scope.items() if look is not None}
    plan = Plan(confirmed, looks)
    silent = sorted(host for host, look in scope.items() if look is None)
    plan.problems += map(_silent, silent)
    plan.problems += _unconfirmed(confirmed, looks)
    # A host of another cluster is told so once.
    others = {host for host, look in looks.items() if look.ids - {confirmed}}
    plan.hindrances += [
        f"{host}: {look.hindrance}" for host, look in looks.items() if look.hindrance and host not in others
    ]
    # One that does not answer is said to be so, and no more.
    plan.problems += _living(confirmed, looks, outside, load_balancers, {host.lower() for host in silent})
    return plan


def _silent(host: str) -> Problem:
    return Problem(
        host=host,
        subject="connection",
        found="no answer",
        wanted="one, to reset it",
        action=f"Start it, or leave it out with --limit 'all:!{host}' and reset it when it is back.",
    )


def _unconfirmed(confirmed: str, looks: Mapping[str, Look]) -> list[Problem]:
    """What stands against the confirmation."""
    shown = sorted({each for look in looks.values() for each in look.ids})
    if not (_ID.fullmatch(confirmed) or (confirmed == NO_CLUSTER and not shown)):
        choices = [f"{each} ({_hosts_of(each, looks)})" for each in shown]
        return [
            Problem(
                host=CLUSTER,
                subject="reset_confirm",
                found=repr(confirmed) if confirmed else "nothing",
                wanted=" or ".join(choices) or f"{NO_CLUSTER}, for no host shows a cluster",
                action="To have it removed for good, run this again with "
                f"-e reset_confirm={shown[0] if shown else NO_CLUSTER}.",
            )
        ]
    return [
        Problem(
            host=host,
            subject="cluster",
            found=", ".join(sorted(look.ids)),
            wanted=f"{confirmed}, which reset_confirm says",
            action="Leave this host out with --limit, or confirm the cluster that is meant.",
        )
        for host, look in looks.items()
        if look.ids - {confirmed}
    ]


def _hosts_of(cluster: str, looks: Mapping[str, Look]) -> str:
    return ", ".join(sorted(host for host, look in looks.items() if cluster in look.ids))


def _living(
    confirmed: str,
    looks: Mapping[str, Look],
    outside: Mapping[str, Look | None],
    load_balancers: Collection[str],
    passed_over: Collection[str],
) -> list[Problem]:
    """A host that a living cluster lists leaves it first: its member and its node would be missed there."""
    elsewhere = {host: look for host, look in outside.items() if look is not None}
    everyone = [*looks.values(), *elsewhere.values()]
    views = [look.nodes for look in everyone if look.nodes is not None]
    own = {name for look in looks.values() for name in look.names} | {*passed_over}
    ready = sorted({name for view in views for name, is_ready in view.items() if is_ready and name not in own})
    if not views:
        unasked = sorted(host for host, look in elsewhere.items() if look.ids)
        return [_unknown(unasked)] if unasked else []
    if not ready:
        return []
    listed = {name for view in views for name in view}
    listed |= {name for look in everyone for name in look.members or ()}
    return [
        Problem(
            host=host,
            subject="node" if look.names & listed else "load balancer",
            found=f"one of cluster {', '.join(sorted(look.ids)) or confirmed}, which lives on with {some(ready)}",
            wanted="a host that has left the cluster, or all of its hosts in this run",
            action=f"Run remove_node.yml with -e remove_node_name={host} first, or this without --limit."
            if look.names & listed
            else "Take it out of the group load_balancers and see that nobody uses it, or run this without --limit.",
        )
        for host, look in looks.items()
        if look.names & listed or host in load_balancers
    ]


def _unknown(unasked: list[str]) -> Problem:
    return Problem(
        host=CLUSTER,
        subject="API server",
        found=f"none that answers, while {some(unasked)} outside of this run belong to a cluster",
        wanted="one that tells whether the hosts of this run have left it, or all hosts in this run",
        action="Bring the cluster back with recover.yml, or run this without --limit.",
    )
