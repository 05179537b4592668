# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a running cluster's members, while a join of another host stands still for a minute in the background."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator

import pytest
from faults import (
    CONTROL_PLANES,
    UNFIT,
    Cluster,
    credentials,
    cut,
    etcd,
    flat,
    install_faketime,
    is_well,
    shift_clock,
    voters,
    wait_until_whole,
)
from support import STATE, Run, answers, api, eventually, host, lab, node_is_ready, playbook, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

MEMBERS = ("lb1", *CONTROL_PLANES, "w1", "w2")
FROZEN_SECONDS = 60.0
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class FrozenJoin:
    """A worker that stops where it is while kubeadm works on it, and the run that had it join."""

    def __init__(self, cluster: Cluster) -> None:
        self.inventory = cluster.inventory(*MEMBERS, "w3")
        self._ended: list[Run] = []
        self._run = threading.Thread(target=self._join)
        self._run.start()
        try:
            eventually(lambda: host("w3").run("pgrep -x kubeadm").rc == 0, "kubeadm works on w3")
        finally:
            lab("freeze", "w3")
        self._since = time.monotonic()

    def _join(self) -> None:
        log = STATE / "logs" / "frozen.log"
        self._ended.append(playbook(inventory=self.inventory, log=log))

    def run(self) -> Run:
        """The run, once it has ended."""
        self._run.join()
        return self._ended[0]

    def thaw(self) -> None:
        """Let the host go on, a minute after it was stopped."""
        time.sleep(max(0.0, self._since + FROZEN_SECONDS - time.monotonic()))
        lab("thaw", "w3")


@pytest.fixture(scope="module")
def frozen(cluster: Cluster) -> Iterator[FrozenJoin]:
    frozen = FrozenJoin(cluster)
    yield frozen
    lab("thaw", "w3")


def test_run_ends_though_a_host_stands_still_while_it_joins(frozen: FrozenJoin) -> None:
    run = frozen.run()
    assert run.code != 0
    assert "w3: connection: found none any more while the host joined, wanted an answer." in flat(run), run.output
    assert credentials() == set()


def test_host_that_left_the_inventory_stays_what_it_is(cluster: Cluster) -> None:
    run = succeed(playbook(inventory=cluster.inventory("lb1", "cp3", "cp1", "w2")))
    assert {name for name, changed in run.changed.items() if changed} <= {"lb1"}  # which calls it by its node's name
    output = flat(run)
    assert "Know: cluster: nodes: found node10, node11 in the cluster and not in the inventory" in output, run.output
    assert "Know: cluster: load balancers: found node10 in the cluster as control planes" in output
    assert voters("cp1") == {"node1", "node10", "node100"}
    assert node_is_ready("node10")
    assert node_is_ready("node11")
    assert "10.210.0.22:6443" in host("lb1").file("/etc/haproxy/haproxy.cfg").content_string


def test_control_plane_cut_from_its_peers_is_named_and_the_cluster_goes_on(cluster: Cluster) -> None:
    """Its clock is off besides."""
    install_faketime("cp3")
    inventory = cluster.inventory(*MEMBERS, said={"cp3": shift_clock("cp3", 600)})
    with cut("cp3", "cp1", "cp2"):
        eventually(lambda: not is_well("cp3"), "cp3 knows that it is alone")
        planned = succeed(playbook(inventory=inventory, book="playbooks/plan.yml"))
        assert answers()
    assert "Know: cluster: etcd member node100: found not healthy (" in flat(planned), planned.output
    assert re.search(r"Know: cp3: clock: found (59|60)\d s ahead of the others", flat(planned)), planned.output
    assert "initialise" not in planned.output
    wait_until_whole()


def test_control_plane_cut_from_the_load_balancer_is_named_and_the_cluster_goes_on(cluster: Cluster) -> None:
    with cut("cp3", "lb1"):
        planned = succeed(playbook(inventory=cluster.inventory(*MEMBERS), book="playbooks/plan.yml"))
        eventually(answers, "the API answers without cp3")
    said = "Know: cluster: control plane endpoint 10.210.0.11:6443: found no answer within 5 s, seen from cp3"
    assert said in flat(planned), planned.output


