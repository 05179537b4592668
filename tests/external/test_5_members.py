# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that are lost: one by its disk, one with its host. Others take their places while a client writes on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from external import (
    ETCD,
    INVENTORY,
    MEMBER_FILES,
    PKI,
    etcd,
    etcd_is_whole,
    etcd_servers,
    is_whole,
    members,
    pki_files,
    site,
    site_in_the_end,
    url,
)
from support import CONTROL_PLANES, ROOT, STATE, Run, eventually, host, lab, rewritten, succeed
from traffic import Writer

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def client() -> Iterator[Writer]:
    """Somebody who writes during the whole test, and of whose writes none is lost."""
    with Writer("members") as client:
        yield client
        client.goes_on()
    assert client.wrong == []
    assert client.lost() == []


def remove(name: str, by: str) -> None:
    """Remove a member as docs/runbooks.md says."""
    words = ["ansible", by, "-i", INVENTORY, "-m", "kubeadm.ha.etcd_member", "-a", f"name={name} state=absent"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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

    run = site()
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

    host(wiped).check_output("rm -rf /etc/kubernetes/manifests/etcd.yaml /var/lib/etcd/member")
    remove(wiped, by=witness)
    assert members(witness).keys() == set(ETCD) - {wiped}
    run = succeed(site())
    assert {name for name, _task in run.changes} == {wiped}
    assert etcd_is_whole()
    assert etcd(wiped, "maintenance/status")["header"]["cluster_id"] == cluster_id


def test_dead_host_with_the_authority_is_replaced_by_a_new_one(client: Writer, tmp_path: Path) -> None:
    """Its CA comes from a backup, to another etcd host."""
    dead, heir, new = "etcd1", "etcd2", "etcd4"
    now = (heir, "etcd3", new)
    assert "etcd/ca.key" in pki_files(dead)
    eventually(is_whole, "all is well beforehand")
    key = host(dead).check_output(f"cat {PKI}/etcd/ca.key")
    lab("power-off", dead)
    assert set(succeed(site_in_the_end("--limit", f"{heir},etcd3")).changed.values()) == {0}
    lab("up", new)
    host(heir).check_output(f"umask 077 && echo %s > {PKI}/etcd/ca.key", key)
    removed = succeed(site("-e", f"remove_node_name={dead}", book="playbooks/remove_node.yml"))
    assert dead not in removed.contacted
    assert members(heir).keys() == {heir, "etcd3"}
    for name in CONTROL_PLANES:
        eventually(lambda name=name: etcd_servers(name) == {url(heir), url("etcd3")}, f"{name} uses those that stay")

    def exchange(everything: dict[str, Any]) -> None:
        etcd_hosts = everything["children"]["etcd"]["hosts"]
        etcd_hosts[new] = etcd_hosts.pop(dead)

    inventory = rewritten(tmp_path, exchange, INVENTORY)
    succeed(site(inventory=inventory))
    assert etcd_is_whole(now)
    assert set(pki_files(new)) == MEMBER_FILES
    for name in CONTROL_PLANES:
        eventually(lambda name=name: etcd_servers(name) == {url(one) for one in now}, f"{name} uses the new member")
    assert set(succeed(site(inventory=inventory)).changed.values()) == {0}
