# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm is run with its configuration in memory, and what it says comes back without the secrets."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeadm as kubeadm_module
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, alone, flags, shown
from ansible_collections.kubeadm.ha.plugins.module_utils.versions import Version

TOKEN = "abcdef.0123456789abcdef"


class Module:
    """As much of AnsibleModule as it takes, with real processes."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self.commands: list[list[str]] = []

    def get_bin_path(self, _name: str, opt_dirs: list[str]) -> str | None:
        return self._path

    def run_command(
        self, argv: list[str], pass_fds: tuple[int, ...], environ_update: dict[str, str]
    ) -> tuple[int, str, str]:
        self.commands.append(argv)
        environment = {**os.environ, **environ_update}
        done = subprocess.run(argv, pass_fds=pass_fds, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


def kubeadm(folder: Path, script: str) -> tuple[Kubeadm, Module]:
    """A kubeadm that does what this shell script does."""
    path = folder / "kubeadm"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(stat.S_IRWXU)
    module = Module(str(path))
    return Kubeadm(module), module  # type: ignore[arg-type]


def test_run_hands_its_configuration_over_in_memory(tmp_path: Path) -> None:
    tool, module = kubeadm(tmp_path, 'for last; do :; done; cat "${last#--config=}"')
    assert tool.run(["init"], config=f"token: {TOKEN}\n") == f"token: {TOKEN}\n"
    assert module.commands[0][:2] == [str(tmp_path / "kubeadm"), "init"]
    assert TOKEN not in " ".join(module.commands[0])
    assert os.listdir(tmp_path) == ["kubeadm"]


def test_run_takes_secrets_out_of_what_is_said(tmp_path: Path) -> None:
    tool, _module = kubeadm(tmp_path, f"echo joining with {TOKEN}")
    assert tool.run(["join"], secrets=[TOKEN]) == "joining with ********\n"


def test_run_failure_tells_the_end_of_what_was_said_without_secrets(tmp_path: Path) -> None:
    tool, _module = kubeadm(tmp_path, f"echo begun; echo 'error: token {TOKEN} is invalid' >&2; exit 3")
    with pytest.raises(KubeadmFailed) as failed:
        tool.run(["join", "--ignore-preflight-errors=Swap"], secrets=[TOKEN, TOKEN.split(".")[1]])
    assert "failed with code 3" in str(failed.value)
    assert "begun\nerror: token ******** is invalid" in str(failed.value)
    assert TOKEN.split(".")[1] not in str(failed.value)


def test_run_finds_the_programs_that_lie_beside_it(tmp_path: Path) -> None:
    tool, _module = kubeadm(tmp_path, "echo $PATH")
    assert tool.run([]).split(":")[0] == str(tmp_path)


@pytest.mark.parametrize(("said", "version"), [("v1.20.2", Version(20, 2)), ("v1.33.4", Version(33, 4))])
def test_version_is_its_own_word(tmp_path: Path, said: str, version: Version) -> None:
    assert kubeadm(tmp_path, f"echo {said}")[0].version() == version


def test_version_that_nobody_understands_fails(tmp_path: Path) -> None:
    with pytest.raises(KubeadmFailed, match="'unknown' is not a Kubernetes version"):
        kubeadm(tmp_path, "printf unknown")[0].version()


def test_installed_only_where_there_is_a_program(tmp_path: Path) -> None:
    assert kubeadm(tmp_path, "")[0].installed
    assert not Kubeadm(Module(None)).installed  # type: ignore[arg-type]


def test_flags_are_left_out_where_there_is_nothing_to_say() -> None:
    assert flags() == []
    assert flags(skip_phases=["addon/coredns", "addon/kube-proxy"], ignore_preflight_errors=["Swap"]) == [
        "--skip-phases=addon/coredns,addon/kube-proxy",
        "--ignore-preflight-errors=Swap",
    ]


def test_shown_withholds_secrets_wherever_they_are() -> None:
    documents: list[dict[str, Any]] = [
        {"bootstrapTokens": [{"token": TOKEN, "ttl": "1s"}], "certificateKey": "k" * 64},
        {"discovery": {"bootstrapToken": {"token": TOKEN}}, "nodeRegistration": {"name": "cp1"}},
    ]
    diff = shown("kubeadm join", documents)
    assert TOKEN not in str(diff)
    assert "k" * 64 not in str(diff)
    assert '"ttl": "1s"' in diff["after"]
    assert '"name": "cp1"' in diff["after"]
    assert (diff["before_header"], diff["after_header"], diff["before"]) == ("kubeadm join", "kubeadm join", "")
    assert documents[0]["certificateKey"] == "k" * 64


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lock"
    monkeypatch.setattr(kubeadm_module, "LOCK", str(path))
    return path


def test_alone_waits_for_a_kubeadm_that_outlived_its_run(tmp_path: Path, lock: Path) -> None:
    """The process that was started holds the lock by what it inherits, though whoever started it is gone."""
    with alone(False) as descriptor:
        assert descriptor is not None
        orphan = subprocess.Popen(["sleep", "0.7"], pass_fds=[descriptor])
    begun = time.monotonic()
    with alone(False, patience=10):
        assert orphan.poll() is not None or time.monotonic() - begun > 0.5
    orphan.wait()


def test_alone_refuses_after_its_patience(lock: Path) -> None:
    with alone(False), pytest.raises(KubeadmFailed, match="found it held by another run"), alone(False, patience=0):
        pass


def test_alone_is_free_again_after_a_failure(lock: Path) -> None:
    with pytest.raises(ValueError, match="x"), alone(False):
        raise ValueError("x")
    with alone(False, patience=0):
        pass


def test_alone_in_check_mode_touches_nothing(lock: Path) -> None:
    with alone(True) as descriptor:
        assert descriptor is None
    assert not lock.exists()


def test_run_hands_the_lock_to_the_kubeadm_that_it_starts(tmp_path: Path, lock: Path) -> None:
    _tool, module = kubeadm(tmp_path, "ls -l /proc/self/fd")
    with alone(False) as descriptor:
        assert str(lock) in Kubeadm(module, descriptor).run([])  # type: ignore[arg-type]
        assert str(lock) in Kubeadm(module, descriptor).run([], config="x")  # type: ignore[arg-type]
