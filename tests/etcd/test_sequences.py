# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to members, in whatever order: the module costs no cluster its quorum, and says only what is so.

ETCD_SEQUENCES says how many sequences are tried; each starts a real cluster of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from conftest import LocalEtcd, Program
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from kubelab.settings import SUITE

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, membership
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules.etcd_member import needed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

SEQUENCES = int(os.environ.get("ETCD_SEQUENCES", "2"))
MOST_MEMBERS = 5

# Which member a step is about: a number, so that what is drawn never depends on what real processes did.
numbers = st.integers(0, 2 * 3 * 4 * 5 - 1)


class Sequence(RuleBasedStateMachine):
    """Changes by the module, and accidents between them."""

    program: Path
    authority: certificates.Identity

    @initialize(size=st.sampled_from((1, 3)))
    def begin(self, size: int) -> None:
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.etcd = LocalEtcd(self.program, Path(self.folder.name), self.authority)
        self.etcd.begin(size)
        # By name of a process that is a member: whether it votes, as the module's success had it.
        self.votes = dict.fromkeys(self.etcd.processes, True)
        # Members whose data is gone: they can be started, and never count again.
        self.wiped: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "etcd"):
            self.etcd.end()
            self.folder.cleanup()

    def quorum_expected(self) -> bool:
        """Whether the voters that run, and have their data, are a quorum."""
        voters = [name for name, votes in self.votes.items() if votes]
        alive = [name for name in voters if self.etcd.processes[name].runs and name not in self.wiped]
        return len(alive) >= etcd.quorum(len(voters))

    def settle(self) -> None:
        """Elections take a moment; a cluster that has its quorum accepts a write then."""
        deadline = time.monotonic() + 30
        while not self.etcd.writes():
            assert time.monotonic() < deadline, "the voters that run are a quorum, and nothing can be written"
            time.sleep(0.1)

    def change(self, name: str, **options: object) -> bool:
        """Run the module's change; whether it succeeded, which a write and a fresh look must not contradict."""
        before = self.quorum_expected()
        if before:
            self.settle()
        process = self.etcd.processes[name]
        wanted = {"state": "present", "name": name, "id": "", "peer_urls": [process.peer_url], **options}
        try:
            self.etcd.cluster(patience=8).change(lambda members: needed(wanted, members), name)
            done = True
        except (Refusal, RequestFailed):
            done = False
        assert before or not done, "a change was made though there was no quorum"
        if before:
            self.settle()
        return done

    def listed(self, name: str) -> etcd.Member | None:
        process = self.etcd.processes[name]
        return membership.find(self.etcd.cluster().members(), name=name, peer_urls=[process.peer_url])

    def pick(self, number: int) -> str:
        return sorted(self.votes)[number % len(self.votes)]

    @rule(starts=st.sampled_from((True, True, False)))
    def add(self, starts: bool) -> None:
        if len(self.votes) == MOST_MEMBERS:
            return
        process = self.etcd.new()
        if not self.change(process.name):
            return
        found = self.listed(process.name)
        assert found
        assert found.learner
        self.votes[process.name] = False
        if starts:
            others = [f"{one.name}={url}" for one in self.etcd.cluster().members() if one.name for url in one.peer_urls]
            process.start(",".join([*others, f"{process.name}={process.peer_url}"]))

    @rule(number=numbers)
    def promote(self, number: int) -> None:
        learners = sorted(name for name, votes in self.votes.items() if not votes)
        name = learners[0] if learners else self.pick(number)
        if self.change(name, state="voting"):
            found = self.listed(name)
            assert found
            assert not found.learner
            self.votes[name] = True

    @rule(number=numbers)
    def remove(self, number: int) -> None:
        name = self.pick(number)
        if self.change(name, state="absent"):
            del self.votes[name]
            assert self.listed(name) is None

    @rule(number=numbers, wipes=st.sampled_from((False, False, False, True)))
    def strike(self, number: int, wipes: bool) -> None:
        name = self.pick(number)
        if wipes:
            self.etcd.processes[name].wipe()
            self.wiped.add(name)
        else:
            self.etcd.processes[name].kill()

    @rule()
    def revive(self) -> None:
        for name in self.votes:
            if not self.etcd.processes[name].runs:
                members = [self.etcd.processes[one] for one in self.votes]
                self.etcd.processes[name].start(",".join(f"{one.name}={one.peer_url}" for one in members))


def test_no_sequence_costs_a_quorum(program: Program, authority: certificates.Identity) -> None:
    Sequence.program, Sequence.authority = program(SUITE), authority
    run_state_machine_as_test(
        Sequence,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=12,
            deadline=None,
            derandomize="CI" in os.environ,
            suppress_health_check=list(HealthCheck),
            phases=[
                Phase.generate
            ],  # to try a sequence again takes a minute, and what real processes do is not repeatable
        ),
    )
