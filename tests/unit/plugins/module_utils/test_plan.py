# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan may never do, over generated inventories and observations; then each refusal and warning by example."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, pki, plan, requirements, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, describe
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import (
    ADMIN_CONF,
    ENDPOINT,
    FOREIGN_CA,
    VERSION,
    SimulatedCluster,
)

STARTS = frozenset((plan.INITIALISE, plan.RESUME))
KEEPS = frozenset((plan.NOTHING, plan.FINISH, plan.RESUME))
OUR_CA = "sha256:" + "a" * 64

# Generated situations. Every host has its own name and address, and its member, where it has one, bears both.

POOL = tuple(f"h{number}" for number in range(1, 7))
BALANCERS = ("lb1", "lb2")
CONTROL_PLANE_TRACES = tuple(
    f"{evidence.KUBERNETES}/{name}"
    for name in (
        "admin.conf",
        "controller-manager.conf",
        "scheduler.conf",
        "pki/ca.key",
        *(f"manifests/{pod}.yaml" for pod in (*evidence.CONTROL_PLANE_PODS, "etcd")),
    )
)


@dataclass(frozen=True)
class Situation:
    wanted: plan.Wanted
    seen: Mapping[str, plan.Observation | None]

    def make(self) -> plan.Plan:
        return plan.make(self.wanted, self.seen)

    @property
    def nodes(self) -> dict[str, plan.Observation]:
        """What was seen of control planes and workers."""
        return {name: look for name, look in self.seen.items() if look and name not in BALANCERS}


def host_of(found: Member) -> str:
    return str(urlsplit(found.peer_urls[0]).hostname)


def address_of(name: str) -> str:
    return f"10.0.{POOL.index(name)}.1" if name in POOL else f"10.1.{BALANCERS.index(name)}.1"


def member(name: str, *, started: bool = True, healthy: bool = True, learner: bool = False) -> Member:
    return Member(
        id=str(2**63 + 1 + POOL.index(name)),
        name=name if started else "",
        peer_urls=(f"https://{address_of(name)}:2380",),
        client_urls=(f"https://{address_of(name)}:2379",) if started else (),
        learner=learner,
        healthy=started and healthy,
    )


def node(*, ready: bool = True, control_plane: bool = False, kubelet: str | None = "v1.20.2") -> dict[str, Any]:
    return {"ready": ready, "control_plane": control_plane, "address": None, "kubelet": kubelet, "pod_cidr": None}


# Traces that one host may carry: each line a way that kubeadm or a person may have left it.
_CONTROL_PLANE = frozenset((evidence.KUBELET_CONF, *pki.SHARED, *CONTROL_PLANE_TRACES))
_WORKER = frozenset((evidence.KUBELET_CONF, evidence.CA))
_TRACES = (
    frozenset[str](),
    frozenset[str](),
    _WORKER,
    _CONTROL_PLANE,
    _CONTROL_PLANE - {evidence.KUBELET_CONF},
    frozenset((evidence.CA,)),
    frozenset((evidence.KUBELET_CONF,)),
    frozenset(("/var/lib/etcd/member",)),
    frozenset((evidence.CA, ADMIN_CONF)),
)


