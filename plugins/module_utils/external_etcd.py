# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd that API servers reach over the network: from what its endpoints answered to what stands against using it.

Pure. ``etcd_look`` asks; ids are decimal strings, as the JSON gateway sends them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from . import pki, versions
from .etcd import alarm_problem, hexadecimal, quorum
from .problems import CLUSTER, Problem

# Unless the user says otherwise, they are where etcd hosts of this inventory have them.
FILE_VARIABLES = dict(
    zip(("cluster_etcd_ca_file", "cluster_etcd_certificate_file", "cluster_etcd_key_file"), pki.ETCD_CLIENT_FILES)
)
FILES = ("ca_file", "cert_file", "key_file")
# Where API servers keep their keys (kube-apiserver's --etcd-prefix).
PREFIX = "/registry"

_OWNED_ARGUMENTS = frozenset({"etcd-servers", "etcd-cafile", "etcd-certfile", "etcd-keyfile"})

# The oldest etcd that kubeadm's preflight (ExternalEtcdVersion) accepts, by the first minor of Kubernetes that has it.
# Sources: MinExternalEtcdVersion in kubeadm's constants of 1.20, 1.22, 1.32 to 1.36; kubernetes#118733 (milestone 1.28)
# and #124465 (1.31). They name images, such as 3.4.13-4, which is before 3.4.13.
MINIMA = {35: (3, 5, 24), 34: (3, 5, 21), 31: (3, 5, 11), 28: (3, 4, 13), 20: (3, 2, 18)}

# What can go wrong before etcd itself has a say.
NO_CONNECTION = "no connection"
NO_TLS = "no TLS"
OTHER_CA = "other CA"
OTHER_NAME = "other name"
SERVER_CERTIFICATE = "server certificate"
CLIENT_REFUSED = "client refused"
NO_ETCD = "no etcd"

_ENDPOINT = re.compile(r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


@dataclass(frozen=True)
class Answer:
    """What one endpoint answered one host.

    Attributes:
        failure: one of the kinds above; empty where nothing of that kind went wrong.
        error: in words what went wrong, there or later.
        asked: False where the host has no files to ask with, and only tried whether a connection can be made.
        gateway: it serves etcd's JSON gateway; without it no more than the version is known.
        version: as /version says it.
        cluster: id of the cluster.
        member: id of the member that answered.
        leader: id of the leader it knows; empty or 0 where it knows none.
        learner: it is one.
        members: each one's id, name and client URLs.
        alarms: kind and member id of each.
        keys: how many Kubernetes' prefix holds, by a read that needs the quorum; None where that failed.
        auth: etcd asks who its clients are, beyond their certificates.
    """

    failure: str = ""
    error: str = ""
    asked: bool = True
    gateway: bool = True
    version: str = ""
    cluster: str = ""
    member: str = ""
    leader: str = ""
    learner: bool = False
    members: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    alarms: tuple[tuple[str, str], ...] = ()
    keys: int | None = None
    auth: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Answer:
        """From ``as_dict``, as it comes back through a module's result."""
        members = tuple((one[0], one[1], tuple(one[2])) for one in values["members"])
        return cls(**{**values, "members": members, "alarms": tuple((one[0], one[1]) for one in values["alarms"])})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def speaks(self) -> bool:
        """It is an etcd that says who it is."""
        return not self.failure and bool(self.cluster)

    @property
    def led(self) -> bool:
        """It follows a leader, or is one."""
        return self.leader not in ("", "0")

    @property
    def able(self) -> bool:
        """It reads with a quorum, or is an etcd that does not let anybody see whether it does."""
        hidden = self.auth or not self.gateway
        return self.asked and not self.failure and (hidden or (self.led and self.keys is not None))


@dataclass(frozen=True)
class Look:
    """What one host sees of it.

    Attributes:
        missing: files that it has not.
        unfit: why those it has would not do, as the file and words; empty where they would.
        answers: by endpoint.
    """

    missing: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)

    @classmethod
    def from_result(cls, result: Mapping[str, Any] | None) -> Look | None:
        """From ``etcd_look.look``; None where nobody looked."""
        if not result:
            return None
        answers = {endpoint: Answer.from_dict(answer) for endpoint, answer in result["answers"].items()}
        return cls(tuple(result["missing"]), tuple(result["unfit"] or ()), answers)

    def of(self, endpoints: Collection[str]) -> Look:
        """The same of these endpoints alone."""
        return replace(self, answers={url: answer for url, answer in self.answers.items() if url in endpoints})

    @property
    def holds(self) -> bool:
        """The host has all that an API server needs to be let in."""
        return not self.missing and not self.unfit


