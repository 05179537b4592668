# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that holds etcd's CA: made by the real kubeadm, taken over as it is, and never made anew unasked."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.kubeadm.ha.plugins.module_utils import files
from ansible_collections.kubeadm.ha.plugins.module_utils.certificate_profiles import PROFILES
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import KubeadmFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules import etcd_authority
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

# The CA that kubeadm 1.20 makes has the serial number 0.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
NAMES = {"etcd-ca": "etcd/ca", **{name: profile.base for name, profile in PROFILES.items()}}
# Names that come later.
LATER = dict.fromkeys(("serverCertSANs", "peerCertSANs"), ["etcd.example.com", "192.0.2.99"])
FILES = {f"{name}.{kind}" for name in NAMES.values() for kind in ("crt", "key")}


class Authority:
    """This machine as etcd's authority, with its files in a folder."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program, self.folder = program, folder
        self.ran: list[str] = []
        self.dies_after = len(NAMES)

    def run_command(self, argv: list[str], pass_fds: tuple[int, ...] = (), **_more: Any) -> tuple[int, str, str]:
        if argv[1] == "init":
            if len(self.ran) == self.dies_after:
                return 137, "", "killed"
            self.ran.append(argv[4])
        done = subprocess.run(argv, pass_fds=pass_fds, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def provide(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        params = {
            "version": "1.20.2",
            "directory": str(self.folder),
            "node_name": "etcd1",
            "address": "192.0.2.21",
            "local": {},
            "profiles": [*PROFILES],
            "ca_hashes": [],
            **options,
        }
        self.ran = []
        module = SimpleNamespace(
            params=params,
            check_mode=check_mode,
            run_command=self.run_command,
            get_bin_path=lambda _name, opt_dirs: str(self.program),
        )
        return etcd_authority.provide(module, None)

    def own(self, ca: certificates.Identity) -> None:
        (self.folder / "etcd").mkdir(parents=True)
        ca.write(self.folder / "etcd", "ca")

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }

    def changed(self, before: dict[str, bytes]) -> set[str]:
        return {name for name in {*before, *self.files} if before.get(name) != self.files.get(name)}


@pytest.fixture
def host(program: Path, tmp_path: Path) -> Authority:
    return Authority(program, tmp_path / "pki")


@pytest.fixture
def whole(host: Authority, made: Path) -> Authority:
    shutil.copytree(made, host.folder)
    return host


@pytest.fixture(scope="module")
def made(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, made once."""
    host = Authority(program, tmp_path_factory.mktemp("authority") / "pki")
    result = host.provide()
    assert (result["changed"], set(result["reasons"])) == (True, {*NAMES})
    assert host.ran == [*NAMES]
    return host.folder


def test_authority_has_all_files_and_nothing_else(whole: Authority) -> None:
    assert set(whole.files) == FILES


def test_second_time_changes_nothing(whole: Authority) -> None:
    before = whole.files
    result = whole.provide(ca_hashes=["", whole.provide()["ca_hash"]])
    assert (result["changed"], result["reasons"], whole.ran, whole.files) == (False, {}, [], before)


def test_check_mode_says_what_a_run_then_does_and_writes_nothing(host: Authority) -> None:
    told = host.provide(check_mode=True)
    assert not host.folder.exists()
    done = host.provide()
    assert [told[key] for key in ("changed", "reasons", "diff")] == [
        done[key] for key in ("changed", "reasons", "diff")
    ]
    assert (told["ca_hash"], done["ca_hash"][:7]) == ("", "sha256:")


@pytest.mark.parametrize("kind", [certificates.ec_key, certificates.rsa_key])
def test_ca_that_somebody_put_there_is_taken_over(host: Authority, kind: Any) -> None:
    host.own(certificates.authority("our own CA", key=kind(), not_before=NOW - DAY, not_after=NOW + 3650 * DAY))
    before = host.files
    result = host.provide()
    assert "etcd-ca" not in result["reasons"]
    assert host.changed(before) == FILES - {"etcd/ca.crt", "etcd/ca.key"}
    leaf = x509.load_pem_x509_certificate(host.files["etcd/server.crt"])
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(host.files["etcd/ca.crt"]))
    assert not host.provide()["changed"]


@pytest.mark.parametrize("name", ["etcd/server.crt", "apiserver-etcd-client.key"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("")], ids=["lost", "cut"])
def test_certificate_or_key_that_is_lost_or_cut_is_made_again(whole: Authority, name: str, damage: Any) -> None:
    """kubeadm itself would stop at either."""
    before = whole.files
    damage(whole.path(name))
    base = name.rpartition(".")[0]
    result = whole.provide()
    assert [NAMES[phase] for phase in result["reasons"]] == [base]
    assert whole.changed(before) == {f"{base}.crt", f"{base}.key"}
    assert not whole.provide()["changed"]


