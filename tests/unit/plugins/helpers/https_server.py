# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTPS server on 127.0.0.1 that answers as a test tells it to."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .certificates import Identity

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    body: Any = None
    content_type: str | None = None
    authorization: str | None = None


Answer = tuple[int, Any]


@dataclass
class Server:
    """A running server.

    Attributes:
        url: where it listens.
        requests: what came in, in order.
    """

    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@contextlib.contextmanager
def serve(
    answer: Callable[[Request], Answer], ca: Identity, folder: Path, *, client_certificate: bool = False
) -> Iterator[Server]:
    """Serve ``answer``: a status, and a body that goes out as JSON, or as it is where it is text."""
    ca.issue("server", address=ADDRESS).write(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if client_certificate:
        context.load_verify_locations(cadata=ca.pem)
        context.verify_mode = ssl.CERT_REQUIRED

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = (self.headers.get(name) for name in ("Content-Type", "Authorization"))
            request = Request(self.command, self.path, body, *headers)
            running.requests.append(request)
            status, document = answer(request)
            payload = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class QuietServer(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A refused handshake is what some tests are about."""

    server = QuietServer((ADDRESS, 0), Handler)
    # The handshake belongs to the connection's own thread, so that a client that hangs up does not stop the server.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    running = Server(f"https://{ADDRESS}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def unused_url() -> str:
    """A URL on this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return f"https://{ADDRESS}:{probe.getsockname()[1]}"
