# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes know each other by name where the inventory asks for it."""

from __future__ import annotations

import pytest
from conftest import HOSTS
from support import api, host

BLOCK = "sed -n '/^# BEGIN kubeadm.ha$/,/^# END kubeadm.ha$/p' /etc/hosts"


@pytest.mark.parametrize("name", HOSTS)
def test_every_node_is_named_in_one_block(cluster: None, name: str) -> None:
    nodes = api().get("/api/v1/nodes")["items"]
    expected = {
        node["metadata"]["name"]: next(
            entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"
        )
        for node in nodes
    }
    lines = host(name).check_output(BLOCK).splitlines()[1:-1]
    assert {line.split()[1]: line.split()[0] for line in lines} == expected
