# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and taints are on the real nodes as their variables say, and so are those of everybody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import Run, api, playbook, succeed

pytestmark = pytest.mark.usefixtures("cluster")

MERGE = "application/merge-patch+json"
CONTROL_PLANE = {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}
SPARE = {"key": "example.com/spare", "value": "yes", "effect": "PreferNoSchedule"}
THEIRS = {"key": "example.com/theirs", "effect": "PreferNoSchedule"}


def node(name: str) -> dict[str, Any]:
    return api().get(f"/api/v1/nodes/{name}")


def labels(name: str) -> dict[str, str]:
    return node(name)["metadata"]["labels"]


def taints(name: str) -> list[dict[str, str]]:
    return node(name)["spec"].get("taints", [])


def changed(run: Run) -> int:
    return sum(succeed(run).changed.values())


def test_new_nodes_have_what_they_should_and_keep_what_others_gave_them() -> None:
    assert {"node-role.kubernetes.io/worker": "", "example.com/rack": "7"}.items() <= labels("w1").items()
    assert labels("w1")["kubernetes.io/hostname"] == "w1"
    assert taints("w1") == [SPARE]
    assert taints("cp1") == [CONTROL_PLANE]
    assert taints("cp2") == []


@pytest.mark.on_demand
def test_what_is_wanted_no_more_goes_and_what_others_set_stays(inventory: Path) -> None:
    theirs = {"metadata": {"labels": {"example.com/theirs": "1", "example.com/rack": "8"}}}
    theirs["spec"] = {"taints": [*taints("w1"), THEIRS]}
    api().request("PATCH", "/api/v1/nodes/w1", theirs, MERGE)
    try:
        # Without --limit the run would also ask cp1 and cp2, and say the same.
        mine = ("-e", '{"cluster_node_labels": {"example.com/zone": "a"}, "cluster_node_taints": []}', "--limit", "w1")
        foretold = succeed(playbook(*mine, "--check", "--diff", inventory=inventory))
        assert foretold.changed == {"w1": 1}
        for line in ("+label example.com/zone=a", "-label node-role.kubernetes.io/worker=", "-taint example.com/spare"):
            assert line in foretold.output
        assert changed(playbook(*mine, inventory=inventory)) == 1
        assert "node-role.kubernetes.io/worker" not in labels("w1")
        assert labels("w1")["example.com/zone"] == "a"
        assert (labels("w1")["example.com/theirs"], labels("w1")["example.com/rack"]) == ("1", "8")
        assert taints("w1") == [THEIRS]
        assert changed(playbook(*mine, inventory=inventory)) == 0
    finally:
        gone = {"metadata": {"labels": {"example.com/theirs": None}}, "spec": {"taints": []}}
        api().request("PATCH", "/api/v1/nodes/w1", gone, MERGE)
        assert changed(playbook("--limit", "w1", inventory=inventory)) == 1
    test_new_nodes_have_what_they_should_and_keep_what_others_gave_them()


@pytest.mark.on_demand
def test_control_plane_is_closed_and_opened_again(inventory: Path) -> None:
    closed = ("-e", '{"cluster_control_plane_schedulable": false}', "--limit", "cp2")
    assert changed(playbook(*closed, inventory=inventory)) == 1
    assert taints("cp2") == [CONTROL_PLANE]
    assert changed(playbook("--limit", "cp2", inventory=inventory)) == 1
    assert taints("cp2") == []
