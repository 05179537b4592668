# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided of etcd hosts, whatever they show; then each refusal and warning by example."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_hosts, evidence, pki, plan
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_settings import EtcdSettings
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, describe
from ansible_collections.kubeadm.ha.plugins.module_utils.requirements import Needs
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import EtcdLook, Observation
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_etcd_hosts import (
    CA_CERTIFICATE,
    CA_KEY,
    CONTROL_PLANE,
    SimulatedEtcdHosts,
)

HOSTS = ("etcd1", "etcd2", "etcd3")
Looks = dict[str, "Observation | None"]


def built(size: int = 3) -> SimulatedEtcdHosts:
    """An etcd that runs, with a Kubernetes cluster in it."""
    etcd = SimulatedEtcdHosts(size)
    etcd.run()
    assert etcd.initialised
    return etcd


def looks(etcd: SimulatedEtcdHosts) -> Looks:
    return {name: etcd.look(name) for name in (CONTROL_PLANE, *etcd.hosts)}


def changed(seen: Looks, host: str, **values: Any) -> Looks:
    """The same with another look at one host; what begins with ``its_`` is of its member."""
    look = seen[host]
    assert look is not None
    of_member = {name[len("its_") :]: value for name, value in values.items() if name.startswith("its_")}
    others = {name: value for name, value in values.items() if not name.startswith("its_")}
    member = dataclasses.replace(look.etcd, **of_member)
    return {**seen, host: dataclasses.replace(look, etcd=member, **others)}


def decide(simulated: SimulatedEtcdHosts, seen: Looks, **wanted: Any) -> plan.Plan:
    return plan.make(dataclasses.replace(simulated.wanted(), **wanted), seen)


def only(made: plan.Plan, subject: str) -> Problem:
    """The only refusal, which is of this subject."""
    (problem,) = made.refusals
    assert problem.subject == subject
    return problem


def warned(made: plan.Plan, subject: str) -> Problem:
    (problem,) = (problem for problem in made.warnings if problem.subject == subject)
    return problem


def actions(made: plan.Plan) -> dict[str, str]:
    return {host: step.action for host, step in made.steps.items() if step.role == plan.ETCD_MEMBER}


# Whatever hosts show.


@st.composite
def members(draw: st.DrawFn) -> tuple[Member, ...]:
    found = []
    for number, kind in enumerate(
        draw(st.lists(st.sampled_from(["whole", "unwell", "unstarted", "born", "learner"]), max_size=4))
    ):
        address, started = f"https://10.0.1.{number + 1}", kind in ("whole", "unwell", "learner")
        found.append(
            Member(
                id=str(100 + number),
                name="" if kind == "unstarted" else f"etcd{number + 1}",
                peer_urls=(f"{address}:2380",),
                client_urls=(f"{address}:2379",) if started else (),
                learner=kind == "learner",
                healthy=kind == "whole",
            )
        )
    return tuple(found)


CLUSTERS = st.sampled_from(("", "7", "7", "8"))
INITIAL = st.sampled_from(
    (
        "",
        "etcd1=https://10.0.1.1:2380,etcd2=https://10.0.1.2:2380,etcd3=https://10.0.1.3:2380",
        "etcd1=https://10.0.1.1:2380",
        "other=https://10.9.9.9:2380",
    )
)
STATES = st.sampled_from(("new", "existing"))
FILES = st.sampled_from(
    (
        frozenset[str](),
        frozenset((CA_CERTIFICATE,)),
        frozenset((CA_CERTIFICATE, CA_KEY)),
        frozenset((CA_KEY,)),
        frozenset(pki.ETCD_HOST_FILES),
        frozenset((*pki.ETCD_HOST_FILES, CA_KEY, evidence.ETCD_MANIFEST)),
        frozenset((evidence.KUBELET_CONF,)),
    )
)


