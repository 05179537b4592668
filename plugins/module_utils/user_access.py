# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of a cluster who are not its administrator: what may be written of them, and the bindings that they have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .https_json import Document
from .kube_api import KubeApi
from .problems import CLUSTER, Problem
from .versions import Version

# Bound to cluster-admin by kubeadm itself since 1.29, and here before; can be unbound, unlike system:masters.
ADMINS = "kubeadm:cluster-admins"
ADMIN = "kubeadm-ha-admin"
# From this minor on a request may say how long its certificate is to live (CertificateSigningRequest's
# spec.expirationSeconds; KEP-2784). Before, the field is dropped, and the signer decides.
LIFETIME_MINOR = 22

_RBAC = "rbac.authorization.k8s.io"
RBAC_PATH = f"/apis/{_RBAC}/v1"
LABEL, LABEL_VALUE = "kubeadm.ha/access", "user"
_KEYS = ("name", "groups", "days", "path", "bindings")
_BINDING_KEYS = ("cluster_role", "namespace")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, order=True)
class Binding:
    """What a user may do, by a ClusterRole.

    Attributes:
        user: who.
        cluster_role: what.
        namespace: where; empty for the whole cluster.
    """

    user: str
    cluster_role: str
    namespace: str = ""

    def __str__(self) -> str:
        place = f"in namespace {self.namespace}" if self.namespace else "in the whole cluster"
        return f"user {self.user}: {self.cluster_role} {place}"

    @property
    def name(self) -> str:
        """With the role in it, for a binding's role can never be changed."""
        return f"kubeadm.ha:{self.user}:{self.cluster_role}"

    def document(self) -> Document:
        """The object that makes it so."""
        metadata: Document = {"name": self.name, "labels": {LABEL: LABEL_VALUE}}
        if self.namespace:
            metadata["namespace"] = self.namespace
        return {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding" if self.namespace else "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": self.cluster_role},
            "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": self.user}],
        }


def bindings_path(namespace: str) -> str:
    """Where the API has the bindings of a namespace; of the whole cluster where it is empty."""
    return f"{RBAC_PATH}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC_PATH}/clusterrolebindings"


