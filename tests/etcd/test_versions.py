# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of etcd that Debian's releases carry, each spoken to as it wants to be: prefixes, learners, reads.

3.2 and 3.6, which Debian has not, answer as recorded in tests/unit.
"""

from __future__ import annotations

import pytest
from conftest import Kind, LocalEtcd
from test_join import join, voters
from test_members import change

from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal


@pytest.mark.parametrize("local_etcd", [Kind("bullseye")], indirect=True, ids=["3.3"])
def test_etcd_without_learners_takes_voters_where_that_is_allowed(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(3)
    assert {member.version[:4] for member in local_etcd.cluster().members()} == {"3.3."}
    process = local_etcd.new()
    with pytest.raises(Refusal, match=r"version 3\.3\.\d+, wanted 3\.4 or later"):
        join(local_etcd, process)
    join(local_etcd, process, as_voter=True)
    assert voters(local_etcd) == ["m0", "m1", "m2", "m3"]
    assert change(local_etcd.cluster(), name="m0", state="absent") == ["remove m0"]
    assert voters(local_etcd) == ["m1", "m2", "m3"]


@pytest.mark.parametrize("local_etcd", [Kind("trixie")], indirect=True, ids=["3.5"])
def test_etcd_of_today_takes_a_learner_and_promotes_it(local_etcd: LocalEtcd) -> None:
    local_etcd.begin(1)
    assert {member.version[:4] for member in local_etcd.cluster().members()} == {"3.5."}
    process = local_etcd.new()
    join(local_etcd, process)
    assert voters(local_etcd) == ["m0", "m1"]
    with pytest.raises(Refusal, match="2 left once m0 is removed"):
        change(local_etcd.cluster(), name="m0", state="absent")
    assert change(local_etcd.cluster(), name="m0", state="absent", least_voters=1) == ["remove m0"]
    assert voters(local_etcd) == ["m1"]
