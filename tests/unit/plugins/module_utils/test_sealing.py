# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sealed for one host is opened there, for that purpose, and nowhere else."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import sealing

PURPOSE = {"host": "cp2", "ca": "sha256:" + "a" * 64, "files": ["/etc/kubernetes/pki/ca.key"]}
FILES = {"/etc/kubernetes/pki/ca.key": "-----BEGIN PRIVATE KEY-----\nsecret\n"}
RECEIVER, PUBLIC = sealing.new_receiver()
ENVELOPE = sealing.seal(FILES, PUBLIC, PURPOSE)


@given(st.dictionaries(st.text(), st.text()))
def test_envelope_holds_what_was_put_into_it(files: dict[str, str]) -> None:
    assert sealing.unseal(sealing.seal(files, PUBLIC, PURPOSE), RECEIVER, PURPOSE) == files


def test_envelope_shows_nothing_of_what_is_in_it() -> None:
    raw = base64.b64decode(ENVELOPE)
    assert b"secret" not in raw
    assert b"ca.key" not in raw


def test_envelopes_of_the_same_are_different() -> None:
    assert sealing.seal(FILES, PUBLIC, PURPOSE) != ENVELOPE


def test_receivers_are_different_each_time() -> None:
    assert len({sealing.new_receiver() for _number in range(10)}) == 10


def test_envelope_for_another_key_is_refused() -> None:
    with pytest.raises(sealing.SealBroken, match="wanted one sealed for it"):
        sealing.unseal(ENVELOPE, sealing.new_receiver()[0], PURPOSE)


@pytest.mark.parametrize(
    "change",
    [{"host": "cp3"}, {"ca": "sha256:" + "b" * 64}, {"files": []}, {"more": 1}],
    ids=["host", "CA", "files", "more"],
)
def test_envelope_for_another_purpose_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(sealing.SealBroken):
        sealing.unseal(ENVELOPE, RECEIVER, {**PURPOSE, **change})


def test_envelope_with_any_byte_changed_is_refused() -> None:
    raw = base64.b64decode(ENVELOPE)
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        # X25519 passes over the highest bit of a point, which HKDF does not.
        with pytest.raises(sealing.SealBroken):
            sealing.unseal(base64.b64encode(changed).decode(), RECEIVER, PURPOSE)


def test_envelope_with_the_unused_bit_of_its_point_changed_is_refused() -> None:
    raw = bytearray(base64.b64decode(ENVELOPE))
    raw[31] ^= 0x80
    with pytest.raises(sealing.SealBroken):
        sealing.unseal(base64.b64encode(raw).decode(), RECEIVER, PURPOSE)


def test_envelope_cut_anywhere_is_refused() -> None:
    raw = base64.b64decode(ENVELOPE)
    for length in range(len(raw)):
        with pytest.raises(sealing.SealBroken):
            sealing.unseal(base64.b64encode(raw[:length]).decode(), RECEIVER, PURPOSE)


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()), st.binary(max_size=40))
def test_envelope_of_anything_is_refused_and_nothing_else(text: str, private: bytes) -> None:
    with pytest.raises(sealing.SealBroken) as refused:
        sealing.unseal(text, private, PURPOSE)
    assert len(text) < 4 or text not in str(refused.value)


@given(st.text() | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()))
def test_seal_for_any_text_as_public_key_is_refused_or_sealed(text: str) -> None:
    try:
        sealed = sealing.seal(FILES, text, PURPOSE)
    except sealing.SealBroken:
        return
    assert len(base64.b64decode(text)) == 32
    with pytest.raises(sealing.SealBroken):
        sealing.unseal(sealed, RECEIVER, PURPOSE)


def test_seal_for_a_key_that_agrees_with_everybody_is_refused() -> None:
    with pytest.raises(sealing.SealBroken, match="agrees with everybody"):
        sealing.seal(FILES, base64.b64encode(bytes(32)).decode(), PURPOSE)


def test_receivers_public_key_is_of_its_private_one() -> None:
    raw = X25519PrivateKey.from_private_bytes(RECEIVER).public_key()
    assert sealing._public_bytes(raw) == base64.b64decode(PUBLIC)
