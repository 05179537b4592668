# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that are told something new while the cluster runs (module etcd_static_pod): never two of them at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from external import ETCD, etcd_is_whole, site
from support import eventually, host, succeed
from traffic import Writer

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.on_demand]


def told(**variables: Any) -> tuple[str, ...]:
    return ("--limit", "etcd", "--extra-vars", json.dumps(variables))


def election_timeouts() -> set[str]:
    """With what the members run, by their processes."""
    return {host(name).check_output("pgrep -a etcd | grep -o 'election-timeout=[0-9]*' || true") for name in ETCD}


def test_what_no_member_can_start_with_is_tried_on_one_and_taken_back() -> None:
    with Writer("settings") as client:
        run = site(*told(cluster_etcd_extra_args={"snapshot-count": "many"}, etcd_patience_seconds=15))
        client.goes_on()
    assert run.code != 0
    assert "The manifest is as it was before." in " ".join(run.output.split())
    assert (client.wrong, client.lost()) == ([], [])
    eventually(etcd_is_whole, "all members run as before")
    assert set(succeed(site("--limit", "etcd")).changed.values()) == {0}


def test_members_take_up_what_they_are_told_one_after_the_other() -> None:
    with Writer("settings") as client:
        run = succeed(site(*told(cluster_etcd_election_milliseconds=1500)))
        assert {name for name, _task in run.changes} == set(ETCD)
        assert etcd_is_whole()
        assert election_timeouts() == {"election-timeout=1500"}
        succeed(site("--limit", "etcd"))
        assert etcd_is_whole()
        assert election_timeouts() == {""}
        client.goes_on()
    assert (client.wrong, client.lost()) == ([], [])
