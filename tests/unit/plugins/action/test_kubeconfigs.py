# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs are renewed when they must be, ask for no more than they need, and lose nobody's access."""

from __future__ import annotations

import datetime
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.kubeadm.ha.plugins.action import kubeconfigs
from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils import x509 as identity
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity, authority

SERVER = "https://192.0.2.10:6443"
ADMIN = kubeconfigs.Owner("kubeadm-ha-admin", "", ("kubeadm:cluster-admins",))


def ca_hash(ca: Identity) -> str:
    return identity.parse(ca.pem).public_key_hash


def write(
    path: Path,
    ca: Identity,
    *,
    days: float = 300,
    age: float = 65,
    server: str = SERVER,
    name: str = ADMIN.name,
    groups: tuple[str, ...] = ADMIN.groups,
) -> str:
    """A kubeconfig whose certificate has so many days to live, and has lived for some."""
    now = datetime.datetime.now(datetime.timezone.utc)
    life = [now + datetime.timedelta(days=moment) for moment in (min(-age, days - 1), days)]
    owner = ca.issue(name, not_before=life[0], not_after=life[1], organizations=groups)
    config = kubeconfig.Kubeconfig(server, ca.pem, owner.pem, owner.key_pem)
    text = kubeconfig.render(cluster="kubernetes", user=name, config=config)
    path.write_text(text, encoding="ascii")
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def reason(path: Path, ca_hash: str | None, renew_days: int = 30, **owner: Any) -> str | None:
    return kubeconfigs._reason_to_renew(replace(ADMIN, path=str(path), **owner), SERVER, ca_hash, renew_days)


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


@pytest.mark.parametrize(("days", "renews"), [(4, False), (2, True)])
def test_reason_to_renew_a_short_life_is_its_last_third(path: Path, ca: Identity, days: float, renews: bool) -> None:
    """With 30 days before its end it would be renewed by every run."""
    write(path, ca, days=days, age=7 - days)
    assert (reason(path, ca_hash(ca), 30, days=7) is not None) is renews


def test_reason_to_renew_one_of_another_user(path: Path, ca: Identity) -> None:
    write(path, ca, name="jane")
    assert reason(path, ca_hash(ca)) == "the one there is of user jane"


@pytest.mark.parametrize("groups", [(), ("a",), ("a", "b", "c")])
def test_reason_to_renew_one_of_other_groups(path: Path, ca: Identity, groups: tuple[str, ...]) -> None:
    write(path, ca, name="jane", groups=groups)
    assert reason(path, ca_hash(ca), name="jane", groups=tuple(reversed(groups))) is None
    assert "member of" in str(reason(path, ca_hash(ca), name="jane", groups=("a", "b")))


def test_reason_to_renew_one_that_lives_longer_than_it_may_now(path: Path, ca: Identity) -> None:
    write(path, ca, days=300)
    assert reason(path, ca_hash(ca), days=301) is None
    assert "300 more days" in str(reason(path, ca_hash(ca), days=299)) or "299 more" in str(
        reason(path, ca_hash(ca), days=299)
    )


@pytest.mark.parametrize(
    "owner", [ADMIN, kubeconfigs.Owner("jane", "", ("dev", "ops")), kubeconfigs.Owner("joe@example.com", "")]
)
def test_request_asks_for_this_name_and_these_groups_alone(owner: kubeconfigs.Owner) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = kubeconfigs._request(key, owner)
    request = x509.load_pem_x509_csr(text.encode())
    values = [(part.oid, part.value) for part in request.subject]
    groups = [(NameOID.ORGANIZATION_NAME, group) for group in owner.groups]
    assert values == [*groups, (NameOID.COMMON_NAME, owner.name)]
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    assert "PRIVATE" not in text


def test_missing_cryptography_is_said_with_what_to_do() -> None:
    told = str(kubeconfigs._without_cryptography(ModuleNotFoundError("No module named 'cryptography'")))
    for part in ("controller: Python package cryptography", "found none by", "wanted one", "Install it"):
        assert part in told


def test_owners_are_the_administrator_and_then_users_each_with_a_file() -> None:
    users = [{"name": "jane", "groups": ["dev"], "days": 7}, {"name": "joe", "path": "/home/joe/config"}]
    assert kubeconfigs._owners({"path": "/k/config", "user": "root", "users": users}) == [
        kubeconfigs.Owner("root", "/k/config", ("kubeadm:cluster-admins",)),
        kubeconfigs.Owner("jane", "/k/jane.kubeconfig", ("dev",), 7),
        kubeconfigs.Owner("joe", "/home/joe/config"),
    ]


def set_aside(path: Path, ca: Identity) -> list[str]:
    """What the files beside it hold afterwards."""
    kubeconfigs._set_aside(replace(ADMIN, path=str(path)), ca_hash(ca))
    assert not path.exists() or len(os.listdir(path.parent)) == 1
    return [other.read_text(encoding="utf-8") for other in path.parent.iterdir() if other != path]


def test_set_aside_keeps_the_access_to_another_cluster(path: Path, ca: Identity) -> None:
    text = write(path, authority("other"))
    assert set_aside(path, ca) == [text]


def test_set_aside_keeps_what_is_not_ours(path: Path, ca: Identity) -> None:
    path.write_text("notes\n", encoding="ascii")
    assert set_aside(path, ca) == ["notes\n"]


def test_set_aside_keeps_the_access_of_another_user(path: Path, ca: Identity) -> None:
    text = write(path, ca, name="jane")
    assert set_aside(path, ca) == [text]


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
