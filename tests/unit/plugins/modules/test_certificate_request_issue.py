# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests leave a host, certificates come back for the same keys, and no key is in anything that leaves it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import certificates
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import PROFILES
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules import certificate_issue, certificate_request
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates as made

NAMES = ["etcd/server", "etcd/peer", "etcd/healthcheck-client", "apiserver-etcd-client"]
KEYS, CERTIFICATES = [f"{name}.key" for name in NAMES], [f"{name}.crt" for name in NAMES]
HOST = {"node_name": "etcd2", "address": "192.0.2.22", "local": {}}
CLIENT = ["apiserver-etcd-client"]


class Machine:
    """One host: its folder of certificates, and the modules that run there."""

    def __init__(self, folder: Path, **host: Any) -> None:
        self.folder = folder
        self.host = {**HOST, **host}

    def _module(self, check_mode: bool, **params: Any) -> Any:
        shared = {"version": "1.20.2", "directory": str(self.folder), "profiles": [*PROFILES]}
        return SimpleNamespace(check_mode=check_mode, params={**shared, **params})

    def request(self, check_mode: bool = False, **params: Any) -> dict[str, Any]:
        nothing = {"ca": None, "certificates": {}}
        return certificate_request.request(self._module(check_mode, **{**self.host, **nothing, **params}))

    def install(self, issued: dict[str, Any], check_mode: bool = False, **params: Any) -> dict[str, Any]:
        come = {"ca": issued["ca"], "certificates": issued["certificates"].get("etcd2", {})}
        return certificate_request.install(self._module(check_mode, **{**self.host, **come, **params}))

    def issue(self, requests: Any, check_mode: bool = False, **params: Any) -> dict[str, Any]:
        asked = {"requests": {"etcd2": requests}, "hosts": {"etcd2": HOST}, "local": {}}
        return certificate_issue.issue(self._module(check_mode, **{**asked, **params}))

    def own(self, authority: made.Identity) -> None:
        (self.folder / "etcd").mkdir(parents=True, exist_ok=True)
        authority.write(self.folder / "etcd", "ca")

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(self.folder)): (path.read_text(encoding="ascii"), path.stat().st_mode & 0o777)
            for path in found
        }


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making RSA keys takes long, and is tried elsewhere."""
    monkeypatch.setattr(certificates, "new_key", lambda: made.authority("x").key_pem)


@pytest.fixture
def authority(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "etcd1")
    machine.own(made.authority("etcd-ca"))
    return machine


@pytest.fixture
def etcd2(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "etcd2")


def served(etcd2: Machine, authority: Machine) -> dict[str, Any]:
    issued = authority.issue(etcd2.request()["requests"])
    etcd2.install(issued)
    return issued


def keys_in(text: str, *machines: Machine) -> set[str]:
    """Lines of private keys of these machines that a text shows."""
    private = [text for machine in machines for name, (text, _mode) in machine.files.items() if name.endswith(".key")]
    assert private
    return {line for key in private for line in key.splitlines()[1:-1] if line in text}


def test_host_has_kubeadms_files_afterwards_and_the_key_of_no_authority(etcd2: Machine, authority: Machine) -> None:
    served(etcd2, authority)
    assert {name: mode for name, (_text, mode) in etcd2.files.items()} == {
        **dict.fromkeys(KEYS, 0o600),
        **dict.fromkeys([*CERTIFICATES, "etcd/ca.crt"], 0o644),
    }
    assert etcd2.files["etcd/ca.crt"] == authority.files["etcd/ca.crt"]


def test_second_time_nothing_is_asked_for_and_nothing_written(
    etcd2: Machine, authority: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(etcd2, authority)
    monkeypatch.setattr(certificate_request, "write_atomic", None)
    again = etcd2.request()
    assert (again["changed"], again["requests"], again["reasons"], again["files"]) == (False, {}, {}, [])
    assert "diff" not in again
    issued = authority.issue(again["requests"])
    assert issued["certificates"] == {"etcd2": {}}
    assert etcd2.install(issued)["changed"] is False


def test_authority_keeps_its_files_as_they_are(etcd2: Machine, authority: Machine) -> None:
    before = authority.files
    served(etcd2, authority)
    assert authority.files == before


def test_nothing_that_leaves_a_host_shows_a_key(etcd2: Machine, authority: Machine) -> None:
    request = etcd2.request()
    issued = authority.issue(request["requests"])
    text = f"{request} {issued} {etcd2.install(issued)}"
    assert keys_in(text, etcd2, authority) == set()
    assert "PRIVATE" not in text


def test_interrupted_host_asks_again_for_the_same_keys(etcd2: Machine, authority: Machine) -> None:
    first = etcd2.request()
    again = etcd2.request()
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["public_keys"] == again["public_keys"]
    assert set(again["public_keys"]) == set(PROFILES)
    assert etcd2.install(authority.issue(first["requests"]))["changed"]
    assert etcd2.request()["requests"] == {}


@pytest.mark.parametrize("name", [*KEYS, *CERTIFICATES])
def test_any_file_that_is_lost_or_cut_is_replaced_and_no_other(etcd2: Machine, authority: Machine, name: str) -> None:
    served(etcd2, authority)
    before = etcd2.files
    for damage in (Path.unlink, lambda path: path.write_text("")):
        damage(etcd2.path(name))
        request = etcd2.request()
        assert [*request["requests"]] == [[*PROFILES][NAMES.index(name.rpartition(".")[0])]]
        etcd2.install(authority.issue(request["requests"]))
        stem = name.rpartition(".")[0]
        changed = {other for other in before if etcd2.files[other] != before[other]}
        assert changed == ({f"{stem}.crt", f"{stem}.key"} if name.endswith(".key") else {f"{stem}.crt"})
        before = etcd2.files


def test_check_mode_says_what_a_run_then_does(etcd2: Machine, authority: Machine) -> None:
    told = etcd2.request(check_mode=True)
    assert told["requests"] == {}
    assert etcd2.files == {}
    done = etcd2.request()
    for key in ("changed", "reasons", "files", "diff"):
        assert told[key] == done[key]
    told = etcd2.install(authority.issue({}, check_mode=True), check_mode=True)
    assert set(etcd2.files) == {*KEYS}
    done = etcd2.install(authority.issue(done["requests"]))
    for key in ("changed", "reasons", "files"):
        assert told[key] == done[key]
    known = [line.split(", until ")[0] for line in done["diff"]["after"].splitlines()]
    assert told["diff"]["after"].splitlines() == known


def test_check_mode_knows_before_there_is_an_authority(etcd2: Machine, tmp_path: Path) -> None:
    issued = Machine(tmp_path / "bare").issue({}, check_mode=True)
    assert issued == {"certificates": {}, "ca": "", "ca_hash": ""}
    told = etcd2.install({**issued, "ca": None}, check_mode=True)
    assert told["files"] == [str(etcd2.path(name)) for name in ("etcd/ca.crt", *CERTIFICATES)]
    assert etcd2.files == {}


def test_check_mode_signs_nothing(etcd2: Machine, authority: Machine) -> None:
    issued = authority.issue(etcd2.request()["requests"], check_mode=True)
    assert issued["certificates"] == {}
    assert issued["ca"] == authority.files["etcd/ca.crt"][0]


def test_diff_shows_what_was_and_what_comes_by_subject_and_fingerprint(etcd2: Machine, authority: Machine) -> None:
    served(etcd2, authority)
    local = dict.fromkeys(("serverCertSANs", "peerCertSANs"), ["etcd.example.com"])
    etcd2.host["local"] = local
    request = etcd2.request()
    assert set(request["reasons"].values()) == {"a certificate without DNS:etcd.example.com"}
    with pytest.raises(Refusal, match="found a request for CN=etcd2 for DNS:etcd.example.com"):
        authority.issue(request["requests"])
    issued = authority.issue(request["requests"], local={"etcd2": local})
    diff = etcd2.install(issued)["diff"]
    lines = diff["before"].splitlines(), diff["after"].splitlines()
    assert [len(found) for found in lines] == [2, 2]
    for before, after in zip(*lines, strict=True):
        assert re.search(r"\.crt CN=etcd2 for DNS:etcd2, .*, sha256:[0-9a-f]{64}$", before)
        assert re.search(r"\.crt 0644 CN=etcd2 for DNS:etcd.example.com, .*, sha256:[0-9a-f]{64}$", after)


def test_control_plane_asks_for_a_clients_certificate_alone(etcd2: Machine, authority: Machine) -> None:
    nobody = {"node_name": None, "address": None, "profiles": CLIENT}
    issued = authority.issue(etcd2.request(**nobody)["requests"], profiles=CLIENT, hosts={"etcd2": {}})
    etcd2.install(issued, **nobody)
    assert set(etcd2.files) == {"apiserver-etcd-client.key", "apiserver-etcd-client.crt", "etcd/ca.crt"}


def test_another_ca_that_is_there_is_refused_and_nothing_written(
    etcd2: Machine, authority: Machine, tmp_path: Path
) -> None:
    served(etcd2, authority)
    other = Machine(tmp_path / "other")
    other.own(made.authority("etcd-ca"))
    before = etcd2.files
    with pytest.raises(Refusal, match=r"etcd/ca\.crt: found a CA of public key"):
        etcd2.install(other.issue(etcd2.request()["requests"]))
    assert etcd2.files == before


def test_certificates_of_another_host_are_refused_and_nothing_written(
    etcd2: Machine, authority: Machine, tmp_path: Path
) -> None:
    other = authority.issue(Machine(tmp_path / "etcd3").request()["requests"])
    etcd2.request()
    before = etcd2.files
    with pytest.raises(Refusal) as refused:
        etcd2.install(other)
    assert str(refused.value).count("found a certificate that belongs to another key, wanted a certificate of ") == 4
    assert etcd2.files == before


def test_certificates_that_did_not_come_are_named(etcd2: Machine, authority: Machine) -> None:
    etcd2.request()
    with pytest.raises(Refusal, match=r"etcd/peer\.crt: found none, wanted a certificate of CN=etcd2.* Ask again"):
        etcd2.install(authority.issue({}))


def test_without_the_ca_nothing_is_installed(etcd2: Machine) -> None:
    with pytest.raises(ValueError, match="ca: found none, wanted the certificate of etcd's CA"):
        etcd2.install({"ca": None, "certificates": {}})


def test_key_that_others_may_read_is_roots_again(etcd2: Machine, authority: Machine) -> None:
    served(etcd2, authority)
    before = etcd2.files
    os.chmod(etcd2.path(KEYS[0]), 0o640)
    result = etcd2.request()
    assert (result["changed"], result["files"]) == (True, [str(etcd2.path(KEYS[0]))])
    assert etcd2.files == before


def test_pair_that_somebody_else_made_is_left_alone(etcd2: Machine, authority: Machine) -> None:
    served(etcd2, authority)
    ca = made.Identity(
        certificates.read(authority.files["etcd/ca.crt"][0]).parsed,
        certificates.load_key(authority.files["etcd/ca.key"][0]),
    )
    public = made.ec_key()
    claims = certificates.read(etcd2.files[CERTIFICATES[0]][0]).claims
    text = certificates.sign(public.public_key(), claims, certificates.read(ca.pem), ca.key, made.BORN.now(made.UTC))
    made.Identity(certificates.read(text).parsed, public).write(etcd2.folder / "etcd", "server")
    os.chmod(etcd2.path(KEYS[0]), 0o600)
    assert etcd2.request()["reasons"] == {}


def test_everything_wrong_with_a_host_is_told_at_once(etcd2: Machine) -> None:
    with pytest.raises(Refusal) as refused:
        etcd2.request(node_name="ETCD2", address="")
    assert len(refused.value.problems) == 2
    etcd2.path("etcd").mkdir(parents=True)
    for name in (KEYS[0], KEYS[1]):
        etcd2.path(name).mkdir()
    with pytest.raises(Refusal) as refused:
        etcd2.request()
    assert [problem.subject for problem in refused.value.problems] == sorted(str(etcd2.path(name)) for name in KEYS[:2])