def test_control_plane_cut_from_the_controller_can_be_left_out(cluster: Cluster) -> None:
    with cut("cp3", "controller"):
        run = succeed(playbook("--limit", "all:!cp3", inventory=cluster.inventory(*MEMBERS)))
    assert {name for name, changed in run.changed.items() if changed} <= {"lb1"}  # cp2 is in the inventory again
    assert voters("cp1") == {"node1", "node10", "node100"}


def test_alarm_for_want_of_room_is_named_and_nobody_joins(cluster: Cluster) -> None:
    (own,) = (entry["ID"] for entry in etcd("cp1", "cluster/member/list")["members"] if entry["name"] == "node1")
    alarm = {"memberID": own, "alarm": "NOSPACE"}
    etcd("cp1", "maintenance/alarm", {"action": "ACTIVATE", **alarm})
    try:
        planned = succeed(playbook(inventory=cluster.inventory(*MEMBERS), book="playbooks/plan.yml"))
        joining = playbook(inventory=cluster.inventory(*MEMBERS, UNFIT[0]))
    finally:
        etcd("cp1", "maintenance/alarm", {"action": "DEACTIVATE", **alarm})
    assert "Know: cluster: etcd alarm: found NOSPACE of member node1, wanted none." in flat(planned), planned.output
    assert "Refused: cluster: etcd alarm: found NOSPACE of member node1, wanted none." in flat(joining), joining.output
    assert joining.changes == set()
    wait_until_whole()


def test_two_of_three_members_gone_is_refused_with_the_arithmetic(cluster: Cluster) -> None:
    for name in ("cp2", "cp3"):
        host(name).check_output("pkill -STOP -x etcd")
    try:
        eventually(lambda: not answers(), "no API without etcd's quorum")
        run = playbook(inventory=cluster.inventory(*MEMBERS))
    finally:
        for name in ("cp2", "cp3"):
            host(name).run("pkill -CONT -x etcd")
    assert run.code != 0
    output = flat(run)
    assert "Refused: cluster: API servers: found none answers, though cp1, cp2, cp3, w1, w2 belonged to" in output, (
        run.output
    )
    assert "etcd runs on cp1, of 3 voters, and a quorum is 2" in output
    assert run.changes == set()
    wait_until_whole()


def test_full_disk_below_etcd_costs_one_member_and_is_named(cluster: Cluster) -> None:
    node = host("cp3")
    used = int(node.check_output("df --output=used --block-size=1K /var/lib/etcd | tail -1"))
    node.check_output(f"mount -o remount,size={used + 1}k /var/lib/etcd")
    try:
        for number in range(20):
            value = {"value": "x" * 100_000}
            with contextlib.suppress(RequestFailed):  # which comes from the API server that is struck
                api().create(CONFIG_MAPS, {"metadata": {"name": f"big-{number}"}, "data": value})
        eventually(lambda: not is_well("cp3"), "etcd on cp3 finds no room")
        planned = succeed(playbook(inventory=cluster.inventory(*MEMBERS), book="playbooks/plan.yml"))
        assert answers()
    finally:
        node.check_output("mount -o remount,size=2300m /var/lib/etcd")
    output = flat(planned)
    assert "Know: cp3: disk: found 0 MB free of " in output, planned.output
    assert "Know: cluster: etcd member node100: found not healthy (" in output


def test_host_that_stood_still_is_joined_by_the_next_run(frozen: FrozenJoin) -> None:
    frozen.thaw()
    run = succeed(playbook(inventory=frozen.inventory))
    assert {name for name, changed in run.changed.items() if changed} <= {"w3"}
    eventually(lambda: node_is_ready("w3"), "w3 is Ready")
    again = succeed(playbook(inventory=frozen.inventory))
    assert set(again.changed.values()) == {0}
    assert credentials() == set()
