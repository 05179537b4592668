# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files written whole or not at all, and secrets that never reach a file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from .problems import Problem, Refusal

# How files begin that this collection has written and that others might have, too.
WRITTEN = "# Written by kubeadm.ha."


def read_text(path: str) -> str | None:
    """Content of a text file, or None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def unreadable(error: OSError) -> str:
    """What to say of a file that was named and cannot be read."""
    return f"{error.filename}: found no file to be read ({error.strerror}), wanted one. Correct the path."


def read_each(paths: Iterable[str]) -> dict[str, str | OSError]:
    """Content of each of these files that is there, or why it cannot be read."""
    found: dict[str, str | OSError] = {}
    for path in paths:
        if not os.path.lexists(path):
            continue
        try:
            text = read_text(path)
            found[path] = OSError(errno.ENOENT, "a link to nothing") if text is None else text
        except OSError as error:
            found[path] = error
    return found


def write_atomic(path: str, content: bytes, mode: int) -> None:
    """Replace ``path`` by a file with this content and mode: a reader or a crash sees the old one or the new one."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o755, exist_ok=True)
    # mkstemp creates 0600 with O_EXCL, so the content is never readable by others, not even for a moment.
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


@contextlib.contextmanager
def replacing(path: str, folder_mode: int = 0o700) -> Iterator[BinaryIO]:
    """A file, 0600, to be written piece by piece, that takes the place of ``path`` when all went well.

    Until then it has one other name, so that the next run overwrites what a run has left that was killed.

    Args:
        path: the file.
        folder_mode: of its folder, where that is not there yet.

    Raises:
        Refusal: another run is writing it.
    """
    folder, part = os.path.dirname(path) or ".", partial(path)
    os.makedirs(folder, mode=folder_mode, exist_ok=True)
    with _locked(part, path) as file:
        try:
            os.fchmod(file.fileno(), 0o600)
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            raise
    _sync_folder(folder)


def partial(path: str) -> str:
    """Where ``replacing`` keeps the file while it is not whole."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.part")


def _locked(part: str, path: str) -> BinaryIO:
    """The file of that name, which nobody else writes."""
    while True:
        descriptor = os.open(part, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = open(descriptor, "r+b")  # noqa: SIM115, who calls closes it
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held the lock until now may have given the file its place.
            if os.path.samestat(os.fstat(descriptor), os.stat(part)):
                return file
        except FileNotFoundError:
            pass
        except BlockingIOError:
            file.close()
            action = "Let it end. If its Ansible was killed, it ends by itself."
            problem = Problem(socket.gethostname(), path, "another run that writes it", "one at a time", action)
            raise Refusal([problem]) from None
        file.close()


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def secret_file(content: str) -> Iterator[tuple[str, int]]:
    """Anonymous memory that other programs can open by name: no file system, no argv, gone when closed.

    Yields:
        (path, descriptor): the path works in this process, and in a child that inherits the descriptor.
    """
    descriptor = os.memfd_create("kubeadm-ha", 0)
    try:
        os.write(descriptor, content.encode())
        yield f"/proc/self/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)
