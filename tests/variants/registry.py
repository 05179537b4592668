# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry with one image in it, on the machine that the lab runs on."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import ssl
import tarfile
import threading
from collections.abc import Iterator

ADDRESS = ("10.210.0.1", 5050)
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _image(text: str) -> dict[str, tuple[str, bytes]]:
    """What a registry holds of an image that is one file: type and content, by the last part of its path."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("greeting")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    packed = gzip.compress(layer.getvalue(), mtime=0)
    rootfs = {"type": "layers", "diff_ids": [_digest(layer.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    described = [
        {"mediaType": f"application/vnd.docker.{kind}", "size": len(content), "digest": _digest(content)}
        for kind, content in (("container.image.v1+json", config), ("image.rootfs.diff.tar.gzip", packed))
    ]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
    ).encode()
    blobs = {_digest(content): ("application/octet-stream", content) for content in (config, packed)}
    return {"1": (MANIFEST, manifest), _digest(manifest): (MANIFEST, manifest), **blobs}


@contextlib.contextmanager
def serving(name: str, tls: ssl.SSLContext | None = None) -> Iterator[list[str]]:
    """Serve ``name:1`` while the context lasts, over HTTPS if so told.

    Yields:
        The paths that were asked for.
    """
    image, asked = _image(f"from the mirror, as {name}"), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            kind, content = image.get(self.path.split("?")[0].rsplit("/", 1)[-1], (None, b""))
            known = kind and self.path.startswith(f"/v2/{name}/")
            self.send_response(200 if known or self.path == "/v2/" else 404)
            self.send_header("Content-Length", str(len(content)))
            if known:
                self.send_header("Content-Type", kind)
                self.send_header("Docker-Content-Digest", _digest(content))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(ADDRESS, Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
