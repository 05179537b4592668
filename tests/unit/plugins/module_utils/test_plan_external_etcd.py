# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan with an etcd that is not the control planes' own: who begins, who is handed its files, who follows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, external_etcd, pki, plan
from ansible_collections.kubeadm.ha.plugins.module_utils.external_etcd import Answer, Look
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import ENDPOINT, VERSION

HOSTS = ("cp1", "cp2", "cp3")
URLS = tuple(f"https://10.9.0.{number}:2379" for number in (1, 2, 3))
MEMBERS = tuple((str(number), f"e{number}", (url,)) for number, url in enumerate(URLS, 1))
WHOLE = {
    url: Answer(version="3.4.13", cluster="9", member=str(number), leader="1", members=MEMBERS, keys=0)
    for number, url in enumerate(URLS, 1)
}
FILES = {"caFile": "/etc/e/ca.crt", "certFile": "/etc/e/client.crt", "keyFile": "/etc/e/client.key"}
FOREIGN = {"endpoints": list(URLS), **FILES}
HOLDS = Look(answers=WHOLE)
HOLDS_NONE = Look(missing=tuple(FILES.values()), answers=dict.fromkeys(URLS, Answer(asked=False)))
OUR_CA = "sha256:" + "a" * 64
WANTED = plan.Wanted(
    version=VERSION,
    endpoint=ENDPOINT,
    control_plane=frozenset(HOSTS),
    external_etcd=True,
    foreign_etcd=FOREIGN,
    scope=frozenset(HOSTS),
)
REGISTRY = {
    name: {"ready": True, "control_plane": True, "address": None, "kubelet": "v1.20.2", "pod_cidr": None}
    for name in HOSTS
}
RECORD = {"topology": "external", "endpoints": list(URLS), "files": FILES}


def bare(name: str, look: Look | None = HOLDS, **values: Any) -> plan.Observation:
    return plan.Observation(name, f"10.0.0.{HOSTS.index(name) + 1}", external_etcd=look, **values)


def member(name: str, **values: Any) -> plan.Observation:
    """A control plane of the cluster that runs."""
    known: dict[str, Any] = {
        "traces": frozenset((evidence.KUBELET_CONF, *pki.paths(pki.COMMON), *evidence.POD_MANIFESTS))
        | {f"{evidence.KUBERNETES}/{conf}.conf" for conf in ("admin", "controller-manager", "scheduler")},
        "ca": OUR_CA,
        "has_run": True,
        "identity": name,
        "endpoint_answers": True,
        "endpoint_ca": OUR_CA,
        "api_answers": True,
        "nodes": REGISTRY,
        "lasting": frozenset(evidence.INIT_PHASES),
        "etcd_record": RECORD,
        "etcd_servers": URLS,
    }
    return bare(name, **{**known, **values})


def grown(look: Look = HOLDS, newcomer: Look = HOLDS_NONE) -> dict[str, plan.Observation]:
    """A cluster of two, which see etcd so, and a third host that is to join and sees it otherwise."""
    registry = {name: REGISTRY[name] for name in ("cp1", "cp3")}
    members = {name: member(name, look=look, nodes=registry) for name in registry}
    return {**members, "cp2": bare("cp2", newcomer, endpoint_answers=True, endpoint_ca=OUR_CA)}


def refused(seen: dict[str, Any], wanted: plan.Wanted = WANTED) -> str:
    return describe(plan.make(wanted, seen).refusals)


@given(st.frozensets(st.sampled_from(HOSTS)), st.frozensets(st.sampled_from(HOSTS), min_size=1))
def test_cluster_begins_where_the_files_are_whatever_the_order(holding: frozenset[str], scope: frozenset[str]) -> None:
    seen = {name: bare(name, HOLDS if name in holding else HOLDS_NONE) for name in HOSTS}
    made = plan.make(replace(WANTED, scope=scope), seen)
    if holding & scope:
        assert made.refusals == []
        assert made.anchor == min(holding & scope)
        assert made.steps[str(made.anchor)].action == plan.INITIALISE
    else:
        assert describe(made.refusals).startswith(f"cluster: files of etcd: found none of {', '.join(sorted(scope))}")
        assert "Copy them to one of these, which then starts the cluster and hands them on." in refused(
            seen, replace(WANTED, scope=scope)
        )