@st.composite
def etcd_looks(draw: st.DrawFn, name: str, listed: tuple[Member, ...]) -> Observation | None:
    if not draw(st.integers(0, 7)):
        return None
    files, answers, data = draw(FILES), draw(st.booleans()), draw(st.booleans())
    initial = draw(INITIAL) if evidence.ETCD_MANIFEST in files else ""
    return Observation(
        node_name=name,
        address=f"10.0.1.{name[-1]}",
        traces=files,
        public_keys={CA_CERTIFICATE: draw(st.sampled_from(("a", "a", "b")))} if CA_CERTIFICATE in files else {},
        members=listed if answers else (),
        etcd=EtcdLook(
            answers=answers,
            leader=answers and draw(st.booleans()),
            cluster_id=draw(CLUSTERS),
            flags={"initial-cluster": initial, "initial-cluster-state": draw(STATES)} if initial else {},
            data=data,
            formed=data and draw(st.booleans()),
            member_id=draw(st.sampled_from(("", f"{99 + int(name[-1])}", "555"))) if data else "",
            data_cluster=draw(INITIAL) if data else "",
            service_manager=draw(st.booleans()),
            ca_in_the_making=draw(st.integers(0, 5)) == 0,
        ),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[plan.Wanted, Looks]:
    etcd = SimulatedEtcdHosts(draw(st.integers(1, 4)))
    everyone = (CONTROL_PLANE, *etcd.hosts)
    scope = draw(st.none() | st.sets(st.sampled_from(everyone), min_size=1))
    listed = draw(members())
    seen: Looks = {name: draw(etcd_looks(name, listed)) for name in etcd.hosts}
    kind = draw(st.sampled_from(("bare", "bare", "dead", "ran", "endpoint")))
    seen[CONTROL_PLANE] = (
        None
        if kind == "dead"
        else Observation(
            CONTROL_PLANE,
            "10.0.0.1",
            has_run=kind == "ran",
            traces=frozenset((evidence.KUBELET_CONF,) if kind == "ran" else ()),
            endpoint_answers=kind == "endpoint",
        )
    )
    return etcd.wanted(scope), seen


def said(made: plan.Plan, wanted: plan.Wanted) -> tuple[Any, ...]:
    """Everything that a user, a playbook or the next task is told."""
    etcd = made.etcd
    told = (etcd.authority, etcd.clients, etcd.external(), etcd.places, etcd.initial_cluster)
    return (made.steps, made.anchor, describe(made.refusals), describe(made.warnings), plan.text(wanted, made), told)


@settings(max_examples=150)
@given(situations(), st.integers())
def test_order_decides_nothing(situation: tuple[plan.Wanted, Looks], seed: int) -> None:
    wanted, seen = situation
    luck = random.Random(seed)
    other: Looks = dict(luck.sample([*seen.items()], len(seen)))
    for host, look in other.items():
        if look:
            shuffled = tuple(luck.sample(look.members, len(look.members)))
            other[host] = dataclasses.replace(look, members=shuffled)
    names = {
        name: frozenset(luck.sample(sorted(getattr(wanted, name)), len(getattr(wanted, name))))
        for name in ("etcd", "scope")
    }
    mixed = dataclasses.replace(wanted, **names)
    assert said(plan.make(wanted, seen), wanted) == said(plan.make(mixed, other), mixed)


@settings(max_examples=200)
@given(situations())
def test_a_start_is_of_all_and_over_nothing(situation: tuple[plan.Wanted, Looks]) -> None:
    wanted, seen = situation
    made = plan.make(wanted, seen)
    starts = {host for host, action in actions(made).items() if action == plan.START}
    if made.refusals or not starts:
        return
    assert starts == wanted.etcd
    for look in seen.values():
        assert look is not None
        assert not (look.etcd.formed or any(member.client_urls for member in look.members))
        assert not (look.has_run or look.api_answers or look.endpoint_answers)
    told = {look.etcd.flags.get("initial-cluster") for look in seen.values() if look} - {None}
    assert told <= {made.etcd.initial_cluster}


@settings(max_examples=200)
@given(situations())
def test_additions_are_to_a_cluster_with_a_quorum_that_lost_nobody(situation: tuple[plan.Wanted, Looks]) -> None:
    wanted, seen = situation
    made = plan.make(wanted, seen)
    adds = {host for host, action in actions(made).items() if action == plan.ADD}
    if made.refusals or not adds:
        return
    speaking = [look for look in seen.values() if look and look.etcd.answers and look.etcd.leader]
    voters = [member for member in speaking[0].members if not member.learner]
    assert 2 * sum(member.healthy for member in voters) > len(voters)
    for host in adds:
        look = seen[host]
        assert look is not None
        listed = [one for one in speaking[0].members if one.peer_urls == (f"https://{look.address}:2380",)]
        assert not (look.etcd.data and not listed), "over the data of a stranger"
        assert not any(one.started and not one.learner for one in listed), "in the stead of a voter"


@settings(max_examples=200)
@given(situations())
def test_who_signs_holds_the_only_key_or_makes_the_first(situation: tuple[plan.Wanted, Looks]) -> None:
    wanted, seen = situation
    made = plan.make(wanted, seen)
    authority = made.etcd.authority
    if made.refusals or authority is None:
        return
    pair = frozenset((CA_CERTIFICATE, CA_KEY))
    held = {host: look.traces & pair for host, look in seen.items() if look}
    half = {host for host, look in seen.items() if look and look.etcd.ca_in_the_making and held[host] != pair}
    holders = {host for host, files in held.items() if CA_KEY in files} - half
    assert authority in (holders or half or wanted.etcd)
    assert holders or not any(CA_CERTIFICATE in files for host, files in held.items() if host not in half)


# Who signs.


def test_authority_is_who_holds_the_key_and_not_the_first_by_name() -> None:
    etcd = SimulatedEtcdHosts()
    etcd.give_ca("etcd2")
    assert etcd.plan().etcd.authority == "etcd2"
    etcd.run()
    assert etcd.authorities_made == 0
    assert {host.ca for host in etcd.hosts.values()} == {"sha256:given"}
    assert etcd.plan().etcd.authority == "etcd2"


def test_authority_is_the_host_on_which_its_making_was_interrupted() -> None:
    etcd = SimulatedEtcdHosts()
    etcd.hosts["etcd3"].making_ca = True
    etcd.hosts["etcd3"].traces.add(CA_KEY)
    made = etcd.plan()
    assert made.etcd.authority == "etcd3"
    assert not made.refusals
    etcd.give_ca("etcd2")
    assert etcd.plan().etcd.authority == "etcd2", "half a CA has signed nothing"


def test_copies_of_the_key_are_told_and_the_first_by_name_signs() -> None:
    etcd = built()
    etcd.hosts["etcd3"].traces.add(CA_KEY)
    made = etcd.plan()
    assert not made.refusals
    problem = warned(made, CA_KEY)
    assert (problem.host, problem.found) == (CLUSTER, "on etcd1, etcd3")
    assert "Keep it on one etcd host, etcd1 for example" in problem.action


def test_two_authorities_are_refused_with_who_trusts_which() -> None:
    etcd = built()
    seen = changed(looks(etcd), "etcd2", public_keys={CA_CERTIFICATE: "sha256:other"})
    problem = only(decide(etcd, seen), CA_CERTIFICATE)
    assert problem.found == "public key sha256:1… on cp1, etcd1, etcd3; public key sha256:other… on etcd2"


def test_a_control_plane_that_trusts_another_authority_is_refused() -> None:
    etcd = SimulatedEtcdHosts()
    etcd.give_ca("etcd1")
    seen = looks(etcd)
    seen = changed(seen, CONTROL_PLANE, traces=frozenset((CA_CERTIFICATE,)), public_keys={CA_CERTIFICATE: "sha256:old"})
    assert "sha256:old… on cp1" in only(decide(etcd, seen), CA_CERTIFICATE).found


def test_a_key_without_its_certificate_is_refused() -> None:
    etcd = SimulatedEtcdHosts()
    etcd.hosts["etcd2"].traces.add(CA_KEY)
    problem = only(etcd.plan(), CA_KEY)
    assert (problem.host, problem.found, problem.wanted) == ("etcd2", "no certificate beside it", CA_CERTIFICATE)


def test_an_authority_whose_key_is_nowhere_is_refused_where_it_has_to_sign() -> None:
    etcd = built()
    etcd.hosts["etcd1"].traces.remove(CA_KEY)
    assert not etcd.plan().refusals, "nobody asks for a certificate"
    etcd.grow()
    problem = only(etcd.plan(), CA_KEY)
    assert problem.found == "none beside the certificates on etcd1, etcd2, etcd3"
    assert problem.wanted == "it on one etcd host, to sign for etcd4"
    assert problem.action == "Put it onto one of the etcd hosts for the time of the run."


def test_an_authority_that_may_be_on_a_host_which_is_down_is_asked_for() -> None:
    etcd = built(5)
    etcd.hosts["etcd1"].up = False
    etcd.control_plane.traces -= {*pki.ETCD_CLIENT_FILES}
    etcd.initialised = False
    etcd.control_plane.traces.clear()
    problem = only(etcd.plan({CONTROL_PLANE, "etcd2", "etcd3", "etcd4", "etcd5"}), CA_KEY)
    assert "no answer from etcd1" in problem.found
    assert "Bring these up" in problem.action


def test_the_control_plane_that_begins_asks_for_a_certificate_and_no_other_one_does() -> None:
    etcd = SimulatedEtcdHosts()
    assert etcd.plan().etcd.clients == [CONTROL_PLANE]
    etcd.run()
    assert etcd.plan().etcd.clients == []


def test_a_certificate_of_the_control_plane_that_nobody_can_read_is_asked_for_anew() -> None:
    etcd = SimulatedEtcdHosts()
    etcd.run(set(etcd.hosts))
    etcd.control_plane.traces |= {*pki.ETCD_CLIENT_FILES}
    etcd.control_plane.ca = etcd.hosts["etcd1"].ca
    cut = (str(pki.ETCD_CLIENT.private), "nothing in it", "a whole file", "Restore it.")
    seen = changed(looks(etcd), CONTROL_PLANE, unusable=(cut,))
    made = decide(etcd, seen)
    assert not made.refusals
    assert made.etcd.clients == [CONTROL_PLANE]


def test_certificates_of_etcd_hosts_that_are_cut_short_are_replaced_and_no_reason_to_stop() -> None:
    etcd = SimulatedEtcdHosts()
    etcd.give_ca("etcd1")
    seen = looks(etcd)
    seen = changed(seen, "etcd2", unusable=((pki.ETCD_HOST_FILES[0], "nothing in it", "a whole file", "Restore it."),))
    assert not decide(etcd, seen).refusals
    seen = changed(seen, "etcd2", unusable=((CA_CERTIFICATE, "nothing in it", "a whole file", "Restore it."),))
    assert only(decide(etcd, seen), CA_CERTIFICATE).host == "etcd2"


# A first start.


def test_a_first_start_is_told_to_all_alike() -> None:
    made = SimulatedEtcdHosts().plan()
    assert actions(made) == dict.fromkeys(HOSTS, plan.START)
    assert made.etcd.initial_cluster == ",".join(f"etcd{n}=https://10.0.1.{n}:2380" for n in (1, 2, 3))
    authority, certificate, key = pki.ETCD_CLIENT_FILES
    assert made.etcd.external() == {
        "endpoints": [f"https://10.0.1.{n}:2379" for n in (1, 2, 3)],
        "caFile": authority,
        "certFile": certificate,
        "keyFile": key,
    }


def test_a_first_start_needs_every_host_in_the_run() -> None:
    etcd = SimulatedEtcdHosts()
    problem = only(etcd.plan({"etcd1", "etcd3"}), "etcd hosts")
    assert problem.found == "no etcd cluster yet, and etcd2 not in this run"
    assert problem.wanted == "all 3 in the run that starts it"


def test_a_first_start_of_etcd_alone_needs_no_control_plane_in_the_run() -> None:
    etcd = SimulatedEtcdHosts()
    made = etcd.plan({*HOSTS})
    assert not made.refusals
    assert actions(made) == dict.fromkeys(HOSTS, plan.START)


@pytest.mark.parametrize(
    ("sign", "said_of_it"),
    [
        (
            {"has_run": True, "traces": frozenset((evidence.KUBELET_CONF,))},
            "a control plane of a cluster that ran (cp1)",
        ),
        ({"endpoint_answers": True}, "an API server at the endpoint (cp1)"),
        ({"api_answers": True}, "an API server that answers (cp1)"),
    ],
    ids=["has run", "endpoint", "API server"],
)
def test_an_empty_etcd_is_never_started_for_a_cluster_that_there_is(sign: dict[str, Any], said_of_it: str) -> None:
    etcd = SimulatedEtcdHosts()
    made = decide(etcd, changed(looks(etcd), CONTROL_PLANE, **sign), scope=frozenset(HOSTS))
    (problem,) = (problem for problem in made.refusals if problem.subject == "etcd hosts")
    assert said_of_it in problem.found
    assert "Put its hosts into the group etcd, or restore its data" in problem.action


def test_an_empty_etcd_is_not_started_while_a_control_plane_is_silent() -> None:
    etcd = SimulatedEtcdHosts()
    problem = only(decide(etcd, {**looks(etcd), CONTROL_PLANE: None}, scope=frozenset(HOSTS)), "etcd hosts")
    assert "no answer from the control plane cp1" in problem.found


def test_a_start_that_was_begun_with_other_members_is_refused_by_host_and_file() -> None:
    etcd = SimulatedEtcdHosts()
    seen = changed(looks(etcd), "etcd1", its_flags={"initial-cluster": "etcd1=https://10.0.1.1:2380"})
    problem = only(decide(etcd, seen), evidence.ETCD_MANIFEST)
    assert problem.host == "etcd1"
    assert "etcd1=https://10.0.1.1:2380" in problem.found
    assert problem.wanted == etcd.plan().etcd.initial_cluster
    seen = changed(looks(etcd), "etcd2", its_data=True, its_data_cluster="etcd2=https://10.0.1.2:2380")
    assert only(decide(etcd, seen), "/var/lib/etcd/member").host == "etcd2"


def test_a_manifest_for_a_cluster_that_nobody_shows_is_refused() -> None:
    etcd = SimulatedEtcdHosts()
    flags = {"initial-cluster": etcd.plan().etcd.initial_cluster, "initial-cluster-state": "existing"}
    problem = only(decide(etcd, changed(looks(etcd), "etcd3", its_flags=flags)), evidence.ETCD_MANIFEST)
    assert problem.host == "etcd3"
    assert "a cluster which nobody shows" in problem.found


def test_a_host_without_an_address_is_refused() -> None:
    etcd = SimulatedEtcdHosts()
    made = decide(etcd, changed(looks(etcd), "etcd2", address=""), needs=Needs(ignored=frozenset(("all",))))
    assert [problem.host for problem in made.refusals if problem.subject == "address"] == ["etcd2"]


def test_remains_of_a_node_are_refused_on_a_host_that_is_to_carry_etcd() -> None:
    etcd = SimulatedEtcdHosts()
    problem = only(
        decide(etcd, changed(looks(etcd), "etcd2", traces=frozenset((evidence.KUBELET_CONF,)))), "remains of a node"
    )
    assert (problem.host, problem.found) == ("etcd2", evidence.KUBELET_CONF)


# A cluster that runs.


def test_a_host_without_traces_is_added_and_the_endpoints_have_it() -> None:
    etcd = built()
    etcd.grow()
    etcd.grow()
    made = etcd.plan({"etcd5"})
    assert not made.refusals
    assert actions(made) == {"etcd5": plan.ADD}
    assert made.etcd.external()["endpoints"] == [f"https://10.0.1.{n}:2379" for n in (1, 2, 3, 5)]


def test_a_host_is_not_added_while_a_voter_is_dead() -> None:
    etcd = built()
    etcd.hosts["etcd2"].up = False
    etcd.grow()
    made = etcd.plan({"etcd4"})
    problem = only(made, "etcd members")
    assert (problem.host, problem.found) == ("etcd4", "etcd2 not healthy")
    assert "remove it first" in problem.action


def test_a_dead_member_stays_an_endpoint() -> None:
    etcd = built()
    etcd.hosts["etcd2"].up = False
    made = etcd.plan({CONTROL_PLANE})
    assert not made.refusals
    assert "https://10.0.1.2:2379" in made.etcd.external()["endpoints"]


def test_a_voter_that_is_not_well_is_left_alone_and_told() -> None:
    etcd = built()
    etcd.hosts["etcd2"].traces.remove(evidence.ETCD_MANIFEST)
    made = etcd.plan()
    assert not made.refusals
    assert actions(made) == dict.fromkeys(HOSTS, plan.NOTHING)
    assert warned(made, "etcd member etcd2").found == "not healthy"


def test_a_member_of_no_host_is_told_and_stays() -> None:
    etcd = built(5)
    seen = looks(etcd)
    del seen["etcd5"]
    made = decide(etcd, seen, etcd=frozenset(etcd.hosts) - {"etcd5"}, scope=frozenset((*HOSTS, "etcd4")))
    assert not made.refusals
    assert warned(made, "etcd members").found == "etcd5, of no host in the inventory"
    assert "https://10.0.1.5:2379" in made.etcd.external()["endpoints"]


def test_data_that_is_gone_is_refused_with_the_member_to_remove() -> None:
    etcd = built()
    etcd.hosts["etcd2"].data = None
    problem = only(etcd.plan(), "etcd member")
    assert problem.host == "etcd2"
    assert "etcdctl member remove" in problem.action


def test_what_a_member_leaves_that_was_started_without_its_data_is_not_taken_for_it() -> None:
    """etcd makes an empty backend, or a log with nothing but its own id, before it notices and gives up."""
    etcd = built()
    etcd2 = looks(etcd)["etcd2"]
    assert etcd2 is not None
    for member_id in ("", etcd2.etcd.member_id):
        seen = changed(looks(etcd), "etcd2", its_answers=False, its_formed=False, its_member_id=member_id)
        assert only(decide(etcd, seen), "etcd member").host == "etcd2"


@pytest.mark.parametrize("shown", ["its_without_log", "its_log_cut"])
def test_data_that_is_less_than_a_member_has_voted_for_is_refused(shown: str) -> None:
    """A voter that began with nothing leaves an empty backend, as if it had never been in a cluster."""
    etcd = built()
    seen = changed(looks(etcd), "etcd2", its_answers=False, its_formed=True, its_member_id="", **{shown: True})
    assert only(decide(etcd, seen), "etcd member").host == "etcd2"


def test_a_learner_is_taken_in_anew_though_its_data_is_gone() -> None:
    etcd = built()
    etcd.grow()
    etcd.run(killed_before=10)
    etcd.hosts["etcd4"].data = None
    seen = looks(etcd)
    first = seen["etcd1"]
    assert first is not None
    assert [one.learner for one in first.members] == [False, False, False, True]
    made = decide(etcd, seen)
    assert not made.refusals
    assert actions(made)["etcd4"] == plan.ADD


def test_a_member_of_another_cluster_is_refused_by_both_names() -> None:
    etcd = built()
    etcd.grow()
    seen = changed(looks(etcd), "etcd4", its_data=True, its_formed=True, its_cluster_id="255", its_member_id="9")
    problem = only(decide(etcd, seen), "/var/lib/etcd/member")
    assert (problem.host, problem.found) == ("etcd4", "a member of the etcd cluster ff")
    assert "which etcd1 belongs to" in problem.wanted
    assert "Move it and" in problem.action


def test_data_of_a_member_that_was_taken_out_is_refused() -> None:
    etcd = built()
    first = looks(etcd)["etcd1"]
    assert first is not None
    etcd.grow()
    own = first.etcd.cluster_id
    seen = changed(looks(etcd), "etcd4", its_data=True, its_formed=True, its_cluster_id=own, its_member_id="9")
    assert "does not list" in only(decide(etcd, seen), "/var/lib/etcd/member").found
    seen = changed(looks(etcd), "etcd2", its_member_id="9")
    assert (
        only(
            decide(
                etcd,
                {key: look for key, look in seen.items() if key != "etcd4"},
                etcd=frozenset(HOSTS),
                scope=frozenset(HOSTS),
            ),
            "/var/lib/etcd/member",
        ).host
        == "etcd2"
    )


def test_two_clusters_that_both_answer_are_refused() -> None:
    etcd = built()
    other = SimulatedEtcdHosts(1)
    other.hosts = {"etcd4": dataclasses.replace(next(iter(other.hosts.values())), name="etcd4", address="10.0.1.4")}
    other.run()
    etcd.grow()
    problem = only(decide(etcd, {**looks(etcd), "etcd4": other.look("etcd4")}), "etcd")
    assert "on etcd1, etcd2, etcd3" in problem.found
    assert "on etcd4" in problem.found


def test_a_manifest_that_names_strangers_alone_is_refused() -> None:
    etcd = built()
    etcd.grow()
    flags = {"initial-cluster": "etcd4=https://10.0.1.4:2380,x=https://10.9.9.9:2380"}
    problem = only(decide(etcd, changed(looks(etcd), "etcd4", its_flags=flags)), evidence.ETCD_MANIFEST)
    assert problem.host == "etcd4"


def test_a_member_of_another_name_is_refused_with_the_name_that_it_keeps() -> None:
    etcd = built()
    made = decide(etcd, changed(looks(etcd), "etcd2", node_name="other"))
    problem = only(made, "etcd member at https://10.0.1.2:2380")
    assert (problem.found, problem.wanted) == ("etcd2", "other")
    assert "set cluster_node_name to etcd2" in problem.action


def test_a_member_that_is_told_another_place_is_refused_before_anything_changes() -> None:
    etcd = built()
    flags = {"name": "etcd2", "data-dir": "/srv/etcd"}
    problem = only(decide(etcd, changed(looks(etcd), "etcd2", its_flags=flags)), "etcd's --data-dir")
    assert problem.host == "etcd2"
    assert "/srv/etcd" in problem.found


def test_quorum_that_is_lost_is_refused_with_the_arithmetic() -> None:
    etcd = built()
    etcd.hosts["etcd1"].up = etcd.hosts["etcd3"].up = False
    made = etcd.plan({CONTROL_PLANE})
    (problem,) = (problem for problem in made.refusals if problem.subject == "etcd quorum")
    assert problem.found == (
        "0 healthy of 3 voters (etcd1: unreachable; etcd2: no answer, though it has data; etcd3: unreachable)"
    )
    assert problem.wanted == "2 that agree on a leader"


def test_a_member_that_has_lost_its_leader_speaks_for_nobody() -> None:
    etcd = built()
    seen = changed({**looks(etcd), "etcd2": None, "etcd3": None}, "etcd1", its_leader=False)
    made = decide(etcd, seen, scope=frozenset((CONTROL_PLANE,)))
    (problem,) = (problem for problem in made.refusals if problem.subject == "etcd quorum")
    assert "etcd1: answers, without a leader" in problem.found


def test_data_of_an_earlier_cluster_is_told_apart_from_a_quorum_that_is_lost() -> None:
    etcd = SimulatedEtcdHosts()
    seen = changed(
        looks(etcd),
        "etcd2",
        its_data=True,
        its_formed=True,
        its_cluster_id="9",
        its_data_cluster="a=https://10.9.9.9:2380",
    )
    problem = only(decide(etcd, seen), "/var/lib/etcd/member")
    assert problem.host == "etcd2"
    assert "a=https://10.9.9.9:2380" in problem.found
    assert "Move it and" in problem.action


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (1, "1: etcd is gone when it is"),
        (2, "2: they survive the loss of none, as 1 would"),
        (4, "4: they survive the loss of 1, as 3 would"),
        (6, "6: they survive the loss of 2, as 5 would"),
    ],
)
def test_a_number_of_hosts_that_is_none_the_better_is_told(size: int, found: str) -> None:
    made = SimulatedEtcdHosts(size).plan()
    assert not made.refusals
    assert warned(made, "etcd hosts").found == found


