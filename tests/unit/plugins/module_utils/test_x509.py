# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates read by the standard library alone say what the `cryptography` package says of them, or are refused."""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import hashlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509 import Name, NameAttribute, RelativeDistinguishedName
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import x509
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import (
    UTC,
    Identity,
    Key,
    authority,
    ec_key,
    rsa_key,
)


def discovery_hash(identity: Identity) -> str:
    """kubeadm's own: SHA-256 of the public key's SubjectPublicKeyInfo (cmd/kubeadm/app/util/pubkeypin)."""
    encoding, layout = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return "sha256:" + hashlib.sha256(identity.key.public_key().public_bytes(encoding, layout)).hexdigest()


def pem(der: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(der)


@functools.cache
def sample() -> Identity:
    return authority()


KEYS: dict[str, Callable[[], Key]] = {
    "RSA 2048": rsa_key,
    "P-256": ec_key,
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
}


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS.keys())
def test_parse_public_key_hash_is_the_discovery_hash(make: Callable[[], Key]) -> None:
    identity = authority(key=make())
    assert x509.parse(identity.pem).public_key_hash == discovery_hash(identity)


def test_parse_public_key_hash_of_a_leaf_is_its_own(ca: Identity) -> None:
    leaf = ca.issue("kube-apiserver")
    assert x509.parse(leaf.pem).public_key_hash == discovery_hash(leaf) != discovery_hash(ca)


def test_parse_fingerprint_is_that_of_the_whole_certificate(ca: Identity) -> None:
    assert x509.parse(ca.pem).fingerprint == "sha256:" + hashlib.sha256(ca.der).hexdigest()


def test_parse_renewed_authority_keeps_its_public_key_hash_and_changes_its_fingerprint() -> None:
    key = ec_key()
    old, new = x509.parse(authority(key=key).pem), x509.parse(authority(key=key).pem)
    assert old.public_key_hash == new.public_key_hash
    assert old.fingerprint != new.fingerprint


@pytest.mark.parametrize(
    ("not_before", "not_after"),
    [
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime.datetime(2036, 12, 31, 23, 59, 59, tzinfo=UTC)),
        # The last second that is written with two digits for its year, and the first that is not.
        (datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime.datetime(2050, 1, 1, tzinfo=UTC)),
        (datetime.datetime(1950, 1, 1, tzinfo=UTC), datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime.datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime.datetime(2000, 2, 29, tzinfo=UTC)),
    ],
    ids=["ten years", "beyond 2050", "no end", "last century"],
)
def test_parse_dates_are_those_of_the_certificate(not_before: datetime.datetime, not_after: datetime.datetime) -> None:
    found = x509.parse(authority(not_before=not_before, not_after=not_after).pem)
    assert (found.not_before, found.not_after) == (not_before, not_after)


@pytest.mark.parametrize("name", ["kubernetes", "system:node:cp1", "Bürgeramt 日本", "🛟"])
def test_parse_common_name_is_the_subjects(ca: Identity, name: str) -> None:
    assert x509.parse(ca.issue(name).pem).common_name == name


def test_parse_common_name_of_a_subject_without_one_is_empty(ca: Identity) -> None:
    assert x509.parse(ca.issue(None).pem).common_name == ""


def test_parse_common_name_is_not_the_issuers(ca: Identity) -> None:
    assert x509.parse(ca.issue("leaf").pem).common_name == "leaf"


def test_parse_reads_the_first_certificate_of_a_bundle(ca: Identity) -> None:
    other = authority("other")
    assert x509.parse(other.pem + ca.pem).common_name == "other"


@pytest.mark.parametrize("wrap", ["openssl's words\n{}", "{}\nBag Attributes\n", "{}"], ids=["before", "after", "CRLF"])
def test_parse_passes_over_text_around_a_certificate(ca: Identity, wrap: str) -> None:
    text = wrap.format(ca.pem)
    assert x509.parse(text if wrap != "{}" else text.replace("\n", "\r\n")).common_name == "kubernetes"


