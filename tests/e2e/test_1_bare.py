# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that cannot become nodes are all named in one refusal, before anything is begun."""

from __future__ import annotations

import pytest
from support import host, playbook


def test_all_that_stands_against_all_hosts_is_said_at_once(hosts: None, keeps_lab: bool) -> None:
    if keeps_lab:
        pytest.skip("the lab that is kept is not bare")
    unit = "--quiet --collect --unit=squatter python3 -m http.server --bind 127.0.0.1"
    for name, port in (("cp1", 2379), ("w1", 10250)):
        host(name).check_output(f"systemd-run {unit} {port}")
    host("cp2").check_output("mkdir /var/lib/etcd/lost+found")
    host("w2").check_output("ip route del default")
    try:
        refused = playbook(book="playbooks/plan.yml")
        lifted = playbook("-e", '{"cluster_kubeadm_ignore_preflight_errors": ["all"]}', book="playbooks/plan.yml")
    finally:
        for name in ("cp1", "w1"):
            host(name).check_output("systemctl stop squatter")
        host("cp2").check_output("rmdir /var/lib/etcd/lost+found")
        host("w2").check_output("ip route add default via 10.210.0.1")
    assert refused.code != 0
    for start in (
        "cp1: port 2379: found in use by python3, process ",
        "cp2: /var/lib/etcd: found lost+found, wanted an empty folder, or none.",
        "w1: port 10250: found in use by python3, process ",
        "w2: default route: found none, ",
    ):
        assert f"  Refused: {start}" in refused.output
        assert f"  Know: {start}" in lifted.output
    assert refused.output.count("  Refused: ") == 4
    assert lifted.code == 0, lifted.output[-3000:]
