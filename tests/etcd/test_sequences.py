# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to members, in whatever order: the module costs no cluster its quorum, and says only what is so.

ETCD_SEQUENCES says how many sequences are tried, ETCD_SEED from where they are drawn. Most of them run on an etcd whose
own check of changes (strict-reconfig-check) is off, so that the module's rules stand alone, and without etcd's 5 s of
patience after each start.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import LocalEtcd, Program
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from kubelab.settings import SUITE

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_cluster
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules.etcd_member import needed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

SEQUENCES = int(os.environ.get("ETCD_SEQUENCES", "3"))
SEED = int(os.environ.get("ETCD_SEED", "0"))
STEPS = 14
MOST_MEMBERS = 5

# Which member a step is about: a number, so that what is drawn never depends on what real processes did.
numbers = st.integers(0, 2 * 3 * 4 * 5 - 1)


def outvote(alive: int, voters: int) -> bool:
    return 2 * alive > voters


class Model:
    """What is known of a cluster without asking it.

    Attributes:
        votes: by the name of each member, whether it votes.
        wiped: members whose data is gone: they can be started, and never count again.
    """

    def __init__(self, names: list[str], runs: Callable[[str], bool]) -> None:
        self.votes = dict.fromkeys(names, True)
        self.wiped: set[str] = set()
        self._runs = runs

    def __str__(self) -> str:
        kinds = {name: "voter" if votes else "learner" for name, votes in self.votes.items()}
        return ", ".join(f"{name} {kind}{'' if self.alive(name) else ' (dead)'}" for name, kind in kinds.items())

    def alive(self, name: str) -> bool:
        return self._runs(name) and name not in self.wiped

    @property
    def voters(self) -> list[str]:
        return [name for name, votes in self.votes.items() if votes]

    def has_quorum(self) -> bool:
        return outvote(sum(map(self.alive, self.voters)), len(self.voters))

    def accepts(self, state: str, name: str) -> bool | None:
        """Whether the module has to bring this about, or to refuse it.

        None where nobody knows: a wiped member that runs may be in step again, or never be.
        """
        if any(self._runs(name) for name in self.wiped.intersection(self.votes)):
            return None
        others = [one for one in self.voters if one != name]
        alive, learns = sum(map(self.alive, others)), self.votes.get(name) is False
        if not self.has_quorum():
            return False
        if state == "present":
            return all(map(self.alive, self.voters)) and len(self.voters) == len(self.votes)
        if state == "voting":
            return not learns or (self.alive(name) and outvote(alive + 1, len(others) + 1))
        return learns or (len(others) >= 2 and outvote(alive, len(others)))


