# SPDX-License-Identifier: GPL-3.0-or-later
"""Problems say subject, found, wanted and what to do; several are told together, each once, in one order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem, Refusal, describe

words = st.sampled_from(("a", "b", "c"))
problems = st.builds(Problem, words, words, words, words, words)


def test_problem_text_has_all_its_parts() -> None:
    problem = Problem("cp1", "clock", "3 s off", "under 1 s", "Start chrony.")
    assert str(problem) == "cp1: clock: found 3 s off, wanted under 1 s. Start chrony."


@given(st.lists(problems), st.integers())
def test_describe_tells_each_problem_once_in_an_order_of_its_own(found: list[Problem], seed: int) -> None:
    lines = describe(found).splitlines()
    assert sorted(lines) == sorted({str(problem) for problem in found})
    assert describe(random.Random(seed).sample(found, len(found))) == describe(found)


@given(st.lists(problems, min_size=1))
def test_describe_keeps_the_problems_of_one_host_together(found: list[Problem]) -> None:
    hosts = [line.split(":")[0] for line in describe(found).splitlines()]
    assert hosts == sorted(hosts)


def test_refusal_carries_every_problem_and_says_them() -> None:
    one, other = Problem("cp1", "a", "b", "c", "d."), Problem(CLUSTER, "e", "f", "g", "h.")
    refusal = Refusal(iter([one, other, one]))
    assert refusal.problems == sorted([one, other])
    assert str(refusal) == describe([one, other])
