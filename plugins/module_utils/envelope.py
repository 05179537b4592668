# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of any size, encrypted as it comes to somebody who is not there, and read back without being decrypted whole.

The first 8192 bytes are a header: a line of JSON, filled up with spaces. Behind it come pieces of 65536 bytes, the last
one shorter, each encrypted by AES-256-GCM with a tag of 16 bytes. The nonce is the piece's number in 11 bytes and one
byte that is 1 for the last piece, so that a piece can be neither changed, swapped nor left out, also at the end.
The key is random and used for this file alone. The header holds it, sealed to the public key of whoever is to read the
file, and is itself authenticated by it. One key encrypts and another one authenticates: HKDF-SHA256 gives both.

Sources: STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse Misuse-
Resistance, section 7); NIST SP 800-38D; RFC 5869; for RSA, RFC 8017 section 7.1, for X25519 see ``sealing``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from . import sealing
from .bolt import ReadAt
from .sealing import SealBroken

if not sealing.IMPORT_ERROR:
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT = "kubeadm.ha/snapshot/1"
HEADER_BYTES = 8192
PIECE_BYTES = 65536
KEY_BYTES = 32
LEAST_RSA_BITS = 2048

_TAG_BYTES = 16
_X25519, _RSA = "X25519", "RSA-OAEP-SHA256"
# Pieces that are kept decrypted while the file is read here and there: 16 MiB.
_KEPT = 256
_MAKE = "Make a key with openssl genpkey -algorithm X25519, and its public half with openssl pkey -pubout."
_NO_PUBLIC_KEY = f"found no public key in PEM, wanted X25519 or RSA. {_MAKE}"


class EnvelopeBroken(ValueError):
    """The file is damaged, cut short or none of these, or the key is not its own; nothing of it is repeated."""


@dataclass(frozen=True)
class Recipient:
    """A public key that files are sealed to.

    Attributes:
        fingerprint: ``sha256:`` and the hex digest of its SubjectPublicKeyInfo (DER).
    """

    key: Any
    fingerprint: str


def recipient(pem: str) -> Recipient:
    """Read a public key.

    Args:
        pem: as ``openssl pkey -pubout`` writes it.

    Raises:
        EnvelopeBroken: no public key that is fit for it; a private one is not repeated.
    """
    check_text(pem)
    try:
        key = serialization.load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise EnvelopeBroken(f"public key: {_NO_PUBLIC_KEY}") from None
    _check_kind(key, "public key", (X25519PublicKey, RSAPublicKey))
    return Recipient(key, _fingerprint(key))


def check_text(pem: str) -> None:
    """Refuse what is no public key at first sight, also on a host without cryptography.

    Raises:
        EnvelopeBroken: see there; a private key is not repeated.
    """
    if "PRIVATE KEY" in pem:
        raise EnvelopeBroken(
            "public key: found a private key, wanted the public half alone. Keep the private key where it is, and give "
            "what openssl pkey -pubout makes of it."
        )
    if "PUBLIC KEY-----" not in pem:
        raise EnvelopeBroken(f"public key: {_NO_PUBLIC_KEY}")


def seal_key(key: bytes, to: Recipient, file_id: str) -> dict[str, str]:
    """The key of a file, so that only the owner of the private half can open it; for the header."""
    if isinstance(to.key, RSAPublicKey):
        return {"for": to.fingerprint, "by": _RSA, "key": base64.b64encode(to.key.encrypt(key, _oaep())).decode()}
    raw = to.key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    sealed = relay_key(key, base64.b64encode(raw).decode(), file_id)
    return {"for": to.fingerprint, "by": _X25519, "key": sealed}


