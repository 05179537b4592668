# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd over its JSON gateway: kubeadm hosts carry no etcdctl, and etcd's image no shell.

Ids are decimal strings, as the gateway sends them: they exceed what JSON numbers hold. Fields that are zero or false
are left out by the gateway, so an unstarted member has no name.
"""

from __future__ import annotations

import ssl
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from .https_json import Document, JsonClient, RequestFailed
from .problems import Problem, Refusal

PKI = "/etc/kubernetes/pki/etcd"
# 3.4 and later serve /v3, 3.3 /v3beta, 3.2 /v3alpha (etcd's api_grpc_gateway document).
PREFIXES = ("/v3", "/v3beta", "/v3alpha")

# What etcd says while another member is on its way, or the last change has not settled: wait, and ask again.
# Source: etcd's api/v3rpc/rpctypes/error.go.
TRANSIENT = (
    "too many learner members",
    "unhealthy cluster",
    "not enough started members",
    "in sync with leader",
    "leader changed",
    "no leader",
    "request timed out",
    "timed out",
    "too many requests",
    "server stopped",
)


@dataclass(frozen=True)
class Member:
    """One entry of the member list, with its own word on how it is."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool
    healthy: bool = False
    leader: bool = False
    version: str = ""

    @property
    def started(self) -> bool:
        return bool(self.name)

    @classmethod
    def from_dict(cls, values: Document) -> Member:
        """From ``as_dict``, as it comes back through a module's result."""
        return cls(**{**values, "peer_urls": tuple(values["peer_urls"]), "client_urls": tuple(values["client_urls"])})

    def as_dict(self) -> Document:
        return {**asdict(self), "peer_urls": list(self.peer_urls), "client_urls": list(self.client_urls)}


def quorum(voters: int) -> int:
    """How many of so many voters must agree."""
    return voters // 2 + 1


def local_context() -> ssl.SSLContext:
    """Speak as this host's health check client (made by kubeadm on every host that runs a member).

    Raises:
        OSError: this host has no such files.
    """
    return client_context(f"{PKI}/ca.crt", f"{PKI}/healthcheck-client.crt", f"{PKI}/healthcheck-client.key")


