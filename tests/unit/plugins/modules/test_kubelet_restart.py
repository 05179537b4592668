# SPDX-License-Identifier: GPL-3.0-or-later
"""A node forgets what it knows of the API while there is none, and is left alone otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, kube_api, set_aside
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.modules import kubelet_restart


@dataclass
class Node:
    """What runs on it, whether an API server answers, and what was done."""

    running: tuple[str, ...] = ("kubelet", "kube-proxy")
    answers: bool = False
    code: int = 0
    done: list[str] = field(default_factory=list)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node()

    def info(_server: str, _timeout: float) -> None:
        if not made.answers:
            raise RequestFailed("nobody")

    def run(_module: AnsibleModule, argv: list[str]) -> tuple[int, str, str]:
        made.done.append(" ".join(argv))
        return made.code, "", "no such unit"

    monkeypatch.setattr(evidence, "identity", lambda: "w1")
    monkeypatch.setattr(kube_api, "cluster_info", info)
    monkeypatch.setattr(set_aside, "pids", lambda name, **_flags: [1] if name in made.running else [])
    monkeypatch.setattr(set_aside, "end", lambda _host, names, _seconds: made.done.append(f"end {' '.join(names)}"))
    monkeypatch.setattr(AnsibleModule, "run_command", run)
    return made


def call(capsys: pytest.CaptureFixture[str], *, check_mode: bool = False) -> dict[str, Any]:
    arguments = {"endpoint": "192.0.2.10:6443", "_ansible_check_mode": check_mode}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        kubelet_restart.main()
    return json.loads(capsys.readouterr().out)


def test_kubelet_begins_anew_before_those_end_that_it_would_start_again(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    foretold = call(capsys, check_mode=True)
    assert not node.done
    made = call(capsys)
    assert node.done == ["systemctl restart kubelet.service", "end kube-proxy coredns"]
    assert made["programs"] == foretold["programs"] == ["kubelet", "kube-proxy"]
    assert made["changed"] and foretold["changed"] and made["diff"] == foretold["diff"]


@pytest.mark.parametrize(("answers", "running"), [(True, ("kubelet", "kube-proxy")), (False, ("kube-proxy",))])
def test_node_that_has_an_api_or_no_kubelet_is_left_alone(
    node: Node, capsys: pytest.CaptureFixture[str], answers: bool, running: tuple[str, ...]
) -> None:
    node.answers, node.running = answers, running
    assert not call(capsys)["changed"]
    assert not node.done


def test_kubelet_that_does_not_restart_is_a_failure(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.code = 1
    said = call(capsys)
    assert said["failed"] and "w1: kubelet: found that it does not restart (no such unit), wanted" in said["msg"]