def described(variables: Mapping[str, Any]) -> dict[str, Any]:
    """kubeadm's ``etcd.external`` for an etcd that somebody else runs; empty where nobody does."""
    if not variables.get("cluster_etcd_endpoints"):
        return {}
    asked = question(variables)
    return {
        "endpoints": asked["endpoints"],
        "caFile": asked["ca_file"],
        "certFile": asked["cert_file"],
        "keyFile": asked["key_file"],
    }


def question(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What control planes are to ask of an etcd that is not theirs, for ``node_info``; empty with stacked etcd."""
    if (variables.get("cluster_etcd_topology") or "stacked") == "stacked":
        return {}
    files = {kind: variables.get(name) or FILE_VARIABLES[name] for kind, name in zip(FILES, FILE_VARIABLES)}
    endpoints = list(variables.get("cluster_etcd_endpoints") or [])
    return {"endpoints": endpoints, **files, "prefix": prefix(variables.get("cluster_configuration") or {})}


def prefix(configuration: Mapping[str, Any]) -> str:
    """Below which API servers keep their keys, by a ClusterConfiguration that has been checked."""
    return _arguments(configuration).get("etcd-prefix") or PREFIX


def _arguments(configuration: Any) -> dict[str, Any]:
    """An API server's extraArgs, as far as they can be read."""
    server = configuration.get("apiServer") if isinstance(configuration, Mapping) else None
    given = server.get("extraArgs") if isinstance(server, Mapping) else None
    if isinstance(given, Mapping):
        return dict(given)
    pairs = given if isinstance(given, (list, tuple)) else ()
    return {str(one.get("name")): one.get("value") for one in pairs if isinstance(one, Mapping)}


def check_input(variables: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with what the user says of such an etcd, in the cluster's variables."""
    endpoints = variables.get("cluster_etcd_endpoints") or []
    if not isinstance(endpoints, list):
        return []  # told of its shape
    problems = []
    for endpoint in endpoints:
        match = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
        if match is None or not 0 < int(match[2]) < 65536:
            plain = str(endpoint).startswith("http://")
            action = "Correct it." + (" Over http anybody on the way reads every Secret." if plain else "")
            wanted = "https://host:port, IPv6 in brackets, and no path"
            problems.append(Problem(CLUSTER, "cluster_etcd_endpoints", repr(endpoint), wanted, action))
    for endpoint in sorted({one for one in endpoints if isinstance(one, str) and endpoints.count(one) > 1}):
        problems.append(Problem(CLUSTER, "cluster_etcd_endpoints", f"{endpoint} twice", "each once", "Correct it."))
    said = {name: variables[name] for name in FILE_VARIABLES if variables.get(name)}
    for name, path in said.items():
        if not isinstance(path, str) or not path.startswith("/"):
            action = "Correct it: it is a path on the control planes."
            problems.append(Problem(CLUSTER, name, repr(path), "an absolute path", action))
        elif not endpoints:
            action = "Set cluster_etcd_endpoints for an etcd that somebody else runs, or remove it."
            problems.append(Problem(CLUSTER, name, path, "nothing without cluster_etcd_endpoints", action))
    if (variables.get("cluster_etcd_topology") or "stacked") != "stacked":
        action = "Remove it: variables that begin with cluster_etcd_, and etcd's members, say it."
        problems += [
            Problem(CLUSTER, f"cluster_configuration.apiServer.extraArgs.{name}", "a value", "nothing here", action)
            for name in sorted({*_arguments(variables.get("cluster_configuration"))} & _OWNED_ARGUMENTS)
        ]
    paths = [str(said.get(name, default)) for name, default in FILE_VARIABLES.items()]
    if len({*paths}) < len(paths):
        found, names = ", ".join(paths), ", ".join(FILE_VARIABLES)
        problems.append(Problem(CLUSTER, names, found, "three files", "Give each its own path."))
    return problems


def minimum(kubernetes: versions.Version) -> tuple[int, ...]:
    """The oldest etcd that this kubeadm accepts."""
    return next(oldest for minor, oldest in MINIMA.items() if kubernetes.minor >= minor)


def accepts(kubernetes: versions.Version, etcd: str) -> bool:
    """Whether kubeadm of that version takes an etcd of this one; a pre-release is older than its release."""
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(-\S+)?(\+\S+)?", etcd)
    if match is None:
        return False
    release = tuple(int(part) for part in match.group(1, 2, 3))
    return (release, match[4] is None) >= (minimum(kubernetes), True)


def holders(looks: Mapping[str, Look]) -> list[str]:
    """The hosts that hold the three files, and could start a cluster or hand them on."""
    return sorted(host for host, look in looks.items() if look.holds)


def check_record(external: Mapping[str, Any], record: Mapping[str, Any]) -> list[Problem]:
    """Whether a cluster uses the files of etcd that the user names: a run never changes these.

    Args:
        external: as kubeadm is told (``described``).
        record: see ``evidence.cluster_etcd``.
    """
    names = dict(zip(FILE_VARIABLES, pki.ETCD_CLIENT_FIELDS))
    recorded = record.get("files", {})
    return [
        Problem(CLUSTER, name, external[field], f"{recorded[field]}, as it runs", f"Set it to {recorded[field]}.")
        for name, field in names.items()
        if field in recorded and recorded[field] != external[field]
    ]


def judge(
    looks: Mapping[str, Look],
    kubernetes: versions.Version,
    *,
    endpoints: Collection[str] | None = None,
    new: Collection[str] = (),
    begins: bool = False,
) -> tuple[list[Problem], list[Problem]]:
    """What stands against this etcd, and what a person should know of it.

    Nothing that is wrong with it stops a run that makes no control plane, but that it is two clusters.

    Args:
        looks: by host.
        kubernetes: the version that is wanted.
        endpoints: those that API servers are to use; all that were asked, if none are given. Of others, which some may
            use still, it is only asked whether they are of the same cluster.
        new: hosts that are to become control planes in this run.
        begins: one of these starts the cluster, over an etcd that must hold none.

    Returns:
        Reasons to change nothing, and what to know.
    """
    refusals: list[Problem] = []
    warnings: list[Problem] = []

    def found(problems: Iterable[Problem], hosts: Collection[str] | None = None) -> None:
        """Of hosts, or where none are named of etcd as a whole."""
        stops = bool(new) if hosts is None else bool({*new} & {*hosts})
        (refusals if stops else warnings).extend(problems)

    for host, look in sorted(looks.items()):
        found(_files(host, look), [host])
    if begins and not holders({host: look for host, look in looks.items() if host in new}):
        paths = sorted({path for look in looks.values() for path in look.missing})
        if paths:
            action = "Copy them to one of these, which then starts the cluster and hands them on."
            holds, wish = f"none of {', '.join(sorted(new))} with all of {', '.join(paths)}", "one that has them"
            refusals.append(Problem(CLUSTER, "files of etcd", holds, wish, action))
    refusals += _one_cluster(looks)
    if endpoints is not None:
        looks = {host: look.of(endpoints) for host, look in looks.items()}
    for endpoint in sorted({endpoint for look in looks.values() for endpoint in look.answers}):
        answers = {host: look.answers[endpoint] for host, look in looks.items() if endpoint in look.answers}
        if begins or any(answer.failure != NO_CONNECTION for answer in answers.values()):
            for hosts, problem in _failures(endpoint, answers):
                found([problem], hosts)
        else:
            # One that nobody reaches is a member that is down, and the others may well be enough.
            warnings.extend(problem for _hosts, problem in _failures(endpoint, answers))
    by_endpoint = _merged(looks)
    speaking = {endpoint: answer for endpoint, answer in by_endpoint.items() if answer.speaks}
    found(_versions(by_endpoint, kubernetes))
    found(_quorum({endpoint: answer for endpoint, answer in by_endpoint.items() if answer.gateway}))
    found(_alarms(speaking))
    if begins:
        refusals += _holds_another(speaking)
    warnings += _unlike_members(speaking) + _cannot_tell(by_endpoint)
    return refusals, warnings


def _files(host: str, look: Look) -> list[Problem]:
    if look.unfit:
        path, what = look.unfit
        action = "Put files there that belong together: the CA, a certificate for clients that it signed, and its key."
        return [Problem(host, path, what, "what etcd lets in", action)]
    # None of them come by kubeadm; some of them are a mistake.
    if look.missing and len(look.missing) < 3:
        action = "Copy the others as well, or none: a control plane that joins gets them from another one."
        return [Problem(host, path, "no file", "it beside the others", action) for path in look.missing]
    return []


_ACTIONS = {
    NO_CONNECTION: "Look whether etcd runs there, and at routes and firewalls on the way.",
    NO_TLS: "Correct cluster_etcd_endpoints, or whatever answers there.",
    OTHER_CA: "Set cluster_etcd_ca_file to the CA that signs etcd's servers, or correct cluster_etcd_endpoints.",
    OTHER_NAME: "Use a name or address that is in the certificate, or have it issued anew with this one.",
    SERVER_CERTIFICATE: "Renew etcd's server certificate, or correct the clock of this host.",
    CLIENT_REFUSED: "Take a certificate for clients that etcd's --trusted-ca-file has signed.",
    NO_ETCD: "Correct cluster_etcd_endpoints: they are client URLs of etcd.",
}
_WANTED = {
    NO_CONNECTION: "a connection",
    NO_TLS: "TLS",
    OTHER_CA: "one that cluster_etcd_ca_file has signed",
    SERVER_CERTIFICATE: "a valid one",
    CLIENT_REFUSED: "to be let in",
    NO_ETCD: "etcd",
}


def _failures(endpoint: str, answers: Mapping[str, Answer]) -> list[tuple[list[str], Problem]]:
    """What went wrong at one endpoint, with the hosts that say so; those that say the same together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for host, answer in sorted(answers.items()):
        if answer.failure:
            alike.setdefault((answer.failure, answer.error), []).append(host)
    problems = []
    for (failure, error), hosts in alike.items():
        what = {
            OTHER_CA: f"a server certificate that our CA did not sign ({error})",
            OTHER_NAME: f"a server certificate for {error}",
            SERVER_CERTIFICATE: error,
            CLIENT_REFUSED: f"our certificate refused ({error})",
        }.get(failure, error)
        where = "" if len(hosts) == 1 else f", from {', '.join(hosts)}"
        wanted = _WANTED.get(failure) or f"one for {urlsplit(endpoint).hostname}"
        subject, host = f"etcd endpoint {endpoint}", hosts[0] if len(hosts) == 1 else CLUSTER
        problems.append((hosts, Problem(host, subject, what + where, wanted, _ACTIONS[failure])))
    return problems


def _merged(looks: Mapping[str, Look]) -> dict[str, Answer]:
    """By endpoint the answer that says most, of a host that could ask."""
    merged: dict[str, Answer] = {}
    for _host, look in sorted(looks.items()):
        for endpoint, answer in look.answers.items():
            known = merged.get(endpoint)
            if answer.asked and not answer.failure and (known is None or _tells(answer) > _tells(known)):
                merged[endpoint] = answer
    return merged


def _tells(answer: Answer) -> tuple[bool, bool]:
    return bool(answer.cluster), answer.keys is not None


def _one_cluster(looks: Mapping[str, Look]) -> list[Problem]:
    """Endpoints of two clusters, by whatever host saw them: API servers would write to one and read from the other."""
    clusters: dict[str, set[str]] = {}
    for look in looks.values():
        for endpoint, answer in look.answers.items():
            if answer.speaks:
                clusters.setdefault(answer.cluster, set()).add(endpoint)
    if len(clusters) < 2:
        return []
    found = "; ".join(
        f"cluster {hexadecimal(cluster)} at {', '.join(sorted(urls))}" for cluster, urls in sorted(clusters.items())
    )
    action = "Take the endpoints out of cluster_etcd_endpoints that are not of the etcd that you mean."
    return [Problem(CLUSTER, "etcd endpoints", found, "one cluster behind all of them", action)]


def _versions(answers: Mapping[str, Answer], kubernetes: versions.Version) -> list[Problem]:
    wanted = f"{'.'.join(map(str, minimum(kubernetes)))} or later, for kubeadm of Kubernetes 1.{kubernetes.minor}"
    return [
        Problem(CLUSTER, f"etcd at {endpoint}", f"version {answer.version}", wanted, "Upgrade etcd first.")
        for endpoint, answer in sorted(answers.items())
        if not accepts(kubernetes, answer.version)
    ]


def _quorum(answers: Mapping[str, Answer]) -> list[Problem]:
    """Without a leader nothing is written; an endpoint that follows none is of no use to an API server."""
    if not answers:
        return []
    able = [one for one in answers.values() if one.able]
    action = "Bring etcd's members back (see their logs); nothing is built on an etcd that cannot write."
    if not able:
        voters = max(len(answer.members) for answer in answers.values())
        error = next((answer.error for answer in answers.values() if answer.error), "")
        found = ("no leader" if not any(one.led for one in answers.values()) else "a leader, and reads that fail") + (
            f" ({error})" if error else ""
        )
        wanted = f"{quorum(voters)} of {voters} members that agree" if voters else "members that agree"
        return [Problem(CLUSTER, "etcd quorum", found, wanted, action)]
    problems = []
    for endpoint, answer in sorted(answers.items()):
        if answer.learner:
            found, remedy = "a learner, which serves no reads and writes", "Promote it, or leave it out."
            problems.append(Problem(CLUSTER, f"etcd endpoint {endpoint}", found, "a member that votes", remedy))
        elif not answer.led and not answer.auth:
            found, remedy = "a member that follows no leader", "See its log, and its way to the other members."
            problems.append(Problem(CLUSTER, f"etcd endpoint {endpoint}", found, "one that does", remedy))
    return problems


def _alarms(answers: Mapping[str, Answer]) -> list[Problem]:
    raised = sorted({alarm for answer in answers.values() for alarm in answer.alarms})
    return [alarm_problem(kind, hexadecimal(member)) for kind, member in raised]


def _holds_another(answers: Mapping[str, Answer]) -> list[Problem]:
    counts = [answer.keys for answer in answers.values() if answer.keys]
    if not counts:
        return []
    action = (
        "It holds a Kubernetes cluster, and none is on these hosts. If it is one of yours, put its control planes into "
        "the inventory. If nothing in it is missed, delete the keys (etcdctl del --prefix). Or give this cluster a "
        "prefix of its own (etcd-prefix in cluster_configuration under apiServer.extraArgs)."
    )
    found = f"{max(counts)} keys below API servers' prefix"
    return [Problem(CLUSTER, "etcd", found, "none before kubeadm init", action)]


def _unlike_members(answers: Mapping[str, Answer]) -> list[Problem]:
    """Endpoints and members that are not the same; which is fine, and worth knowing."""
    members = {one[0]: one for answer in answers.values() for one in answer.members}
    advertised = {url.rstrip("/") for _id, _name, urls in members.values() for url in urls}
    if not members:
        return []
    problems = []
    others = sorted(endpoint for endpoint in answers if endpoint not in advertised)
    if others:
        found, wanted = f"{', '.join(others)}, which no member advertises", "client URLs of members"
        action = "A load balancer or another name works: see that it leads to all members."
        problems.append(Problem(CLUSTER, "etcd endpoints", found, wanted, action))
    elif left := {_id: one for _id, one in members.items() if not {url.rstrip("/") for url in one[2]} & {*answers}}:
        names = ", ".join(sorted(name or hexadecimal(_id) for _id, name, _urls in left.values()))
        action = "API servers pass these by until their client URLs are among the endpoints."
        problems.append(Problem(CLUSTER, "etcd endpoints", f"none of {names}", "all members", action))
    return problems


def _cannot_tell(answers: Mapping[str, Answer]) -> list[Problem]:
    """What could not be looked at."""
    problems = []
    guarded = sorted(endpoint for endpoint, answer in answers.items() if answer.auth)
    if guarded:
        action = (
            "See that the user of the certificate's common name may read and write all keys. Whether etcd is whole and "
            "holds no other cluster cannot be seen through it: look yourself."
        )
        found = f"enabled at {', '.join(guarded)}"
        problems.append(Problem(CLUSTER, "etcd authentication", found, "certificates alone", action))
    silent = sorted(endpoint for endpoint, answer in answers.items() if not answer.gateway)
    if silent:
        found, wanted = f"no JSON gateway at {', '.join(silent)}", "one, to see that etcd is whole and holds no cluster"
        action = "Look yourself, or enable it (etcd's --enable-grpc-gateway)."
        problems.append(Problem(CLUSTER, "etcd endpoints", found, wanted, action))
    return problems


def same_endpoints(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether API servers with these endpoints use the same etcd; their order means nothing."""
    return {url.rstrip("/") for url in one} == {url.rstrip("/") for url in other}
