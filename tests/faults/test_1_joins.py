# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins that meet with a fault: it is told in true words, nothing is left of it, and the next run joins."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from faults import (
    FIRST,
    NODE_NAMES,
    SECRETS,
    UNFIT,
    Cluster,
    authority,
    credentials,
    flat,
    hooked,
    install_faketime,
    module,
    shift_clock,
    voters,
)
from kubelab.settings import HOSTS
from support import KUBECONFIG, STATE, api, host, listing, node_is_ready, playbook, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeconfig
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

KUBECTL = f"{STATE}/kubectl --kubeconfig {KUBECONFIG} --namespace kube-system"
ENDPOINT = f"{HOSTS['lb1'].address}:6443"
JOIN = "Join in the planned role"


def test_hosts_that_are_not_fit_are_all_named_before_anything_changes(cluster: Cluster) -> None:
    taken, full, _stale, ahead, behind = UNFIT
    squatter = "python3 -m http.server --bind 127.0.0.1 6443"
    host(taken).check_output(f"systemd-run --quiet --collect --unit=squatter {squatter}")
    host(full).check_output("mount -t tmpfs -o size=64m full /var/lib/etcd")
    install_faketime(ahead, behind)
    said = {ahead: shift_clock(ahead, 600), behind: shift_clock(behind, -86400)}
    names = (taken, full, ahead, behind)
    before = {name: listing(name) for name in names}
    inventory = cluster.inventory(*FIRST, *names, said=said, control_plane=[taken, full])
    run = playbook(inventory=inventory)
    assert run.code != 0
    output = flat(run)
    assert "Nothing was changed." in output
    for text in (
        f"Refused: {taken}: port 6443: found in use by python3, process ",
        f"Refused: {full}: disk: found 67 MB free of 67 MB for /var/lib/etcd, wanted 2000 MB.",
    ):
        assert text in output, run.output
    # Hosts are not all looked at in the same second.
    assert re.search(rf"Refused: {ahead}: clock: found (59|60)\d s ahead of the others, wanted at most", output)
    assert re.search(rf"Refused: {behind}: clock: found 86[34]\d\d s behind the others, wanted at most", output)
    assert run.changes == set()
    assert {name: listing(name) for name in names} == before


def test_node_of_another_cluster_is_not_taken_for_a_broken_join(cluster: Cluster) -> None:
    """A broken join is undone by kubeadm reset, which would end a node of somebody else's."""
    stale = UNFIT[2]
    ca = certificates.authority("kubernetes")
    config = kubeconfig.Kubeconfig("https://192.0.2.1:6443", ca.pem)
    text = kubeconfig.render(cluster="other", user="system:node:w6", config=config)
    host(stale).check_output("mkdir -p /etc/kubernetes && printf %%s %s > /etc/kubernetes/kubelet.conf", text)
    run = playbook(inventory=cluster.inventory(*FIRST, stale))
    assert run.code != 0
    assert f"{stale}: /etc/kubernetes/kubelet.conf: found the CA sha256:" in flat(run), run.output
    assert "of another cluster" in flat(run)
    assert run.changes == set()
    assert host(stale).file("/etc/kubernetes/kubelet.conf").content_string == text


def test_token_that_is_gone_when_a_host_joins_is_told_and_nothing_is_left(cluster: Cluster) -> None:
    gone = f"{KUBECTL} get secrets -o name | grep bootstrap-token- | xargs {KUBECTL} delete"
    run = hooked(JOIN, gone, argv=("--limit", "cp3"), inventory=cluster.inventory(*FIRST, "cp3"))
    assert run.code != 0
    assert "node100: bootstrap token " in flat(run), run.output
    assert ": found it refused by the API server, wanted one that lets in. It was deleted, or ended," in flat(run)
    assert not host("cp3").file("/etc/kubernetes").exists
    assert credentials() == set()


def test_credentials_that_let_nobody_in_are_refused_at_once(cluster: Cluster) -> None:
    inventory = cluster.inventory(*FIRST, "cp3")

    def refusal(made: dict[str, str], **changes: str) -> str:
        given = {name: made[name] for name in ("token", "ca_hash", "certificate_key")}
        options = {"endpoint": ENDPOINT, "version": "1.20.2", "node_name": "node100", "control_plane": True}
        fine, result = module("kubeadm_join", "cp3", inventory, **options, **{**given, **changes})
        assert not fine
        return str(result["msg"])

    _fine, first = module("join_credentials", "cp1", inventory, control_plane=True)
    wrong = f"sha256:{'0' * 64}"
    assert f"discovery hash: found a cluster of CA {first['ca_hash']} at {ENDPOINT}, wanted {wrong}" in refusal(
        first, ca_hash=wrong
    )
    _fine, second = module("join_credentials", "cp1", inventory, control_plane=True)
    said = refusal(first)
    assert f"uploaded certificates: found those of the run that made token {second['token_id']}, wanted those " in said
    assert "Two runs are under way. Let the other one end, and run again." in said
    # As the cluster takes them away: first the token that gives them their life.
    for owner in api().get(f"{SECRETS}/kubeadm-certs")["metadata"]["ownerReferences"]:
        api().delete(f"{SECRETS}/{owner['name']}")
    api().delete(f"{SECRETS}/kubeadm-certs")
    assert "uploaded certificates: found none in the cluster, wanted those of this run." in refusal(second)
    for made in (first, second):
        module("join_credentials", "cp1", inventory, state="absent", token_id=made["token_id"])
    assert credentials() == set()
    assert not host("cp3").file("/etc/kubernetes").exists


def test_two_runs_at_once_over_a_reversed_inventory_leave_one_whole_cluster(cluster: Cluster) -> None:
    """The new control plane comes first of all, and the new worker's host has an upper case name."""
    before = authority("cp1")
    hosts = ("w2", "w1", "cp3", "cp2", "cp1", "lb1")
    inventories = [cluster.inventory(*hosts) for _run in range(2)]
    with ThreadPoolExecutor(2) as pool:
        runs = list(
            pool.map(
                lambda number: playbook(inventory=inventories[number], log=STATE / "logs" / f"at-once-{number}.log"),
                range(2),
            )
        )
    assert 0 in {run.code for run in runs}, "\n".join(run.output[-3000:] for run in runs)
    for run in runs:
        assert run.code == 0 or "Two runs are under way. Let the other one end, and run again." in flat(run), run.output
    assert {authority(name) for name in ("cp1", "cp2", "cp3", "w1", "w2")} == {before}
    assert voters("cp1") == {"node1", "node10", "node100"}
    assert node_is_ready("node-of-w2")
    assert credentials() == set()
    again = succeed(playbook(inventory=cluster.inventory(*hosts)))
    assert set(again.changed.values()) == {0}
    nodes = {node["metadata"]["name"] for node in api().get("/api/v1/nodes")["items"]}
    assert nodes == {*NODE_NAMES.values(), "node-of-w2"}
