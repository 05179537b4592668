# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary sings: a secret that shows is found, in whatever form and wherever, and what is public is not."""

from __future__ import annotations

import base64
import datetime
import json
import os
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from canary import Canary, search
from canary.shapes import Known
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import envelope

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# Of this session alone: this machine's temporary folders are searched, too.
TOKEN = f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"
CERTIFICATE_KEY = secrets.token_hex(32)
KEYS: dict[str, Key] = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "EC": ec.generate_private_key(ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}
each_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
SUBJECT = serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8, TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL


def stored(key: Key, encoding: serialization.Encoding = PEM) -> bytes:
    form = PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else TRADITIONAL
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def wrapped(text: bytes, width: int) -> bytes:
    return "\n".join(textwrap.wrap(text.decode(), width)).encode()


LEAKS: dict[str, Callable[[Key], bytes]] = {
    "as it is": stored,
    "as PKCS 8": lambda key: key.private_bytes(PEM, PKCS8, serialization.NoEncryption()),
    "in JSON": lambda key: json.dumps({"key": stored(key).decode()}).encode(),
    "in JSON in JSON": lambda key: json.dumps(json.dumps({"key": stored(key).decode()})).encode(),
    "indented": lambda key: textwrap.indent(stored(key).decode(), "      ").encode(),
    "as bytes": lambda key: stored(key, DER),
    "as bytes in base64": lambda key: base64.b64encode(stored(key, DER)),
    "as bytes in base64 for URLs": lambda key: base64.urlsafe_b64encode(stored(key, DER)),
    "as bytes in base64, wrapped at 76": lambda key: base64.encodebytes(stored(key, DER)),
    "as bytes in base64, one byte later": lambda key: base64.b64encode(b"x" + stored(key, DER)),
    "as bytes in base64, two bytes later": lambda key: base64.b64encode(b"xy" + stored(key, DER)),
    "in a kubeconfig": lambda key: b"client-key-data: " + base64.b64encode(stored(key)),
    "in a Secret": lambda key: base64.b64encode(b"tls.key: " + stored(key)),
    "in hexadecimal digits": lambda key: stored(key, DER).hex().encode(),
    "in hexadecimal digits, wrapped": lambda key: wrapped(stored(key, DER).hex().upper().encode(), 60),
    "cut short": lambda key: stored(key)[: len(stored(key)) * 3 // 4],
}


def found(folder: Path, text: bytes, known: Known) -> dict[str, str]:
    (folder / "log").write_bytes(b"before " + text + b" after")
    return search.files(known, [folder])


@each_key
@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_private_key_is_found_in_every_form(tmp_path: Path, key: Key, leak: Callable[[Key], bytes]) -> None:
    known = Known()
    assert known.private_keys_in("cp1: ca.key", stored(key)) == [stored(key).strip()]
    assert list(found(tmp_path, leak(key), known)) == [f"{tmp_path}/log: cp1: ca.key"]


@each_key
def test_public_parts_of_a_key_are_no_leak(tmp_path: Path, key: Key) -> None:
    known = Known()
    known.private_key("key", stored(key))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jane")])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm)
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now)
    for public in (request, builder.sign(key, algorithm)):
        for text in (public.public_bytes(PEM), public.public_bytes(DER), base64.b64encode(public.public_bytes(PEM))):
            assert found(tmp_path, text, known) == {}


@given(before=st.binary(max_size=70), after=st.binary(max_size=70), secret=st.binary(min_size=16, max_size=64))
@settings(max_examples=60, deadline=None)
def test_secret_is_found_in_base64_wherever_it_begins(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, after: bytes, secret: bytes
) -> None:
    known = Known()
    known.secret("data key", secret)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert found(tmp_path_factory.getbasetemp(), encode(before + secret + after), known)


@pytest.mark.parametrize("text", [TOKEN, CERTIFICATE_KEY, "s3cr3t-7"], ids=["token", "key", "password"])
def test_short_secret_is_found_as_text(tmp_path: Path, text: str) -> None:
    known = Known()
    known.secret("token", text.encode())
    assert found(tmp_path, text.encode(), known)
    assert not found(tmp_path, text[:6].encode(), known)


