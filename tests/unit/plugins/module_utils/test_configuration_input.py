# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations agree with the cluster's other variables, or are refused by the variable's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import cluster_input, configuration_input
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import CLUSTER, Problem
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.configurations import anything

VARIABLES = {
    "cluster_kubernetes_version": "1.20.2",
    "cluster_cgroup_driver": "systemd",
    "cluster_dns_domain": "cluster.local",
    "cluster_pod_subnet": "10.244.0.0/16",
    "cluster_service_subnet": "10.96.0.0/12",
}
CLUSTER_CONFIGURATION, INIT, JOIN, KUBELET, KUBE_PROXY = configuration_input.KINDS


def check(name: str, body: Any, **variables: Any) -> list[Problem]:
    return configuration_input.check(name, body, {**VARIABLES, **variables})


@pytest.mark.parametrize("name", configuration_input.KINDS)
def test_check_nothing_said_is_fine(name: str) -> None:
    assert check(name, {}) == []


@pytest.mark.parametrize("version", ["", None, "latest"])
def test_check_without_a_version_knows_every_field(version: str | None) -> None:
    """The version itself is refused elsewhere."""
    body = {"useHyperKubeImage": True, "proxy": {}, "nonsense": 1}
    (problem,) = check(CLUSTER_CONFIGURATION, body, cluster_kubernetes_version=version)
    assert problem.subject == "cluster_configuration.nonsense"


@pytest.mark.parametrize(
    ("name", "body", "path", "variable"),
    [
        (CLUSTER_CONFIGURATION, {"kubernetesVersion": "v1.20.2"}, "kubernetesVersion", "cluster_kubernetes_version"),
        (CLUSTER_CONFIGURATION, {"clusterName": "a"}, "clusterName", "cluster_name"),
        (
            CLUSTER_CONFIGURATION,
            {"controlPlaneEndpoint": "a:1"},
            "controlPlaneEndpoint",
            "cluster_control_plane_endpoint",
        ),
        (CLUSTER_CONFIGURATION, {"imageRepository": "a"}, "imageRepository", "cluster_image_repository"),
        (CLUSTER_CONFIGURATION, {"networking": {"podSubnet": "a"}}, "networking.podSubnet", "cluster_pod_subnet"),
        (
            CLUSTER_CONFIGURATION,
            {"networking": {"serviceSubnet": "a"}},
            "networking.serviceSubnet",
            "cluster_service_subnet",
        ),
        (CLUSTER_CONFIGURATION, {"networking": {"dnsDomain": "a"}}, "networking.dnsDomain", "cluster_dns_domain"),
        (INIT, {"nodeRegistration": {"name": "a"}}, "nodeRegistration.name", "cluster_node_name"),
        (
            INIT,
            {"localAPIEndpoint": {"advertiseAddress": "192.0.2.1"}},
            "localAPIEndpoint.advertiseAddress",
            "cluster_node_address",
        ),
        (INIT, {"skipPhases": ["addon"]}, "skipPhases", "cluster_kubeadm_skip_phases"),
        (INIT, {"bootstrapTokens": []}, "bootstrapTokens", "made for each run"),
        (INIT, {"certificateKey": "0" * 64}, "certificateKey", "made for each run"),
        (JOIN, {"nodeRegistration": {"name": "a"}}, "nodeRegistration.name", "cluster_node_name"),
        (JOIN, {"discovery": {}}, "discovery", "made for each run"),
        (JOIN, {"controlPlane": {}}, "controlPlane", "made for each run"),
    ],
)
def test_check_field_that_is_said_elsewhere_is_refused_with_the_place(
    name: str, body: Any, path: str, variable: str
) -> None:
    (problem,) = check(name, body)
    assert problem.subject == f"{name}.{path}"
    assert variable in problem.action


@pytest.mark.parametrize("name", [INIT, JOIN])
def test_check_dry_run_is_refused_for_ansibles_own(name: str) -> None:
    (problem,) = check(name, {"dryRun": True}, cluster_kubernetes_version="1.31.0")
    assert problem.action == "Run with --check instead."


