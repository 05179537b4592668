# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests are read from files and over HTTP, by their checksums, as kubectl would read them."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeadm.ha.plugins.module_utils.pod_network import Source
from ansible_collections.kubeadm.ha.plugins.plugin_utils import manifests

NAMESPACE = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: net}\n"


def checksum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Site:
    """A web server on this machine, and how often it was asked."""

    def __init__(self) -> None:
        self.content = NAMESPACE
        self.asked = 0
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                self.send_response(200 if self.path == "/net.yml" else 404)
                self.send_header("Content-Length", str(len(site.content)))
                self.end_headers()
                self.wfile.write(site.content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/net.yml"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_fetch_reads_a_file_beside_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "net.yml").write_bytes(NAMESPACE)
    for place in ("net.yml", str(tmp_path / "net.yml")):
        assert manifests.fetch(Source(place, checksum(NAMESPACE)), str(tmp_path)) == NAMESPACE


def test_fetch_of_a_url_with_a_checksum_asks_once(site: Site) -> None:
    source = Source(site.url, checksum(NAMESPACE))
    assert [manifests.fetch(source, None) for _turn in range(2)] == [NAMESPACE] * 2
    assert site.asked == 1


def test_fetch_of_a_url_without_a_checksum_asks_each_time(site: Site, cache: Path) -> None:
    for _turn in range(2):
        assert manifests.fetch(Source(site.url), None) == NAMESPACE
    assert site.asked == 2
    assert not cache.exists()


def test_fetch_does_not_believe_what_was_kept(site: Site, cache: Path) -> None:
    source = Source(site.url, checksum(NAMESPACE))
    manifests.fetch(source, None)
    (kept,) = (path for path in cache.rglob("*") if path.is_file())
    kept.write_bytes(b"something else")
    assert manifests.fetch(source, None) == NAMESPACE
    assert kept.read_bytes() == NAMESPACE


def test_read_all_refuses_another_checksum_and_keeps_nothing(site: Site, cache: Path) -> None:
    read, (problem,) = manifests.read_all([Source(site.url, checksum(b"other"))], None)
    assert (read, problem.subject) == ([], site.url)
    assert checksum(NAMESPACE) in problem.found
    assert checksum(b"other") in problem.found
    assert not cache.exists()


def test_read_all_tells_every_manifest_that_cannot_be_read(site: Site, tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("a: [")
    places = [site.url + "x", "missing.yml", "bad.yml", "http://127.0.0.1:1/"]
    read, problems = manifests.read_all([*map(Source, places), Source(site.url)], str(tmp_path))
    assert [place for place, _documents in read] == [site.url]
    assert [problem.subject for problem in problems] == places
    assert "https_proxy" in problems[0].action
    assert "https_proxy" not in problems[1].action


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("10:30", "10:30"),
        ("1:30.5", "1:30.5"),
        ("0755", 0o755),
        ("10", 10),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ("10.244.0.0/16", "10.244.0.0/16"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_loader_takes_a_value_for_what_kubectl_takes_it_for(text: str, value: object) -> None:
    assert yaml.load(f"a: {text}", Loader=manifests.ManifestLoader) == {"a": value}


def variables(**changes: Any) -> dict[str, Any]:
    return {
        "cluster_network": "manifest",
        "cluster_network_manifests": ["net.yml"],
        "cluster_kubernetes_version": "1.20.2",
        "cluster_pod_subnet": "10.244.0.0/16",
        **changes,
    }


def test_load_gives_objects_and_what_stands_against_them(tmp_path: Path) -> None:
    (tmp_path / "net.yml").write_bytes(NAMESPACE)
    objects, problems = manifests.load(variables(), str(tmp_path))
    assert ([document["kind"] for document in objects], problems) == (["Namespace"], [])
    _objects, (problem,) = manifests.load(variables(cluster_network="flannel"), str(tmp_path))
    assert problem.subject == "manifest of flannel"


@pytest.mark.parametrize("network", ["bridge", "none", None])
def test_load_of_a_network_without_manifests_reads_none(network: str | None) -> None:
    assert manifests.load(variables(cluster_network=network), None) == ([], [])
