# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a certificate says of itself, read with the standard library alone: nodes carry no cryptography package.

Only the fields that decisions need are read, and nothing is verified here: see RFC 5280, section 4.1, for the layout.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
from dataclasses import dataclass

_SEQUENCE = 0x30
_SET = 0x31
_OID = 0x06
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_EXPLICIT_VERSION = 0xA0
_COMMON_NAME = bytes([0x55, 0x04, 0x03])

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"


class MalformedCertificate(ValueError):
    """The text is not a whole X.509 certificate."""


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
        pair = subject.enter(_SET).enter(_SEQUENCE)
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
