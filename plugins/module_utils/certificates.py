# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, requests and keys, read and made by the library of python3-cryptography.

For hosts that make keys or sign; what others have to know of certificates ``x509`` reads without it. Layout and life
are those that kubeadm gives (cmd/kubeadm/app/util/pkiutil/pki_helpers.go of 1.20 and 1.36), requests those of PKCS #10
(RFC 2986). Nothing is used that cryptography 36 lacks, which is RHEL 9's.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import traceback
import warnings
from dataclasses import dataclass, field
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

from . import x509 as plain
from .certificate_profiles import CLIENT_USAGE, SERVER_USAGE, Claims

# kubeadm's CertificateValidity.
LIFE = datetime.timedelta(days=365)
# How far the clocks of hosts may be apart; kubeadm backdates by as much from 1.28 on.
CLOCKS = datetime.timedelta(minutes=5)
KEY_BITS = 2048
_LARGEST_KEY_BITS = 8192
_CURVES = {"secp256r1", "secp384r1", "secp521r1"}
_WHOLE_BLOCK = re.compile(r"-----BEGIN ([^\n-]+)-----.*?-----END \1-----", re.DOTALL)
GOOD_KEY = f"one that kubeadm takes, RSA of {KEY_BITS} bits or more, or EC"


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
        if _WHOLE_BLOCK.search(pem):
            raise Unusable("what nothing here can read as a private key") from None
        raise Cut("no whole private key" if pem.strip("\0 \n") else "nothing in it") from None
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
    """As ``public_key_hash`` of what ``x509.parse`` returns."""
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return plain.public_key_hash(public.public_bytes(encoding, layout).decode())


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


def sign(public: Any, claims: Claims, ca: Certificate, ca_key: Any, now: datetime.datetime) -> str:
    """A certificate of this public key with these claims, PEM.

    It lives for kubeadm's year from ``now`` (UTC) on, but not beyond its CA.
    """
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
    return builder.sign(ca_key, _digest_for(ca_key)).public_bytes(serialization.Encoding.PEM).decode()


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


def shown(certificate: Certificate) -> str:
    """A certificate for people: what it says, until when, and its fingerprint."""
    life = certificate.identity
    return f"{certificate.claims}, until {life.not_after:%Y-%m-%d %H:%M} UTC, {life.fingerprint}"


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


def is_authority(certificate: Certificate) -> bool:
    """Whether it may sign others."""
    ca = certificate.parsed
    try:
        if not ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid


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
