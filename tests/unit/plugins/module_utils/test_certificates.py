# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and certificates say what they are to say, and are read as what they say."""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import re
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import certificates
from ansible_collections.kubeadm.ha.plugins.module_utils import x509 as plain
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import PROFILES, Claims, Host, claims_of
from ansible_collections.kubeadm.ha.plugins.module_utils.versions import Version
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import BORN, DIES, Identity, authority

NOW = BORN + datetime.timedelta(days=1)
VERSION = Version(20, 2)
KINDS = {"rsa": functools.partial(rsa.generate_private_key, 65537, 2048)}
KINDS.update(
    {curve.name: functools.partial(ec.generate_private_key, curve()) for curve in (ec.SECP256R1, ec.SECP384R1)}
)

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
hosts = st.builds(
    Host,
    node_name=labels,
    address=st.ip_addresses().map(str),
    local=st.fixed_dictionaries(
        {name: st.lists(labels | st.ip_addresses().map(str), max_size=3) for name in ("serverCertSANs", "peerCertSANs")}
    ),
)
profiles = st.sampled_from([*PROFILES.values()])
versions = st.builds(Version, st.integers(20, 36), st.integers(0, 9))
claims = st.builds(claims_of, profiles, hosts, versions)


def pem(key: Any, password: bytes | None = None, layout: str = "TraditionalOpenSSL") -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = getattr(serialization.PrivateFormat, layout)
    return key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


@functools.cache
def key(kind: str = "secp256r1") -> Any:
    return KINDS[kind]()


@functools.cache
def ca(kind: str = "secp256r1") -> Identity:
    return authority("etcd-ca", key=key(kind))


def signed(wanted: Claims, kind: str = "secp256r1", now: datetime.datetime = NOW, by: Identity | None = None) -> str:
    issuer = by or ca(kind)
    return certificates.sign(key().public_key(), wanted, certificates.read(issuer.pem), issuer.key, now)


@functools.cache
def one_of(make: Any, *arguments: Any) -> str:
    """The same text each time: signatures of EC keys differ, and so do their lengths."""
    return make(*arguments)


SERVER = claims_of(PROFILES["etcd-server"], Host("etcd2", "192.0.2.22"), VERSION)
CLIENT = claims_of(PROFILES["apiserver-etcd-client"], Host("", ""), VERSION)


def test_new_key_is_of_kubeadms_kind_and_new_each_time() -> None:
    made = certificates.new_key()
    assert made.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert certificates.load_key(made).key_size == 2048
    assert certificates.new_key() != made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["TraditionalOpenSSL", "PKCS8"])
def test_keys_that_kubeadm_takes_are_taken_in_any_layout(kind: str, layout: str) -> None:
    text = pem(key(kind), layout=layout)
    assert certificates.load_key(text).public_key() == key(kind).public_key()
    assert certificates.key_hash(text) == plain.private_key_hash(text)
    assert certificates.key_hash(text) == certificates.public_key_hash(key(kind).public_key())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (lambda: pem(key(), b"secret"), "encrypted"),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), "an RSA key of 1024 bits"),
        (lambda: pem(ec.generate_private_key(ec.SECP224R1())), "an EC key on the curve secp224r1"),
        (lambda: pem(ed25519.Ed25519PrivateKey.generate(), layout="PKCS8"), "neither RSA nor EC"),
        (lambda: pem(key()).replace("EC PRIVATE", "FUTURE PRIVATE"), "what nothing here can read"),
        (lambda: pem(key()).replace("M", "N"), "what nothing here can read"),
    ],
    ids=["encrypted", "short", "curve", "ed25519", "unknown", "damaged"],
)
def test_key_of_another_kind_is_told_from_one_that_is_cut(text: Any, found: str) -> None:
    with pytest.raises(certificates.Unusable, match=found) as refused:
        certificates.load_key(text())
    assert not isinstance(refused.value, certificates.Cut)


@pytest.mark.parametrize("text", ["", "\n", "\0" * 1679])
def test_file_that_was_never_written_is_known_as_cut(text: str) -> None:
    with pytest.raises(certificates.Cut, match="nothing in it"):
        certificates.load_key(text)


@given(st.data())
def test_key_that_is_cut_is_known_as_cut_and_never_quoted(data: st.DataObject) -> None:
    whole = pem(key())
    text = whole[: data.draw(st.integers(0, len(whole) - 3))]
    with pytest.raises(certificates.Cut) as refused:
        certificates.load_key(text)
    assert not any(line in str(refused.value) for line in whole.splitlines())
    assert certificates.key_hash(text) == ""


@given(claims)
def test_request_is_taken_by_those_who_want_it(wanted: Claims) -> None:
    text = certificates.request(pem(key()), wanted)
    assert certificates.check_request(text, wanted) == key().public_key()


