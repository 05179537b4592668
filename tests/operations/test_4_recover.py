# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks is named by recovery_plan, mended when asked for, and mended once: each case ends with a run that changes
nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import CONTROL_PLANES, NODES, Run, answers, api, eventually, host, lab, node_is_ready, playbook, succeed
from traffic import Writer, expect_service_across_nodes

pytestmark = pytest.mark.usefixtures("cluster")

BOOK = "playbooks/recover.yml"
APPLY = ("-e", "recover_apply=true")
NOBODY = "https://10.210.0.250:2380"
PKI = "/etc/kubernetes/pki/etcd"


def diagnose() -> str:
    """What a run says that only looks; it changes nothing and succeeds, whatever is wrong."""
    run = succeed(playbook(book=BOOK))
    assert set(run.changed.values()) == {0}
    return run.output


def mend(*argv: str) -> Run:
    return succeed(playbook(*APPLY, *argv, book=BOOK))


def etcd(method: str, body: dict[str, Any] | None = None, by: str = "cp2", path: str = "cluster") -> dict[str, Any]:
    files = f"--cacert {PKI}/ca.crt --cert {PKI}/healthcheck-client.crt --key {PKI}/healthcheck-client.key"
    told = json.dumps(body or {})
    return json.loads(
        host(by).check_output(f"curl -sSf --max-time 5 {files} -d '{told}' https://127.0.0.1:2379/v3/{path}/{method}")
    )


def voters(by: str = "cp2") -> set[str]:
    return {member.get("name", "") for member in etcd("member/list", by=by)["members"] if not member.get("isLearner")}


def nodes() -> set[str]:
    return {node["metadata"]["name"] for node in api().get("/api/v1/nodes")["items"]}


def expect_whole() -> None:
    """All hosts of the inventory are members, and nothing is left to do."""
    assert voters() == set(CONTROL_PLANES)
    assert nodes() == set(NODES)
    for name in NODES:
        eventually(lambda name=name: node_is_ready(name), f"{name} is Ready")
    again = mend()
    assert set(again.changed.values()) == {0}, again.changes
    assert "Nothing is wrong with it." in again.output


def test_nothing_is_wrong_and_nothing_is_done() -> None:
    assert "Nothing is wrong with it." in diagnose()


def lose_data(name: str) -> None:
    """Take a member's data away under its etcd.

    Not of the leader, whom the others would elect another for: one that does not know how far it was fills it up again.
    """
    listed = {member["name"]: member["ID"] for member in etcd("member/list", by=name)["members"] if "name" in member}
    if etcd("status", by=name, path="maintenance")["leader"] == listed[name]:
        other = next(member for other, member in sorted(listed.items()) if other != name)
        etcd("transfer-leadership", {"targetID": other}, by=name, path="maintenance")
    host(name).check_output("rm -rf /var/lib/etcd/member && pkill -KILL -x etcd")


def test_lost_data_and_a_learner_that_nobody_started_are_mended_in_one_run() -> None:
    etcd("member/add", {"peerURLs": [NOBODY], "isLearner": True})
    lose_data("cp3")
    told = diagnose()
    assert "cp3: data lost: etcd member cp3" in told
    assert "left behind: etcd member" in told
    assert NOBODY in told
    run = mend()
    kept = [line["on"] for line in run.told if line["task"].endswith("Keep what etcd holds before the first change")]
    modes = host(kept[0]).check_output("stat -c '%a %U' /var/backups/kubeadm.ha/*.db")
    assert set(modes.splitlines()) == {"600 root"}
    prepared = {line["on"] for line in run.told if line["task"].startswith("kubeadm.ha.preflight")}
    assert prepared == {"cp3"}  # hosts that are well are left as they are
    expect_whole()


def test_first_control_plane_dies_and_is_replaced_by_its_name_reinstalled() -> None:
    with Writer("recover") as writer:
        lab("power-off", "cp1")
        eventually(lambda: not node_is_ready("cp1"), "cp1 is seen as not Ready")
        told = diagnose()
        assert "cp1: dead: no answer over SSH" in told
        assert "Node not Ready. Its member and Node go" in told
        assert "Whether it was initialised first makes no difference." in told
        run = mend()
        # Once, to see that it does not answer.
        assert [line["task"] for line in run.told if line["on"] == "cp1" and line["outcome"] == "unreachable"] == [
            "kubeadm.ha.cluster_plan : Look at every host"
        ]
        assert voters() == {"cp2", "cp3"}
        assert nodes() == set(NODES) - {"cp1"}
        writer.goes_on()
        lab("reinstall", "cp1")
        mend()
        writer.goes_on()
    print(f"longest gap between acknowledged writes: {writer.longest_gap:.1f} s, of {len(writer.written)} writes")
    assert not writer.lost()
    assert not writer.wrong
    expect_whole()
    expect_service_across_nodes("w1", "cp1")


def test_lost_quorum_is_told_and_nothing_is_guessed() -> None:
    try:
        lab("power-off", "cp1", "cp2")
        eventually(lambda: not answers(), "no API without etcd's quorum")
        refused = playbook(*APPLY, book=BOOK)
        lab("power-on", "cp1")
        eventually(answers, "the API answers again once cp1 is back")
    finally:
        lab("power-on", "cp1", "cp2")
    assert refused.code != 0
    assert set(refused.changed.values()) == {0}
    assert "etcd: quorum lost: 1 of 3 voters of etcd run, 2 would have to agree" in refused.output
    assert "What is left: cp3: member" in refused.output
    assert "raft index" in refused.output
    assert "cluster: recover_confirm: found nothing, wanted" in refused.output
    for name in NODES:
        eventually(lambda name=name: node_is_ready(name), f"{name} is Ready again")