@pytest.mark.parametrize("size", [3, 5, 7])
def test_an_odd_number_of_hosts_is_fine(size: int) -> None:
    assert not [problem for problem in SimulatedEtcdHosts(size).plan().warnings if problem.subject == "etcd hosts"]


# What a running Kubernetes cluster says.


def recorded(simulated: SimulatedEtcdHosts, record: Mapping[str, Any], **wanted: Any) -> plan.Plan:
    return decide(simulated, changed(looks(simulated), CONTROL_PLANE, etcd_record=record), **wanted)


def test_endpoints_of_another_cluster_are_refused() -> None:
    made = recorded(built(), {"topology": "external", "endpoints": ["https://10.9.9.9:2379", "https://10.9.9.8:2379"]})
    problem = only(made, "etcd hosts")
    assert problem.found.startswith("endpoints of another cluster")
    assert "https://10.9.9.8:2379, https://10.9.9.9:2379" in problem.found


def test_endpoints_that_are_no_longer_members_are_put_right() -> None:
    made = recorded(built(), {"topology": "external", "endpoints": ["https://10.0.1.1:2379", "https://10.9.9.8:2379"]})
    assert not made.refusals
    assert made.steps[CONTROL_PLANE].follows


@pytest.mark.parametrize(("record", "external"), [("stacked", True), ("external", False)])
def test_etcd_is_never_moved(record: str, external: bool) -> None:
    etcd = built()
    stacked = {"external_etcd": False, "etcd": frozenset[str](), "scope": frozenset((CONTROL_PLANE,))}
    wanted: dict[str, Any] = {} if external else stacked
    made = recorded(etcd, {"topology": record, "endpoints": []}, **wanted)
    (problem,) = (problem for problem in made.refusals if problem.subject == "cluster_etcd_topology")
    assert problem.action == f"A build never moves etcd: set cluster_etcd_topology to {record}."


