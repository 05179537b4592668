# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong, said the same way everywhere: subject, found, wanted, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CLUSTER = "cluster"


@dataclass(frozen=True, order=True)
class Problem:
    """One reason to stop, or one to warn of.

    Attributes:
        host: inventory name of the host that has it, or ``CLUSTER``.
        subject: the thing that is wrong.
        found: what it is.
        wanted: what it should be.
        action: what a person does about it.
    """

    host: str
    subject: str
    found: str
    wanted: str
    action: str

    def __str__(self) -> str:
        return f"{self.host}: {self.subject}: found {self.found}, wanted {self.wanted}. {self.action}"


class Refusal(Exception):
    """Raised by a core that will not go on; carries every problem that it saw."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__(describe(self.problems))


def describe(problems: Iterable[Problem]) -> str:
    """All problems as text, a line each, those of one host together."""
    return "\n".join(str(problem) for problem in sorted(set(problems)))


def some(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
