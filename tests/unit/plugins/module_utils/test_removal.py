# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is meant, what goes, who is contacted, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import membership, removal
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member, quorum
from ansible_collections.kubeadm.ha.plugins.module_utils.external_etcd import Answer, Look
from ansible_collections.kubeadm.ha.plugins.module_utils.pki import COMMON, ETCD_CA
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, describe
from ansible_collections.kubeadm.ha.plugins.module_utils.removal import Asked, Host, Removal, Target
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import Observation, VirtualIp

CA = "sha256:" + "a" * 64
ENDPOINT = "192.0.2.10:6443"
CONTROL_PLANES, WORKERS, BALANCERS = ("cp1", "cp2", "cp3"), ("w1", "w2", "w10"), ("lb1", "lb2")
ADDRESSES = {name: f"192.0.2.{20 + number}" for number, name in enumerate((*CONTROL_PLANES, *WORKERS))}
KEYS = frozenset(str(pair.private) for pair in (*COMMON, ETCD_CA))


def host(*groups: str, node_name: str = "", address: str = "") -> Host:
    return Host(frozenset(groups), node_name, frozenset({address} - {""}))


def inventory(**more: Host) -> dict[str, Host]:
    hosts = {name: host("control_plane") for name in CONTROL_PLANES}
    hosts |= {name: host("workers") for name in WORKERS}
    return hosts | {name: host("load_balancers") for name in BALANCERS} | more


def node(name: str, *, ready: bool = True) -> dict[str, Any]:
    return {"ready": ready, "control_plane": name in CONTROL_PLANES, "address": ADDRESSES.get(name), "kubelet": "v"}


def member(name: str, *, healthy: bool = True, started: bool = True, learner: bool = False) -> Member:
    address = ADDRESSES[name]
    urls = (f"https://{address}:2379",) if started else ()
    title = name if started else ""
    return Member(f"{sum(map(ord, name))}", title, (f"https://{address}:2380",), urls, learner, healthy=healthy)


def look(name: str, off: frozenset[str] = frozenset(), **changes: Any) -> Observation:
    """A control plane of the whole cluster, which sees these hosts as off."""
    values: dict[str, Any] = {
        "traces": KEYS,
        "ca": CA,
        "identity": name,
        "api_answers": True,
        "endpoint_addresses": ("192.0.2.10",),
        "nodes": {one: node(one, ready=one not in off) for one in ADDRESSES},
        "members": tuple(member(one, healthy=one not in off) for one in CONTROL_PLANES),
    }
    return Observation(name, ADDRESSES[name], "apt", **{**values, **changes})


def bare(name: str, **changes: Any) -> Observation:
    """A host that is no control plane."""
    return Observation(name, ADDRESSES.get(name, "192.0.2.11"), "apt", **changes)


def asked(name: str, **more: Any) -> Asked:
    return Asked(name, **{"hosts": inventory(), "endpoint": ENDPOINT, **more})


def located(question: Asked, off: frozenset[str] = frozenset(), **changes: Any) -> Target:
    found = meant(question, off, **changes)
    assert isinstance(found, Target), found
    return found


def meant(question: Asked, off: frozenset[str] = frozenset(), **changes: Any) -> Target | Problem:
    anchor = min(set(removal.to_ask(question)) - off)
    return removal.locate(question, {anchor: look(anchor, off, **changes)}, anchor)


def removed(
    question: Asked,
    off: frozenset[str] = frozenset(),
    looks: dict[str, Observation | None] | None = None,
    **changes: Any,
) -> Removal:
    """What is decided once all hosts that matter were looked at; those that are off show nothing."""
    asks = [one for one in removal.to_ask(question) if one not in off]
    seen: dict[str, Observation | None] = {asks[0]: look(asks[0], off, **changes)}
    anchor = removal.speaker(seen, question)
    assert anchor
    target = removal.locate(question, seen, anchor)
    assert isinstance(target, Target), target
    for one in removal.look_at(question, seen, anchor, target):
        shown = look(one, off) if one in CONTROL_PLANES else bare(one, identity=one, ca=CA)
        seen[one] = None if one in off else shown
    return removal.decide(question, {**seen, **(looks or {})}, anchor, target)