def _shown(authorities: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every consistent combination of the fields of an observation that is not about the cluster's inside."""
    endpoints = [(False, None), (False, None), (True, None), *((True, ca) for ca in authorities)]
    found = []
    for traces, ca, has_run, (at_endpoint, published) in itertools.product(
        _TRACES, authorities, (False, True), endpoints
    ):
        found.append(
            {
                "traces": traces,
                "ca": ca if evidence.CA in traces else None,
                "has_run": has_run and evidence.KUBELET_CONF in traces,
                "endpoint_answers": at_endpoint,
                "endpoint_ca": published,
            }
        )
    return found


ANYTHING = st.sampled_from(_shown((OUR_CA, OUR_CA, OUR_CA, FOREIGN_CA)))
COHERENT = st.sampled_from(_shown((OUR_CA,)))
NODES = st.sampled_from(
    [
        None,
        None,
        None,
        *(node(ready=ready, control_plane=marked) for ready in (True, False) for marked in (True, False)),
    ]
)
MEMBERS = st.sampled_from(
    [None, {}, {}, {"healthy": False}, {"started": False}, {"started": False, "learner": True}, {"learner": True}]
)
LASTING = st.sampled_from([frozenset(evidence.INIT_PHASES[:count]) for count in range(len(evidence.INIT_PHASES) + 1)])
ALL_LASTING = frozenset(evidence.INIT_PHASES)
SKIPPED = st.sampled_from([frozenset[str](), frozenset(("addon",)), frozenset(("addon/coredns", "bootstrap-token"))])


@st.composite
def inventories(draw: st.DrawFn) -> plan.Wanted:
    groups = draw(
        st.tuples(*(st.sampled_from(("control plane", "control plane", "worker", "absent")) for _name in POOL))
    )
    control_plane = frozenset(host for host, group in zip(POOL, groups) if group == "control plane") or {POOL[0]}
    workers = frozenset(host for host, group in zip(POOL, groups) if group == "worker") - control_plane
    balancers = draw(st.frozensets(st.sampled_from(BALANCERS)))
    everything = frozenset(control_plane | workers | balancers)
    scope = draw(st.just(everything) | st.frozensets(st.sampled_from(sorted(everything)), min_size=1))
    return plan.Wanted(
        version=VERSION,
        endpoint=ENDPOINT,
        control_plane=frozenset(control_plane),
        workers=workers,
        load_balancers=balancers,
        external_etcd=draw(st.booleans()),
        skip_phases=draw(SKIPPED),
        scope=scope,
    )


@st.composite
def situations(
    draw: st.DrawFn, shown: st.SearchStrategy[dict[str, Any]] = ANYTHING, *, grown: bool = False
) -> Situation:
    """An inventory, and what its hosts show.

    Args:
        shown: what any of them may show.
        grown: a cluster runs, its endpoint leads there, and one of its control planes is whole.
    """
    wanted = draw(inventories())
    registry = {name: found for name in (*POOL, "stranger") if (found := draw(NODES))}
    etcd = [member(name, **kind) for name in POOL if (kind := draw(MEMBERS)) is not None]
    lasting = draw(LASTING)
    whole = min(wanted.control_plane) if grown else None
    if whole:
        registry[whole] = node(control_plane=True)
        etcd = [member(whole), *(found for found in etcd if host_of(found) != address_of(whole))]
    if wanted.external_etcd:
        etcd = []
    seen: dict[str, plan.Observation | None] = {}
    for name in sorted(wanted.control_plane | wanted.scope):
        if name in BALANCERS:
            seen[name] = plan.Observation(name, address_of(name))
            continue
        values = dict(draw(shown))
        answers = ADMIN_CONF in values["traces"] and draw(st.booleans())
        if grown:
            values.update(endpoint_answers=True)
        if name == whole:
            values.update(traces=_CONTROL_PLANE, ca=OUR_CA)
            answers = True
        elif not draw(st.integers(0, 15)):
            seen[name] = None
            continue
        if answers:
            values.update(api_answers=True, nodes=registry, lasting=lasting, members=tuple(etcd))
        identity = name if values["has_run"] else None
        seen[name] = plan.Observation(name, address_of(name), identity=identity, **values)
    return Situation(wanted, seen)


def shuffled(situation: Situation, seed: int) -> Situation:
    """The same, with everything that has an order in another one."""
    luck = random.Random(seed)

    def shuffle(values: Any) -> list[Any]:
        return luck.sample(list(values), len(values))

    def shuffle_look(look: plan.Observation | None) -> plan.Observation | None:
        return look and dataclasses.replace(
            look,
            traces=frozenset(shuffle(look.traces)),
            nodes=dict(shuffle(look.nodes.items())),
            lasting=frozenset(shuffle(look.lasting)),
            members=tuple(shuffle(look.members)),
            unusable=tuple(shuffle(look.unusable)),
        )

    names = ("control_plane", "workers", "load_balancers", "scope", "skip_phases")
    sets = {name: frozenset(shuffle(getattr(situation.wanted, name))) for name in names}
    seen = {name: shuffle_look(look) for name, look in shuffle(situation.seen.items())}
    return Situation(dataclasses.replace(situation.wanted, **sets), seen)


def said(made: plan.Plan, wanted: plan.Wanted) -> tuple[Any, ...]:
    """Everything that a user, a playbook or the next task is told."""
    return (
        made.steps,
        made.anchor,
        made.ca,
        describe(made.refusals),
        made.warnings,
        made.control_plane_addresses,
        plan.text(wanted, made),
    )


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:h\d|lb\d)\b", text))


# Properties.


@given(situations(), st.integers())
def test_plan_order_of_anything_given_changes_nothing(situation: Situation, seed: int) -> None:
    other = shuffled(situation, seed)
    assert said(situation.make(), situation.wanted) == said(other.make(), other.wanted)


HASHED = """
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import SimulatedCluster, plan
for cluster in (SimulatedCluster(5, 2), SimulatedCluster(5, 2).converge()):
    for looks in (cluster.looks(), {**cluster.looks(), "cp2": None, "w1": None}):
        made = plan.make(cluster.wanted(), looks)
        print(made.anchor, made.control_plane_addresses, made.warnings)
        print(plan.text(cluster.wanted(), made))
"""


def test_plan_order_of_sets_changes_nothing() -> None:
    """Within one process small sets keep their order, so each of these has hashes of its own."""
    told = set()
    for seed in range(4):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", HASHED], env=environment, capture_output=True, text=True, check=True
        )
        told.add(run.stdout)
    assert len(told) == 1
    assert "initialise the cluster" in told.pop()


@given(situations())
def test_plan_cluster_is_begun_on_one_host_at_most(situation: Situation) -> None:
    begun = [host for host, step in situation.make().steps.items() if step.action in STARTS]
    assert len(begun) <= 1
    assert set(begun) <= situation.wanted.control_plane & situation.wanted.scope


@given(situations())
def test_plan_initialises_only_where_nothing_shows_a_cluster(situation: Situation) -> None:
    made = situation.make()
    if any(step.action == plan.INITIALISE for step in made.steps.values()):
        looks = situation.nodes.values()
        assert not [look for look in looks if look.ca or look.traces or look.api_answers or look.endpoint_answers]
        assert all(situation.seen.get(host) for host in situation.wanted.control_plane)


@given(inventories())
def test_plan_bare_hosts_are_initialised(wanted: plan.Wanted) -> None:
    assume(wanted.control_plane & wanted.scope)
    bare = {name: plan.Observation(name, address_of(name)) for name in wanted.control_plane | wanted.scope}
    made = plan.make(wanted, bare)
    assert not made.refusals
    assert made.steps[str(made.anchor)].action == plan.INITIALISE
    assert {step.action for step in made.steps.values()} <= {plan.INITIALISE, plan.JOIN, plan.BALANCE}


@given(situations())
def test_plan_two_authorities_are_refused_with_all_hosts_that_show_one(situation: Situation) -> None:
    own = {name: look.ca for name, look in situation.nodes.items() if look.ca}
    published = {look.endpoint_ca for look in situation.nodes.values() if look.endpoint_ca}
    assume(len({*own.values(), *published}) > 1)
    made = situation.make()
    told = [problem for problem in made.refusals if problem.subject == "certificate authority"]
    assert len(told) == 1
    assert names_in(str(told[0])) >= own.keys()
    assert all(ca[:19] in told[0].found for ca in {*own.values(), *published})