def protobuf(**entries: bytes) -> bytes:
    """Entries of a map as the API server stores them."""

    def sized(tag: bytes, value: bytes) -> bytes:
        size, length = b"", len(value)
        while length > 0x7F:
            size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
        return tag + size + bytes([length]) + value

    return b"".join(sized(b"\n", key.encode()) + sized(b"\x12", value) for key, value in entries.items())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a lab of one host, which is off."""
    state = tmp_path / "clone/.lab"
    for folder in ("upper/etc/kubernetes/pki", "upper/root", "upper/tmp", "etcd/member/wal", "kubelet/pki"):
        (state / "hosts/cp1" / folder).mkdir(parents=True)
    (state / "logs").mkdir()
    return state


@pytest.fixture
def canary(state: Path) -> Canary:
    return Canary(state)


@pytest.fixture
def disk(state: Path) -> Path:
    """That host's disk, with a key where it belongs."""
    disk = state / "hosts/cp1"
    (disk / "upper/etc/kubernetes/pki/ca.key").write_bytes(stored(KEYS["RSA"]))
    (disk / "upper/etc/kubernetes/pki/ca.key").chmod(0o600)
    return disk


def test_key_where_it_belongs_is_no_leak(canary: Canary, disk: Path) -> None:
    (disk / "kubelet/pki/kubelet-client-current.pem").write_bytes(stored(KEYS["EC"]))
    assert canary.search() == []
    assert canary.harvest.keys == 2


@pytest.mark.parametrize(
    "place",
    [
        *("hosts/cp1/upper/tmp/file", "hosts/cp1/upper/etc/other/file", "hosts/cp1/upper/var/log/file"),
        *("hosts/cp1/upper/root/.ansible/tmp/file", "hosts/cp1/kubelet/file", "logs/e2e-playbook.log", "../file"),
    ],
)
def test_key_elsewhere_on_a_disk_or_in_a_clone_is_found(canary: Canary, disk: Path, state: Path, place: str) -> None:
    path = (state / place).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"leaked: " + stored(KEYS["RSA"]))
    (line,) = canary.search()
    assert line.startswith(f"{path}: cp1: upper/etc/kubernetes/pki/ca.key (at byte ")


@pytest.mark.parametrize("place", ["facts/cp1", "local/file", "tmp/file", "ansible.log"])
def test_key_that_ansible_leaves_is_found(canary: Canary, disk: Path, place: str) -> None:
    Path(canary.environment()["KUBEADM_HA_CANARY"], place).write_text(json.dumps(stored(KEYS["RSA"]).decode()))
    assert len(canary.search()) == 1


def test_what_a_run_shows_is_kept_for_secrets_that_become_known_later(canary: Canary, disk: Path) -> None:
    canary.keep("site.yml", (), 0, "fine", f"token: {TOKEN}")
    assert canary.search() == []
    text = b"k8s\0" + protobuf(**{"token-id": TOKEN[:6].encode(), "token-secret": TOKEN[7:].encode()})
    (disk / "etcd/member/wal/0-0.wal").write_bytes(b"before" + text + bytes(5000))
    assert len(canary.search()) == 1
    assert canary.harvest.tokens == {TOKEN[7:].encode()}


def test_log_of_etcd_is_read_on_where_it_grew(canary: Canary, disk: Path) -> None:
    log = disk / "etcd/member/wal/0-0.wal"
    text = b""
    for number in range(5):
        text += bytes(range(1, 256)) * 900 + protobuf(**{"token-secret": b"%016d" % number})
        log.write_bytes(text + bytes(1 << 20))
        canary.harvest.look()
        assert len(canary.harvest.tokens) == number + 1


def test_upload_that_no_known_certificate_key_opens_shows_that_one_was_missed(canary: Canary, disk: Path) -> None:
    sealed = bytes(12) + AESGCM(bytes.fromhex(CERTIFICATE_KEY)).encrypt(bytes(12), stored(KEYS["RSA"]), None)
    (disk / "etcd/member/wal/0-0.wal").write_bytes(b"x" + protobuf(**{"ca.crt": b"no", "ca.key": sealed}) + bytes(99))
    canary.harvest.look()
    assert canary.harvest.unopened == 1
    canary.harvest.told("kubeadm", f'{{"certificateKey": "{CERTIFICATE_KEY}"}}'.encode())
    assert canary.harvest.unopened == 0
    canary.keep("site.yml", (), 0, CERTIFICATE_KEY)
    assert len(canary.search()) == 1


