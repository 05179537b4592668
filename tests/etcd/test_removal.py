# SPDX-License-Identifier: GPL-3.0-or-later
"""Members as a control plane sees them that has none itself: what a removal decides by, held against their own word."""

from __future__ import annotations

from pathlib import Path

from conftest import LocalEtcd
from test_look import Foreign, client_files

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, membership, removal
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd import Member
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import Observation
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates


def seen(local_etcd: LocalEtcd, files: Path) -> list[Member]:
    """By the endpoints of all, as the manifest of an API server names them."""
    endpoints = [member.client_url for member in local_etcd.processes.values()]
    look = Foreign(local_etcd, files).look(*endpoints)
    return removal.members_of(Observation("cp1", "192.0.2.21", external_etcd=look), external_etcd=True)


def shown(members: list[Member]) -> set[tuple[str, str, tuple[str, ...], bool, bool]]:
    return {(one.id, one.name, one.client_urls, one.learner, one.healthy) for one in members}


def test_members_are_seen_as_they_say_themselves_and_one_that_is_off_is_not_well(
    local_etcd: LocalEtcd, authority: certificates.Identity, tmp_path: Path
) -> None:
    client_files(tmp_path, authority, authority)
    local_etcd.begin(3)
    local_etcd.wait_until(local_etcd.is_well)
    first = local_etcd.processes["m0"]
    assert shown(seen(local_etcd, tmp_path)) == shown(etcd.members(first.client_url, local_etcd.context))

    local_etcd.processes["m2"].kill()
    local_etcd.wait_until(local_etcd.writes)
    local_etcd.wait_until(local_etcd.is_well)
    members = seen(local_etcd, tmp_path)
    assert shown(members) == shown(etcd.members(first.client_url, local_etcd.context))
    assert {one.name for one in members if not one.healthy} == {"m2"}
    by_name = {one.name: one for one in members}
    assert membership.problem(membership.Remove(by_name["m2"]), members, "etcd3") is None
    refused = membership.problem(membership.Remove(by_name["m1"]), members, "etcd2")
    assert refused is not None
    assert "1 healthy of 2 voters" in refused.found
