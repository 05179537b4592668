# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificates and keys say of themselves, read with the standard library alone, which is all that nodes carry.

Only the fields that decisions need are read, and nothing is verified here. Layouts: RFC 5280, section 4.1 for
certificates; RFC 8017, appendix A.1 for RSA keys; RFC 5915 and 5480 for EC keys; RFC 5208 for keys of any kind.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass

_INTEGER = 0x02
_BIT_STRING = 0x03
_OCTET_STRING = 0x04
_NULL = bytes([0x05, 0x00])
_OID = 0x06
_SEQUENCE = 0x30
_SET = 0x31
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_EXPLICIT_VERSION = 0xA0
_EC_PARAMETERS = 0xA0
_EC_PUBLIC_KEY = 0xA1
_COMMON_NAME = bytes([0x55, 0x04, 0x03])
_RSA = bytes([0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01])
_EC = bytes([0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01])

_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"


class MalformedCertificate(ValueError):
    """The text is not a whole X.509 certificate."""


class MalformedKey(ValueError):
    """The text is not a whole key in clear; the message repeats nothing of it."""


@dataclass(frozen=True)
class Certificate:
    """Identity and life of one certificate.

    Attributes:
        fingerprint: ``sha256:`` and the hex digest of the whole certificate (DER).
        public_key_hash: ``sha256:`` and the hex digest of its SubjectPublicKeyInfo (DER), which is what kubeadm calls
            the discovery token CA certificate hash (cmd/kubeadm/app/util/pubkeypin).
        common_name: of the subject; empty where it has none.
        not_before: start of its life, UTC.
        not_after: end of its life, UTC.
    """

    fingerprint: str
    public_key_hash: str
    common_name: str
    not_before: datetime.datetime
    not_after: datetime.datetime


def parse(pem: str) -> Certificate:
    """The first certificate of a PEM text.

    Raises:
        MalformedCertificate: no certificate, or a truncated one.
    """
    start, end = pem.find(_BEGIN), pem.find(_END)
    if start < 0 or end < start:
        raise MalformedCertificate("no whole PEM certificate in the text")
    try:
        der = ssl.PEM_cert_to_DER_cert(pem[start : end + len(_END)] + "\n")
        return _parse_der(der)
    except (ValueError, IndexError) as error:
        raise MalformedCertificate(f"not a certificate: {error}") from error


def parse_all(pem: str) -> list[Certificate]:
    """Every certificate of a PEM text, in its order.

    Raises:
        MalformedCertificate: none, or one that is truncated.
    """
    pieces = pem.split(_BEGIN)[1:] or [""]
    return [parse(_BEGIN + piece) for piece in pieces]


def private_key_hash(pem: str) -> str | None:
    """The public key hash of a private key's other half, by which it is told whether a certificate is its own.

    Returns:
        As ``Certificate.public_key_hash``; None for a key that does not carry its public half, such as Ed25519's.

    Raises:
        MalformedKey: no private key, a truncated one, or one that is encrypted.
    """
    readers = {"RSA PRIVATE KEY": _rsa_public, "EC PRIVATE KEY": _ec_public, "PRIVATE KEY": _any_public}
    public = _read_key(pem, readers, "private key")
    return _digest(public) if public else None


def public_key_hash(pem: str) -> str:
    """The hash of a public key that stands alone, such as sa.pub, as ``Certificate.public_key_hash``.

    Raises:
        MalformedKey: no public key, or a truncated one.
    """
    readers = {"PUBLIC KEY": _whole_public, "RSA PUBLIC KEY": _rsa_info}
    return _digest(_read_key(pem, readers, "public key") or b"")


def _read_key(pem: str, readers: dict[str, Callable[[bytes], bytes | None]], kind: str) -> bytes | None:
    for label, body in _PEM_BLOCK.findall(pem):
        if "ENCRYPTED" in label or "ENCRYPTED" in body:
            raise MalformedKey(f"a {kind} that is encrypted, which nothing here could open")
        if label in readers:
            try:
                return readers[label](base64.b64decode("".join(body.split()), validate=True))
            except (ValueError, IndexError):
                # The cause may quote the key.
                raise MalformedKey(f"a {kind} that is damaged") from None
    raise MalformedKey(f"no whole PEM {kind} in the text")


def _rsa_public(der: bytes) -> bytes:
    key = _Reader(der).enter(_SEQUENCE)
    key.value(_INTEGER)  # version
    modulus, exponent = key.tagged(_INTEGER), key.tagged(_INTEGER)
    for _number in range(6):  # the private half: exponents, primes, coefficient
        key.value(_INTEGER)
    return _rsa_info(_wrap(_SEQUENCE, modulus + exponent))


