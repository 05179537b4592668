# SPDX-License-Identifier: GPL-3.0-or-later
"""What is encrypted as it comes is read back by its owner, whole, in parts and by nobody else."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import envelope, sealing
from ansible_collections.kubeadm.ha.plugins.module_utils.envelope import EnvelopeBroken

KEY = bytes(range(32))
PIECE, TAG, HEAD = envelope.PIECE_BYTES, 16, envelope.HEADER_BYTES
ID = "0" * 32
KINDS = {"X25519": ["-algorithm", "X25519"], "RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}

lengths = st.integers(0, 300) | st.integers(-2, 2).map(lambda near: PIECE + near) | st.integers(2 * PIECE, 4 * PIECE)


def encrypted(data: bytes, steps: int = 1000, key: bytes = KEY) -> bytes:
    file = io.BytesIO()
    writer = envelope.Writer(file, key)
    for start in range(0, len(data), steps):
        writer.write(data[start : start + steps])
    writer.finish()
    assert writer.written == len(data)
    return file.getvalue()


def reader(data: bytes, key: bytes = KEY) -> envelope.Reader:
    return envelope.Reader(lambda offset, length: data[offset : offset + length], len(data), key)


def whole(data: bytes, key: bytes = KEY) -> bytes:
    found = reader(data, key)
    found.check_end()
    return found.read_at(0, found.size)


def content(length: int) -> bytes:
    return (b"0123456789abcdef" * (length // 16 + 1))[:length]


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


@pytest.fixture(scope="module", params=[*KINDS])
def pair(request: pytest.FixtureRequest) -> tuple[bytes, str]:
    """A private and a public key as a user makes them."""
    private = openssl("genpkey", *KINDS[request.param])
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=private, check=True, capture_output=True).stdout
    return private, public.decode()


def header_for(public: str, key: bytes = KEY, **more: Any) -> dict[str, Any]:
    """As it is read back from a file."""
    file = io.BytesIO()
    writer = envelope.Writer(file, key)
    writer.finish()
    writer.write_header({"id": ID, "sealed": envelope.seal_key(key, envelope.recipient(public), ID), **more})
    data = file.getvalue()
    assert data[HEAD - 1 : HEAD] == b"\n"
    assert json.loads(data[:HEAD])
    assert envelope.is_envelope(lambda offset, length: data[offset : offset + length])
    return envelope.read_header(lambda offset, length: data[offset : offset + length])


@given(lengths, st.integers(1, 3 * PIECE))
@settings(max_examples=50, deadline=None)
def test_reads_back_what_was_written_in_any_steps(length: int, steps: int) -> None:
    assert whole(encrypted(content(length), max(steps, length // 50 + 1))) == content(length)


@given(lengths, st.data())
@settings(max_examples=50, deadline=None)
def test_reads_any_part(length: int, data: st.DataObject) -> None:
    found = reader(encrypted(content(length), PIECE))
    for _part in range(3):
        offset, count = data.draw(st.integers(0, length + 5)), data.draw(st.integers(0, length + 5))
        assert found.read_at(offset, count) == content(length)[offset : offset + count]


@given(lengths, st.data())
@settings(max_examples=50, deadline=None)
def test_each_flipped_bit_of_the_content_is_noticed(length: int, data: st.DataObject) -> None:
    changed = bytearray(encrypted(content(length), PIECE))
    changed[data.draw(st.integers(HEAD, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(EnvelopeBroken, match="was changed or cut off"):
        whole(bytes(changed))


@given(lengths, st.data())
@settings(max_examples=50, deadline=None)
def test_each_cut_is_noticed(length: int, data: st.DataObject) -> None:
    written = encrypted(content(length), PIECE)
    at_a_piece = st.integers(1, 4).map(lambda pieces: HEAD + pieces * (PIECE + TAG))
    end = data.draw((st.integers(0, len(written) - 1) | at_a_piece).filter(lambda end: end < len(written)))
    with pytest.raises(EnvelopeBroken):
        whole(written[:end])


def test_pieces_cannot_be_swapped_left_out_or_added() -> None:
    written = encrypted(content(4 * PIECE + 5), PIECE)
    size = PIECE + TAG
    pieces = [written[start : start + size] for start in range(HEAD, len(written), size)]
    assert len(pieces) == 5
    for other in ([1, 0, 2, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3], [0, 1, 2, 3, 3, 4], [0, 1, 2, 3, 4, 4]):
        with pytest.raises(EnvelopeBroken):
            whole(written[:HEAD] + b"".join(pieces[number] for number in other))


def test_another_key_opens_nothing_and_no_two_files_are_alike() -> None:
    with pytest.raises(EnvelopeBroken):
        whole(encrypted(content(100)), key=bytes(32))
    assert envelope.new_key() != envelope.new_key()
    assert content(100)[:20] not in encrypted(content(100))


def test_only_its_private_key_opens_the_key_of_a_file(pair: tuple[bytes, str]) -> None:
    private, public = pair
    header = header_for(public, revision=7)
    assert envelope.open_key(header, private) == KEY
    other = openssl("genpkey", *KINDS["X25519"])
    with pytest.raises(EnvelopeBroken, match=f"wanted that of {header['sealed']['for']}, to which the file is sealed"):
        envelope.open_key(header, other)
    with pytest.raises(EnvelopeBroken, match="header that was changed"):
        envelope.open_key({**header, "revision": 8}, private)
    with pytest.raises(EnvelopeBroken):
        envelope.open_key({**header, "sealed": {**header["sealed"], "key": header["sealed"]["key"][:-8]}}, private)
    assert not {private.decode(), KEY.hex()} & set(map(str, header.values()))


def test_key_of_a_file_goes_to_one_host_and_for_that_file(pair: tuple[bytes, str]) -> None:
    private, public = sealing.new_receiver()
    relayed = envelope.relay_key(KEY, public, ID)
    assert envelope.take_key(relayed, private, ID) == KEY
    for key, file_id in ((sealing.new_receiver()[0], ID), (private, "1" * 32)):
        with pytest.raises(EnvelopeBroken, match="Ask again with state=requested"):
            envelope.take_key(relayed, key, file_id)


def test_private_key_with_a_passphrase(tmp_path: Path) -> None:
    private = openssl("genpkey", *KINDS["X25519"], "-aes256", "-pass", "pass:open sesame")
    public = subprocess.run(
        ["openssl", "pkey", "-pubout", "-passin", "pass:open sesame"], input=private, check=True, capture_output=True
    ).stdout
    header = header_for(public.decode())
    assert envelope.open_key(header, private, "open sesame") == KEY
    with pytest.raises(EnvelopeBroken, match="found an encrypted one, wanted its passphrase"):
        envelope.open_key(header, private)
    with pytest.raises(EnvelopeBroken, match="found none that this passphrase opens"):
        envelope.open_key(header, private, "closed")
    plain = openssl("genpkey", *KINDS["X25519"])
    with pytest.raises(EnvelopeBroken, match="found one in clear, wanted no passphrase"):
        envelope.open_key(header, plain, "open sesame")


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["-algorithm", "ED25519"], "found a key of Ed25519, wanted X25519 or RSA"),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "wanted X25519 or RSA"),
        (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "found RSA of 1024 bits, wanted at least 2048"),
    ],
    ids=["Ed25519", "EC", "short RSA"],
)
def test_other_keys_are_refused(arguments: list[str], reason: str) -> None:
    private = openssl("genpkey", *arguments)
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=private, check=True, capture_output=True).stdout
    with pytest.raises(EnvelopeBroken, match=reason):
        envelope.recipient(public.decode())


def test_private_key_in_the_place_of_the_public_one_is_not_repeated() -> None:
    private = openssl("genpkey", *KINDS["X25519"]).decode()
    with pytest.raises(EnvelopeBroken, match="found a private key, wanted the public half alone") as caught:
        envelope.recipient(private)
    assert private.splitlines()[1] not in str(caught.value)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_something_else_has_no_header(data: bytes) -> None:
    with pytest.raises(EnvelopeBroken, match="header: found none, wanted that of an encrypted snapshot"):
        envelope.read_header(lambda offset, length: data[offset : offset + length])
    assert not envelope.is_envelope(lambda offset, length: data[offset : offset + length])


def test_header_of_a_later_format_is_refused(pair: tuple[bytes, str]) -> None:
    later = json.dumps({**header_for(pair[1]), "format": "kubeadm.ha/snapshot/2"}).encode()
    with pytest.raises(EnvelopeBroken, match="Use the release that wrote it"):
        envelope.read_header(lambda _offset, _length: later)
    with pytest.raises(EnvelopeBroken, match="wanted less than 8192"):
        header_for(pair[1], files=["/etc/kubernetes/pki/ca.crt"] * 400)