# Who is meant.


@pytest.mark.parametrize(
    ("name", "hosts", "expected"),
    [
        ("w1", inventory(), ("w1", "w1")),
        ("W1", inventory(), ("w1", "w1")),
        ("cp1", inventory(), ("cp1", "cp1")),
        ("WORKER-A", inventory(**{"WORKER-A": host("workers", node_name="w1")}) | {"w1": host()}, None),
        ("rack7", {**inventory(), "rack7": host("workers", address=ADDRESSES["w2"])}, None),
    ],
)
def test_a_name_means_the_host_and_its_node(
    name: str, hosts: dict[str, Host], expected: tuple[str, str] | None
) -> None:
    found = meant(asked(name, hosts=hosts))
    if expected is None:
        # Two hosts of the inventory claim one node.
        assert isinstance(found, Problem)
        assert "may be" in found.found
    else:
        assert isinstance(found, Target)
        assert (found.host, found.node) == expected


def test_uppercase_inventory_names_map_to_nodes() -> None:
    hosts = {name: said for name, said in inventory().items() if name != "w1"} | {"W1": host("workers")}
    for name in ("W1", "w1"):
        found = located(asked(name, hosts=hosts))
        assert (found.host, found.node, found.lives) == ("W1", "w1", True)


@pytest.mark.parametrize("said", [{"node_name": "w1"}, {"address": ADDRESSES["w1"]}])
def test_inventory_and_node_name_may_differ(said: dict[str, str]) -> None:
    hosts = {name: one for name, one in inventory().items() if name != "w1"} | {"rack7": host("workers", **said)}
    for name in ("rack7", "w1"):
        found = located(asked(name, hosts=hosts))
        assert (found.host, found.node, found.role) == ("rack7", "w1", removal.WORKER)


def test_a_node_that_the_inventory_dropped_is_found_by_its_name_and_is_not_contacted() -> None:
    hosts = {name: one for name, one in inventory().items() if name != "w1"}
    made = removed(asked("w1", hosts=hosts))
    assert (made.target.host, made.target.node, made.refusals) == ("", "w1", [])
    assert made.drains
    assert not made.resets
    assert "the inventory does not have it" in removal.text(asked("w1", hosts=hosts), made)


@pytest.mark.parametrize(("name", "near"), [("w", "w1"), ("cp", "cp"), ("w11", "w10"), ("w100", "w10"), ("cp4", "cp1")])
def test_a_name_that_is_nobodys_is_refused_with_the_nearest(name: str, near: str) -> None:
    found = meant(asked(name))
    assert isinstance(found, Problem)
    assert near in found.action


def test_a_prefix_is_never_taken_for_the_name() -> None:
    for name in ("w1", "w10"):
        assert located(asked(name)).node == name
    gone = {one: node(one) for one in ADDRESSES if one != "w1"}
    assert located(asked("w1"), nodes=gone).there is False


def test_a_host_whose_name_is_another_ones_node_is_refused() -> None:
    hosts = inventory(w1=host("workers", node_name="w2"), w2=host("workers", node_name="w1"))
    found = meant(asked("w1", hosts=hosts))
    assert isinstance(found, Problem)
    assert "cluster_node_name" in found.action


def test_a_host_whose_address_is_another_node_than_its_name_is_refused() -> None:
    hosts = inventory(w1=host("workers", address=ADDRESSES["w2"]))
    assert isinstance(meant(asked("w1", hosts=hosts)), Problem)


def test_a_load_balancer_is_no_node() -> None:
    found = meant(asked("lb1"))
    assert isinstance(found, Problem)
    assert "load balancer" in found.found


def test_what_is_gone_is_nothing_to_do() -> None:
    gone = {one: node(one) for one in ADDRESSES if one != "w1"}
    made = removed(asked("w1"), nodes=gone)
    assert (made.refusals, made.steps, made.drains, made.resets) == ([], [], False, False)
    assert "There is nothing to remove" in removal.text(asked("w1"), made)


def test_the_one_that_is_meant_is_never_asked() -> None:
    hosts = inventory(CP9=host("control_plane", node_name="cp-nine"))
    for name in ("CP9", "cp9", "cp-nine", "CP-NINE"):
        assert removal.to_ask(asked(name, hosts=hosts)) == list(CONTROL_PLANES)


