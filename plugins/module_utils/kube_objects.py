# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects kept in a cluster as they are written, by server-side apply."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable

from . import kube_api
from .https_json import Document, RequestFailed

APPLY = "fieldManager=kubeadm.ha&force=true"
# Written by the server at every turn, so no part of what an object is.
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
# Where kubectl apply keeps the whole object.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Answers about one object, and not about the server: up to 1.25 a field that a kind lacks makes a 500.
_REFUSALS = (400, 403, 404, 405, 409, 413, 415, 422, 500)
# What others need to be there, in this order.
_FIRST = ("Namespace", "CustomResourceDefinition")
# The API server serves a new kind within seconds; where there are several of them, after five (its HA grace).
ESTABLISHED_SECONDS = 60.0


class Objects:
    """Objects of one cluster, to be applied in the order of ``in_order``.

    Attributes:
        changed: kind and name of those that were changed, or would be.
        diffs: how, in the form that Ansible's diff mode shows.
        refused: what the server said against others.
    """

    def __init__(self, api: kube_api.KubeApi, wanted: Iterable[Document], *, check_mode: bool) -> None:
        self._api, self._check_mode = api, check_mode
        self._resources: dict[str, list[Document]] = {}
        self._wanted = in_order(wanted)
        self._kinds = {kind for document in self._wanted for kind in _kinds_of(document)}
        self._namespaces = {d["metadata"]["name"] for d in self._wanted if d["kind"] == "Namespace"}
        self._unestablished: list[Document] = []
        self.changed: list[str] = []
        self.diffs: list[dict[str, str]] = []
        self.refused: list[str] = []

    def keep(self) -> None:
        """Bring about what is wanted, all of it that the server takes.

        Raises:
            RequestFailed: the server does not answer.
        """
        first = [wanted for wanted in self._wanted if wanted["kind"] in _FIRST]
        for wanted in first:
            self._try(self._keep, wanted)
        # All of them together, for each may take seconds.
        for definition in self._unestablished:
            self._try(self._wait_until_established, definition)
        for wanted in self._wanted[len(first) :]:
            self._try(self._keep, wanted)

    def _try(self, step: Callable[[Document], None], wanted: Document) -> None:
        try:
            step(wanted)
        except RequestFailed as error:
            if error.status not in _REFUSALS:
                raise
            self.refused.append(f"{title(wanted)}: {error}")

    def _keep(self, wanted: Document) -> None:
        # In check mode what it needs to be asked about may be as little there as itself.
        unasked = self._check_mode and self._waits_for_others(wanted)
        before = None if unasked else self._api.find(self._path(wanted))
        after = wanted if unasked else self._apply(wanted, dry_run=True)
        differs = essence(before) != essence(after)
        if differs:
            self.changed.append(title(wanted))
            self.diffs.append(difference(before, after))
            if not self._check_mode:
                self._apply(wanted, dry_run=False)
        if _kinds_of(wanted) and not self._check_mode and (differs or not _is_established(before or {})):
            self._unestablished.append(wanted)

    def _apply(self, wanted: Document, *, dry_run: bool) -> Document:
        """The object as it is then, or would be."""
        path = f"{self._path(wanted)}?{APPLY}" + ("&dryRun=All" if dry_run else "")
        return self._api.request("PATCH", path, _sent(wanted), "application/apply-patch+yaml")

    def _waits_for_others(self, wanted: Document) -> bool:
        """Whether its kind or its namespace is itself among what is wanted, and not there yet."""
        namespace = wanted["metadata"].get("namespace")
        if namespace in self._namespaces and not self._api.find(f"/api/v1/namespaces/{namespace}"):
            return True
        return (wanted["apiVersion"], wanted["kind"]) in self._kinds and self._resource(wanted) is None

    def _wait_until_established(self, definition: Document) -> None:
        path = self._path(definition)
        deadline = time.monotonic() + ESTABLISHED_SECONDS
        while not _is_established(self._api.get(path)) or any(
            self._resource({"apiVersion": version, "kind": kind}) is None for version, kind in _kinds_of(definition)
        ):
            if time.monotonic() > deadline:
                raise RequestFailed(f"found it not Established after {ESTABLISHED_SECONDS:.0f} s, wanted it so", 404)
            time.sleep(0.2)

    def _path(self, wanted: Document) -> str:
        """Where an object lives.

        Raises:
            RequestFailed: the server has no such kind.
        """
        resource = self._resource(wanted)
        if resource is None:
            kind = f"{wanted['apiVersion']} {wanted['kind']}"
            raise RequestFailed(f"{kind}: found no such kind on the server, wanted one that it serves", 404)
        namespace = f"/namespaces/{wanted['metadata'].get('namespace', 'default')}" if resource["namespaced"] else ""
        return f"{_root(wanted)}{namespace}/{resource['name']}/{wanted['metadata']['name']}"

    def _resource(self, wanted: Document) -> Document | None:
        """What the server says of a kind, which it is asked for once a group; one that it lacks may come later."""
        group = wanted["apiVersion"]
        if not any(entry["kind"] == wanted["kind"] for entry in self._resources.get(group, ())):
            self._resources[group] = (self._api.find(_root(wanted)) or {}).get("resources", [])
        kinds = (entry for entry in self._resources[group] if "/" not in entry["name"])
        return next((entry for entry in kinds if entry["kind"] == wanted["kind"]), None)


