# SPDX-License-Identifier: GPL-3.0-or-later
"""A service takes up what was written, a run that was killed is finished, and what it cannot run is taken back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils.service_keeper import Keeper, ServiceFailed


class Host:
    """An AnsibleModule on a host with one service, which starts unless its file says broken."""

    def __init__(self, file: Path, *, check_mode: bool = False, active: bool = True, exists: bool = True) -> None:
        self.file = file
        self.check_mode = check_mode
        self.active = active
        self.exists = exists
        self.started = time.monotonic() - 60
        self.runs = self.read()
        self.commands: list[str] = []

    def read(self) -> str | None:
        return self.file.read_text() if self.file.exists() else None

    def get_bin_path(self, name: str) -> str | None:
        return f"/usr/bin/{name}" if name != "missing" else None

    def run_command(self, argv: list[str]) -> tuple[int, str, str]:
        if argv[:2] == ["systemctl", "show"]:
            states = {
                "LoadState": "loaded" if self.exists else "not-found",
                "ActiveState": "active" if self.active else "inactive",
                "UnitFileState": "enabled",
                "NeedDaemonReload": "no",
                "StateChangeTimestampMonotonic": int(self.started * 1e6),
            }
            return 0, "".join(f"{name}={value}\n" for name, value in states.items()), ""
        if argv[0] == "accept":
            os.kill(os.getpid(), signal.SIGTERM)  # of a process group, as keepalived's own
            return 0, "", ""
        if argv[0] == "refuse":
            return 1, "", f"line 1 of {Path(argv[1]).read_text()!r}"
        if argv[0] == "journalctl":
            return 0, "the last words", ""
        self.commands.append(" ".join(argv))
        if argv[:1] == ["systemctl"] and argv[1] in ("start", "restart", "reload"):
            self.started, self.runs = time.monotonic(), self.read()
            self.active = self.runs != "broken"
            return (0, "", "") if self.active else (1, "", "Job failed.")
        return 0, "", ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "service.conf"
    path.write_text("old")
    os.utime(path, (0, time.time() - 600))
    return path


def keeper(host: Any) -> Keeper:
    return Keeper(host, "x.service")


def test_new_content_is_written_and_taken_up(file: Path) -> None:
    host = Host(file)
    made = keeper(host)
    made.write(str(file), "new")
    made.settle()
    assert host.runs == "new"
    assert made.actions == [f"write {file}", "restart x.service"]
    assert made.diffs[0]["after"] == "new\n"


def test_same_content_is_left_alone(file: Path) -> None:
    host = Host(file)
    made = keeper(host)
    made.write(str(file), "old")
    made.settle(enabled=True, started=True)
    assert (made.actions, host.commands) == ([], [])


def test_file_that_is_read_by_itself_restarts_nothing(file: Path, tmp_path: Path) -> None:
    host = Host(file)
    made = keeper(host)
    made.write(str(file), "old")
    made.write(str(tmp_path / "other"), "new", read_at_start=False)
    made.settle()
    assert (made.actions, host.commands) == ([f"write {tmp_path / 'other'}"], [])


def test_run_that_was_killed_before_the_restart_is_finished(file: Path) -> None:
    host = Host(file)
    file.write_text("new")
    made = keeper(host)
    made.write(str(file), "new")
    made.settle()
    assert host.runs == "new"
    assert made.actions == ["restart x.service"]


def test_check_mode_says_all_of_it_and_does_none(file: Path) -> None:
    host = Host(file, check_mode=True)
    made = keeper(host)
    made.write(str(file), "new", validate=["missing", "%s"])
    made.remove(str(file))
    made.settle()
    assert made.actions == [f"write {file}", f"remove {file}", "restart x.service"]
    assert (file.read_text(), host.commands) == ("old", [])


def test_content_that_its_tool_refuses_is_not_written(file: Path) -> None:
    made = keeper(Host(file))
    with pytest.raises(ServiceFailed, match=r"service.conf: refused by refuse /.*: line 1 of 'new'"):
        made.write(str(file), "new", validate=["refuse", "%s"])
    assert (file.read_text(), made.actions) == ("old", [])


def test_unknown_unit_is_told(file: Path) -> None:
    with pytest.raises(ServiceFailed, match=r"x\.service: found no such systemd unit"):
        keeper(Host(file, exists=False)).settle()


@pytest.mark.parametrize("before", ["old", None])
def test_service_that_does_not_start_gets_its_files_back(file: Path, tmp_path: Path, before: str | None) -> None:
    if before is None:
        file.unlink()
    gone = tmp_path / "gone.conf"
    gone.write_text("stays")
    host = Host(file)
    made = keeper(host)
    made.write(str(file), "broken")
    made.remove(str(gone))
    with pytest.raises(ServiceFailed, match=r"(?s)could not restart x\.service: Job failed\..*the last words"):
        made.settle()
    assert made.roll_back()
    assert (host.read(), gone.read_text(), host.active, host.runs) == (before, "stays", True, before)


def test_roll_back_of_nothing_restarts_nothing(file: Path) -> None:
    host = Host(file)
    assert not keeper(host).roll_back()
    assert host.commands == []


def test_tool_that_sends_itself_a_signal_once_it_has_accepted_is_heard_out(file: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    made = keeper(Host(file))
    made.write(str(file), "new", validate=["accept", "%s"])
    assert file.read_text() == "new"
    assert signal.getsignal(signal.SIGTERM) == before


def test_secret_is_written_for_root_alone_and_not_shown(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    host = Host(file)
    for content, action in (("first", "write"), ("second", "write"), ("", "remove")):
        made = keeper(host)
        made.write_secret(str(secret), content)
        made.settle(on_change="reload")
        assert made.actions == [f"{action} {secret}", "reload x.service"]
        assert not any("first" in text or "second" in text for diff in made.diffs for text in diff.values())
        assert made.diffs[0]["before"] != made.diffs[0]["after"]
        if content:
            assert (secret.read_text(), secret.stat().st_mode & 0o777) == (content, 0o600)
    assert not secret.exists()


@pytest.mark.parametrize("content", ["same", ""])
def test_secret_that_is_as_it_should_be_is_left_alone(file: Path, tmp_path: Path, content: str) -> None:
    secret = tmp_path / "secret"
    if content:
        secret.write_text(content)
        os.utime(secret, (0, time.time() - 600))
    host = Host(file)
    made = keeper(host)
    made.write_secret(str(secret), content)
    made.settle()
    assert (made.actions, host.commands) == ([], [])


def test_secret_that_was_written_before_a_run_was_killed_is_taken_up(file: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("new")
    made = keeper(Host(file))
    made.write_secret(str(tmp_path / "secret"), "new")
    made.settle()
    assert made.actions == ["restart x.service"]
