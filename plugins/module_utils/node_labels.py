# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and taints of a node: those that are wanted come, those that were set here and are wanted no more go.

Everything else on the node is somebody else's and stays: the kubelet's labels, kubeadm's taint, the taints that the
node controller and clouds set. ``Node.spec.taints`` is one value to server-side apply (it has no list-map keys), so
field managers cannot own a taint each. What was set here is therefore written down on the node itself, in an
annotation, and each change is bound to the version of the node that it was decided on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .https_json import Document
from .problems import Problem

ANNOTATION = "kubeadm.ha/node-labels"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# What kubeadm puts on control planes: master before 1.24, both in 1.24, control-plane since (its app/constants).
CONTROL_PLANE_TAINTS = ("node-role.kubernetes.io/control-plane:NoSchedule", "node-role.kubernetes.io/master:NoSchedule")

# Kept by others, who would set them back: the kubelet (pkg/kubelet/kubelet_node_status.go) and kubeadm.
_KUBELET_LABELS = frozenset(
    ("kubernetes.io/hostname", *(f"{beta}kubernetes.io/{name}" for beta in ("", "beta.") for name in ("arch", "os")))
)
_KUBEADM_LABELS = frozenset(("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"))
_CONTROLLERS_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")

# Qualified names and label values, as apimachinery's pkg/util/validation has them.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"(?=.{1,253}/)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/")

Taint = dict[str, Any]


def check(host: str, labels: Any, taints: Any, schedulable: Any) -> list[Problem]:
    """Every problem of what a user wants of one host's node; that it is a mapping and a list is asked elsewhere."""
    found = (
        [problem for item in labels.items() for problem in _label_problems(*item)] if isinstance(labels, dict) else []
    )
    problems = [Problem(host, "cluster_node_labels", *problem) for problem in found]
    if isinstance(taints, list):
        found = [problem for taint in taints for problem in _taint_problems(taint)]
        places = [_place(taint) for taint in taints if isinstance(taint, Mapping)]
        found += [
            (f"{place} twice", "one of each key and effect", "Remove one.")
            for place in sorted({place for place in places if places.count(place) > 1})
        ]
        problems += [Problem(host, "cluster_node_taints", *problem) for problem in found]
    if not isinstance(schedulable, bool):
        action = "Write it without quotes."
        problems.append(Problem(host, "cluster_control_plane_schedulable", repr(schedulable), "true or false", action))
    return problems


def _label_problems(key: Any, value: Any) -> list[tuple[str, str, str]]:
    shown = f"{key}: {value!r}"
    if not isinstance(key, str) or not isinstance(value, str):
        return [(shown, "texts", "Put it in quotes; a label without a value is ''.")]
    if not _is_qualified(key) or (value and not _NAME.fullmatch(value)):
        return [
            (
                shown,
                "letters, digits, '-', '_' and '.', at most 63, and before a / in the key a domain",
                "Correct it.",
            )
        ]
    if key in _KUBELET_LABELS:
        return [(shown, "a label that the kubelet does not keep itself", "Remove it.")]
    if key in _KUBEADM_LABELS:
        return [
            (shown, "a label that kubeadm does not set itself", "Put the host into the group control_plane instead.")
        ]
    return []


def _taint_problems(taint: Any) -> list[tuple[str, str, str]]:
    shown = repr(taint)
    if not isinstance(taint, Mapping) or not {"key", "effect"} <= set(taint) <= {"key", "value", "effect"}:
        return [
            (shown, "key, value and effect", "Write it as kubeadm's nodeRegistration.taints; value may be missing.")
        ]
    key, value = taint["key"], taint.get("value", "")
    if taint["effect"] not in EFFECTS:
        return [(shown, f"as its effect one of {', '.join(EFFECTS)}", "Choose one of them.")]
    if not isinstance(key, str) or not isinstance(value, str):
        return [(shown, "texts", "Put key and value in quotes.")]
    if not _is_qualified(key) or (value and not _NAME.fullmatch(value)):
        return [(shown, "a key and a value as labels have them", "Correct it.")]
    if key.startswith(_CONTROLLERS_TAINTS):
        return [(shown, "a taint that Kubernetes' controllers do not keep", "Remove it; kubectl cordon is for people.")]
    return []


def _is_qualified(key: str) -> bool:
    prefix = _PREFIX.match(key)
    return bool(_NAME.fullmatch(key[prefix.end() :] if prefix else key))


@dataclass(frozen=True)
class Wanted:
    """What one node should have.

    Attributes:
        name: of the node.
        labels: by key.
        taints: each with ``key``, ``effect`` and perhaps ``value``.
        schedulable: workloads may run on it though it is a control plane.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    schedulable: bool = False


@dataclass(frozen=True)
class _Ours:
    """What was set here, and of kubeadm's taints taken away, as the annotation says it.

    Attributes:
        labels: by key, with the values given.
        taints: values by ``key:effect``.
        lifted: ``key:effect`` of kubeadm's taints that were there.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Mapping[str, str] = field(default_factory=dict)
    lifted: Sequence[str] = ()

    @classmethod
    def read(cls, node: Document) -> _Ours:
        """A note that nobody can read says nothing: then all that is on the node is somebody else's."""
        try:
            note = json.loads(node["metadata"].get("annotations", {}).get(ANNOTATION, "{}"))
            return cls(dict(note.get("labels", {})), dict(note.get("taints", {})), list(note.get("lifted", [])))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def written(self) -> str | None:
        note = {"labels": dict(self.labels), "taints": dict(self.taints), "lifted": sorted(self.lifted)}
        note = {key: value for key, value in note.items() if value}
        return json.dumps(note, sort_keys=True) if note else None


