# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine has the address, or the module waits, and then says who has it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.kubeadm.ha.plugins.modules import virtual_ip_info
from ansible_collections.kubeadm.ha.plugins.modules.virtual_ip_info import Seen

OTHER, THIRD = "02:00:00:00:00:02", "02:00:00:00:00:03"
NOBODY, HERE, THERE = Seen(False, ()), Seen(True, ()), Seen(False, (OTHER,))
TWO = (Seen(True, (OTHER,)), Seen(False, (OTHER, THIRD)))

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def port() -> Iterator[int]:
    """A port at which somebody takes connections, at the address 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The module, on a host that sees these one after the other, and the last one for ever; each takes a second."""

    def call(*looks: Seen, **options: Any) -> dict[str, Any]:
        left, clock = list(looks), [0.0]

        def see(_address: str) -> Seen:
            clock[0] += 1
            return left.pop(0) if len(left) > 1 else left[0]

        monkeypatch.setattr(virtual_ip_info, "see", see)
        monkeypatch.setattr(virtual_ip_info.time, "monotonic", lambda: clock[0])
        with patch_module_args({"address": "127.0.0.1", **options}), pytest.raises(SystemExit):
            virtual_ip_info.main()
        return {"seconds": clock[0], **json.loads(capsys.readouterr().out)}

    return call


@pytest.mark.parametrize("seen", [HERE, THERE])
def test_one_machine_is_enough_at_once(run: Run, port: int, seen: Seen) -> None:
    result = run(seen, port=port)
    assert (result["carries"], result["answered_by"]) == (seen.carries, list(seen.answered_by))
    assert result["seconds"] == 1


def test_hosts_that_have_just_begun_to_agree_are_waited_for(run: Run, port: int) -> None:
    """Both took it at the same moment, and one gave in."""
    result = run(NOBODY, HERE, TWO[0], HERE, port=port, settle=True)
    assert not result.get("failed")
    assert result["carries"]
    assert result["seconds"] > 4 + virtual_ip_info.SETTLE_SECONDS - 1


@pytest.mark.parametrize(("seen", "told"), [(TWO[0], f"this host and {OTHER}"), (TWO[1], f"{OTHER} and {THIRD}")])
def test_two_machines_are_told_with_what_to_do(run: Run, port: int, seen: Seen, told: str) -> None:
    result = run(seen, port=port)
    assert result["failed"]
    assert f"127.0.0.1: found it on {told}, wanted it on just one of the hosts" in result["msg"]
    assert "let VRRP (IP protocol 112) pass between them" in result["msg"]


def test_nobody_is_told(run: Run, port: int) -> None:
    assert "found it on nobody" in run(NOBODY, port=port)["msg"]


def test_address_without_a_service_is_told(run: Run, port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    result = run(THERE, port=closed)
    assert f"found nobody who takes connections at port {closed} of {OTHER}, wanted HAProxy" in result["msg"]


@pytest.mark.parametrize("seen", [NOBODY, *TWO])
def test_check_mode_waits_for_nothing_and_fails_nowhere(run: Run, port: int, seen: Seen) -> None:
    result = run(seen, port=port, _ansible_check_mode=True)
    assert not result.get("failed")
    assert result["seconds"] == 1
