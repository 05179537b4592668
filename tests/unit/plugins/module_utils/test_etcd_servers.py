# SPDX-License-Identifier: GPL-3.0-or-later
"""API servers are given other endpoints, and nothing else of theirs changes; and not towards another etcd."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_servers, external_etcd, static_pods
from ansible_collections.kubeadm.ha.plugins.module_utils.external_etcd import Answer
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe

URLS = tuple(f"https://10.0.0.{number}:2379" for number in (1, 2, 3))
urls = st.lists(
    st.builds(
        "https://{}:{}".format,
        st.sampled_from(("10.0.0.1", "etcd-1.example.com", "[2001:db8::1]")),
        st.integers(1, 65535),
    ),
    min_size=1,
    max_size=5,
    unique=True,
)
words = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"]), max_size=12)
flags = st.dictionaries(st.from_regex(r"[a-z][a-z-]{2,10}", fullmatch=True), words, max_size=4)


def configuration(endpoints: list[str], extra: dict[str, str], more: dict[str, Any] | None = None) -> dict[str, Any]:
    files = {"caFile": "/ca.crt", "certFile": "/client.crt", "keyFile": "/client.key"}
    return {
        "apiServer": {"extraArgs": extra},
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "etcd": {"external": {**files, "endpoints": endpoints, **(more or {})}},
        "kind": "ClusterConfiguration",
        "networking": {"podSubnet": "10.244.0.0/16"},
    }


def manifest(endpoints: list[str], extra: dict[str, str]) -> dict[str, Any]:
    arguments = [f"--{name}={value}" for name, value in extra.items() if name != "etcd-servers"]
    command = ["kube-apiserver", *arguments, f"--etcd-servers={','.join(endpoints)}", "--etcd-cafile=/ca.crt"]
    return {"kind": "Pod", "metadata": {"annotations": extra}, "spec": {"containers": [{"command": command}]}}


def dumped(document: Any, indent: bool) -> str:
    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False if indent else indentless)

    return yaml.dump(document, Dumper=Dumper, allow_unicode=True, width=10**6)


@given(urls, urls, flags, st.booleans(), st.booleans())
def test_configuration_gets_these_endpoints_and_keeps_the_rest(
    before: list[str], after: list[str], extra: dict[str, str], newest: bool, indent: bool
) -> None:
    made = configuration(before, extra, {"httpEndpoints": [*before]} if newest else {})
    text = dumped(made, indent)
    assert etcd_servers.of_configuration(text) == before
    wanted = copy.deepcopy(made)
    wanted["etcd"]["external"].update(endpoints=after, **({"httpEndpoints": after} if newest else {}))
    changed = etcd_servers.in_configuration(text, after)
    assert yaml.safe_load(changed) == wanted
    assert etcd_servers.in_configuration(changed, before) == text


def test_endpoints_for_plain_http_that_differ_are_the_users() -> None:
    made = configuration([URLS[0]], {}, {"httpEndpoints": ["http://10.0.0.1:2381"]})
    changed = yaml.safe_load(etcd_servers.in_configuration(dumped(made, False), [URLS[1]]))
    assert changed["etcd"]["external"]["endpoints"] == [URLS[1]]
    assert changed["etcd"]["external"]["httpEndpoints"] == ["http://10.0.0.1:2381"]


@given(urls, urls, flags, st.booleans())
def test_manifest_gets_these_endpoints_and_keeps_the_rest(
    before: list[str], after: list[str], extra: dict[str, str], indent: bool
) -> None:
    text = dumped(manifest(before, extra), indent)
    assert etcd_servers.of_manifest(text) == before
    changed = etcd_servers.in_manifest(text, after)
    assert yaml.safe_load(changed) == manifest(after, extra)
    assert etcd_servers.in_manifest(changed, before) == text
    assert static_pods.flags_of(changed).get("etcd-cafile", "") == "/ca.crt"
    assert static_pods.flags_of(changed).get("etcd-keyfile", "") == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "etcd:\n  local:\n    dataDir: /var/lib/etcd\n",
        "etcd:\n  external:\n    endpoints: [https://10.0.0.1:2379]\n",
        "etcd: {external: {endpoints: [https://10.0.0.1:2379]}}\n",
        "other:\n  external:\n    endpoints:\n    - https://10.0.0.1:2379\n",
    ],
)
def test_configuration_of_another_form_is_left_alone(text: str) -> None:
    assert etcd_servers.of_configuration(text) == []
    with pytest.raises(etcd_servers.UnknownForm, match=r"no list below etcd.external.endpoints"):
        etcd_servers.in_configuration(text, [URLS[0]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "    - --etcd-servers\n    - https://a:1\n",
        "  - --etcd-servers=https://a:1\n  - --etcd-servers=https://b:1\n",
    ],
)
def test_manifest_of_another_form_is_left_alone(text: str) -> None:
    assert etcd_servers.of_manifest(text) == []
    with pytest.raises(etcd_servers.UnknownForm, match="lines with --etcd-servers"):
        etcd_servers.in_manifest(text, [URLS[0]])


MEMBERS = tuple((str(number), f"e{number}", (url,)) for number, url in enumerate(URLS, 1))
WHOLE = {
    url: Answer(version="3.4.13", cluster="9", member=str(number), leader="1", members=MEMBERS, keys=7)
    for number, url in enumerate(URLS, 1)
}
DOWN = Answer(failure=external_etcd.NO_CONNECTION, error="Connection refused")
answers = st.builds(
    Answer,
    failure=st.sampled_from(("", "", external_etcd.NO_CONNECTION)),
    cluster=st.sampled_from(("9", "9", "8", "")),
    leader=st.sampled_from(("1", "0", "")),
    learner=st.booleans(),
    members=st.sampled_from((MEMBERS, MEMBERS[:2], ())),
    keys=st.sampled_from((7, 0, None)),
)
subsets = st.lists(st.sampled_from(URLS), unique=True)


@given(st.fixed_dictionaries(dict.fromkeys(URLS, answers)), subsets, subsets)
def test_api_server_is_never_led_to_another_etcd_nor_to_one_that_cannot_write(
    found: dict[str, Answer], before: list[str], wanted: list[str]
) -> None:
    if etcd_servers.problems("cp1", found, before, wanted):
        return
    known = {found[url].cluster for url in before if found[url].speaks}
    assert known
    assert all(found[url].cluster in known for url in wanted if found[url].speaks)
    assert any(found[url].keys is not None and found[url].leader == "1" for url in wanted)
    assert not any(found[url].learner for url in wanted)


@pytest.mark.parametrize(
    ("changes", "before", "wanted", "says"),
    [
        ({}, URLS[:2], URLS, ""),
        ({}, URLS, URLS[:2], ""),
        # A member that is down was there before, or etcd itself knows it.
        ({URLS[2]: DOWN}, URLS, URLS, ""),
        ({URLS[2]: DOWN}, URLS[:2], URLS, ""),
        ({URLS[0]: DOWN}, URLS[:1], URLS[1:], "found no answer at https://10.0.0.1:2379, wanted one that says which"),
        (
            {URLS[2]: replace(WHOLE[URLS[2]], cluster="8")},
            URLS[:2],
            URLS,
            "found etcd cluster 8, wanted 9, which is",
        ),
        ({URLS[2]: replace(WHOLE[URLS[2]], learner=True)}, URLS[:2], URLS, "found a learner, wanted a member that"),
        (
            {url: replace(WHOLE[url], leader="0", keys=None) for url in URLS},
            URLS[:2],
            URLS,
            "etcd quorum: found 3 of 3 endpoints that answer, and none that reads with a quorum, wanted at least 1.",
        ),
    ],
)
def test_endpoints_in_place_of_those_in_use(
    changes: dict[str, Answer], before: tuple[str, ...], wanted: tuple[str, ...], says: str
) -> None:
    text = describe(etcd_servers.problems("cp1", {**WHOLE, **changes}, before, wanted))
    assert (says in text) if says else (text == "")


def test_endpoint_that_nobody_knows() -> None:
    unknown = "https://10.0.0.9:2379"
    text = describe(etcd_servers.problems("cp1", {**WHOLE, unknown: DOWN}, URLS, [*URLS, unknown]))
    assert f"cp1: etcd endpoint {unknown}: found Connection refused, wanted a member of the etcd in use." in text


@given(st.booleans(), st.integers(0, 6), st.integers(0, 6))
def test_last_api_server_that_is_ready_is_not_taken_down(own: bool, others: int, ready: int) -> None:
    ready = min(ready, others)
    found = etcd_servers.restart_problems("cp1", own=own, others=others, ready=ready)
    assert bool(found) == (own and others > 0 and ready == 0)