@pytest.mark.parametrize(
    ("name", "path", "fixed", "other"),
    [
        (CLUSTER_CONFIGURATION, ("certificatesDir",), "/etc/kubernetes/pki", "/srv/pki"),
        (INIT, ("localAPIEndpoint", "bindPort"), 6443, 443),
        (JOIN, ("caCertPath",), "/etc/kubernetes/pki/ca.crt", "/srv/ca.crt"),
        (KUBELET, ("staticPodPath",), "/etc/kubernetes/manifests", "/srv/manifests"),
    ],
)
def test_check_value_that_the_collection_relies_on_cannot_be_another(
    name: str, path: tuple[str, ...], fixed: Any, other: Any
) -> None:
    for value, count in ((fixed, 0), (other, 1)):
        body: Any = value
        for key in reversed(path):
            body = {key: body}
        assert len(check(name, body)) == count


@pytest.mark.parametrize(
    ("name", "body", "variable"),
    [
        (KUBELET, {"cgroupDriver": "cgroupfs"}, "cluster_cgroup_driver"),
        (KUBELET, {"clusterDomain": "example.com"}, "cluster_dns_domain"),
        (KUBELET, {"clusterDNS": ["10.96.0.53"]}, "10.96.0.10"),
        (KUBE_PROXY, {"clusterCIDR": "10.0.0.0/16"}, "cluster_pod_subnet"),
        (INIT, {"nodeRegistration": {"kubeletExtraArgs": {"cgroup-driver": "cgroupfs"}}}, "cluster_cgroup_driver"),
        (JOIN, {"nodeRegistration": {"kubeletExtraArgs": {"cluster-domain": "a"}}}, "cluster_dns_domain"),
        (
            JOIN,
            {"nodeRegistration": {"kubeletExtraArgs": [{"name": "hostname-override", "value": "a"}]}},
            "a variable of its own",
        ),
    ],
)
def test_check_contradiction_is_refused_with_the_variable(name: str, body: Any, variable: str) -> None:
    (problem,) = check(name, body)
    assert variable in problem.wanted


@pytest.mark.parametrize(
    ("name", "body", "variables"),
    [
        (KUBELET, {"cgroupDriver": "cgroupfs"}, {"cluster_cgroup_driver": "cgroupfs"}),
        (KUBELET, {"clusterDNS": ["10.96.0.10", "169.254.20.10", "192.0.2.53"]}, {}),
        (KUBELET, {"clusterDNS": ["10.96.0.53"]}, {"cluster_kubeadm_skip_phases": ["addon/coredns"]}),
        (KUBELET, {"clusterDNS": ["fd00::a"]}, {"cluster_service_subnet": "10.96.0.0/12,fd00::/112"}),
        (KUBELET, {"clusterDNS": ["10.96.0.53"]}, {"cluster_service_subnet": "malformed"}),
        (KUBE_PROXY, {"clusterCIDR": "10.244.0.0/16"}, {}),
        (KUBE_PROXY, {"mode": "ipvs"}, {"cluster_kubernetes_version": "1.36.0"}),
        (JOIN, {"nodeRegistration": {"kubeletExtraArgs": {"cgroup-driver": "systemd"}}}, {}),
        (CLUSTER_CONFIGURATION, {"etcd": {"local": {"dataDir": "/srv/etcd"}}}, {}),
    ],
)
def test_check_what_agrees_is_fine(name: str, body: Any, variables: dict[str, Any]) -> None:
    assert check(name, body, **variables) == []


@pytest.mark.parametrize("name", ["", " ", "two words", "a\nb", "quote'd", 7])
def test_names_cluster_name_that_no_kubeconfig_should_hold_is_refused(name: object) -> None:
    (problem,) = configuration_input.names({"cluster_name": name})
    assert problem.subject == "cluster_name"