@pytest.mark.parametrize(
    "text",
    ["", "no certificate", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
     "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
     "-----BEGIN CERTIFICATE-----\n日本\n-----END CERTIFICATE-----\n",
     "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n"],
)  # fmt: skip
def test_parse_text_without_a_certificate_is_refused(text: str) -> None:
    with pytest.raises(x509.MalformedCertificate):
        x509.parse(text)


def test_parse_private_key_alone_is_refused_without_repeating_it(ca: Identity) -> None:
    with pytest.raises(x509.MalformedCertificate) as refused:
        x509.parse(ca.key_pem)
    assert ca.key_pem.splitlines()[1] not in str(refused.value)


def test_parse_every_truncation_of_the_der_is_refused() -> None:
    der = sample().der
    for length in range(len(der)):
        with pytest.raises(x509.MalformedCertificate):
            x509.parse(pem(der[:length]))


def test_parse_every_truncation_of_the_pem_is_refused() -> None:
    text = sample().pem.strip()
    for length in range(len(text)):
        with pytest.raises(x509.MalformedCertificate):
            x509.parse(text[:length])


def parsed_or_refused(text: str) -> None:
    try:
        found = x509.parse(text)
    except x509.MalformedCertificate:
        return
    assert isinstance(found, x509.Certificate)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4)), min_size=1, max_size=5))
def test_parse_corrupted_der_is_parsed_or_refused_and_nothing_else(changes: list[tuple[int, bytes]]) -> None:
    der = bytearray(sample().der)
    for place, content in changes:
        start = place % len(der)
        der[start : start + 2] = content
    parsed_or_refused(pem(bytes(der)))


def test_parse_any_byte_of_the_der_changed_is_parsed_or_refused_and_nothing_else() -> None:
    der = sample().der
    for place in range(len(der)):
        for value in (0x00, 0x80, 0xFF, der[place] ^ 1):
            parsed_or_refused(pem(der[:place] + bytes([value]) + der[place + 1 :]))


@given(st.binary(max_size=64))
def test_parse_any_bytes_are_parsed_or_refused_and_nothing_else(der: bytes) -> None:
    parsed_or_refused(pem(der))


@given(st.integers(0, 10_000), st.text(max_size=3))
def test_parse_corrupted_pem_is_parsed_or_refused_and_nothing_else(place: int, content: str) -> None:
    text = sample().pem
    start = place % len(text)
    parsed_or_refused(text[:start] + content + text[start + 1 :])


def test_parse_common_name_of_a_part_with_several_attributes_is_found(ca: Identity) -> None:
    """X.501 lets one part of a name hold several attributes, in DER's order."""
    organisation = NameAttribute(NameOID.ORGANIZATION_NAME, "tests")
    name = RelativeDistinguishedName([NameAttribute(NameOID.COMMON_NAME, "system:node:cp1"), organisation])
    assert x509.parse(ca.issue(Name([name])).pem).common_name == "system:node:cp1"


def test_parse_all_reads_every_certificate_in_its_order(ca: Identity) -> None:
    other = authority("other")
    assert [found.common_name for found in x509.parse_all(f"words\n{other.pem}{ca.pem}")] == ["other", "kubernetes"]


@pytest.mark.parametrize("text", ["", "words"])
def test_parse_all_of_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(x509.MalformedCertificate):
        x509.parse_all(text)


def test_parse_all_of_a_bundle_that_is_cut_is_refused(ca: Identity) -> None:
    with pytest.raises(x509.MalformedCertificate):
        x509.parse_all(ca.pem + ca.pem[:-40])


FORMATS = {
    "PKCS#1 or SEC1": serialization.PrivateFormat.TraditionalOpenSSL,
    "PKCS#8": serialization.PrivateFormat.PKCS8,
}


def key_pem(key: Any, layout: str = "PKCS#8", password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, FORMATS[layout], encryption).decode()


@functools.cache
def sample_keys() -> tuple[str, ...]:
    return tuple(key_pem(make(), layout) for make in (rsa_key, ec_key) for layout in FORMATS)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS.keys())