@given(situations(COHERENT, grown=True))
def test_plan_members_are_never_joined_again(situation: Situation) -> None:
    made = situation.make()
    assume(made.anchor and not made.refusals)
    cluster = situation.nodes[str(made.anchor)]
    for host, step in made.steps.items():
        look = situation.seen[host]
        if host in BALANCERS or look is None or host not in cluster.nodes:
            continue
        started = {found.name for found in cluster.members if found.started and not found.learner}
        if host in situation.wanted.control_plane and (situation.wanted.external_etcd or host in started):
            assert step.action in KEEPS or look.traces <= pki.SHARED and situation.wanted.external_etcd
        elif host in situation.wanted.workers and evidence.KUBELET_CONF in look.traces:
            assert step.action == plan.NOTHING


# What has become of one of a cluster's control planes: of its node, and of its etcd member.
FATES = ("whole", "dead", "broken", "unstarted", "learner")


def fates(kinds: list[str]) -> tuple[plan.Plan, tuple[Member, ...], dict[str, str]]:
    """The plan for control planes that fared so, besides a first one that is whole; etcd's members; and the fates."""
    of = dict(zip(POOL, ["whole", *kinds]))
    etcd = tuple(
        member(host, started=kind != "unstarted", healthy=kind != "dead", learner=kind == "learner")
        for host, kind in of.items()
    )
    assume(agree([one for one in etcd if not one.learner]))
    look = plan.Observation(
        "",
        "",
        traces=_CONTROL_PLANE,
        ca=OUR_CA,
        endpoint_answers=True,
        api_answers=True,
        nodes={host: node(control_plane=True) for host, kind in of.items() if kind in ("whole", "dead")},
        lasting=ALL_LASTING,
        members=etcd,
    )
    seen = {
        host: None if kind == "dead" else dataclasses.replace(look, node_name=host, address=address_of(host))
        for host, kind in of.items()
    }
    scope = frozenset(host for host, kind in of.items() if kind != "dead")
    return plan.make(plan.Wanted(VERSION, ENDPOINT, frozenset(of), scope=scope), seen), etcd, of


def agree(voters: list[Member]) -> bool:
    """Whether the healthy ones are more than half."""
    return 2 * sum(voter.healthy for voter in voters) > len(voters)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(FATES), min_size=1, max_size=5))
def test_plan_rejoining_all_planned_hosts_leaves_etcd_its_quorum_throughout(kinds: list[str]) -> None:
    made, etcd, _of = fates(kinds)
    assume(not made.refusals)
    leaving = [address_of(host) for host, step in made.steps.items() if step.action == plan.REJOIN]
    for count in range(1, len(leaving) + 1):
        for gone in itertools.combinations(leaving, count):
            assert agree([one for one in etcd if not one.learner and host_of(one) not in gone]), f"without {gone}"


@given(st.lists(st.sampled_from(("whole", "dead")), max_size=4), st.sampled_from(("broken", "unstarted", "learner")))
def test_plan_lone_broken_join_is_refused_only_for_lack_of_quorum(others: list[str], kind: str) -> None:
    made, etcd, of = fates([kind, *others])
    broken = next(host for host, fate in of.items() if fate == kind)
    left = [one for one in etcd if not one.learner and host_of(one) != address_of(broken)]
    assert made.steps[broken].action == plan.REJOIN
    assert [problem.subject for problem in made.refusals] == (
        [] if kind == "learner" or agree(left) else ["etcd quorum"]
    )


@given(situations())
def test_plan_refusals_leave_no_anchor(situation: Situation) -> None:
    made = situation.make()
    assert made.anchor is None if made.refusals else made.anchor in situation.wanted.control_plane


@given(situations())
def test_plan_without_refusals_gives_each_host_in_scope_one_step(situation: Situation) -> None:
    made = situation.make()
    assert made.steps.keys() <= situation.wanted.scope
    if not made.refusals:
        assert made.steps.keys() == situation.wanted.scope
        for host, step in made.steps.items():
            role = plan.CONTROL_PLANE if host in situation.wanted.control_plane else plan.WORKER
            assert step.role == (plan.LOAD_BALANCER if host in BALANCERS else role)
            assert (step.action == plan.BALANCE) == (host in BALANCERS)


@given(situations())
def test_plan_unreachable_host_in_scope_is_refused_by_name(situation: Situation) -> None:
    silent = {host for host in situation.wanted.scope if situation.seen.get(host) is None}
    told = {problem.host for problem in situation.make().refusals if problem.subject == "connection"}
    assert told == silent


@given(situations())
def test_plan_every_problem_says_subject_found_wanted_and_action(situation: Situation) -> None:
    made = situation.make()
    for problem in (*made.refusals, *made.warnings):
        assert all(dataclasses.astuple(problem))
        assert problem.host == CLUSTER or problem.host in situation.seen
        assert problem.action.endswith(".")


@given(
    st.frozensets(st.sampled_from(("cp1", "cp2", "cp3", "w1"))),
    st.frozensets(st.sampled_from(("cp1", "cp2", "cp3")), max_size=2),
)
def test_plan_unknown_control_plane_outside_scope_stops_no_running_cluster(
    scope: frozenset[str], down: frozenset[str]
) -> None:
    assume(scope - down)
    cluster = SimulatedCluster(3, 1).converge()
    looks = {**cluster.looks(), **dict.fromkeys(down)}
    made = plan.make(cluster.wanted(scope - down), looks)
    assert not made.refusals
    assert {step.action for step in made.steps.values()} == {plan.NOTHING}


