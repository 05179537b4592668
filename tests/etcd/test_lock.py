# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs at once: one change after the other, though one of them stops for longer than its lock lives."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import pytest
from conftest import LocalEtcd
from test_members import change

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, etcd_cluster, etcd_lock, membership
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_cluster import EtcdCluster
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal

# No run takes nearly as long; one that does is ended, so that nothing waits for it.
LONGEST_SECONDS = 90


def client(folder: str, urls: list[str]) -> EtcdCluster:
    """What a run begins with, which is a new process: a fork of one with threads may hang."""
    signal.alarm(LONGEST_SECONDS)
    etcd_lock.LIFETIME_SECONDS = 2
    etcd_cluster._REQUEST_SECONDS = 0.5
    context = etcd.client_context(f"{folder}/ca.crt", f"{folder}/member.crt", f"{folder}/member.key")
    return EtcdCluster(urls, context, timeout=1.5, patience=60.0)


def where(local_etcd: LocalEtcd) -> tuple[str, list[str]]:
    return str(local_etcd.folder), [process.client_url for process in local_etcd.processes.values()]


def stop_once(stop: signal.Signals) -> Callable[[], None]:
    """Send this process the signal, the first time."""
    todo = [stop]

    def act() -> None:
        if todo:
            os.kill(os.getpid(), todo.pop())

    return act


@pytest.fixture
def first_run() -> Iterator[list[BaseProcess]]:
    """Where to put a process that may be stopped, which nobody could wait for."""
    processes: list[BaseProcess] = []
    yield processes
    for process in processes:
        process.kill()


def remove_m1(folder: str, urls: list[str], stop: signal.Signals, moment: str, told: Connection) -> None:
    """A run that stops itself in the moment named, in which it holds the lock."""
    cluster = client(folder, urls)
    act = stop_once(stop)
    looks = iter(range(100))
    confirm = etcd_lock.Lock.confirm

    def decide(members: list[membership.Member]) -> membership.Change | None:
        if next(looks) == 1 and moment == "after its look":
            act()
        return next((membership.Remove(one) for one in members if one.name == "m1"), None)

    def confirmed(self: etcd_lock.Lock, seconds: float) -> None:
        if moment == "before it sends":
            act()
        confirm(self, seconds)

    etcd_lock.Lock.confirm = confirmed  # type: ignore[method-assign]
    try:
        told.send(str(cluster.change(decide, "m1")))
    except Exception as error:
        told.send(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize(
    ("stop", "moment"),
    [
        (signal.SIGSTOP, "after its look"),
        (signal.SIGSTOP, "before it sends"),
        (signal.SIGKILL, "before it sends"),
    ],
    ids=["frozen after its look", "frozen before it sends", "killed"],
)
def test_run_that_stops_for_long_costs_nobody_anything(
    local_etcd: LocalEtcd, first_run: list[BaseProcess], stop: signal.Signals, moment: str
) -> None:
    local_etcd.begin(3)
    local_etcd.wait_until(local_etcd.is_well)
    context = multiprocessing.get_context("spawn")
    hears, told = context.Pipe(duplex=False)
    first = context.Process(target=remove_m1, args=(*where(local_etcd), stop, moment, told), daemon=True)
    first_run.append(first)
    first.start()
    told.close()
    assert first.pid
    # Until it has stopped, or ended; in that case it is to be waited for once more.
    os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    with pytest.raises(Refusal, match=f"process {first.pid} holds it"):
        change(local_etcd.cluster(patience=0.5), name="m2", state="absent")
    assert change(local_etcd.cluster(), name="m2", state="absent") == ["remove m2"]
    if stop == signal.SIGSTOP:
        os.kill(first.pid, signal.SIGCONT)
        assert hears.poll(LONGEST_SECONDS)
        assert "found 2 voters, wanted 2 left once m1 is removed" in hears.recv()
    first.join()
    assert [one.name for one in local_etcd.cluster().members()] == ["m0", "m1"]
    assert local_etcd.writes()


def remove(folder: str, urls: list[str], name: str) -> None:
    try:
        change(client(folder, urls), name=name, state="absent")
    except Refusal:
        raise SystemExit(7) from None


def test_two_runs_at_once_make_one_change_after_the_other(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    local_etcd.wait_until(local_etcd.is_well)
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=remove, args=(*where(local_etcd), name), daemon=True) for name in ("m1", "m2")]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(str(run.exitcode) for run in runs) == ["0", "7"]
    assert len(local_etcd.cluster().members()) == 2
    assert local_etcd.writes()
