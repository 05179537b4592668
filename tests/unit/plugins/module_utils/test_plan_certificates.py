# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan refuses certificates that do not fit together, each by its host and file, before anything is changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, pki, plan, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import EtcdLook
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import FOREIGN_CA, SimulatedCluster

CA_KEY = str(pki.CLUSTER_CA.private)


def make(cluster: SimulatedCluster, **changes: dict[str, Any]) -> plan.Plan:
    """The plan when some hosts show something else besides."""
    looks = cluster.looks()
    for name, values in changes.items():
        look = looks[name]
        assert look
        looks[name] = dataclasses.replace(look, **values)
    return plan.make(cluster.wanted(), looks)


def subjects(problems: list[Problem]) -> set[tuple[str, str]]:
    return {(problem.host, problem.subject) for problem in problems}


def test_what_is_wrong_with_files_is_told_of_every_host_at_once() -> None:
    cut = ("/etc/kubernetes/pki/ca.crt", "nothing in it", "a whole file", "Restore it.")
    other = ("/etc/kubernetes/pki/sa.key", "a key that does not belong to sa.pub", "the key that does", "Restore it.")
    made = make(SimulatedCluster(3, 1).converge(), cp2={"unusable": (cut, other)}, w1={"unusable": (cut,)})
    assert subjects(made.refusals) == {("cp2", cut[0]), ("cp2", other[0]), ("w1", cut[0])}
    assert not made.anchor
    assert "cp2: /etc/kubernetes/pki/ca.crt: found nothing in it, wanted a whole file. Restore it." in map(
        str, made.refusals
    )


CUT = ("nothing in it", "a whole file", "Restore it.")
OTHER = ("a key that does not belong to sa.pub", "the key that does", "Restore it.")


@pytest.mark.parametrize("found", [CUT, OTHER], ids=["empty", "another"])
@pytest.mark.parametrize("path", [pki.LEAVES[0].public, evidence.CA, CA_KEY, pki.SERVICE_ACCOUNTS.public])
def test_power_cut_in_a_join_may_empty_what_is_fetched_or_made_anew(path: str, found: tuple[str, str, str]) -> None:
    cluster = SimulatedCluster(3, 1).converge()
    host = cluster.hosts["cp3"]
    cluster.reset(host)
    del cluster.nodes["cp3"]
    cluster.members = [member for member in cluster.members if member.host is not host]
    host.traces, host.ca = {*pki.SHARED, pki.LEAVES[0].public}, cluster.hosts["cp1"].ca
    made = make(cluster, cp3={"unusable": ((path, *found),)})
    assert subjects(made.refusals) == (set() if found is CUT or path == pki.LEAVES[0].public else {("cp3", path)})
    if not made.refusals:
        assert made.steps["cp3"].action == plan.REJOIN


def test_empty_certificates_of_a_member_or_of_the_only_host_are_refused() -> None:
    path = pki.LEAVES[0].public
    made = make(SimulatedCluster(3, 1).converge(), cp3={"unusable": ((path, *CUT),)})
    assert subjects(made.refusals) == {("cp3", path)}
    begun = SimulatedCluster(3, 1)
    begun.run(kills={"cp1": 3}, kubelets_go_on=False)
    with_data = {"unusable": ((path, *CUT),), "etcd": EtcdLook(data=True)}  # wherever it lies
    assert subjects(make(begun, cp1=with_data).refusals) == {("cp1", path)}


@pytest.mark.parametrize("path", [pki.LEAVES[0].public, evidence.CA])
def test_power_cut_in_an_init_may_empty_what_nobody_has_used_yet(path: str) -> None:
    begun = SimulatedCluster(3, 1)
    begun.run(kills={"cp1": 1}, kubelets_go_on=False)
    made = make(begun, cp1={"unusable": ((path, *CUT),)})
    assert not made.refusals
    assert made.steps["cp1"].action == plan.RESUME
    cut_short = (path, "no certificate", *CUT[1:])
    assert subjects(make(begun, cp1={"unusable": (cut_short,)}).refusals) == {("cp1", path)}
    elsewhere = {"traces": frozenset({evidence.CA})}
    assert ("cp1", path) in subjects(make(begun, cp1={"unusable": ((path, *CUT),)}, w1=elsewhere).refusals)


@pytest.mark.parametrize("path", ["sa.key", "front-proxy-ca.crt", "etcd/ca.crt"])
def test_control_planes_that_do_not_share_what_they_must_are_named_with_the_file(path: str) -> None:
    path = f"{pki.FOLDER}/{path}"
    keys = {"cp1": "sha256:" + "1" * 64, "cp2": "sha256:" + "1" * 64, "cp3": "sha256:" + "3" * 64}
    changes = {host: {"public_keys": {path: key}} for host, key in keys.items()}
    made = make(SimulatedCluster(3, 1).converge(), **changes)
    (problem,) = made.refusals
    assert (problem.host, problem.subject) == (CLUSTER, path)
    assert "on cp1, cp2" in problem.found
    assert "on cp3" in problem.found


def test_control_planes_that_share_everything_are_not_refused() -> None:
    keys = dict.fromkeys(pki.SHARED, "sha256:" + "1" * 64)
    made = make(SimulatedCluster(3, 1).converge(), **{host: {"public_keys": keys} for host in ("cp1", "cp2", "cp3")})
    assert made.refusals == []


