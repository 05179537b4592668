# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that reach each other, or not."""

from __future__ import annotations

from typing import Any

from support import api, eventually

IMAGE = "k8s.gcr.io/pause:3.2"
PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"


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
