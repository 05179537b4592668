# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's JSON gateway as small HTTPS servers play it: a process each, one member list for all of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .https_server import Answer, Request, Server

# Beyond what a JSON number holds exactly: read as one, it would name another member.
BIG = 2**63 + 1


def entry(number: int, url: str | None, name: str | None = None, **changes: Any) -> dict[str, Any]:
    """The list's entry of cpN: started and at this URL, or unstarted, and then without a name and client URLs."""
    values: dict[str, Any] = {"ID": str(BIG + number), "peerURLs": [f"https://10.0.0.{number}:2380"]}
    if url:
        values.update(name=name or f"cp{number}", clientURLs=[url])
    return {**values, **changes}


@dataclass
class Gateway:
    """One process of etcd.

    Attributes:
        entries: of the member list, as the gateway writes them.
        status: what it says of itself; None is one that has no leader and says nothing.
        prefix: of the paths that it serves.
        keeps: it says that it removes a member, and does not.
        refusals: what it says to the next changes of membership, one each, before it accepts one.
        after: called after each change, with its method and body.
        gone: it has stopped.
        loses_answers: it does what it is asked for once, and its answer is lost.
    """

    entries: list[dict[str, Any]]
    status: dict[str, Any] | None = field(default_factory=lambda: {"version": "3.4.13", "leader": str(BIG)})
    prefix: str = "/v3"
    keeps: bool = False
    refusals: list[str] = field(default_factory=list)
    after: Callable[[str, dict[str, Any]], object] = lambda _method, _body: None
    gone: bool = False
    loses_answers: bool = False

    def answer(self, request: Request) -> Answer:
        if self.gone:
            return 503, {"error": "etcdserver: server stopped", "code": 14}
        if not request.path.startswith(f"{self.prefix}/") or request.method != "POST":
            return 404, "404 page not found"
        method = request.path.removeprefix(self.prefix)
        if method == "/cluster/member/list":
            return 200, {"header": {"member_id": str(BIG)}, "members": self.entries}
        if method == "/maintenance/status":
            return (200, self.status) if self.status is not None else (503, {"error": "no leader", "code": 14})
        if self.refusals:
            return 400, {"error": self.refusals.pop(0), "code": 9}
        return self._change(method.rsplit("/", 1)[-1], request.body)

    def _change(self, method: str, body: dict[str, Any]) -> Answer:
        if method == "add":
            if body["peerURLs"] in [one["peerURLs"] for one in self.entries]:
                return 400, {"error": "etcdserver: Peer URLs already exists", "code": 9}
            learner = {"isLearner": True} if body.get("isLearner") else {}
            self.entries.append({"ID": str(BIG + 99), "peerURLs": body["peerURLs"], **learner})
        else:
            found = [one for one in self.entries if one["ID"] == body["ID"]]
            if not found:
                return 404, {"error": "etcdserver: member not found", "code": 5}
            if method == "promote":
                if "isLearner" not in found[0]:
                    return 400, {"error": "etcdserver: can only promote a learner member", "code": 9}
                found[0].pop("isLearner")
            elif not self.keeps:
                self.entries.remove(found[0])
        self.after(method, body)
        return (504, {"error": "context deadline exceeded"}) if self.loses_answers else (200, {"members": self.entries})


Serve = Callable[[Gateway], Server]


class EtcdCluster:
    """Members cp0, cp1 and so on, each a process of its own."""

    def __init__(self, serve: Serve, size: int = 3) -> None:
        self.entries: list[dict[str, Any]] = []
        self.gateways = [Gateway(self.entries) for _number in range(size)]
        self.servers = [serve(gateway) for gateway in self.gateways]
        self.entries += [entry(number, server.url) for number, server in enumerate(self.servers)]

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    @property
    def ids(self) -> list[int]:
        return [int(one["ID"]) - BIG for one in self.entries]

    @property
    def changes(self) -> list[tuple[str, Any]]:
        """Every change of membership that was asked for, in the order of the processes and then of time."""
        requests = [request for server in self.servers for request in server.requests]
        asked = [(request.path.rsplit("/", 1)[-1], request.body) for request in requests]
        return [(method, body) for method, body in asked if method in ("add", "remove", "promote")]
