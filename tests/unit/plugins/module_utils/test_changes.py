# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes are there only where something differs, show themselves as diffs, and do what they show."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils.changes import Change, file_change


def test_file_change_of_a_file_that_is_right_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("right\n", encoding="ascii")
    assert list(file_change(str(tmp_path / "file"), "right\n", 0o600)) == []


@pytest.mark.parametrize("before", [None, "", "wrong\n"])
def test_file_change_writes_only_when_applied(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_text(before, encoding="ascii")
    (change,) = file_change(str(path), "right\n", 0o640)
    assert (path.read_text(encoding="ascii") if path.exists() else None) == before
    change.apply()
    assert path.read_text(encoding="ascii") == "right\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(file_change(str(path), "right\n", 0o640)) == []


def test_change_diff_names_its_subject_and_ends_its_lines() -> None:
    assert Change("swap /dev/sda2", "on", "off", lambda: None).diff() == {
        "before_header": "swap /dev/sda2",
        "after_header": "swap /dev/sda2",
        "before": "on\n",
        "after": "off\n",
    }


def test_change_diff_of_a_new_file_begins_with_nothing(tmp_path: Path) -> None:
    (change,) = file_change(str(tmp_path / "file"), "new\n", 0o600)
    assert (change.diff()["before"], change.diff()["after"]) == ("", "new\n")
