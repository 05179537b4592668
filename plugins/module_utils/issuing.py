# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates by request: keys stay where they are made, and the CA's key where it is.

A host makes keys and requests (PKCS #10, RFC 2986). The authority holds each request against what the plan says of that
host, and signs what the plan says: nothing of a request but its public key reaches a certificate. Layout and life of
certificates are those of kubeadm (cmd/kubeadm/app/util/pkiutil/pki_helpers.go of 1.20 and 1.36).
"""

from __future__ import annotations

import datetime
import ipaddress
import traceback
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

from . import pki
from . import x509 as plain
from .certificate_profiles import CLIENT_USAGE, PROFILES, SERVER_USAGE, Claims, Host, check_host, claims_of
from .problems import Problem, Refusal
from .versions import Version

# kubeadm's CertificateValidity.
LIFE = datetime.timedelta(days=365)
# How far the clocks of hosts may be apart; kubeadm backdates by as much from 1.28 on.
CLOCKS = datetime.timedelta(minutes=5)
KEY_BITS = 2048
_LARGEST_KEY_BITS = 8192
_CURVES = {"secp256r1", "secp384r1", "secp521r1"}
_GIVE_CA = "Give what certificate_issue returned."
_GOOD_KEY = f"one that kubeadm takes, RSA of {KEY_BITS} bits or more, or EC"


class Unusable(ValueError):
    """A certificate, request or key that nothing can be done with; says what it is, and nothing of what is in it."""


class Cut(Unusable):
    """Less than a whole one, which holds nothing that could be lost."""


@dataclass(frozen=True)
class Certificate:
    """A certificate, read whole.

    Attributes:
        claims: what it says.
        identity: public key, fingerprint and life.
        parsed: as the library reads it.
    """

    claims: Claims
    identity: plain.Certificate
    parsed: Any = field(repr=False, compare=False)


@dataclass(frozen=True)
class Authority:
    """A CA with its key.

    Attributes:
        pem: its certificate.
        certificate: the same, read.
        key: stays on its host.
    """

    pem: str
    certificate: Certificate
    key: Any = field(repr=False, compare=False)


def new_key() -> str:
    """A private key as kubeadm makes them: RSA of 2048 bits in PKCS #1, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    encoding, layout = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, layout, serialization.NoEncryption()).decode()


def load_key(pem: str) -> Any:
    """A private key that certificates can be requested or signed with.

    Raises:
        Unusable: none, a damaged or encrypted one, or one of a kind that kubeadm and etcd do not take.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise Unusable("a private key that is encrypted, which nothing here could open") from None
    except (ValueError, UnsupportedAlgorithm):  # what they say may quote the key
        raise Cut("no whole private key" if pem.strip() else "nothing in it") from None
    _expect_kind(key.public_key())
    return key


def _expect_kind(public: Any) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        if not KEY_BITS <= public.key_size <= _LARGEST_KEY_BITS:
            raise Unusable(f"an RSA key of {public.key_size} bits")
    elif isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name not in _CURVES:
            raise Unusable(f"an EC key on the curve {public.curve.name}")
    else:
        raise Unusable("a key that is neither RSA nor EC")


def public_key_hash(public: Any) -> str:
    """As ``x509.Certificate.public_key_hash`` of module_utils."""
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return plain.public_key_hash(public.public_bytes(encoding, layout).decode())


def request(key_pem: str, claims: Claims) -> str:
    """A request of this key for these claims, PEM.

    Raises:
        Unusable: the key is.
    """
    key = load_key(key_pem)
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(claims))
    if claims.names:
        builder = builder.add_extension(_alternative_names(claims), critical=False)
    return builder.sign(key, _digest_for(key)).public_bytes(serialization.Encoding.PEM).decode()


def check_request(pem: str, wanted: Claims) -> Any:
    """The public key of a request that asks for these claims and nothing else, and whose sender holds the key.

    Raises:
        Unusable: it is another one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = x509.load_pem_x509_csr(pem.encode())
            public = asked.public_key()
            _expect_kind(public)
            if not asked.is_signature_valid:
                raise Unusable("a request that is not signed by its own key")
            found = _claims(asked, usages=wanted.usages)
    except Unusable:
        raise
    except Exception:  # malformed in one of many ways, by a library that has an exception for each
        raise Unusable("no whole request") from None
    if found != wanted:
        raise Unusable(f"a request for {found}")
    return public


def issue(authority: Authority, public: Any, claims: Claims, now: datetime.datetime) -> str:
    """A certificate of this public key with these claims, PEM.

    It lives for kubeadm's year from ``now`` (UTC) on, but not beyond its CA.
    """
    signer, ca = authority.key, authority.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(claims))
        .issuer_name(ca.parsed.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - CLOCKS, ca.identity.not_before))
        .not_valid_after(min(now + LIFE, ca.identity.not_after))
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_usage(name) for name in sorted(claims.usages, reverse=True)]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    identifier = _key_identifier(ca.parsed)
    if identifier is not None:
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        builder = builder.add_extension(of_issuer, critical=False)
    if claims.names:
        builder = builder.add_extension(_alternative_names(claims), critical=False)
    return builder.sign(signer, _digest_for(signer)).public_bytes(serialization.Encoding.PEM).decode()


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
                public = check_request(pem, claims)
            except Unusable as error:
                action = "Ask again with certificate_request. If this stays, see who answers for that host."
                problems.append(Problem(host, f"request for {name}", str(error), f"one for {claims}", action))
                continue
            accepted[host, name] = public, claims
            holder = holders.setdefault(public_key_hash(public), host)
            if holder != host:
                action = "A key was copied: remove it on this host, and ask again."
                problems.append(Problem(host, f"request for {name}", f"the key of {holder}", "its own key", action))
    if problems:
        raise Refusal(problems)
    issued: dict[str, dict[str, str]] = {host: {} for host in requests}
    for (host, name), (public, claims) in accepted.items():
        issued[host][name] = issue(authority, public, claims, now)
    return issued


