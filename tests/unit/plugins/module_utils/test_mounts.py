# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders are emptied, and what is mounted in them is not lost through its mount."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import mounts

# proc(5): id, parent, device, root, mount point, options, optional fields, a dash, and more.
LINE = "36 35 98:0 / {} rw,noatime master:1 - ext3 /dev/root rw\n"


def mountinfo(*points: object) -> str:
    return "".join(LINE.format(str(point).replace(" ", "\\040")) for point in points)


def test_below_names_what_to_unmount_first_first() -> None:
    text = mountinfo(
        "/", "/var/lib/kubelet", "/var/lib/kubelet/pods/a b", "/var/lib/kubelet/pods/a b/c", "/var/lib/kube"
    )
    assert mounts.below("/var/lib/kubelet", text) == ["/var/lib/kubelet/pods/a b/c", "/var/lib/kubelet/pods/a b"]


def test_below_names_what_is_mounted_twice_twice() -> None:
    assert mounts.below("/a", mountinfo("/a/b", "/a/b")) == ["/a/b", "/a/b"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "member" / "wal").mkdir(parents=True)
    (tmp_path / "data" / "member" / "wal" / "1.wal").write_text("log")
    (tmp_path / "data" / "lost+found").mkdir()
    (tmp_path / "data" / "dangling").symlink_to("nowhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "data"


def test_empty_keeps_the_folder_and_what_links_lead_to(folder: Path) -> None:
    assert mounts.content(str(folder)) == ["dangling", "link", "member"]
    mounts.empty(str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["lost+found"]
    assert mounts.content(str(folder)) == []
    assert (folder.parent / "elsewhere" / "kept").read_text() == "kept"


def test_empty_follows_the_folder_itself(folder: Path) -> None:
    (folder.parent / "way").symlink_to(folder)
    mounts.empty(str(folder.parent / "way"))
    assert (folder.parent / "way").is_symlink()
    assert mounts.content(str(folder)) == []


def test_empty_keeps_mounted_folders_and_the_way_to_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "below", lambda _folder: [str(folder / "member" / "wal")])
    assert "member" in mounts.content(str(folder))
    mounts.empty(str(folder))
    assert list((folder / "member" / "wal").iterdir()) == []
    assert mounts.content(str(folder)) == []


def test_content_of_what_is_not_there(tmp_path: Path) -> None:
    assert mounts.content(str(tmp_path / "none")) == []
    mounts.empty(str(tmp_path / "none"))
    (tmp_path / "file").write_text("")
    assert mounts.content(str(tmp_path / "file")) == []
