# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands against using an etcd that API servers reach over the network; tests/etcd asks real ones."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import external_etcd, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.external_etcd import Answer, Look, judge
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe

KUBERNETES = versions.parse("1.20.2")
URLS = tuple(f"https://10.0.0.{number}:2379" for number in (1, 2, 3))
MEMBERS = tuple((str(number), f"e{number}", (url,)) for number, url in enumerate(URLS, 1))
WHOLE = {
    url: Answer(version="3.4.13", cluster="9", member=str(number), leader="1", members=MEMBERS, keys=0)
    for number, url in enumerate(URLS, 1)
}
DOWN = Answer(failure=external_etcd.NO_CONNECTION, error="Connection refused")

answers = st.builds(
    Answer,
    failure=st.sampled_from(("", "", "", "", *external_etcd._WANTED, external_etcd.OTHER_NAME)),
    error=st.sampled_from(("", "words")),
    asked=st.sampled_from((True, True, False)),
    gateway=st.sampled_from((True, True, False)),
    version=st.sampled_from(("3.4.13", "3.1.0", "3.5.24", "strange")),
    cluster=st.sampled_from(("9", "9", "9", "8", "")),
    member=st.sampled_from(("1", "2", "3")),
    leader=st.sampled_from(("1", "1", "0", "")),
    learner=st.booleans(),
    members=st.sampled_from((MEMBERS, MEMBERS[:1], ())),
    alarms=st.sampled_from(((), (), (("NOSPACE", "1"),))),
    keys=st.sampled_from((0, 0, 5, None)),
    auth=st.booleans(),
)
looks = st.builds(
    Look,
    missing=st.sampled_from(((), (), ("/ca",), ("/ca", "/cert", "/key"))),
    unfit=st.sampled_from(((), (), ("/cert", "a certificate that ended"))),
    answers=st.fixed_dictionaries(dict.fromkeys(URLS, answers)),
)
hosts = st.dictionaries(st.sampled_from(("cp1", "cp2", "cp3")), looks, min_size=1)


def refused(found: dict[str, Look], *, begins: bool = True, kubernetes: str = "1.20.2", new: Any = None) -> str:
    problems, _warnings = judge(found, versions.parse(kubernetes), new=[*found] if new is None else new, begins=begins)
    return describe(problems)


def known(found: dict[str, Look], **options: Any) -> str:
    return describe(judge(found, KUBERNETES, **options)[1])


def test_whole_etcd_has_nothing_against_it() -> None:
    assert judge({"cp1": Look(answers=WHOLE)}, KUBERNETES, new=["cp1"], begins=True) == ([], [])


@given(hosts, st.booleans())
def test_nothing_begins_over_what_is_not_known_to_be_whole_and_empty(found: dict[str, Look], begins: bool) -> None:
    """Whatever the answers are: a start that is not refused had one to say that this is one etcd, which is empty.

    Only an etcd that cannot say so by the gateway is left to people, and they are told.
    """
    refusals, warnings = judge(found, KUBERNETES, new=[*found], begins=begins)
    if refusals or not begins:
        return
    assert external_etcd.holders(found)
    said = [one for look in found.values() for one in look.answers.values()]
    assert not any(one.failure for one in said)
    asked = [one for one in said if one.asked]
    assert all(external_etcd.accepts(KUBERNETES, one.version) for one in asked)
    assert len({one.cluster for one in asked if one.cluster}) <= 1
    assert not any(one.alarms for one in asked if one.cluster)
    unclear = any(one.auth or not one.gateway for one in asked)
    assert unclear == any("Look yourself" in str(one) or "look yourself" in str(one) for one in warnings)
    if asked and not unclear:
        assert any(one.leader == "1" and one.keys == 0 for one in asked)


@given(hosts, st.booleans())
def test_run_that_makes_no_control_plane_is_only_stopped_by_two_clusters(found: dict[str, Look], _any: bool) -> None:
    refusals, _warnings = judge(found, KUBERNETES)
    clusters = {one.cluster for look in found.values() for one in look.answers.values() if one.speaks}
    assert {one.wanted for one in refusals} == ({"one cluster behind all of them"} if len(clusters) > 1 else set())


