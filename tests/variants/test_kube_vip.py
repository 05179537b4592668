# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-vip's static pod: an API server takes it, a kubelet starts it. There is no image, so the rest is untried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT, api, eventually, host

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

pytestmark = pytest.mark.usefixtures("cluster")

PODS = sorted((ROOT / "tests/unit/fixtures/kube_vip").glob("*.pod"))
MACHINE = "cp2"
MANIFEST = "/etc/kubernetes/manifests/kube-vip.yaml"


@pytest.mark.parametrize("path", PODS, ids=lambda path: path.stem)
def test_api_server_accepts_what_is_rendered(path: Path) -> None:
    made = api().create("/api/v1/namespaces/kube-system/pods?dryRun=All", yaml.safe_load(path.read_text()))
    assert told(made) == told(yaml.safe_load(path.read_text()))


def told(pod: dict[str, Any]) -> dict[str, str]:
    """What kube-vip is told by words; a reference to the pod's own fields is completed by the API server."""
    (container,) = pod["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in container["env"]}


def mirror() -> dict[str, Any]:
    """The pod as the kubelet shows it; empty while it does not."""
    try:
        return api().get(f"/api/v1/namespaces/kube-system/pods/kube-vip-{MACHINE}")
    except RequestFailed:
        return {}


@pytest.mark.on_demand
def test_kubelet_starts_it_with_its_capabilities_and_the_kubeconfig() -> None:
    """By an image that is there, and that does not know what it is told to do."""
    pod = next(path for path in PODS if path.stem == "three").read_text()
    pod = pod.replace(yaml.safe_load(pod)["spec"]["containers"][0]["image"], "k8s.gcr.io/pause:3.2")
    machine = host(MACHINE)
    machine.check_output(f"printf %s %s > {MANIFEST}", "%s", pod)
    try:
        eventually(
            lambda: any(
                status.get("containerID") for status in mirror().get("status", {}).get("containerStatuses", ())
            ),
            "the container was made",
        )
        assert mirror()["spec"]["hostNetwork"]
    finally:
        machine.check_output(f"rm {MANIFEST}")
    eventually(lambda: not mirror(), "the pod is gone")