def test_who_is_meant_never_speaks_even_if_only_its_own_look_tells_that() -> None:
    hosts = {name: one for name, one in inventory().items() if name != "cp1"} | {"alias": host("control_plane")}
    question = asked("cp1", hosts=hosts)
    looks: dict[str, Observation | None] = {"alias": look("cp1")}
    assert removal.speaker(looks, question) is None
    looks["cp2"] = look("cp2")
    assert removal.speaker(looks, question) == "cp2"
    found = removal.locate(question, looks, "cp2")
    assert isinstance(found, Target)
    assert (found.host, found.node) == ("alias", "cp1")


# Who is contacted.


@given(st.sampled_from(sorted(ADDRESSES)), st.sets(st.sampled_from(sorted(ADDRESSES)), max_size=3))
def test_a_host_that_is_off_is_never_contacted(name: str, away: set[str]) -> None:
    question, off = asked(name), frozenset(away)
    asks = [one for one in removal.to_ask(question) if one not in off]
    if not asks:
        return
    assert name not in removal.to_ask(question)
    spoken = {asks[0]: look(asks[0], off)}
    target = removal.locate(question, spoken, asks[0])
    assert isinstance(target, Target)
    assert target.contacted == (name not in off)
    contacted = removal.look_at(question, spoken, asks[0], target)
    assert (name in contacted) == (name not in off)
    # What is off of the other nodes is nobody's business either.
    assert not set(contacted) & off & ADDRESSES.keys()
    made = removed(question, off)
    assert made.resets == made.drains == (name not in off)


def test_a_host_that_does_not_answer_though_its_node_is_ready_is_told_of_and_removed() -> None:
    made = removed(asked("w1"), looks={"w1": None})
    assert made.refusals == []
    assert made.drains
    assert not made.resets
    assert any("does not answer, though the cluster says" in what for _subject, what in made.steps)
    assert any("--limit w1" in line for line in made.afterwards)


# What is refused.


@given(
    st.integers(1, 5),
    st.data(),
    st.integers(1, 3),
)
def test_a_voter_goes_only_where_those_that_stay_have_their_quorum(
    count: int, data: st.DataObject, least_voters: int
) -> None:
    names = [f"cp{number}" for number in range(1, count + 2)]
    dead = data.draw(st.sets(st.sampled_from(names[1:])))
    members = tuple(
        Member(str(number), name, (f"https://{name}:2380",), ("https://c:2379",), False, healthy=name not in dead)
        for number, name in enumerate(names)
    )
    nodes = {name: {**node("cp1"), "ready": name not in dead, "address": name} for name in names}
    hosts = {name: host("control_plane") for name in names}
    victim = data.draw(st.sampled_from(names[1:]))
    question = asked(victim, hosts=hosts, least_voters=least_voters)
    seen: dict[str, Observation | None] = {"cp1": look("cp1", nodes=nodes, members=members)}
    if victim not in dead:
        seen[victim] = Observation(victim, victim, identity=victim, ca=CA)
    target = removal.locate(question, seen, "cp1")
    assert isinstance(target, Target)
    made = removal.decide(question, seen, "cp1", target)
    staying = [one for one in members if one.name != victim]
    sound = (
        membership.healthy(members) >= quorum(len(members))
        and membership.healthy(staying) >= quorum(len(staying))
        and len(staying) >= least_voters
    )
    assert (not made.refusals) == sound, describe(made.refusals)


def test_the_last_control_plane_stays() -> None:
    hosts = {"cp1": host("control_plane"), "w1": host("workers")}
    assert removal.to_ask(asked("cp1", hosts=hosts)) == []
    assert "reset.yml" in removal.nobody_to_ask(asked("cp1", hosts=hosts)).action


def test_two_voters_are_not_made_one_unless_that_is_said() -> None:
    nodes = {one: node(one) for one in ("cp1", "cp2")}
    shown = {"nodes": nodes, "members": tuple(member(one) for one in ("cp1", "cp2"))}
    refused = removed(asked("cp2"), **shown)
    assert "remove_node_least_voters" in describe(refused.refusals)
    allowed = removed(asked("cp2", least_voters=1), **shown)
    assert allowed.refusals == []