def _check_asker(
    host: str, asked: Mapping[str, str], hosts: Mapping[str, Host], profiles: Iterable[str]
) -> list[Problem]:
    allowed = frozenset(profiles)
    if not asked:
        return []
    if host not in hosts:
        return [
            Problem(host, "requests", "a host that the plan does not know", "one of it", "Run again; see the plan.")
        ]
    strange = sorted(set(asked) - allowed)
    if strange:
        wanted_profiles = f"some of {', '.join(sorted(allowed))}"
        return [Problem(host, "requests", f"one for {', '.join(strange)}", wanted_profiles, "Name it in profiles.")]
    return check_host(host, hosts[host], [PROFILES[name] for name in asked])


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
        certificate = read(str(contents[pair.public]))
    except Unusable as error:
        raise Refusal([Problem("", pair.public, str(error), "a CA", "Restore it from a backup.")]) from None
    try:
        key = load_key(str(contents[str(pair.private)]))
    except Unusable as error:
        raise Refusal([Problem("", str(pair.private), str(error), _GOOD_KEY, "Give etcd another CA.")]) from None
    if not _is_authority(certificate.parsed):
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
    """Why a CA has to be made on the host that is to hold it; empty where it does hold one.

    Args:
        pair: its paths.
        leaves: the paths of what it has signed for this host.
        contents: by path, of the files that are there.
        elsewhere: public key hashes of the CAs that other hosts trust.
        interrupted: what is here of a CA may be half of one that was just being made.
        now: UTC.

    Raises:
        Refusal: the CA that is here cannot sign, or it has to come from elsewhere.
    """
    others = sorted({found for found in elsewhere if found})
    signed = [leaf.public for leaf in leaves if leaf.public in contents]
    absent = not any(path in contents for path in pair.paths)
    if interrupted or (absent and not others and not signed):
        return "no CA" if absent else "a CA that was interrupted in the making"
    if absent and signed and not others:
        action = "Restore etcd's CA from a backup; or remove what it has signed, here and on all hosts of this etcd."
        raise Refusal([Problem("", pair.public, f"no file, but {signed[0]}", "the CA that has signed it", action)])
    own = _judge_authority(pair, contents, now)
    if not IMPORT_ERROR:
        load_authority(pair, contents, now)
    wrong = [found for found in others if found != own]
    if wrong:
        action = "Name the host that holds the key of that CA as the authority, or put that CA here."
        raise Refusal(
            [Problem("", pair.public, f"a CA of public key {own}", f"{wrong[0]}, as other hosts have", action)]
        )
    return ""