@given(hosts)
def test_order_of_hosts_and_endpoints_means_nothing(found: dict[str, Look]) -> None:
    turned = {
        host: replace(look, answers=dict(reversed(list(look.answers.items()))))
        for host, look in reversed(list(found.items()))
    }
    for begins in (False, True):
        one, other = (judge(looked, KUBERNETES, new=["cp1"], begins=begins) for looked in (found, turned))
        assert [sorted(problems) for problems in one] == [sorted(problems) for problems in other]


@given(looks)
def test_look_survives_the_way_to_the_controller(look: Look) -> None:
    told = {
        "missing": list(look.missing),
        "unfit": list(look.unfit) or None,
        "answers": {url: answer.as_dict() for url, answer in look.answers.items()},
    }
    assert Look.from_result(json.loads(json.dumps(told))) == look


def test_nobody_looked() -> None:
    assert Look.from_result(None) is None
    assert judge({}, KUBERNETES) == ([], [])


def test_endpoint_that_one_host_alone_does_not_reach() -> None:
    """Where others reach it, it is this host's network, whatever the run is about."""
    found = {"cp1": Look(answers=WHOLE), "cp2": Look(answers={**WHOLE, URLS[2]: DOWN})}
    assert refused(found, begins=False, new=["cp2"]).startswith(f"cp2: etcd endpoint {URLS[2]}: found Connection")
    assert refused(found, begins=False, new=["cp1"]) == ""
    assert f"cp2: etcd endpoint {URLS[2]}: found Connection refused" in known(found, new=["cp1"])


def test_endpoint_that_is_down_stops_a_start_alone() -> None:
    found = {host: Look(answers={**WHOLE, URLS[2]: DOWN}) for host in ("cp1", "cp2")}
    text = f"cluster: etcd endpoint {URLS[2]}: found Connection refused, from cp1, cp2, wanted a connection."
    assert refused(found).startswith(text)
    assert refused(found, begins=False) == ""
    assert text in known(found, new=["cp2"])


@pytest.mark.parametrize(
    ("version", "accepted", "refused_by"),
    [("3.2.18", "1.20.2", "1.28.0"), ("3.4.13", "1.30.0", "1.31.0"), ("3.5.11", "1.33.1", "1.34.0")]
    + [("3.5.21", "1.34.0", "1.35.0"), ("3.5.24", "1.36.0", None), ("3.10.0", "1.36.0", None)]
    + [("3.2.18-rc.1", None, "1.20.0"), ("3.2.17", None, "1.20.0"), ("v3.4.13+git", "1.28.0", None)],
)
def test_oldest_etcd_of_each_kubeadm(version: str, accepted: str | None, refused_by: str | None) -> None:
    found = {"cp1": Look(answers={url: replace(answer, version=version) for url, answer in WHOLE.items()})}
    if accepted:
        assert refused(found, kubernetes=accepted) == ""
    if refused_by:
        assert f"cluster: etcd at {URLS[0]}: found version {version}, wanted 3." in refused(
            found, kubernetes=refused_by
        )


def test_learner_and_straggler_among_the_endpoints() -> None:
    found = {
        "cp1": Look(
            answers={
                **WHOLE,
                URLS[1]: replace(WHOLE[URLS[1]], learner=True, keys=None),
                URLS[2]: replace(WHOLE[URLS[2]], leader="", keys=None),
            }
        )
    }
    text = refused(found)
    assert f"etcd endpoint {URLS[1]}: found a learner, which serves no reads and writes, wanted a member" in text
    assert f"etcd endpoint {URLS[2]}: found a member that follows no leader" in text


def test_quorum_is_told_with_its_arithmetic() -> None:
    lost = replace(WHOLE[URLS[0]], leader="", keys=None, error="request timed out")
    text = refused({"cp1": Look(answers={URLS[0]: lost, URLS[1]: DOWN, URLS[2]: DOWN})}, begins=False)
    assert "cluster: etcd quorum: found no leader (request timed out), wanted 2 of 3 members that agree." in text


