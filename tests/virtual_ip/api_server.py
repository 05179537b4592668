#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for an API server. api_server.py ADDRESS PORT CERTIFICATE: slow while /run/slow-ADDRESS is there."""

from __future__ import annotations

import http.server
import pathlib
import ssl
import sys
import time

ADDRESS, PORT, CERTIFICATE = sys.argv[1], int(sys.argv[2]), sys.argv[3]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if pathlib.Path(f"/run/slow-{ADDRESS}").exists():
            time.sleep(8)
        if self.path != "/readyz":
            return  # an API server with an answer would be a cluster, and not a host without one
        self.send_response(200)
        self.end_headers()
        self.wfile.write(ADDRESS.encode())


server = http.server.ThreadingHTTPServer((ADDRESS, PORT), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
