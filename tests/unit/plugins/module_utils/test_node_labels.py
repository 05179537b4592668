# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and taints come, stay and go as they are wanted, and nobody else's ever go with them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import node_labels
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document
from ansible_collections.kubeadm.ha.plugins.module_utils.node_labels import CONTROL_PLANE_TAINTS, Wanted

MASTER = {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}
GONE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}

KEYS = st.sampled_from(("a", "b", "example.com/c"))
VALUES = st.sampled_from(("", "1", "2"))
LABELS = st.dictionaries(KEYS, VALUES)


def taint(key: str, value: str, effect: str) -> dict[str, str]:
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


def place(one: dict[str, Any]) -> tuple[str, str]:
    return one["key"], one["effect"]


TAINTS = st.lists(
    st.builds(taint, KEYS, VALUES, st.sampled_from(("NoSchedule", "NoExecute"))), unique_by=place, max_size=4
)
FOREIGN = st.lists(st.sampled_from((MASTER, GONE)), unique_by=place)
WANTED = st.builds(Wanted, st.just("n"), LABELS, TAINTS, st.booleans())
BARE = Wanted("n")


@st.composite
def nodes(draw: st.DrawFn) -> Document:
    """A node as others have made it."""
    metadata: Document = {"name": "n", "resourceVersion": "1"}
    if labels := draw(LABELS):
        metadata["labels"] = labels
    spec = {"taints": taints} if (taints := draw(FOREIGN) + draw(TAINTS)) else {}
    return {"metadata": metadata, "spec": spec}


