# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker more, alone in its run."""

from __future__ import annotations

from pathlib import Path

from support import api, eventually, extended, lab, node_is_ready, playbook, succeed


def test_new_worker_joins_with_limit_and_touches_no_other_host(cluster: None, tmp_path: Path) -> None:
    lab("up", "w3")
    inventory = extended(tmp_path, workers=["w3", *(f"elsewhere{number}" for number in range(20))])
    run = succeed(playbook("--limit", "w3", inventory=inventory))
    assert set(run.changed) == {"w3"}
    assert run.changed["w3"] > 0
    eventually(lambda: node_is_ready("w3"), "w3 is Ready")
    again = succeed(playbook("--limit", "w3", inventory=inventory))
    assert again.changed == {"w3": 0}
    nodes = {node["metadata"]["name"] for node in api().get("/api/v1/nodes")["items"]}
    assert "w3" in nodes
