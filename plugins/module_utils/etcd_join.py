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
from typing import Any, TypeVar

from . import etcd
from .https_json import RequestFailed
from .problems import Refusal

Result = TypeVar("Result")

DATA_DIR = "/var/lib/etcd"


class Members:
    """The members that answer, asked one after the other."""

    def __init__(self, endpoints: list[str], patience: float) -> None:
        """
        Args:
            endpoints: client URLs of members.
            patience: seconds that a step may take until etcd accepts it.

        Raises:
            RequestFailed: there is nobody to ask.
        """
        if not endpoints:
            raise RequestFailed("etcd: found no healthy member to ask, wanted one. See etcd's log on control planes.")
        self._endpoints = endpoints
        self._context = etcd.local_context()
        self._patience = patience

    def look(self) -> list[etcd.Member]:
        """The members now.

        Raises:
            RequestFailed: none of the endpoints answers.
        """
        return etcd.first_answer(self._endpoints, self._context)

    def members(self) -> list[etcd.Member]:
        """The members, once one of the endpoints answers.

        Raises:
            RequestFailed: none does for too long.
        """
        return self._until(self.look, "list of members")

    def change(self, method: str, body: dict[str, object], what: str) -> None:
        """Ask for a change of membership until etcd accepts it.

        Args:
            method: add, promote or remove.
            body: of the request.
            what: is wanted, in words.

        Raises:
            RequestFailed: it refuses for good, or for too long.
        """

        def ask() -> None:
            refused = RequestFailed("etcd: no endpoint to ask")
            for endpoint in self._endpoints:
                try:
                    etcd.call(endpoint, self._context, f"/cluster/member/{method}", 10.0, body)
                    return
                except RequestFailed as error:
                    # A refusal says more than a silence.
                    refused = error if error.status or not refused.status else refused
                    if not etcd.waits(error):
                        break
            raise refused

        self._until(ask, what)

    def wait_for(self, wanted: Callable[[], bool], what: str) -> None:
        """Wait until a look at the members shows what is wanted.

        Raises:
            RequestFailed: not in time.
        """

        def look() -> None:
            if not wanted():
                raise RequestFailed("the members, but not that")

        self._until(look, what)

    def _until(self, act: Callable[[], Result], what: str) -> Result:
        """Act until it succeeds."""
        deadline, attempts = time.monotonic() + self._patience, 0
        while True:
            attempts += 1
            try:
                return act()
            except RequestFailed as error:
                if not etcd.waits(error):
                    raise
                if time.monotonic() > deadline:
                    raise RequestFailed(
                        f"etcd: found no {what} after {self._patience:.0f} s and {attempts} attempts, wanted one. "
                        f"The last answer: {error}. {self._described()}See its log here and on the others."
                    ) from error
            time.sleep(0.5)

    def _described(self) -> str:
        """How far the members are, for a person who has to find out why it does not go on."""
        try:
            found = self.look()
        except RequestFailed:
            return ""
        states = [
            f"{member.name or member.id} {'learner' if member.learner else 'voter'}, "
            f"{'healthy' if member.healthy else 'started' if member.started else 'not started'}"
            for member in found
        ]
        return f"Members: {'; '.join(states)}. "


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
    cluster = Members(endpoints, patience)
    peer_url = f"https://[{address}]:2380" if ":" in address else f"https://{address}:2380"

    def own(found: list[etcd.Member]) -> etcd.Member | None:
        return etcd.find_member(found, name=name, address=address)

    def is_started() -> bool:
        found = own(cluster.look())
        return found is not None and found.started

    def is_voter() -> bool:
        found = own(cluster.look())
        return found is not None and found.healthy and not found.learner

    member = own(cluster.members())
    if member is not None and member.started and not os.path.isdir(data):
        if not member.learner:
            raise Refusal([etcd.lost_data_problem(name, member)])
        # A learner whose data is gone can never catch up, and no vote is lost with it.
        cluster.change("remove", {"ID": member.id}, f"removal of the learner {name}, whose data is gone")
        member = None
    if member is None:
        if os.path.isdir(data):
            raise Refusal([etcd.foreign_data_problem(name, data)])
        try:
            cluster.change("add", {"peerURLs": [peer_url], "isLearner": True}, f"place for the new member {name}")
        except RequestFailed as error:
            # An attempt whose answer was lost may have been accepted.
            if "already exist" not in str(error) or own(cluster.members()) is None:
                raise
    others = [f"{other.name}={url}" for other in cluster.members() if other.started for url in other.peer_urls]
    start(",".join(sorted({*others, f"{name}={peer_url}"})))
    cluster.wait_for(is_started, f"started member {name}")
    member = own(cluster.members())
    if member is not None and member.learner:
        try:
            cluster.change("promote", {"ID": member.id}, f"vote for the learner {name}")
        except RequestFailed:
            # As above; etcd promotes nobody twice.
            member = own(cluster.members())
            if member is None or member.learner:
                raise
    cluster.wait_for(is_voter, f"healthy voter {name}")