# What else a plan does with them.


def test_workers_alone_need_nothing_of_etcd() -> None:
    etcd = built()
    for host in etcd.hosts.values():
        host.up = False
    wanted = dataclasses.replace(etcd.wanted(), workers=frozenset(("w1",)), scope=frozenset(("w1",)))
    assert not etcd_hosts.are_asked(wanted)
    decision = etcd_hosts.decide(wanted, {})
    assert (decision.actions, decision.refusals, decision.external()) == ({}, [], {})


def test_text_has_a_line_for_each_etcd_host() -> None:
    etcd = built()
    etcd.grow()
    text = plan.text(etcd.wanted(), etcd.plan())
    assert "external etcd" in text
    assert "etcd1  nothing to join" in text
    assert "etcd4  become a member of etcd" in text


def test_names_and_addresses_are_of_one_host_each() -> None:
    etcd = SimulatedEtcdHosts()
    made = decide(etcd, changed(looks(etcd), "etcd2", node_name=CONTROL_PLANE, address="10.0.0.1"))
    assert {(problem.host, problem.subject) for problem in made.refusals} == {
        (host, subject) for host in ("cp1", "etcd2") for subject in ("node name", "address")
    }


MACHINE = {
    "hostname": "etcd2",
    "os": "debian 12",
    "kernel": "6.1.0",
    "time": 0.0,
    "addresses": ["10.0.1.2"],
    "default_route": False,
    "listening": [2379, 2381, 10250, 30000],
    "owners": {"2379": "etcd"},
}


