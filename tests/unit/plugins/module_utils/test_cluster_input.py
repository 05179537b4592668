# SPDX-License-Identifier: GPL-3.0-or-later
"""What users write is checked before any host is touched, all of it at once."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import cluster_input, pod_network
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem

VARIABLES = {
    "cluster_kubernetes_version": "1.20.2",
    "cluster_control_plane_endpoint": "192.0.2.10:6443",
    "cluster_pod_subnet": "10.244.0.0/16",
    "cluster_service_subnet": "10.96.0.0/12",
}
GROUPS = {
    "control_plane": frozenset(("cp1", "cp2", "cp3")),
    "workers": frozenset(("w1",)),
    "load_balancers": frozenset[str](),
    "etcd": frozenset[str](),
}


def check(groups: dict[str, frozenset[str]] | None = None, **variables: Any) -> list[Problem]:
    return cluster_input.check({**VARIABLES, **variables}, {**GROUPS, **(groups or {})})


def test_check_sound_input_has_no_problem() -> None:
    assert check() == []


@pytest.mark.parametrize("version", ["1.20.0", "v1.33.4", "1.36.9"])
def test_check_supported_version_is_fine(version: str) -> None:
    assert check(cluster_kubernetes_version=version) == []


@pytest.mark.parametrize("version", ["1.19.16", "1.37.0", "1.20", 1.2, None, "latest", ""])
def test_check_other_version_is_refused_with_what_was_found(version: object) -> None:
    (problem,) = check(cluster_kubernetes_version=version)
    assert (problem.subject, problem.found) == ("cluster_kubernetes_version", repr(version))
    assert problem.wanted == "1.x.y, from 1.20 to 1.36"


@pytest.mark.parametrize("endpoint", ["lb.example.com:6443", "[2001:db8::1]:6443", "10.0.0.1:1", "k8s:65535"])
def test_check_endpoint_with_host_and_port_is_fine(endpoint: str) -> None:
    assert check(cluster_control_plane_endpoint=endpoint) == []


@pytest.mark.parametrize(
    "endpoint",
    [None, "", "lb.example.com", "lb:", ":6443", "2001:db8::1:6443", "lb:0", "lb:65536", "lb:https", "https://lb:6443",
     "lb:6443/", "[]:6443", "[k8s]:6443", "[192.0.2.1]x:6443", "192.0.2.300:6443", "1.2:6443", "api_server:6443",
     "K8S.example.com:6443", "k8s .example.com:6443", "k8s..example.com:6443", "-k8s:6443"],
)  # fmt: skip
def test_check_endpoint_of_another_form_is_refused(endpoint: object) -> None:
    (problem,) = check(cluster_control_plane_endpoint=endpoint)
    assert (problem.subject, problem.found) == ("cluster_control_plane_endpoint", repr(endpoint))
    assert "load balancer" in problem.action


@pytest.mark.parametrize("subnet", ["10.244.0.0/33", "10.244.0.1/16", "pods", "", "10.244.0.0/16,", None])
def test_check_malformed_network_is_refused_by_name(subnet: object) -> None:
    (problem,) = check(cluster_pod_subnet=subnet)
    assert problem.subject == "cluster_pod_subnet"
    assert "10.244.0.0/16" in problem.wanted


@pytest.mark.parametrize(
    ("pods", "services"),
    [
        ("10.96.0.0/16", "10.96.0.0/12"),
        ("10.0.0.0/8", "10.96.0.0/12"),
        ("10.244.0.0/16,fd00::/48", "10.96.0.0/12,fd00::/112"),
    ],
)
def test_check_overlapping_networks_are_refused_with_both(pods: str, services: str) -> None:
    (problem,) = check(
        cluster_kubernetes_version="1.23.0",
        cluster_network="none",
        cluster_pod_subnet=pods,
        cluster_service_subnet=services,
    )
    assert "overlaps" in problem.found
    assert "cluster_service_subnet" in problem.found


@pytest.mark.parametrize("name", cluster_input.CHOICES)
def test_check_word_without_a_meaning_is_refused_with_the_choices(name: str) -> None:
    (problem,) = check(**{name: "nonsense"})
    assert (problem.subject, problem.found) == (name, "'nonsense'")
    assert all(choice in problem.wanted for choice in cluster_input.CHOICES[name])


def test_check_word_nearly_right_is_refused_with_the_right_one() -> None:
    (problem,) = check(cluster_cgroup_driver="sytemd")
    assert problem.action == "Did you mean systemd?"


@pytest.mark.parametrize("name", cluster_input.CHOICES)
def test_check_every_choice_is_fine(name: str) -> None:
    for choice in (None, *cluster_input.CHOICES[name]):
        more = {"cluster_network_manifests": ["x.yml"]} if choice in pod_network.FROM_MANIFESTS else {}
        etcd = {"etcd": frozenset(("etcd1",))} if choice == "external" else {}
        assert check(etcd, **{name: choice}, **more) == []


@pytest.mark.parametrize("configuration", [None, {}, {"etcd": None}, {"etcd": {"local": {"dataDir": "/srv/etcd"}}}])
def test_check_stacked_etcd_without_an_external_one_is_fine(configuration: dict[str, Any] | None) -> None:
    assert check(cluster_etcd_topology="stacked", cluster_configuration=configuration) == []


def test_check_no_control_plane_is_refused() -> None:
    (problem,) = check({"control_plane": frozenset()})
    assert (problem.subject, problem.found, problem.wanted) == ("group control_plane", "no host", "at least one")


def test_check_host_in_both_groups_is_refused_by_name() -> None:
    (problem,) = check({"workers": frozenset(("w1", "cp2"))})
    assert (problem.host, problem.found) == ("cp2", "control_plane and workers")


@pytest.mark.parametrize(
    ("host", "variables"),
    [
        ("cp1", {"cluster_control_plane_endpoint": "192.0.2.10:8443"}),
        ("cp1", {"cluster_load_balancer_port": 8443}),
        ("w1", {}),
        ("lb1", {"cluster_control_plane_endpoint": "192.0.2.10:2379"}),
    ],
)
def test_check_load_balancer_at_a_port_that_its_host_has_free_is_fine(host: str, variables: dict[str, Any]) -> None:
    assert check({"load_balancers": frozenset((host,))}, **variables) == []


@pytest.mark.parametrize(
    ("host", "variables"),
    [
        ("cp1", {}),
        ("cp2", {"cluster_control_plane_endpoint": "[2001:db8::1]:2379"}),
        ("cp3", {"cluster_control_plane_endpoint": "lb:8443", "cluster_load_balancer_port": "10257"}),
        ("w1", {"cluster_control_plane_endpoint": "lb:10250"}),
    ],
)
def test_check_load_balancer_at_a_port_of_its_node_is_refused_by_name(host: str, variables: dict[str, Any]) -> None:
    (problem,) = check({"load_balancers": frozenset((host, "lb1"))}, **variables)
    assert (problem.host, problem.subject) == (host, "load balancer's port")
    assert "cluster_load_balancer_port" in problem.action


def test_check_load_balancer_at_a_port_of_its_etcd_host_is_refused_by_name() -> None:
    (problem,) = check(
        {"load_balancers": frozenset(("etcd1", "lb1")), "etcd": frozenset(("etcd1", "etcd2"))},
        cluster_etcd_topology="external",
        cluster_control_plane_endpoint="lb:2379",
    )
    assert (problem.host, problem.subject) == ("etcd1", "load balancer's port")


def test_check_tells_all_problems_at_once() -> None:
    problems = check(
        {"control_plane": frozenset()},
        cluster_kubernetes_version="1",
        cluster_control_plane_endpoint="lb",
        cluster_pod_subnet="x",
        cluster_service_subnet="y",
    )
    assert len({problem.subject for problem in problems}) == 5


def test_unknown_variable_is_refused_with_the_nearest_known_name() -> None:
    problems = cluster_input.unknown({"cluster_pod_subnets": {"cp1", "w1"}, "cluster_pod_subnet": {"cp1"}})
    assert [(problem.host, problem.subject) for problem in problems] == [("cluster", "variable cluster_pod_subnets")]
    assert "cluster_pod_subnet?" in problems[0].action


def test_unknown_variable_of_one_host_names_that_host() -> None:
    (problem,) = cluster_input.unknown({"cluster_node_adress": {"cp2"}})
    assert (problem.host, problem.action) == ("cp2", "Did you mean cluster_node_address?")


def test_unknown_leaves_what_a_run_itself_makes() -> None:
    assert cluster_input.unknown({"cluster_plan_made": {"cp1"}, "cluster_join_failure": {"w1"}, "other": {"w1"}}) == []


def test_check_hosts_that_say_nothing_or_nothing_alike_have_no_problem() -> None:
    assert cluster_input.check_hosts({"cp1": {}, "w1": {"cluster_node_name": "w1"}, "w2": {}}) == []
    doors = {name: {"ansible_host": "192.0.2.1", "ansible_port": port} for name, port in (("a", 2201), ("b", 2202))}
    assert cluster_input.check_hosts(doors) == []
    local = {"ansible_connection": "local", "ansible_host": "localhost"}
    assert cluster_input.check_hosts({"a": local, "b": local}) == []


@given(
    st.dictionaries(
        st.sampled_from(("cp1", "cp2", "w1", "W1", "w2")),
        st.fixed_dictionaries(
            {},
            optional={
                "cluster_node_name": st.sampled_from(("w1", "W1", "node", "w2")),
                "cluster_node_address": st.sampled_from(("192.0.2.1", "2001:db8::1", "2001:db8:0::1", "192.0.2.2")),
                "ansible_host": st.sampled_from(("w1", "192.0.2.1", "192.0.2.2")),
            },
        ),
    )
)
def test_check_hosts_names_each_of_those_that_are_alike(hosts: dict[str, dict[str, str]]) -> None:
    meant = {
        "cluster_node_name": lambda host: hosts[host].get("cluster_node_name", f"its own, {host}").lower(),
        "cluster_node_address": lambda host: ipaddress.ip_address(
            hosts[host].get("cluster_node_address", f"203.0.113.{sorted(hosts).index(host)}")
        ),
        "connection": lambda host: hosts[host].get("ansible_host", host).lower(),
    }
    expected = {
        (host, subject)
        for subject, value in meant.items()
        for host in hosts
        for other in hosts
        if host != other and (value(host) == value(other))
    }
    # Those without a name of their own are called what their hosts are called, and are compared when these are seen.
    unnamed = {(host, "cluster_node_name") for host in hosts if "cluster_node_name" not in hosts[host]}
    found = {
        (problem.host, problem.subject)
        for problem in cluster_input.check_hosts(hosts)
        if problem.wanted == "one of its own"
    }
    assert found == expected - unnamed


@pytest.mark.parametrize("address", ["192.0.2.11/24", "192.0.2.11:6443", "cp1", "[2001:db8::1]", ""])
def test_check_hosts_refuses_an_address_that_is_none(address: str) -> None:
    (problem,) = cluster_input.check_hosts({"cp1": {"cluster_node_address": address}})
    assert (problem.host, problem.subject, problem.found) == ("cp1", "cluster_node_address", repr(address))


@pytest.mark.parametrize("name", ["Node", "node_1", "-node", "node.", "a" * 254, ""])
def test_check_hosts_refuses_a_name_that_no_node_can_have(name: str) -> None:
    (problem,) = cluster_input.check_hosts({"cp1": {"cluster_node_name": name}})
    assert (problem.host, problem.subject, problem.found) == ("cp1", "cluster_node_name", repr(name))


def test_check_shapes_names_the_host_where_it_is_one_and_the_cluster_where_there_are_more() -> None:
    values = {
        "cluster_configuration": {"cp1": {}, "cp2": {}},
        "cluster_kubeadm_skip_phases": {"cp1": [], "w1": "addon"},
        "cluster_join_configuration": {"w1": [], "w2": []},
    }
    found = {(problem.host, problem.subject, problem.wanted) for problem in cluster_input.check_shapes(values)}
    assert found == {
        ("w1", "cluster_kubeadm_skip_phases", "a list"),
        ("cluster", "cluster_join_configuration", "a mapping"),
    }


def test_check_runtimes_names_each_host_that_has_a_problem() -> None:
    hosts = {"cp1": {"cluster_container_runtime": "docker"}, "w1": {"cluster_container_runtime": None}}
    assert cluster_input.check_runtimes(hosts, "1.20.2") == []
    (problem,) = cluster_input.check_runtimes(hosts, "1.24.0")
    assert (problem.host, problem.subject) == ("cp1", "cluster_container_runtime")


def test_check_runtimes_leaves_a_wrong_version_to_its_own_check() -> None:
    assert cluster_input.check_runtimes({"cp1": {"cluster_container_runtime": "docker"}}, "latest") == []


def test_cri_sockets_are_those_of_the_runtimes() -> None:
    hosts = {
        "cp1": {"cluster_container_runtime": "docker"},
        "w1": {"cluster_container_runtime": None},
        "w2": {"cluster_cri_socket": "unix:///x.sock"},
    }
    assert cluster_input.cri_sockets(hosts, "1.20.2") == {
        "cp1": "/var/run/dockershim.sock",
        "w1": "/run/containerd/containerd.sock",
        "w2": "/x.sock",
    }