@pytest.mark.parametrize("name", ["etcd/ca.crt", "etcd/ca.key"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("")], ids=["lost", "cut"])
def test_ca_that_has_lost_a_half_is_refused_and_kept(whole: Authority, name: str, damage: Any) -> None:
    damage(whole.path(name))
    before = whole.files
    with pytest.raises(Refusal, match=f"{name}: found no") as refused:
        whole.provide()
    assert "backup" in str(refused.value) or "Put it there" in str(refused.value)
    assert whole.files == before


def test_ca_that_is_gone_though_it_has_signed_is_refused(whole: Authority) -> None:
    for kind in ("crt", "key"):
        whole.path(f"etcd/ca.{kind}").unlink()
    with pytest.raises(
        Refusal, match=r"etcd/ca\.crt: found no file, but .*server\.crt, wanted the CA that has signed it"
    ):
        whole.provide()


def test_another_ca_than_other_hosts_have_is_refused_before_anything_is_made(host: Authority) -> None:
    other = "sha256:" + "a" * 64
    for _attempt in range(2):
        with pytest.raises(Refusal, match=r"etcd/ca\.crt: found"):
            host.provide(ca_hashes=[other])
        assert not host.folder.exists()
    host.provide()
    before = host.files
    with pytest.raises(Refusal, match=f"wanted {other}, as other hosts have"):
        host.provide(ca_hashes=[other])
    assert host.files == before


@pytest.mark.parametrize("after", [0, 1, len(NAMES) - 1])
def test_kubeadm_that_was_killed_begins_anew_and_nothing_was_in_its_place(host: Authority, after: int) -> None:
    host.dies_after = after
    with pytest.raises(KubeadmFailed):
        host.provide()
    assert {name.split("/")[0] for name in host.files} <= {".etcd-in-the-making"}
    host.dies_after = len(NAMES)
    assert set(host.provide()["reasons"]) == {*NAMES}
    assert set(host.files) == FILES


def test_kubeadm_that_fails_leaves_a_running_member_its_certificates(whole: Authority) -> None:
    before = whole.files
    whole.dies_after = 1
    with pytest.raises(KubeadmFailed):
        whole.provide(local=LATER)
    assert {name: whole.files[name] for name in before} == before
    whole.dies_after = len(NAMES)
    whole.provide(local=LATER)
    assert set(whole.files) == FILES


@pytest.mark.parametrize("written", range(1, 2 * len(NAMES)))
def test_run_that_was_killed_while_it_put_files_into_their_places_is_gone_on_with(
    host: Authority, made: Path, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = written

    def write(path: str, content: bytes, mode: int) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        files.write_atomic(path, content, mode)

    def copy(phase: str) -> tuple[int, str, str]:
        """As kubeadm would make it, but at once."""
        for kind in ("crt", "key"):
            name = f"{NAMES[phase]}.{kind}"
            shutil.copy(made / name, host.path(".etcd-in-the-making") / name)
        return 0, "", ""

    monkeypatch.setattr(etcd_authority, "write_atomic", write)
    with monkeypatch.context() as quick:
        run = host.run_command
        quick.setattr(host, "run_command", lambda argv, **how: copy(argv[4]) if argv[1] == "init" else run(argv, **how))
        with pytest.raises(KeyboardInterrupt):
            host.provide()
        left = len(FILES)
        reasons = host.provide()["reasons"]
    assert list(reasons) == [*NAMES][0 if written == 1 else written // 2 :]
    assert set(host.files) == FILES
    assert not host.provide()["changed"]


def test_key_that_somebody_put_there_without_its_certificate_is_kept(host: Authority) -> None:
    host.own(certificates.authority("etcd-ca"))
    host.path("etcd/ca.crt").unlink()
    before = host.files
    with pytest.raises(Refusal, match=r"etcd/ca\.crt: found no file"):
        host.provide()
    assert host.files == before


def test_names_that_come_later_bring_new_certificates_for_servers_alone(whole: Authority) -> None:
    before = whole.files
    result = whole.provide(local=LATER)
    assert set(result["reasons"]) == {"etcd-server", "etcd-peer"}
    assert whole.changed(before) == {f"etcd/{name}.{kind}" for name in ("server", "peer") for kind in ("crt", "key")}
    assert result["diff"]["after_header"] == "kubeadm init phase certs etcd-server, etcd-peer"
    assert "etcd.example.com" in result["diff"]["after"]
    leaf = x509.load_pem_x509_certificate(whole.files["etcd/peer.crt"])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"etcd.example.com", "192.0.2.99"} <= {str(name.value) for name in names}


def test_nothing_of_a_key_is_told(host: Authority) -> None:
    told = str(host.provide())
    keys = [text.decode() for name, text in host.files.items() if name.endswith(".key")]
    assert not any(line in told for key in keys for line in key.splitlines()[1:-1])


def test_what_is_made_aside_is_roots_alone(host: Authority) -> None:
    host.dies_after = 1
    with pytest.raises(KubeadmFailed):
        host.provide()
    assert os.stat(host.path(".etcd-in-the-making")).st_mode & 0o777 == 0o700
