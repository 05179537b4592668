# SPDX-License-Identifier: GPL-3.0-or-later
"""A node is emptied as budgets allow, or left as it was; a dead one is not waited for."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import draining
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules import node_drain

NODE = "/api/v1/nodes/w1"
BUDGET = RequestFailed("POST …: 429 Cannot evict pod as it would violate the pod's disruption budget.", 429)


class Cluster:
    """One node and its pods; what is evicted is gone after as many looks as are said."""

    def __init__(self, *names: str, ends_after: int = 1, closed: bool = False) -> None:
        self.node: Document | None = {
            "metadata": {"name": "w1", "annotations": {}},
            "spec": {"unschedulable": True} if closed else {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        self.pods: dict[str, Document] = {
            name: {
                "metadata": {
                    "namespace": "shop",
                    "name": name,
                    "uid": name,
                    "ownerReferences": [{"kind": "ReplicaSet", "controller": True}],
                },
                "status": {"phase": "Running"},
            }
            for name in names
        }
        self.ends_after = ends_after
        self.refuses: dict[str, list[RequestFailed]] = {}
        self.silent = 0
        self.dies_when_asked = False
        self.comes_back = False
        self.patches: list[Document] = []

    @property
    def closed(self) -> bool:
        assert self.node
        return bool(self.node["spec"].get("unschedulable"))

    def find(self, path: str) -> Document | None:
        assert path == NODE
        return copy.deepcopy(self.node)

    def get(self, path: str) -> Document:
        if path == "/api/v1":
            return {"resources": [{"name": "pods/eviction", "group": "policy", "version": "v1"}]}
        assert path.endswith("spec.nodeName%3Dw1")
        if self.silent:
            self.silent -= 1
            raise RequestFailed("GET …: timed out")
        found = {"items": copy.deepcopy(list(self.pods.values()))}
        for name, pod in list(self.pods.items()):
            left = pod["metadata"].get("deletionTimestamp")
            if left is not None:
                if left <= 1:
                    del self.pods[name]
                    if self.comes_back:
                        metadata = {key: value for key, value in pod["metadata"].items() if key != "deletionTimestamp"}
                        self.pods[name] = {**pod, "metadata": {**metadata, "uid": f"{metadata['uid']}-again"}}
                else:
                    pod["metadata"]["deletionTimestamp"] = left - 1
        return found

    def create(self, path: str, body: Document) -> Document:
        name = body["metadata"]["name"]
        assert path == f"/api/v1/namespaces/shop/pods/{name}/eviction"
        assert self.closed, "a pod was evicted before the node was closed"
        refusals = self.refuses.get(name, [])
        if refusals:
            raise refusals[0] if len(refusals) == 1 else refusals.pop(0)
        self.pods[name]["metadata"]["deletionTimestamp"] = self.ends_after
        if self.dies_when_asked:
            assert self.node
            self.node["status"]["conditions"][0]["status"] = "Unknown"
        return {}

    def request(self, method: str, path: str, body: Document, content_type: str) -> Document:
        assert (method, path, content_type) == ("PATCH", NODE, node_drain.MERGE)
        assert self.node
        self.patches.append(body)
        for part in ("metadata", "spec"):
            for key, value in body[part].items():
                target = self.node[part]
                if key == "annotations":
                    target["annotations"].update(value)
                elif value is None:
                    target.pop(key, None)
                else:
                    target[key] = value
        annotations = self.node["metadata"]["annotations"]
        self.node["metadata"]["annotations"] = {key: value for key, value in annotations.items() if value is not None}
        return {}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes only where somebody waits."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: now[0])


def drain(cluster: Any, patience: float = 10) -> node_drain.Drain:
    return node_drain.Drain(cast(KubeApi, cluster), "w1", patience)


def test_all_pods_leave_and_the_node_stays_closed() -> None:
    cluster = Cluster("a", "b", ends_after=3)
    run = drain(cluster)
    run.run()
    assert cluster.pods == {}
    assert cluster.closed
    assert sorted(run.outcome.evicted) == ["shop/a", "shop/b"]
    again = drain(cluster)
    again.run()
    assert not again.outcome.changed


def test_a_budget_is_waited_for() -> None:
    cluster = Cluster("a")
    cluster.refuses["a"] = [BUDGET, BUDGET, RequestFailed("gone", 404)]
    cluster.refuses["a"].append(BUDGET)
    with pytest.raises(Refusal) as refused:
        drain(cluster).run()
    assert "disruption budget" in str(refused.value)
    cluster.refuses.clear()
    drain(cluster).run()
    assert cluster.pods == {}


def test_what_is_given_up_is_as_it_was() -> None:
    cluster = Cluster("a", "b")
    cluster.refuses["b"] = [BUDGET]
    with pytest.raises(Refusal) as refused:
        drain(cluster).run()
    assert "shop/b" in str(refused.value)
    assert "shop/a" not in str(refused.value)
    assert not cluster.closed
    assert not draining.is_ours(cluster.node or {})


def test_a_node_that_somebody_else_closed_stays_closed() -> None:
    cluster = Cluster("a", closed=True)
    cluster.refuses["a"] = [BUDGET]
    with pytest.raises(Refusal):
        drain(cluster).run()
    assert cluster.closed
    assert cluster.patches == []


def test_what_a_killed_run_has_closed_is_opened_where_the_next_one_gives_up() -> None:
    cluster = Cluster("a")
    assert cluster.node
    cluster.request("PATCH", NODE, draining.closing(closed=True), node_drain.MERGE)
    cluster.refuses["a"] = [BUDGET]
    with pytest.raises(Refusal):
        drain(cluster).run()
    assert not cluster.closed


def test_a_pod_that_never_ends_is_not_waited_for_without_end() -> None:
    cluster = Cluster("a", ends_after=10**6)
    with pytest.raises(Refusal, match="told to end, and has not yet"):
        drain(cluster).run()
    assert not cluster.closed


def test_a_node_that_dies_meanwhile_is_not_waited_for() -> None:
    cluster = Cluster("a", ends_after=10**6)
    cluster.dies_when_asked = True
    run = drain(cluster)
    run.run()
    assert run.outcome.left == ["shop/a"]
    assert cluster.closed


def test_an_api_server_that_is_silent_for_a_moment_is_asked_again() -> None:
    cluster = Cluster("a")
    cluster.silent = 3
    drain(cluster).run()
    assert cluster.pods == {}
    cluster = Cluster("a")
    cluster.silent = 10**6
    with pytest.raises(RequestFailed, match="timed out"):
        drain(cluster).run()
    assert not cluster.closed


@pytest.mark.parametrize("toleration", [{"operator": "Exists"}, {"key": "node.kubernetes.io/unschedulable"}])
def test_a_pod_that_comes_back_to_the_closed_node_is_not_chased(toleration: Document) -> None:
    cluster = Cluster("a")
    cluster.pods["a"]["spec"] = {"tolerations": [toleration]}
    cluster.comes_back = True
    run = drain(cluster)
    run.run()
    assert run.outcome.evicted == ["shop/a"]
    assert cluster.pods["a"]["metadata"]["uid"] != "a"


def test_a_node_that_is_not_there_is_drained() -> None:
    cluster = Cluster()
    cluster.node = None
    run = drain(cluster)
    run.run()
    assert not run.outcome.changed


def test_what_is_foretold_is_what_is_done() -> None:
    cluster = Cluster("a", "b")
    foretold, done = drain(cluster), drain(cluster)
    foretold.foretell()
    assert cluster.patches == []
    done.run()
    assert draining.diff("w1", foretold.outcome) == draining.diff("w1", done.outcome)
