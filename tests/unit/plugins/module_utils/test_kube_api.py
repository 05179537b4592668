# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API as modules use it, against a server that answers as an API server does."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import kube_api, kubeconfig
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import NoAnswer, RequestFailed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity

CLUSTER_INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
Serve = Callable[[Any], https_server.Server]


def status(code: int, reason: str) -> https_server.Answer:
    """How an API server refuses."""
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "code": code}


def published(ca: Identity, server: str = "https://192.0.2.10:6443") -> dict[str, Any]:
    """The ConfigMap that kubeadm makes, as the API returns it."""
    text = kubeconfig.render(cluster="", user="", config=kubeconfig.Kubeconfig(server, ca.pem))
    return {"kind": "ConfigMap", "data": {"kubeconfig": text, "jws-kubeconfig-abcdef": "eyJ..x"}}


@pytest.fixture
def serve(ca: Identity, tmp_path: Path) -> Iterator[Serve]:
    """Start a server that always answers so."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(https_server.serve(lambda _request: answer, ca, tmp_path))


def test_cluster_info_tells_server_and_ca(serve: Serve, ca: Identity) -> None:
    server = serve((200, published(ca)))
    found = kube_api.cluster_info(server.url, 5)
    assert found
    assert (found.server, found.ca) == ("https://192.0.2.10:6443", ca.pem)
    assert server.paths == [CLUSTER_INFO]


@pytest.mark.parametrize("code", [401, 403, 404])
def test_cluster_info_of_an_api_server_that_publishes_nothing_is_none(serve: Serve, code: int) -> None:
    assert kube_api.cluster_info(serve(status(code, "no")).url, 5) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {}},
        {},
        {"data": None},
        {"data": []},
        {"data": {"kubeconfig": 1}},
        {"data": {"kubeconfig": "server: x\nclient-key-data: %"}},
    ],
)
def test_cluster_info_that_nobody_can_read_is_none(serve: Serve, answer: dict[str, Any]) -> None:
    assert kube_api.cluster_info(serve((200, answer)).url, 5) is None


@pytest.mark.parametrize(
    ("code", "reason"),
    [(500, "etcdserver: request timed out"), (503, "apiserver not ready"), (504, "request did not complete in time")],
)
def test_cluster_info_of_a_sick_api_server_is_still_an_answer(serve: Serve, code: int, reason: str) -> None:
    """An API server whose etcd has no quorum is a cluster all the same: nothing may be initialised behind it."""
    assert kube_api.cluster_info(serve(status(code, reason)).url, 5) is None


def test_cluster_info_where_nobody_answers_fails() -> None:
    with pytest.raises(RequestFailed):
        kube_api.cluster_info(https_server.unused_url(), 1)


@pytest.fixture
def api(ca: Identity, tmp_path: Path) -> Iterator[tuple[kube_api.KubeApi, https_server.Server]]:
    """An API that knows /known and asks for client certificates."""

    def answer(request: https_server.Request) -> https_server.Answer:
        return (200, {"method": request.method}) if request.path == "/known" else status(404, "not found")

    with https_server.serve(answer, ca, tmp_path, client_certificate=True) as running:
        admin = ca.issue("kubernetes-admin")
        config = kubeconfig.Kubeconfig(running.url, ca.pem, admin.pem, admin.key_pem)
        yield kube_api.KubeApi(config, 5), running


ApiAndServer = tuple[kube_api.KubeApi, https_server.Server]


def test_kube_api_speaks_as_the_user_of_its_kubeconfig(api: ApiAndServer) -> None:
    assert api[0].get("/known") == {"method": "GET"}
    assert api[0].create("/known", {"a": 1}) == {"method": "POST"}
    assert api[0].replace("/known", {"b": 2}) == {"method": "PUT"}
    assert [request.body for request in api[1].requests] == [None, {"a": 1}, {"b": 2}]


def test_find_of_an_object_that_is_not_there_is_none(api: ApiAndServer) -> None:
    assert api[0].find("/known")
    assert api[0].find("/unknown") is None
    with pytest.raises(RequestFailed, match="not found"):
        api[0].get("/unknown")


def test_delete_tells_whether_there_was_one(api: ApiAndServer) -> None:
    assert api[0].delete("/known")
    assert not api[0].delete("/unknown")


@pytest.fixture
def hanging_api(ca: Identity, tmp_path: Path) -> Iterator[ApiAndServer]:
    """An API that takes the first request and never answers it."""
    over, taken = threading.Event(), itertools.count()

    def answer(_request: https_server.Request) -> https_server.Answer:
        if next(taken) == 0:
            over.wait(60)
        return 200, {"answered": True}

    with https_server.serve(answer, ca, tmp_path) as running:
        admin = ca.issue("kubernetes-admin")
        yield kube_api.KubeApi(kubeconfig.Kubeconfig(running.url, ca.pem, admin.pem, admin.key_pem), 3), running
        over.set()


def test_read_that_hangs_is_tried_again(hanging_api: ApiAndServer) -> None:
    api, server = hanging_api
    assert api.find("/known") == {"answered": True}
    assert server.paths.count("/known") > 1


def test_write_that_hangs_is_not_for_it_may_have_been_done(hanging_api: ApiAndServer) -> None:
    api, server = hanging_api
    with pytest.raises(NoAnswer):
        api.create("/known", {})
    assert server.paths == ["/known"]


@pytest.mark.parametrize("call", ["find", "delete"])
def test_find_and_delete_take_no_other_refusal_for_absence(serve: Serve, ca: Identity, call: str) -> None:
    admin = ca.issue("kubernetes-admin")
    config = kubeconfig.Kubeconfig(serve(status(403, "no")).url, ca.pem, admin.pem, admin.key_pem)
    with pytest.raises(RequestFailed) as failed:
        getattr(kube_api.KubeApi(config, 5), call)("/known")
    assert failed.value.status == 403


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose files of kubeadm's lie in a folder of the test."""
    for name in ("ADMIN_CONF", "CONTROLLER_MANAGER_CONF", "CLUSTER_CA", "KUBELET_CERTIFICATE"):
        monkeypatch.setattr(kube_api, name, str(tmp_path / Path(getattr(kube_api, name)).name))
    return tmp_path