def test_private_key_hash_is_that_of_its_certificate(make: Callable[[], Key], layout: str) -> None:
    identity = authority(key=make())
    assert x509.private_key_hash(key_pem(identity.key, layout)) == discovery_hash(identity)


@pytest.mark.parametrize("make", KEYS.values(), ids=KEYS.keys())
def test_public_key_hash_is_that_of_its_private_key(make: Callable[[], Key]) -> None:
    key = make()
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    text = key.public_key().public_bytes(encoding, layout).decode()
    assert x509.public_key_hash(text) == x509.private_key_hash(key_pem(key))


def test_public_key_hash_reads_pkcs1_too() -> None:
    key = rsa_key()
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
    assert x509.public_key_hash(key.public_key().public_bytes(encoding, layout).decode()) == x509.private_key_hash(
        key_pem(key)
    )


def test_private_key_hash_passes_over_openssls_parameters() -> None:
    text = key_pem(ec_key(), "PKCS#1 or SEC1")
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert x509.private_key_hash(parameters + text) == x509.private_key_hash(text)


def test_private_key_hash_of_a_file_with_its_certificate_is_the_keys(ca: Identity) -> None:
    assert x509.private_key_hash(ca.pem + ca.key_pem) == discovery_hash(ca)


def test_private_key_hash_of_a_key_that_does_not_carry_its_public_half_is_unknown() -> None:
    assert x509.private_key_hash(key_pem(ed25519.Ed25519PrivateKey.generate())) is None


@pytest.mark.parametrize("layout", FORMATS)
def test_private_key_hash_of_an_encrypted_key_is_refused(layout: str) -> None:
    with pytest.raises(x509.MalformedKey, match="encrypted"):
        x509.private_key_hash(key_pem(rsa_key(), layout, b"password"))


def test_key_hash_of_the_other_half_is_refused(ca: Identity) -> None:
    with pytest.raises(x509.MalformedKey):
        x509.public_key_hash(ca.key_pem)
    with pytest.raises(x509.MalformedKey):
        x509.private_key_hash(ca.pem)


@pytest.mark.parametrize("number", range(4))
def test_private_key_hash_of_every_truncation_is_refused_without_repeating_any(number: int) -> None:
    text = sample_keys()[number].strip()
    for length in range(len(text)):
        with pytest.raises(x509.MalformedKey) as refused:
            x509.private_key_hash(text[:length])
        assert not any(line in str(refused.value) for line in text.splitlines()[1:-1])


@pytest.mark.parametrize("number", range(4))
def test_private_key_hash_of_every_truncation_of_the_der_is_refused(number: int) -> None:
    label, body = x509._PEM_BLOCK.findall(sample_keys()[number])[0]
    der = base64.b64decode("".join(body.split()))
    for length in range(len(der)):
        with pytest.raises(x509.MalformedKey):
            x509.private_key_hash(block(label, der[:length]))


def block(label: str, der: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


LABELS = ("RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "PUBLIC KEY", "RSA PUBLIC KEY", "OTHER")


def hashed_or_refused(text: str) -> None:
    for read in (x509.private_key_hash, x509.public_key_hash):
        with contextlib.suppress(x509.MalformedKey):
            found = read(text)
            assert found is None or found.startswith("sha256:")


@given(st.sampled_from(LABELS), st.binary(max_size=80))
def test_key_hash_of_any_bytes_is_told_or_refused_and_nothing_else(label: str, der: bytes) -> None:
    hashed_or_refused(block(label, der))


@given(st.text())
def test_key_hash_of_any_text_is_told_or_refused_and_nothing_else(text: str) -> None:
    hashed_or_refused(text)
    hashed_or_refused(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----")


@given(st.integers(0, 3), st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.sampled_from(LABELS))
def test_key_hash_of_a_corrupted_key_is_told_or_refused_and_nothing_else(
    number: int, place: int, content: bytes, label: str
) -> None:
    _label, body = x509._PEM_BLOCK.findall(sample_keys()[number])[0]
    der = bytearray(base64.b64decode("".join(body.split())))
    start = place % len(der)
    der[start : start + len(content)] = content
    hashed_or_refused(block(label, bytes(der)))