def run(canary: Canary, *argv: str, until: Callable[[], bool], **environment: str) -> None:
    """Run a program under the canary until something has been seen."""
    with canary.watching():
        environment = {**os.environ, **canary.environment(), **environment}
        process = subprocess.Popen([sys.executable, *argv], env=environment)
        try:
            deadline = time.monotonic() + 20
            while not until() and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()


SLEEP = "import time; time.sleep(60)"


def seen(canary: Canary, name: str, text: str) -> Callable[[], bool]:
    path = Path(canary.environment()["KUBEADM_HA_CANARY"], name)
    return lambda: path.exists() and text in path.read_text(errors="replace")


@pytest.mark.parametrize(
    ("argv", "environment"),
    [((SLEEP, f"--token={TOKEN}"), {}), ((SLEEP, "none"), {"TOKEN": TOKEN})],
    ids=["argument", "environment"],
)
def test_secret_in_a_process_list_is_found(canary: Canary, argv: tuple[str, ...], environment: dict[str, str]) -> None:
    run(canary, "-c", *argv, until=seen(canary, "processes", TOKEN), **environment)
    canary.known.secret("token", TOKEN[7:].encode())
    assert len(canary.search()) == 1


def test_secret_in_a_file_that_is_gone_again_is_found(canary: Canary) -> None:
    path = Path(canary.environment()["ANSIBLE_LOCAL_TEMP"], "ansible-local-1", "module.py")
    write = (
        "import os, sys, time; os.mkdir(os.path.dirname(sys.argv[1])); open(sys.argv[1], 'w').write(sys.argv[2][::-1])"
    )
    argv = ("-c", f"{write}; {SLEEP}", str(path), TOKEN[::-1])
    run(canary, *argv, until=seen(canary, "temporary files", TOKEN))
    path.unlink()
    canary.known.secret("token", TOKEN[7:].encode())
    assert len(canary.search()) == 1


def test_what_kubeadm_is_told_in_memory_becomes_known(canary: Canary) -> None:
    config = f"discovery:\n  bootstrapToken:\n    token: {TOKEN}\ncontrolPlane:\n  certificateKey: {CERTIFICATE_KEY}\n"
    descriptor = os.memfd_create("kubeadm-ha", 0)
    os.write(descriptor, config.encode())
    with canary.watching():
        argv = [sys.executable, "-c", SLEEP, "join", f"--config=/proc/self/fd/{descriptor}"]
        environment = {**os.environ, **canary.environment()}
        process = subprocess.Popen(argv, pass_fds=[descriptor], env=environment)
        try:
            deadline = time.monotonic() + 20
            while not canary.harvest.certificate_keys and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
            os.close(descriptor)
    assert (canary.harvest.certificate_keys, canary.harvest.tokens) == (1, {TOKEN[7:].encode()})


def test_data_key_of_a_snapshot_becomes_known_by_its_owners_private_key(canary: Canary, tmp_path: Path) -> None:
    key, header = secrets.token_bytes(32), {"format": envelope.FORMAT, "id": envelope.new_id()}
    to = envelope.recipient(KEYS["RSA"].public_key().public_bytes(PEM, SUBJECT).decode())
    paths = [tmp_path / "a.snapshot", tmp_path / "owner.pem"]
    with paths[0].open("wb") as stream:
        writer = envelope.Writer(stream, key)
        writer.finish()
        writer.write_header({**header, "sealed": envelope.seal_key(key, to, header["id"])})
    paths[1].write_bytes(stored(KEYS["RSA"]))
    canary.harvest.users(paths)
    assert canary.harvest.data_keys == {key}
    canary.keep("snapshot.yml", (), 0, base64.b64encode(key).decode())
    assert any("data key of" in line for line in canary.search())


def test_files_of_a_cluster_that_others_may_read_or_change_are_named(canary: Canary, disk: Path) -> None:
    assert canary.modes() == []
    (disk / "upper/etc/kubernetes/pki/ca.key").chmod(0o640)
    (disk / "upper/etc/kubernetes/admin.conf").write_text("client-key-data: AAAA\n")
    (disk / "upper/etc/kubernetes/manifests").mkdir()
    (disk / "upper/etc/kubernetes/manifests").chmod(0o777)
    wrong = "\n".join(canary.modes())
    for name in ("pki/ca.key: found mode 0640", "admin.conf: found mode 0644", "manifests: found mode 0777"):
        assert f"cp1: upper/etc/kubernetes/{name}" in wrong
    assert wrong.count("\n") == 2
