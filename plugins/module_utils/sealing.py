# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files sealed for one host: who carries the envelope, the controller among them, cannot open it.

The receiver makes an X25519 key for one use, and so does the sender for each receiver. HKDF-SHA256 over what the two
agree on, bound to both public keys, gives an AES-256-GCM key that is used once. What the envelope is for (the host, the
cluster and the file list) is authenticated with it. Sources: RFC 7748, RFC 5869, and the construction of RFC 9180.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

try:
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

# What a module says on a host that lacks it.
MISSING = (
    f"cryptography: found none for {sys.executable}, wanted the distribution's. Install python3-cryptography, and have "
    "Ansible use the distribution's Python (ansible_python_interpreter)."
)
_FORMAT = "kubeadm.ha/sealed/1"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class SealBroken(ValueError):
    """The envelope is damaged, or was made for somebody or something else; the message repeats nothing of it."""


def new_receiver() -> tuple[bytes, str]:
    """A private key for one use, which stays where it is made, and the public key to be sent.

    Raises:
        SealBroken: this host's cryptography does not offer X25519.
    """
    try:
        private = X25519PrivateKey.generate()
    except UnsupportedAlgorithm as error:
        raise SealBroken(f"cryptography: found no X25519 ({error}), wanted it. FIPS mode may forbid it.") from error
    raw = private.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    return raw, base64.b64encode(_public_bytes(private.public_key())).decode()


def seal(files: Mapping[str, str], receiver: str, purpose: Mapping[str, Any]) -> str:
    """An envelope that only the holder of the receiver's private key can open.

    Args:
        files: by path, the content.
        receiver: its public key, as ``new_receiver`` gave it.
        purpose: what the receiver must expect word for word; JSON.

    Raises:
        SealBroken: that is no public key.
    """
    recipient = _decode(receiver, "public key")
    if len(recipient) != _KEY_BYTES:
        raise SealBroken(f"public key: found {len(recipient)} bytes, wanted {_KEY_BYTES}.")
    sender = X25519PrivateKey.generate()
    public = _public_bytes(sender.public_key())
    try:
        agreed = sender.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError as error:  # a point of small order, by which anybody could agree
        raise SealBroken("public key: found one that agrees with everybody, wanted an honest one.") from error
    nonce = os.urandom(_NONCE_BYTES)
    key = _derive(agreed, public, recipient)
    sealed = AESGCM(key).encrypt(nonce, json.dumps(dict(files)).encode(), _words(purpose))
    return base64.b64encode(public + nonce + sealed).decode()


def unseal(envelope: str, private: bytes, purpose: Mapping[str, Any]) -> dict[str, str]:
    """The files of an envelope.

    Raises:
        SealBroken: it is damaged, was sealed for another key, or for another purpose.
    """
    raw = _decode(envelope, "envelope")
    start = _KEY_BYTES + _NONCE_BYTES
    if len(private) != _KEY_BYTES or len(raw) <= start:
        raise SealBroken(f"envelope: found {len(raw)} bytes for a key of {len(private)}, wanted a whole one.")
    own = X25519PrivateKey.from_private_bytes(private)
    public, nonce, sealed = raw[:_KEY_BYTES], raw[_KEY_BYTES:start], raw[start:]
    try:
        key = _derive(own.exchange(X25519PublicKey.from_public_bytes(public)), public, _public_bytes(own.public_key()))
        files = json.loads(AESGCM(key).decrypt(nonce, sealed, _words(purpose)))
    except (InvalidTag, ValueError):
        raise SealBroken(
            "envelope: found one that this host's key does not open, wanted one sealed for it, for this host, this CA "
            "and these files. Another run may have asked in between: run again."
        ) from None
    return {str(path): str(content) for path, content in files.items()}


def _derive(agreed: bytes, sender: bytes, receiver: bytes) -> bytes:
    info = _FORMAT.encode() + sender + receiver
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(agreed)


def _words(purpose: Mapping[str, Any]) -> bytes:
    return json.dumps({"format": _FORMAT, **purpose}, sort_keys=True).encode()


def _public_bytes(key: X25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _decode(text: str, subject: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SealBroken(f"{subject}: found text that is not base64, wanted what this collection made.") from None
