# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes are drained and deleted by a real API server, and the controller that keeps budgets; no kubelet is needed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubelab.artifacts.parts import parts
from kubelab.cache import Cache
from kubelab.settings import STATE, cache_directory

from ansible_collections.kubeadm.ha.plugins.module_utils import cluster_status, draining, evidence, kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.kube_api import KubeApi
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules.cluster_node import Removal
from ansible_collections.kubeadm.ha.plugins.modules.node_drain import Drain
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

NODES, PODS = "/api/v1/nodes", "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets"
MERGE = "application/merge-patch+json"
PATIENCE = 3.0


@pytest.fixture(scope="module")
def api(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    """An API server of 1.20 with an etcd of its own, and the controller of budgets."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    log = tmp_path_factory.mktemp("build") / "build.log"
    etcd = Cache(cache_directory(), STATE / "logs").get(parts(log)) / "root/usr/bin/etcd"
    ca = certificates.authority("ca")
    (folder / "ca.crt").write_text(ca.pem)
    ca.issue("kube-apiserver", address="127.0.0.1").write(folder, "server")
    ca.issue("service accounts", key=certificates.rsa_key()).write(folder, "sa")
    admin = ca.issue("admin", organizations=("system:masters",))
    client, peer, secure = (f"127.0.0.1:{port}" for port in free_ports(3))
    config = kubeconfig.Kubeconfig(f"https://{secure}", ca.pem, admin.pem, admin.key_pem)
    (folder / "kubeconfig").write_text(kubeconfig.render(cluster="test", user="admin", config=config))
    commands: list[list[str | Path]] = [
        [
            etcd,
            f"--data-dir={folder}/etcd",
            *(f"--{kind}-client-urls=http://{client}" for kind in ("listen", "advertise")),
            *(f"--{kind}-peer-urls=http://{peer}" for kind in ("listen", "initial-advertise")),
            f"--initial-cluster=default=http://{peer}",
        ],
        [
            program.with_name("kube-apiserver"),
            f"--etcd-servers=http://{client}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={secure.rpartition(':')[2]}",
            f"--tls-cert-file={folder}/server.crt",
            f"--tls-private-key-file={folder}/server.key",
            f"--client-ca-file={folder}/ca.crt",
            *(f"--service-account-{kind}key-file={folder}/sa.key" for kind in ("", "signing-")),
            "--service-account-issuer=https://test",
            "--service-cluster-ip-range=10.96.0.0/16",
            # Nobody makes service accounts here, or takes the taint of a new node away.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        ],
        [
            program.with_name("kube-controller-manager"),
            f"--kubeconfig={folder}/kubeconfig",
            "--controllers=disruption",
            "--port=0",
            "--secure-port=0",
            "--leader-elect=false",
        ],
    ]
    output = (folder / "log").open("wb")
    processes = [subprocess.Popen(command, stdout=output, stderr=output) for command in commands]
    try:
        found = KubeApi(config)
        eventually(lambda: bool(found.get("/readyz")))
        yield found
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _number in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def eventually(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except RequestFailed:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def node(api: KubeApi) -> Iterator[str]:
    """A node that is Ready, as far as the API knows, and is gone afterwards with its pods."""
    name = f"w{time.time_ns()}"
    api.create(NODES, {"metadata": {"name": name}})
    set_ready(api, name, "True")
    yield name
    for pod in api.get(PODS)["items"]:
        path = f"{PODS}/{pod['metadata']['name']}"
        api.request("PATCH", path, {"metadata": {"finalizers": None}}, MERGE)
        api.delete(path)
    for budget in api.get(BUDGETS)["items"]:
        api.delete(f"{BUDGETS}/{budget['metadata']['name']}")
    api.delete(f"{NODES}/{name}")


def set_ready(api: KubeApi, name: str, status: str) -> None:
    condition = {"type": "Ready", "status": status}
    api.request("PATCH", f"{NODES}/{name}/status", {"status": {"conditions": [condition]}}, MERGE)


def run_pod(api: KubeApi, name: str, node: str, **metadata: Any) -> None:
    """A pod that its kubelet says to be ready."""
    about = {"name": name, "labels": {"app": name}, **metadata}
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "none"}]}
    api.create(PODS, {"metadata": about, "spec": spec})
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    api.request("PATCH", f"{PODS}/{name}/status", {"status": status}, MERGE)


def guard(api: KubeApi, app: str, name: str) -> None:
    """A budget that lets none of an app's pods go, once its controller has seen it."""
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}}
    api.create(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    eventually(lambda: api.get(f"{BUDGETS}/{name}")["status"].get("currentHealthy") == 1)


def pods(api: KubeApi) -> set[str]:
    return {pod["metadata"]["name"] for pod in api.get(PODS)["items"]}


def refusal(api: KubeApi, node: str) -> str:
    with pytest.raises(Refusal) as refused:
        Drain(api, node, PATIENCE).run()
    return str(refused.value)


def test_pods_go_as_their_budgets_allow_and_the_node_is_left_as_it_was(api: KubeApi, node: str) -> None:
    run_pod(api, "free", node)
    run_pod(api, "kept", node)
    guard(api, "kept", "first")
    said = refusal(api, node)
    assert "pod default/kept" in said
    assert "disruption budget" in said
    assert pods(api) == {"kept"}
    found = api.get(f"{NODES}/{node}")
    assert not draining.is_closed(found)
    assert not draining.is_ours(found)

    guard(api, "kept", "second")
    assert "more than one PodDisruptionBudget" in refusal(api, node)

    for name in ("first", "second"):
        api.delete(f"{BUDGETS}/{name}")
    foretold, drain, again = (Drain(api, node, 60) for _time in range(3))
    foretold.foretell()
    drain.run()
    assert foretold.outcome == drain.outcome
    assert drain.outcome.evicted == ["default/kept"]
    assert pods(api) == set()
    assert draining.is_closed(api.get(f"{NODES}/{node}"))
    again.run()
    assert not again.outcome.changed


def test_a_later_pod_of_the_same_name_is_not_evicted(api: KubeApi, node: str) -> None:
    run_pod(api, "again", node)
    earlier = draining.Pod("default/again", "11111111-1111-1111-1111-111111111111")
    with pytest.raises(RequestFailed) as refused:
        api.create(earlier.path, draining.eviction(earlier, draining.eviction_version(api.get("/api/v1"))))
    assert refused.value.status == 409
    assert pods(api) == {"again"}


def test_a_pod_that_never_ends_is_given_up_and_not_waited_for_on_a_dead_node(api: KubeApi, node: str) -> None:
    run_pod(api, "stuck", node, finalizers=["example.com/never"])
    assert "told to end, and has not yet" in refusal(api, node)
    dies = threading.Timer(1, set_ready, (api, node, "Unknown"))
    dies.start()
    drain = Drain(api, node, 120)
    drain.run()
    dies.join()
    assert drain.outcome.left == ["default/stuck"]


def test_a_node_is_deleted_with_what_kubeadm_keeps_of_it(api: KubeApi, node: str) -> None:
    other = f"{node}0"
    kept = "".join(f"  {name}:\n    advertiseAddress: 192.0.2.1\n    bindPort: 6443\n" for name in (node, other))
    data = {cluster_status.KEY: f"apiEndpoints:\n{kept}kind: ClusterStatus\n"}
    folder = evidence.KUBEADM_CONFIG.rpartition("/")[0]
    api.create(folder, {"metadata": {"name": "kubeadm-config"}, "data": data})
    foretold, removal, again = (Removal(node) for _time in range(3))
    foretold.attempt(api, check_mode=True)
    removal.attempt(api, check_mode=False)
    again.attempt(api, check_mode=False)
    assert foretold.diffs == removal.diffs
    assert len(removal.diffs) == 2
    assert again.diffs == {}
    assert api.find(f"{NODES}/{node}") is None
    after = api.get(evidence.KUBEADM_CONFIG)["data"][cluster_status.KEY]
    assert f"  {other}:\n" in after
    assert f"  {node}:\n" not in after