@given(claims, claims)
def test_request_for_anything_else_is_refused_and_named(asked: Claims, wanted: Claims) -> None:
    # A request says nothing of usages: those are the authority's affair.
    if (asked.common_name, asked.organizations, asked.names) == (
        wanted.common_name,
        wanted.organizations,
        wanted.names,
    ):
        return
    with pytest.raises(certificates.Unusable, match="a request for ") as refused:
        certificates.check_request(certificates.request(pem(key()), asked), wanted)
    assert all(name in str(refused.value) for name in asked.names)


def request_with(*extensions: Any, subject: x509.Name | None = None, names: Claims = SERVER, by: Any = None) -> str:
    common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(common if subject is None else subject)
    builder = builder.add_extension(certificates._alternative_names(names), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(by or key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def name_of(*parts: tuple[Any, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def ed25519_request() -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name_of((NameOID.COMMON_NAME, "etcd2")))
    made = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    return made.public_bytes(serialization.Encoding.PEM).decode()


CERTIFICATE_SIGNING = x509.KeyUsage(
    **dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    ),
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (lambda: request_with(x509.BasicConstraints(ca=True, path_length=None)), "that may sign others"),
        (lambda: request_with(CERTIFICATE_SIGNING), "with the extension 2.5.29.15"),
        (lambda: request_with(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])), "as 1.3.6.1.5.5.7.3.3"),
        (lambda: request_with(x509.OCSPNoCheck()), "with the extension "),
        (
            lambda: request_with(
                subject=name_of((NameOID.ORGANIZATION_NAME, "system:masters"), (NameOID.COMMON_NAME, "etcd2"))
            ),
            "O=system:masters/CN=etcd2",
        ),
        (lambda: request_with(subject=name_of((NameOID.COMMON_NAME, "etcd2"), (NameOID.COMMON_NAME, "x"))), "CN=etcd2"),
        (
            lambda: request_with(subject=name_of((NameOID.COMMON_NAME, "etcd2"), (NameOID.COUNTRY_NAME, "DE"))),
            "with the attribute 2.5.4.6",
        ),
        (lambda: request_with(subject=x509.Name([])), "CN="),
        (ed25519_request, "neither RSA"),
        (lambda: request_with(by=rsa.generate_private_key(65537, 1024)), "an RSA key of 1024 bits"),
        (lambda: "", "no whole request"),
        (lambda: ca().pem, "no whole request"),
        (lambda: None, "no whole request"),
    ],
    ids=[
        *("authority", "key-usage", "usage", "extension", "group", "names", "country", "nobody"),
        *("ed25519", "short", "nothing", "certificate", "none"),
    ],
)
def test_request_for_more_than_is_due_is_refused(text: Any, found: str) -> None:
    with pytest.raises(certificates.Unusable, match=re.escape(found)):
        certificates.check_request(text(), SERVER)


@pytest.mark.parametrize(
    "other",
    [
        x509.RFC822Name("root@example.com"),
        x509.UniformResourceIdentifier("spiffe://example.com/etcd"),
        x509.DirectoryName(name_of((NameOID.COMMON_NAME, "etcd2"))),
        x509.DNSName("192.0.2.22"),  # which is no address
    ],
)
def test_alternative_name_of_another_kind_is_refused(other: x509.GeneralName) -> None:
    own = [x509.DNSName("etcd2"), x509.DNSName("localhost")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(name_of((NameOID.COMMON_NAME, "etcd2")))
    builder = builder.add_extension(x509.SubjectAlternativeName([*own, other]), critical=False)
    text = builder.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(certificates.Unusable, match="a request for CN=etcd2 for DNS:"):
        certificates.check_request(text, SERVER)


def test_request_whose_sender_does_not_hold_the_key_is_refused() -> None:
    """As if somebody had put another's public key into a request of his own."""
    mine = certificates.request(pem(key()), SERVER)
    theirs = ec.generate_private_key(ec.SECP256R1())
    encoding, layout = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    own, other = (one.public_key().public_bytes(encoding, layout) for one in (key(), theirs))
    der = base64.b64decode("".join(mine.splitlines()[1:-1]))
    assert own in der
    forged = base64.encodebytes(der.replace(own, other)).decode()
    text = f"-----BEGIN CERTIFICATE REQUEST-----\n{forged}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(certificates.Unusable, match="not signed by its own key"):
        certificates.check_request(text, SERVER)


@given(st.data())
def test_request_whose_words_were_changed_on_its_way_is_refused(data: st.DataObject) -> None:
    """What is left over of a flipped bit is one that pads the signature: nothing that was signed is another."""
    asked = one_of(certificates.request, pem(key()), SERVER)
    der = bytearray(base64.b64decode("".join(asked.splitlines()[1:-1])))
    place, bit = data.draw(st.integers(0, len(der) - 1)), data.draw(st.integers(0, 7))
    der[place] ^= 1 << bit
    text = f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE REQUEST-----\n"
    with contextlib.suppress(certificates.Unusable):
        certificates.check_request(text, SERVER)
        signed, received = (x509.load_pem_x509_csr(one.encode()).tbs_certrequest_bytes for one in (asked, text))
        assert signed == received


@given(claims, st.sampled_from([*KINDS]))
def test_certificate_says_what_was_wanted_and_is_of_its_authority(wanted: Claims, kind: str) -> None:
    made, issuer = certificates.read(signed(wanted, kind)), certificates.read(ca(kind).pem)
    assert made.claims == wanted
    assert certificates.signed_by(made, issuer)
    assert made.parsed.verify_directly_issued_by(ca(kind).certificate) is None
    assert not certificates.is_authority(made)
    assert made.identity.public_key_hash == certificates.public_key_hash(key().public_key())


@pytest.mark.parametrize("wanted", [SERVER, CLIENT], ids=["server", "client"])
def test_certificate_is_laid_out_as_kubeadm_does(wanted: Claims) -> None:
    made = x509.load_pem_x509_certificate(signed(wanted).encode())
    critical = {extension.oid._name: extension.critical for extension in made.extensions}
    assert critical == {
        "keyUsage": True,
        "extendedKeyUsage": False,
        "basicConstraints": True,
        **({"subjectAltName": False} if wanted.names else {}),
    }
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment) == (True, True)
    assert not (usage.key_cert_sign or usage.crl_sign or usage.key_agreement or usage.data_encipherment)
    assert made.serial_number > 1


