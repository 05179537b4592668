# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON over HTTPS with a client certificate, by the standard library: how modules speak to API servers and to etcd."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from .files import secret_file

Document = dict[str, Any]

_LONGEST_LINE = 4 << 20
_LONGEST_REASON = 1 << 16


class RequestFailed(Exception):
    """No usable answer.

    Attributes:
        status: the HTTP status, or 0 where none came.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class NoAnswer(RequestFailed):
    """A server took the request, and said nothing in time."""


def url(host: str, port: int) -> str:
    """``https://host:port``, an IPv6 address in brackets."""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class JsonClient:
    """One HTTPS server; a connection for each request, because a node's load balancer may move between two."""

    def __init__(self, server: str, context: ssl.SSLContext, timeout: float, *, token: str = "") -> None:
        try:
            address = urlsplit(server)
            host, port = address.hostname, address.port
        except ValueError as error:
            raise RequestFailed(f"{server!r}: {error}") from error
        if host is None:
            raise RequestFailed(f"{server!r} is not a URL with a host")
        self.server = server
        self._host, self._port = host, port or 443
        self._context, self._timeout = context, timeout
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}

    def request(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        content_type: str = "application/json",
        *,
        before_sending: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> Document:
        """Send one request and return the JSON object answered; an answer that is no JSON comes as ``{"text": …}``.

        Args:
            before_sending: is called once the server is connected; what it raises ends the request unsent.
            timeout: seconds, where they are others than the client's.

        Raises:
            NoAnswer: the server took the request, and said nothing in time.
            RequestFailed: there is no connection, or the status was not 2xx.
        """
        connection, connected = self._connection(timeout), False
        try:
            payload = None if body is None else json.dumps(body)
            headers = {"Accept": "application/json", **self._authorization}
            if payload is not None:
                headers["Content-Type"] = content_type
            connection.connect()
            connected = True
            if before_sending:
                before_sending()
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            failure = NoAnswer if connected and isinstance(error, socket.timeout) else RequestFailed
            raise failure(f"{method} {self.server}{path}: {error}") from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise RequestFailed(f"{method} {self.server}{path}: {response.status} {_reason(text)}", response.status)
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        return document if isinstance(document, dict) else {"text": text}

    def stream(self, path: str, body: Document) -> Iterator[Document]:
        """Post a request whose answer is JSON objects, one a line, and yield each as it comes.

        Raises:
            RequestFailed: as of ``request``, also in the middle: a silence as long as the time-out, an answer that is
                cut off, or a line that is none.
        """
        connection = self._connection()
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if not 200 <= response.status < 300:
                text = response.read(_LONGEST_REASON).decode("utf-8", "replace")
                raise RequestFailed(f"POST {self.server}{path}: {response.status} {_reason(text)}", response.status)
            while line := response.readline(_LONGEST_LINE):
                document = json.loads(line)
                if not isinstance(document, dict):
                    raise ValueError("a line that is no object")
                yield document
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RequestFailed(f"POST {self.server}{path}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _connection(self, timeout: float | None = None) -> http.client.HTTPSConnection:
        seconds = self._timeout if timeout is None else timeout
        return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._context)


def _reason(text: str) -> str:
    """What a refusal says: Kubernetes puts it under ``message``, etcd under ``error``."""
    try:
        document = json.loads(text)
        return str(document.get("message") or document.get("error") or text)
    except (ValueError, AttributeError):
        return text.strip()[:300]


def verified_context(ca: str) -> ssl.SSLContext:
    """Trust this CA (PEM) alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca)
    return context


def unverified_context() -> ssl.SSLContext:
    """For looking at who answers, before there is anything to trust. Never send a secret through it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def present_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Present this client certificate (PEM texts) from now on. OpenSSL reads it from a path, so it gets memory."""
    with secret_file(f"{certificate}\n{key}\n") as (path, _descriptor):
        context.load_cert_chain(path)