@pytest.mark.parametrize("domain", ["", "Cluster.local", "a..b", "-a", "a_b", 7])
def test_names_dns_domain_that_is_no_name_is_refused(domain: object) -> None:
    (problem,) = configuration_input.names({"cluster_dns_domain": domain})
    assert problem.subject == "cluster_dns_domain"


def test_names_ordinary_ones_are_fine() -> None:
    for name in ("kubernetes", "prod@eu-west", "arn:aws:eks/x", "東京"):
        assert configuration_input.names({"cluster_name": name, "cluster_dns_domain": "k8s.example.com"}) == []
    assert configuration_input.names({}) == []


@pytest.mark.parametrize(
    ("version", "mode", "count"),
    [("1.35.0", "ipvs", 1), ("1.36.1", "iptables", 0), ("1.34.0", "ipvs", 0), ("", "ipvs", 0)],
)
def test_warnings_tell_of_a_mode_that_will_go(version: str, mode: str, count: int) -> None:
    variables = {"cluster_kubernetes_version": version, KUBE_PROXY: {"mode": mode}}
    assert len(configuration_input.warnings(variables)) == count


# Of each host.

BAD = {"nodeRegistration": {"taint": []}}


def test_check_all_what_all_share_is_told_once() -> None:
    problems = configuration_input.check_all({**VARIABLES, JOIN: BAD}, {"cp1": {JOIN: BAD}, "w1": {JOIN: BAD}})
    assert [(problem.host, problem.subject) for problem in problems] == [
        (CLUSTER, "cluster_join_configuration.nodeRegistration.taint")
    ]


def test_check_all_what_one_host_has_of_its_own_is_told_of_that_host() -> None:
    problems = configuration_input.check_all({**VARIABLES, JOIN: {}}, {"cp1": {JOIN: {}}, "w1": {JOIN: BAD}})
    assert [problem.host for problem in problems] == ["w1"]


@pytest.mark.parametrize(
    ("name", "field"), [(INIT, "nodeRegistration"), (INIT, "localAPIEndpoint"), (JOIN, "nodeRegistration")]
)
def test_check_emptiness_that_would_take_away_what_the_run_says_is_refused(name: str, field: str) -> None:
    """Laid over the node's name, nothing is nothing."""
    (problem,) = check(name, {field: None})
    assert (problem.subject, problem.found) == (f"{name}.{field}", "nothing")


@pytest.mark.parametrize("name", configuration_input.KINDS)
def test_check_all_variable_without_a_value_is_refused(name: str) -> None:
    """No role could lay it over anything."""
    (problem,) = configuration_input.check_all({**VARIABLES, name: None}, {"cp1": {name: None}})
    assert (problem.host, problem.subject, problem.found) == ("cp1", name, "nothing")


def test_check_all_what_a_group_has_is_told_once() -> None:
    problems = configuration_input.check_all(VARIABLES, {f"w{index}": {JOIN: BAD} for index in range(100)})
    assert [problem.host for problem in problems] == [CLUSTER]


@given(st.dictionaries(st.sampled_from([*configuration_input.KINDS, *VARIABLES]), anything), anything)
def test_check_all_of_anything_only_finds_problems(variables: dict[str, Any], of_host: Any) -> None:
    own = dict.fromkeys(configuration_input.KINDS, of_host)
    for problem in configuration_input.check_all(variables, {"cp1": own}):
        assert problem.subject.startswith("cluster_")


def test_cluster_input_judges_configurations_with_everything_else() -> None:
    variables = {
        **VARIABLES,
        "cluster_control_plane_endpoint": "lb",
        "cluster_configuration": {"apiserver": {}},
        "cluster_name": "",
    }
    groups = {"control_plane": frozenset(("cp1",)), "workers": frozenset[str]()}
    problems = cluster_input.check(variables, groups, {"cp1": {JOIN: BAD}})
    assert {problem.subject for problem in problems} == {
        "cluster_control_plane_endpoint",
        "cluster_configuration.apiserver",
        "cluster_join_configuration.nodeRegistration.taint",
        "cluster_name",
    }
