# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draining a node: which pods have to go, how the API is asked for it, and who closed the node.

Pure. Pods go by the Eviction API, which is what respects PodDisruptionBudgets; nothing is ever deleted past it.
Sources: Kubernetes' kubectl/pkg/drain (filters.go, drain.go) and the documentation of API-initiated eviction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .https_json import Document

# Written beside spec.unschedulable, so that a node that somebody else has closed is not opened here.
ANNOTATION = "kubeadm.ha/drain"
_MIRROR = "kubernetes.io/config.mirror"
# What a closed node has, and who tolerates it may come back to the very node.
_CLOSED = ("node.kubernetes.io/unschedulable", "NoSchedule")


@dataclass(frozen=True)
class Pod:
    """One pod that has to leave a node.

    Attributes:
        title: namespace and name.
        uid: tells it from a later one of the same name.
        leaving: it was told to end, and has not yet.
        managed: a controller makes another one.
        returns: which may come to this node though it is closed.
    """

    title: str
    uid: str
    leaving: bool = False
    managed: bool = True
    returns: bool = False

    @property
    def path(self) -> str:
        """Where evictions of it are posted."""
        namespace, name = self.title.split("/")
        return f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"


@dataclass
class Outcome:
    """What draining came to.

    Attributes:
        there: there is such a node.
        cordoned: it was closed to new pods here, or would be.
        evicted: titles of pods that were told to leave, or would be.
        unmanaged: those of them that no controller makes anew.
        left: titles of pods that nobody could confirm to be gone, for the node stopped being Ready.
    """

    there: bool = False
    cordoned: bool = False
    evicted: list[str] = field(default_factory=list)
    unmanaged: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.cordoned or bool(self.evicted)


def to_leave(pods: Iterable[Document]) -> list[Pod]:
    """The pods that draining is about, of all on a node, by title.

    Those of DaemonSets would come back at once, mirrors of static pods are the kubelet's own, and what has ended has
    nothing to lose.
    """
    found = []
    for pod in pods:
        metadata = pod["metadata"]
        owner = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), {})
        mirror = _MIRROR in (metadata.get("annotations") or {})
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if mirror or ended or owner.get("kind") == "DaemonSet":
            continue
        title = f"{metadata['namespace']}/{metadata['name']}"
        returns = any(map(_tolerates_closed, (pod.get("spec") or {}).get("tolerations") or ()))
        found.append(Pod(title, metadata["uid"], bool(metadata.get("deletionTimestamp")), bool(owner), returns))
    return sorted(found, key=lambda pod: pod.title)


def _tolerates_closed(toleration: Document) -> bool:
    key, effect = _CLOSED
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", effect)


def eviction(pod: Pod, version: str) -> Document:
    """The request that asks for one pod's eviction.

    Args:
        pod: this one, and no later one of its name.
        version: of the group policy, as ``eviction_version`` finds it.
    """
    namespace, name = pod.title.split("/")
    return {
        "apiVersion": version,
        "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }


def eviction_version(resources: Document) -> str:
    """Which version of Eviction a server takes, by what it lists at /api/v1: policy/v1 from 1.22 on.

    Raises:
        ValueError: none.
    """
    for entry in resources.get("resources", ()):
        if entry["name"] == "pods/eviction":
            return f"{entry.get('group') or 'policy'}/{entry.get('version') or 'v1beta1'}"
    raise ValueError("/api/v1: found no pods/eviction, wanted it. See whether an admission plugin hides it.")


def is_closed(node: Document) -> bool:
    """No new pods come to the node."""
    return bool((node.get("spec") or {}).get("unschedulable"))


def is_ours(node: Document) -> bool:
    """It was closed here, and may be opened here."""
    return ANNOTATION in (node["metadata"].get("annotations") or {})


def closing(*, closed: bool) -> Document:
    """A JSON merge patch (RFC 7386) that closes a node here, or opens it again."""
    return {
        "metadata": {"annotations": {ANNOTATION: "cordoned" if closed else None}},
        "spec": {"unschedulable": True if closed else None},
    }


def diff(name: str, outcome: Outcome) -> dict[str, str]:
    """In the form that Ansible's diff mode shows; nothing where nothing changes."""
    if not outcome.changed:
        return {}
    before = ["takes new pods"] if outcome.cordoned else ["takes no new pods"]
    gone = [f"pod {title}" for title in sorted(outcome.evicted)]
    header = f"node {name}"
    return {
        "before_header": header,
        "after_header": header,
        "before": "".join(f"{line}\n" for line in [*before, *gone]),
        "after": "takes no new pods\n",
    }
