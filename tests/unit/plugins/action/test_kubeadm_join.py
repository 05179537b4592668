# SPDX-License-Identifier: GPL-3.0-or-later
"""Control planes take turns where kubeadm adds etcd's members itself, and nobody else does."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.action import kubeadm_join

NEW = {"version": "1.29.0"}
OLD = {"version": "1.28.9"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({**NEW, "control_plane": True}, True),
        ({**NEW, "control_plane": "yes", "external_etcd": "no"}, True),
        ({**NEW, "control_plane": True, "external_etcd": True}, False),
        ({**OLD, "control_plane": True}, False),
        (NEW, False),
        ({"version": "latest", "control_plane": True}, False),
        ({"control_plane": True}, False),
    ],
)
def test_turns_are_for_control_planes_whose_kubeadm_adds_the_learner(arguments: dict[str, Any], expected: bool) -> None:
    assert kubeadm_join.takes_turns(arguments) is expected


def worker(folder: str, log: str) -> None:
    with kubeadm_join.turn(folder), open(log, "a", encoding="ascii") as stream:
        for word in ("begins", "ends"):
            stream.write(f"{word}\n")
            stream.flush()
            time.sleep(0.05)


def test_turn_is_one_process_at_a_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=worker, args=(str(tmp_path), str(log))) for _number in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert log.read_text(encoding="ascii").split() == ["begins", "ends"] * 4