def test_stale_files_of_another_cluster_are_refused_on_their_host() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.reset(cluster.hosts["cp3"])
    made = make(cluster, cp3={"traces": frozenset({evidence.CA, evidence.KUBELET_CONF}), "ca": FOREIGN_CA})
    assert ("cp3", evidence.CA) in subjects(made.refusals)
    assert "of another cluster" in str(made.refusals)


@pytest.mark.parametrize("path", sorted(pki.SHARED))
def test_nobody_joins_as_control_plane_where_the_cluster_lacks_a_shared_file(path: str) -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.reset(cluster.hosts["cp3"])
    del cluster.nodes["cp3"]
    cluster.members = [member for member in cluster.members if member.host.name != "cp3"]
    traces = frozenset(cluster.hosts["cp1"].traces - {path})
    changes: dict[str, dict[str, Any]] = {"cp1": {"traces": traces}, "cp2": {"api_answers": False}}
    (problem,) = make(cluster, **changes).refusals
    assert (problem.host, problem.subject) == ("cp1", path)
    assert "Put it back for the time of the join" in problem.action


def test_cluster_whose_key_is_kept_elsewhere_takes_workers_and_is_left_alone() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    for name in ("cp1", "cp2", "cp3"):
        cluster.hosts[name].traces.discard(CA_KEY)
    assert cluster.plan().refusals == []
    cluster.reset(cluster.hosts["w1"])
    del cluster.nodes["w1"]
    made = cluster.plan()
    assert made.refusals == []
    assert made.steps["w1"].action == plan.JOIN


def external(cluster: SimulatedCluster, *names: str) -> plan.Plan:
    """A CA without its key on a bare host, and some of what it has signed."""
    traces = frozenset({evidence.CA, *names})
    return make(cluster, cp1={"traces": traces, "ca": FOREIGN_CA})


SIGNED = (
    *(f"{pki.FOLDER}/{name}" for name in ("apiserver.crt", "apiserver.key")),
    *(f"{pki.FOLDER}/apiserver-kubelet-client.{kind}" for kind in ("crt", "key")),
    *(f"/etc/kubernetes/{name}.conf" for name in ("admin", "controller-manager", "scheduler", "kubelet")),
)


def test_authority_without_its_key_is_refused_with_all_that_it_would_have_to_have_signed() -> None:
    (problem,) = external(SimulatedCluster(1, 0), *SIGNED[1:]).refusals
    assert (problem.host, problem.subject) == ("cp1", CA_KEY)
    assert problem.found == f"none beside {evidence.CA}, and no {SIGNED[0]}"


def test_authority_that_is_kept_elsewhere_may_start_a_cluster_of_one() -> None:
    made = external(SimulatedCluster(1, 1), *SIGNED)
    assert made.refusals == []
    assert made.steps["cp1"].action == plan.RESUME


def test_authority_that_is_kept_elsewhere_is_refused_where_control_planes_are_to_join() -> None:
    (problem,) = external(SimulatedCluster(3, 0), *SIGNED).refusals
    assert (problem.host, problem.subject) == ("cp1", CA_KEY)
    assert "nothing can be signed on control planes that join" in problem.action


def test_host_that_was_handed_certificates_and_nothing_else_simply_joins() -> None:
    cluster = SimulatedCluster(3, 1, sealed=True).converge()
    host = cluster.hosts["cp3"]
    cluster.reset(host)
    del cluster.nodes["cp3"]
    cluster.members = [member for member in cluster.members if member.host is not host]
    host.traces, host.ca = set(pki.SHARED), cluster.hosts["cp1"].ca
    made = cluster.plan()
    assert made.refusals == []
    assert made.steps["cp3"].action == plan.JOIN
    assert "has the cluster's certificates" in made.steps["cp3"].reason
    assert cluster.action_on_host(plan.JOIN, host) == plan.JOIN


def test_host_with_a_leaf_certificate_besides_is_a_broken_join() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    host = cluster.hosts["cp3"]
    cluster.reset(host)
    del cluster.nodes["cp3"]
    cluster.members = [member for member in cluster.members if member.host is not host]
    host.traces, host.ca = {*pki.SHARED, pki.LEAVES[0].public}, cluster.hosts["cp1"].ca
    assert cluster.plan().steps["cp3"].action == plan.REJOIN
    assert cluster.action_on_host(plan.REJOIN, host) == plan.REJOIN


def installed_anew_and_killed_after_the_vote(version: str) -> SimulatedCluster:
    """A control plane that bears the mark of an earlier installation, and whose API server was never set up."""
    cluster = SimulatedCluster(3, 1, version=versions.parse(version)).converge()
    cluster.hosts["cp3"].traces -= {*evidence.POD_MANIFESTS}
    return cluster


def test_marked_voter_without_an_api_server_is_finished() -> None:
    cluster = installed_anew_and_killed_after_the_vote("1.20.2")
    assert cluster.plan().steps["cp3"].action == plan.FINISH
    assert cluster.action_on_host(plan.FINISH, cluster.hosts["cp3"]) == plan.FINISH
    cluster.run()
    assert {*evidence.POD_MANIFESTS} <= cluster.hosts["cp3"].traces


def test_marked_voter_whose_kubeadm_sets_up_the_api_server_first_is_left_alone() -> None:
    cluster = installed_anew_and_killed_after_the_vote("1.29.0")
    made = cluster.plan()
    assert made.steps["cp3"].action == plan.NOTHING
    assert "restore the files" in str(made.warnings[0])
