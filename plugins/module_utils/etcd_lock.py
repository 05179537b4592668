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

from .etcd import encoded
from .https_json import Document, RequestFailed
from .problems import Problem, Refusal

KEY = "/kubeadm.ha/membership"
LIFETIME_SECONDS = 60

Ask = Callable[[str, Document], Document]


class LockLost(RequestFailed):
    """It was not renewed in time, and somebody else may hold it by now."""


class Lock:
    """The lock of one run, which takes it for each change."""

    def __init__(self, ask: Ask) -> None:
        """
        Args:
            ask: calls a method of etcd's gateway with a body, on a member that answers.
        """
        self._ask = ask
        self._host = socket.gethostname()
        self._owner = f"{self._host} process {os.getpid()} {uuid.uuid4()}"
        self._lease = ""
        self._ends = 0.0

    @contextlib.contextmanager
    def held(self, patience: float) -> Iterator[None]:
        """Hold the lock.

        Args:
            patience: seconds to wait for another holder.

        Raises:
            Refusal: another one holds it for longer.
            RequestFailed: etcd does not answer.
        """
        began = _now()
        granted = self._ask("/lease/grant", {"TTL": str(LIFETIME_SECONDS)})
        self._lease, self._ends = granted["ID"], began + int(granted["TTL"])
        try:
            while (holder := self._take()) != self._owner:
                if _now() > began + patience:
                    raise Refusal([self._taken(holder, patience)])
                time.sleep(0.2)
                if self._ends - _now() < LIFETIME_SECONDS / 2:
                    self.renew()
            yield
        finally:
            # The key goes with its lease. Where etcd is gone by now both run out, and that must not hide why.
            with contextlib.suppress(RequestFailed):
                self._ask("/kv/lease/revoke", {"ID": self._lease})  # which every version serves

    def renew(self) -> None:
        """Count the lock's life from now on again.

        Raises:
            LockLost: it had ended.
            RequestFailed: etcd does not answer.
        """
        began = _now()
        left = int(self._ask("/lease/keepalive", {"ID": self._lease}).get("result", {}).get("TTL", 0))
        if left <= 0:
            raise LockLost(f"etcd lock {KEY}: found that it has ended, wanted it held. Run again.")
        self._ends = began + left

    def confirm(self, seconds: float) -> None:
        """Make sure, by this host's own clock, that the lock lasts for so long: this process may have been frozen.

        Raises:
            LockLost: it does not.
        """
        if _now() + seconds > self._ends:
            raise LockLost(f"etcd lock {KEY}: found it held for too long, wanted a change at once. Run again.")

    def _take(self) -> str:
        """Take the lock if it is free; return who holds it now."""
        answer = self._ask(
            "/kv/txn",
            {
                "compare": [{"key": encoded(KEY), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                "success": [
                    {"request_put": {"key": encoded(KEY), "value": encoded(self._owner), "lease": self._lease}}
                ],
                "failure": [{"request_range": {"key": encoded(KEY)}}],
            },
        )
        if answer.get("succeeded"):
            return self._owner
        found = answer.get("responses", [{}])[0].get("response_range", {}).get("kvs", [])
        return base64.b64decode(found[0]["value"]).decode(errors="replace") if found else ""

    def _taken(self, holder: str, patience: float) -> Problem:
        return Problem(
            host=self._host,
            subject=f"etcd lock {KEY}",
            found=f"{' '.join(holder.split()[:-1])} holds it, for {patience:.0f} s by now",
            wanted="one change of the membership at a time",
            action=f"Let that run end. If it was killed, its lock ends by itself within {LIFETIME_SECONDS} s.",
        )


def _now() -> float:
    """Seconds, also those for which this machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