@dataclass(frozen=True)
class Change:
    """What has to become of one node.

    Attributes:
        patch: a JSON merge patch (RFC 7386), bound to the version of the node that it was decided on.
        before: labels and taints as they are, a line each.
        after: as they will be.
    """

    patch: Document
    before: str
    after: str


def decide(node: Document, wanted: Wanted) -> Change | None:
    """The change that a node needs; None where it is as it should be.

    Args:
        node: the Node object as the API returns it.
        wanted: what it should have.
    """
    ours = _Ours.read(node)
    labels = node["metadata"].get("labels") or {}
    taints = node.get("spec", {}).get("taints") or []
    new_labels, our_labels = _labels(labels, ours, wanted)
    new_taints, our_taints, lifted = _taints(taints, ours, wanted)
    note = _Ours(our_labels, our_taints, lifted).written()
    old_note = node["metadata"].get("annotations", {}).get(ANNOTATION)
    if (new_labels, new_taints, note) == (labels, taints, old_note):
        return None
    metadata: Document = {}
    if new_labels != labels:
        metadata["labels"] = {
            key: new_labels.get(key) for key in {**labels, **new_labels} if labels.get(key) != new_labels.get(key)
        }
    if note != old_note:
        metadata["annotations"] = {ANNOTATION: note}
    if "resourceVersion" in node["metadata"]:
        metadata["resourceVersion"] = node["metadata"]["resourceVersion"]
    patch: Document = {"metadata": metadata}
    if new_taints != taints:
        patch["spec"] = {"taints": new_taints}
    return Change(patch, _shown(labels, taints), _shown(new_labels, new_taints))


def unborn(wanted: Wanted) -> Document:
    """The node as far as it can be foreseen before it is there."""
    key, effect = CONTROL_PLANE_TAINTS[0].split(":")
    taints = [{"key": key, "effect": effect}] if wanted.schedulable else []
    return {"metadata": {"name": wanted.name}, "spec": {"taints": taints}}


def _labels(found: Mapping[str, str], ours: _Ours, wanted: Wanted) -> tuple[dict[str, str], dict[str, str]]:
    """The labels to be, and which of them are set here: one that had its value already is somebody else's."""
    dropped = {key for key, value in ours.labels.items() if key not in wanted.labels and found.get(key) == value}
    kept = {key: value for key, value in found.items() if key not in dropped}
    owned = {
        key: value for key, value in wanted.labels.items() if found.get(key) != value or ours.labels.get(key) == value
    }
    return {**kept, **wanted.labels}, owned


def _taints(
    found: Sequence[Mapping[str, Any]], ours: _Ours, wanted: Wanted
) -> tuple[list[Taint], dict[str, str], list[str]]:
    """The taints to be, in their order; which of them are set here; and which of kubeadm's are taken away."""
    wants = {_place(taint): taint.get("value", "") for taint in wanted.taints}
    has = {_place(taint): taint.get("value", "") for taint in found}
    dropped = {place for place, value in ours.taints.items() if place not in wants and has.get(place) == value}
    lifted: set[str] = set()
    if wanted.schedulable:
        here = [place for place in CONTROL_PLANE_TAINTS if place not in wants]
        lifted = {place for place in here if place in has or place in ours.lifted}
    else:
        wants = {**dict.fromkeys((place for place in ours.lifted if place not in has), ""), **wants}
    kept = [dict(taint) for taint in found if _place(taint) not in dropped | lifted]
    same = [taint for taint in kept if wants.get(_place(taint), taint.get("value", "")) == taint.get("value", "")]
    there = {_place(taint) for taint in same}
    new = [_taint(place, value) for place, value in wants.items() if place not in there]
    owned = {
        place: taint.get("value", "")
        for taint in wanted.taints
        for place in (_place(taint),)
        if has.get(place) != taint.get("value", "") or ours.taints.get(place) == taint.get("value", "")
    }
    return [*same, *new], owned, sorted(lifted)


def _place(taint: Mapping[str, Any]) -> str:
    """A node has at most one taint of each key and effect."""
    return f"{taint.get('key')}:{taint.get('effect')}"


def _taint(place: str, value: str) -> Taint:
    key, _colon, effect = place.rpartition(":")
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


def _shown(labels: Mapping[str, str], taints: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"label {key}={value}" for key, value in labels.items()]
    lines += [f"taint {taint['key']}={taint.get('value', '')}:{taint['effect']}" for taint in taints]
    return "".join(f"{line}\n" for line in sorted(lines))
