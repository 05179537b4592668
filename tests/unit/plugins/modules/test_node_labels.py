# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that others write at the same time loses nothing, and one that never came is named."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi
from ansible_collections.kubeadm.ha.plugins.module_utils.node_labels import Wanted
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules import node_labels

WANTED = Wanted("w1", taints=[{"key": "ours", "effect": "NoSchedule"}])
THEIRS = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


class BusyApi:
    """One node, whose taints somebody else changes before each of so many changes."""

    def __init__(self, interruptions: int) -> None:
        self.interruptions = interruptions
        self.node: Document = {"metadata": {"name": "w1", "resourceVersion": "1"}, "spec": {}}

    def get(self, path: str) -> Document:
        return copy.deepcopy({"items": [self.node]} if path == node_labels.NODES else self.node)

    def request(self, method: str, path: str, body: Document, content_type: str) -> Document:
        assert (method, path, content_type) == ("PATCH", "/api/v1/nodes/w1", "application/merge-patch+json")
        if self.interruptions:
            self.interruptions -= 1
            self.node["spec"]["taints"] = [THEIRS]
            self._write()
        if body["metadata"]["resourceVersion"] != self.node["metadata"]["resourceVersion"]:
            raise RequestFailed("the object has been modified", 409)
        self.node["spec"].update(body["spec"])
        self._write()
        return self.node

    def _write(self) -> None:
        metadata = self.node["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)


def busy(interruptions: int) -> Any:
    return cast(KubeApi, BusyApi(interruptions))


@pytest.mark.parametrize("interruptions", [1, node_labels.ATTEMPTS - 1])
def test_bring_about_keeps_what_somebody_else_writes_meanwhile(interruptions: int) -> None:
    api = busy(interruptions)
    assert node_labels.bring_about(api, api.get("/api/v1/nodes/w1"), WANTED) is not None
    assert api.node["spec"]["taints"] == [THEIRS, *WANTED.taints]


def test_bring_about_gives_up_where_somebody_writes_all_the_time() -> None:
    api = busy(node_labels.ATTEMPTS)
    with pytest.raises(RequestFailed, match="modified"):
        node_labels.bring_about(api, api.get("/api/v1/nodes/w1"), WANTED)


def test_registered_names_every_node_that_never_came() -> None:
    with pytest.raises(Refusal) as refused:
        node_labels.registered(busy(0), {"w1", "w2", "w3"}, patience=0)
    assert [problem.host for problem in refused.value.problems] == ["w2", "w3"]
    assert list(node_labels.registered(busy(0), {"w1"}, patience=0)) == ["w1"]
