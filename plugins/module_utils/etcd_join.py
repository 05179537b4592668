# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stacked etcd member joined as a learner, for the kubeadm that does not do so itself (before 1.29).

That kubeadm adds a voter and starts it afterwards. From one member to two, that costs the quorum for seconds, the API
servers of 1.20 then hold watches that deliver nothing for minutes (kubernetes/kubernetes#97294), and a host that dies
in between takes the cluster with it. A learner counts for nothing until it is in step, and is promoted then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import etcd
from .https_json import RequestFailed
from .problems import Refusal

DATA_DIR = "/var/lib/etcd"
# What etcd says while another member is on its way, or the last change has not settled: wait, and ask again.
TRANSIENT = (
    "too many learner members",
    "unhealthy cluster",
    "not enough started members",
    "in sync with leader",
    "leader changed",
    "no leader",
    "request timed out",
    "timed out",
    "Connection refused",
)


class EtcdCluster:
    """The members that answer, asked one after the other."""

    def __init__(self, endpoints: list[str], patience: float) -> None:
        """
        Args:
            endpoints: client URLs of members.
            patience: seconds that a change may take until etcd accepts it.
        """
        self._endpoints = endpoints
        self._context = etcd.local_context()
        self._patience = patience

    def members(self) -> list[etcd.Member]:
        """The members now.

        Raises:
            RequestFailed: none of the endpoints answers.
        """
        return etcd.first_answer(self._endpoints, self._context)

    def change(self, method: str, body: dict[str, object]) -> None:
        """Ask for a change of membership until etcd accepts it.

        Raises:
            RequestFailed: it refuses for good, or for too long.
        """
        deadline = time.monotonic() + self._patience
        while True:
            failures = []
            for endpoint in self._endpoints:
                try:
                    etcd.call(endpoint, self._context, f"/cluster/member/{method}", 10.0, body)
                    return
                except RequestFailed as error:
                    failures.append(error)
            final = [error for error in failures if not any(reason in str(error) for reason in TRANSIENT)]
            if final or time.monotonic() > deadline:
                raise (final or failures or [RequestFailed("etcd: no endpoint to ask")])[0]
            time.sleep(0.5)

    def wait_for(self, wanted: Callable[[], bool], what: str) -> None:
        """Wait until a look at the members shows what is wanted.

        Raises:
            RequestFailed: not in time.
        """
        deadline = time.monotonic() + self._patience
        while not wanted():
            if time.monotonic() > deadline:
                raise RequestFailed(
                    f"etcd: found no {what} after {self._patience:.0f} s, wanted one. See its log here."
                )
            time.sleep(0.3)


def data_dir(cluster_configuration: Mapping[str, Any]) -> str:
    """Where members keep their data, by ClusterConfiguration."""
    local = (cluster_configuration.get("etcd") or {}).get("local") or {}
    return str(local.get("dataDir") or DATA_DIR)


def join(
    endpoints: list[str],
    *,
    name: str,
    address: str,
    data: str,
    start: Callable[[str], object],
    patience: float = 300.0,
) -> None:
    """Make this host's etcd a voter, from wherever an earlier attempt has got to.

    Args:
        endpoints: client URLs of the members that are there.
        name: of the member, which is its node's.
        address: where it listens for its peers.
        data: the folder that is there once it has begun.
        start: starts etcd on this host, given the value of its --initial-cluster.
        patience: seconds that each step may take.

    Raises:
        RequestFailed: etcd does not answer, or refuses.
        Refusal: a member of this name votes and its data is not here, or there is data here of a member that is none.
    """
    cluster = EtcdCluster(endpoints, patience)
    peer_url = f"https://[{address}]:2380" if ":" in address else f"https://{address}:2380"

    def own() -> etcd.Member | None:
        return etcd.find_member(cluster.members(), name=name, address=address)

    member = own()
    if member is not None and member.started and not os.path.isdir(data):
        if not member.learner:
            raise Refusal([etcd.lost_data_problem(name, member)])
        # A learner whose data is gone can never catch up, and no vote is lost with it.
        cluster.change("remove", {"ID": member.id})
        member = None
    if member is None:
        if os.path.isdir(data):
            raise Refusal([etcd.foreign_data_problem(name, data)])
        try:
            cluster.change("add", {"peerURLs": [peer_url], "isLearner": True})
        except RequestFailed as error:
            # An attempt whose answer was lost may have been accepted.
            if "already exist" not in str(error) or own() is None:
                raise
    others = [f"{other.name}={url}" for other in cluster.members() if other.started for url in other.peer_urls]
    start(",".join(sorted({*others, f"{name}={peer_url}"})))
    cluster.wait_for(lambda: (found := own()) is not None and found.started, f"started member {name}")
    member = own()
    if member is not None and member.learner:
        cluster.change("promote", {"ID": member.id})
    cluster.wait_for(
        lambda: (found := own()) is not None and found.healthy and not found.learner, f"healthy voter {name}"
    )