class Sequence(RuleBasedStateMachine):
    """Changes by the module, and accidents between them.

    Attributes:
        kept: the cluster of the sequence before, and what it was started as, if it is again what it was.
        told: how many changes came to what.
    """

    program: ClassVar[Path]
    authority: ClassVar[certificates.Identity]
    say: ClassVar[Callable[[str], object]]
    kept: ClassVar[tuple[tuple[int, bool], LocalEtcd] | None] = None
    told: ClassVar[Counter[str]] = Counter()
    began: ClassVar[float] = 0.0

    @initialize(size=st.sampled_from((1, 3, 3, 3, 5)), strict=st.sampled_from((False,) * 9 + (True,)))
    def begin(self, size: int, strict: bool) -> None:
        if Sequence.kept and Sequence.kept[0] == (size, strict):
            self.etcd = Sequence.kept[1]
        else:
            Sequence.end()
            folder = tempfile.mkdtemp(dir="/dev/shm")
            self.etcd = LocalEtcd(self.program, Path(folder), self.authority, strict=strict, heartbeat=30)
            self.etcd.begin(size)
        self.start = (size, strict)
        self.model = Model(list(self.etcd.processes), lambda name: self.etcd.processes[name].is_wanted)
        self.struck = True
        self.trace: list[str] = []

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        Sequence.kept = (self.start, self.etcd)
        self.told["sequences"] += 1
        if self.told["sequences"] % max(1, SEQUENCES // 20) == 0 and SEQUENCES > 20:
            self.say(f"{time.monotonic() - self.began:.0f} s: {dict(self.told)}")
        if isinstance(sys.exc_info()[1], Exception):  # which what Hypothesis ends a sequence with is not
            self.say("\n".join([f"{self.start}, logs in {self.etcd.folder}", *self.trace, str(self.model)]))
            Sequence.end(keep_logs=True)
            return
        sizes = {len(self.model.voters), len(self.model.votes), self.start[0]}
        if len(sizes) > 1 or self.model.wiped:
            Sequence.end()
        else:
            self.revive()
            self.settle()
            self.compare()
            self.etcd.processes = {name: self.etcd.processes[name] for name in self.model.votes}

    @classmethod
    def end(cls, *, keep_logs: bool = False) -> None:
        if cls.kept:
            cls.kept[1].end(keep_logs=keep_logs)
        cls.kept = None

    def settle(self) -> None:
        """Elections and starts take a moment; then a cluster that has its quorum accepts a write and is well."""
        self.etcd.wait_until(self.etcd.writes, "accept a write")
        if self.struck:
            alive = list(filter(self.model.alive, self.model.votes))

            def are_well() -> bool:
                for name in alive:
                    self.etcd.processes[name].keep()
                return self.etcd.is_well(alive)

            self.etcd.wait_until(are_well, f"have {alive} well")
            self.struck = False

    def compare(self) -> None:
        """What the module told is what a fresh look shows."""
        urls = {self.etcd.processes[name].peer_url: name for name in self.model.votes}
        found = {urls.get(one.peer_urls[0], one.peer_urls[0]): not one.learner for one in self.etcd.cluster().members()}
        assert found == self.model.votes

    def change(self, state: str, name: str) -> bool:
        """Run the module's change; whether it succeeded, which the model, a write and a fresh look must bear out."""
        quorum, accepts = self.model.has_quorum(), self.model.accepts(state, name)
        if quorum:
            self.settle()
        done = self.run(state, name, patience=60.0 if accepts else 1.0 if accepts is None else 0.2)
        self.told["made" if done else "refused"] += 1
        self.trace.append(f"{state} {name}: {'made' if done else 'refused'}, expected {accepts}")
        assert accepts is None or done == accepts, f"{state} {name}: {'made' if done else 'refused'}"
        if quorum:
            self.etcd.wait_until(self.etcd.writes)
        return done

    def run(self, state: str, name: str, patience: float) -> bool:
        wanted = {"state": state, "name": name, "id": "", "peer_urls": [self.etcd.processes[name].peer_url]}
        cluster = self.etcd.cluster(patience=patience, timeout=1.0)
        try:
            cluster.change(lambda members: needed(wanted, members), name)
        except (Refusal, RequestFailed):
            return False
        return True

    def pick(self, number: int) -> str:
        return sorted(self.model.votes)[number % len(self.model.votes)]

    def forget(self, name: str) -> None:
        del self.model.votes[name]
        self.etcd.processes[name].kill()

    @rule(starts=st.sampled_from((True, True, True, False)))
    def add(self, starts: bool) -> None:
        if len(self.model.votes) == MOST_MEMBERS:
            return
        process = self.etcd.new()
        if not self.change("present", process.name):
            return
        self.model.votes[process.name] = False
        self.compare()
        if starts:
            self.revive(process.name)

    @rule(number=numbers)
    def promote(self, number: int) -> None:
        learners = sorted(name for name, votes in self.model.votes.items() if not votes)
        name = learners[0] if learners else self.pick(number)
        if self.change("voting", name):
            self.model.votes[name] = True
            self.compare()

    @rule(number=numbers)
    def remove(self, number: int) -> None:
        name = self.pick(number)
        if self.change("absent", name):
            self.forget(name)
            self.compare()

    @rule(number=numbers, other=numbers)
    def remove_two_at_once(self, number: int, other: int) -> None:
        names = sorted({self.pick(number), self.pick(other)})
        if not self.model.has_quorum():
            return
        self.settle()
        self.trace.append(f"remove {names} at once, from {self.model}")
        runs = [threading.Thread(target=self.run, args=("absent", name, 1.0)) for name in names]
        for one in runs:
            one.start()
        for one in runs:
            one.join()
        self.etcd.wait_until(self.etcd.writes)
        urls = {url for one in self.etcd.cluster().members() for url in one.peer_urls}
        for name in names:
            if self.etcd.processes[name].peer_url not in urls:
                self.forget(name)
        self.told["at once"] += 1
        self.compare()

    @rule(number=numbers, wipes=st.sampled_from((False, False, False, False, True)))
    def strike(self, number: int, wipes: bool) -> None:
        name = self.pick(number)
        self.struck = True
        self.trace.append(f"{'wipe' if wipes else 'kill'} {name}")
        if wipes:
            self.etcd.processes[name].wipe()
            self.model.wiped.add(name)
        else:
            self.etcd.processes[name].kill()

    @rule()
    def revive(self, *names: str) -> None:
        members = [self.etcd.processes[one] for one in self.model.votes]
        for name in names or self.model.votes:
            if not self.etcd.processes[name].is_wanted:
                self.trace.append(f"start {name}")
                self.etcd.processes[name].start(",".join(f"{one.name}={one.peer_url}" for one in members))
                self.struck = True


def test_no_sequence_costs_a_quorum(
    program: Program,
    authority: certificates.Identity,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="", flush=True)

    monkeypatch.setattr(etcd_cluster, "_PAUSE_SECONDS", 0.05)
    Sequence.program, Sequence.authority, Sequence.say = program(SUITE), authority, staticmethod(say)
    Sequence.began = time.monotonic()
    try:
        run_state_machine_as_test(
            seed(SEED)(Sequence),
            settings=settings(
                max_examples=SEQUENCES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
                # To try a sequence again takes long, and what real processes do is not repeatable.
                phases=[Phase.generate],
            ),
        )
    finally:
        Sequence.end()
    say(f"{time.monotonic() - Sequence.began:.0f} s, seed {SEED}: {dict(Sequence.told)}")