def _rsa_info(public: bytes) -> bytes:
    numbers = _Reader(public).enter(_SEQUENCE)
    for _number in range(2):
        numbers.value(_INTEGER)
    return _info(_wrap(_SEQUENCE, _wrap(_OID, _RSA) + _NULL), public)


def _ec_public(der: bytes, parameters: bytes | None = None) -> bytes | None:
    key = _Reader(der).enter(_SEQUENCE)
    key.value(_INTEGER)  # version
    key.value(_OCTET_STRING)
    if not key.empty() and key.peek() == _EC_PARAMETERS:
        parameters = key.value()
    if parameters is None or key.empty():
        return None
    point = key.enter(_EC_PUBLIC_KEY).value(_BIT_STRING)
    return _info(_wrap(_SEQUENCE, _wrap(_OID, _EC) + parameters), point[1:])


def _any_public(der: bytes) -> bytes | None:
    key = _Reader(der).enter(_SEQUENCE)
    key.value(_INTEGER)  # version
    algorithm = key.enter(_SEQUENCE)
    kind = algorithm.value(_OID)
    private = key.value(_OCTET_STRING)
    if kind == _RSA:
        return _rsa_public(private)
    return _ec_public(private, algorithm.tagged(_OID)) if kind == _EC else None


def _whole_public(der: bytes) -> bytes:
    info = _Reader(der).enter(_SEQUENCE)
    info.enter(_SEQUENCE).value(_OID)
    info.value(_BIT_STRING)
    return der


def _info(algorithm: bytes, public: bytes) -> bytes:
    """A SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7)."""
    return _wrap(_SEQUENCE, algorithm + _wrap(_BIT_STRING, b"\x00" + public))


def _wrap(tag: int, value: bytes) -> bytes:
    """A DER element; lengths from 128 on say first how many bytes they take."""
    length = len(value)
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    header = bytes([length]) if length < 0x80 else bytes([0x80 | len(size)]) + size
    return bytes([tag]) + header + value


def _parse_der(der: bytes) -> Certificate:
    certificate = _Reader(der).enter(_SEQUENCE)
    tbs = certificate.enter(_SEQUENCE)
    if tbs.peek() == _EXPLICIT_VERSION:
        tbs.skip()
    tbs.skip()  # serialNumber
    tbs.skip()  # signature
    tbs.skip()  # issuer
    validity = tbs.enter(_SEQUENCE)
    not_before, not_after = validity.time(), validity.time()
    subject = tbs.enter(_SEQUENCE)
    public_key = tbs.element()
    return Certificate(
        fingerprint=_digest(der),
        public_key_hash=_digest(public_key),
        common_name=_common_name(subject),
        not_before=not_before,
        not_after=not_after,
    )


def _common_name(subject: _Reader) -> str:
    name = ""
    while not subject.empty():
        part = subject.enter(_SET)  # of one attribute, or of several
        while not part.empty():
            pair = part.enter(_SEQUENCE)
            if pair.value(_OID) == _COMMON_NAME:
                name = pair.value().decode("utf-8", "replace")
    return name


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class _Reader:
    """A cursor over the elements of one DER value (ITU-T X.690)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def empty(self) -> bool:
        return self._at >= len(self._data)

    def peek(self) -> int:
        return self._data[self._at]

    def _bounds(self) -> tuple[int, int]:
        """Start and end of the next element's value."""
        length = self._data[self._at + 1]
        start = self._at + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(self._data[start : start + size], "big")
            start += size
        end = start + length
        if end > len(self._data):
            raise ValueError("truncated")
        return start, end

    def element(self) -> bytes:
        """The next element whole, with its header."""
        begin = self._at
        self._at = self._bounds()[1]
        return self._data[begin : self._at]

    def skip(self) -> None:
        self.element()

    def value(self, tag: int | None = None) -> bytes:
        """The next element's value, which must carry ``tag`` where one is given."""
        if tag is not None and self.peek() != tag:
            raise ValueError(f"element of type {self.peek():#x} where {tag:#x} belongs")
        start, end = self._bounds()
        self._at = end
        return self._data[start:end]

    def tagged(self, tag: int) -> bytes:
        """The next element whole, which must carry ``tag``."""
        return _wrap(tag, self.value(tag))

    def enter(self, tag: int) -> _Reader:
        return _Reader(self.value(tag))

    def time(self) -> datetime.datetime:
        tag = self.peek()
        if tag not in (_UTC_TIME, _GENERALIZED_TIME):
            raise ValueError(f"element of type {tag:#x} where a time belongs")
        text = self.value().decode("ascii")
        if tag == _UTC_TIME:
            # RFC 5280, 4.1.2.5.1: two-digit years from 50 on are of the last century.
            text = ("19" if text[:2] >= "50" else "20") + text
        moment = datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ")
        return moment.replace(tzinfo=datetime.timezone.utc)
