# SPDX-License-Identifier: GPL-3.0-or-later
"""Who takes snapshots of a cluster, and alone may open them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support import INVENTORY, ROOT, Run, playbook

OPENED = "/root/opened"
SHOWN = {"ANSIBLE_SHOW_CUSTOM_STATS": "1"}


@dataclass(frozen=True)
class Owner:
    """A key, and what was taken for it.

    Attributes:
        folder: where they are kept.
        inventory: of the cluster.
    """

    folder: Path
    inventory: Path = INVENTORY

    @property
    def private(self) -> Path:
        return self.folder / "snapshot.key"

    @property
    def public(self) -> Path:
        return self.folder / "snapshot.pub"

    @property
    def snapshots(self) -> list[Path]:
        return sorted(self.folder.glob("kept/*"))

    def take(self, *more: str, key: Path | None = None) -> Run:
        # As typed in the folder where the run is started.
        public, kept = (os.path.relpath(path, ROOT) for path in (key or self.public, self.folder / "kept"))
        given = {"snapshot_public_key": public, "snapshot_directory": kept}
        return playbook(
            "-e", json.dumps(given), *more, inventory=self.inventory, book="playbooks/snapshot.yml", env=SHOWN
        )

    def open(self, name: str, *more: str, key: Path | None = None) -> Run:
        given = {
            "snapshot_open_host": name,
            "snapshot_open_file": os.path.relpath(self.snapshots[0], ROOT),
            "snapshot_open_private_key": str(key or self.private),
            "snapshot_open_files_dest": OPENED,
            "snapshot_open_dest": f"{OPENED}/etcd.db",
        }
        return playbook("-e", json.dumps(given), *more, inventory=self.inventory, book="playbooks/open_snapshot.yml")


def made(folder: Path, inventory: Path = INVENTORY) -> Owner:
    """As docs/operations/snapshot.md has it."""
    owner = Owner(folder, inventory)
    for command in (
        "openssl genpkey -algorithm X25519 -out snapshot.key",
        "openssl pkey -in snapshot.key -pubout -out snapshot.pub",
    ):
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return owner