def merged(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def kept(node: Document, *wants: Wanted) -> Document:
    """The node after runs that wanted so, one after the other."""
    node = copy.deepcopy(node)
    for wanted in wants:
        change = node_labels.decide(node, wanted)
        if change:
            assert change.patch["metadata"].get("resourceVersion") == node["metadata"].get("resourceVersion")
            node = merged(node, change.patch)
    return node


def labels_of(node: Document) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def taints_of(node: Document) -> dict[tuple[str, str], dict[str, Any]]:
    taints = node["spec"].get("taints") or []
    found = {place(one): one for one in taints}
    assert len(found) == len(taints), "two taints of one key and effect, which the API refuses"
    return found


@given(nodes(), st.lists(WANTED, max_size=3), WANTED)
def test_what_is_wanted_is_there_afterwards_and_a_second_run_changes_nothing(
    node: Document, before: list[Wanted], wanted: Wanted
) -> None:
    after = kept(node, *before, wanted)
    assert wanted.labels.items() <= labels_of(after).items()
    assert all(taints_of(after)[place(one)] == one for one in map(dict, wanted.taints))
    assert node_labels.decide(after, wanted) is None


@given(nodes(), st.lists(WANTED, max_size=3))
def test_what_nobody_asked_about_stays_as_it_was(node: Document, wants: list[Wanted]) -> None:
    after = kept(node, *wants)
    asked = {key for wanted in wants for key in wanted.labels}
    assert {k: v for k, v in labels_of(node).items() if k not in asked}.items() <= labels_of(after).items()
    places = {place(dict(one)) for wanted in wants for one in wanted.taints}
    places |= {place(MASTER)} if any(wanted.schedulable for wanted in wants) else set()
    for where, one in taints_of(node).items():
        assert where in places or taints_of(after)[where] == one


@given(nodes(), st.lists(WANTED, min_size=1, max_size=3))
def test_what_was_set_goes_when_nothing_is_wanted_any_more(node: Document, wants: list[Wanted]) -> None:
    """Where a value of somebody else's was replaced, it cannot come back; all else is as it was."""
    for wanted in wants:
        assume(all(labels_of(node).get(key, value) == value for key, value in wanted.labels.items()))
        assume(all(taints_of(node).get(place(dict(one)), one) == one for one in wanted.taints))
    after = kept(node, *wants, BARE)
    assert labels_of(after) == labels_of(node)
    assert taints_of(after) == taints_of(node)
    assert node_labels.ANNOTATION not in after["metadata"].get("annotations", {})


@given(nodes(), WANTED, LABELS, TAINTS)
def test_what_somebody_else_changed_since_is_theirs_once_it_is_wanted_no_more(
    node: Document, wanted: Wanted, labels: dict[str, str], taints: list[dict[str, str]]
) -> None:
    changed = kept(node, wanted)
    assume(all(wanted.labels.get(key) != value for key, value in labels.items()))
    changed["metadata"]["labels"] = labels
    changed["spec"]["taints"] = taints
    ours = {place(dict(one)): one for one in wanted.taints}
    assume(all(ours.get(place(one)) != one for one in taints))
    after = kept(changed, BARE)
    assert labels_of(after) == labels
    assert {place(one): one for one in taints}.items() <= taints_of(after).items()


@given(nodes(), WANTED)
def test_diff_says_just_what_changes(node: Document, wanted: Wanted) -> None:
    change = node_labels.decide(node, wanted)
    after = kept(node, wanted)
    differ = (labels_of(node), taints_of(node)) != (labels_of(after), taints_of(after))
    assert (change is not None and change.before != change.after) == differ


def test_control_plane_is_opened_and_closed_again() -> None:
    node = {"metadata": {"name": "n"}, "spec": {"taints": [MASTER, GONE]}}
    opened = kept(node, Wanted("n", schedulable=True))
    assert opened["spec"]["taints"] == [GONE]
    assert list(taints_of(kept(opened, BARE)).values()) == [GONE, MASTER]


def test_worker_is_not_closed_by_a_control_plane_s_default() -> None:
    assert node_labels.decide({"metadata": {"name": "n"}, "spec": {}}, BARE) is None


def test_taint_that_kubeadm_puts_back_is_taken_away_again() -> None:
    opened = kept({"metadata": {"name": "n"}, "spec": {"taints": [MASTER]}}, Wanted("n", schedulable=True))
    opened["spec"]["taints"] = [MASTER]
    assert kept(opened, Wanted("n", schedulable=True))["spec"]["taints"] == []


@pytest.mark.parametrize("note", ["", "[]", "{", '{"labels": 1}', '"x"', '{"taints": ["x"]}'])
def test_note_that_nobody_can_read_makes_everything_somebody_else_s(note: str) -> None:
    node = {"metadata": {"name": "n", "labels": {"a": "1"}, "annotations": {node_labels.ANNOTATION: note}}, "spec": {}}
    assert labels_of(kept(node, BARE)) == {"a": "1"}


def test_note_is_small_and_says_what_is_whose() -> None:
    after = kept({"metadata": {"name": "n", "labels": {"b": "1"}}, "spec": {}}, Wanted("n", {"a": "1", "b": "1"}))
    assert json.loads(after["metadata"]["annotations"][node_labels.ANNOTATION]) == {"labels": {"a": "1"}}


@given(WANTED)
def test_node_that_is_not_there_yet_is_foreseen(wanted: Wanted) -> None:
    change = node_labels.decide(node_labels.unborn(wanted), wanted)
    assert (change is not None) == bool(wanted.labels or wanted.taints or wanted.schedulable)


# What users write.


def test_check_sound_wishes_have_no_problem() -> None:
    labels = {"node-role.kubernetes.io/worker": "", "example.com/rack": "r-7", "zone": "a.b_c", "x" * 63: "y" * 63}
    taints = [
        {"key": "example.com/dedicated", "value": "db", "effect": "NoSchedule"},
        {"key": "a", "effect": "NoExecute"},
    ]
    assert node_labels.check("w1", labels, taints, True) == []
    assert node_labels.check("w1", {}, [], False) == []


@pytest.mark.parametrize(
    "labels",
    [
        {"a": 7},
        {"a": None},
        {"a": True},
        {7: "a"},
        {"": "x"},
        {"-a": "x"},
        {"Example.com/a": "x"},
        {"a/b/c": "x"},
        {"/a": "x"},
        {"x" * 64: "x"},
        {"a": "x" * 64},
        {"a": "b c"},
        {"a": "x\n"},
        {"kubernetes.io/hostname": "w1"},
        {"node-role.kubernetes.io/master": ""},
        {"node-role.kubernetes.io/control-plane": ""},
    ],
)
def test_check_label_that_cannot_be_is_refused_by_host(labels: Any) -> None:
    (problem,) = node_labels.check("w1", labels, [], False)
    assert (problem.host, problem.subject) == ("w1", "cluster_node_labels")
    assert problem.action.endswith(".")


@pytest.mark.parametrize(
    "taints",
    [
        ["a=b:NoSchedule"],
        [{"key": "a"}],
        [{"effect": "NoSchedule"}],
        [{"key": "a", "effect": "noschedule"}],
        [{"key": "a", "effect": "NoSchedule", "values": "x"}],
        [{"key": "a", "effect": "NoSchedule", "value": 1}],
        [{"key": "a b", "effect": "NoSchedule"}],
        [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}],
        [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule", "value": "x"}],
    ],
)
def test_check_taint_that_cannot_be_is_refused_by_host(taints: Any) -> None:
    (problem,) = node_labels.check("w1", {}, taints, False)
    assert (problem.host, problem.subject) == ("w1", "cluster_node_taints")
    assert problem.action.endswith(".")


@pytest.mark.parametrize("schedulable", ["true", None, 1])
def test_check_schedulable_is_true_or_false(schedulable: Any) -> None:
    (problem,) = node_labels.check("cp1", {}, [], schedulable)
    assert problem.subject == "cluster_control_plane_schedulable"


def test_check_tells_all_at_once() -> None:
    assert len(node_labels.check("w1", {"a": 1, "b": 2}, [{"key": "a"}], "no")) == 4


def test_kubeadm_s_taints_are_told_from_others_by_key_and_effect() -> None:
    other = {"key": "node-role.kubernetes.io/master", "effect": "NoExecute"}
    assert kept({"metadata": {"name": "n"}, "spec": {"taints": [other]}}, Wanted("n", schedulable=True))["spec"] == {
        "taints": [other]
    }
    assert all(one.endswith(":NoSchedule") for one in CONTROL_PLANE_TAINTS)


def test_kubeadm_s_taint_that_is_wanted_stays_on_a_control_plane_that_is_open() -> None:
    wanted = Wanted("n", taints=[MASTER], schedulable=True)
    assert node_labels.decide({"metadata": {"name": "n"}, "spec": {"taints": [MASTER]}}, wanted) is None
    assert kept({"metadata": {"name": "n"}, "spec": {}}, wanted)["spec"]["taints"] == [MASTER]


def test_kubeadm_s_taint_that_somebody_put_back_with_a_value_is_theirs() -> None:
    opened = kept({"metadata": {"name": "n"}, "spec": {"taints": [MASTER]}}, Wanted("n", schedulable=True))
    opened["spec"]["taints"] = [{**MASTER, "value": "theirs"}]
    assert kept(opened, BARE)["spec"]["taints"] == [{**MASTER, "value": "theirs"}]
