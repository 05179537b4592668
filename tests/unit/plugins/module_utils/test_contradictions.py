# SPDX-License-Identifier: GPL-3.0-or-later
"""A node whose kubelet uses another container runtime than the wanted one stops the run, and no other does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import contradictions, plan, versions

CONTAINERD, DOCKERSHIM = "/run/containerd/containerd.sock", "/var/run/dockershim.sock"
HOSTS = ("cp1", "cp2", "w1")
sockets = st.sampled_from([None, CONTAINERD, f"unix://{CONTAINERD}", DOCKERSHIM, "/run/dockershim.sock"])


def plain(socket: str) -> str:
    return socket.removeprefix("unix://").replace("/var/run/", "/run/")


@given(st.dictionaries(st.sampled_from(HOSTS), sockets), st.dictionaries(st.sampled_from(HOSTS), sockets.filter(bool)))
def test_other_runtimes_are_those_of_hosts_in_scope_alone(found: dict[str, str | None], asked: dict[str, str]) -> None:
    wanted = plan.Wanted(versions.Version(20, 2), "lb:6443", frozenset(HOSTS), cri_sockets=asked)
    seen = {host: plan.Observation(host, "192.0.2.1", cri_socket=socket) for host, socket in found.items()}
    refused = {problem.host for problem in contradictions.other_runtimes(wanted, seen)}
    assert refused == {
        host
        for host, socket in asked.items()
        if (there := found.get(host)) is not None and plain(there) != plain(socket)
    }


@pytest.mark.parametrize("socket", [CONTAINERD, DOCKERSHIM])
def test_plan_refuses_to_move_a_node_to_another_runtime(socket: str) -> None:
    wanted = plan.Wanted(
        versions.Version(20, 2),
        "lb:6443",
        frozenset({"cp1"}),
        scope=frozenset({"cp1"}),
        cri_sockets={"cp1": CONTAINERD},
    )
    made = plan.make(wanted, {"cp1": plan.Observation("cp1", "192.0.2.1", cri_socket=socket)})
    told = [problem for problem in made.refusals if problem.subject == "container runtime"]
    assert [problem.found for problem in told] == ([f"the kubelet at {socket}"] if socket != CONTAINERD else [])
