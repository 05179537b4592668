# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary: what every run of a playbook shows, says and leaves is kept, and searched for the lab's secrets.

Each run goes with a fact cache, a log, folders for temporary files of its own, and a sampler of processes and files on
all hosts. At the end of a session all that, the hosts' disks, memories and journals, and what this machine has in its
temporary folders are searched for every private key, token and certificate key that there was.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from . import search
from .harvest import Harvest
from .sampler import Sampler
from .shapes import Known

MARK = "KUBEADM_HA_CANARY"
WAYS = CHECKED, REAL, FAILING = "in check mode", "for real", "failing"


class Canary:
    """What one session's runs have shown.

    Args:
        state: the lab's folder, in which a folder is made for this session.

    Attributes:
        known: the secrets; tests add those that only they know.
        harvest: how many were learnt.
        ways: names of playbooks that were run, each with one of ``WAYS``.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / "canary" / str(os.getpid())
        self._begin = time.time()
        self._numbers = itertools.count(1)
        self.known = Known()
        self.harvest = Harvest(state, self.known)
        self.ways: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._sampler: Sampler | None = None

    def _made(self) -> Path:
        """This session's folder; those of sessions that ended are removed."""
        with self._lock:
            if not self._folder.exists():
                for other in self._folder.parent.glob("*"):
                    if not Path("/proc", other.name).exists():
                        shutil.rmtree(other, ignore_errors=True)  # another session may be at it
                for name in ("facts", "local", "tmp", "runs"):
                    (self._folder / name).mkdir(parents=True)
                self._folder.chmod(0o700)
        return self._folder

    def environment(self) -> dict[str, str]:
        """What makes ansible-playbook keep what it can."""
        folder = self._made()
        return {
            MARK: str(folder),
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            # Of each run by itself, for none may live on what another one has learnt.
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(folder / "facts" / str(next(self._numbers))),
            "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
            "ANSIBLE_LOG_PATH": str(folder / "ansible.log"),
            "TMPDIR": str(folder / "tmp"),
        }

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Sample what shows only for a moment."""
        folder = self._made()
        with self._lock:
            if self._sampler is None:
                own = [folder / "local", folder / "tmp", folder / "facts"]
                seen = (folder / "processes", folder / "temporary files")
                self._sampler = Sampler(self._state, self.harvest, f"{MARK}={folder}".encode(), own, *seen)
        with self._sampler:
            yield

    def keep(self, book: str, argv: tuple[str, ...], code: int, *shown: str) -> None:
        """Keep what a run has shown."""
        self.ways.add((Path(book).name, FAILING if code else CHECKED if "--check" in argv else REAL))
        (self._made() / "runs" / f"{next(self._numbers)} {Path(book).stem}").write_text("\n".join(shown))

    def search(self, *own: Path) -> list[str]:
        """Every secret that shows where it must not, by place, once for each place.

        Args:
            own: folders of the tests themselves, who may write down what they like.
        """
        folder = self._made()
        self.harvest.look()
        # Keys for users are among them. Suites that run beside this one make thousands of keys, and may show them.
        self.harvest.users(path for place in own for path in search.changed_since(place, self._begin, ()))
        # The lab's hosts are searched each in its own way.
        outside = {self._state, *own, *Path("/tmp").glob("pytest-of-*")}
        places = (self._state / "logs", self._state.parent, Path.home() / ".ansible", Path("/tmp"))
        written = (path for place in places for path in search.changed_since(place, self._begin, outside - {place}))
        found = search.files(self.known, [folder, *written])
        found |= search.disks(self.known, self._state)
        found |= search.memories(self.known, self._state)
        found |= search.journals(self.known, self._state, folder)
        return [f"{place} ({where})" for place, where in sorted(found.items())]

    def modes(self) -> list[str]:
        """Files of the cluster that others than root may read or change."""
        return search.modes(self._state)
