# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd over its JSON gateway: kubeadm hosts carry no etcdctl, and etcd's image no shell.

Ids are decimal strings, as the gateway sends them: they exceed what JSON numbers hold. Fields that are zero or false
are left out by the gateway, so an unstarted member has no name.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from .https_json import Document, JsonClient, RequestFailed
from .problems import CLUSTER, Problem

PKI = "/etc/kubernetes/pki/etcd"
# 3.4 and later serve /v3, 3.3 /v3beta, 3.2 /v3alpha (etcd's api_grpc_gateway document).
PREFIXES = ("/v3", "/v3beta", "/v3alpha")
FIRST_WITH_LEARNERS = (3, 4)
FIRST_WITH_LINEARIZABLE_LISTS = (3, 5)

# OpenSSL's X509_V_FLAG_PARTIAL_CHAIN, for which Python has a name since 3.10.
PARTIAL_CHAIN = 0x80000

# What etcd says while another member is on its way, or the last change has not settled: wait, and ask again.
# An id is a hash of the peer URLs and the second, so one that is added in the second in which it was removed is "not
# found". Sources: etcd's api/v3rpc/rpctypes/error.go; NewMemberAsLearner in server/etcdserver/api/membership.
TRANSIENT = (
    "member not found",
    "requested lease not found",
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

# Those of them that come with a server's error, and yet say that nothing was done.
REFUSALS = ("unhealthy cluster", "no leader")


@dataclass(frozen=True)
class Member:
    """One entry of the member list, with its own word on how it is.

    Attributes:
        index: how far it knows raft's log; 0 where it does not say.
        error: why it is not healthy, in etcd's words where it has any; empty where it is.
    """

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool
    healthy: bool = False
    leader: bool = False
    version: str = ""
    index: int = 0
    error: str = ""

    @property
    def started(self) -> bool:
        """Whether it was ever part of a quorum: it says where its clients find it as soon as there is a leader.

        Of members that are to start together, each one bears its name before that.
        """
        return bool(self.client_urls)

    @classmethod
    def from_dict(cls, values: Document) -> Member:
        """From ``as_dict``, as it comes back through a module's result."""
        return cls(**{**values, "peer_urls": tuple(values["peer_urls"]), "client_urls": tuple(values["client_urls"])})

    def as_dict(self) -> Document:
        return {**asdict(self), "peer_urls": list(self.peer_urls), "client_urls": list(self.client_urls)}


def quorum(voters: int) -> int:
    """How many of so many voters must agree."""
    return voters // 2 + 1


def hexadecimal(number: str) -> str:
    """An id as etcdctl and etcd's log show it."""
    return f"{int(number):x}" if number.isdigit() else number


def encoded(text: str) -> str:
    """A key or value as the gateway takes it: base64."""
    return base64.b64encode(text.encode()).decode()


def local_context() -> ssl.SSLContext:
    """Speak as this host's health check client (made by kubeadm on every host that runs a member).

    Raises:
        OSError: this host has no such files.
    """
    return client_context(f"{PKI}/ca.crt", f"{PKI}/healthcheck-client.crt", f"{PKI}/healthcheck-client.key")


def client_context(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    """Speak as the client of that certificate.

    As Kubernetes and etcd do, it is content with an intermediate CA, and takes no common name for a host's name.

    Raises:
        OSError: a file is missing, or is no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= PARTIAL_CHAIN
    context.hostname_checks_common_name = False
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


def call(
    endpoint: str,
    context: ssl.SSLContext,
    method: str,
    timeout: float,
    body: Document | None = None,
    *,
    before_sending: Callable[[], object] | None = None,
) -> Document:
    """One call of the gateway, by the prefix that this etcd serves.

    Args:
        before_sending: see ``JsonClient.request``.

    Raises:
        RequestFailed: no answer, or a refusal.
    """
    client = JsonClient(endpoint, context, timeout)
    for prefix in PREFIXES:
        try:
            return client.request("POST", f"{prefix}{method}", body or {}, before_sending=before_sending)
        except RequestFailed as error:
            if not _is_elsewhere(error, prefix):
                raise
    raise AssertionError("unreachable: the last prefix returns or raises")


def stream(endpoint: str, context: ssl.SSLContext, method: str, timeout: float) -> Iterator[Document]:
    """The same of a method that answers more than once: each answer's result, as it comes.

    Raises:
        RequestFailed: no answer, or a refusal; also in the middle, and where etcd itself gives up.
    """
    client = JsonClient(endpoint, context, timeout)
    for prefix in PREFIXES:
        came = False
        try:
            for answer in client.stream(f"{prefix}{method}", {}):
                came = True
                if "result" not in answer:
                    # The gateway writes an error of a stream into it: its status was sent before.
                    failure = answer.get("error", answer)
                    said = failure.get("message", failure) if isinstance(failure, dict) else failure
                    raise RequestFailed(f"POST {endpoint}{prefix}{method}: {said}", 500)
                yield answer["result"]
            return
        except RequestFailed as error:
            if came or not _is_elsewhere(error, prefix):
                raise


def _is_elsewhere(error: RequestFailed, prefix: str) -> bool:
    """Whether another prefix may answer. What etcd itself does not find is no matter of the path."""
    return error.status == 404 and "etcdserver" not in str(error) and prefix != PREFIXES[-1]


def members(endpoint: str, context: ssl.SSLContext, timeout: float = 3.0, *, sure: bool = False) -> list[Member]:
    """The members as ``endpoint`` lists them, each asked how it is.

    A member that does not answer is unhealthy: what is unknown is never counted on.

    Args:
        sure: take only a list that a quorum stands behind.

    Raises:
        RequestFailed: ``endpoint`` itself does not answer.
    """
    listed = (_sure_list if sure else _list)(endpoint, context, timeout).get("members", [])
    try:
        places = [tuple(entry.get("clientURLs", ())) for entry in listed]
        # Side by side: what the first one says is not to be old when the last one has answered.
        with ThreadPoolExecutor(max(1, len(places))) as pool:
            states = list(pool.map(lambda urls: _status(urls, context, timeout), places))
        found = [_member(entry, state) for entry, state in zip(listed, states)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RequestFailed(f"{endpoint}: found an answer that is no list of members, wanted etcd's.") from error
    return sorted(found, key=lambda member: (member.name, member.id))


def _list(endpoint: str, context: ssl.SSLContext, timeout: float) -> Document:
    return call(endpoint, context, "/cluster/member/list", timeout)


def _sure_list(endpoint: str, context: ssl.SSLContext, timeout: float) -> Document:
    """The member list by a linearizable read: as an option from 3.5 on, before by another such read in front of it.

    etcd 3.4 takes the option, too, and does nothing about it.
    """
    status = call(endpoint, context, "/maintenance/status", timeout)
    if not status.get("leader"):
        raise RequestFailed(f"{endpoint}: found no leader, wanted one that a quorum follows.", 503)
    if release(status.get("version", "")) >= FIRST_WITH_LINEARIZABLE_LISTS:
        return call(endpoint, context, "/cluster/member/list", timeout, {"linearizable": True})
    call(endpoint, context, "/kv/range", timeout, {"key": "AA==", "count_only": True})
    return _list(endpoint, context, timeout)


def count_below(prefix: str) -> Document:
    """What ``/kv/range`` is asked for the number of keys below a prefix, by a read that needs the quorum."""
    start = prefix.rstrip("/") + "/"
    return {"key": encoded(start), "range_end": encoded(start[:-1] + "0"), "count_only": True}


def release(version: str) -> tuple[int, ...]:
    """Major and minor of an etcd version; nothing, which is less than any, where there is none."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _member(entry: Document, status: Document) -> Member:
    error = _error(entry["ID"], status)
    return Member(
        id=entry["ID"],
        name=entry.get("name", ""),
        peer_urls=tuple(entry.get("peerURLs", ())),
        client_urls=tuple(entry.get("clientURLs", ())),
        learner=entry.get("isLearner", False),
        healthy=not error,
        leader=status.get("leader") == entry["ID"],
        version=status.get("version", ""),
        index=int(status.get("raftIndex", 0)),
        error=error,
    )


def _error(member_id: str, status: Document) -> str:
    """What is wrong with this word of that member; nothing where it is a good one."""
    if not status:
        return "no answer"
    if status.get("header", {}).get("member_id", member_id) != member_id:
        return "another member answers at its address"
    # An alarm comes as "memberID:1 alarm:NOSPACE ".
    said = "; ".join(str(error).strip() for error in status.get("errors") or ())
    return said or ("" if status.get("leader") else "no leader")


def _status(urls: tuple[str, ...], context: ssl.SSLContext, timeout: float) -> Document:
    for url in urls:
        try:
            return call(url, context, "/maintenance/status", timeout)
        except RequestFailed:
            continue
    return {}


def lost_data_problem(host: str, member: Member) -> Problem:
    """A member that votes by name and has lost what it voted for: starting it empty could undo what was agreed."""
    return Problem(
        host=host,
        subject="etcd member",
        found=f"{member.id} still listed as {member.name or 'unstarted'}, though this host has lost what it voted for",
        wanted="no member that has lost its data",
        action="playbooks/recover.yml takes it out and joins the host anew. By hand: remove it at a healthy member "
        f"(etcdctl member remove {hexadecimal(member.id)}), then run again.",
    )


def alarm_problem(kind: str, member: str) -> Problem:
    """An alarm that etcd has raised, which is the whole cluster's, over one member: its name or hexadecimal id."""
    actions = {
        "NOSPACE": "Compact its history, defragment each member, and disarm the alarm (etcd's maintenance guide).",
        "CORRUPT": "Replace the member whose data differ, and disarm the alarm (etcd's guide to data corruption).",
    }
    action = actions.get(kind, "See etcd's log.")
    return Problem(CLUSTER, "etcd alarm", f"{kind} of member {member}", "none", action)


def foreign_data_problem(host: str, path: str) -> Problem:
    """Data of a member that this cluster does not list: it was taken out, and etcd would not start with it."""
    return Problem(
        host=host,
        subject=path,
        found="data of an etcd member that the cluster does not list",
        wanted="none, or that member",
        action="Move it away if nothing in it is missed, then run again.",
    )


def waits(error: RequestFailed) -> bool:
    """Whether it is worth asking again: nobody answered, or etcd is not ready for it."""
    if error.status == 0:
        return "CERTIFICATE" not in str(error)  # as OpenSSL names a stranger, who stays one
    return error.status in (429, 503, 504) or any(reason in str(error) for reason in TRANSIENT)


def refuses(error: RequestFailed) -> bool:
    """Whether etcd has said no; after any other failure, what was asked for may still come about."""
    said = error.status != 0 and (error.status < 500 or any(reason in str(error) for reason in REFUSALS))
    return said and "timed out" not in str(error)