@pytest.mark.parametrize("unknown", ["cp1", "cp2", "cp3"])
def test_plan_unknown_control_plane_outside_scope_blocks_initialising(unknown: str) -> None:
    cluster = SimulatedCluster(3, 0)
    made = plan.make(cluster.wanted(cluster.control_plane - {unknown}), {**cluster.looks(), unknown: None})
    assert [problem.subject for problem in made.refusals] == ["control planes"]
    assert f"no answer from {unknown}" in made.refusals[0].found


# Examples: what starts a cluster, and what does not.


def altered(cluster: SimulatedCluster, name: str, **changes: Any) -> dict[str, plan.Observation | None]:
    """What the cluster shows, and one host something else besides."""
    looks = cluster.looks()
    look = looks[name]
    assert look
    return {**looks, name: dataclasses.replace(look, **changes)}


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, describe(problems)
    return problems[0]


def test_plan_interrupted_init_is_resumed_where_it_was_begun() -> None:
    cluster = SimulatedCluster(3, 0)
    cluster.run({"cp2"}, kills={"cp2": 3}, kubelets_go_on=False)
    made = cluster.plan()
    assert (made.anchor, made.steps["cp2"].action) == ("cp2", plan.RESUME)
    assert {made.steps[host].action for host in ("cp1", "cp3")} == {plan.JOIN}


@pytest.mark.parametrize(
    "evidence_of_one",
    [
        {"traces": frozenset((evidence.CA,)), "ca": OUR_CA},
        {"traces": frozenset((evidence.KUBELET_CONF,)), "has_run": True},
        {"traces": frozenset(("/var/lib/etcd/member",))},
        {"endpoint_answers": True},
        {"endpoint_answers": True, "endpoint_ca": OUR_CA},
    ],
    ids=["CA", "kubelet's certificate", "etcd's data", "endpoint", "endpoint with CA"],
)
def test_plan_one_sign_of_a_cluster_on_a_worker_refuses_to_initialise(evidence_of_one: dict[str, Any]) -> None:
    cluster = SimulatedCluster(3, 1)
    made = plan.make(cluster.wanted(), altered(cluster, "w1", **evidence_of_one))
    assert made.refusals
    assert "w1" in describe(made.refusals)


@pytest.mark.parametrize("sign", [{"endpoint_answers": True}, {"endpoint_answers": True, "endpoint_ca": OUR_CA}])
def test_plan_endpoint_that_answers_a_load_balancer_alone_refuses_to_initialise(sign: dict[str, Any]) -> None:
    cluster = SimulatedCluster(3, 0)
    scope = {*cluster.control_plane, "lb1"}
    looks = {**cluster.looks(), "lb1": plan.Observation("lb1", "10.0.1.1", **sign)}
    made = plan.make(cluster.wanted(scope, load_balancers=frozenset(("lb1",))), looks)
    assert made.refusals
    assert "lb1" in describe(made.refusals)


def test_plan_interrupted_packages_are_finished_and_stop_nothing() -> None:
    cluster = SimulatedCluster(1, 1)
    made = plan.make(cluster.wanted(), altered(cluster, "w1", packages_interrupted=True))
    assert not made.refusals
    assert [(warning.host, warning.subject) for warning in made.warnings] == [("w1", "dpkg")]


def test_plan_cluster_behind_the_endpoint_and_not_in_the_inventory_is_refused() -> None:
    cluster = SimulatedCluster(3, 0)
    problem = only(plan.make(cluster.wanted(), altered(cluster, "cp2", endpoint_answers=True)).refusals)
    assert problem.subject == f"control plane endpoint {ENDPOINT}"
    assert "seen from cp2" in problem.found
    assert "choose another endpoint" in problem.action


def test_plan_api_servers_that_hang_are_told_as_such_while_the_endpoint_answers() -> None:
    """As while the load balancer still has one that was quicker: the cluster is this inventory's, and not another."""
    cluster = SimulatedCluster(3, 1).converge()
    why = "GET https://10.0.0.11:6443/api/v1/nodes: timed out"
    hang = {name: look and dataclasses.replace(look, api_answers=False, api_error=why if look.traces else "")
            for name, look in cluster.looks().items()}  # fmt: skip
    problem = only(plan.make(cluster.wanted(), hang).refusals)
    assert problem.subject == "API servers"
    assert f"one that answers at {ENDPOINT} (seen from cp1, cp2, cp3, w1)" in problem.found
    assert "cp1, cp2, cp3: timed out; etcd runs on cp1, cp2, cp3, of 3 voters, and a quorum is 2" in problem.found
    assert "Wait a minute, and run again" in problem.action


def test_plan_control_plane_that_was_not_looked_at_may_be_the_one_behind_the_endpoint() -> None:
    cluster = SimulatedCluster(3, 0)
    looks = {**altered(cluster, "cp2", endpoint_answers=True), "cp3": None}
    problem = only(plan.make(cluster.wanted(("cp1", "cp2")), looks).refusals)
    assert problem.found == f"no answer from cp3, and an API server at {ENDPOINT} that is none of the others'"
    assert "Bring them up" in problem.action


def sick(cluster: SimulatedCluster, name: str, error: str) -> dict[str, plan.Observation | None]:
    """What the cluster shows while one member is not well, by every member's word."""

    def tell(look: plan.Observation) -> plan.Observation:
        members = (
            dataclasses.replace(each, healthy=False, error=error) if each.name == name else each
            for each in look.members
        )
        return dataclasses.replace(look, members=tuple(members))

    return {host: look and tell(look) for host, look in cluster.looks().items()}


def test_plan_member_that_is_not_well_is_warned_of_with_its_own_words() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    made = plan.make(cluster.wanted(), sick(cluster, "cp2", "no answer"))
    assert made.refusals == []
    problem = only(made.warnings)
    assert (problem.subject, problem.found) == ("etcd member cp2", "not healthy (no answer), by cp1's member")