def client_context(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    """Speak as the client of that certificate.

    Raises:
        OSError: a file is missing, or is no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=ca_file)
    context.load_cert_chain(cert_file, key_file)
    return context


def has_client_certificate() -> bool:
    """Whether this host could speak to etcd at all: its files are there, and are what they should be."""
    try:
        local_context()
    except OSError:  # OpenSSL's errors are among these
        return False
    return True


def call(endpoint: str, context: ssl.SSLContext, method: str, timeout: float, body: Document | None = None) -> Document:
    """One call of the gateway, by the prefix that this etcd serves.

    Raises:
        RequestFailed: no answer, or a refusal.
    """
    client = JsonClient(endpoint, context, timeout)
    for prefix in PREFIXES:
        try:
            return client.request("POST", f"{prefix}{method}", body or {})
        except RequestFailed as error:
            if error.status != 404 or prefix == PREFIXES[-1]:
                raise
    raise AssertionError("unreachable: the last prefix returns or raises")


def members(endpoint: str, context: ssl.SSLContext, timeout: float = 3.0) -> list[Member]:
    """The members as ``endpoint`` lists them, each asked how it is.

    A member that does not answer is unhealthy: what is unknown is never counted on.

    Raises:
        RequestFailed: ``endpoint`` itself does not answer.
    """
    listed = call(endpoint, context, "/cluster/member/list", timeout).get("members", [])
    try:
        found = [_member(entry, _status(tuple(entry.get("clientURLs", ())), context, timeout)) for entry in listed]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RequestFailed(f"{endpoint}: found an answer that is no list of members, wanted etcd's.") from error
    return sorted(found, key=lambda member: (member.name, member.id))


def _member(entry: Document, status: Document) -> Member:
    return Member(
        id=entry["ID"],
        name=entry.get("name", ""),
        peer_urls=tuple(entry.get("peerURLs", ())),
        client_urls=tuple(entry.get("clientURLs", ())),
        learner=entry.get("isLearner", False),
        healthy=_is_healthy(entry["ID"], status),
        leader=status.get("leader") == entry["ID"],
        version=status.get("version", ""),
    )


def _is_healthy(member_id: str, status: Document) -> bool:
    """Whether this is the word of that member, not of another one at its old address, and a good one."""
    speaker = status.get("header", {}).get("member_id", member_id)
    return speaker == member_id and bool(status.get("leader")) and not status.get("errors")


def _status(urls: tuple[str, ...], context: ssl.SSLContext, timeout: float) -> Document:
    for url in urls:
        try:
            return call(url, context, "/maintenance/status", timeout)
        except RequestFailed:
            continue
    return {}


def removal_problem(host: str, member: Member, all_members: list[Member]) -> Problem | None:
    """Why this member must not be taken out: would the other voters still agree? Unhealthy ones are not counted on."""
    others = [other for other in all_members if not other.learner and other.id != member.id]
    healthy = sum(1 for other in others if other.healthy)
    if member.learner or healthy >= quorum(len(others)):
        return None
    return Problem(
        host=host,
        subject="etcd quorum",
        found=f"{healthy} healthy of the {len(others)} other voters",
        wanted=f"{quorum(len(others))}, once the member {member.name or member.id} is taken out",
        action="Bring the other members back first.",
    )


def lost_data_problem(host: str, member: Member) -> Problem:
    """A member that votes by name and has lost what it voted for: starting it empty could undo what was agreed."""
    return Problem(
        host=host,
        subject="etcd member",
        found=f"{member.id} still listed as {member.name or 'unstarted'}, though this host carries nothing of it",
        wanted="no member that has lost its data",
        action=f"Remove it on a healthy control plane (etcdctl member remove {int(member.id):x}), then run again.",
    )


def foreign_data_problem(host: str, path: str) -> Problem:
    """Data of a member that this cluster does not list: it was taken out, and etcd would not start with it."""
    return Problem(
        host=host,
        subject=path,
        found="data of an etcd member that the cluster does not list",
        wanted="none, or that member",
        action="Move it away if nothing in it is missed, then run again.",
    )


def find_member(all_members: list[Member], *, name: str, address: str) -> Member | None:
    """The member of a host: by name, or by the address in its peer URL while it is unstarted and has no name."""
    for member in all_members:
        if member.name == name:
            return member
    for member in all_members:
        if not member.started and address and address in [urlsplit(url).hostname for url in member.peer_urls]:
            return member
    return None


def remove_member(endpoints: list[str], *, name: str, address: str, timeout: float = 10.0) -> bool:
    """Take a host's member out while the others keep their quorum; False where it has none.

    Raises:
        Refusal: the others would have no quorum, or a fresh look still shows the member.
        RequestFailed: no endpoint answers, or etcd refuses.
    """
    context = local_context()
    failure = RequestFailed(f"etcd: no endpoint to ask for the member {name}")
    for endpoint in endpoints:
        try:
            found = members(endpoint, context)
        except RequestFailed as error:
            failure = error
            continue
        member = find_member(found, name=name, address=address)
        if member is None:
            return False
        problem = removal_problem(name, member, found)
        if problem:
            raise Refusal([problem])
        call(endpoint, context, "/cluster/member/remove", timeout, {"ID": member.id})
        # The member that was taken out stops, so another one is asked.
        remaining = [url for other in found if other.id != member.id for url in other.client_urls]
        if any(other.id == member.id for other in first_answer(remaining, context)):
            raise RequestFailed(f"etcd: the member {name} is still listed after its removal")
        return True
    raise failure


def first_answer(endpoints: list[str], context: ssl.SSLContext) -> list[Member]:
    """The members by the first endpoint that answers.

    Raises:
        RequestFailed: none does.
    """
    failure = RequestFailed("etcd: no endpoint to ask")
    for endpoint in endpoints:
        try:
            return members(endpoint, context)
        except RequestFailed as error:
            failure = error
    raise failure


def waits(error: RequestFailed) -> bool:
    """Whether it is worth asking again: nobody answered, or etcd is not ready for it."""
    if error.status == 0:
        return "CERTIFICATE" not in str(error)  # as OpenSSL names a stranger, who stays one
    return error.status in (429, 503, 504) or any(reason in str(error) for reason in TRANSIENT)
