# SPDX-License-Identifier: GPL-3.0-or-later
"""Finishing an interrupted dpkg: where it is to be done, and where there is nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import apt_tools
from ansible_collections.kubeadm.ha.plugins.modules import interrupted_packages


class Ended(Exception):
    """The module has said its last."""


def run(notes: Path, answers: list[tuple[int, str, str]], *, check_mode: bool = False) -> tuple[dict[str, Any], int]:
    """What the module says, and how often it called dpkg."""
    said: dict[str, Any] = {}

    def end(**result: Any) -> None:
        said.update(result)
        raise Ended

    module = mock.Mock(params={"timeout_seconds": 5}, check_mode=check_mode, exit_json=end, fail_json=end)
    module.run_command.side_effect = answers
    with (
        mock.patch.object(apt_tools, "NOTES", str(notes)),
        mock.patch.object(apt_tools.time, "sleep"),
        mock.patch.object(interrupted_packages, "AnsibleModule", return_value=module),
        pytest.raises(Ended),
    ):
        interrupted_packages.main()
    return said, module.run_command.call_count


def test_host_without_dpkg_or_with_one_that_is_done_is_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path / "none", []) == ({"changed": False}, 0)
    (tmp_path / "tmp.i").touch()
    assert run(tmp_path, []) == ({"changed": False}, 0)


def test_interrupted_dpkg_is_finished_once_nobody_else_is_at_it(tmp_path: Path) -> None:
    (tmp_path / "0003").touch()
    locked = (2, "", "dpkg: error: dpkg frontend lock was locked by another process with pid 7\n")
    said, calls = run(tmp_path, [locked, (0, "", "")])
    assert (said["changed"], calls) == (True, 2)


def test_check_mode_says_so_and_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "0003").touch()
    said, calls = run(tmp_path, [], check_mode=True)
    assert (said["changed"], calls) == (True, 0)


def test_dpkg_that_cannot_finish_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "0003").touch()
    said, _calls = run(tmp_path, [(1, "", "dpkg: error processing package haproxy (--configure)\n")])
    assert "error processing package haproxy" in said["msg"]
