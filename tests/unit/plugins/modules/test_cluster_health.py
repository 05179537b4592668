# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd that is elsewhere is judged by whether API servers could use it, not by who of its members can be reached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_look, external_etcd
from ansible_collections.kubeadm.ha.plugins.module_utils.external_etcd import Answer
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe
from ansible_collections.kubeadm.ha.plugins.modules import cluster_health

URLS = ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
EXTERNAL = {"endpoints": URLS, "caFile": "/ca", "certFile": "/cert", "keyFile": "/key"}
WHOLE = Answer(version="3.4.13", cluster="9", member="1", leader="1", keys=7)
DOWN = Answer(failure=external_etcd.NO_CONNECTION, error="Connection refused")


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (WHOLE, WHOLE, ""),
        (WHOLE, DOWN, ""),
        (Answer(version="3.4.13", auth=True), DOWN, ""),
        (Answer(version="3.4.13", gateway=False), DOWN, ""),
        (DOWN, DOWN, "found none that reads with a quorum (Connection refused), wanted one of them that does."),
        (
            replace(WHOLE, leader="", keys=None, error="timed out"),
            DOWN,
            "with a quorum (Connection refused; timed out)",
        ),
        (replace(WHOLE, keys=None), replace(WHOLE, leader="0"), "found none that reads with a quorum (no answer)"),
    ],
)
def test_etcd_elsewhere(monkeypatch: pytest.MonkeyPatch, one: Answer, other: Answer, says: str) -> None:
    def look(endpoints: list[str], *asked: Any) -> dict[str, Any]:
        assert asked[:3] == ("/ca", "/cert", "/key")
        return {"answers": {url: answer.as_dict() for url, answer in zip(endpoints, (one, other))}}

    monkeypatch.setattr(etcd_look, "look", look)
    text = describe(cluster_health.external_problems(EXTERNAL))
    assert (says in text and text.startswith(f"cluster: etcd at {', '.join(URLS)}: ")) if says else text == ""


@pytest.mark.parametrize(("ready", "silent"), [(set(), [("cp3", "Connection refused")]), ({"cp3"}, [])])
def test_silent_api_servers_are_those_of_control_planes_that_must_be_there(
    monkeypatch: pytest.MonkeyPatch, ready: set[str], silent: list[tuple[str, str]]
) -> None:
    asked = []

    def refuse(server: str, _timeout: float) -> None:
        asked.append(server)
        if "10.0.0.1" not in server:
            raise RequestFailed("Connection refused")

    monkeypatch.setattr(cluster_health.kube_api, "cluster_info", refuse)
    monkeypatch.setattr(cluster_health, "ready_api_servers", lambda: ready)
    nodes = {
        "cp1": {"control_plane": True, "address": "10.0.0.1"},
        "cp2": {"control_plane": True, "address": "10.0.0.2"},
        "cp3": {"control_plane": True, "address": "fd00::3"},
        "w1": {"control_plane": False, "address": "10.0.0.11"},
    }
    found = cluster_health.silent_api_servers(nodes, ["cp1", "cp3", "w1", "unknown"])
    assert [(problem.host, problem.found) for problem in found] == silent
    assert sorted(asked) == ["https://10.0.0.1:6443", "https://[fd00::3]:6443"]
