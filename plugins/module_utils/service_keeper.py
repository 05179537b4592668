# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd service brought to run what its files say, in one execution and whatever an earlier one left half done."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Sequence

from ansible.module_utils.basic import AnsibleModule

from . import services
from .changes import Change, file_change
from .files import read_text, write_atomic

UNIT_FOLDERS = ("/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/")


class ServiceFailed(Exception):
    """The service does not run what its files say; the message says what was found, wanted, and the journal's end."""


class Keeper:
    """Writes files, then makes the service take them up; in check mode it says what it would do.

    Attributes:
        actions: what was done, or would be, in order.
        diffs: the files' differences, in the form that Ansible shows.
    """

    def __init__(self, module: AnsibleModule, name: str) -> None:
        self.module = module
        self.name = name
        self.actions: list[str] = []
        self.diffs: list[dict[str, str]] = []
        self._changes: list[Change] = []
        self._read: list[str] = []
        self._wrote_what_is_read = False

    def write(
        self, path: str, content: str, mode: int = 0o644, validate: Sequence[str] = (), *, read_at_start: bool = True
    ) -> None:
        """Give a file this content, if it has another.

        Args:
            validate: a command that accepts or refuses the new content, with ``%s`` for its path.
            read_at_start: the service has to take a change up; others it sees by itself.

        Raises:
            ServiceFailed: the command refuses it. The file is as it was.
        """
        if read_at_start:
            self._read.append(path)
        for change in file_change(path, content, mode):
            if validate:
                self._validate(path, content, validate)
            self._apply(f"write {path}", change)
            self._wrote_what_is_read |= read_at_start

    def write_secret(self, path: str, content: str) -> None:
        """Give a file this content, for root alone, and show nothing of it; without content take the file away."""
        self._read.append(path)
        for change in file_change(path, content, 0o600) if content else ():
            hidden = Change(path, "(a secret)" if change.before else "", "(another secret)", change.apply)
            self._apply(f"write {path}", hidden)
            self._wrote_what_is_read = True
        if not content and os.path.lexists(path):
            self._apply(f"remove {path}", Change(path, "(a secret)", "", lambda: os.unlink(path)))
            self._wrote_what_is_read = True

    def remove(self, path: str, *, read_at_start: bool = True) -> None:
        """Take a file away."""
        before = read_text(path)
        if before is not None:
            self._apply(f"remove {path}", Change(path, before, "", lambda: os.unlink(path)))
            self._wrote_what_is_read |= read_at_start

    def _apply(self, description: str, change: Change) -> None:
        self.actions.append(description)
        self.diffs.append(change.diff())
        self._changes.append(change)
        if not self.module.check_mode:
            change.apply()

    def _validate(self, path: str, content: str, command: Sequence[str]) -> None:
        """Let the service's own tool judge the new content, before the file that is in use is touched."""
        if self.module.get_bin_path(command[0]) is None and self.module.check_mode:
            return  # the package that brings the tool would be installed by now
        with tempfile.NamedTemporaryFile("w", suffix=os.path.basename(path)) as candidate:
            candidate.write(content)
            candidate.flush()
            argv = [part.replace("%s", candidate.name) for part in command]
            # keepalived 2.2.7 sends itself SIGTERM once it has looked at a script that has a user of its own: it takes
            # whoever tests the file for a parent that died (lib/notify.c, check_script_secure).
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
            try:
                code, output, error = self.module.run_command(argv)
            finally:
                signal.signal(signal.SIGTERM, before)
        if code != 0:
            raise ServiceFailed(f"{path}: refused by {' '.join(argv)}: {error.strip() or output.strip()}")

    def act(self, description: str, *argv: str) -> None:
        """Run a command, but not in check mode.

        Raises:
            ServiceFailed: it ends with an error.
        """
        self.actions.append(description)
        if self.module.check_mode:
            return
        code, output, error = self.module.run_command(list(argv))
        if code != 0:
            reason = error.strip() or output.strip()
            raise ServiceFailed(
                f"{self.name}: could not {description}: {reason}\nIts journal ends with:\n{self.journal()}"
            )

    def settle(self, *, enabled: bool | None = None, started: bool = False, on_change: str = "restart") -> None:
        """Make systemd and the service take up what was written, now or by a run that was killed before it could.

        Raises:
            ServiceFailed: systemd knows no such unit.
        """
        unit = services.show(self.module.run_command, self.name)
        unit_files_written = any(change.subject.startswith(UNIT_FOLDERS) for change in self._changes)
        if unit.needs_daemon_reload or unit_files_written:
            self.act("reload systemd", "systemctl", "daemon-reload")
            if not self.module.check_mode:
                unit = services.show(self.module.run_command, self.name)
        if not unit.exists and not self.module.check_mode:
            raise ServiceFailed(
                f"{self.name}: found no such systemd unit, wanted one to manage. Install the package that brings it."
            )
        if enabled is not None and enabled != unit.enabled:
            verb = "enable" if enabled else "disable"
            self.act(f"{verb} {self.name}", "systemctl", verb, self.name)
        changed_at = max((os.stat(path).st_mtime for path in self._read if os.path.exists(path)), default=0.0)
        if unit.active and (self._wrote_what_is_read or unit.is_older_than(changed_at)):
            self.act(f"{on_change} {self.name}", "systemctl", on_change, self.name)
        elif started and not unit.active:
            self.act(f"start {self.name}", "systemctl", "start", self.name)

    def roll_back(self) -> bool:
        """Give the files back what they held and restart the service; whether there was anything to give back."""
        for change in reversed(self._changes):
            if change.before:
                write_atomic(change.subject, change.before.encode(), 0o644)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(change.subject)
        if self._changes:
            self.module.run_command(["systemctl", "restart", self.name])
        return bool(self._changes)

    def journal(self) -> str:
        """The end of the service's journal."""
        return self.module.run_command(["journalctl", "--unit", self.name, "--lines", "10", "--no-pager"])[1]
