# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects are applied in the order that they need, once, against a server that keeps them as an API server does."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import kube_api, kube_objects, kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity

BUILT_IN = {
    "/api/v1": [("Namespace", "namespaces", False), ("ConfigMap", "configmaps", True), ("Secret", "secrets", True)],
    "/apis/apiextensions.k8s.io/v1": [("CustomResourceDefinition", "customresourcedefinitions", False)],
}
MISSING = (404, {"kind": "Status", "message": "the server could not find the requested resource"})


class ApiServer:
    """Keeps objects by path. A definition is Established when it has been looked at ``grace`` times."""

    def __init__(self, grace: int = 2) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.grace = grace
        self.applied: list[str] = []

    def answer(self, request: https_server.Request) -> https_server.Answer:
        address = urlsplit(request.path)
        if address.path.count("/") <= 3 and not address.path.startswith("/api/v1/namespaces/"):
            return self._discover(address.path)
        if request.method == "GET":
            return self._get(address.path)
        return self._apply(address.path, request.body, dry_run="dryRun" in parse_qs(address.query))

    def _discover(self, root: str) -> https_server.Answer:
        kinds = list(BUILT_IN.get(root, ()))
        for found in self.objects.values():
            if found["kind"] == "CustomResourceDefinition" and self._established(found):
                spec = found["spec"]
                if root == f"/apis/{spec['group']}/{spec['versions'][0]['name']}":
                    kinds.append((spec["names"]["kind"], spec["names"]["plural"], False))
        resources = [{"kind": kind, "name": name, "namespaced": namespaced} for kind, name, namespaced in kinds]
        return (200, {"resources": resources}) if kinds else MISSING

    def _get(self, path: str) -> https_server.Answer:
        found = self.objects.get(path)
        if found is None:
            return MISSING
        found["looked"] = found.get("looked", 0) + 1
        shown = {key: value for key, value in found.items() if key != "looked"}
        if found["kind"] == "CustomResourceDefinition":
            established = [{"type": "Established", "status": "True"}] if self._established(found) else None
            shown["status"] = {"conditions": established, "turn": found["looked"]}
        return 200, shown

    def _established(self, definition: dict[str, Any]) -> bool:
        return definition.get("looked", 0) >= self.grace

    def _apply(self, path: str, body: dict[str, Any], *, dry_run: bool) -> https_server.Answer:
        assert "status" not in body
        assert "creationTimestamp" not in body["metadata"]
        parts = path.split("/")
        if parts[3] == "namespaces" and len(parts) > 5 and f"/api/v1/namespaces/{parts[4]}" not in self.objects:
            return 404, {"message": f'namespaces "{parts[4]}" not found'}
        if body.get("data") == "malformed":
            return 422, {"message": "data: Invalid value"}
        before = self.objects.get(path, {})
        metadata = {**body["metadata"], "uid": "1", "resourceVersion": str(before.get("looked", 0))}
        found = {**copy.deepcopy(body), "defaulted": True, "metadata": metadata, "looked": before.get("looked", 0)}
        if not dry_run:
            self.objects[path] = found
            self.applied.append(f"{body['kind']} {body['metadata']['name']}")
        return 200, {key: value for key, value in found.items() if key != "looked"}


