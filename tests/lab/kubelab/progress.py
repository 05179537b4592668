# SPDX-License-Identifier: GPL-3.0-or-later
"""One line when a step begins, one when it ends, and one every half minute between, so that waiting is never silent."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT = 30
"""Seconds between two signs of life of one step."""

_began = time.monotonic()
_printing = threading.Lock()


def say(text: str) -> None:
    """Print one line with the seconds since the command began; safe from any thread."""
    with _printing:
        print(f"{time.monotonic() - _began:7.1f}s  {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce the work of the block, then how long it took."""
    began = time.monotonic()
    finished = threading.Event()

    def heartbeat() -> None:
        while not finished.wait(HEARTBEAT):
            say(f"{text}: still at it after {time.monotonic() - began:.0f} s")

    say(f"{text} ...")
    threading.Thread(target=heartbeat, daemon=True).start()
    try:
        yield
    except BaseException:
        say(f"{text}: FAILED after {time.monotonic() - began:.1f} s")
        raise
    finally:
        finished.set()
    say(f"{text}: done in {time.monotonic() - began:.1f} s")
