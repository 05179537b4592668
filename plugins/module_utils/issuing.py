# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where etcd's CA is: whether it can sign, and whom it signs for.

The authority holds each request against what the plan says of that host, and signs what the plan says: nothing of a
request but its public key reaches a certificate.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import certificates, pki
from .certificate_profiles import PROFILES, Claims, Host, check_host, claims_of, named
from .problems import Problem, Refusal
from .versions import Version


@dataclass(frozen=True)
class Authority:
    """A CA with its key.

    Attributes:
        pem: its certificate.
        certificate: the same, read.
        key: stays on its host.
    """

    pem: str
    certificate: certificates.Certificate
    key: Any = field(repr=False, compare=False)


def issue_all(
    authority: Authority,
    requests: Mapping[str, Mapping[str, str]],
    hosts: Mapping[str, Host],
    profiles: Iterable[str],
    version: Version,
    now: datetime.datetime,
) -> dict[str, dict[str, str]]:
    """A certificate for each request, or none at all.

    Args:
        requests: by host and profile, PEM.
        hosts: what the plan says of each host; a request decides none of it.
        profiles: those that may be asked for here.
        version: the cluster's.
        now: UTC.

    Raises:
        Refusal: a request that this host may not make; every one.
    """
    problems: list[Problem] = []
    accepted: dict[tuple[str, str], tuple[Any, Claims]] = {}
    holders: dict[str, str] = {}
    for host, asked in sorted(requests.items()):
        host_problems = _check_asker(host, asked, hosts, profiles)
        problems += host_problems
        for name, pem in sorted(asked.items()) if not host_problems else ():
            claims = claims_of(PROFILES[name], hosts[host], version)
            try:
                public = certificates.check_request(pem, claims)
            except certificates.Unusable as error:
                action = "Ask again with certificate_request. If this stays, see who answers for that host."
                problems.append(Problem(host, f"request for {name}", str(error), f"one for {claims}", action))
                continue
            accepted[host, name] = public, claims
            holder = holders.setdefault(certificates.public_key_hash(public), host)
            if holder != host:
                action = "A key was copied: remove it on this host, and ask again."
                problems.append(Problem(host, f"request for {name}", f"the key of {holder}", "its own key", action))
    if problems:
        raise Refusal(problems)
    issued: dict[str, dict[str, str]] = {host: {} for host in requests}
    for (host, name), (public, claims) in accepted.items():
        issued[host][name] = certificates.sign(public, claims, authority.certificate, authority.key, now)
    return issued


def _check_asker(
    host: str, asked: Mapping[str, str], hosts: Mapping[str, Host], profiles: Iterable[str]
) -> list[Problem]:
    allowed = frozenset(profiles)
    if not asked:
        return []
    if not isinstance(asked, Mapping):
        return [
            Problem(host, "requests", "no mapping", "a request by profile", "Pass what certificate_request returned.")
        ]
    if host not in hosts:
        return [
            Problem(host, "requests", "a host that the plan does not know", "one of it", "Run again; see the plan.")
        ]
    strange = sorted(map(str, set(asked) - allowed))
    if strange:
        wanted_profiles = f"some of {', '.join(sorted(allowed))}"
        return [Problem(host, "requests", f"one for {', '.join(strange)}", wanted_profiles, "Name it in profiles.")]
    found = check_host(host, hosts[host], [PROFILES[name] for name in asked])
    return found or _namesakes(host, hosts, any(PROFILES[name].serves for name in asked))


def _namesakes(host: str, hosts: Mapping[str, Host], serves: bool) -> list[Problem]:
    """Whom this host would be taken for: what the plan knows of hosts, it may have from themselves."""
    own = hosts[host]
    return [
        Problem(host, subject, f"{value}, which {other} has as well", "one of its own", "Correct it on one of the two.")
        for other, one in sorted(hosts.items())
        for subject, value, theirs in (
            ("node name", own.node_name, one.node_name),
            ("address", named(own.address), named(one.address)),
        )
        if serves and other != host and value == theirs
    ]


def load_authority(pair: pki.Pair, contents: Mapping[str, str | OSError], now: datetime.datetime) -> Authority:
    """The CA of these files.

    Args:
        pair: their paths.
        contents: by path, of those that are there.
        now: UTC.

    Raises:
        Refusal: it cannot sign, with every reason.
    """
    _judge_authority(pair, contents, now)
    try:
        certificate = certificates.read(str(contents[pair.public]))
    except certificates.Unusable as error:
        raise Refusal([Problem("", pair.public, str(error), "a CA", "Restore it from a backup.")]) from None
    try:
        key = certificates.load_key(str(contents[str(pair.private)]))
    except certificates.Unusable as error:
        raise Refusal(
            [Problem("", str(pair.private), str(error), certificates.GOOD_KEY, "Give etcd another CA.")]
        ) from None
    if not certificates.is_authority(certificate):
        raise Refusal([Problem("", pair.public, "a certificate that may sign no others", "a CA", "Put a CA there.")])
    return Authority(str(contents[pair.public]), certificate, key)


def _judge_authority(pair: pki.Pair, contents: Mapping[str, str | OSError], now: datetime.datetime) -> str:
    """The public key hash of a CA whose files are whole and belong together, by the standard library.

    Raises:
        Refusal: they are not.
    """
    found = pki.judge((pair,), contents, now)
    problems = [replace(problem, action="Restore it from a backup.") for problem in found.problems]
    problems += [
        Problem("", path, "no file", "etcd's CA, certificate and key", "Put it there, or name the host that has both.")
        for path in pair.paths
        if path not in contents
    ]
    if problems:
        raise Refusal(problems)
    return found.public_keys[pair.public]


def ca_has_to_be_made(
    pair: pki.Pair,
    leaves: Iterable[pki.Pair],
    contents: Mapping[str, str | OSError],
    elsewhere: Iterable[str],
    *,
    interrupted: bool,
    now: datetime.datetime,
) -> str:
    """Why a CA has to be made on the host that is to hold it; empty where it holds one.

    Args:
        pair: its paths.
        leaves: the paths of what it has signed for this host.
        contents: by path, of the files that are there.
        elsewhere: public key hashes of the CAs that other hosts trust; empty ones are passed over.
        interrupted: what is here of a CA may be a half of one that was just being made, and has signed nothing.
        now: UTC.

    Raises:
        Refusal: the CA that is here cannot sign, or it has to come from elsewhere.
    """
    others = sorted({found for found in elsewhere if found})
    signed = [leaf.public for leaf in leaves if leaf.public in contents]
    absent = not any(path in contents for path in pair.paths)
    if absent and not others:
        if not signed:
            return "no CA"
        action = "Restore etcd's CA from a backup; or remove what it has signed, here and on all hosts of this etcd."
        raise Refusal([Problem("", pair.public, f"no file, but {signed[0]}", "the CA that has signed it", action)])
    try:
        own = _judge_authority(pair, contents, now)
        if not certificates.IMPORT_ERROR:
            load_authority(pair, contents, now)
    except Refusal:
        if interrupted and not others:
            return "a CA that was interrupted in the making"
        raise
    wrong = [found for found in others if found != own]
    if wrong:
        action = "Name the host that holds the key of that CA as the authority, or put that CA here."
        raise Refusal(
            [Problem("", pair.public, f"a CA of public key {own}", f"{wrong[0]}, as other hosts have", action)]
        )
    return ""