def open_key(header: Mapping[str, Any], pem: bytes, passphrase: str = "") -> bytes:
    """The key of the file with this header.

    Args:
        header: as ``read_header`` returned it.
        pem: the private key; PKCS #8 or one of the older forms.
        passphrase: where it is encrypted.

    Raises:
        EnvelopeBroken: it is no private key, or not the one that the file was sealed to.
    """
    private = _private_key(pem, passphrase)
    sealed, own = header["sealed"], _fingerprint(private.public_key())
    if own != sealed["for"]:
        raise EnvelopeBroken(
            f"private key: found that of {own}, wanted that of {sealed['for']}, to which the file is sealed. Give that."
        )
    if isinstance(private, RSAPrivateKey):
        try:
            key = private.decrypt(_decoded(sealed["key"]), _oaep())
        except ValueError:
            raise _damaged("a sealed key that its private key does not open") from None
    else:
        encoding, form = serialization.Encoding.Raw, serialization.PrivateFormat.Raw
        raw = private.private_bytes(encoding, form, serialization.NoEncryption())
        key = take_key(sealed["key"], raw, header["id"])
    check_header(header, key)
    return key


def relay_key(key: bytes, receiver: str, file_id: str) -> str:
    """The key of a file for a host that has made a key for one use; see ``sealing``.

    Raises:
        SealBroken: that is no public key.
    """
    return sealing.seal({"key": base64.b64encode(key).decode()}, receiver, {"snapshot": file_id})


def take_key(sealed: str, private: bytes, file_id: str) -> bytes:
    """The same at the other end.

    Raises:
        EnvelopeBroken: it was sealed for another key, or is another file's.
    """
    try:
        return _decoded(sealing.unseal(sealed, private, {"snapshot": file_id})["key"])
    except (SealBroken, KeyError):
        raise EnvelopeBroken(
            "sealed key: found one that this key does not open, wanted one that was sealed for it and for this file. "
            "Ask again with state=requested."
        ) from None


class Writer:
    """Encrypts to a file what is written, piece by piece; the header comes at the end, into the place that is left."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file, self._cipher, self._mac_key = file, AESGCM(_derived(key, "pieces")), _derived(key, "header")
        self._waiting = bytearray()
        self._number = 0
        self.written = 0
        file.write(bytes(HEADER_BYTES))

    def write(self, data: bytes) -> None:
        self._waiting += data
        self.written += len(data)
        # The last piece is marked, so a full one waits until more has come.
        while len(self._waiting) > PIECE_BYTES:
            self._put(bytes(self._waiting[:PIECE_BYTES]), last=False)
            del self._waiting[:PIECE_BYTES]

    def finish(self) -> None:
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Once all is written that it speaks of.

        Raises:
            EnvelopeBroken: it is too long.
        """
        told = {"format": FORMAT, **header}
        text = json.dumps({**told, "mac": _mac(told, self._mac_key)}).encode()
        if len(text) >= HEADER_BYTES:
            raise EnvelopeBroken(f"header: found {len(text)} bytes, wanted less than {HEADER_BYTES}.")
        self._file.seek(0)
        self._file.write(text.ljust(HEADER_BYTES - 1) + b"\n")

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1


