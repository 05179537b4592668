# SPDX-License-Identifier: GPL-3.0-or-later
"""The authority signs what the plan says of a host, for that host's own keys, with a CA that can sign."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import certificate_profiles, certificates, issuing, pki
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import PROFILES, Host, claims_of
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.module_utils.versions import Version
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import BORN, DIES, Identity, authority

NOW = BORN + datetime.timedelta(days=1)
DAY = datetime.timedelta(days=1)
VERSION = Version(20, 2)
PAIR = certificate_profiles.authority_pair()
CERTIFICATE, KEY = PAIR.public, str(PAIR.private)
LEAVES = [profile.pair() for profile in PROFILES.values()]
HOSTS = {name: Host(name, f"192.0.2.2{name[-1]}") for name in ("etcd1", "etcd2", "etcd3")}


@functools.cache
def ca() -> Identity:
    return authority("etcd-ca")


@functools.cache
def key_of(host: str, profile: str = "") -> str:
    made = ec.generate_private_key(ec.SECP256R1())
    layout = serialization.PrivateFormat.TraditionalOpenSSL
    return made.private_bytes(serialization.Encoding.PEM, layout, serialization.NoEncryption()).decode()


def contents(identity: Identity | None = None, **changes: Any) -> dict[str, Any]:
    identity = identity or ca()
    found = {CERTIFICATE: identity.pem, KEY: identity.key_pem}
    found.update({{"crt": CERTIFICATE, "key": KEY}[name]: text for name, text in changes.items()})
    return {path: text for path, text in found.items() if text is not None}


def load(**changes: Any) -> issuing.Authority:
    return issuing.load_authority(PAIR, contents(**changes), NOW)


def asked(host: str, *profiles: str, key: str = "", of: str = "") -> dict[str, str]:
    """The requests of a host, as if it were another one where ``of`` says so."""
    return {
        name: certificates.request(key or key_of(host, name), claims_of(PROFILES[name], HOSTS[of or host], VERSION))
        for name in profiles or PROFILES
    }


def issue(requests: Any, hosts: Any = HOSTS, profiles: Any = PROFILES) -> dict[str, dict[str, str]]:
    return issuing.issue_all(load(), requests, hosts, profiles, VERSION, NOW)


def refusal(requests: Any, **more: Any) -> str:
    with pytest.raises(Refusal) as refused:
        issue(requests, **more)
    return str(refused.value)


def test_each_host_gets_what_it_asked_for_with_its_own_names_for_its_own_keys() -> None:
    issued = issue({host: asked(host) for host in HOSTS})
    assert {host: set(made) for host, made in issued.items()} == {host: set(PROFILES) for host in HOSTS}
    for host, made in issued.items():
        for name, pem in made.items():
            certificate = certificates.read(pem)
            assert certificate.claims == claims_of(PROFILES[name], HOSTS[host], VERSION)
            assert certificate.identity.public_key_hash == certificates.key_hash(key_of(host, name))
            assert certificates.signed_by(certificate, certificates.read(ca().pem))


def test_who_asks_for_nothing_gets_nothing() -> None:
    assert issue({}) == {}
    assert issue({"etcd1": {}, "unknown": {}}) == {"etcd1": {}, "unknown": {}}


@given(st.dictionaries(st.sampled_from([*HOSTS]), st.sampled_from([*HOSTS]), min_size=1), st.sampled_from([*PROFILES]))
def test_nobody_is_signed_for_where_a_host_asks_for_anothers_names(claimed: dict[str, str], profile: str) -> None:
    """Each host asks under the name of the other: unless names do not matter, nobody is served."""
    requests = {host: asked(host, profile, of=other) for host, other in claimed.items()}
    liars = {host for host, other in claimed.items() if host != other and PROFILES[profile].serves}
    if liars:
        message = refusal(requests)
        assert {line.partition(":")[0] for line in message.splitlines()} == liars
    else:
        assert set(issue(requests)) == set(claimed)


def test_refusal_says_what_was_asked_for_and_what_is_due() -> None:
    message = refusal({"etcd2": asked("etcd2", "etcd-peer", of="etcd3")})
    assert message.startswith("etcd2: request for etcd-peer: found a request for CN=etcd3 for DNS:etcd3, ")
    assert "wanted one for CN=etcd2 for DNS:etcd2, DNS:localhost, IP:127.0.0.1, IP:192.0.2.22" in message


def test_request_of_a_host_that_the_plan_does_not_know_is_refused() -> None:
    assert "etcd3: requests: found a host that the plan does not know" in refusal(
        {"etcd3": asked("etcd3")}, hosts={"etcd2": HOSTS["etcd2"]}
    )


def test_control_plane_gets_a_clients_certificate_and_no_servers() -> None:
    only = ["apiserver-etcd-client"]
    assert set(issue({"etcd2": asked("etcd2", *only)}, profiles=only)["etcd2"]) == {*only}
    message = refusal({"etcd2": asked("etcd2", *only, "etcd-server")}, profiles=only)
    assert "etcd2: requests: found one for etcd-server, wanted some of apiserver-etcd-client" in message


@pytest.mark.parametrize(
    "requests", [{"etcd2": "x"}, {"etcd2": ["x"]}, {"etcd2": {"etcd-ca": "x"}}, {"etcd2": {1: "x"}}]
)
def test_requests_of_another_form_are_refused(requests: Any) -> None:
    assert "etcd2: requests: found " in refusal(requests)


@pytest.mark.parametrize("text", ["", "x", None, 1, ["x"]])
def test_request_that_is_none_is_refused(text: Any) -> None:
    assert "etcd2: request for etcd-peer: found no whole request" in refusal({"etcd2": {"etcd-peer": text}})


def test_host_without_a_name_or_an_address_is_refused() -> None:
    message = refusal({"etcd2": asked("etcd2", "etcd-peer")}, hosts={"etcd2": Host("", "")})
    assert "etcd2: node name: found ''" in message
    assert "etcd2: address: found ''" in message


@pytest.mark.parametrize(
    ("pretender", "subject"),
    [(Host("etcd1", "192.0.2.22"), "node name"), (Host("etcd2", "192.0.2.21"), "address")],
)
def test_host_that_passes_for_another_is_refused(pretender: Host, subject: str) -> None:
    hosts = {**HOSTS, "etcd2": pretender, "lb1": Host("", "")}
    wanted = claims_of(PROFILES["etcd-peer"], pretender, VERSION)
    request = certificates.request(key_of("etcd2"), wanted)
    assert f"etcd2: {subject}: found " in refusal({"etcd2": {"etcd-peer": request}}, hosts=hosts)
    # A client is nobody in particular.
    only = ["apiserver-etcd-client"]
    assert issue({"etcd2": asked("etcd2", *only)}, hosts=hosts)["etcd2"]


def test_key_that_two_hosts_have_is_refused() -> None:
    same = key_of("etcd1")
    message = refusal({host: asked(host, "etcd-peer", key=same) for host in ("etcd1", "etcd2")})
    assert "etcd2: request for etcd-peer: found the key of etcd1, wanted its own key" in message


def test_one_host_may_use_one_key_for_several() -> None:
    assert set(issue({"etcd1": asked("etcd1", key=key_of("etcd1"))})["etcd1"]) == set(PROFILES)


def test_everything_wrong_is_told_at_once() -> None:
    requests = {
        "etcd1": asked("etcd1", of="etcd2"),
        "etcd2": {"etcd-peer": "x"},
        "etcd3": asked("etcd3"),
        "cp1": asked("etcd3", "apiserver-etcd-client"),
    }
    hosts = {line.partition(":")[0] for line in refusal(requests).splitlines()}
    assert hosts == {"etcd1", "etcd2", "cp1"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"key": None}, "etcd/ca.key: found no file"),
        ({"crt": None}, "etcd/ca.crt: found no file"),
        ({"key": ""}, "etcd/ca.key: found nothing in it"),
        ({"crt": "x"}, "etcd/ca.crt: found no whole PEM"),
        ({"key": IsADirectoryError(21, "Is a directory")}, "etcd/ca.key: found what nobody can read"),
        ({"identity": authority("etcd-ca", not_after=NOW - DAY)}, "etcd/ca.crt: found a CA that ended"),
        ({"identity": authority("etcd-ca", not_before=NOW + DAY)}, "etcd/ca.crt: found a CA that begins"),
        ({"identity": ca().issue("etcd1")}, "etcd/ca.crt: found a certificate that may sign no others"),
    ],
    ids=["no key", "no certificate", "key cut", "certificate cut", "unreadable", "ended", "to begin", "no authority"],
)
def test_authority_that_cannot_sign_is_refused(changes: Any, found: str) -> None:
    with pytest.raises(Refusal) as refused:
        load(**changes)
    assert found in str(refused.value)


def test_authority_of_another_key_is_refused() -> None:
    with pytest.raises(Refusal, match=r"etcd/ca\.key: found a key that does not belong to"):
        load(key=authority("etcd-ca").key_pem)


def test_authority_whose_key_is_too_short_is_refused() -> None:
    short = authority("etcd-ca", key=rsa.generate_private_key(65537, 1024))
    with pytest.raises(Refusal, match="found an RSA key of 1024 bits"):
        load(identity=short)


def test_authority_keeps_its_key_out_of_what_is_printed() -> None:
    assert not any(line in repr(load()) for line in ca().key_pem.splitlines())
    assert "key" not in repr(load()).replace("public_key_hash", "")


def to_be_made(found: Any, elsewhere: Any = (), interrupted: bool = False) -> str:
    return issuing.ca_has_to_be_made(PAIR, LEAVES, found, elsewhere, interrupted=interrupted, now=NOW)


def test_authority_is_made_where_there_is_nothing_and_nobody_trusts_another() -> None:
    assert to_be_made({}) == "no CA"
    assert to_be_made({}, ["", ""]) == "no CA"


def test_authority_that_is_there_is_taken_over() -> None:
    own = certificates.read(ca().pem).identity.public_key_hash
    for others in ([], [""], [own], ["", own, own]):
        assert to_be_made(contents(), others) == ""


@pytest.mark.parametrize("interrupted", [True, False])
def test_no_authority_is_made_where_others_trust_one(interrupted: bool) -> None:
    other = "sha256:" + "a" * 64
    with pytest.raises(Refusal, match=r"etcd/ca\.crt: found no file"):
        to_be_made({}, [other], interrupted)
    with pytest.raises(Refusal, match=f"wanted {other}, as other hosts have"):
        to_be_made(contents(), [other], interrupted)
    with pytest.raises(Refusal, match=r"etcd/ca\.key: found no file"):
        to_be_made(contents(key=None), [other], interrupted)


def test_no_authority_is_made_where_another_one_has_signed() -> None:
    with pytest.raises(Refusal, match=r"etcd/ca\.crt: found no file, but .*wanted the CA that has signed it"):
        to_be_made({LEAVES[0].public: "x"})


@pytest.mark.parametrize("rest", [{"key": None}, {"crt": None}, {"crt": ""}, {"key": "x"}], ids=str)
def test_half_an_authority_is_kept_for_its_owner_unless_it_was_just_being_made(rest: Any) -> None:
    with pytest.raises(Refusal):
        to_be_made(contents(**rest))
    assert to_be_made(contents(**rest), interrupted=True) == "a CA that was interrupted in the making"


def test_whole_authority_is_kept_though_its_making_was_interrupted() -> None:
    assert to_be_made(contents(), interrupted=True) == ""


def test_authority_is_told_in_check_mode_without_the_library_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "IMPORT_ERROR", "No module named cryptography")
    assert to_be_made({}) == "no CA"
    assert to_be_made(contents()) == ""
    with pytest.raises(Refusal, match=r"etcd/ca\.key: found no file"):
        to_be_made(contents(key=None))


def test_paths_are_kubeadms() -> None:
    assert (PAIR, CERTIFICATE) == (pki.ETCD_CA, "/etc/kubernetes/pki/etcd/ca.crt")


def test_life_does_not_outlast_the_authority() -> None:
    issued = issuing.issue_all(load(), {"etcd1": asked("etcd1")}, HOSTS, PROFILES, VERSION, DIES - DAY)
    assert {certificates.read(pem).identity.not_after for pem in issued["etcd1"].values()} == {DIES}
