# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs: output to a log file, and a failure that shows its end."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import LabError

TAIL_LINES = 20

CONTAINED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Prefix for a command with mounts and processes of its own, none of which outlives the command or its caller."""


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented for an error message."""
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line}" for line in text[-lines:])


def run(command: Sequence[str | Path], log: Path) -> None:
    """Run a command with all its output appended to the log; raise a LabError with the log's end if it fails."""
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        out.write(f"$ {shlex.join(words)}\n")
        out.flush()
        code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode
    if code:
        raise LabError(
            f"command {words[0]}",
            found=f"exit code {code}; the end of its output:\n{tail(log)}",
            wanted="exit code 0",
            do=f"read {log}",
        )


def output(command: Sequence[str | Path]) -> str:
    """What a quick command prints; its own error text if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"command {shlex.join(words)}", found=f"exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def succeeds(command: Sequence[str | Path]) -> bool:
    """Whether a quick command exits with 0; its output is dropped."""
    words = [str(word) for word in command]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
