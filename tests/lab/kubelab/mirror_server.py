# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server for one folder on one address: python3 mirror_server.py FOLDER ADDRESS PORT."""

from __future__ import annotations

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60


def main() -> None:
    folder, address, port = sys.argv[1:]
    ThreadingHTTPServer((address, int(port)), partial(Handler, directory=folder)).serve_forever()


if __name__ == "__main__":
    main()
