# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that are lost: one by its disk, one with its host. Others take their places while a client writes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from external import (
    CONTROL_PLANES,
    ETCD,
    INVENTORY,
    MEMBER_FILES,
    PKI,
    etcd,
    etcd_is_whole,
    etcd_servers,
    in_the_end,
    is_whole,
    members,
    pki_files,
    site,
    url,
)
from support import STATE, Run, eventually, host, lab, rewritten, succeed
from traffic import Writer

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.on_demand]


@pytest.fixture
def client() -> Iterator[Writer]:
    """Somebody who writes during the whole test, and of whose writes none is lost."""
    with Writer("members") as client:
        yield client
        client.goes_on()
    assert client.wrong == []
    assert client.lost() == []


def recover(inventory: Path = INVENTORY) -> Run:
    return in_the_end("-e", "recover_apply=true", inventory=inventory, book="playbooks/recover.yml")


def expect_api_servers_of(names: tuple[str, ...]) -> None:
    """Every API server uses the members on these hosts, and no others."""
    wanted = {url(name) for name in names}
    for name in CONTROL_PLANES:
        eventually(lambda name=name: etcd_servers(name) == wanted, f"{name} uses {', '.join(names)}")


def flat(run: Run) -> str:
    """Its output without line breaks and doubled quotes, which are the screen's."""
    return " ".join(run.output.replace("''", "'").split())


def test_member_that_lost_its_disk_is_refused_and_then_added_anew(client: Writer) -> None:
    wiped, witness = "etcd2", "etcd1"
    eventually(is_whole, "all is well beforehand")
    cluster_id = etcd(witness, "maintenance/status")["header"]["cluster_id"]
    lab("power-off", wiped)
    shutil.rmtree(STATE / "hosts" / wiped / "etcd" / "member")
    lab("power-on", wiped)

    run = in_the_end()
    assert run.code != 0
    assert f"Refused: {wiped}: " in flat(run)
    assert "Nothing was changed." in flat(run)
    assert run.changes == set()
    assert members(witness).keys() == set(ETCD)
    # Whatever kubelet and etcd tried by themselves since, it was not to begin another cluster.
    try:
        assert etcd(wiped, "maintenance/status")["header"]["cluster_id"] == cluster_id
    except AssertionError as error:
        assert "curl" in str(error), error

    run = succeed(recover())
    assert f"{wiped}: data lost: " in flat(run)
    assert etcd_is_whole()
    assert etcd(wiped, "maintenance/status")["header"]["cluster_id"] == cluster_id


def test_dead_host_with_the_authority_is_replaced_by_a_new_one(client: Writer, tmp_path: Path) -> None:
    """In one run, which has both in its inventory. The CA comes from a backup, to another etcd host."""
    dead, heir, new = "etcd1", "etcd2", "etcd4"
    now = (heir, "etcd3", new)
    assert "etcd/ca.key" in pki_files(dead)
    eventually(is_whole, "all is well beforehand")
    key = host(dead).check_output(f"cat {PKI}/etcd/ca.key")
    lab("power-off", dead)
    lab("up", new)
    host(heir).check_output(f"umask 077 && echo %s > {PKI}/etcd/ca.key", key)
    both, without = (tmp_path / name for name in ("both", "without"))

    def exchange(everything: dict[str, Any]) -> None:
        etcd_hosts = everything["children"]["etcd"]["hosts"]
        etcd_hosts[new] = etcd_hosts[dead]

    def forget(everything: dict[str, Any]) -> None:
        exchange(everything)
        del everything["children"]["etcd"]["hosts"][dead]

    for folder in (both, without):
        folder.mkdir()
    run = succeed(recover(rewritten(both, exchange, INVENTORY)))
    assert f"{dead}: dead: no answer over SSH" in flat(run)
    assert etcd_is_whole(now)
    assert set(pki_files(new)) == MEMBER_FILES
    expect_api_servers_of(now)
    assert set(succeed(site(inventory=rewritten(without, forget, INVENTORY))).changed.values()) == {0}


def test_host_that_lives_is_removed_and_leaves_nothing(client: Writer, tmp_path: Path) -> None:
    gone, stay = "etcd4", ("etcd2", "etcd3")

    def exchange(everything: dict[str, Any]) -> None:
        etcd_hosts = everything["children"]["etcd"]["hosts"]
        etcd_hosts[gone] = etcd_hosts.pop("etcd1")

    inventory = rewritten(tmp_path, exchange, INVENTORY)
    run = succeed(site("-e", f"remove_node_name={gone}", inventory=inventory, book="playbooks/remove_node.yml"))
    assert gone in run.contacted
    assert etcd_is_whole(stay)
    expect_api_servers_of(stay)
    assert host(gone).run(f"find {PKI} -type f").stdout == ""
    assert not host(gone).file("/var/lib/etcd/member").exists
