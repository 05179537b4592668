# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are written whole or not at all and never readable by others; secrets reach no file system."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import files
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal


def mode_of(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_write_atomic_gives_content_and_mode_whatever_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "file"
    before = os.umask(umask)
    try:
        files.write_atomic(str(path), b"\x00new\n", mode)
    finally:
        os.umask(before)
    assert (path.read_bytes(), mode_of(path)) == (b"\x00new\n", mode)
    assert os.listdir(tmp_path) == ["file"]


def test_write_atomic_content_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def watched(handle: int, *arguments: object, **options: object) -> object:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return real(handle, *arguments, **options)  # type: ignore[call-overload]

    real = os.fdopen
    monkeypatch.setattr(files.os, "fdopen", watched)
    files.write_atomic(str(tmp_path / "secret"), b"secret", 0o600)
    assert modes == [0o600]


def test_write_atomic_has_its_mode_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def watched(source: str, target: str) -> None:
        modes.append((mode_of(source), os.path.getsize(source)))
        real(source, target)

    real = os.replace
    monkeypatch.setattr(files.os, "replace", watched)
    files.write_atomic(str(tmp_path / "file"), b"whole", 0o640)
    assert modes == [(0o640, 5)]


def test_write_atomic_replaces_a_file_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="ascii")
    path.chmod(0o666)
    files.write_atomic(str(path), b"new", 0o600)
    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o600)


@pytest.mark.parametrize("call", ["replace", "fsync", "fchmod"])
def test_write_atomic_that_fails_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old", encoding="ascii")
    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomic(str(path), b"new", 0o600)
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_text(encoding="ascii") == "old"


def test_write_atomic_interrupted_by_a_signal_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(str(tmp_path / "file"), b"new", 0o600)
    assert os.listdir(tmp_path) == []


def test_write_atomic_makes_missing_folders(tmp_path: Path) -> None:
    files.write_atomic(str(tmp_path / "a" / "b" / "file"), b"x", 0o600)
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"


def test_write_atomic_takes_a_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_atomic("file", b"x", 0o600)
    assert (tmp_path / "file").read_bytes() == b"x"


def test_read_text_of_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text", encoding="ascii")
    assert files.read_text(str(tmp_path / "file")) == "text"
    assert files.read_text(str(tmp_path / "none")) is None
    assert files.read_text(str(tmp_path / "file" / "below")) is None


def test_read_text_of_other_bytes_does_not_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xffb")
    assert files.read_text(str(tmp_path / "file")) == "a\ufffdb"


def test_secret_file_is_read_by_a_child_that_inherits_it() -> None:
    secret = "sécret " * 50_000
    with files.secret_file(secret) as (path, descriptor):
        child = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
        for _twice in range(2):
            done = subprocess.run(
                [sys.executable, "-c", child, path], pass_fds=[descriptor], stdout=subprocess.PIPE, check=True
            )
            assert done.stdout.decode() == secret


def test_secret_file_is_on_no_file_system() -> None:
    with files.secret_file("secret") as (path, descriptor):
        assert os.readlink(path).startswith("/memfd:")
        assert os.fstat(descriptor).st_nlink == 0
        assert Path(path).read_text(encoding="ascii") == "secret"


def test_secret_file_is_gone_afterwards_even_after_a_failure() -> None:
    with pytest.raises(ValueError, match="kubeadm failed"), files.secret_file("secret") as (path, descriptor):
        raise ValueError("kubeadm failed")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    assert not os.path.exists(path)


def test_replacing_puts_a_whole_file_into_its_place_or_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with files.replacing(str(path)) as file:
        file.write(b"one")
        assert not path.exists()
        assert mode_of(files.partial(str(path))) == 0o600
    assert (path.read_bytes(), mode_of(path), mode_of(path.parent)) == (b"one", 0o600, 0o700)
    with pytest.raises(RuntimeError), files.replacing(str(path)) as file:
        file.write(b"two")
        raise RuntimeError
    assert path.read_bytes() == b"one"
    assert os.listdir(path.parent) == ["file"]


def test_replacing_overwrites_what_a_killed_run_has_left(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    Path(files.partial(path)).write_bytes(b"left by another, and longer")
    os.chmod(files.partial(path), 0o644)
    with files.replacing(path) as file:
        assert mode_of(files.partial(path)) == 0o600
        file.write(b"new")
    assert Path(path).read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_replacing_is_for_one_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    with files.replacing(path) as first:
        first.write(b"first")
        with pytest.raises(Refusal, match="found another run that writes it, wanted one at a time"):  # noqa: SIM117
            with files.replacing(path):
                pass
    with files.replacing(path) as second:
        second.write(b"second")
    assert Path(path).read_bytes() == b"second"


def test_replacing_follows_no_link(tmp_path: Path) -> None:
    """Where others may write, nobody is to choose what root overwrites."""
    target, path = tmp_path / "target", str(tmp_path / "file")
    target.write_bytes(b"precious")
    os.symlink(target, files.partial(path))
    with pytest.raises(OSError, match="symbolic links"), files.replacing(path):
        pass
    assert target.read_bytes() == b"precious"


def test_replacing_never_writes_into_the_file_that_another_has_just_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = tmp_path / "file", fcntl.flock
    part = Path(files.partial(str(path)))
    part.write_bytes(b"finished by another")
    locked = []

    def another_is_faster(descriptor: int, operation: int) -> None:
        """Between opening the file and locking it."""
        if not locked:
            part.rename(path)
        locked.append(descriptor)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", another_is_faster)
    with files.replacing(str(path)):
        assert path.read_bytes() == b"finished by another"
    assert len(locked) == 2