def test_ports_of_an_etcd_host_must_be_free_while_it_carries_nothing() -> None:
    etcd = SimulatedEtcdHosts()
    made = decide(etcd, changed(looks(etcd), "etcd2", machine=MACHINE))
    assert [(problem.host, problem.subject) for problem in sorted(made.refusals)] == [
        ("etcd2", "port 10250"),
        ("etcd2", "port 2379"),
        ("etcd2", "port 2381"),
    ]
    seen = changed(looks(etcd), "etcd2", machine=MACHINE, its_service_manager=True)
    assert not decide(etcd, seen).refusals, "these are its own"


def test_ports_of_an_etcd_host_are_those_that_are_said() -> None:
    etcd = SimulatedEtcdHosts()
    said_of_it = {**etcd.wanted().etcd_settings, "etcd2": EtcdSettings(client_port=23790, peer_port=23800)}
    machine = {**MACHINE, "listening": [2379, 2380, 23800]}
    made = decide(etcd, changed(looks(etcd), "etcd2", machine=machine), etcd_settings=said_of_it)
    assert [problem.subject for problem in made.refusals] == ["port 23800"]
    assert "etcd2=https://10.0.1.2:23800" in made.etcd.initial_cluster
    assert "https://10.0.1.2:23790" in made.etcd.external()["endpoints"]