@dataclass(frozen=True)
class Bound:
    """A binding of ours as the cluster has it.

    Attributes:
        name: of the object.
        namespace: likewise; empty for the whole cluster.
        binding: what it does; None where it was changed into something that no binding of ours is.
    """

    name: str
    namespace: str
    binding: Binding | None

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Bound:
        """From the object."""
        metadata, role = found["metadata"], found["roleRef"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        subjects = [(subject["kind"], subject["name"]) for subject in found.get("subjects") or []]
        binding = None
        if role["kind"] == "ClusterRole" and len(subjects) == 1 and subjects[0][0] == "User":
            binding = Binding(subjects[0][1], role["name"], namespace)
        return cls(name, namespace, binding if binding and binding.name == name else None)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Bound:
        binding = value["binding"]
        return cls(value["name"], value["namespace"], Binding(**binding) if binding else None)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return str(self.binding) if self.binding else f"binding {self.name}, changed by somebody"


def bound(api: KubeApi) -> list[Bound]:
    """The bindings of ours that there are.

    Raises:
        RequestFailed: the API server does not answer.
    """
    paths = [
        f"{RBAC_PATH}/{kind}?labelSelector={LABEL}%3D{LABEL_VALUE}" for kind in ("clusterrolebindings", "rolebindings")
    ]
    return [Bound.read(found) for path in paths for found in api.get(path)["items"]]


def decide(found: Iterable[Bound], wanted: Iterable[Binding]) -> tuple[list[Binding], list[Bound]]:
    """The bindings to make, and those to take away."""
    found, wanted = set(found), set(wanted)
    return sorted(wanted - {one.binding for one in found}), sorted(
        (one for one in found if one.binding not in wanted), key=str
    )


def wanted_bindings(users: Iterable[Mapping[str, Any]]) -> set[Binding]:
    """Of users as ``cluster_users`` lists them."""
    return {
        Binding(user["name"], one["cluster_role"], one.get("namespace") or "")
        for user in users
        for one in user.get("bindings") or []
    }


def check(users: Any, version: Version | None) -> list[Problem]:
    """Every problem of ``cluster_users``.

    Args:
        users: as the inventory has it.
        version: of Kubernetes; None where that is no version.
    """
    if not isinstance(users, list):
        return []  # said with all variables that should be lists
    if not all(isinstance(user, Mapping) for user in users):
        return [
            _problem("cluster_users", repr(users), "users, each with a name", "See its example in docs/variables.md.")
        ]
    problems = []
    for index, user in enumerate(users, start=1):
        subject = f"cluster_users, {user.get('name') or f'user {index}'}"
        problems += [_problem(subject, *problem) for problem in _user_problems(user, version)]
    for key in ("name", "path"):
        values = [str(user[key]) for user in users if user.get(key)]
        problems += [
            _problem("cluster_users", f"{key} {value} twice", "one of its own for each", "Change one.")
            for value in sorted({value for value in values if values.count(value) > 1})
        ]
    return problems


def _problem(subject: str, found: str, wanted: str, action: str) -> Problem:
    return Problem(CLUSTER, subject, found, wanted, action)


def _user_problems(user: Mapping[str, Any], version: Version | None) -> Iterable[tuple[str, str, str]]:
    yield from _unknown(user, _KEYS)
    name, groups, days = user.get("name"), user.get("groups", []), user.get("days")
    if not isinstance(name, str) or not _USER.fullmatch(name) or len(name) > 64:
        yield f"name {name!r}", "letters, digits and . _ @ + -, at most 64", "Correct it."
    elif name == ADMIN:
        yield f"name {name}", "another name than the administrator's", "Choose another one."
    if not isinstance(groups, list) or not all(isinstance(group, str) and group for group in groups):
        yield f"groups {groups!r}", "a list of names", "Correct it."
    else:
        for group in groups:
            if group.startswith("system:") or group == ADMINS:
                yield (
                    f"group {group}",
                    "none of Kubernetes' own: a certificate with it could not be taken back",
                    "Give rights by bindings, or by a group of yours that you bind to roles.",
                )
    if days is not None and (not isinstance(days, int) or isinstance(days, bool) or days < 1):
        yield f"days {days!r}", "a whole number from 1", "Correct it."
    elif days is not None and version is not None and version.minor < LIFETIME_MINOR:
        yield (
            f"days {days}, and Kubernetes {version}",
            f"1.{LIFETIME_MINOR} or later: before, the cluster alone says how long a certificate lives",
            "Leave it out; cluster-signing-duration of the controller manager says it for all.",
        )
    if "path" in user and not (isinstance(user["path"], str) and user["path"]):
        yield f"path {user['path']!r}", "a file on the machine that runs Ansible", "Correct it, or leave it out."
    yield from _binding_problems(user.get("bindings", []))


def _binding_problems(bindings: Any) -> Iterable[tuple[str, str, str]]:
    if not isinstance(bindings, list) or not all(isinstance(one, Mapping) for one in bindings):
        yield f"bindings {bindings!r}", "a list, each with cluster_role and perhaps namespace", "Correct it."
        return
    for one in bindings:
        yield from _unknown(one, _BINDING_KEYS)
        role, namespace = one.get("cluster_role"), one.get("namespace", "x")
        if not isinstance(role, str) or not role or "/" in role or "%" in role:
            yield f"cluster_role {role!r}", "the name of a ClusterRole", "Choose one, such as view, edit or admin."
        if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
            yield f"namespace {namespace!r}", "the name of a namespace", "Correct it, or leave it out for all of them."


def _unknown(found: Mapping[str, Any], known: tuple[str, ...]) -> Iterable[tuple[str, str, str]]:
    for key in sorted(map(str, found.keys() - set(known))):
        near = difflib.get_close_matches(key, known, n=1)
        action = f"Did you mean {near[0]}?" if near else "Remove it."
        yield f"{key}, which nothing reads", f"some of {', '.join(known)}", action
