# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON over HTTPS against a real server: who is trusted, what comes back, and what every failure looks like."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import https_json
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import JsonClient, RequestFailed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import https_server
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import Identity, authority

ANSWERS: dict[str, https_server.Answer] = {
    "/ok": (200, {"a": 1}),
    "/created": (201, {"kind": "Pod"}),
    "/text": (200, "ok"),
    "/list": (200, [1, 2]),
    "/refused": (403, {"kind": "Status", "message": "nodes is forbidden"}),
    "/etcd": (400, {"error": "etcdserver: member not found", "code": 5}),
    "/moved": (302, ""),
    "/html": (502, "<html>Bad gateway</html>"),
    "/number": (500, "42"),
}


@pytest.fixture(scope="module")
def server(ca: Identity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[https_server.Server]:
    with https_server.serve(lambda request: ANSWERS[request.path], ca, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server: https_server.Server, ca: Identity) -> JsonClient:
    server.requests.clear()
    return JsonClient(server.url, https_json.verified_context(ca.pem), 5)


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/ok", {"a": 1}), ("/created", {"kind": "Pod"}), ("/text", {"text": "ok"}), ("/list", {"text": "[1, 2]"})],
)
def test_request_returns_the_object_answered(client: JsonClient, path: str, answer: dict[str, Any]) -> None:
    assert client.request("GET", path) == answer


def test_request_sends_method_path_and_body(client: JsonClient, server: https_server.Server) -> None:
    client.request("POST", "/ok", {"name": "Bürgeramt 🛟"})
    client.request("PATCH", "/ok", {}, content_type="application/merge-patch+json")
    client.request("GET", "/ok")
    assert server.requests == [
        https_server.Request("POST", "/ok", {"name": "Bürgeramt 🛟"}, "application/json"),
        https_server.Request("PATCH", "/ok", {}, "application/merge-patch+json"),
        https_server.Request("GET", "/ok"),
    ]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/refused", 403, "nodes is forbidden"),
        ("/etcd", 400, "etcdserver: member not found"),
        ("/moved", 302, ""),
        ("/html", 502, "Bad gateway"),
        ("/number", 500, "42"),
    ],
)
def test_request_refused_tells_status_and_reason(client: JsonClient, path: str, status: int, words: str) -> None:
    with pytest.raises(RequestFailed) as failed:
        client.request("GET", path)
    assert failed.value.status == status
    assert str(failed.value).startswith(f"GET {client.server}{path}: {status}")
    assert words in str(failed.value)


def test_request_to_nobody_fails_without_a_status(ca: Identity) -> None:
    with pytest.raises(RequestFailed) as failed:
        JsonClient(https_server.unused_url(), https_json.verified_context(ca.pem), 5).request("GET", "/")
    assert failed.value.status == 0


def test_request_to_a_server_of_another_authority_fails(server: https_server.Server) -> None:
    with pytest.raises(RequestFailed, match="certificate verify failed"):
        JsonClient(server.url, https_json.verified_context(authority("other").pem), 5).request("GET", "/ok")


def test_request_to_a_server_of_another_name_fails(server: https_server.Server, ca: Identity) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(RequestFailed, match="certificate verify failed"):
        JsonClient(url, https_json.verified_context(ca.pem), 5).request("GET", "/ok")


def test_unverified_context_looks_at_anybody(server: https_server.Server) -> None:
    assert JsonClient(server.url, https_json.unverified_context(), 5).request("GET", "/ok") == {"a": 1}


def test_request_to_a_frozen_server_fails_in_time(ca: Identity) -> None:
    with socket.create_server((https_server.ADDRESS, 0)) as listener:
        # Nobody accepts: the connection waits in the kernel, as with a process that is frozen.
        url = f"https://{https_server.ADDRESS}:{listener.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(RequestFailed) as failed:
            JsonClient(url, https_json.verified_context(ca.pem), 0.2).request("GET", "/")
    assert failed.value.status == 0
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("url", ["", "no url", "https://", "10.0.0.1:6443"])
def test_client_of_a_url_without_host_fails(url: str) -> None:
    with pytest.raises(RequestFailed, match="is not a URL with a host"):
        JsonClient(url, https_json.unverified_context(), 5)


@pytest.mark.parametrize("url", ["https://127.0.0.1:99999", "https://127.0.0.1:https", "https://a..b:6443"])
def test_client_of_an_impossible_address_fails_like_one_that_nobody_answers(url: str) -> None:
    with pytest.raises(RequestFailed):
        JsonClient(url, https_json.unverified_context(), 0.2).request("GET", "/")


@pytest.fixture(scope="module")
def strict(ca: Identity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[https_server.Server]:
    folder = tmp_path_factory.mktemp("strict")
    with https_server.serve(lambda _request: (200, {}), ca, folder, client_certificate=True) as running:
        yield running


def test_present_certificate_opens_a_server_that_asks_for_one(strict: https_server.Server, ca: Identity) -> None:
    context, admin = https_json.verified_context(ca.pem), ca.issue("kubernetes-admin")
    https_json.present_certificate(context, admin.pem, admin.key_pem)
    assert JsonClient(strict.url, context, 5).request("GET", "/") == {}


def test_present_certificate_takes_certificate_and_key_in_one_text(strict: https_server.Server, ca: Identity) -> None:
    context, kubelet = https_json.verified_context(ca.pem), ca.issue("system:node:cp1")
    https_json.present_certificate(context, kubelet.pem + kubelet.key_pem, "")
    assert JsonClient(strict.url, context, 5).request("GET", "/") == {}


def test_request_without_the_certificate_asked_for_fails(strict: https_server.Server, ca: Identity) -> None:
    with pytest.raises(RequestFailed) as failed:
        JsonClient(strict.url, https_json.verified_context(ca.pem), 5).request("GET", "/")
    assert failed.value.status == 0


def test_present_certificate_with_the_key_of_another_is_an_os_error(ca: Identity) -> None:
    with pytest.raises(OSError, match="(?i)key"):
        https_json.present_certificate(
            https_json.verified_context(ca.pem), ca.issue("one").pem, ca.issue("other").key_pem
        )


LINES = '{"result": {"n": 1}}\n{"result": {"n": 2}}\n'
STREAMS: dict[str, https_server.Answer] = {
    "/whole": (200, LINES),
    "/broken": (200, LINES + "half a li"),
    "/refused": (403, {"message": "not for you"}),
}


@pytest.fixture
def streams(ca: Identity, tmp_path: Path) -> Iterator[JsonClient]:
    with https_server.serve(lambda request: STREAMS[request.path], ca, tmp_path) as running:
        yield JsonClient(running.url, https_json.verified_context(ca.pem), 5)


def test_stream_gives_each_line_as_an_object(streams: JsonClient) -> None:
    assert list(streams.stream("/whole", {})) == [{"result": {"n": 1}}, {"result": {"n": 2}}]


def test_stream_that_breaks_off_fails_after_what_came(streams: JsonClient) -> None:
    answers = streams.stream("/broken", {})
    assert [next(answers), next(answers)] == [{"result": {"n": 1}}, {"result": {"n": 2}}]
    with pytest.raises(RequestFailed, match="POST .*/broken: "):
        next(answers)


def test_stream_that_is_refused_says_why(streams: JsonClient) -> None:
    with pytest.raises(RequestFailed, match="403 not for you") as caught:
        next(streams.stream("/refused", {}))
    assert caught.value.status == 403
