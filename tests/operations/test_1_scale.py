# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker comes and goes, and hosts that died are removed without being contacted, while a client writes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import CONTROL_PLANES, NODES, Run, api, eventually, extended, host, lab, node_is_ready, playbook, succeed
from traffic import IMAGE, PODS, Writer

pytestmark = pytest.mark.usefixtures("cluster", "client")

NEW, DEAD_WORKER = "w3", "w2"
BALANCERS = ("lb1", "lb2")
GROUP = "/apis/apps/v1/namespaces/default/replicasets"
BUDGETS = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets"
LABELS = {"app": "guarded"}


@pytest.fixture(scope="module")
def client(cluster: None, request: pytest.FixtureRequest) -> Iterator[Writer]:
    """Somebody who writes through the load balancer all the while, and of whose writes none is lost."""
    with Writer("scale") as writer:
        yield writer
        writer.goes_on()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(
            f"\nscale up and removal: {len(writer.written)} of {writer.begun} writes were acknowledged, "
            f"the longest gap was {writer.longest_gap:.1f} s"
        )
    assert writer.wrong == []
    assert writer.lost() == []


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's, with one more worker."""
    return extended(tmp_path_factory.mktemp("scale"), workers=[NEW])


@pytest.fixture(scope="module")
def first() -> str:
    """The control plane that began the cluster, which the others joined."""
    found = {node["metadata"]["name"]: node["metadata"]["creationTimestamp"] for node in nodes().values()}
    return min(CONTROL_PLANES, key=lambda name: found[name])


def remove(name: str, inventory: Path, *more: str) -> Run:
    return playbook("-e", f"remove_node_name={name}", *more, inventory=inventory, book="playbooks/remove_node.yml")


def nodes() -> dict[str, Any]:
    return {node["metadata"]["name"]: node for node in api().get("/api/v1/nodes")["items"]}


def back_ends(balancer: str) -> set[str]:
    found = host(balancer).check_output("cat /etc/haproxy/haproxy.cfg")
    return set(re.findall(r"^    server (\S+) ", found, re.MULTILINE))


def flat(run: Run) -> str:
    """Its output without line breaks and doubled quotes, which are the screen's."""
    return " ".join(run.output.replace("''", "'").split())


def guarded_pod() -> dict[str, Any] | None:
    """The pod that its budget does not let go, while it is there and runs."""
    found = api().get(f"{PODS}?labelSelector=app%3Dguarded")["items"]
    return next((pod for pod in found if pod["status"]["phase"] == "Running"), None)


def test_a_worker_joins_though_no_token_is_left(inventory: Path) -> None:
    lab("up", NEW)
    secrets = api().get("/api/v1/namespaces/kube-system/secrets")["items"]
    assert [one for one in secrets if one["type"] == "bootstrap.kubernetes.io/token"] == []
    run = succeed(playbook("--limit", NEW, inventory=inventory))
    assert run.contacted - {NEW} < set(CONTROL_PLANES)
    assert len(run.contacted) == 2
    eventually(lambda: node_is_ready(NEW), f"{NEW} is Ready")


@pytest.fixture(scope="module")
def dead_worker(cluster: None) -> str:
    """A worker that has died, which the cluster needs 40 s to see; the next tests are meanwhile."""
    lab("power-off", DEAD_WORKER)
    return DEAD_WORKER


@pytest.mark.usefixtures("dead_worker")
def test_a_budget_that_lets_no_pod_go_keeps_the_worker_as_it_was(inventory: Path) -> None:
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": NEW},
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": IMAGE}],
    }
    kube, template = api(), {"metadata": {"labels": LABELS}, "spec": spec}
    group = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
    kube.create(GROUP, {"metadata": {"name": "guarded"}, "spec": group})
    budget = {"minAvailable": 1, "selector": {"matchLabels": LABELS}}
    kube.create(BUDGETS, {"metadata": {"name": "guarded"}, "spec": budget})
    eventually(lambda: guarded_pod() is not None, "the guarded pod runs")
    before = guarded_pod()
    assert before

    run = remove(NEW, inventory, "-e", "remove_node_drain_timeout_seconds=5")
    assert run.code != 0
    assert f"pod default/{before['metadata']['name']}: found it still there after 5 s" in flat(run)
    assert "disruption budget" in flat(run)
    node = nodes()[NEW]
    assert "unschedulable" not in node["spec"]
    assert "kubeadm.ha/drain" not in node["metadata"]["annotations"]
    after = guarded_pod()
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert host(NEW).file("/etc/kubernetes/kubelet.conf").exists


