# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found of programs on a host, with real programs that say what they are told to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import apt, programs
from ansible_collections.kubeadm.ha.plugins.module_utils.files import WRITTEN

UNIT = """\
EnvironmentFiles=/var/lib/kubelet/kubeadm-flags.env (ignore_errors=yes)
EnvironmentFiles=/etc/default/kubelet (ignore_errors=yes)
LoadState=loaded
FragmentPath=/lib/systemd/system/kubelet.service
DropInPaths={drop_in}
"""
NO_UNIT = "LoadState=not-found\nFragmentPath=\nDropInPaths=\n"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose programs are in folders of this test."""
    first, path = tmp_path / "first", tmp_path / "path"
    for folder in (first, path, tmp_path / "preferences.d"):
        folder.mkdir()
    monkeypatch.setattr(programs, "FOLDERS", (str(first),))
    monkeypatch.setattr(apt, "PREFERENCES", str(tmp_path / "preferences.d"))
    monkeypatch.setenv("PATH", str(path))
    for tool in ("cat", "sleep"):
        (path / tool).symlink_to(f"/bin/{tool}")
    script(path / "systemctl", NO_UNIT)
    script(path / "dpkg-query", "")
    return tmp_path


def script(path: Path, says: str, *, error: str = "") -> None:
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says.rstrip()}\nEND\ncat >&2 <<'END'\n{error}\nEND\n")
    path.chmod(0o755)


def test_bare_host_has_none(host: Path) -> None:
    assert programs.collect() == {
        "programs": {},
        "kubelet_unit": {"path": None, "own": [], "reads_flags": False},
    }


def test_versions_are_read_from_what_each_program_prints(host: Path) -> None:
    script(host / "path" / "kubeadm", "v1.20.2")
    script(host / "path" / "kubelet", "Kubernetes v1.20.2", error="Flag --v1.9.9 has been deprecated")
    script(host / "path" / "kubectl", 'Client Version: version.Info{Major:"1", Minor:"20", GitVersion:"v1.20.2", Go')
    found = programs.collect()["programs"]
    assert {name: program["version"] for name, program in found.items()} == dict.fromkeys(found, "1.20.2")
    assert {name: program["path"] for name, program in found.items()} == {
        name: str(host / "path" / name) for name in ("kubeadm", "kubelet", "kubectl")
    }


@pytest.mark.parametrize("says", ["v1.31.0-rc.1", "v1.29.3-eks-ae9a62a", "v1.20.2+k3s1", "Kubernetes", ""])
def test_what_is_no_release_is_repeated_and_has_no_version(host: Path, says: str) -> None:
    script(host / "path" / "kubeadm", says)
    assert programs.collect()["programs"]["kubeadm"] == {
        "path": str(host / "path" / "kubeadm"),
        "version": None,
        "said": says,
        "held": False,
    }


def test_program_that_cannot_be_run_is_there_all_the_same(host: Path) -> None:
    (host / "path" / "kubelet").write_bytes(b"\x7fELF, half of it")
    (host / "path" / "kubelet").chmod(0o755)
    assert programs.collect()["programs"]["kubelet"]["version"] is None


def test_program_that_does_not_end_is_ended(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_PATIENCE_SECONDS", 0.2)
    (host / "path" / "kubelet").write_text("#!/bin/sh\nexec sleep 1000\n")
    (host / "path" / "kubelet").chmod(0o755)
    assert programs.collect()["programs"]["kubelet"]["version"] is None


def test_program_is_the_one_that_modules_would_run(host: Path) -> None:
    script(host / "path" / "kubeadm", "v1.20.2")
    script(host / "first" / "kubeadm", "v1.19.0")
    assert programs.collect()["programs"]["kubeadm"]["version"] == "1.19.0"
    os.chmod(host / "first" / "kubeadm", 0o644)
    assert programs.collect()["programs"]["kubeadm"]["version"] == "1.20.2"


@pytest.mark.parametrize("ours", [False, True])
def test_hold_is_somebody_elses_unless_it_comes_with_our_pin(host: Path, ours: bool) -> None:
    script(host / "path" / "kubelet", "Kubernetes v1.20.2")
    script(host / "path" / "dpkg-query", "kubelet\t1.20.2-1.1\thold\tinstalled\nkubectl\t\tinstall\tnot-installed")
    pin = host / "preferences.d" / "kubernetes.pref"
    pin.write_text(apt.preferences({"kubelet": "1.20.2-*"}) if ours else "Package: kubelet\n")
    assert programs.collect()["programs"]["kubelet"]["held"] is not ours


@pytest.mark.parametrize("ours", [False, True])
def test_unit_is_told_with_what_it_reads_and_which_of_its_files_are_ours(host: Path, ours: bool) -> None:
    """Packages of old have their drop-in where ours is: only what it says tells them apart."""
    drop_in = host / "10-kubeadm.conf"
    drop_in.write_text(f"{WRITTEN if ours else '# Note:'} kubeadm writes the files that are named here.\n[Service]\n")
    script(host / "path" / "systemctl", UNIT.format(drop_in=drop_in))
    assert programs.collect()["kubelet_unit"] == {
        "path": "/lib/systemd/system/kubelet.service",
        "own": [str(drop_in)] if ours else [],
        "reads_flags": True,
    }


def test_host_without_systemd_or_dpkg_has_no_unit_and_no_hold(host: Path) -> None:
    script(host / "first" / "kubeadm", "v1.20.2")
    for tool in ("systemctl", "dpkg-query"):
        (host / "path" / tool).unlink()
    found = programs.collect()
    assert found["programs"]["kubeadm"] == {
        "path": str(host / "first" / "kubeadm"),
        "version": "1.20.2",
        "said": "v1.20.2",
        "held": False,
    }
    assert found["kubelet_unit"]["path"] is None