def read(pem: str) -> Certificate:
    """The first certificate of a PEM text.

    Raises:
        Unusable: there is none that is whole.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that kubeadm gives its CA the serial number 0
            identity = plain.parse(pem)
            parsed = x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())
            return Certificate(_claims(parsed), identity, parsed)
    except Exception:  # as in check_request
        raise Cut("no whole certificate" if pem.strip() else "nothing in it") from None


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
    if not signed_by(certificate, ca):
        found.append("a certificate that another CA has signed")
    if not life.not_before - CLOCKS <= now:
        found.append(f"a certificate that begins on {life.not_before:%Y-%m-%d %H:%M} UTC, by this host's clock")
    if not now <= life.not_after:
        found.append(f"a certificate that ended on {life.not_after:%Y-%m-%d %H:%M} UTC, by this host's clock")
    if not claims.names >= wanted.names:
        found.append(f"a certificate without {', '.join(sorted(wanted.names - claims.names))}")
    if not claims.usages >= wanted.usages:
        found.append(f"a certificate not for use as {' and '.join(sorted(wanted.usages - claims.usages))}")
    return found


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
    if IMPORT_ERROR:
        return _look_without_library(pair, contents, now)
    own_key = _key_hash(str(pair.private), contents)
    text = _text(pair.public, contents)
    if text is None:
        return Look("no certificate", own_key)
    try:
        certificate = read(text)
    except Cut as error:
        return Look(f"a certificate that is cut ({error})", own_key)
    if not own_key:
        reasons = ["no key"]
    else:
        reasons = faults(certificate, own_key, ca, wanted, now) if ca else ["no CA to tell the certificate by"]
    return Look(next(iter(reasons), ""), own_key, shown(certificate))


def _look_without_library(pair: pki.Pair, contents: Mapping[str, str | OSError], now: datetime.datetime) -> Look:
    """As far as the standard library can tell: for check mode on a host that is still to get the other one."""
    found = pki.judge((pair,), contents, now)
    absent = [f"no {kind}" for path, kind in zip(pair.paths, ("certificate", "key")) if path not in contents]
    reasons = absent + [problem.found for problem in found.problems]
    return Look(next(iter(reasons), ""), found.public_keys.get(str(pair.private), ""))


def _text(path: str, contents: Mapping[str, str | OSError]) -> str | None:
    content = contents.get(path)
    if isinstance(content, OSError):
        what = f"what nobody can read ({content.strerror or content})"
        raise Refusal([Problem("", path, what, "a file", "See what it is, and take it away.")])
    return content


def _key_hash(path: str, contents: Mapping[str, str | OSError]) -> str:
    try:
        return key_hash(_text(path, contents))
    except Unusable as error:
        action = "Take it away, and a new one is made here, or put another pair there."
        raise Refusal([Problem("", path, str(error), _GOOD_KEY, action)]) from None


def key_hash(pem: str | OSError | None) -> str:
    """Of a key's public half; empty where there is no whole key.

    Raises:
        Unusable: it is of another kind than kubeadm's.
    """
    if not isinstance(pem, str):
        return ""
    try:
        return plain.private_key_hash(pem) or "" if IMPORT_ERROR else public_key_hash(load_key(pem).public_key())
    except (Cut, plain.MalformedKey):
        return ""


def shown(certificate: Certificate) -> str:
    """A certificate for people: what it says, until when, and its fingerprint."""
    life = certificate.identity
    return f"{certificate.claims}, until {life.not_after:%Y-%m-%d %H:%M} UTC, {life.fingerprint}"


def check_issued(pem: str | None, look: Look, ca_pem: str | None, wanted: Claims, now: datetime.datetime) -> str:
    """What a certificate that has come says, for people, once it is known to be what was asked for.

    Raises:
        Unusable: it is not, there is none, or there is no key for it here.
    """
    if not look.key_hash:
        raise Unusable("no key for it on this host")
    if not pem:
        raise Unusable("none")
    certificate = read(pem)
    found = faults(certificate, look.key_hash, read(ca_pem or ""), wanted, now)
    if not found and certificate.claims != wanted:
        found = [f"a certificate of {certificate.claims}"]
    if found:
        raise Unusable(found[0])
    return shown(certificate)


def find_ca(given: str | None, path: str, contents: Mapping[str, str | OSError]) -> Certificate | None:
    """The CA that certificates are told by: the one that is given, or else the one that is here.

    Raises:
        Refusal: what is given is none.
    """
    if IMPORT_ERROR:
        return None
    if given:
        try:
            certificate = read(given)
        except Unusable as error:
            raise Refusal([Problem("", "ca", str(error), "etcd's CA", _GIVE_CA)]) from None
        if not _is_authority(certificate.parsed):
            raise Refusal([Problem("", "ca", "a certificate that may sign no others", "etcd's CA", _GIVE_CA)])
        return certificate
    try:
        return read(_text(path, contents) or "")
    except Cut:
        return None


def ca_is_needed(given: str | None, path: str, contents: Mapping[str, str | OSError], now: datetime.datetime) -> bool:
    """Whether the CA that is given has to be written here: not where its key is trusted already.

    Raises:
        Refusal: another CA is here.
    """
    here = _certificates(_text(path, contents))
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
    return next((one.public_key_hash for one in _certificates(_text(path, contents))), "")


def _certificates(text: str | None) -> list[plain.Certificate]:
    try:
        return plain.parse_all(text or "")
    except plain.MalformedCertificate:
        return []


def signed_by(certificate: Certificate, ca: Certificate) -> bool:
    """Whether this CA's key has signed it, under this CA's name."""
    leaf, public = certificate.parsed, ca.parsed.public_key()
    if leaf.issuer != ca.parsed.subject:
        return False
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(leaf.signature, leaf.tbs_certificate_bytes, padding.PKCS1v15(), leaf.signature_hash_algorithm)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _subject(claims: Claims) -> Any:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in sorted(claims.organizations)]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, claims.common_name)])


def _alternative_names(claims: Claims) -> Any:
    """As kubeadm orders them: names first."""
    dns = sorted(name[len("DNS:") :] for name in claims.names if name.startswith("DNS:"))
    addresses = sorted(name[len("IP:") :] for name in claims.names if name.startswith("IP:"))
    return x509.SubjectAlternativeName(
        [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)]
    )


def _key_usage() -> Any:
    never = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"), False
    )
    return x509.KeyUsage(
        digital_signature=True, key_encipherment=True, encipher_only=False, decipher_only=False, **never
    )


def _usage(name: str) -> Any:
    return {SERVER_USAGE: ExtendedKeyUsageOID.SERVER_AUTH, CLIENT_USAGE: ExtendedKeyUsageOID.CLIENT_AUTH}[name]


def _digest_for(key: Any) -> Any:
    """As Go chooses it (crypto/x509, signingParamsForPublicKey)."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {384: hashes.SHA384(), 521: hashes.SHA512()}.get(key.curve.key_size, hashes.SHA256())
    return hashes.SHA256()


