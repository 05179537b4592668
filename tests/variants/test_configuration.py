# SPDX-License-Identifier: GPL-3.0-or-later
"""What users tell kubeadm and its components arrives there, on the host that started and on those that joined."""

from __future__ import annotations

import pytest
from support import Run, api, host

CONTROL_PLANES = ("cp1", "cp2")
each_control_plane = pytest.mark.parametrize("name", CONTROL_PLANES)


def command(component: str, name: str) -> list[str]:
    """What a static pod runs."""
    pod = api().get(f"/api/v1/namespaces/kube-system/pods/{component}-{name}")
    return pod["spec"]["containers"][0]["command"]


@each_control_plane
def test_arguments_reach_components_in_either_form(build: Run, name: str) -> None:
    assert "--audit-log-maxage=7" in command("kube-apiserver", name)
    assert "--terminated-pod-gc-threshold=100" in command("kube-controller-manager", name)


@each_control_plane
def test_etcd_keeps_its_data_where_it_is_told(build: Run, name: str) -> None:
    assert "--data-dir=/var/lib/etcd/variants" in command("etcd", name)
    assert host(name).file("/var/lib/etcd/variants/member").is_directory


@each_control_plane
@pytest.mark.parametrize("component", ["kube-apiserver", "etcd"])
def test_patches_are_laid_over_what_kubeadm_generates(build: Run, component: str, name: str) -> None:
    pod = api().get(f"/api/v1/namespaces/kube-system/pods/{component}-{name}")
    assert pod["metadata"]["annotations"]["example.com/owner"] == "variants"


@pytest.mark.parametrize("name", [*CONTROL_PLANES, "w1"])
def test_kubelet_has_its_arguments_and_its_configuration(build: Run, name: str) -> None:
    node = api().get(f"/api/v1/nodes/{name}")
    assert node["metadata"]["labels"]["example.com/lab"] == "variants"
    assert node["status"]["capacity"]["pods"] == "60"