@pytest.mark.parametrize(("joins", "refused"), [(False, False), (True, True)], ids=["nobody joins", "a worker joins"])
def test_plan_etcd_without_room_lets_nobody_join(joins: bool, refused: bool) -> None:
    cluster = SimulatedCluster(3, 1).converge()
    if joins:
        cluster.reset(cluster.hosts["w1"])
        cluster.pass_time()
    looks = sick(cluster, "cp2", f"memberID:{cluster.members[0].id} alarm:NOSPACE")
    made = plan.make(cluster.wanted(), looks)
    problem = only(made.refusals if refused else made.warnings)
    assert (problem.subject, problem.found) == ("etcd alarm", f"NOSPACE of member {cluster.members[0].host.name}")
    assert "disarm the alarm" in problem.action


def test_plan_stopped_cluster_is_not_begun_again() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    silent = {name: look and dataclasses.replace(look, api_answers=False, endpoint_answers=False, endpoint_ca=None)
              for name, look in cluster.looks().items()}  # fmt: skip
    problem = only(plan.make(cluster.wanted(), silent).refusals)
    assert problem.subject == "API servers"
    assert "cp1, cp2, cp3 belonged to a running cluster" in problem.found
    assert "etcd's quorum" in problem.action


def test_plan_run_without_control_plane_cannot_begin_a_cluster() -> None:
    cluster = SimulatedCluster(3, 1)
    problem = only(cluster.plan({"w1"}).refusals)
    assert (problem.subject, problem.wanted) == ("cluster", "a control plane to start it on")
    assert "--limit" in problem.action


def test_plan_remains_on_two_hosts_are_refused() -> None:
    cluster = SimulatedCluster(3, 0)
    for name in ("cp1", "cp3"):
        cluster.hosts[name].traces.add(ADMIN_CONF)
    problem = only(cluster.plan().refusals)
    assert problem.subject == "remains of a cluster"
    assert "cp1, cp3" in problem.found
    assert "Reset" in problem.action


def test_plan_remains_outside_scope_are_refused() -> None:
    cluster = SimulatedCluster(3, 0)
    cluster.hosts["cp1"].traces.add(ADMIN_CONF)
    assert only(cluster.plan({"cp2"}).refusals).subject == "remains of a cluster"


def test_plan_two_authorities_are_named_with_their_hosts() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    made = plan.make(cluster.wanted(), altered(cluster, "w1", ca=FOREIGN_CA))
    problem, own = made.refusals
    assert (own.host, own.subject) == ("w1", evidence.CA)
    assert "reset this host" in own.action.lower()
    assert problem.subject == "certificate authority"
    assert f"{FOREIGN_CA[:19]}… on w1" in problem.found
    assert "on cp1, cp2, cp3" in problem.found
    assert problem.wanted == "one cluster CA everywhere"


def test_plan_node_of_another_cluster_is_refused_by_what_its_kubelet_trusts() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    looks = altered(cluster, "w1", ca=FOREIGN_CA, traces=frozenset((evidence.KUBELET_CONF,)))
    own = next(problem for problem in plan.make(cluster.wanted(), looks).refusals if problem.host == "w1")
    assert own.subject == evidence.KUBELET_CONF
    assert "of another cluster" in own.found


def test_plan_foreign_cluster_at_the_endpoint_is_refused() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    looks = altered(cluster, "cp2", endpoint_answers=True, endpoint_ca=FOREIGN_CA)
    problem = only(plan.make(cluster.wanted(), looks).refusals)
    assert "the endpoint as cp2 sees it" in problem.found


def test_plan_unreadable_evidence_is_refused_with_its_file() -> None:
    cluster = SimulatedCluster(3, 0)
    cut = (evidence.CA, "no whole PEM certificate in the text", "a whole file", "Restore it, or reset this host.")
    looks = altered(cluster, "cp2", unusable=(cut,))
    problem = only(plan.make(cluster.wanted(), looks).refusals)
    assert (problem.host, problem.subject) == ("cp2", evidence.CA)
    assert problem.found == "no whole PEM certificate in the text"
    assert "reset this host" in problem.action


def test_plan_all_unreachable_hosts_are_named_at_once() -> None:
    cluster = SimulatedCluster(3, 1)
    made = plan.make(cluster.wanted(), {**cluster.looks(), "cp1": None, "w1": None})
    assert sorted(problem.host for problem in made.refusals) == ["cp1", "w1"]
    assert "--limit '!w1'" in describe(made.refusals)


@pytest.mark.parametrize(("field", "value"), [("node_name", "cp1"), ("address", "10.0.0.11")])
def test_plan_hosts_that_share_a_name_or_an_address_are_refused(field: str, value: str) -> None:
    cluster = SimulatedCluster(3, 0)
    made = plan.make(cluster.wanted(), altered(cluster, "cp3", **{field: value}))
    assert sorted((problem.host, problem.subject) for problem in made.refusals) == [
        ("cp1", field.replace("_", " ")),
        ("cp3", field.replace("_", " ")),
    ]
    assert f"{value}, also on cp1" in describe(made.refusals)


def test_plan_node_under_another_name_than_its_certificates_is_refused_with_both() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    problem = only(plan.make(cluster.wanted(), altered(cluster, "w1", identity="worker-one")).refusals)
    assert (problem.host, problem.subject, problem.wanted) == ("w1", "node name", "w1")
    assert "worker-one" in problem.found
    assert "cluster_node_name to worker-one" in problem.action


# Examples: where the load balancer leads.


