# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that waits for an envelope: its key for one use, between the question and the answer."""

from __future__ import annotations

import contextlib
import os

from . import sealing
from .files import write_atomic


def request(path: str) -> str:
    """A fresh public key; its private half replaces whatever an earlier attempt has left.

    Args:
        path: where the private half waits. On systemd's hosts /run is memory.

    Raises:
        SealBroken: this host's cryptography does not offer X25519.
    """
    private, public = sealing.new_receiver()
    write_atomic(path, private, 0o600)
    return public


def take(path: str) -> bytes:
    """The private half, which nobody can use again.

    Raises:
        ValueError: there is none.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        raise ValueError(
            f"{path}: found none, wanted the key that this envelope was sealed for. Ask again with "
            "state=requested: this one has been used, or the host has restarted."
        ) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
