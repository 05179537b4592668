# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of etcd's membership at a time, whoever asks for it: a lock in etcd itself.

The lock is a key that hangs on a lease: a run that is killed stops renewing it, and etcd takes the key away. It lies
beside Kubernetes' own keys, which all begin with /registry.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator

from .https_json import Document, RequestFailed
from .problems import Problem, Refusal

KEY = "/kubeadm.ha/membership"
LIFETIME_SECONDS = 60

Ask = Callable[[str, Document], Document]


class Held:
    """The lock while it is held."""

    def __init__(self, ask: Ask, lease: str) -> None:
        self._ask = ask
        self._lease = lease

    def renew(self) -> None:
        """Count the lock's life from now on again; to be called before each step that must not be made without it.

        Raises:
            Refusal: the lock was lost meanwhile.
            RequestFailed: etcd does not answer.
        """
        answer = self._ask("/lease/keepalive", {"ID": self._lease})
        if int(answer.get("result", {}).get("TTL", 0)) <= 0:
            raise Refusal([_problem("that it has expired: etcd did not answer for long", "it held", "Run again.")])


@contextlib.contextmanager
def held(ask: Ask, *, patience: float) -> Iterator[Held]:
    """Hold the lock.

    Args:
        ask: calls a method of etcd's gateway with a body, on a member that answers.
        patience: seconds to wait for another holder.

    Raises:
        Refusal: another one holds it for longer.
        RequestFailed: etcd does not answer.
    """
    owner = f"{socket.gethostname()} process {os.getpid()} {uuid.uuid4()}"
    lease = ask("/lease/grant", {"TTL": str(LIFETIME_SECONDS)})["ID"]
    lock = Held(ask, lease)
    deadline = time.monotonic() + patience
    while (holder := _take(ask, owner, lease)) != owner:
        if time.monotonic() > deadline:
            found = f"{' '.join(holder.split()[:-1])} holds it, for {patience:.0f} s by now"
            ends = f"Let that run end. If it was killed, its lock ends by itself within {LIFETIME_SECONDS} s."
            raise Refusal([_problem(found, "one change of the membership at a time", ends)])
        time.sleep(0.5)
        lock.renew()
    try:
        yield lock
    finally:
        # Where etcd is gone by now the lease runs out, and that must not hide why.
        with contextlib.suppress(RequestFailed):
            _release(ask, owner)


def _take(ask: Ask, owner: str, lease: str) -> str:
    """Take the lock if it is free; return who holds it now."""
    answer = ask(
        "/kv/txn",
        {
            "compare": [{"key": _bytes(KEY), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
            "success": [{"request_put": {"key": _bytes(KEY), "value": _bytes(owner), "lease": lease}}],
            "failure": [{"request_range": {"key": _bytes(KEY)}}],
        },
    )
    if answer.get("succeeded"):
        return owner
    found = answer.get("responses", [{}])[0].get("response_range", {}).get("kvs", [])
    return base64.b64decode(found[0]["value"]).decode(errors="replace") if found else ""


def _release(ask: Ask, owner: str) -> None:
    ask(
        "/kv/txn",
        {
            "compare": [{"key": _bytes(KEY), "target": "VALUE", "result": "EQUAL", "value": _bytes(owner)}],
            "success": [{"request_delete_range": {"key": _bytes(KEY)}}],
        },
    )


def _problem(found: str, wanted: str, action: str) -> Problem:
    return Problem(socket.gethostname(), f"etcd lock {KEY}", found, wanted, action)


def _bytes(text: str) -> str:
    """Keys and values travel as base64 in JSON."""
    return base64.b64encode(text.encode()).decode()
