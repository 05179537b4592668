# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host that needs certificates of etcd's CA: which of them are missing, and whether those that come are right."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from . import certificates, pki
from . import x509 as plain
from .certificate_profiles import Claims
from .certificates import Certificate, Cut, Unusable
from .problems import Problem, Refusal

_GIVE_CA = "Give what certificate_issue returned."


@dataclass(frozen=True)
class Look:
    """What is here of a certificate and its key.

    Attributes:
        reason: why a certificate is needed; empty where the pair is whole.
        key_hash: of the key's public half; empty where a key has to be made.
        said: what the certificate that is here says; empty where none can be read.
    """

    reason: str
    key_hash: str = ""
    said: str = ""


def look(
    pair: pki.Pair,
    contents: Mapping[str, str | OSError],
    wanted: Claims,
    ca: Certificate | None,
    now: datetime.datetime,
) -> Look:
    """Whether a pair does what its profile has to.

    Args:
        pair: its paths.
        contents: by path, of the files that are there.
        wanted: what the certificate has to say.
        ca: etcd's, where it is known.
        now: UTC.

    Raises:
        Refusal: a file that must not be replaced unasked, because it cannot be read or is of another kind.
    """
    if certificates.IMPORT_ERROR:
        return _look_without_library(pair, contents, now)
    own_key = _key_hash(str(pair.private), contents)
    text = _text(pair.public, contents)
    if text is None:
        return Look("no certificate", own_key)
    try:
        certificate = certificates.read(text)
    except Cut as error:
        return Look(f"a certificate that is cut ({error})", own_key)
    if not own_key:
        reasons = ["no key"]
    else:
        reasons = faults(certificate, own_key, ca, wanted, now) if ca else ["no CA to tell the certificate by"]
    return Look(next(iter(reasons), ""), own_key, certificates.shown(certificate))


def _look_without_library(pair: pki.Pair, contents: Mapping[str, str | OSError], now: datetime.datetime) -> Look:
    """As far as the standard library can tell: for check mode on a host that is still to get the other one."""
    found = pki.judge((pair,), contents, now)
    absent = [f"no {kind}" for path, kind in zip(pair.paths, ("certificate", "key")) if path not in contents]
    reasons = absent + [problem.found for problem in found.problems]
    return Look(next(iter(reasons), ""), found.public_keys.get(str(pair.private), ""))


def _key_hash(path: str, contents: Mapping[str, str | OSError]) -> str:
    try:
        return certificates.key_hash(_text(path, contents))
    except Unusable as error:
        action = "Take it away, and a new one is made here, or put another pair there."
        raise Refusal([Problem("", path, str(error), certificates.GOOD_KEY, action)]) from None


def _text(path: str, contents: Mapping[str, str | OSError]) -> str | None:
    content = contents.get(path)
    if isinstance(content, OSError):
        what = f"what nobody can read ({content.strerror or content})"
        raise Refusal([Problem("", path, what, "a file", "See what it is, and take it away.")])
    return content


def faults(
    certificate: Certificate, key_hash: str, ca: Certificate, wanted: Claims, now: datetime.datetime
) -> list[str]:
    """Why a certificate does not do what this profile's has to: empty where it does, with more names than wanted, too.

    Args:
        certificate: the one in question.
        key_hash: of the public half of the key beside it.
        ca: the one that its peers trust.
        wanted: what it has to say.
        now: UTC, by this host's clock.
    """
    found = []
    claims, life = certificate.claims, certificate.identity
    if life.public_key_hash != key_hash:
        found.append("a certificate that belongs to another key")
    if not certificates.signed_by(certificate, ca):
        found.append("a certificate that another CA has signed")
    if now < life.not_before - certificates.CLOCKS:
        found.append(f"a certificate that begins on {life.not_before:%Y-%m-%d %H:%M} UTC, by this host's clock")
    if now > life.not_after:
        found.append(f"a certificate that ended on {life.not_after:%Y-%m-%d %H:%M} UTC, by this host's clock")
    if not claims.names >= wanted.names:
        found.append(f"a certificate without {', '.join(sorted(wanted.names - claims.names))}")
    if not claims.usages >= wanted.usages:
        found.append(f"a certificate not for use as {' and '.join(sorted(wanted.usages - claims.usages))}")
    return found


def check_issued(pem: str | None, look: Look, ca_pem: str | None, wanted: Claims, now: datetime.datetime) -> str:
    """What a certificate that has come says, for people, once it is known to be what was asked for.

    Raises:
        Unusable: it is not, there is none, or there is no key for it here.
    """
    if not look.key_hash:
        raise Unusable("no key for it on this host")
    if not pem:
        raise Unusable("none")
    certificate = certificates.read(pem)
    found = faults(certificate, look.key_hash, certificates.read(ca_pem or ""), wanted, now)
    if not found and certificate.claims != wanted:
        found = [f"a certificate of {certificate.claims}"]
    if found:
        raise Unusable(found[0])
    return certificates.shown(certificate)


def find_ca(given: str | None, path: str, contents: Mapping[str, str | OSError]) -> Certificate | None:
    """The CA that certificates are told by: the one that is given, or else the one that is here.

    Raises:
        Refusal: what is given is none.
    """
    if certificates.IMPORT_ERROR:
        return None
    if given:
        try:
            certificate = certificates.read(given)
        except Unusable as error:
            raise Refusal([Problem("", "ca", str(error), "etcd's CA", _GIVE_CA)]) from None
        if not certificates.is_authority(certificate):
            raise Refusal([Problem("", "ca", "a certificate that may sign no others", "etcd's CA", _GIVE_CA)])
        return certificate
    try:
        return certificates.read(_text(path, contents) or "")
    except Cut:
        return None


def ca_is_needed(given: str | None, path: str, contents: Mapping[str, str | OSError], now: datetime.datetime) -> bool:
    """Whether the CA that is given has to be written here: not where its key is trusted already.

    Raises:
        Refusal: another CA is here.
    """
    here = _each(_text(path, contents))
    if not given:
        return not here
    wanted = plain.parse(given)
    same = [one for one in here if one.public_key_hash == wanted.public_key_hash]
    if here and not same:
        action = (
            "This host holds the files of another cluster, or the CA was replaced. Reset the host, take it out of the "
            "inventory, or put the other CA back."
        )
        raise Refusal(
            [Problem("", path, f"a CA of public key {here[0].public_key_hash}", wanted.public_key_hash, action)]
        )
    return all(one.not_after < now for one in same)


def ca_hash(path: str, contents: Mapping[str, str | OSError]) -> str:
    """Of the CA that is here; empty where there is none."""
    return next((one.public_key_hash for one in _each(_text(path, contents))), "")


def _each(text: str | None) -> list[plain.Certificate]:
    try:
        return plain.parse_all(text or "")
    except plain.MalformedCertificate:
        return []
