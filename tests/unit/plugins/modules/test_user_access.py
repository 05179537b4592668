# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the cluster for its users: certificates of the wanted life, and bindings to roles that exist."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import Document, RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.module_utils.user_access import Binding
from ansible_collections.kubeadm.ha.plugins.modules import user_access

JANE = Binding("jane", "view", "shop")
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings"


class Api:
    """Objects by path; it signs what is approved, unless its controller manager is off."""

    def __init__(self, *paths: str, signs: bool = True) -> None:
        self.objects: dict[str, Document] = {path: {} for path in paths}
        self.signs = signs
        self.created: list[Document] = []

    def find(self, path: str) -> Document | None:
        return self.objects.get(path)

    def get(self, path: str) -> Any:
        return self.objects[path]

    def create(self, path: str, document: Document) -> Document:
        place = f"{path}/{document['metadata']['name']}"
        assert place not in self.objects, "409"
        self.objects[place] = {"status": {}, **document}
        self.created.append(document)
        return document

    def replace(self, path: str, document: Document) -> Document:
        assert path.endswith("/approval")
        assert document["status"]["conditions"][0]["type"] == "Approved"
        if self.signs:
            document["status"]["certificate"] = base64.b64encode(b"PEM").decode()
        return document

    def delete(self, path: str) -> bool:
        return self.objects.pop(path, None) is not None


@pytest.mark.parametrize(("days", "seconds"), [(None, None), (7, 604800)])
def test_sign_asks_for_a_client_s_certificate_of_the_wanted_life_and_leaves_nothing(
    days: int | None, seconds: int | None
) -> None:
    api: Any = Api()
    assert user_access.sign(api, "CSR", days, 1) == "PEM"
    (request,) = api.created
    assert request["spec"].get("expirationSeconds") == seconds
    assert request["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client"
    assert api.objects == {}


def test_sign_that_nobody_does_fails_and_leaves_nothing() -> None:
    api: Any = Api(signs=False)
    with pytest.raises(RequestFailed, match="controller manager"):
        user_access.sign(api, "CSR", None, 0)
    assert api.objects == {}


@pytest.mark.parametrize("there", [(), ("/api/v1/namespaces/shop",), (f"{BINDINGS}/{JANE.name}",)])
def test_bind_makes_the_namespace_that_is_missing_and_replaces_what_has_its_name(there: tuple[str, ...]) -> None:
    api: Any = Api(*there)
    user_access.make_binding(api, JANE)
    assert user_access.is_bound(api, JANE)
    kinds = [document["kind"] for document in api.created]
    assert kinds == (["RoleBinding"] if "/api/v1/namespaces/shop" in there else ["Namespace", "RoleBinding"])
    assert api.objects[f"{BINDINGS}/{JANE.name}"]["subjects"][0]["name"] == "jane"


def test_check_roles_names_every_role_that_does_not_exist() -> None:
    api: Any = Api("/apis/rbac.authorization.k8s.io/v1/clusterroles/view")
    user_access.check_roles(api, [JANE])
    with pytest.raises(Refusal) as refused:
        user_access.check_roles(api, [JANE, Binding("joe", "veiw"), Binding("joe", "edti", "shop")])
    assert [problem.subject for problem in refused.value.problems] == ["ClusterRole edti", "ClusterRole veiw"]
