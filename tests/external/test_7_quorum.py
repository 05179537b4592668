# SPDX-License-Identifier: GPL-3.0-or-later
"""The quorum of etcd's hosts is lost for good, and etcd begins again from what one of them has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from external import NODES, etcd_is_whole, members, of_today, site
from support import answers, cluster_id, eventually, lose_member, node_is_ready, succeed
from traffic import Writer

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.on_demand]

BOOK = "playbooks/recover.yml"
LEFT = "etcd3"


def test_begins_again_from_the_data_that_is_left(tmp_path: Path) -> None:
    etcd = tuple(members(LEFT))
    inventory = of_today(tmp_path)
    confirmed = cluster_id()
    with Writer("quorum") as writer:
        writer.goes_on()
    for name in set(etcd) - {LEFT}:
        lose_member(name)
    eventually(lambda: not answers(), "no API without a quorum")

    refused = site("-e", "recover_apply=true", inventory=inventory, book=BOOK)
    assert refused.code != 0
    assert refused.changes == set()
    assert f"etcd: quorum lost: 1 of {len(etcd)} voters of etcd run" in refused.output
    assert f"recover_confirm: found nothing, wanted {confirmed}" in refused.output

    given = json.dumps({"recover_apply": True, "recover_confirm": confirmed})
    succeed(site("-e", given, inventory=inventory, book=BOOK))
    assert writer.lost() == []
    assert etcd_is_whole(etcd)
    for name in NODES:
        eventually(lambda name=name: node_is_ready(name), f"{name} is Ready")
    again = succeed(site("-e", "recover_apply=true", inventory=inventory, book=BOOK))
    assert set(again.changed.values()) == {0}, again.changes
