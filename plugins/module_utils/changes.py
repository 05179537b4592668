# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch of settings brought about in one execution: each one compared, shown, and applied only if it differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .files import read_text, write_atomic


@dataclass(frozen=True)
class Change:
    """One difference between what is and what should be.

    Attributes:
        subject: what differs, in a person's words.
        before: as it is.
        after: as it should be.
        apply: brings it about; raises OSError or ChangeFailed.
    """

    subject: str
    before: str
    after: str
    apply: Callable[[], None]

    def diff(self) -> dict[str, str]:
        """In the form that Ansible's diff mode shows."""
        return {
            "before_header": self.subject,
            "after_header": self.subject,
            "before": _line_ended(self.before),
            "after": _line_ended(self.after),
        }


class ChangeFailed(Exception):
    """A change could not be brought about; the message says subject, found, wanted and what to do."""


def _line_ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def file_change(path: str, content: str, mode: int) -> Iterable[Change]:
    """The change that gives ``path`` this content, if it has another; modes are set with content only."""
    before = read_text(path)
    if before != content:
        yield Change(path, before or "", content, lambda: write_atomic(path, content.encode(), mode))
