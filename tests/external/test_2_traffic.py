# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods on different nodes reach each other through a Service."""

from __future__ import annotations

from traffic import expect_service_across_nodes


def test_pod_reaches_a_service_on_another_node(cluster: None) -> None:
    expect_service_across_nodes("w1", "cp1")