def in_order(objects: Iterable[Document]) -> list[Document]:
    """Namespaces first, then definitions of kinds, then the others as they come."""
    return sorted(objects, key=lambda wanted: _FIRST.index(wanted["kind"]) if wanted["kind"] in _FIRST else len(_FIRST))


def title(wanted: Document) -> str:
    """Kind and name for people."""
    return f"{wanted['kind']} {wanted['metadata']['name']}"


def essence(found: Document | None) -> str:
    """An object as text without the server's bookkeeping and without its status; empty for none."""
    if found is None:
        return ""
    metadata = {key: value for key, value in found["metadata"].items() if key not in _BOOKKEEPING}
    document = {key: value for key, value in found.items() if key != "status"}
    return json.dumps({**document, "metadata": metadata}, indent=2, sort_keys=True) + "\n"


def difference(before: Document | None, after: Document) -> dict[str, str]:
    """In the form that Ansible's diff mode shows."""
    headers = {"before_header": title(after), "after_header": title(after)}
    return {**headers, "before": essence(shown(before)), "after": essence(shown(after, before))}


def shown(found: Document | None, before: Document | None = None) -> Document | None:
    """An object as people may see it: of a Secret the keys, and whether their values are others than ``before``."""
    if found is None or found["kind"] != "Secret":
        return found
    old = before or found
    hidden = {
        field: {
            key: "(not shown)" if (old.get(field) or {}).get(key) == value else "(not shown, changed)"
            for key, value in found[field].items()
        }
        for field in ("data", "stringData")
        if found.get(field)
    }
    metadata = dict(found["metadata"])
    if metadata.get("annotations"):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _LAST_APPLIED}
    return {**found, **hidden, "metadata": metadata}


def _sent(wanted: Document) -> Document:
    """An object without what generators write into manifests, though only the server can say it."""
    metadata = {key: value for key, value in wanted["metadata"].items() if key != "creationTimestamp"}
    return {**{key: value for key, value in wanted.items() if key != "status"}, "metadata": metadata}


def _root(wanted: Document) -> str:
    group = wanted["apiVersion"]
    return f"/apis/{group}" if "/" in group else f"/api/{group}"


def _kinds_of(document: Document) -> list[tuple[str, str]]:
    """The apiVersions and kinds that a CustomResourceDefinition makes; none for any other object."""
    if document["kind"] != "CustomResourceDefinition":
        return []
    spec = document["spec"]
    versions = [version["name"] for version in spec.get("versions", ()) if version.get("served", True)]
    return [(f"{spec['group']}/{version}", spec["names"]["kind"]) for version in versions]


def _is_established(definition: Document) -> bool:
    conditions = (definition.get("status") or {}).get("conditions")  # null in a definition that was just made
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions or ())
