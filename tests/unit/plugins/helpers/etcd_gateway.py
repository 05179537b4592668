# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's JSON gateway as small HTTPS servers play it: a process each, in the form of each version.

Sources of the forms: recorded from 3.3.25, 3.4.23 and 3.5.16; for 3.2 and 3.6 api/etcdserverpb/rpc.proto (paths) and
embed/serve.go, and the grpc-gateway that they build on (1.3.0 and 2.26.3: runtime/errors.go).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

from .https_server import Answer, Request, Server
from .simulated_etcd import SimulatedEtcd

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
    """

    entries: list[dict[str, Any]]
    status: dict[str, Any] | None = field(default_factory=lambda: {"version": "3.4.13", "leader": str(BIG)})
    prefix: str = "/v3"

    def answer(self, request: Request) -> Answer:
        if not request.path.startswith(f"{self.prefix}/") or request.method != "POST":
            return 404, "404 page not found"
        if request.path == f"{self.prefix}/cluster/member/list":
            return 200, {"header": {"member_id": str(BIG)}, "members": self.entries}
        return (200, self.status) if self.status is not None else (503, {"error": "no leader", "code": 14})


Serve = Callable[[Callable[[Request], Answer]], Server]


@dataclass(frozen=True)
class Form:
    """How one version of etcd speaks.

    Attributes:
        version: as it calls itself.
        prefix: of its paths.
        elsewhere: what it says to a path that it has not.
        refusal: the body of a refusal, of its text.
        not_now: the HTTP status that it gives to what cannot be done in this state.
    """

    version: str
    prefix: str
    elsewhere: Any
    refusal: Callable[[str], dict[str, Any]]
    not_now: int


FORMS = (
    Form("3.2.32", "/v3alpha", "404 page not found\n", lambda text: {"error": text, "code": 9}, 412),
    Form("3.3.25", "/v3beta", "404 page not found\n", lambda text: {"error": text, "code": 9}, 412),
    Form("3.4.23", "/v3", "404 page not found\n", lambda text: {"error": text, "message": text, "code": 9}, 412),
    Form("3.5.16", "/v3", "404 page not found\n", lambda text: {"error": text, "message": text, "code": 9}, 400),
    Form("3.6.8", "/v3", "404 page not found\n", lambda text: {"code": 9, "message": text, "details": []}, 400),
)


def serve_cluster(etcd: SimulatedEtcd, form: Form, serve: Serve) -> list[Server]:
    """Serve every process of a cluster in this form; what is zero or false is left out, as the gateway does."""
    servers = []
    for process in etcd.processes:

        def answer(request: Request, own: str = process.id) -> Answer:
            if not request.path.startswith(f"{form.prefix}/"):
                return 404, form.elsewhere
            method = request.path.removeprefix(form.prefix)
            url = etcd.find(own).client_url
            try:
                if method == "/maintenance/status":
                    return 200, {"header": {"member_id": own}, "version": form.version, "leader": etcd.processes[0].id}
                if method == "/cluster/member/list":
                    listed = [_entry(one.id, one.name, one.peer_url, one.client_url) for one in etcd.processes]
                    learners = [{"isLearner": True} if one.learner else {} for one in etcd.processes]
                    members = [{**one, **learner} for one, learner in zip(listed, learners)]
                    return 200, {"header": {"member_id": own}, "members": members}
                if method == "/kv/range":
                    return 200, {"header": {"member_id": own}}
                return 200, etcd.call(url, None, method, 0.0, request.body)
            except RequestFailed as error:
                return (form.not_now if error.status == 400 else error.status or 503), form.refusal(str(error))

        servers.append(serve(answer))
        process.url = servers[-1].url
    return servers


def _entry(member_id: str, name: str, peer_url: str, client_url: str) -> dict[str, Any]:
    started = {"name": name, "clientURLs": [client_url]} if name else {}
    return {"ID": member_id, "peerURLs": [peer_url], **started}