def balanced(cluster: SimulatedCluster, looks: Mapping[str, plan.Observation | None], **changes: Any) -> plan.Plan:
    """The plan of a run that is limited to a load balancer."""
    wanted = cluster.wanted({"lb1"}, load_balancers=frozenset(("lb1",)), **changes)
    return plan.make(wanted, {**looks, "lb1": plan.Observation("lb1", "10.1.0.1")})


def test_plan_host_that_balances_and_is_a_control_plane_joins_as_one() -> None:
    cluster = SimulatedCluster(3, 0)
    step = cluster.plan(load_balancers=frozenset(("cp2",))).steps["cp2"]
    assert (step.action, step.role, step.node_name) == (plan.JOIN, plan.CONTROL_PLANE, "cp2")


def test_plan_addresses_of_control_planes_are_their_own_words() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    made = balanced(cluster, cluster.looks(), addresses={"cp1": "192.0.2.99"})
    assert made.control_plane_addresses == {"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13"}


def test_plan_control_plane_that_is_off_keeps_its_place_behind_the_load_balancer() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    made = balanced(cluster, {**cluster.looks(), "cp2": None}, addresses={"cp2": "192.0.2.99"})
    assert not made.refusals
    assert made.control_plane_addresses["cp2"] == "10.0.0.12"


def test_plan_control_plane_that_is_off_is_known_by_the_node_name_that_the_inventory_gives_it() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    cluster.nodes["node-of-cp2"] = cluster.nodes.pop("cp2")
    made = balanced(cluster, {**cluster.looks(), "cp2": None}, node_names={"cp2": "Node-of-cp2"})
    assert not made.refusals
    assert made.control_plane_addresses == {"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13"}


def test_plan_control_plane_that_nobody_knows_yet_is_balanced_to_the_inventorys_address() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    del cluster.nodes["cp2"]
    made = balanced(cluster, {**cluster.looks(), "cp2": None}, addresses={"cp2": "192.0.2.99"})
    assert made.control_plane_addresses["cp2"] == "192.0.2.99"


def test_plan_control_plane_without_any_address_is_no_reason_to_write_a_load_balancer_without_it() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    del cluster.nodes["cp2"]
    problem = only(balanced(cluster, {**cluster.looks(), "cp2": None}).refusals)
    assert (problem.host, problem.subject) == ("cp2", "address")
    assert "cluster_node_address" in problem.action


def test_plan_control_plane_without_any_address_stops_no_run_without_load_balancers() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    del cluster.nodes["cp2"]
    assert not plan.make(cluster.wanted({"w1"}), {**cluster.looks(), "cp2": None}).refusals


def test_plan_address_that_two_api_servers_tell_otherwise_depends_on_no_order() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    old = {**cluster.nodes, "cp3": {**cluster.nodes["cp3"], "address": "10.0.0.99"}}
    looks = {**altered(cluster, "cp2", nodes=old), "cp3": None}
    told = [balanced(cluster, dict(order)).control_plane_addresses for order in itertools.permutations(looks.items())]
    assert all(addresses == told[0] for addresses in told)


# Examples: extending a cluster.


def test_plan_new_worker_joins_and_nobody_else_is_touched() -> None:
    cluster = SimulatedCluster(3, 2).converge()
    cluster.reset(cluster.hosts["w2"])
    del cluster.nodes["w2"]
    made = cluster.plan()
    assert {host: step.action for host, step in made.steps.items() if step.action != plan.NOTHING} == {"w2": plan.JOIN}
    assert made.steps["w2"].reason == "not a member yet"


def test_plan_limit_names_the_hosts_in_scope_alone() -> None:
    cluster = SimulatedCluster(3, 2).converge()
    made = cluster.plan({"w2"})
    assert made.steps.keys() == {"w2"}
    assert made.anchor in cluster.control_plane
    assert made.control_plane_addresses == {"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13"}


def test_plan_version_of_a_running_cluster_is_not_changed() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    problem = only(cluster.plan(version=versions.parse("1.21.5")).refusals)
    assert problem.subject == "cluster_kubernetes_version"
    assert (problem.found, problem.wanted) == ("control planes that run v1.20.2", "v1.21.5")
    assert "never changes the version" in problem.action


def test_plan_name_of_another_ready_node_is_refused() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.reset(cluster.hosts["w1"])
    cluster.nodes["w1"]["address"] = "10.0.0.99"
    problem = only(cluster.plan().refusals)
    assert (problem.host, problem.subject) == ("w1", "node name w1")
    assert "Ready" in problem.found
    assert "rename" in problem.action


def test_plan_host_installed_anew_joins_under_its_old_name() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.reset(cluster.hosts["w1"])
    cluster.pass_time()
    made = cluster.plan()
    assert not made.refusals
    assert made.steps["w1"].action == plan.JOIN
    assert "installed anew" in made.steps["w1"].reason


def test_plan_member_that_lost_its_data_is_refused_with_the_command_to_remove_it() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    cluster.reset(cluster.hosts["cp3"])
    cluster.pass_time()
    lost = cluster.member_of(cluster.hosts["cp3"])
    assert lost
    problem = only(cluster.plan().refusals)
    assert (problem.host, problem.subject) == ("cp3", "etcd member")
    assert lost.id in problem.found
    assert f"etcdctl member remove {int(lost.id):x}" in problem.action


def test_plan_broken_join_that_etcd_cannot_spare_is_refused_with_the_arithmetic() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    del cluster.nodes["cp3"]
    cluster.hosts["cp2"].up = False
    looks = {**cluster.looks(), "cp2": None}
    problem = only(plan.make(cluster.wanted({"cp1", "cp3"}), looks).refusals)
    assert (problem.host, problem.subject) == ("cp3", "etcd quorum")
    assert problem.found == "1 healthy of 2 voters once cp3 is removed"
    assert problem.wanted == "2"


