# SPDX-License-Identifier: GPL-3.0-or-later
"""A member joins as a learner and votes in the end, from wherever an earlier attempt has got to."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from conftest import Kind, LocalEtcd, Member

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_join, membership
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal


def join(
    local_etcd: LocalEtcd, process: Member, start: Callable[[str], object] | None = None, *, as_voter: bool = False
) -> None:
    """As a module would, that starts this process."""
    etcd_join.join(
        local_etcd.cluster(),
        name=process.name,
        peer_url=process.peer_url,
        data=str(process.data / "member"),
        start=start or process.start,
        as_voter=as_voter,
    )


def voters(local_etcd: LocalEtcd) -> list[str]:
    """Who votes; each of them says before long that it is well."""
    names = [member.name for member in local_etcd.cluster().members() if not member.learner]
    local_etcd.wait_until(lambda: local_etcd.is_well(names), "well voters")
    return names


def test_join_is_a_voter_in_the_end_and_again(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(1)
    process = local_etcd.new()
    join(local_etcd, process)
    assert voters(local_etcd) == ["m0", "m1"]
    join(local_etcd, process, start=lambda _initial_cluster: None)
    assert voters(local_etcd) == ["m0", "m1"]


@pytest.mark.parametrize("local_etcd", [Kind(strict=True)], indirect=True, ids=["strict"])
def test_joins_side_by_side_take_turns(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(1)
    joins = [threading.Thread(target=join, args=(local_etcd, local_etcd.new())) for _number in range(2)]
    for one in joins:
        one.start()
    for one in joins:
        one.join()
    assert voters(local_etcd) == ["m0", "m1", "m2"]


class Killed(Exception):
    """The run ended here."""


def killed(_initial_cluster: str) -> None:
    raise Killed


def test_join_goes_on_where_an_earlier_one_was_killed(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(1)
    process = local_etcd.new()
    with pytest.raises(Killed):
        join(local_etcd, process, start=killed)

    def start_and_die(initial_cluster: str) -> None:
        process.start(initial_cluster)
        raise Killed

    with pytest.raises(Killed):
        join(local_etcd, process, start=start_and_die)
    join(local_etcd, process, start=lambda _initial_cluster: None)
    assert voters(local_etcd) == ["m0", "m1"]


def test_join_of_a_learner_that_lost_its_data_begins_again(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(1)
    process = local_etcd.new()
    cluster = local_etcd.cluster()
    cluster.change(lambda _members: membership.Add((process.peer_url,), True) if len(_members) == 1 else None, "m1")
    process.start(f"m0={local_etcd.processes['m0'].peer_url},m1={process.peer_url}")
    local_etcd.wait_until(lambda: any(one.name == "m1" for one in cluster.members()))
    process.wipe()
    join(local_etcd, process)
    assert voters(local_etcd) == ["m0", "m1"]


def test_join_of_a_voter_that_lost_its_data_is_refused_and_starts_nothing(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    process = local_etcd.processes["m2"]
    own = next(one for one in local_etcd.cluster().members() if one.name == "m2")
    process.wipe()
    with pytest.raises(Refusal, match=f"etcdctl member remove {int(own.id):x}"):
        join(local_etcd, process)
    assert not process.runs


def test_join_over_the_data_of_a_member_that_was_taken_out_is_refused(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    process = local_etcd.processes["m2"]
    local_etcd.cluster().change(
        lambda members: next((membership.Remove(one) for one in members if one.name == "m2"), None), "m2"
    )
    with pytest.raises(Refusal, match="does not list"):
        join(local_etcd, process)
