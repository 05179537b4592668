# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runtime goes with which Kubernetes, by which socket, and what users say of mirrors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import container_runtimes, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.container_runtimes import (
    CONTAINERD,
    CRIO,
    DOCKER,
    RUNTIMES,
    Mirror,
    RuntimeVersion,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.certificates import authority

OLD, NEW = versions.Version(20, 2), versions.Version(34, 0)
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

kubernetes = st.builds(versions.Version, st.integers(versions.OLDEST_MINOR, versions.NEWEST_MINOR), st.integers(0, 20))


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", (1, 6)),
        ("containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+b4\n", (1, 7)),
        ("containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da", (1, 7)),
        ("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7193e4e490e9fbdc236c0e811ccaba3376", (2, 1)),
        ("Docker version 20.10.24+dfsg1, build 297e128", (20, 10)),
        ("crio version 1.28.1\nVersion:        1.28.1\nGitCommit:      unknown", (1, 28)),
    ],
)
def test_parse_version_of_what_runtimes_print(output: str, version: tuple[int, int]) -> None:
    assert container_runtimes.parse_version(output) == version


@pytest.mark.parametrize("output", ["", "containerd", "containerd development"])
def test_parse_version_of_anything_else_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="wanted a version"):
        container_runtimes.parse_version(output)


@pytest.mark.parametrize(
    ("runtime", "version", "socket"),
    [
        (CONTAINERD, OLD, "/run/containerd/containerd.sock"),
        (CONTAINERD, NEW, "unix:///run/containerd/containerd.sock"),
        (CRIO, OLD, "/var/run/crio/crio.sock"),
        (CRIO, NEW, "unix:///var/run/crio/crio.sock"),
        (DOCKER, OLD, "/var/run/dockershim.sock"),
        (DOCKER, versions.Version(23, 17), "/var/run/dockershim.sock"),
    ],
)
def test_cri_socket_is_the_runtimes_own_in_the_form_of_the_version(
    runtime: str, version: versions.Version, socket: str
) -> None:
    assert container_runtimes.cri_socket(runtime, version) == socket


@given(st.sampled_from(RUNTIMES), kubernetes, st.sampled_from(["", "unix://"]))
def test_cri_socket_that_is_given_wins_in_the_form_of_the_version(
    runtime: str, version: versions.Version, scheme: str
) -> None:
    given_socket = container_runtimes.cri_socket(runtime, version, f"{scheme}/run/cri-dockerd.sock")
    assert given_socket == ("unix://" if version.minor >= 24 else "") + "/run/cri-dockerd.sock"


def test_cri_socket_of_docker_ends_with_dockershim() -> None:
    with pytest.raises(ValueError, match="no dockershim"):
        container_runtimes.cri_socket(DOCKER, versions.Version(24, 0))


def test_cri_socket_of_another_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="not a container runtime"):
        container_runtimes.cri_socket("rkt", OLD)


def test_same_socket_knows_the_link_and_the_scheme() -> None:
    assert container_runtimes.same_socket("/run/crio/crio.sock", "unix:///var/run/crio/crio.sock")
    assert not container_runtimes.same_socket("/run/crio/crio.sock", "/run/containerd/containerd.sock")


# As kubeadm 1.20, 1.24 and 1.34 write them.
REMOTE_FLAGS = (
    'KUBELET_KUBEADM_ARGS="--container-runtime=remote --container-runtime-endpoint=/run/containerd/containerd.sock"\n'
)
DOCKER_FLAGS = 'KUBELET_KUBEADM_ARGS="--network-plugin=cni --pod-infra-container-image=k8s.gcr.io/pause:3.2"\n'
LATER_FLAGS = 'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///var/run/crio/crio.sock"\n'
INSTANCE = 'apiVersion: kubelet.config.k8s.io/v1beta1\ncontainerRuntimeEndpoint: "unix:///var/run/crio/crio.sock"\n'


@pytest.mark.parametrize(
    ("flags", "instance", "version", "socket"),
    [
        (None, None, OLD, None),
        (None, None, NEW, None),
        (REMOTE_FLAGS, None, OLD, "/run/containerd/containerd.sock"),
        (DOCKER_FLAGS, None, OLD, "/var/run/dockershim.sock"),
        (LATER_FLAGS, None, versions.Version(24, 0), "unix:///var/run/crio/crio.sock"),
        ('KUBELET_KUBEADM_ARGS=""\n', INSTANCE, NEW, "unix:///var/run/crio/crio.sock"),
        ('KUBELET_KUBEADM_ARGS=""\n', None, NEW, None),
    ],
)
def test_socket_of_kubelet_is_what_kubeadm_wrote(
    flags: str | None, instance: str | None, version: versions.Version, socket: str | None
) -> None:
    assert container_runtimes.socket_of_kubelet(flags, instance, version) == socket


@pytest.mark.parametrize(
    ("version", "minor", "wanted"),
    [
        ((2, 0), 22, "containerd 1,"),
        ((2, 0), 23, None),
        ((1, 5), 25, None),
        ((1, 5), 26, "containerd 1.6 or later"),
        ((1, 7), 20, None),
        ((1, 7), 36, None),
    ],
)
def test_incompatible_containerd_speaks_no_cri_that_the_kubelet_does(
    version: tuple[int, int], minor: int, wanted: str | None
) -> None:
    kube = versions.Version(minor, 1)
    problems = container_runtimes.incompatible("w1", CONTAINERD, RuntimeVersion(*version), kube)
    assert [problem.wanted.startswith(wanted) for problem in problems if wanted] == ([True] if wanted else [])
    assert bool(problems) == bool(wanted)


