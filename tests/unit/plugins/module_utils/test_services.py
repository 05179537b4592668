# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl show says, read as evidence of whether a service runs what its files say."""

from __future__ import annotations

import time

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import services

RUNNING = """\
LoadState=loaded
ActiveState=active
UnitFileState=enabled
StateChangeTimestampMonotonic={since}
NeedDaemonReload=no
"""
# systemctl show exits with 0 for a unit that nobody ever installed.
UNKNOWN = """\
LoadState=not-found
ActiveState=inactive
UnitFileState=
StateChangeTimestampMonotonic=0
NeedDaemonReload=no
"""


def show(text: str, **changes: str) -> services.Unit:
    """The unit that systemd describes so, with these properties changed."""
    lines = dict(line.split("=", 1) for line in text.splitlines())
    asked: list[list[str]] = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        asked.append(argv)
        return 0, "".join(f"{name}={value}\n" for name, value in {**lines, **changes}.items()), ""

    unit = services.show(run, "containerd.service")
    assert [argv[:3] for argv in asked] == [["systemctl", "show", "containerd.service"]]
    return unit


def started(seconds_ago: float) -> str:
    """A unit that changed its state so long ago, by the clock that systemd uses."""
    return RUNNING.format(since=int((time.monotonic() - seconds_ago) * 1e6))


def test_show_running_unit_is_all_it_says() -> None:
    unit = show(started(60))
    assert (unit.exists, unit.active, unit.enabled, unit.needs_daemon_reload) == (True, True, True, False)
    assert unit.since == pytest.approx(time.time() - 60, abs=1)


def test_show_unknown_unit_is_absent() -> None:
    assert show(UNKNOWN) == services.Unit(False, False, False, False, 0.0)


def test_show_failing_systemctl_is_an_absent_unit() -> None:
    unit = services.show(lambda _argv: (1, "", "System has not been booted with systemd"), "x.service")
    assert unit == services.Unit(False, False, False, False, 0.0)


@pytest.mark.parametrize(
    ("state", "active"),
    [("active", True), ("activating", True), ("reloading", True), ("inactive", False), ("failed", False),
     ("deactivating", False)],
)  # fmt: skip
def test_show_unit_that_starts_or_reloads_is_active(state: str, active: bool) -> None:
    assert show(started(1), ActiveState=state).active is active


@pytest.mark.parametrize(
    ("state", "enabled"), [("enabled", True), ("static", True), ("disabled", False), ("masked", False), ("", False)]
)
def test_show_unit_enabled_only_where_boot_starts_it(state: str, enabled: bool) -> None:
    assert show(started(1), UnitFileState=state).enabled is enabled


def test_show_masked_unit_is_not_one_to_manage() -> None:
    assert not show(UNKNOWN, LoadState="masked", UnitFileState="masked").exists


def test_show_changed_unit_file_needs_daemon_reload() -> None:
    assert show(started(1), NeedDaemonReload="yes").needs_daemon_reload


def test_is_older_than_a_file_written_since_its_start() -> None:
    assert show(started(60)).is_older_than(time.time() - 30)


def test_is_older_than_no_file_that_it_has_read() -> None:
    assert not show(started(60)).is_older_than(time.time() - 90)


def test_is_older_than_nothing_when_it_does_not_run() -> None:
    assert not show(started(60), ActiveState="inactive").is_older_than(time.time() - 30)


def test_is_older_than_no_file_of_the_future() -> None:
    assert not show(started(60)).is_older_than(time.time() + 3600)