def test_a_worker_that_lives_is_drained_reset_and_removed(inventory: Path, dead_worker: str) -> None:
    # A run expects of every node that was Ready when it began to be so at its end.
    eventually(lambda: not node_is_ready(dead_worker), f"{dead_worker} is seen as not Ready")
    api().delete(f"{BUDGETS}/guarded")
    foretold = succeed(remove(NEW, inventory, "--check", "--diff"))
    assert nodes().keys() >= {NEW}
    run = succeed(remove(NEW, inventory, "--diff"))
    assert (foretold.changes, foretold.subjects) == (run.changes, run.subjects)
    api().delete(f"{GROUP}/guarded")
    assert NEW not in nodes()
    assert not host(NEW).file("/etc/kubernetes/kubelet.conf").exists
    assert "Take w3 out of the inventory" in flat(run)


def test_a_worker_that_is_off_is_removed_and_never_contacted(inventory: Path, dead_worker: str) -> None:
    refused = remove("w", inventory)  # a part of a name is nobody's
    assert refused.code != 0
    assert "w1" in flat(refused).split("Did you mean")[1]
    run = succeed(remove(dead_worker.upper(), inventory))
    assert dead_worker not in run.contacted
    assert run.contacted.isdisjoint(BALANCERS)
    assert nodes().keys() == set(NODES) - {dead_worker}
    assert f"--limit {dead_worker}" in flat(run)


@pytest.fixture(scope="module")
def dead_first(first: str) -> str:
    """The control plane that began the cluster, once the cluster has seen that it died."""
    lab("power-off", first)
    eventually(lambda: not node_is_ready(first), f"{first} is seen as not Ready")
    return first


def test_the_control_plane_that_began_the_cluster_is_removed_while_it_is_off(inventory: Path, dead_first: str) -> None:
    run = succeed(remove(dead_first, inventory))
    assert dead_first not in run.contacted
    assert nodes().keys() == set(NODES) - {DEAD_WORKER, dead_first}
    assert f"etcd's voters: {', '.join(sorted(set(CONTROL_PLANES) - {dead_first}))}" in flat(run)
    for balancer in BALANCERS:
        assert back_ends(balancer) == set(CONTROL_PLANES) - {dead_first}
    status = api().get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")["data"]["ClusterStatus"]
    assert re.findall(r"^  (\w+):$", status, re.MULTILINE) == sorted(set(CONTROL_PLANES) - {dead_first})


def test_what_is_gone_is_nothing_to_remove(inventory: Path, dead_first: str) -> None:
    run = succeed(remove(dead_first, inventory))
    assert set(run.changed.values()) == {0}
    assert dead_first not in run.contacted
    assert f"{dead_first}: there was nothing to remove." in flat(run)


def test_two_voters_are_not_made_one(inventory: Path, dead_first: str) -> None:
    refused = remove(next(name for name in CONTROL_PLANES if name != dead_first), inventory)
    assert refused.code != 0
    assert "found 2 voters, wanted 2 left" in flat(refused)
    assert refused.changes == set()


def test_hosts_that_are_back_are_reset_and_join_again(inventory: Path, dead_first: str, dead_worker: str) -> None:
    """Nobody told them: their kubelets register nodes anew, which are removed once more, alive this time."""
    away = (dead_first, dead_worker)
    lab("power-on", *away)
    for name in away:
        eventually(lambda name=name: name in nodes() and node_is_ready(name), f"{name} registers itself")
        run = succeed(remove(name, inventory))
        assert name in run.contacted
        assert not host(name).file("/etc/kubernetes/kubelet.conf").exists
        assert name not in nodes()
    assert not host(dead_first).file("/var/lib/etcd/member").exists
    succeed(playbook("--limit", ",".join((*away, "load_balancers"))))
    for name in away:
        eventually(lambda name=name: node_is_ready(name), f"{name} is Ready")
    for balancer in BALANCERS:
        assert back_ends(balancer) == set(CONTROL_PLANES)
    assert set(succeed(playbook()).changed.values()) == {0}
