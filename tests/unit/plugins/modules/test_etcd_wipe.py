# SPDX-License-Identifier: GPL-3.0-or-later
"""A member goes out of use: nothing that counts is touched, nothing is deleted, and a kill anywhere is made good."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_restorer, evidence, set_aside
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules import control_plane_pods, etcd_wipe

CA = "sha256:0123456789ab" + 52 * "0"
# More than a process may have for an id.
NOBODY = 1 << 22
PODS = (set_aside.ETCD, *set_aside.CONTROL_PLANE)


class Killed(BaseException):
    """The module's process is gone."""


class Host:
    """A control plane, whose kubelet runs exactly what has a manifest.

    Attributes:
        agreeing: voters that a look finds.
        stubborn: programs that do not end.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "etcd"
        self.manifests, self.aside = root / "manifests", root / "aside"
        self.agreeing: tuple[str, ...] = ()
        self.stubborn: set[str] = set()
        self.manifests.mkdir()
        (self.data / "member").mkdir(parents=True)
        (self.data / "member" / "db").write_text("votes")
        for pod in PODS:
            (self.manifests / f"{pod}.yaml").write_text(f"    - --name=cp2\n    - --data-dir={self.data}\n# {pod}\n")

    def pids(self, program: str, **_flags: str) -> list[int]:
        return [NOBODY] if program in self.stubborn or (self.manifests / f"{program}.yaml").exists() else []

    def options(self, **more: Any) -> dict[str, Any]:
        said = {"cluster_id": "0123456789ab", "data_dir": str(self.data), "endpoints": [], "timeout_seconds": 0}
        return {**said, **more}

    def wipe(self, check_mode: bool = False) -> dict[str, Any]:
        etcd_wipe.check(self.options())
        return etcd_wipe.wipe(self.options(), check_mode)

    def files(self) -> dict[str, str]:
        """What is there, by path below the root."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_text() for path in found}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr(evidence, "MANIFESTS", str(made.manifests))
    monkeypatch.setattr(evidence, "ETCD_MANIFEST", str(made.manifests / "etcd.yaml"))
    monkeypatch.setattr(evidence, "identity", lambda: "cp2")
    monkeypatch.setattr(set_aside, "FOLDER", str(made.aside))
    monkeypatch.setattr(set_aside, "pids", made.pids)
    monkeypatch.setattr(etcd_restorer, "kubernetes_ca", lambda: CA)
    monkeypatch.setattr(etcd_restorer, "client_context", lambda: None)
    monkeypatch.setattr(etcd_restorer, "voters_that_agree", lambda *_look: made.agreeing)
    return made


def test_member_goes_out_of_use_and_all_of_it_is_kept(host: Host) -> None:
    before = host.files()
    foretold = host.wipe(check_mode=True)
    assert host.files() == before
    made = host.wipe()
    assert (foretold["changed"], foretold["diff"]) == (True, made["diff"])
    kept = Path(made["kept"])
    assert kept.parent == host.root
    assert {path.name for path in kept.iterdir()} == {"member", *(f"{pod}.yaml" for pod in PODS)}
    assert (kept / "member/db").read_text() == "votes"
    assert sorted(host.files().values()) == sorted(before.values())
    assert not list(host.data.iterdir()) and not list(host.manifests.iterdir()) and not host.aside.exists()
    assert host.wipe() == {"changed": False}


def test_data_is_kept_inside_where_its_folder_is_a_mount_point(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def across(source: str, target: str) -> None:
        if not str(target).startswith(f"{host.data}/"):
            raise OSError(18, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", across)
    kept = Path(host.wipe()["kept"])
    assert kept.parent == host.data and (kept / "member/db").exists()


def test_member_that_counts_is_left_alone(host: Host) -> None:
    before = host.files()
    host.agreeing = ("cp1", "cp2", "cp3")
    with pytest.raises(Refusal, match=r"cp2: etcd member: found cp2 among 3 voters that agree \(cp1, cp2, cp3\)"):
        host.wipe()
    assert host.files() == before
    host.agreeing = ("cp1", "cp3")
    assert host.wipe()["changed"]


def test_host_of_another_cluster_is_left_alone(host: Host) -> None:
    before = host.files()
    with pytest.raises(Refusal, match=r"cp2: cluster id: found 0123456789ab, wanted ba9876543210"):
        etcd_wipe.check(host.options(cluster_id="ba9876543210"))
    assert host.files() == before


def test_what_does_not_stop_keeps_its_data(host: Host) -> None:
    host.stubborn = {"etcd"}
    with pytest.raises(Refusal, match=r"cp2: static pods: found etcd 0 s after its manifest was moved away"):
        host.wipe()
    assert (host.data / "member/db").exists()


CHANGES: list[tuple[Any, str]] = [(os, "replace"), (os, "rename"), (os, "unlink"), (os, "makedirs"), (shutil, "copy2")]


def struck(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Have the process killed before its change of this number."""
    counter = itertools.count()

    def before(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            if next(counter) >= at:
                raise Killed
            return change(*arguments, **options)

        return changed

    for place, name in CHANGES:
        monkeypatch.setattr(place, name, before(getattr(place, name)))


def test_killed_before_any_change_the_next_run_ends_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = host.root
    for at in range(100):
        host.root = whole / str(at)
        shutil.copytree(whole / "etcd", host.root / "etcd")
        shutil.copytree(whole / "manifests", host.root / "manifests")
        host.data, host.manifests, host.aside = (host.root / name for name in ("etcd", "manifests", "aside"))
        for path in host.manifests.iterdir():
            path.write_text(path.read_text().replace(f"{whole}/etcd", str(host.data)))
        before = host.files()
        with monkeypatch.context() as patched:
            patched.setattr(evidence, "MANIFESTS", str(host.manifests))
            patched.setattr(evidence, "ETCD_MANIFEST", str(host.manifests / "etcd.yaml"))
            patched.setattr(set_aside, "FOLDER", str(host.aside))
            try:
                with monkeypatch.context() as strike:
                    struck(strike, at)
                    host.wipe()
            except Killed:
                host.wipe()
            else:
                assert at > 10
                return
            assert sorted(host.files().values()) == sorted(before.values())
            assert not list(host.data.iterdir()) and not list(host.manifests.iterdir()) and not host.aside.exists()
    raise AssertionError("it never ends")


def test_pods_stop_and_start_unchanged(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.files()
    assert control_plane_pods.stop("cp2", 0, True) == list(set_aside.CONTROL_PLANE)
    assert control_plane_pods.stop("cp2", 0, False) == list(set_aside.CONTROL_PLANE)
    assert [path.name for path in host.manifests.iterdir()] == ["etcd.yaml"]
    assert control_plane_pods.stop("cp2", 0, False) == []

    class Api:
        def get(self, path: str) -> dict[str, Any]:
            assert path == "/readyz" and host.pids("kube-apiserver") and not host.pids("kube-scheduler")
            return {"text": "ok"}

    monkeypatch.setattr(control_plane_pods.kube_api, "local_admin", lambda _timeout: Api())
    assert control_plane_pods.start("cp2", 0, True) == list(set_aside.CONTROL_PLANE)
    assert control_plane_pods.start("cp2", 0, False) == list(set_aside.CONTROL_PLANE)
    assert host.files() == before
    assert control_plane_pods.start("cp2", 0, False) == []