def test_load_balancer_in_front_is_said_and_let_be() -> None:
    front = {"https://etcd.example.com:2379": WHOLE[URLS[0]]}
    found = {"cp1": Look(answers=front)}
    assert refused(found) == ""
    assert "found https://etcd.example.com:2379, which no member advertises" in known(found)


def test_what_is_wrong_everywhere_is_said_once() -> None:
    bad = {url: Answer(failure=external_etcd.CLIENT_REFUSED, error="bad certificate") for url in URLS[:1]}
    text = refused({f"cp{number}": Look(answers=bad) for number in range(9)})
    assert len(text.splitlines()) == 1
    assert "found our certificate refused (bad certificate), from cp0, cp1," in text


GOOD = {"cluster_etcd_topology": "external", "cluster_etcd_endpoints": ["https://etcd1.example.com:2379"]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cluster_etcd_endpoints": ["https://[2001:db8::1]:2379", "https://10.0.0.1:2379"]}, ""),
        ({"cluster_etcd_key_file": "/etc/etcd/client.key"}, ""),
        ({"cluster_etcd_endpoints": ["http://10.0.0.1:2379"]}, "Over http anybody on the way reads every Secret."),
        ({"cluster_etcd_endpoints": ["https://10.0.0.1"]}, "wanted https://host:port"),
        ({"cluster_etcd_endpoints": ["https://10.0.0.1:2379/"]}, "wanted https://host:port"),
        ({"cluster_etcd_endpoints": ["10.0.0.1:2379"]}, "wanted https://host:port"),
        ({"cluster_etcd_endpoints": ["https://10.0.0.1:99999"]}, "wanted https://host:port"),
        ({"cluster_etcd_endpoints": [2379]}, "found 2379"),
        ({"cluster_etcd_endpoints": ["https://a:1", "https://a:1"]}, "found https://a:1 twice"),
        ({"cluster_etcd_ca_file": "ca.crt"}, "cluster_etcd_ca_file: found 'ca.crt', wanted an absolute path."),
        (
            {"cluster_etcd_endpoints": [], "cluster_etcd_ca_file": "/ca"},
            "nothing without cluster_etcd_endpoints",
        ),
        ({"cluster_etcd_ca_file": "/a", "cluster_etcd_key_file": "/a"}, "wanted three files"),
        ({"cluster_configuration": {"apiServer": {"extraArgs": {"etcd-prefix": "/k8s"}}}}, ""),
        ({"cluster_configuration": {"apiServer": {"extraArgs": {"etcd-servers": "https://a:1"}}}}, "etcd-servers"),
        ({"cluster_configuration": {"apiServer": {"extraArgs": [{"name": "etcd-cafile"}]}}}, "extraArgs.etcd-cafile"),
        ({"cluster_configuration": {"apiServer": "nonsense"}}, ""),
    ],
)
def test_what_the_user_says(changes: dict[str, Any], says: str) -> None:
    text = describe(external_etcd.check_input({**GOOD, **changes}))
    assert (says in text) if says else (text == "")


@pytest.mark.parametrize("given", [{"etcd-prefix": "/k8s"}, [{"name": "etcd-prefix", "value": "/k8s"}]])
def test_what_control_planes_are_to_ask(given: Any) -> None:
    assert external_etcd.question({}) == external_etcd.question({"cluster_etcd_topology": "stacked"}) == {}
    configuration = {"apiServer": {"extraArgs": given}}
    asked = external_etcd.question({**GOOD, "cluster_configuration": configuration})
    assert (asked["endpoints"], asked["prefix"]) == (GOOD["cluster_etcd_endpoints"], "/k8s")
    own_hosts = external_etcd.question({"cluster_etcd_topology": "external"})
    assert (own_hosts["endpoints"], own_hosts["prefix"]) == ([], "/registry")


def test_what_kubeadm_is_told() -> None:
    assert external_etcd.described({}) == {}
    assert external_etcd.described({**GOOD, "cluster_etcd_key_file": "/etc/etcd/client.key"}) == {
        "endpoints": ["https://etcd1.example.com:2379"],
        "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
        "certFile": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
        "keyFile": "/etc/etcd/client.key",
    }