def test_cluster_is_not_begun_over_another_one() -> None:
    used = Look(answers={url: replace(answer, keys=812) for url, answer in WHOLE.items()})
    seen = {name: bare(name, used) for name in HOSTS}
    assert "cluster: etcd: found 812 keys below API servers' prefix, wanted none before kubeadm init." in refused(seen)
    # An init that was interrupted has written there itself.
    seen["cp2"] = bare("cp2", used, traces=frozenset((evidence.CA, str(pki.CLUSTER_CA.private))), ca=OUR_CA)
    made = plan.make(WANTED, seen)
    assert made.refusals == []
    assert made.steps["cp2"].action == plan.RESUME


def test_joining_control_plane_is_handed_the_files() -> None:
    assert refused(grown()) == ""
    text = refused(grown(look=HOLDS_NONE))
    for path in FILES.values():
        assert f"cp1: {path}: found no file, wanted the file, to hand it to control planes that join." in text


def test_joining_control_plane_must_reach_etcd() -> None:
    nowhere = dict.fromkeys(URLS, Answer(external_etcd.NO_CONNECTION, "No route to host"))
    seen = grown(newcomer=replace(HOLDS_NONE, answers=nowhere))
    assert refused(seen).count("cp2: etcd endpoint https://10.9.0.") == 3
    # A run that does not join it leaves it alone.
    assert refused(seen, replace(WANTED, scope=frozenset(("cp1", "cp3")))) == ""


def test_running_cluster_is_not_stopped_by_a_member_that_is_down() -> None:
    look = Look(answers={**WHOLE, URLS[2]: Answer(external_etcd.NO_CONNECTION, "Connection refused")})
    made = plan.make(WANTED, {name: member(name, look=look) for name in HOSTS})
    assert made.refusals == []
    assert f"etcd endpoint {URLS[2]}: found Connection refused, from cp1, cp2, cp3" in describe(made.warnings)


@pytest.mark.parametrize("lagging", [("cp2",), ("cp1", "cp3"), HOSTS])
def test_api_servers_with_other_endpoints_follow(lagging: tuple[str, ...]) -> None:
    seen = {name: member(name, etcd_servers=URLS[:2] if name in lagging else URLS[::-1]) for name in HOSTS}
    made = plan.make(WANTED, seen)
    assert made.refusals == []
    assert tuple(name for name, step in made.steps.items() if step.follows) == lagging
    assert str(made.steps[lagging[0]]) == "nothing to join, follow etcd's members"


def test_record_that_lags_is_put_right_by_one() -> None:
    seen = {name: member(name, etcd_record={**RECORD, "endpoints": URLS[:1]}) for name in HOSTS}
    followers = [name for name, step in plan.make(WANTED, seen).steps.items() if step.follows]
    assert followers == ["cp1"]
    limited = plan.make(replace(WANTED, scope=frozenset(("cp2", "cp3"))), seen)
    assert [name for name, step in limited.steps.items() if step.follows] == ["cp2"]


def test_nobody_follows_where_all_is_as_it_should_be_or_not_theirs_to_change() -> None:
    whole = plan.make(WANTED, {name: member(name) for name in HOSTS})
    for made in (whole, plan.make(WANTED, grown()), plan.make(WANTED, {name: bare(name) for name in HOSTS})):
        assert made.refusals == []
        assert not any(step.follows for step in made.steps.values())


def test_endpoints_of_another_etcd_than_the_one_in_use_are_refused() -> None:
    other = {f"https://10.8.0.{number}:2379": replace(WHOLE[URLS[0]], cluster="8") for number in (1, 2)}
    wanted = replace(WANTED, foreign_etcd={**FOREIGN, "endpoints": list(other)})
    seen = {name: member(name, look=Look(answers={**WHOLE, **other})) for name in HOSTS}
    assert "cluster: etcd endpoints: found cluster 8 at https://10.8.0.1:2379" in refused(seen, wanted)


def test_cluster_keeps_the_paths_of_its_files() -> None:
    wanted = replace(WANTED, foreign_etcd={**FOREIGN, "keyFile": "/etc/e/other.key"})
    text = refused({name: member(name) for name in HOSTS}, wanted)
    assert text == (
        "cluster: cluster_etcd_key_file: found /etc/e/other.key, wanted /etc/e/client.key, as it runs. "
        "Set it to /etc/e/client.key."
    )


@given(st.permutations(HOSTS), st.frozensets(st.sampled_from(HOSTS)))
def test_order_means_nothing(order: list[str], lagging: frozenset[str]) -> None:
    seen = {name: member(name, etcd_servers=URLS[:1] if name in lagging else URLS) for name in HOSTS}
    one, other = plan.make(WANTED, seen), plan.make(WANTED, {name: seen[name] for name in order})
    assert plan.text(WANTED, one) == plan.text(WANTED, other)
    assert one.steps == other.steps
