# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to members, in whatever order: the module costs no cluster its quorum, and says only what is so.

ETCD_SEQUENCES says how many sequences are tried; each starts a real cluster of its own.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from conftest import LocalEtcd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, membership
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.modules.etcd_member import needed
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

SEQUENCES = int(os.environ.get("ETCD_SEQUENCES", "2"))
MOST_MEMBERS = 5


class Sequence(RuleBasedStateMachine):
    """Changes by the module, and accidents between them."""

    program: Path
    authority: certificates.Identity

    @initialize(size=st.sampled_from((1, 3)))
    def begin(self, size: int) -> None:
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        self.etcd = LocalEtcd(self.program, Path(self.folder.name), self.authority)
        self.etcd.begin(size)
        # By name of a process: whether etcd counts it a voter, as the answers of the module have it; None is gone.
        self.votes: dict[str, bool | None] = dict.fromkeys(self.etcd.processes, True)

    def teardown(self) -> None:
        if hasattr(self, "etcd"):
            self.etcd.end()
            self.folder.cleanup()

    def change(self, name: str, **options: object) -> bool:
        """Run the module's change; whether it succeeded, which a fresh look and a write must not contradict."""
        wrote = self.etcd.writes()
        process = self.etcd.processes[name]
        wanted = {"state": "present", "name": name, "id": "", "peer_urls": [process.peer_url], **options}
        try:
            self.etcd.cluster(patience=10).change(lambda members: needed(wanted, members), name)
        except (Refusal, RequestFailed):
            assert self.etcd.writes() == wrote
            return False
        assert wrote, "a change was made though nothing could be written"
        assert self.etcd.writes(), "the change cost the quorum"
        return True

    def listed(self, name: str) -> etcd.Member | None:
        process = self.etcd.processes[name]
        return membership.find(self.etcd.cluster().members(), name=name, peer_urls=[process.peer_url])

    @precondition(lambda self: sum(vote is not None for vote in self.votes.values()) < MOST_MEMBERS)
    @rule(starts=st.booleans())
    def add(self, starts: bool) -> None:
        process = self.etcd.new()
        if not self.change(process.name):
            del self.etcd.processes[process.name]
            return
        found = self.listed(process.name)
        assert found
        assert found.learner
        self.votes[process.name] = False
        if starts:
            others = [f"{one.name}={url}" for one in self.etcd.cluster().members() if one.name for url in one.peer_urls]
            process.start(",".join([*others, f"{process.name}={process.peer_url}"]))

    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.votes)))
        if self.votes[name] is not None and self.change(name, state="voting"):
            found = self.listed(name)
            assert found
            assert not found.learner
            self.votes[name] = True

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.votes)))
        if self.change(name, state="absent"):
            assert self.listed(name) is None
            self.votes[name] = None

    @rule(data=st.data(), wipes=st.sampled_from((False, False, True)))
    def strike(self, data: st.DataObject, wipes: bool) -> None:
        process = self.etcd.processes[data.draw(st.sampled_from(sorted(self.votes)))]
        if wipes:
            process.wipe()
        else:
            process.kill()

    @rule(data=st.data())
    def revive(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.votes)))
        process = self.etcd.processes[name]
        if not process.runs and self.votes[name] is not None:
            process.start(",".join(f"{one.name}={one.peer_url}" for one in self.etcd.processes.values()))


def test_no_sequence_costs_a_quorum(program: Path, authority: certificates.Identity) -> None:
    Sequence.program, Sequence.authority = program, authority
    run_state_machine_as_test(
        Sequence,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=12,
            deadline=None,
            derandomize="CI" in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