def test_plan_silent_etcd_on_the_anchor_makes_no_member_a_broken_join() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    made = plan.make(cluster.wanted(), altered(cluster, "cp1", members=()))
    assert made.refusals or {step.action for step in made.steps.values()} == {plan.NOTHING}


def test_plan_member_that_was_never_promoted_is_not_a_whole_one() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    learner = cluster.member_of(cluster.hosts["cp3"])
    assert learner
    learner.learner = True
    made = cluster.plan()
    assert made.steps["cp3"].action == plan.FINISH
    assert "no voting etcd member" in made.steps["cp3"].reason


def test_plan_init_left_unfinished_outside_scope_lets_nobody_join() -> None:
    cluster = SimulatedCluster(3, 1)
    cluster.run(kills={"cp1": 12})
    made = cluster.plan({"w1"})
    assert made.refusals, "with a second node the missing addons would never come"


@pytest.mark.parametrize("external", [False, True], ids=["stacked etcd", "external etcd"])
def test_plan_ready_worker_listed_as_control_plane_is_neither_reset_nor_changed(external: bool) -> None:
    cluster = SimulatedCluster(3, 2).converge()
    groups = {"control_plane": cluster.control_plane | {"w1"}, "workers": frozenset(("w2",))}
    made = cluster.plan(external_etcd=external, **groups)
    assert made.refusals or made.steps["w1"].action == plan.NOTHING


def test_plan_control_plane_listed_as_worker_is_told() -> None:
    cluster = SimulatedCluster(4, 1).converge()
    groups = {"control_plane": frozenset(("cp1", "cp2", "cp3")), "workers": frozenset(("w1", "cp4"))}
    made = cluster.plan(**groups)
    assert made.refusals or "cp4" in describe(made.warnings)


def test_plan_running_cluster_is_spoken_for_by_a_live_control_plane() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    made = plan.make(cluster.wanted({"cp3"}), altered(cluster, "cp1", api_answers=False))
    assert made.anchor in ("cp2", "cp3")
    assert made.ca == cluster.hosts["cp1"].ca


def test_plan_anchor_is_a_control_plane_that_is_a_node_itself() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    del cluster.nodes["cp1"]
    made = cluster.plan()
    assert (made.anchor, made.steps["cp1"].action) == ("cp2", plan.REJOIN)


def test_plan_object_that_somebody_took_from_a_grown_cluster_is_not_brought_back() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.lasting.discard("addon/kube-proxy")
    assert {step.action for step in cluster.plan().steps.values()} == {plan.NOTHING}


def test_plan_worker_without_its_kubelets_configuration_joins_anew() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.hosts["w1"].traces.discard(evidence.KUBELET_CONF)
    assert cluster.plan().steps["w1"].action == plan.REJOIN


def test_plan_control_plane_that_has_not_said_its_version_yet_is_no_other_version() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    cluster.nodes["cp3"]["kubelet"] = None
    assert not cluster.plan().refusals


# Examples: warnings.


@pytest.mark.parametrize(("count", "warns"), [(1, False), (2, True), (3, False), (4, True), (5, False)])
def test_plan_even_number_of_stacked_control_planes_is_warned_of(count: int, warns: bool) -> None:
    made = SimulatedCluster(count, 0).plan()
    assert [problem.subject for problem in made.warnings] == ["stacked control planes"] * warns
    if warns:
        assert f"{count} members survive no more failures than {count - 1}" in made.warnings[0].action


def test_plan_even_number_of_control_planes_is_fine_with_external_etcd() -> None:
    assert not SimulatedCluster(2, 0).plan(external_etcd=True).warnings


def test_plan_node_outside_the_inventory_is_warned_of_and_stays() -> None:
    cluster = SimulatedCluster(3, 1).converge()
    cluster.nodes["old"] = dict(cluster.nodes["w1"])
    made = cluster.plan()
    problem = only(made.warnings)
    assert problem.found == "old in the cluster and not in the inventory"
    assert "stay as they are" in problem.action
    assert "old" not in made.steps
    assert not made.refusals


def test_plan_limited_run_does_not_call_unseen_nodes_strangers() -> None:
    cluster = SimulatedCluster(3, 2).converge()
    assert not cluster.plan({"cp1", "w1"}).warnings


def test_plan_lost_file_of_a_member_is_warned_of_and_no_reason_to_join_again() -> None:
    cluster = SimulatedCluster(3, 0).converge()
    cluster.hosts["cp2"].traces.discard("/etc/kubernetes/scheduler.conf")
    made = cluster.plan()
    problem = only(made.warnings)
    assert (problem.host, problem.found) == ("cp2", "no /etc/kubernetes/scheduler.conf")
    assert made.steps["cp2"].action == plan.NOTHING


# Words.


def test_plan_text_says_every_step_with_its_reason() -> None:
    cluster = SimulatedCluster(2, 1)
    wanted = cluster.wanted()
    shown = plan.text(wanted, cluster.plan())
    assert shown.splitlines()[0] == f"Plan for Kubernetes 1.20.2, stacked etcd, endpoint {ENDPOINT}"
    assert re.search(r"^  cp1  initialise the cluster  no host, no load balancer and no CA", shown, re.MULTILINE)
    assert re.search(r"^  w1   join as worker          there is no cluster yet; cp1 starts it", shown, re.MULTILINE)
    assert "Know: cluster: stacked control planes" in shown


def test_plan_text_says_every_refusal_once() -> None:
    cluster = SimulatedCluster(3, 0)
    made = plan.make(cluster.wanted(), {**cluster.looks(), "cp1": None})
    made.refusals *= 2
    assert plan.text(cluster.wanted(), made).count("Refused: cp1: connection: found no answer") == 1