def test_an_address_of_the_sixth_version_goes_into_brackets() -> None:
    etcd = SimulatedEtcdHosts(1)
    made = decide(etcd, changed(looks(etcd), "etcd1", address="fd00::1"))
    assert made.etcd.initial_cluster == "etcd1=https://[fd00::1]:2380"
    assert made.etcd.external()["endpoints"] == ["https://[fd00::1]:2379"]


def test_programs_of_etcd_hosts_are_judged_as_those_of_nodes() -> None:
    etcd = built()
    programs = {"kubelet": {"path": "/usr/local/bin/kubelet", "version": "1.19.0", "said": "v1.19.0", "held": False}}
    made = decide(etcd, changed(looks(etcd), "etcd2", programs=programs))
    problem = only(made, "/usr/local/bin/kubelet")
    assert (problem.host, problem.found) == ("etcd2", "v1.19.0")


# A control plane that begins over these hosts, or was stopped while it did.

CUT = (evidence.CA, "nothing in it", "a whole file", "Restore it.")


def begun(etcd: SimulatedEtcdHosts, *more: str) -> Looks:
    """A control plane whose kubeadm init lost its power, which has left its CA empty."""
    files = {*pki.CLUSTER_CA.paths, *pki.ETCD_CLIENT_FILES, *more}
    bare = {"api_answers": False, "nodes": {}, "ca": None, "has_run": False, "identity": None}
    seen = {
        name: dataclasses.replace(look, endpoint_answers=False, endpoint_ca=None)
        for name, look in looks(etcd).items()
        if look
    }
    return changed(seen, CONTROL_PLANE, traces=frozenset(files), unusable=(CUT,), **bare)


