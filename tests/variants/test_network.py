# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod network that comes as a manifest: applied whole, recorded, and never exchanged under a running cluster."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from support import Run, api, host, playbook
from traffic import expect_service_across_nodes

RECORD = "/api/v1/namespaces/kube-system/configmaps/kubeadm-ha-network"
BACKEND = "/apis/network.test/v1/backends/default"


def test_objects_are_there_whatever_their_order_in_the_manifest(build: Run) -> None:
    assert api().get(BACKEND)["spec"] == {"type": "routes", "metric": 10}
    kept = api().get(RECORD)["data"]
    assert kept["network"] == "manifest"
    assert "DaemonSet.apps pod-network/routes" in kept["objects"].splitlines()


def test_secrets_of_a_manifest_are_neither_shown_nor_logged(build: Run) -> None:
    kept = base64.b64decode(api().get("/api/v1/namespaces/pod-network/secrets/keys")["data"]["psk"])
    # As it is, and as it looks inside of longer base64, which depends on where it begins.
    secrets = [kept.decode(), *(base64.b64encode(b" " * lead + kept)[4:28].decode() for lead in range(3))]
    for said in (build.output, host("cp1").check_output("journalctl --no-pager")):
        assert [secret for secret in secrets if secret in said] == []
    assert "Secret keys" in build.output


@pytest.mark.parametrize(("server_node", "client_node"), [("w1", "cp2"), ("cp2", "w1")])
def test_pod_reaches_a_service_on_another_node(cluster: None, server_node: str, client_node: str) -> None:
    assert expect_service_across_nodes(server_node, client_node).startswith("10.200.")


def test_running_cluster_keeps_its_network_and_its_subnets(cluster: None, inventory: Path) -> None:
    other = {"cluster_network": "flannel", "cluster_service_subnet": "10.98.0.0/16"}
    manifest = inventory.parent / "network.manifest"  # has a place for the subnet, as Flannel's own has
    asked = json.dumps({**other, "cluster_network_manifests": [str(manifest)]})
    run = playbook("-e", asked, inventory=inventory, book="playbooks/plan.yml")
    assert run.code != 0
    assert "cluster_network: found manifest in the cluster, wanted flannel" in run.output
    assert "cluster_service_subnet: found 10.96.0.0/12, with which this cluster was begun" in run.output
