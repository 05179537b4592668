# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units as evidence: is this service running what its files say?"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from dataclasses import dataclass

from .files import read_text

Runner = Callable[[list[str]], tuple[int, str, str]]

_PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "StateChangeTimestampMonotonic")


@dataclass(frozen=True)
class Unit:
    """One unit as systemd sees it.

    Attributes:
        exists: systemd knows the unit.
        active: it runs, or is about to.
        enabled: it starts at boot.
        needs_daemon_reload: its files changed since systemd read them.
        since: when it last started or reloaded, seconds since the epoch by the clock of now; 0.0 where it never did.
    """

    exists: bool
    active: bool
    enabled: bool
    needs_daemon_reload: bool
    since: float

    def is_older_than(self, changed_at: float) -> bool:
        """Whether it still runs what it read before ``changed_at``, a file's modification time.

        A run that is killed between writing a file and restarting its service leaves just this trace. A time in the
        future says that the clock was set back, and nothing else.
        """
        return self.active and self.since < changed_at <= time.time()


def show(run: Runner, name: str) -> Unit:
    """Ask systemd for one unit; one that it does not know is merely absent."""
    _code, output, _error = run(["systemctl", "show", name, "--property=" + ",".join(_PROPERTIES)])
    values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    changed = int(values.get("StateChangeTimestampMonotonic") or 0) / 1e6
    return Unit(
        exists=values.get("LoadState") == "loaded",
        active=values.get("ActiveState") in ("active", "activating", "reloading"),
        enabled=values.get("UnitFileState") in ("enabled", "static", "indirect", "generated"),
        needs_daemon_reload=values.get("NeedDaemonReload") == "yes",
        since=time.time() - time.monotonic() + changed if changed else 0.0,
    )


def runs(name: str) -> bool:
    """Whether a process of this host bears this name."""
    for path in glob.iglob("/proc/[0-9]*/comm"):
        try:
            if (read_text(path) or "").rstrip("\n") == name:
                return True
        except ProcessLookupError:  # it ended meanwhile
            continue
    return False
