# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that reach each other, or not, and a client that writes the whole time."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from support import api, eventually

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

IMAGE = "k8s.gcr.io/pause:3.2"
PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"

WRITES_PER_SECOND = 10


def pod(name: str, node: str, command: list[str], restart: str = "Never") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": IMAGE, "command": ["/bin/busybox", *command]}],
        },
    }


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def expect_service_across_nodes(server_node: str, client_node: str) -> str:
    """A pod on one node reads from a pod on another, by a Service; returns the server's address."""
    server, client, kube = f"server-{server_node}", f"client-{client_node}", api()
    try:
        kube.create(PODS, pod(server, server_node, ["httpd", "-f", "-p", "8080", "-h", "/bin"], restart="Always"))
        address = kube.create(SERVICES, service(server))["spec"]["clusterIP"]
        # Not by wget's own -T, which crashes Debian's static busybox.
        fetch = f"until timeout 5 wget -q -O /dev/null http://{address}/busybox; do sleep 1; done"
        kube.create(PODS, pod(client, client_node, ["sh", "-c", fetch]))
        eventually(
            lambda: kube.get(f"{PODS}/{client}")["status"]["phase"] == "Succeeded",
            f"{client} on {client_node} reads from {server} on {server_node} through its Service",
        )
        return str(kube.get(f"{PODS}/{server}")["status"]["podIP"])
    finally:
        kube.delete(f"{SERVICES}/{server}")
        kube.delete(f"{PODS}/{server}")
        kube.delete(f"{PODS}/{client}")


class Writer:
    """A client that writes ten ConfigMaps a second by the cluster's endpoint, and reads each back.

    A write begins when its time has come, whether earlier ones were answered or not, so that what is measured is the
    cluster and not this client's patience. Each has a connection of its own.

    Attributes:
        written: value by name of each ConfigMap whose creation was acknowledged.
        wrong: names of those that were then read, and were not there or held something else.
        begun: how many writes were begun.
    """

    def __init__(self, label: str) -> None:
        self.written: dict[str, str] = {}
        self.wrong: list[str] = []
        self.begun = 0
        self._label = f"{label}-{time.time_ns()}"
        self._api = api(timeout=10)
        self._acknowledged: list[float] = []
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._run)

    def __enter__(self) -> Writer:
        self._clock.start()
        eventually(lambda: len(self.written) >= WRITES_PER_SECOND, "a client writes")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._clock.join()

    def _run(self) -> None:
        # As many as can wait for their time-out at once: connecting, and reading.
        with ThreadPoolExecutor(max_workers=40 * WRITES_PER_SECOND) as pool:
            due = time.monotonic()
            for number in itertools.count():
                if self._over.wait(max(0.0, due - time.monotonic())):
                    return
                self.begun += 1
                pool.submit(self._write, f"{self._label}-{number}", str(time.monotonic_ns()))
                due += 1 / WRITES_PER_SECOND

    def _write(self, name: str, value: str) -> None:
        metadata = {"name": name, "labels": {"writer": self._label}}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}
        try:
            self._api.create(CONFIG_MAPS, document)
            self._acknowledged.append(time.monotonic())
            self.written[name] = value
            read = self._api.find(f"{CONFIG_MAPS}/{name}")
        except RequestFailed:
            return  # it may be there or not: nobody was told
        if read is None or read["data"]["value"] != value:
            self.wrong.append(name)

    def goes_on(self, writes: int = 3 * WRITES_PER_SECOND) -> None:
        """Return when so many more writes were acknowledged."""
        wanted = len(self.written) + writes
        eventually(lambda: len(self.written) >= wanted, f"{writes} more writes are acknowledged")

    def lost(self) -> list[str]:
        """Names of acknowledged ConfigMaps that are not in the cluster, or hold something else; ask it when over."""
        found = self._api.get(f"{CONFIG_MAPS}?labelSelector=writer%3D{self._label}")["items"]
        values = {item["metadata"]["name"]: item["data"]["value"] for item in found}
        return sorted(name for name, value in self.written.items() if values.get(name) != value)

    @property
    def longest_gap(self) -> float:
        """Seconds between two acknowledgements that came one after the other, at most."""
        return max(after - before for before, after in itertools.pairwise(sorted(self._acknowledged)))
