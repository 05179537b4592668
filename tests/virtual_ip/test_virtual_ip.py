# SPDX-License-Identifier: GPL-3.0-or-later
"""The address is on one host, moves when it should and at no other time, and nobody else's is taken."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pair import (
    API_SERVERS,
    API_UNITS,
    BALANCERS,
    GUARDED,
    SECRET,
    answered,
    build,
    carrier,
    carriers,
    checked,
    other,
    stopped,
    transitions,
    up,
)
from support import CANARY, ROOT, Run, eventually, host, lab, succeed

pytestmark = pytest.mark.usefixtures("hosts")

KEEPALIVED = {(name, "kubeadm.ha.virtual_ip : Keep keepalived moving the virtual IP") for name in BALANCERS}
HAPROXY = {(name, "kubeadm.ha.load_balancer : Keep HAProxy in front of the API servers") for name in BALANCERS}
# Whoever were to take the address has done so by then: two checks that fail, and three adverts a second apart.
SETTLED_SECONDS = 5.5


def states() -> list[list[str]]:
    return [transitions(name) for name in BALANCERS]


def settle() -> None:
    """Wait until both hosts are as good, and one has the address."""
    eventually(lambda: all(map(checked, BALANCERS)), "both can serve")
    carrier()


def test_check_mode_told_on_bare_hosts_what_the_run_then_did(foretold: Run, other_router: None, pair: Run) -> None:
    assert foretold.changes == pair.changes
    assert pair.changes > KEEPALIVED | HAPROXY


@pytest.fixture(scope="session")
def other_router(foretold: Run) -> None:
    """A keepalived of somebody else's with the same router id, and a machine that has the address: both are named."""
    settings = ("interface host0", "virtual_router_id 10", "virtual_ipaddress {", "10.210.0.99/32", "}")
    conf = "\n".join(["vrrp_instance other {", *settings, "}", ""])
    machine = host("cp1")
    machine.check_output("printf %s %s > /etc/keepalived.conf", "%s", conf)
    eventually(lambda: machine.exists("keepalived"), "keepalived is installed")
    machine.check_output("systemd-run --unit=other keepalived --dont-fork --use-file /etc/keepalived.conf")
    eventually(lambda: " 10.210.0.99/" in machine.check_output("ip address"), "the other router is up")
    bridge = Path("/sys/class/net/kubelab0/address").read_text().strip()
    asked = {"cluster_virtual_ip": "10.210.0.1", "cluster_control_plane_endpoint": "10.210.0.1:6443"}
    options = [f"{name}={value}" for name, value in {**asked, "cluster_virtual_router_id": "10"}.items()]
    run = build(*(part for option in options for part in ("-e", option)))
    machine.check_output("systemctl stop other")
    assert run.code != 0
    assert run.changes == set()
    text = " ".join(run.output.split())
    assert "cluster_virtual_router_id 10: found VRRP from 10.210.0.21 with router id 10, heard on lb1, lb2" in text
    assert f"a machine that answers for it, with the MAC address {bridge}, seen from lb1, lb2" in text


def test_one_host_has_the_address_and_api_servers_answer_there(pair: Run) -> None:
    assert carrier() in BALANCERS
    eventually(lambda: answered() in API_SERVERS.values(), "an API server answers at the address")


def test_second_run_finishes_what_one_that_was_killed_left_and_changes_nothing_else(pair: Run) -> None:
    settle()
    at, before = carrier(), states()
    host(at).check_output("touch /etc/keepalived/keepalived.conf")
    assert succeed(build()).changes == {change for change in KEEPALIVED if change[0] == at}
    assert succeed(build()).changes == set()
    assert (carriers(), states()) == ([at], before)


@pytest.mark.parametrize("path", sorted((ROOT / "tests/unit/fixtures/keepalived").glob("*.conf")), ids=lambda p: p.stem)
def test_keepalived_accepts_what_is_rendered(pair: Run, path: Path) -> None:
    """It sends itself SIGTERM after that; see service_keeper."""
    text = path.read_text().replace("eth0", "host0")
    command = "printf %s %s > /tmp/case.conf; trap '' TERM; keepalived --config-test -f /tmp/case.conf"
    tested = host("lb1").run(command, "%s", text)
    assert tested.rc == 0, tested.stderr


@pytest.mark.on_demand
def test_slow_api_server_moves_nothing(pair: Run) -> None:
    settle()
    before = states()
    slow = f"/run/slow-{API_SERVERS['cp1']}"
    host("cp1").check_output(f"touch {slow}")
    try:
        eventually(lambda: all(up(name) == {"cp2"} for name in BALANCERS), "the slow one is out")
        eventually(lambda: answered() == API_SERVERS["cp2"], "the other one answers")
        assert all(map(checked, BALANCERS))
    finally:
        host("cp1").check_output(f"rm {slow}")
    assert states() == before


def test_address_stays_where_it_is_without_any_api_server(pair: Run) -> None:
    settle()
    at, before = carrier(), states()
    with stopped(API_UNITS, "cp1"):
        eventually(lambda: not any(map(checked, BALANCERS)), "nobody can serve")
        time.sleep(SETTLED_SECONDS)
        assert (carriers(), states()) == ([at], before)


def test_reload_of_changed_files_keeps_the_address(pair: Run, request: pytest.FixtureRequest) -> None:
    settle()
    at, before = carrier(), states()
    run = request.getfixturevalue("guarded")
    assert run.changes == KEEPALIVED | HAPROXY
    assert (carriers(), states()) == ([at], before)
    assert succeed(build(*GUARDED)).changes == set()


def test_password_is_nowhere_but_in_its_file(guarded: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in BALANCERS:
        held = host(name).file("/etc/keepalived/authentication.conf")
        assert SECRET in held.content_string
        assert (held.mode, held.user) == (0o600, "root")
    CANARY.known.secret("password", SECRET.encode())
    found = CANARY.search(tmp_path_factory.getbasetemp())
    # Where it belongs, and the key of what stands in for an API server.
    rightful = ("/etc/keepalived/authentication.conf: password", "/root/both.pem: cp1: ")
    assert [line for line in found if not any(place in line for place in rightful)] == []


def test_address_leaves_a_host_without_haproxy_and_does_not_come_back(guarded: Run) -> None:
    """HAProxy listens at the address alone, and so it does on a host that does not have it."""
    settle()
    old = carrier()
    with stopped("haproxy", old):
        eventually(lambda: carriers() == [other(old)], "the address moves")
        eventually(lambda: answered() is not None, "an API server answers there")
    eventually(lambda: checked(old), "the host can serve again")
    told = transitions(old)
    time.sleep(SETTLED_SECONDS)
    assert (carriers(), transitions(old)) == ([other(old)], told)


def test_address_leaves_a_host_that_is_off_and_does_not_come_back(guarded: Run) -> None:
    """Its plug is pulled: nobody says goodbye."""
    settle()
    old = carrier()
    lab("power-off", old)
    try:
        eventually(lambda: carriers(other(old)) == [other(old)], "the address moves")
        eventually(lambda: answered() is not None, "an API server answers there")
    finally:
        lab("power-on", old)
    eventually(lambda: checked(old), "the host can serve again")
    time.sleep(SETTLED_SECONDS)
    assert carriers() == [other(old)]


@pytest.mark.on_demand
def test_password_that_is_not_wanted_any_more_is_taken_away(guarded: Run) -> None:
    settle()
    at = carrier()
    assert succeed(build()).changes == KEEPALIVED | HAPROXY
    assert [host(name).file("/etc/keepalived/authentication.conf").exists for name in BALANCERS] == [False, False]
    assert carriers() == [at]
