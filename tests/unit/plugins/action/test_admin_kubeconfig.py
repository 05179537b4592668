# SPDX-License-Identifier: GPL-3.0-or-later
"""An administrator's kubeconfig is renewed when it must be, asks for no more than it needs, and loses no access."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.kubeadm.ha.plugins.action import admin_kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils import x509 as identity
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity, authority

SERVER = "https://192.0.2.10:6443"


def ca_hash(ca: Identity) -> str:
    return identity.parse(ca.pem).public_key_hash


def write(path: Path, ca: Identity, *, days: float = 300, server: str = SERVER) -> str:
    """A kubeconfig whose certificate has so many days to live."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    admin = ca.issue("kubeadm-ha-admin", not_after=end)
    config = kubeconfig.Kubeconfig(server, ca.pem, admin.pem, admin.key_pem)
    text = kubeconfig.render(cluster="kubernetes", user="kubeadm-ha-admin", config=config)
    path.write_text(text, encoding="ascii")
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def reason(path: Path, ca_hash: str | None, renew_days: int = 30) -> str | None:
    return admin_kubeconfig._reason_to_renew(str(path), SERVER, ca_hash, renew_days)


def test_reason_to_renew_a_good_one_is_none(path: Path, ca: Identity) -> None:
    write(path, ca)
    assert reason(path, ca_hash(ca)) is None


def test_reason_to_renew_a_good_one_of_a_cluster_not_known_yet_is_none(path: Path, ca: Identity) -> None:
    write(path, ca)
    assert reason(path, None) is None


def test_reason_to_renew_what_is_not_there(path: Path, ca: Identity) -> None:
    assert reason(path, ca_hash(ca)) == "there is none yet"


@pytest.mark.parametrize("text", ["", "apiVersion: v1\n", "server: https://x\n", "\x00\xff"])
def test_reason_to_renew_what_is_no_kubeconfig_with_a_certificate(path: Path, ca: Identity, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    assert "not a kubeconfig" in str(reason(path, ca_hash(ca)))


def test_reason_to_renew_one_of_another_cluster(path: Path, ca: Identity) -> None:
    write(path, authority("other"))
    assert "another cluster" in str(reason(path, ca_hash(ca)))


def test_reason_to_renew_any_while_there_is_no_cluster(path: Path, ca: Identity) -> None:
    write(path, ca)
    assert reason(path, "") == "the one there is of another cluster"


def test_reason_to_renew_one_that_names_another_server(path: Path, ca: Identity) -> None:
    write(path, ca, server="https://old.example.com:6443")
    assert "https://old.example.com:6443" in str(reason(path, ca_hash(ca)))


@pytest.mark.parametrize(("days", "renews"), [(31, False), (29.5, True), (-1.5, True)])
def test_reason_to_renew_one_whose_end_is_near(path: Path, ca: Identity, days: float, renews: bool) -> None:
    write(path, ca, days=days)
    assert (reason(path, ca_hash(ca), 30) is not None) is renews


def test_request_asks_for_the_bound_group_and_never_for_masters() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.load_pem_x509_csr(admin_kubeconfig._request(key, "alice").encode())
    values = [(part.oid, part.value) for part in request.subject]
    assert values == [(NameOID.ORGANIZATION_NAME, "kubeadm:cluster-admins"), (NameOID.COMMON_NAME, "alice")]
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()


def test_missing_cryptography_is_said_with_what_to_do() -> None:
    told = str(admin_kubeconfig._without_cryptography(ModuleNotFoundError("No module named 'cryptography'")))
    for part in ("controller: Python package cryptography", "found none by", "wanted one", "Install it"):
        assert part in told


def test_request_holds_no_private_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert "PRIVATE" not in admin_kubeconfig._request(key, "alice")


def set_aside(path: Path, ca: Identity) -> list[str]:
    """What the files beside it hold afterwards."""
    admin_kubeconfig._set_aside(str(path), ca_hash(ca))
    assert not path.exists() or len(os.listdir(path.parent)) == 1
    return [other.read_text(encoding="utf-8") for other in path.parent.iterdir() if other != path]


def test_set_aside_keeps_the_access_to_another_cluster(path: Path, ca: Identity) -> None:
    text = write(path, authority("other"))
    assert set_aside(path, ca) == [text]


def test_set_aside_keeps_what_is_not_ours(path: Path, ca: Identity) -> None:
    path.write_text("notes\n", encoding="ascii")
    assert set_aside(path, ca) == ["notes\n"]


def test_set_aside_leaves_an_older_one_of_the_same_cluster(path: Path, ca: Identity) -> None:
    write(path, ca, days=1)
    assert set_aside(path, ca) == []


def test_set_aside_of_nothing_does_nothing(path: Path, ca: Identity) -> None:
    assert set_aside(path, ca) == []
    assert os.listdir(path.parent) == []


def test_set_aside_keeps_a_file_that_leads_to_a_second_cluster_too(path: Path, ca: Identity) -> None:
    """As kubectl config view --flatten merges two: the last cluster in it is this one, the first is not."""
    other, ours = write(path, authority("other")), write(path, ca)
    merged = other.split("contexts:")[0] + ours.split("clusters:\n")[1]
    path.write_text(merged, encoding="ascii")
    assert set_aside(path, ca) == [merged]
