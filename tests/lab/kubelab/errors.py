# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab says when it cannot go on."""

from __future__ import annotations


class LabError(Exception):
    """An error a person can act on: what it is about, what was found, what was wanted, what to do."""

    def __init__(self, subject: str, *, found: str, wanted: str = "", do: str = "") -> None:
        lines = [f"{subject}: {found}"]
        if wanted:
            lines.append(f"  wanted: {wanted}")
        if do:
            lines.append(f"  do:     {do}")
        super().__init__("\n".join(lines))


class UsageError(LabError):
    """The command line asks for something that does not exist."""
