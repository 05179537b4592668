# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd in memory, as ``etcd.members`` and ``etcd.call`` find it: members, leases, one key, and a clock of its own.

It accepts every change that it is asked for, so that nothing but the caller's own rules stands between a cluster and
its ruin; and it keeps what it has accepted, with whether that was sound.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, etcd_cluster, etcd_lock
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

# For how long a change that was asked for may be on its way: ReqTimeout in etcd's server/config/config.go.
LONGEST_DELAY = 7.0


@dataclass
class Process:
    """A member, and the process behind it."""

    id: str
    peer_url: str
    name: str = ""
    learner: bool = False
    alive: bool = True
    url: str = ""

    @property
    def client_url(self) -> str:
        return self.url or self.peer_url.replace(":2380", ":2379")


@dataclass
class SimulatedEtcd:
    """One cluster.

    Attributes:
        now: seconds of its clock, which only sleep and ``pass_time`` move.
        before: called before each request with its method.
        fate: what becomes of the next change that is asked for: "" is done and answered, "lost" done and not answered,
            "late" not answered and done some seconds later, "dropped" neither.
        unsound: changes that were accepted and should never have been asked for, in words.
    """

    processes: list[Process] = field(default_factory=list)
    now: float = 0.0
    before: Callable[[str], object] = lambda _method: None
    fate: str = ""
    accepted: list[str] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)
    _late: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    _leases: dict[str, float] = field(default_factory=dict)
    _lock: dict[str, str] = field(default_factory=dict)
    _ids: int = 2**63

    def add(self, name: str = "", *, number: int, learner: bool = False, alive: bool = True) -> Process:
        self._ids += 1
        process = Process(str(self._ids), f"https://10.0.0.{number}:2380", name, learner, alive)
        self.processes.append(process)
        return process

    @contextlib.contextmanager
    def reachable(self) -> Iterator[etcd_cluster.EtcdCluster]:
        """Be what the modules reach."""
        clock = mock.Mock(sleep=self.pass_time, monotonic=lambda: self.now)
        with (
            mock.patch.object(etcd, "members", self.members),
            mock.patch.object(etcd, "call", self.call),
            mock.patch.object(etcd_cluster, "time", clock),
            mock.patch.object(etcd_lock, "time", clock),
            mock.patch.object(etcd_lock, "_now", lambda: self.now),
        ):
            yield self.client()

    def client(self, patience: float = 60.0) -> etcd_cluster.EtcdCluster:
        return etcd_cluster.EtcdCluster([one.client_url for one in self.processes], mock.Mock(), patience=patience)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for due, change in [one for one in self._late if one[0] <= self.now]:
            self._late.remove((due, change))
            change()

    @property
    def voters(self) -> list[Process]:
        return [one for one in self.processes if not one.learner]

    @property
    def has_quorum(self) -> bool:
        return outvote(self.voters)

    def find(self, member_id: str) -> Process:
        for one in self.processes:
            if one.id == member_id:
                return one
        raise RequestFailed("etcdserver: member not found", 404)

    # What etcd answers.

    def members(self, endpoint: str, _context: object, _timeout: float, *, sure: bool = False) -> list[etcd.Member]:
        self.before("list")
        self._reach(endpoint, sure)
        return [
            etcd.Member(
                id=one.id,
                name=one.name,
                peer_urls=(one.peer_url,),
                client_urls=(one.client_url,) if one.name else (),
                learner=one.learner,
                healthy=one.alive and bool(one.name) and self.has_quorum,
                version="3.4.13" if one.alive else "",
            )
            for one in self.processes
        ]

    def call(
        self,
        endpoint: str,
        _context: object,
        method: str,
        _timeout: float,
        body: dict[str, Any],
        *,
        before_sending: Callable[[], object] | None = None,
    ) -> dict[str, Any]:
        self.before(method)
        self._reach(endpoint, True)
        if before_sending:
            before_sending()
        self._leases = {lease: ends for lease, ends in self._leases.items() if ends > self.now}
        self._lock = self._lock if self._lock.get("lease") in self._leases else {}
        verb = method.rsplit("/", 1)[-1]
        if method.startswith("/cluster/member/"):
            return self._change(verb, body)
        return getattr(self, f"_{verb}")(body)

    def _reach(self, endpoint: str, needs_quorum: bool) -> None:
        if not any(one.client_url == endpoint and one.alive and not one.learner for one in self.processes):
            raise RequestFailed("connection refused")
        if needs_quorum and not self.has_quorum:
            raise RequestFailed("etcdserver: no leader", 503)

    def _grant(self, body: dict[str, Any]) -> dict[str, Any]:
        self._ids += 1
        self._leases[str(self._ids)] = self.now + int(body["TTL"])
        return {"ID": str(self._ids), "TTL": body["TTL"]}

    def _keepalive(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["ID"] not in self._leases:
            return {"result": {"ID": body["ID"]}}
        self._leases[body["ID"]] = self.now + etcd_lock.LIFETIME_SECONDS
        return {"result": {"ID": body["ID"], "TTL": str(etcd_lock.LIFETIME_SECONDS)}}

    def _revoke(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._leases.pop(body["ID"], None) is None:
            raise RequestFailed("etcdserver: requested lease not found", 404)
        self._lock = self._lock if self._lock.get("lease") in self._leases else {}
        return {}

    def _txn(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._lock:
            return {"responses": [{"response_range": {"kvs": [{"value": self._lock["value"]}]}}]}
        put = body["success"][0]["request_put"]
        if put["lease"] not in self._leases:
            raise RequestFailed("etcdserver: requested lease not found", 404)
        self._lock = put
        return {"succeeded": True}

    def _change(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        fate, self.fate = self.fate, ""
        if fate == "dropped":
            raise RequestFailed("timed out")
        if fate == "late":
            self._late.append((self.now + LONGEST_DELAY, lambda: self._apply(verb, body)))
            raise RequestFailed("timed out")
        self._apply(verb, body)
        if fate == "lost":
            raise RequestFailed("connection reset")
        return {}

    def _apply(self, verb: str, body: dict[str, Any]) -> None:
        before = list(self.processes)
        words = f"{verb} {body.get('ID', '')}"
        sound = self.has_quorum
        if verb == "add":
            urls = [one.peer_url for one in self.processes]
            if body["peerURLs"][0] in urls:
                raise RequestFailed("etcdserver: Peer URLs already exists", 400)
            sound = sound and all(one.alive for one in self.voters) and self.voters == self.processes
            self._ids += 1
            added = Process(str(self._ids), body["peerURLs"][0], learner=body.get("isLearner", False), alive=False)
            self.processes.append(added)
        elif verb == "promote":
            one = self.find(body["ID"])
            if not one.learner:
                raise RequestFailed("etcdserver: can only promote a learner member", 400)
            sound = sound and one.alive and bool(one.name)
            one.learner = False
        else:
            one = self.find(body["ID"])
            self.processes.remove(one)
            sound = sound and (one.learner or len(self.voters) >= 2)
        self.accepted.append(words)
        if not (sound and self.has_quorum):
            self.unsound.append(f"{words}: {before} became {self.processes}")


def outvote(voters: list[Process]) -> bool:
    """Whether those that live outvote the others, counted one by one."""
    return sum(1 if one.alive and one.name else -1 for one in voters) > 0