def thing(kind: str, name: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def definition(kind: str = "Pool") -> dict[str, Any]:
    names = {"kind": kind, "plural": f"{kind.lower()}s"}
    spec = {"group": "net.test", "names": names, "versions": [{"name": "v1", "served": True}]}
    status = {"conditions": [], "storedVersions": []}
    crd = thing("CustomResourceDefinition", f"{kind.lower()}s.net.test", "apiextensions.k8s.io/v1", spec=spec)
    crd["metadata"]["creationTimestamp"] = None
    return {**crd, "status": status}


def wanted() -> list[dict[str, Any]]:
    """A network's objects, each before what it needs."""
    config = thing("ConfigMap", "config", data={"a": "b"})
    config["metadata"]["namespace"] = "net"
    return [thing("Pool", "default", "net.test/v1"), config, definition(), thing("Namespace", "net")]


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def api(ca: Identity, tmp_path: Path, server: ApiServer) -> Iterator[kube_api.KubeApi]:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(https_server.serve(server.answer, ca, tmp_path))
        client = ca.issue("admin")
        yield kube_api.KubeApi(kubeconfig.Kubeconfig(running.url, ca.pem, client.pem, client.key_pem))


def keep(api: kube_api.KubeApi, objects: list[dict[str, Any]], *, check_mode: bool = False) -> kube_objects.Objects:
    cluster = kube_objects.Objects(api, objects, check_mode=check_mode)
    cluster.keep()
    return cluster


NAMES = ["Namespace net", "CustomResourceDefinition pools.net.test", "Pool default", "ConfigMap config"]


def test_keep_applies_what_others_need_first_and_waits_for_it(api: kube_api.KubeApi, server: ApiServer) -> None:
    cluster = keep(api, wanted())
    assert cluster.refused == []
    assert server.applied == cluster.changed == NAMES


def test_keep_a_second_time_changes_nothing_though_the_server_added_its_own(
    api: kube_api.KubeApi, server: ApiServer
) -> None:
    keep(api, wanted())
    server.applied.clear()
    assert keep(api, wanted(), check_mode=True).changed == []
    assert keep(api, wanted()).changed == []
    assert server.applied == []


def test_keep_in_check_mode_tells_all_that_a_run_would_change(api: kube_api.KubeApi, server: ApiServer) -> None:
    cluster = keep(api, wanted(), check_mode=True)
    assert (cluster.refused, server.objects) == ([], {})
    assert cluster.changed == keep(api, wanted()).changed == NAMES


def test_keep_shows_what_changes(api: kube_api.KubeApi) -> None:
    keep(api, wanted())
    other = wanted()
    other[1]["data"] = {"a": "c"}
    (diff,) = keep(api, other).diffs
    assert diff["before_header"] == "ConfigMap config"
    assert ('"a": "b"' in diff["before"], '"a": "c"' in diff["after"]) == (True, True)
    assert "uid" not in diff["before"] + diff["after"]


def test_keep_never_shows_a_secret(api: kube_api.KubeApi) -> None:
    first = thing("Secret", "keys", data={"same": "c2FtZQ==", "other": "b25l"})
    first["metadata"]["annotations"] = {kube_objects._LAST_APPLIED: "c2FtZQ==", "a": "b"}
    second = {**first, "data": {"same": "c2FtZQ==", "other": "dHdv"}}
    keep(api, [thing("Namespace", "default")])
    shown = [keep(api, [found]).diffs[0] for found in (first, second)]
    assert all(value not in str(shown) for value in ("c2FtZQ==", "b25l", "dHdv"))
    assert '"other": "(not shown, changed)"' in shown[1]["after"]
    assert '"same": "(not shown)"' in shown[1]["after"]
    assert keep(api, [second]).changed == []


def test_keep_waits_for_a_definition_that_a_killed_run_left(api: kube_api.KubeApi, server: ApiServer) -> None:
    server.grace = 10**6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kube_objects, "ESTABLISHED_SECONDS", 0.0)
        assert "not Established" in keep(api, [definition()]).refused[0]
    server.grace = 5
    assert keep(api, wanted()).refused == []


def test_keep_waits_for_all_definitions_together(
    api: kube_api.KubeApi, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has peers takes five seconds for each; here it takes until the last one is there."""
    monkeypatch.setattr(
        server, "_established", lambda _definition: "CustomResourceDefinition peers.net.test" in applied
    )
    monkeypatch.setattr(kube_objects, "ESTABLISHED_SECONDS", 1.0)
    applied = server.applied
    assert keep(api, [definition("Pool"), definition("Peer")]).refused == []


def test_keep_tells_all_that_the_server_refuses_and_applies_the_rest(api: kube_api.KubeApi, server: ApiServer) -> None:
    cluster = keep(
        api,
        [
            thing("ConfigMap", "bad", data="malformed"),
            thing("PodSecurityPolicy", "old", "policy/v1beta1"),
            thing("Namespace", "default"),
        ],
    )
    assert server.applied == ["Namespace default"]
    assert [text.split(":")[0] for text in cluster.refused] == ["ConfigMap bad", "PodSecurityPolicy old"]
    assert "no such kind" in cluster.refused[1]


def test_keep_does_not_go_on_with_a_server_that_is_silent(ca: Identity) -> None:
    client = ca.issue("admin")
    api = kube_api.KubeApi(kubeconfig.Kubeconfig(https_server.unused_url(), ca.pem, client.pem, client.key_pem))
    with pytest.raises(RequestFailed):
        keep(api, wanted())


@given(st.permutations([*wanted(), definition("Peer"), thing("Namespace", "other"), thing("Peer", "p", "net.test/v1")]))
def test_in_order_keeps_all_and_puts_what_others_need_first(objects: list[dict[str, Any]]) -> None:
    found = kube_objects.in_order(objects)
    kinds = [document["kind"] for document in found]
    assert kinds[:4] == ["Namespace"] * 2 + ["CustomResourceDefinition"] * 2
    rest = [document for document in objects if document["kind"] in ("Pool", "Peer", "ConfigMap")]
    assert found[4:] == rest
