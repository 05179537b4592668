# SPDX-License-Identifier: GPL-3.0-or-later
"""What a secret looks like where it shows: the pieces of its bytes, hexadecimal digits and base64 that give it away.

Of a private key only private numbers count, for certificates and requests show the others: of RSA the first and the
last one, so that neither half of a key is missed. Pieces are short, so that a secret is found wherever its text was
wrapped, and long enough to be nobody else's.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PIECE = 24
# So many pieces from where it begins, of which some lie within a line: few patterns are found quickly.
PIECES = 3
# Of short texts every part counts, for the end of a line may fall into the middle.
SHORT, SHORT_PIECE, STEP = 96, 16, 4
# A piece of bytes between those that a line cannot hold.
BYTES = 12

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----\s.*?-----END \1PRIVATE KEY-----", re.DOTALL)
_CLIENT_KEY = re.compile(rb"client-key-data: *['\"]?([A-Za-z0-9+/=]{40,})")
_BASE64 = frozenset((string.ascii_letters + string.digits + "+/").encode())


class Known:
    """The secrets that are known, by the pieces that give them away."""

    def __init__(self) -> None:
        self.labels: dict[bytes, str] = {}

    def secret(self, label: str, secret: bytes) -> None:
        """A secret all of whose bytes count: a token, a password, a symmetric key."""
        self._add(label, {secret} if len(secret) <= SHORT_PIECE else set())
        self._add(label, _shapes(secret))

    def private_key(self, label: str, pem: bytes) -> None:
        """A private key as PEM; one with a passphrase is none that anybody could use."""
        try:
            numbers = _private_numbers(pem)
        except (TypeError, ValueError):
            return
        for number in numbers:
            self._add(label, _shapes(number))
            self._add(label, set(_in_text(pem, number)))

    def private_keys_in(self, path: str | Path, text: bytes) -> list[bytes]:
        """All private keys of a file, PEM and in kubeconfigs, which it returns as PEM."""
        found = [match.group() for match in _PEM.finditer(text)]
        for match in _CLIENT_KEY.finditer(text):
            found += [inner.group() for inner in _PEM.finditer(base64.b64decode(match[1]))]
        for pem in found:
            self.private_key(str(path), pem)
        return found

    def _add(self, label: str, pieces: set[bytes]) -> None:
        for piece in pieces:
            self.labels.setdefault(piece, label)


def aligned(secret: bytes) -> Iterator[bytes]:
    """The base64 of a secret that begins at any place of a longer text, as far as its neighbours do not change it."""
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + secret)
        yield whole[4 if offset else 0 : (offset + len(secret)) // 3 * 4]


def _shapes(secret: bytes) -> set[bytes]:
    found = set()
    for part in re.split(rb"[\n\0]", secret):
        found.update(_cut(part) if len(part) >= PIECE else [part] if len(part) >= BYTES else [])
    for text in (secret.hex().encode(), secret.hex().upper().encode(), *aligned(secret)):
        found.update(_cut(text))
        found.update(_cut(text.translate(bytes.maketrans(b"+/", b"-_"))))
    return found


def _cut(text: bytes) -> Iterator[bytes]:
    size, step = (SHORT_PIECE, STEP) if len(text) <= SHORT else (PIECE, PIECE)
    last = len(text) if len(text) <= SHORT else PIECES * PIECE
    for start in range(0, last - size + 1, step):
        yield text[start : start + size]


def _private_numbers(pem: bytes) -> list[bytes]:
    """What makes the key private, as it stands in its DER.

    Raises:
        TypeError, ValueError: it needs a passphrase, or is no key.
    """
    key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    if isinstance(key, rsa.RSAPrivateKey):
        private = key.private_numbers()
        return [number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (private.d, private.iqmp)]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return [key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")]
    raw, form = serialization.Encoding.Raw, serialization.PrivateFormat.Raw
    return [key.private_bytes(raw, form, serialization.NoEncryption())]  # type: ignore[union-attr]


def _in_text(pem: bytes, number: bytes) -> Iterator[bytes]:
    """The pieces of a number's place in the PEM: its lines, and the base64 of the PEM, as kubeconfigs have it."""
    begin, end = pem.index(b"\n"), pem.rindex(b"-----END")
    places = [index for index in range(begin, end) if pem[index] in _BASE64]
    body = bytes(pem[index] for index in places)
    at = base64.b64decode(body + b"=" * (-len(body) % 4)).find(number)
    if at < 0:
        return
    text = pem[places[-(-at * 4 // 3)] : places[(at + len(number)) * 4 // 3 - 1] + 1]
    for line in text.splitlines():
        yield from _cut(line)
    for encoded in aligned(text):
        yield from _cut(encoded)
