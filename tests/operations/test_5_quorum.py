# SPDX-License-Identifier: GPL-3.0-or-later
"""A quorum that is lost for good: begun again from the data of one member, and from a snapshot, in spite of kills.

What was written before is there, what was written after a snapshot is not, the other members join anew, and no node
goes on believing in what no longer is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from owner import Owner, made
from support import (
    CONTROL_PLANES,
    INVENTORY,
    NODES,
    ROOT,
    STATE,
    WORKERS,
    answers,
    api,
    eventually,
    host,
    lab,
    lose_member,
    node_is_ready,
    playbook,
    succeed,
)
from traffic import CONFIG_MAPS, Writer, expect_service_across_nodes

from ansible_collections.kubeadm.ha.plugins.module_utils import identity, x509

BOOK = "playbooks/recover.yml"
BEGINS, WIPED, DEAD = CONTROL_PLANES
MANIFESTS = "/etc/kubernetes/manifests"


def cluster_id() -> str:
    authority = host(BEGINS).check_output("cat /etc/kubernetes/pki/ca.crt")
    return identity.cluster_id(x509.parse(authority).public_key_hash)


def module(name: str, on: str, folder: Path, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """What one call of a module returns."""
    task = {"name": "Call it", f"kubeadm.ha.{name}": options, "check_mode": check, "diff": True}
    task["ignore_errors"] = True  # a refusal is a result
    book = folder / "call.yml"
    book.write_text(yaml.safe_dump([{"name": "Call", "hosts": on, "gather_facts": False, "tasks": [task]}]))
    run = playbook(book=str(book), log=folder / "call.log")
    (line,) = [line for line in run.told if line["task"] == "Call it"]
    return {**line["result"], "failed": line["outcome"] != "ok"}


def arguments(**options: str) -> list[str]:
    return ["-e", json.dumps({"recover_apply": True, "recover_confirm": cluster_id(), **options})]


def strike(**options: str) -> None:
    """Start a recovery, and in the midst of the restore kill the module on its host, and Ansible."""
    log = STATE / "logs" / "quorum-struck.log"
    command = ["ansible-playbook", BOOK, "-i", INVENTORY, *arguments(**options)]
    begun = f"until [ -e {MANIFESTS}/etcd-restore.yaml ]; do sleep 0.05; done"
    with log.open("w") as stream:
        run = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream, start_new_session=True)
        struck = host(BEGINS).run(f"timeout 240 sh -c '{begun}; pkill -KILL python3'")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert struck.rc == 0, log.read_text()[-3000:]
    assert host(BEGINS).file(f"{MANIFESTS}/etcd-restore.yaml").exists


def members(name: str) -> dict[str, dict[str, Any]]:
    """The voters by name, as one of them lists them."""
    pki = "/etc/kubernetes/pki/etcd"
    files = f"--cacert {pki}/ca.crt --cert {pki}/healthcheck-client.crt --key {pki}/healthcheck-client.key"
    answer = host(name).check_output(
        f"curl -sSf --max-time 5 {files} -d '{{}}' https://127.0.0.1:2379/v3/cluster/member/list"
    )
    listed = json.loads(answer)["members"]
    return {member["name"]: member for member in listed if not member.get("isLearner")}


def write(name: str) -> None:
    api(20).create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})


def is_there(name: str) -> bool:
    return api(20).find(f"{CONFIG_MAPS}/{name}") is not None


def started(name: str) -> str:
    """When its kubelet began."""
    return str(host(name).check_output("systemctl show --property=ExecMainStartTimestampMonotonic --value kubelet"))


def manifests(name: str) -> dict[str, str]:
    found = host(name).check_output(f"cd {MANIFESTS} && sha256sum *")
    return dict(reversed(line.split("  ")) for line in found.splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quorum")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return made(tmp_path_factory.mktemp("owner"))


@pytest.fixture(scope="module")
def snapshot(cluster: None, owner: Owner) -> str:
    """A snapshot that its owner alone can open, and one object before and one after it."""
    write("before-the-snapshot")
    succeed(owner.take())
    write("after-the-snapshot")
    return str(owner.snapshots[0])


def test_refuses_what_would_harm_a_cluster_that_works(snapshot: str, folder: Path) -> None:
    before = manifests(BEGINS)
    cut, other = "/root/cut.db", "0123456789ab"
    host(BEGINS).check_output(f"head -c 100000 /var/lib/etcd/member/snap/db > {cut}")
    found = module("etcd_restore", BEGINS, folder, source="snapshot", snapshot=cut, cluster_id=other)
    assert found["failed"]
    for words in (
        f"{BEGINS}: cluster id: found {cluster_id()}, wanted {other}.",
        f"{BEGINS}: etcd quorum: found 3 voters that agree ({', '.join(CONTROL_PLANES)}), wanted none",
        f"{BEGINS}: {cut}: found ",
    ):
        assert words in found["msg"]
    found = module("etcd_wipe", BEGINS, folder, cluster_id=cluster_id())
    assert f"found {BEGINS} among 3 voters that agree" in found["msg"]
    found = module("control_plane_pods", BEGINS, folder, state="stopped", cluster_id=other)
    assert f"{BEGINS}: cluster id: found {cluster_id()}, wanted {other}." in found["msg"]
    assert not module("kubelet_restart", BEGINS, folder, endpoint="10.210.0.11:6443")["changed"]
    assert manifests(BEGINS) == before
    assert set(members(BEGINS)) == set(CONTROL_PLANES)


def test_begins_again_from_the_data_that_is_left(snapshot: str, folder: Path) -> None:
    with Writer("quorum") as writer:
        writer.goes_on()
    before = manifests(BEGINS)
    lab("power-off", DEAD)
    lose_member(WIPED)
    eventually(lambda: not answers(), "no API without a quorum")
    strike()
    run = succeed(playbook(*arguments(), book=BOOK))
    assert not writer.lost() and is_there("after-the-snapshot")
    assert set(members(BEGINS)) == {BEGINS, WIPED}
    assert {name for name, found in manifests(BEGINS).items() if found != before.get(name)} <= {"etcd.yaml"}
    told = host(BEGINS).check_output(f"cat {MANIFESTS}/etcd.yaml")
    assert "--initial-cluster-state=existing" in told and "force" not in told
    assert host(BEGINS).run("pgrep -f -- '--[f]orce-new-cluster'").rc != 0
    assert not host(BEGINS).file("/etc/kubernetes/kubeadm.ha-aside").exists
    assert host(BEGINS).run("ls -d /var/lib/etcd-before-*/member /var/lib/etcd/before-*/member").stdout, run.output
    # It is the cluster now, and nothing takes it back.
    assert module("etcd_restore", BEGINS, folder, source="data", cluster_id=cluster_id())["failed"]


def test_begins_again_from_a_snapshot_and_all_hosts_follow(snapshot: str, owner: Owner) -> None:
    """Also one that comes back with the former cluster on its disk."""
    lab("power-on", DEAD)
    since = {name: started(name) for name in WORKERS}
    lose_member(WIPED)
    eventually(lambda: not answers(), "no API without a quorum")
    given = {"recover_snapshot": snapshot, "recover_private_key": str(owner.private), "recover_survivor": BEGINS}
    run = succeed(playbook(*arguments(**given), book=BOOK))
    assert is_there("before-the-snapshot")
    assert not is_there("after-the-snapshot")
    assert set(members(BEGINS)) == set(CONTROL_PLANES), run.output
    assert all(started(name) != before for name, before in since.items())
    eventually(lambda: all(node_is_ready(name) for name in NODES), "all nodes are Ready")
    expect_service_across_nodes("w1", "w2")
    again = succeed(playbook("-e", "recover_apply=true", book=BOOK))
    assert not any(again.changed.values()), again.changes
