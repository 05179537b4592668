# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of membership as modules make them, on real etcd."""

from __future__ import annotations

import pytest
from conftest import LocalEtcd

from ansible_collections.kubeadm.ha.plugins.module_utils import membership
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_cluster import EtcdCluster
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules.etcd_member import needed

OPTIONS = {"state": "present", "name": "", "id": "", "peer_urls": []}


def change(cluster: EtcdCluster, least_voters: int = 2, **options: object) -> list[str]:
    """What the module makes of these options, in words."""
    wanted = {**OPTIONS, **options}
    made = cluster.change(lambda members: needed(wanted, members), "test", least_voters=least_voters)
    return [str(one) for one in made]


def test_member_grows_from_announcement_to_voter_and_leaves(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(1)
    added = local_etcd.new()
    cluster = local_etcd.cluster()
    assert change(cluster, peer_urls=[added.peer_url]) == [f"add a learner at {added.peer_url}"]
    assert change(cluster, peer_urls=[added.peer_url]) == []
    others = [f"m0={local_etcd.processes['m0'].peer_url}", f"{added.name}={added.peer_url}"]
    added.start(",".join(others))
    assert change(cluster, name=added.name, peer_urls=[added.peer_url], state="voting") == [f"promote {added.name}"]
    assert [member.learner for member in cluster.members()] == [False, False]
    with pytest.raises(Refusal, match="2 left once m1 is removed"):
        change(cluster, name=added.name, state="absent")
    assert change(cluster, name=added.name, state="absent", least_voters=1) == [f"remove {added.name}"]
    assert change(cluster, name=added.name, state="absent", least_voters=1) == []
    assert local_etcd.writes()


def test_dead_voter_stops_additions_until_it_is_removed(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    local_etcd.processes["m2"].kill()
    local_etcd.wait_until(local_etcd.is_well)
    added = local_etcd.new()
    cluster = local_etcd.cluster(silence=0)
    with pytest.raises(Refusal, match="m2 not healthy.*remove it first"):
        change(cluster, peer_urls=[added.peer_url])
    with pytest.raises(Refusal, match="1 healthy of 2 voters once m0 is removed, wanted 2"):
        change(cluster, name="m0", state="absent")
    assert change(cluster, name="m2", state="absent") == ["remove m2"]
    assert change(cluster, peer_urls=[added.peer_url]) == [f"add a learner at {added.peer_url}"]
    assert local_etcd.writes()


def test_lost_quorum_is_told_with_its_arithmetic(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    for name in ("m1", "m2"):
        local_etcd.processes[name].kill()
    with pytest.raises(Refusal, match="[01] healthy of 3 voters \\(.*m1, m2 not\\), wanted 2"):
        change(local_etcd.cluster(silence=0), name="m2", state="absent")


def test_leader_that_is_removed_through_itself_is_gone(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    leader = next(member for member in local_etcd.cluster().members() if member.leader)
    cluster = EtcdCluster(list(leader.client_urls), local_etcd.context, timeout=1.5, patience=60.0)
    assert change(cluster, id=leader.id, state="absent") == [f"remove {leader.name}"]
    local_etcd.processes[leader.name].kill()
    assert leader.name not in {member.name for member in local_etcd.cluster().members()}


def test_member_is_found_by_whatever_is_known_of_it(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(1)
    added = local_etcd.new()
    cluster = local_etcd.cluster()
    change(cluster, peer_urls=[added.peer_url])
    unstarted = membership.find(cluster.members(), peer_urls=[added.peer_url])
    assert unstarted
    assert not unstarted.started
    assert membership.find(cluster.members(), member_id=unstarted.id) == unstarted
    elsewhere = added.peer_url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(Refusal, match="a learner.*Remove it, and add it"):
        change(cluster, id=unstarted.id, peer_urls=[elsewhere])
    assert change(cluster, id=unstarted.id, state="absent") == [f"remove {int(unstarted.id):x}"]


def test_voter_that_has_moved_is_looked_for_at_its_new_place(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    moved = local_etcd.processes["m1"]
    moved.kill()
    moved.move()
    cluster = local_etcd.cluster()
    assert change(cluster, name="m1", peer_urls=[moved.peer_url]) == [f"look for m1 at {moved.peer_url}"]
    moved.start()
    local_etcd.wait_until(local_etcd.is_well)
    with pytest.raises(Refusal, match="that m0 has them"):
        change(cluster, name="m1", peer_urls=[local_etcd.processes["m0"].peer_url])