def test_without_a_list_of_members_nothing_goes() -> None:
    assert "lists its members" in describe(removed(asked("w1"), members=()).refusals)


def test_an_endpoint_that_is_the_hosts_own_address_is_refused_while_it_lives() -> None:
    own = {"endpoint_addresses": (ADDRESSES["cp2"],)}
    assert "control plane endpoint" in describe(removed(asked("cp2"), **own).refusals)
    dead = removed(asked("cp2"), frozenset({"cp2"}), **own)
    assert dead.refusals == []
    assert "control plane endpoint" in describe(dead.warnings)
    virtual = VirtualIp(ADDRESSES["cp2"], 24, 1)
    assert removed(asked("cp2", virtual_ip=virtual), **own).refusals == []


@pytest.mark.parametrize("shown", [{"ca": "sha256:" + "b" * 64}, {"identity": "another"}])
def test_a_host_that_is_another_machine_is_not_reset(shown: dict[str, Any]) -> None:
    other = dataclasses.replace(bare("w1", identity="w1", ca=CA), **shown)
    assert removed(asked("w1"), looks={"w1": other}).refusals


def test_a_control_plane_with_the_last_copy_of_a_key_is_refused() -> None:
    key = str(COMMON[0].private)
    poor = look("cp1", traces=KEYS - {key})
    question = asked("cp2")
    target = located(question)
    assert removal.look_at(question, {"cp1": poor}, "cp1", target) == ["cp2", "cp3", "lb1", "lb2"]
    seen: dict[str, Observation | None] = {"cp1": poor, "cp2": look("cp2"), "cp3": poor}
    assert key in describe(removal.decide(question, seen, "cp1", target).refusals)
    assert removal.decide(question, {**seen, "cp3": look("cp3")}, "cp1", target).refusals == []


# What is done.


def test_load_balancers_lose_a_control_plane_and_nothing_of_a_worker() -> None:
    made = removed(asked("cp1"))
    assert made.backends == {name: ADDRESSES[name] for name in ("cp2", "cp3")}
    assert made.backends_before == {name: ADDRESSES[name] for name in CONTROL_PLANES}
    assert made.balancers == {"lb1": "apt", "lb2": "apt"}
    assert removed(asked("w1")).balancers == {}


def test_a_load_balancer_that_is_off_is_told_of() -> None:
    made = removed(asked("cp1"), looks={"lb2": None})
    assert made.balancers == {"lb1": "apt"}
    assert "site.yml --limit lb2" in describe(made.warnings)


def test_a_host_that_balances_besides_stops_doing_so() -> None:
    hosts = inventory(cp1=host("control_plane", "load_balancers"))
    made = removed(asked("cp1", hosts=hosts))
    assert made.balances
    assert set(made.balancers) == {"lb1", "lb2"}
    assert not removed(asked("cp1", hosts=hosts), frozenset({"cp1"})).balances


def test_a_member_that_was_never_started_is_found_by_its_address() -> None:
    members = (member("cp1", started=False, healthy=False, learner=True), member("cp2"), member("cp3"))
    nodes = {one: node(one) for one in ADDRESSES if one != "cp1"}
    hosts = inventory(cp1=host("control_plane", address=ADDRESSES["cp1"]))
    made = removed(asked("cp1", hosts=hosts), members=members, nodes=nodes)
    assert made.target.member == members[0]
    assert not made.target.lives
    assert made.refusals == []


def test_what_was_well_is_expected_to_be_so_afterwards() -> None:
    made = removed(asked("cp1"), frozenset({"cp1", "w2"}))
    assert made.nodes == ["cp2", "cp3", "w1", "w10"]
    assert made.members == ["cp2", "cp3"]
    assert "2 healthy of 2 voters stay" in removal.text(asked("cp1"), made)


# etcd on hosts of its own.


ETCD = {"etcd1": "192.0.2.41", "etcd2": "192.0.2.42", "etcd3": "192.0.2.43"}