def test_parse_mirrors_takes_addresses_and_mappings_in_their_order() -> None:
    ca = authority("mirror").pem
    mirrors = container_runtimes.parse_mirrors(
        {
            "docker.io": ["https://a.example.com", {"endpoint": "http://[2001:db8::1]:5000/x/y/", "skip_verify": True}],
            "registry.example.com:5000": [{"endpoint": "https://b.example.com", "ca": ca}],
        }
    )
    assert mirrors == {
        "docker.io": (
            Mirror("https", "a.example.com"),
            Mirror("http", "[2001:db8::1]:5000", prefix="x/y", skip_verify=True),
        ),
        "registry.example.com:5000": (Mirror("https", "b.example.com", ca=ca),),
    }


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["https://a.example.com"], "['https://a.example.com']"),
        ({"https://docker.io": ["https://a.example.com"]}, "'https://docker.io'"),
        ({"../../etc": ["https://a.example.com"]}, "'../../etc'"),
        ({"docker.io": "https://a.example.com"}, "'https://a.example.com'"),
        ({"docker.io": []}, "[]"),
        ({"docker.io": ["a.example.com"]}, "'a.example.com'"),
        ({"docker.io": ["ftp://a.example.com"]}, "'ftp://a.example.com'"),
        ({"docker.io": ["https://user:word@a.example.com"]}, "'https://user:word@a.example.com'"),
        ({"docker.io": ["https://a.example.com?x"]}, "'https://a.example.com?x'"),
        ({"docker.io": [7]}, "7"),
        ({"docker.io": ["https://a.example.com", "http://a.example.com/"]}, "an endpoint twice"),
        ({"docker.io": [{"endpoint": "https://a", "skip_verfy": True}]}, "skip_verfy"),
        ({"docker.io": [{"endpoint": "https://a", "skip_verify": "yes"}]}, "skip_verify 'yes'"),
        ({"docker.io": [{"endpoint": "https://a", "ca": "/etc/ca.pem"}]}, "a ca that is no PEM of certificates alone"),
    ],
)
def test_parse_mirrors_refuses_anything_else(value: Any, found: str) -> None:
    with pytest.raises(Refusal) as refused:
        container_runtimes.parse_mirrors(value)
    assert [problem.found for problem in refused.value.problems] == [found]


def test_parse_mirrors_tells_all_problems_and_the_nearest_name() -> None:
    with pytest.raises(Refusal) as refused:
        container_runtimes.parse_mirrors({"a b": ["x"], "docker.io": [{"endpoint": "https://a", "skipverify": True}]})
    assert len(refused.value.problems) == 3
    assert "Did you mean skip_verify?" in str(refused.value)


def test_parse_mirrors_never_shows_a_key_that_was_given_for_a_certificate() -> None:
    key = PEM + "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n"
    with pytest.raises(Refusal) as refused:
        container_runtimes.parse_mirrors({"docker.io": [{"endpoint": "https://a", "ca": key}]})
    assert "c2VjcmV0" not in str(refused.value)


def problems(version: versions.Version = OLD, **settings: Any) -> list[str]:
    return [str(problem) for problem in container_runtimes.check("w1", settings, version)]


@pytest.mark.parametrize("runtime", [None, *RUNTIMES])
def test_check_runtime_that_the_version_knows_is_fine(runtime: str | None) -> None:
    assert problems(cluster_container_runtime=runtime, cluster_cri_socket=None, cluster_registry_mirrors=None) == []


@given(kubernetes)
def test_check_docker_is_refused_by_name_exactly_where_dockershim_is_gone(version: versions.Version) -> None:
    found = problems(version, cluster_container_runtime="docker")
    assert bool(found) == (version.minor >= 24)
    assert all("w1: cluster_container_runtime: found docker" in problem and "1.24" in problem for problem in found)


def test_check_misspelt_runtime_is_answered_with_the_nearest() -> None:
    (problem,) = problems(cluster_container_runtime="cri-o")
    assert "Did you mean crio?" in problem


@pytest.mark.parametrize("socket", ["tcp://127.0.0.1:2375", "run/x.sock", "unix://run/x.sock", "/run/x y"])
def test_check_socket_that_is_no_path_is_refused(socket: str) -> None:
    (problem,) = problems(cluster_cri_socket=socket)
    assert "w1: cluster_cri_socket" in problem


def test_check_mirrors_that_docker_cannot_use_are_refused_for_its_hosts_alone() -> None:
    mirrors = {"docker.io": ["https://a.example.com/x"], "quay.io": ["https://a.example.com"]}
    assert problems(cluster_container_runtime="containerd", cluster_registry_mirrors=mirrors) == []
    assert len(problems(cluster_container_runtime="docker", cluster_registry_mirrors=mirrors)) == 2
    hub = {"docker.io": ["https://a.example.com"]}
    assert problems(cluster_container_runtime="docker", cluster_registry_mirrors=hub) == []