class Reader:
    """Decrypts any part of a file.

    Attributes:
        size: of what is in it, in bytes.
    """

    def __init__(self, read_at: ReadAt, size: int, key: bytes) -> None:
        """
        Args:
            read_at: offset and length to so many bytes of the file.
            size: of the file.
            key: its key.

        Raises:
            EnvelopeBroken: it is too short.
        """
        body = size - HEADER_BYTES
        self._pieces = -(-body // (PIECE_BYTES + _TAG_BYTES))
        self.size = body - self._pieces * _TAG_BYTES
        if self._pieces < 1 or self.size < 0:
            raise _damaged(f"{size} bytes")
        self._read_at, self._file_bytes = read_at, size
        self._cipher = AESGCM(_derived(key, "pieces"))
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes, or less at the end.

        Raises:
            EnvelopeBroken: what is there was changed or cut short.
        """
        end = min(offset + length, self.size)
        found = []
        while offset < end:
            number, start = divmod(offset, PIECE_BYTES)
            part = self._piece(number)[start : start + end - offset]
            found.append(part)
            offset += len(part)
        return b"".join(found)

    def check_end(self) -> None:
        """Whether what seems to be the last piece is, also where nobody reads it.

        Raises:
            EnvelopeBroken: it is not.
        """
        self._piece(self._pieces - 1)

    def _piece(self, number: int) -> bytes:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        offset = HEADER_BYTES + number * (PIECE_BYTES + _TAG_BYTES)
        length = min(PIECE_BYTES + _TAG_BYTES, self._file_bytes - offset)
        last = number == self._pieces - 1
        try:
            piece = self._cipher.decrypt(_nonce(number, last=last), self._read_at(offset, length), None)
        except (InvalidTag, ValueError):
            raise _damaged(f"a piece at byte {offset} that was changed or cut off, or lacks those behind it") from None
        self._kept[number] = piece
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return piece


def read_header(read_at: ReadAt) -> dict[str, Any]:
    """The header, as it stands there: nobody vouches for it until ``open_key`` or ``check_header`` does.

    Raises:
        EnvelopeBroken: there is none.
    """
    try:
        header = json.loads(read_at(0, HEADER_BYTES))
        sealed = header["sealed"]
        texts = (header["format"], header["id"], header["mac"], sealed["for"], sealed["by"], sealed["key"])
    except (ValueError, KeyError, TypeError):
        texts = ()
    if not texts or not all(isinstance(text, str) for text in texts) or not texts[0].startswith("kubeadm.ha/snapshot/"):
        raise EnvelopeBroken("header: found none, wanted that of an encrypted snapshot. Correct the path.")
    if texts[0] != FORMAT:
        raise EnvelopeBroken(f"header: found format {texts[0]}, wanted {FORMAT}. Use the release that wrote it.")
    return dict(header)


def is_envelope(read_at: ReadAt) -> bool:
    """Whether a file begins as these do."""
    return read_at(0, 64).startswith(f'{{"format": "{FORMAT.rpartition("/")[0]}/'.encode())


def check_header(header: Mapping[str, Any], key: bytes) -> None:
    """
    Raises:
        EnvelopeBroken: this key has not written it.
    """
    told = {name: value for name, value in header.items() if name != "mac"}
    if not hmac.compare_digest(header["mac"].encode(), _mac(told, _derived(key, "header")).encode()):
        raise _damaged("a header that was changed, or a key of another file")


def new_id() -> str:
    """What tells a file from every other one."""
    return os.urandom(16).hex()


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def _mac(told: Mapping[str, Any], key: bytes) -> str:
    return hmac.new(key, json.dumps(told, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _derived(key: bytes, use: str) -> bytes:
    info = f"{FORMAT} {use}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def _private_key(pem: bytes, passphrase: str) -> Any:
    try:
        private = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except TypeError:
        found, wanted = ("one in clear", "no passphrase") if passphrase else ("an encrypted one", "its passphrase")
        raise EnvelopeBroken(f"private key: found {found}, wanted {wanted}.") from None
    except (ValueError, UnsupportedAlgorithm):
        reason = "none that this passphrase opens" if passphrase else "none"
        raise EnvelopeBroken(f"private key: found {reason}, wanted X25519 or RSA in PEM.") from None
    _check_kind(private, "private key", (X25519PrivateKey, RSAPrivateKey))
    return private


def _check_kind(key: Any, subject: str, kinds: tuple[type, ...]) -> None:
    if not isinstance(key, kinds):
        kind = type(key).__name__.strip("_").removesuffix("PublicKey").removesuffix("PrivateKey")
        raise EnvelopeBroken(f"{subject}: found a key of {kind}, wanted X25519 or RSA. {_MAKE}")
    bits = getattr(key, "key_size", LEAST_RSA_BITS)
    if bits < LEAST_RSA_BITS:
        raise EnvelopeBroken(f"{subject}: found RSA of {bits} bits, wanted at least {LEAST_RSA_BITS}. {_MAKE}")


def _fingerprint(public: Any) -> str:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return f"sha256:{hashlib.sha256(public.public_bytes(encoding, form)).hexdigest()}"


def _oaep() -> Any:
    return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _damaged("a sealed key that is not base64") from None


def _damaged(found: str) -> EnvelopeBroken:
    return EnvelopeBroken(f"encrypted snapshot: found {found}, wanted it as it was written. Take it from another copy.")
