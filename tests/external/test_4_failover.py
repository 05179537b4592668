# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that all of the cluster leans on lose their power, and a client that writes all the while loses nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from external import FIGURES, holders, in_the_end, is_whole, lead, leader
from support import eventually, lab, succeed
from traffic import WRITES_PER_SECOND, Writer

pytestmark = pytest.mark.usefixtures("cluster")

AUTHORITY = "etcd1"
"""It signed for the other hosts of etcd, and holds the key for that."""

BOTH = "both at once"

# Who is struck, and the longest gap in seconds that is aimed at.
STRIKES: dict[str, tuple[Callable[[], list[str]], int]] = {
    "host of etcd's leader": (lambda: [leader()], 10),
    "active load balancer": (holders, 3),
    BOTH: (lambda: [lead(AUTHORITY), *holders()], 10),
}


@pytest.mark.parametrize("what", [*sorted(STRIKES.keys() - {BOTH}), pytest.param(BOTH, marks=pytest.mark.on_demand)])
def test_no_acknowledged_write_is_lost(what: str) -> None:
    find, goal = STRIKES[what]
    eventually(is_whole, "all is well beforehand")
    struck = find()
    with Writer("failover") as client:
        try:
            lab("power-off", *struck)
            client.goes_on(10 * WRITES_PER_SECOND)
            if len(struck) > 1:
                # Nobody who is there needs the authority.
                others = succeed(in_the_end("--limit", ":!".join(["all", *struck])))
                assert set(others.changed.values()) == {0}
        finally:
            lab("power-on", *struck)
        eventually(is_whole, f"{' and '.join(struck)} are healthy again by themselves")
        client.goes_on()
    FIGURES.append(
        f"{what} off ({', '.join(struck)}): longest gap {client.longest_gap:.1f} s, aimed at under {goal} s; "
        f"{client.begun - len(client.written)} of {client.begun} writes not acknowledged"
    )
    assert client.wrong == []
    assert client.lost() == []
    assert not set(holders()) & set(struck), "the virtual address stays where it is when its old host returns"