def _key_identifier(ca: Any) -> Any:
    try:
        return ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None


def _is_authority(ca: Any) -> bool:
    try:
        if not ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid


def _claims(signed: Any, usages: frozenset[str] = frozenset()) -> Claims:
    """What a certificate or a request says; ``usages`` where it leaves them out, as requests do."""
    subject, more = signed.subject, set()
    by_kind: dict[Any, list[str]] = {NameOID.COMMON_NAME: [], NameOID.ORGANIZATION_NAME: []}
    for attribute in subject:
        if attribute.oid in by_kind:
            by_kind[attribute.oid].append(str(attribute.value))
        else:
            more.add(f"with the attribute {attribute.oid.dotted_string}")
    common_names = by_kind[NameOID.COMMON_NAME]
    names: frozenset[str] = frozenset()
    for extension in signed.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            names = frozenset(map(_alternative_name, value))
        elif isinstance(value, x509.ExtendedKeyUsage):
            usages = frozenset(map(_usage_name, value))
        elif isinstance(value, x509.BasicConstraints):
            more |= {"that may sign others"} if value.ca else set()
        elif not _is_usual(signed, value):
            more.add(f"with the extension {extension.oid.dotted_string}")
    return Claims(
        common_names[0] if len(common_names) == 1 else "+".join(common_names),
        frozenset(by_kind[NameOID.ORGANIZATION_NAME]),
        names,
        usages,
        frozenset(more),
    )


def _is_usual(signed: Any, value: Any) -> bool:
    """Whether a certificate's extension says nothing that decides here; a request has no need of any."""
    usual = (x509.KeyUsage, x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)
    return isinstance(signed, x509.Certificate) and isinstance(value, usual)


def _alternative_name(name: Any) -> str:
    if isinstance(name, x509.DNSName):
        return f"DNS:{name.value}"
    if isinstance(name, x509.IPAddress):
        return f"IP:{name.value}"
    return f"other:{name.value!r}"


def _usage_name(oid: Any) -> str:
    known = {ExtendedKeyUsageOID.SERVER_AUTH: SERVER_USAGE, ExtendedKeyUsageOID.CLIENT_AUTH: CLIENT_USAGE}
    return known.get(oid, oid.dotted_string)