def write_kubeconfig(path: Path, server: str, ca: Identity) -> None:
    admin = ca.issue("kubernetes-admin")
    config = kubeconfig.Kubeconfig(server, ca.pem, admin.pem, admin.key_pem)
    path.write_text(kubeconfig.render(cluster="kubernetes", user="admin", config=config), encoding="ascii")


def test_local_admin_speaks_to_its_own_api_server_and_not_to_the_load_balancer(host: Path, ca: Identity) -> None:
    write_kubeconfig(host / "admin.conf", "https://lb.example.com:6443", ca)
    write_kubeconfig(host / "controller-manager.conf", "https://192.0.2.11:6443", ca)
    assert kube_api.local_admin().server == "https://192.0.2.11:6443"


def test_local_admin_without_a_local_server_takes_the_one_it_has(host: Path, ca: Identity) -> None:
    write_kubeconfig(host / "admin.conf", "https://lb.example.com:6443", ca)
    assert kube_api.local_admin().server == "https://lb.example.com:6443"


@pytest.mark.parametrize("content", [None, "", "server: https://x\n", "server: https://x:y\n"])
def test_local_admin_without_a_usable_file_fails_with_its_name(host: Path, content: str | None) -> None:
    if content is not None:
        (host / "admin.conf").write_text(content, encoding="ascii")
    with pytest.raises(RequestFailed, match=r"admin\.conf"):
        kube_api.local_admin()


def test_kubelet_api_speaks_as_the_kubelet(host: Path, ca: Identity) -> None:
    kubelet = ca.issue("system:node:w1")
    (host / "ca.crt").write_text(ca.pem, encoding="ascii")
    (host / "kubelet-client-current.pem").write_text(kubelet.pem + kubelet.key_pem, encoding="ascii")
    with https_server.serve(lambda _request: (200, {"a": 1}), ca, host, client_certificate=True) as running:
        assert kube_api.kubelet_api(running.url.removeprefix("https://")).find("/api/v1/nodes/w1") == {"a": 1}


@pytest.mark.parametrize("name", ["ca.crt", "kubelet-client-current.pem"])
def test_kubelet_api_without_a_file_fails_with_its_name(host: Path, ca: Identity, name: str) -> None:
    kubelet = ca.issue("system:node:w1")
    (host / "ca.crt").write_text(ca.pem, encoding="ascii")
    (host / "kubelet-client-current.pem").write_text(kubelet.pem + kubelet.key_pem, encoding="ascii")
    (host / name).unlink()
    with pytest.raises(RequestFailed, match=name.replace(".", r"\.")):
        kube_api.kubelet_api("192.0.2.10:6443")