def etcd_answers(off: frozenset[str] = frozenset()) -> Look:
    listed = tuple((str(number), name, (f"https://{ETCD[name]}:2379",)) for number, name in enumerate(ETCD, 1))
    return Look(
        answers={
            f"https://{address}:2379": Answer(failure="no connection")
            if name in off
            else Answer(version="3.4", cluster="7", member=str(number), leader="3", members=listed, keys=9)
            for number, (name, address) in enumerate(ETCD.items(), 1)
        }
    )


def external(name: str, off: frozenset[str] = frozenset(), looks: dict[str, Any] | None = None) -> Removal:
    question = asked(name, external_etcd=True, hosts=inventory(**{one: host("etcd") for one in ETCD}))
    away = off & ADDRESSES.keys()
    return removed(question, away, looks, external_etcd=etcd_answers(off), members=())


def test_an_etcd_host_goes_and_api_servers_follow() -> None:
    made = external("etcd2", looks={name: bare(name, traces=frozenset()) for name in ETCD})
    assert made.refusals == []
    assert made.target.role == removal.ETCD_HOST
    assert made.resets
    assert not made.drains
    assert made.followers == list(CONTROL_PLANES)
    assert made.endpoints == [f"https://{ETCD[name]}:2379" for name in ("etcd1", "etcd3")]
    assert made.etcd["endpoints"] == made.endpoints
    assert made.balancers == {}


def test_a_dead_etcd_host_is_not_contacted_and_dead_control_planes_are_not_led() -> None:
    made = external("etcd2", frozenset({"etcd2", "cp3"}))
    assert made.refusals == []
    assert not made.resets
    assert made.followers == ["cp1", "cp2"]
    assert "cp3" in describe(made.warnings)


def test_an_etcd_host_that_the_others_cannot_spare_stays() -> None:
    assert "etcd quorum" in describe(external("etcd1", frozenset({"etcd2"})).refusals)


def test_the_last_key_of_etcds_ca_stays() -> None:
    key = str(ETCD_CA.private)
    holder = bare("etcd1", traces=frozenset({key}))
    poor = {name: bare(name) for name in ("etcd2", "etcd3")}
    assert key in describe(external("etcd1", looks={"etcd1": holder, **poor}).refusals)
    kept = external("etcd1", looks={"etcd1": holder, **poor, "etcd3": holder})
    assert kept.refusals == []


def test_a_control_plane_over_external_etcd_has_no_member() -> None:
    made = external("cp1")
    assert made.refusals == []
    assert made.target.member is None
    assert made.followers == []
    assert made.external["endpoints"] == sorted(f"https://{address}:2379" for address in ETCD.values())


# Killed anywhere.


@given(
    st.sampled_from(["cp1", "cp3", "w1"]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=4),
)
def test_a_removal_that_is_killed_anywhere_is_finished_by_the_next_one(
    name: str, alive: bool, cuts: list[tuple[int, bool]]
) -> None:
    """Each run gets so far as is said; whether the cluster has seen by the next one that a reset host is gone, too."""
    question = asked(name)
    nodes = {one: node(one, ready=alive or one != name) for one in ADDRESSES}
    members = [member(one, healthy=alive or one != name) for one in CONTROL_PLANES]
    was_reset = False
    for steps, seen_gone in [*cuts, (3, True), (3, True)]:
        asks = removal.to_ask(question)[0]
        shown: dict[str, Observation | None] = {asks: look(asks, nodes=dict(nodes), members=tuple(members))}
        target = removal.locate(question, shown, asks)
        assert isinstance(target, Target)
        if target.contacted:
            shown[name] = bare(name) if was_reset else bare(name, identity=name, ca=CA)
        assert name not in shown or nodes[name]["ready"]
        made = removal.decide(question, shown, asks, target)
        assert made.refusals == []
        if steps >= 1:
            members = [one for one in members if target.member is None or one.id != target.member.id]
        if steps >= 2 and made.resets:
            was_reset = True
        if steps >= 3 and target.registered:
            del nodes[name]
        if name in nodes and was_reset and seen_gone:
            nodes[name] = node(name, ready=False)
    assert not target.there
    assert made.steps == []
    assert name not in nodes
    assert name not in {one.name for one in members}
    assert alive or not was_reset
