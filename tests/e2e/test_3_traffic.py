# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods on different nodes reach each other through a Service."""

from __future__ import annotations

import pytest
from traffic import expect_service_across_nodes


@pytest.mark.parametrize(("server_node", "client_node"), [("w1", "w2"), ("w2", "w1")])
def test_pod_reaches_a_service_on_another_node(cluster: None, server_node: str, client_node: str) -> None:
    expect_service_across_nodes(server_node, client_node)
