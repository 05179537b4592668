# SPDX-License-Identifier: GPL-3.0-or-later
"""Files leave one control plane sealed, and arrive at another one whole, once, and only where they belong."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import pki, receiver, sealing
from ansible_collections.kubeadm.ha.plugins.modules import pki_export, pki_import
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity, authority

from ..module_utils.test_pki import contents_of


class Folder:
    """The folder of a host, which is the exporter's first and then the receiver's: paths are the same on both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identities = {name: authority(name) for name in ("ca", "front-proxy-ca", "etcd/ca", "sa")}
        self.moved = {old: str(path / old.lstrip("/")) for old in pki.paths(pki.ALL)}

    def pair(self, pair: pki.Pair) -> pki.Pair:
        return pki.Pair(self.moved[pair.public], self.moved[str(pair.private)], pair.authority)

    def fill(self, **changes: Identity) -> None:
        """As a control plane's, leaf certificates included."""
        made = {**self.identities, **{name.replace("_", "-"): identity for name, identity in changes.items()}}
        leaf = made["ca"].issue("kube-apiserver")
        texts = {**contents_of(made), pki.LEAVES[0].public: leaf.pem, str(pki.LEAVES[0].private): leaf.key_pem}
        for path, text in texts.items():
            target = Path(self.moved[path])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="ascii")
            target.chmod(0o600 if path.endswith(".key") else 0o644)

    def empty(self) -> None:
        for path in self.moved.values():
            Path(path).unlink(missing_ok=True)

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        """Content and mode by kubeadm's own path."""
        found = {old: Path(path) for old, path in self.moved.items() if os.path.exists(path)}
        return {old: (path.read_text(encoding="ascii"), path.stat().st_mode & 0o777) for old, path in found.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    folder = Folder(tmp_path)
    monkeypatch.setattr(pki, "COMMON", tuple(map(folder.pair, pki.COMMON)))
    monkeypatch.setattr(pki, "ETCD_CA", folder.pair(pki.ETCD_CA))
    monkeypatch.setattr(pki, "CLUSTER_CA", folder.pair(pki.CLUSTER_CA))
    monkeypatch.setattr(pki_import, "RECEIVER_KEY", str(tmp_path / "receiver.key"))
    return folder


def module(check_mode: bool = False, **params: Any) -> Any:
    return SimpleNamespace(check_mode=check_mode, params={"etcd_client": [], **params})


def export(check_mode: bool = False, **receivers: str) -> dict[str, Any]:
    return pki_export.export(module(check_mode, receivers=receivers))


def receive(sealed: dict[str, Any], host: str = "cp2", check_mode: bool = False, **changes: Any) -> dict[str, Any]:
    params = {
        "host": host,
        "envelope": sealed["envelopes"].get(host),
        "ca_hash": sealed["ca_hash"],
        "fingerprints": sealed["fingerprints"],
        **changes,
    }
    return pki_import.receive(module(check_mode, **params))


def handed_over(folder: Folder) -> dict[str, Any]:
    """What an exporter seals for cp2, whose folder is empty afterwards."""
    folder.fill()
    sealed = export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    folder.empty()
    return sealed


def test_files_arrive_as_they_were_and_no_leaf_among_them(folder: Folder) -> None:
    folder.fill()
    before = {path: found for path, found in folder.files.items() if path in pki.SHARED}
    sealed = export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    folder.empty()
    result = receive(sealed)
    assert result["changed"]
    assert folder.files == before
    assert len(before) == 8


def test_second_time_nothing_is_written(folder: Folder) -> None:
    sealed = handed_over(folder)
    receive(sealed)
    again = export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    with mock.patch.object(pki_import, "write_atomic", side_effect=AssertionError("written")):
        assert receive(again) == {"changed": False, "files": []}


def test_export_shows_no_key_to_those_who_carry_it(folder: Folder) -> None:
    text = str(handed_over(folder))
    for identity in folder.identities.values():
        assert not any(line in text for line in identity.key_pem.splitlines())


def test_diff_shows_fingerprints_alone(folder: Folder) -> None:
    shown = str(receive(handed_over(folder))["diff"])
    assert "ca.key 0600 sha256:" in shown
    assert "PRIVATE" not in shown
    for identity in folder.identities.values():
        assert not any(line in shown for line in identity.key_pem.splitlines())


def test_receivers_key_is_roots_alone_and_gone_after_use(folder: Folder) -> None:
    folder.fill()
    sealed = export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    assert os.stat(pki_import.RECEIVER_KEY).st_mode & 0o777 == 0o600
    folder.empty()
    receive(sealed)
    assert not os.path.exists(pki_import.RECEIVER_KEY)
    with pytest.raises(ValueError, match="wanted the key that this envelope was sealed for"):
        receive(sealed)


def test_receivers_key_of_an_earlier_attempt_is_replaced_and_opens_nothing(folder: Folder) -> None:
    old = handed_over(folder)
    folder.fill()
    new = export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    folder.empty()
    with pytest.raises(sealing.SealBroken):
        receive(old)
    assert folder.files == {}
    folder.fill()
    new = export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    folder.empty()
    assert receive(new)["changed"]


def test_envelope_of_another_host_is_refused_and_nothing_is_written(folder: Folder) -> None:
    sealed = handed_over(folder)
    with pytest.raises(sealing.SealBroken):
        receive({**sealed, "envelopes": {"cp3": sealed["envelopes"]["cp2"]}}, host="cp3")
    assert folder.files == {}


def test_envelope_of_another_authority_than_the_one_expected_is_refused(folder: Folder) -> None:
    sealed = handed_over(folder)
    with pytest.raises(sealing.SealBroken):
        receive(sealed, ca_hash="sha256:" + "0" * 64)
    assert folder.files == {}


def test_files_of_another_cluster_here_are_refused_by_name_and_left_alone(folder: Folder) -> None:
    sealed = handed_over(folder)
    folder.fill(ca=authority("ca"))
    before = folder.files
    with pytest.raises(ValueError, match=r"pki/ca\.crt: found one of public key sha256.*another cluster"):
        receive(sealed)
    assert folder.files == before


@pytest.mark.parametrize("path", sorted(pki.SHARED))
def test_any_file_that_an_interrupted_import_left_out_or_cut_is_written(folder: Folder, path: str) -> None:
    sealed = handed_over(folder)
    folder.fill()
    Path(folder.moved[path]).write_text("", encoding="ascii")
    assert receive(sealed)["files"] == [folder.moved[path]]
    assert folder.files[path][0]


def test_key_that_others_may_read_is_roots_again(folder: Folder) -> None:
    sealed = handed_over(folder)
    folder.fill()
    path = f"{pki.FOLDER}/ca.key"
    Path(folder.moved[path]).chmod(0o644)
    assert receive(sealed)["changed"]
    assert folder.files[path][1] == 0o600


@pytest.mark.parametrize("path", sorted(pki.SHARED))
def test_export_without_one_of_the_files_is_refused_by_its_name(folder: Folder, path: str) -> None:
    folder.fill()
    Path(folder.moved[path]).unlink()
    with pytest.raises(ValueError, match="found no file, wanted the file, to hand it to control planes") as refused:
        export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    assert folder.moved[path] in str(refused.value)


def test_export_of_a_key_that_does_not_belong_to_its_certificate_is_refused(folder: Folder) -> None:
    folder.fill()
    Path(folder.moved[f"{pki.FOLDER}/ca.key"]).write_text(authority("x").key_pem, encoding="ascii")
    with pytest.raises(ValueError, match="does not belong to"):
        export(cp2=receiver.request(pki_import.RECEIVER_KEY))


def test_export_passes_over_hosts_that_did_not_ask(folder: Folder) -> None:
    folder.fill()
    assert set(export(cp2=receiver.request(pki_import.RECEIVER_KEY), cp3="")["envelopes"]) == {"cp2"}


def test_check_mode_before_there_is_a_cluster_names_all_files_and_makes_no_key(folder: Folder) -> None:
    sealed = export(check_mode=True, cp2="")
    assert sealed == {"envelopes": {}, "ca_hash": None, "fingerprints": {}}
    result = receive(sealed, check_mode=True)
    assert result["changed"]
    assert set(result["files"]) == {folder.moved[path] for path in pki.SHARED}
    assert folder.files == {}
    assert not os.path.exists(pki_import.RECEIVER_KEY)


def test_check_mode_on_a_cluster_tells_what_a_run_then_does(folder: Folder) -> None:
    folder.fill()
    told = export(check_mode=True, cp2="")
    assert told["envelopes"] == {}
    sealed = export(cp2=receiver.request(pki_import.RECEIVER_KEY))
    folder.empty()
    expected = receive(told, check_mode=True)
    assert folder.files == {}
    done = receive(sealed)
    assert (done["changed"], done["files"], done["diff"]) == (True, expected["files"], expected["diff"])
    assert receive(told, check_mode=True) == {"changed": False, "files": []}
