# SPDX-License-Identifier: GPL-3.0-or-later
"""One node leaves kubeadm's ClusterStatus, and every other letter of it stays."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import cluster_status

NAMES = st.sampled_from(["cp1", "cp10", "cp1.example.com", "cp-1", "1", "c.1"])


def written(names: list[str]) -> str:
    """As kubeadm 1.20 writes it."""
    endpoints = "".join(
        f"  {name if not name.isdigit() else repr(name)}:\n    advertiseAddress: 192.0.2.{number}\n    bindPort: 6443\n"
        for number, name in enumerate(names, 11)
    )
    return (
        f"apiEndpoints:{'' if names else ' {}'}\n{endpoints}apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterStatus\n"
    )


@given(st.lists(NAMES, unique=True), NAMES)
def test_one_node_leaves_and_the_others_stay(names: list[str], gone: str) -> None:
    text = written(names)
    after = cluster_status.without(text, gone)
    assert (after == text) == (gone not in names)
    before, kept = yaml.safe_load(text), yaml.safe_load(after)
    assert kept["apiEndpoints"] or {name: one for name, one in before["apiEndpoints"].items() if name != gone} == {}
    assert kept["kind"] == before["kind"]
    assert cluster_status.without(after, gone) == after


def test_what_is_no_cluster_status_stays() -> None:
    assert cluster_status.without("", "cp1") == ""
    assert cluster_status.without("kind: Other\n  cp1:\n    a: b\n", "cp1") == "kind: Other\n  cp1:\n    a: b\n"