def test_serial_numbers_are_different() -> None:
    assert len({x509.load_pem_x509_certificate(signed(CLIENT).encode()).serial_number for _number in range(5)}) == 5


def test_certificate_names_the_key_of_its_authority_as_the_authority_does() -> None:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key("rsa").public_key())
    subject = name_of((NameOID.COMMON_NAME, "etcd-ca"))
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(1)
    builder = builder.public_key(key("rsa").public_key()).not_valid_before(BORN).not_valid_after(DIES)
    builder = builder.add_extension(identifier, False).add_extension(x509.BasicConstraints(True, None), True)
    text = signed(SERVER, by=Identity(builder.sign(key("rsa"), hashes.SHA256()), key("rsa")))
    found = x509.load_pem_x509_certificate(text.encode()).extensions
    assert found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == identifier.digest


@given(st.datetimes(BORN.replace(tzinfo=None), DIES.replace(tzinfo=None), timezones=st.just(datetime.timezone.utc)))
def test_life_is_a_year_from_now_begins_before_slow_clocks_and_stays_inside_the_authoritys(
    now: datetime.datetime,
) -> None:
    life = plain.parse(signed(CLIENT, now=now))
    assert BORN <= life.not_before <= now
    assert life.not_after <= DIES
    second = datetime.timedelta(seconds=1)
    if now - certificates.CLOCKS >= BORN:
        assert abs(life.not_before - (now - datetime.timedelta(minutes=5))) < second
    if now + certificates.LIFE <= DIES:
        assert abs(life.not_after - (now + datetime.timedelta(days=365))) < second


def test_certificate_of_another_authority_of_the_same_name_is_told_apart() -> None:
    made = certificates.read(signed(SERVER))
    for other in (authority("etcd-ca"), authority("etcd-ca", key=key("rsa")), authority("other-ca", key=key())):
        assert not certificates.signed_by(made, certificates.read(other.pem))


@given(st.data())
def test_certificate_that_is_cut_is_known_as_cut(data: st.DataObject) -> None:
    whole = one_of(signed, CLIENT)
    with pytest.raises(certificates.Cut):
        certificates.read(whole[: data.draw(st.integers(0, len(whole) - 3))])


def test_first_certificate_of_a_text_is_read_whatever_stands_around_it() -> None:
    text = f"etcd2\n{signed(SERVER)}{ca().pem}"
    assert certificates.read(text).claims == SERVER


def test_what_may_sign_others_says_so() -> None:
    assert certificates.is_authority(certificates.read(ca().pem))
    assert "that may sign others" in str(certificates.read(ca().pem).claims)


def test_certificate_is_shown_by_subject_end_and_fingerprint() -> None:
    made = certificates.read(signed(SERVER))
    shown = certificates.shown(made)
    assert shown.startswith("CN=etcd2 for DNS:etcd2, ")
    assert shown.endswith(f", until 2027-01-03 03:04 UTC, {made.identity.fingerprint}")