@pytest.mark.parametrize(
    ("lasting", "skipped", "missing"),
    [
        (evidence.INIT_PHASES, (), None),
        ((), (), "upload-config/kubeadm"),
        (evidence.INIT_PHASES[:2], (), "bootstrap-token"),
        (evidence.INIT_PHASES[:3], ("addon",), None),
        (evidence.INIT_PHASES[:4], ("addon/kube-proxy",), None),
        (evidence.INIT_PHASES[:3], ("addon/kube-proxy",), "addon/coredns"),
    ],
)
def test_first_missing_phase_passes_over_what_was_skipped(
    lasting: tuple[str, ...], skipped: tuple[str, ...], missing: str | None
) -> None:
    assert plan.first_missing_phase(lasting, skipped) == missing


def test_plan_phase_that_the_user_skips_is_not_resumed_for() -> None:
    cluster = SimulatedCluster(1, 0).converge()
    cluster.lasting.discard("addon/kube-proxy")
    assert cluster.plan().steps["cp1"].action == plan.RESUME
    assert cluster.plan(skip_phases=frozenset(("addon/kube-proxy",))).steps["cp1"].action == plan.NOTHING


def test_observation_from_result_of_a_bare_host_shows_nothing() -> None:
    look = plan.Observation.from_result(
        {
            "node_name": "cp1",
            "address": None,
            "package_manager": "apt",
            "traces": [],
            "ca": None,
            "problems": [],
            "has_run": False,
            "identity": None,
            "endpoint": {"answers": False, "ca": None, "error": None},
            "api": None,
            "etcd": None,
        }
    )
    assert look == plan.Observation("cp1", "", "apt")


def test_observation_from_result_keeps_all_that_a_member_shows() -> None:
    cluster = SimulatedCluster(1, 0).converge()
    look = cluster.look("cp1")
    assert look
    assert look.api_answers
    assert look.endpoint_ca == look.ca == cluster.hosts["cp1"].ca
    assert look.members[0].started
    assert look.members[0].healthy
    assert look.nodes["cp1"]["control_plane"]


def test_step_says_what_it_means_for_its_role() -> None:
    expected: dict[str, Callable[[str], str]] = {
        plan.JOIN: "join as {}".format,
        plan.REJOIN: "undo a broken join, then join as {}".format,
        plan.FINISH: "finish joining as {}".format,
    }
    for action, words in expected.items():
        assert str(plan.Step(action, plan.WORKER, "")) == words(plan.WORKER)


def test_plan_unfit_machine_is_refused_before_it_becomes_a_node_and_only_told_of_once_it_is() -> None:
    cluster = SimulatedCluster(3, 1)
    unfit = {
        "cpus": 1,
        "memory_mb": 8000,
        "time": 0.0,
        "machine_id": "same",
        "product_uuid": None,
        "mac": None,
        "listening": [],
    }
    alike = {host: {"machine": unfit} for host in ("cp1", "w1")}

    def seen() -> dict[str, plan.Observation | None]:
        looks = cluster.looks()
        return {
            host: dataclasses.replace(look, **alike[host]) if look and host in alike else look
            for host, look in looks.items()
        }

    wanted = cluster.wanted()
    refused = plan.make(wanted, seen())
    assert {(problem.host, problem.subject) for problem in refused.refusals} == {
        ("cp1", "CPUs"),
        ("cp1", "machine id"),
        ("w1", "machine id"),
    }
    cluster.converge()
    told = plan.make(wanted, seen())
    assert told.refusals == []
    assert {problem.subject for problem in told.warnings} >= {"machine id"}


def test_plan_host_that_would_join_by_its_own_api_server_alone_is_refused() -> None:
    cluster = SimulatedCluster(3, 0, external_etcd=True).converge()
    del cluster.nodes["cp3"]
    looks = {
        host: look and dataclasses.replace(look, api_answers=host == "cp3") for host, look in cluster.looks().items()
    }
    made = plan.make(cluster.wanted(), looks)
    assert [(problem.host, problem.subject) for problem in made.refusals] == [("cp3", "API servers")]


@given(st.sets(st.sampled_from(["cp1", "cp2", "cp3", "w1", "w2"])), st.booleans())
def test_plan_addresses_are_of_all_that_anything_shows(silent: set[str], built: bool) -> None:
    cluster = SimulatedCluster(3, 2)
    if built:
        cluster.converge()
    looks = {host: None if host in silent else look for host, look in cluster.looks().items()}
    made = plan.make(dataclasses.replace(cluster.wanted(), scope=frozenset(looks.keys() - silent)), looks)
    seen = {look.node_name: look.address for look in looks.values() if look}
    known = {name: node["address"] for look in looks.values() if look for name, node in look.nodes.items()}
    assert made.addresses == {**known, **seen}
    assert made.saw_all == all(looks.get(host) for host in cluster.wanted().control_plane | cluster.wanted().workers)


def test_plan_check_that_is_passed_over_is_a_warning() -> None:
    cluster = SimulatedCluster(3, 1)
    machine = {"cpus": 1, "memory_mb": 8000, "time": 0.0, "machine_id": None, "product_uuid": None, "mac": None}
    looks = {host: look and dataclasses.replace(look, machine=machine) for host, look in cluster.looks().items()}
    needs = requirements.Needs.of({requirements.IGNORE_VARIABLE: ["NumCPU"]}, external_etcd=False)
    refused = plan.make(cluster.wanted(), looks)
    lifted = plan.make(dataclasses.replace(cluster.wanted(), needs=needs), looks)
    subjects = [(problem.host, problem.subject) for problem in refused.refusals]
    assert subjects == [(host, "CPUs") for host in ("cp1", "cp2", "cp3")]
    assert lifted.refusals == []
    assert set(refused.refusals) <= set(lifted.warnings)
