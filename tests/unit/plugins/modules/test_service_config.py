# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that listens is not yet one that runs what its files say."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.modules import service_config


@pytest.fixture
def address() -> Iterator[str]:
    """Where something takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A service that says at a Unix socket, as HAProxy does, what it was asked and that it runs version 2."""
    path = str(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _address = listener.accept()
                    with client:
                        client.sendall(b"asked: " + client.recv(100) + b"description: version 2\n\n")

        threading.Thread(target=serve, daemon=True).start()
        yield {"socket": path, "request": "show info", "answer": "description: version 2"}
        listener.shutdown(socket.SHUT_RDWR)


def test_lack_of_nothing(address: str, reports: dict[str, str]) -> None:
    assert service_config.lack(address, reports) is None
    assert service_config.lack(None, {**reports, "answer": "asked: show info"}) is None
    assert service_config.lack(None, None) is None


def test_lack_of_a_process_that_took_its_files_up_is_seen_while_the_old_one_listens(
    address: str, reports: dict[str, str]
) -> None:
    found = service_config.lack(address, {**reports, "answer": "description: version 3"})
    assert found is not None
    assert found.serves


@pytest.mark.parametrize("answer", ["description: version", "version 2", "description: version 22"])
def test_lack_is_told_by_whole_lines(address: str, reports: dict[str, str], answer: str) -> None:
    assert service_config.lack(address, {**reports, "answer": answer}) is not None


@pytest.fixture
def unused() -> str:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def serves(found: service_config.Lack | None) -> bool:
    assert found is not None
    return found.serves


def test_lack_of_a_listener_alone_costs_no_clients(unused: str, reports: dict[str, str]) -> None:
    assert not serves(service_config.lack(unused, reports))
    assert not serves(service_config.lack(unused, None))


def test_lack_of_one_that_answers_may_serve_clients_elsewhere(unused: str, reports: dict[str, str]) -> None:
    """It runs an older configuration, with another port: a restart would cut its clients off."""
    assert serves(service_config.lack(unused, {**reports, "answer": "description: version 3"}))


def test_lack_where_nobody_reports(address: str, unused: str, tmp_path: Path) -> None:
    silent = {"socket": str(tmp_path / "none"), "request": "show info", "answer": "x"}
    assert serves(service_config.lack(address, silent))
    assert not serves(service_config.lack(unused, silent))


def test_lack_ends_as_soon_as_the_service_is_there(reports: dict[str, str]) -> None:
    with socket.socket() as later:
        later.bind(("127.0.0.1", 0))
        threading.Timer(0.3, later.listen).start()
        assert service_config.lack(f"127.0.0.1:{later.getsockname()[1]}", reports, patience=60) is None


def test_lack_of_a_process_by_the_name_that_the_files_give_to_it() -> None:
    own = Path("/proc/self/comm")
    before = own.read_text()
    own.write_text("vrrp-0123456789")
    try:
        assert service_config.lack(None, None, "vrrp-0123456789") is None
        for name in ("vrrp-012345678", "vrrp-9876543210", "vrrp"):
            assert serves(service_config.lack(None, None, name))
    finally:
        own.write_text(before)
