# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules themselves, in check and diff mode too, on real etcd."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from conftest import LocalEtcd

from ansible_collections.kubeadm.ha.plugins.modules import etcd_member, etcd_member_info

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(local_etcd: LocalEtcd, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a module with these options, and return what it tells."""

    def module(main: Callable[[], None], *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        files = {name: f"{local_etcd.folder}/{file}" for name, file in FILES.items()}
        endpoints = [process.client_url for process in local_etcd.processes.values()]
        arguments = {"endpoints": endpoints, **files, **options, "_ansible_check_mode": check_mode}
        capsys.readouterr()
        with patch_module_args(arguments), pytest.raises(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return module


FILES = {"ca_file": "ca.crt", "cert_file": "member.crt", "key_file": "member.key"}


def test_check_mode_foretells_what_is_then_made_once(local_etcd: LocalEtcd, run: Run) -> None:
    local_etcd.begin(1)
    url = "https://127.0.0.1:2"
    foretold = run(etcd_member.main, peer_urls=[url], check_mode=True)
    assert len(local_etcd.cluster().members()) == 1
    made = run(etcd_member.main, peer_urls=[url])
    assert (foretold["changed"], made["changed"]) == (True, True)
    assert foretold["made"] == made["made"] == [f"add a learner at {url}"]
    assert foretold["diff"] == made["diff"]
    assert made["diff"]["after"].removeprefix(made["diff"]["before"]) == f"not started learner {url}\n"
    again = run(etcd_member.main, peer_urls=[url])
    assert (again["changed"], again["made"]) == (False, [])
    assert again["diff"]["before"] == again["diff"]["after"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_refusal_is_a_failure_that_says_the_arithmetic(local_etcd: LocalEtcd, run: Run, check_mode: bool) -> None:
    local_etcd.begin(2)
    told = run(etcd_member.main, name="m1", state="absent", check_mode=check_mode)
    assert told["failed"]
    assert "m1: etcd members: found 2 voters, wanted 2 left once m1 is removed" in told["msg"]
    assert len(local_etcd.cluster().members()) == 2


def test_info_tells_how_many_more_may_fail(local_etcd: LocalEtcd, run: Run) -> None:
    local_etcd.begin(3)
    local_etcd.wait_until(local_etcd.is_well)
    whole = run(etcd_member_info.main)
    assert (whole["voters"], whole["healthy"], whole["quorum"], whole["can_fail"]) == (3, 3, 2, 1)
    assert all(one["id"].isdigit() for one in whole["members"])
    local_etcd.processes["m1"].kill()
    local_etcd.wait_until(lambda: run(etcd_member_info.main).get("can_fail") == 0)
    local_etcd.processes["m2"].kill()
    local_etcd.wait_until(lambda: run(etcd_member_info.main).get("can_fail", 0) < 0)
