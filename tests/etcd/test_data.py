# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real etcd's log tells of it, and what becomes of a first start that was interrupted."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import LocalEtcd

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, etcd_data, etcd_join, evidence


def look(local_etcd: LocalEtcd, name: str) -> dict[str, Any]:
    found = etcd_data.look(str(local_etcd.processes[name].data))
    assert found is not None
    return found


def test_a_cluster_is_formed_once_a_leader_was_elected_and_stays_so_without_one(
    local_etcd: LocalEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (local_etcd.new() for _number in range(3))
    members = ",".join(f"{one.name}={one.peer_url}" for one in (first, second, third))
    assert etcd_data.look(str(first.data)) is None
    first.start(members, "new")
    local_etcd.wait_until(lambda: (etcd_data.look(str(first.data)) or {}).get("initial_cluster") == members)
    waiting = look(local_etcd, first.name)
    assert not waiting["formed"]
    second.start(members, "new")
    local_etcd.wait_until(local_etcd.writes)
    formed = [look(local_etcd, one.name) for one in (first, second)]
    assert [one["formed"] for one in formed] == [True, True]
    status = etcd.call(first.client_url, local_etcd.context, "/maintenance/status", 3.0)
    for key in ("cluster_id", "member_id"):
        assert waiting[key] == formed[0][key] == status["header"][key]
    monkeypatch.setattr(etcd, "local_context", lambda: local_etcd.context)
    told = evidence.etcd_state(3.0, first.client_port)
    assert (told["answers"], told["leader"], told["cluster_id"]) == (True, True, waiting["cluster_id"])
    second.kill()
    local_etcd.wait_until(lambda: not evidence.etcd_state(3.0, first.client_port)["leader"])
    told = evidence.etcd_state(3.0, first.client_port)
    assert told["answers"]
    assert sum(bool(member["client_urls"]) for member in told["members"]) == 2
    # Again alone from its start, its etcd is as silent as on the first day; its log is not.
    first.kill()
    first.start(members, "new")
    assert not evidence.etcd_state(1.0, first.client_port)["answers"]
    assert look(local_etcd, first.name)["formed"]


def test_a_member_that_missed_the_first_start_is_taken_in(local_etcd: LocalEtcd) -> None:
    processes = [local_etcd.new() for _number in range(5)]
    initial = ",".join(f"{one.name}={one.peer_url}" for one in processes)
    for one in processes[:3]:
        one.start(initial, "new")
    local_etcd.wait_until(local_etcd.writes)
    listed = local_etcd.cluster().members()
    assert [(bool(one.name), one.started) for one in listed] == [(True, True)] * 3 + [(True, False)] * 2
    for late in processes[3:]:
        etcd_join.join(
            local_etcd.cluster(),
            name=late.name,
            peer_url=late.peer_url,
            data=str(late.data / "member"),
            start=late.start,
        )
    listed = local_etcd.cluster().members()
    assert not any(one.learner for one in listed)
    local_etcd.wait_until(lambda: local_etcd.is_well([one.name for one in listed]), "well members")


def test_a_first_member_that_lost_its_data_begins_anew_under_its_old_ids_and_its_log_shows_it(
    local_etcd: LocalEtcd,
) -> None:
    local_etcd.begin(1)
    (first,) = local_etcd.processes.values()
    others = [local_etcd.new() for _number in range(2)]
    for one in others:
        etcd_join.join(
            local_etcd.cluster(),
            name=one.name,
            peer_url=one.peer_url,
            data=str(one.data / "member"),
            start=one.start,
        )
    before = look(local_etcd, first.name)
    # A leader knows how far the others are, and a new one does not.
    leader = {"targetID": look(local_etcd, others[0].name)["member_id"]}
    etcd.call(first.client_url, local_etcd.context, "/maintenance/transfer-leadership", 3.0, leader)
    first.wipe()
    local_etcd.wait_until(local_etcd.writes)
    first.start(state="new")
    local_etcd.wait_until(lambda: not first.runs, "the end of a member that its leader takes for another one")
    after = look(local_etcd, first.name)
    assert [after[key] for key in ("cluster_id", "member_id")] == [before[key] for key in ("cluster_id", "member_id")]
    assert [etcd_data.began_alone(str(one.data)) for one in (first, *others)] == [True, False, False]