def test_init_whose_ca_a_power_cut_has_emptied_goes_on_while_nothing_is_in_etcd() -> None:
    etcd = SimulatedEtcdHosts()
    etcd.run(frozenset(HOSTS))
    assert etcd.members and not etcd.initialised
    made = decide(etcd, begun(etcd))
    assert not made.refusals, describe(made.refusals)
    assert made.steps[CONTROL_PLANE].action == plan.RESUME


@pytest.mark.parametrize("change", ["keys", "no count", "manifest", "somebody else's etcd"])
def test_ca_that_may_have_been_used_is_not_made_anew(change: str) -> None:
    etcd = SimulatedEtcdHosts()
    etcd.run(frozenset(HOSTS))
    seen, wanted = begun(etcd, *evidence.POD_MANIFESTS[:1] if change == "manifest" else ()), {}
    if change in ("keys", "no count"):
        seen = changed(seen, "etcd2", its_keys=7 if change == "keys" else None)
    if change == "somebody else's etcd":
        wanted = {"foreign_etcd": {"endpoints": ["https://10.9.0.1:2379"]}}
    assert evidence.CA in {problem.subject for problem in decide(etcd, seen, **wanted).refusals}


def test_no_cluster_begins_in_an_etcd_that_holds_one() -> None:
    etcd = built()
    seen = changed(begun(etcd), CONTROL_PLANE, traces=frozenset(), unusable=())
    problem = only(decide(etcd, seen), "etcd")
    assert (
        problem.found
        == "100 keys of a Kubernetes cluster on etcd1, etcd2, etcd3, and nothing of it on the control planes"
    )
