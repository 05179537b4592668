# SPDX-License-Identifier: GPL-3.0-or-later
"""A host knows which certificates it lacks, and takes none that is not its own."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import certificate_profiles, certificates, requesting
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import PROFILES, Claims, Host, claims_of
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.module_utils.versions import Version
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import (
    BORN,
    DIES,
    Identity,
    authority,
    ec_key,
)

NOW = BORN + datetime.timedelta(days=1)
DAY = datetime.timedelta(days=1)
VERSION = Version(20, 2)
ETCD2 = Host("etcd2", "192.0.2.22")
PROFILE = PROFILES["etcd-server"]
PAIR = PROFILE.pair()
WANTED = claims_of(PROFILE, ETCD2, VERSION)
CA_PATH = certificate_profiles.authority_pair().public
OTHER_HASH = "sha256:" + "0" * 64


CAS = [authority("etcd-ca"), authority("etcd-ca")]


def ca(number: int = 0) -> Identity:
    return CAS[number]


@functools.cache
def leaf(claims: Claims = WANTED, by: int = 0, now: datetime.datetime = NOW) -> Identity:
    key = ec_key()
    text = certificates.sign(key.public_key(), claims, certificates.read(ca(by).pem), ca(by).key, now)
    return Identity(certificates.read(text).parsed, key)


def contents(crt: Any = None, key: Any = None, of: Identity | None = None) -> dict[str, Any]:
    made = of or leaf()
    found = {PAIR.public: made.pem if crt is None else crt, PAIR.private: made.key_pem if key is None else key}
    return {path: text for path, text in found.items() if text is not False}


def look(found: Any, now: datetime.datetime = NOW, by: int | None = 0, wanted: Claims = WANTED) -> requesting.Look:
    issuer = None if by is None else certificates.read(ca(by).pem)
    return requesting.look(PAIR, found, wanted, issuer, now)


def without(kind: str, *names: str) -> Claims:
    changed = {"names": WANTED.names, "usages": WANTED.usages}
    changed[kind] = changed[kind] - {*names}
    return Claims(WANTED.common_name, WANTED.organizations, changed["names"], changed["usages"])


OWN = certificates.key_hash


def test_pair_that_is_whole_needs_nothing() -> None:
    seen = look(contents())
    assert (seen.reason, seen.key_hash) == ("", OWN(leaf().key_pem))
    assert seen.said.startswith("CN=etcd2 for ")


@given(st.frozensets(st.sampled_from(["DNS:etcd.example.com", "IP:192.0.2.99", "DNS:*.example.com"])))
def test_pair_that_says_more_than_is_wanted_is_whole(more: frozenset[str]) -> None:
    made = Claims("etcd2.example.com", frozenset({"people"}), WANTED.names | more, WANTED.usages)
    assert look(contents(of=leaf(made))).reason == ""


@given(st.frozensets(st.sampled_from(sorted(WANTED.names)), min_size=1))
def test_pair_that_lacks_names_says_which(names: frozenset[str]) -> None:
    assert (
        look(contents(of=leaf(without("names", *names)))).reason == f"a certificate without {', '.join(sorted(names))}"
    )


@pytest.mark.parametrize(
    ("found", "more", "reason"),
    [
        ({}, {}, "no certificate"),
        (contents(crt=False), {}, "no certificate"),
        (contents(key=False), {}, "no key"),
        (contents(crt=""), {}, "a certificate that is cut (nothing in it)"),
        (contents(crt=leaf().pem[:-40]), {}, "a certificate that is cut (no whole certificate)"),
        (contents(key=leaf().key_pem[:-40]), {}, "no key"),
        (contents(key=""), {}, "no key"),
        (contents(key=ca().key_pem), {}, "a certificate that belongs to another key"),
        (contents(), {"by": 1}, "a certificate that another CA has signed"),
        (contents(), {"by": None}, "no CA to tell the certificate by"),
        (contents(), {"now": DIES}, "a certificate that ended on 2027-01-03 03:04 UTC, by this host's clock"),
        (contents(), {"now": BORN - DAY}, "a certificate that begins on 2026-01-03 02:59 UTC, by this host's clock"),
        (contents(of=leaf(without("usages", "client"))), {}, "a certificate not for use as client"),
    ],
    ids=range(13),
)
def test_pair_that_is_not_whole_says_why(found: Any, more: Any, reason: str) -> None:
    assert look(found, **more).reason == reason


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (contents(crt=False), True),
        (contents(crt=""), True),
        (contents(crt="x"), True),
        (contents(key=False), False),
        (contents(key=""), False),
        (contents(key=leaf().key_pem[:50]), False),
        ({}, False),
    ],
    ids=range(7),
)
def test_key_is_kept_wherever_there_is_a_whole_one(found: Any, kept: bool) -> None:
    assert look(found).key_hash == (OWN(leaf().key_pem) if kept else "")


def test_clock_that_is_a_little_slow_refuses_nothing() -> None:
    begins = leaf().certificate.not_valid_before_utc
    assert look(contents(), now=begins - certificates.CLOCKS).reason == ""
    assert "begins on" in look(contents(), now=begins - certificates.CLOCKS - datetime.timedelta(seconds=1)).reason


def encrypted() -> str:
    layout = serialization.PrivateFormat.PKCS8
    return (
        ec_key().private_bytes(serialization.Encoding.PEM, layout, serialization.BestAvailableEncryption(b"x")).decode()
    )


def of_another_kind() -> str:
    key = ed25519.Ed25519PrivateKey.generate()
    layout = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, layout, serialization.NoEncryption()).decode()


@pytest.mark.parametrize("key", [encrypted, of_another_kind])
def test_key_that_somebody_put_there_and_that_is_of_no_use_is_left_to_him(key: Any) -> None:
    with pytest.raises(Refusal, match=r"etcd/server\.key: found .*wanted one that kubeadm takes"):
        look(contents(key=key()))


@pytest.mark.parametrize("name", ["crt", "key"])
def test_file_that_nobody_can_read_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="found what nobody can read"):
        look(contents(**{name: IsADirectoryError(21, "Is a directory")}))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (contents(), ""),
        ({}, "no certificate"),
        (contents(key=False), "no key"),
        (contents(key=ca().key_pem), f"a key that does not belong to {PAIR.public}"),
        (contents(crt=""), "nothing in it"),
    ],
    ids=range(5),
)
def test_check_mode_tells_what_it_can_without_the_library(
    found: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = certificates.read(ca().pem)
    monkeypatch.setattr(certificates, "IMPORT_ERROR", "No module named cryptography")
    assert requesting.look(PAIR, found, WANTED, issuer, NOW).reason == reason
    assert requesting.find_ca(ca().pem, CA_PATH, {}) is None


def issued(pem: str | None, of: Identity | None = None, by: int = 0, now: datetime.datetime = NOW) -> str:
    here = requesting.Look("no certificate", OWN((of or leaf()).key_pem))
    return requesting.check_issued(pem, here, ca(by).pem, WANTED, now)


def test_certificate_that_was_asked_for_is_taken_and_shown() -> None:
    assert issued(leaf().pem).startswith("CN=etcd2 for DNS:etcd2, ")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"pem": None}, "none"),
        ({"pem": ""}, "none"),
        ({"pem": "x"}, "no whole certificate"),
        ({"pem": leaf().pem, "of": leaf(by=1)}, "belongs to another key"),
        ({"pem": leaf().pem, "by": 1}, "another CA has signed"),
        ({"pem": leaf().pem, "now": NOW + 366 * DAY}, "ended on"),
        ({"pem": leaf(without("names", "IP:::1")).pem, "of": leaf(without("names", "IP:::1"))}, "without IP:::1"),
    ],
    ids=range(7),
)
def test_certificate_that_is_not_this_hosts_is_refused(arguments: Any, found: str) -> None:
    with pytest.raises(certificates.Unusable, match=found):
        issued(**arguments)


@pytest.mark.parametrize(
    "said",
    [
        Claims("etcd3", frozenset(), WANTED.names, WANTED.usages),
        Claims("etcd2", frozenset({"system:masters"}), WANTED.names, WANTED.usages),
        Claims("etcd2", frozenset(), WANTED.names | {"DNS:etcd3"}, WANTED.usages),
    ],
    ids=["another name", "a group", "more names"],
)
def test_certificate_that_says_more_than_was_asked_for_is_refused(said: Claims) -> None:
    with pytest.raises(certificates.Unusable, match="a certificate of "):
        issued(leaf(said).pem, of=leaf(said))


def test_certificate_without_a_key_here_is_refused() -> None:
    with pytest.raises(certificates.Unusable, match="no key for it on this host"):
        requesting.check_issued(leaf().pem, requesting.Look("no certificate"), ca().pem, WANTED, NOW)


def needed(given: str | None, here: Any, now: datetime.datetime = NOW) -> bool:
    return requesting.ca_is_needed(given, CA_PATH, {} if here is None else {CA_PATH: here}, now)


def test_ca_is_written_where_there_is_none_or_it_is_cut_or_has_ended() -> None:
    renewed = authority("etcd-ca", key=ca().key, not_after=DIES + 365 * DAY)
    assert needed(ca().pem, None)
    assert needed(ca().pem, "")
    assert needed(ca().pem, ca().pem[:100])
    assert needed(renewed.pem, ca().pem, DIES + DAY)
    assert needed(None, None)


def test_ca_that_is_there_stays_as_it_is() -> None:
    renewed = authority("etcd-ca", key=ca().key, not_after=DIES + 365 * DAY)
    assert not needed(ca().pem, ca().pem)
    assert not needed(renewed.pem, ca().pem)
    assert not needed(ca().pem, ca(1).pem + ca().pem)  # while one CA follows the other
    assert not needed(None, ca().pem)


def test_another_ca_is_refused_and_both_are_named() -> None:
    with pytest.raises(Refusal) as refused:
        needed(ca().pem, ca(1).pem)
    for number in (0, 1):
        assert certificates.read(ca(number).pem).identity.public_key_hash in str(refused.value)


def test_ca_is_the_one_that_is_given_and_else_the_one_that_is_here() -> None:
    def found(given: str | None, here: Any) -> Any:
        return requesting.find_ca(given, CA_PATH, {} if here is None else {CA_PATH: here})

    assert found(ca().pem, ca(1).pem) == certificates.read(ca().pem)
    assert found(None, ca(1).pem) == certificates.read(ca(1).pem)
    assert found(None, None) is found(None, "x") is found("", "") is None
    for text, wrong in (("x", "no whole certificate"), (leaf().pem, "may sign no others")):
        with pytest.raises(Refusal, match=wrong):
            found(text, None)


def test_hash_of_the_ca_that_is_here() -> None:
    assert requesting.ca_hash(CA_PATH, {CA_PATH: ca().pem}) == certificates.read(ca().pem).identity.public_key_hash
    assert requesting.ca_hash(CA_PATH, {}) == requesting.ca_hash(CA_PATH, {CA_PATH: "x"}) == ""
