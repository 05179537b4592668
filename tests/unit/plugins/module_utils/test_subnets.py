# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of pods and services: what can be, and what may not meet what hosts have."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import subnets
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem

PODS, SERVICES = subnets.parse("10.244.0.0/16"), subnets.parse("10.96.0.0/12")


def check(
    pods: str = "10.244.0.0/16",
    services: str = "10.96.0.0/12",
    *,
    nodes: int = 5,
    version: str = "1.33.1",
    endpoint: str = "192.0.2.10:6443",
    **configuration: Any,
) -> list[Problem]:
    return subnets.check(
        {
            subnets.PODS: pods,
            subnets.SERVICES: services,
            "cluster_kubernetes_version": version,
            "cluster_control_plane_endpoint": endpoint,
            "cluster_configuration": configuration,
        },
        nodes,
    )


def masks(**flags: object) -> dict[str, Any]:
    return {"controllerManager": {"extraArgs": {name.replace("_", "-"): value for name, value in flags.items()}}}


@pytest.mark.parametrize(
    ("pods", "services"),
    [
        ("10.244.0.0/16", "10.96.0.0/12"),
        ("fd00:1::/48", "fd00:2::/108"),
        ("10.244.0.0/16,fd00:1::/48", "10.96.0.0/12, fd00:2::/112"),
        ("fd00:1::/48,10.244.0.0/16", "fd00:2::/112,10.96.0.0/12"),
        ("10.244.0.0/16,fd00:1::/48", "10.96.0.0/12"),
    ],
)
def test_check_one_network_or_one_of_each_family_is_fine(pods: str, services: str) -> None:
    assert check(pods, services) == []


@pytest.mark.parametrize("pods", ["10.244.0.0/16,10.245.0.0/16", "10.244.0.0/16,fd00:1::/48,10.245.0.0/16"])
def test_check_two_networks_of_one_family_are_refused(pods: str) -> None:
    (problem,) = check(pods)
    assert (problem.subject, problem.wanted) == (subnets.PODS, "one network, or one of IPv4 and one of IPv6")


def test_check_dual_stack_wants_a_version_that_has_it() -> None:
    dual = ("10.244.0.0/16,fd00:1::/48", "10.96.0.0/12,fd00:2::/112")
    assert {problem.subject for problem in check(*dual, version="1.20.2")} == {subnets.PODS, subnets.SERVICES}
    assert check(*dual, version="1.20.2", featureGates={"IPv6DualStack": True}) == []
    assert check(*dual, version="1.21.0") == []


@pytest.mark.parametrize(
    ("pods", "services"),
    [
        ("10.244.0.0/16", "fd00:2::/112"),
        ("10.244.0.0/16", "10.96.0.0/12,fd00:2::/112"),
        ("10.244.0.0/16,fd00:1::/48", "fd00:2::/112,10.96.0.0/12"),
    ],
)
def test_check_services_of_a_family_that_pods_lack_are_refused(pods: str, services: str) -> None:
    (problem,) = check(pods, services)
    assert problem.subject == subnets.SERVICES
    assert "in this order" in problem.wanted


@pytest.mark.parametrize(("services", "wanted"), [("10.96.0.0/11", "/12 or longer"), ("fd00:2::/64", "/108 or longer")])
def test_check_service_subnet_that_the_api_server_refuses_is_refused(services: str, wanted: str) -> None:
    (problem,) = check("10.244.0.0/16" if "." in services else "fd00:1::/48", services)
    assert (problem.subject, problem.wanted.split(":")[0]) == (subnets.SERVICES, wanted)


def test_check_subnet_smaller_than_kubeadm_takes_is_refused() -> None:
    configuration = masks(node_cidr_mask_size=29)
    (problem,) = check("10.244.0.0/29", nodes=1, **configuration)
    assert problem.found == "10.244.0.0/29, 8 addresses"
    (problem,) = check(services="10.96.0.0/29")
    assert (problem.subject, problem.wanted) == (subnets.SERVICES, "at least 10")


def test_check_pod_subnet_too_small_for_the_nodes_is_refused_with_the_arithmetic() -> None:
    (problem,) = check("10.244.0.0/24", nodes=3)
    assert problem.found == "10.244.0.0/24, cut into one /24 for each node: 1 of them"
    assert problem.wanted.startswith("3,")
    assert "Choose /22 or shorter" in problem.action
    assert check("10.244.0.0/22", nodes=3) == []


def test_check_pod_subnet_smaller_than_a_nodes_part_is_refused() -> None:
    (problem,) = check("10.244.0.0/25", nodes=1)
    assert problem.wanted == "a pod subnet of /24 or shorter"


def test_check_pod_subnet_of_more_parts_than_the_controller_manager_counts_is_refused() -> None:
    (problem,) = check("fd00:1::/40", "fd00:2::/112")
    assert "/48 or longer" in problem.wanted


@pytest.mark.parametrize(
    "arguments",
    [
        {"node-cidr-mask-size": 26},
        {"node-cidr-mask-size-ipv4": "26"},
        {"allocate-node-cidrs": False},
        [{"name": "node-cidr-mask-size", "value": "26"}],
    ],
)
def test_check_minds_what_the_controller_manager_is_told(arguments: Any) -> None:
    assert check("10.244.0.0/24", nodes=4, controllerManager={"extraArgs": arguments}) == []
    assert check("10.244.0.0/24", nodes=4)


@pytest.mark.parametrize(
    "configuration", [None, "x", {"controllerManager": "x"}, {"controllerManager": {"extraArgs": 1}}]
)
def test_check_leaves_a_malformed_configuration_to_others(configuration: Any) -> None:
    assert subnets.allocates_node_networks({"cluster_configuration": configuration})


@pytest.mark.parametrize("mask", ["abc", "33", "-1"])
def test_check_mask_that_is_none_is_refused(mask: str) -> None:
    (problem,) = check(**masks(node_cidr_mask_size=mask))
    assert (problem.subject, problem.found) == ("node-cidr-mask-size-ipv4 in cluster_configuration", mask)


@given(st.integers(8, 28), st.integers(8, 32), st.integers(1, 5000))
def test_check_finds_room_exactly_where_there_is_some(prefix: int, mask: int, nodes: int) -> None:
    network = ipaddress.ip_network(("11.0.0.0", prefix))
    problems = check(str(network), nodes=nodes, **masks(node_cidr_mask_size=mask))
    fits = 0 <= mask - prefix <= 16 and len(range(0, network.num_addresses, 2 ** (32 - mask))) >= nodes
    assert (problems == []) is fits
    for problem in problems:
        choice = re.search(r"Choose /(\d+) or shorter", problem.action)
        if choice and mask - int(choice[1]) <= 16:
            assert 2 ** (mask - int(choice[1])) >= nodes > 2 ** (mask - int(choice[1]) - 1)


@pytest.mark.parametrize("endpoint", ["10.244.7.1:6443", "10.96.0.1:6443"])
def test_check_endpoint_inside_the_cluster_is_refused(endpoint: str) -> None:
    (problem,) = check(endpoint=endpoint)
    assert problem.subject == "cluster_control_plane_endpoint"


def test_check_endpoint_of_ipv6_inside_the_cluster_is_refused() -> None:
    (problem,) = check("fd00:1::/48", "fd00:2::/112", endpoint="[fd00:1::5]:6443")
    assert "fd00:1::/48 of cluster_pod_subnet" in problem.found


# On hosts.


def entry(network: str, device: str = "eth0", kind: str = "address", protocol: str = "") -> dict[str, str]:
    return {"network": network, "device": device, "kind": kind, "protocol": protocol}


def judge(*found: dict[str, str]) -> tuple[list[Problem], list[Problem]]:
    return subnets.check_host("cp1", found, PODS, SERVICES)


@pytest.mark.parametrize(
    "found",
    [
        entry("10.244.3.0/24"),
        entry("10.0.0.0/8"),
        entry("10.96.0.10/32"),
        entry("10.244.3.0/24", kind="route", protocol="static"),
        entry("10.244.0.0/16", kind="route"),
    ],
    ids=lambda found: f"{found['kind']} {found['network']}",
)
def test_check_host_network_that_meets_the_clusters_is_refused_by_name(found: dict[str, str]) -> None:
    refused, known = judge(found)
    assert (known, {problem.host for problem in refused}) == ([], {"cp1"})
    assert {problem.subject for problem in refused} == {f"{found['kind']} {found['network']} on eth0"}


def test_check_host_route_that_holds_more_than_the_subnet_is_only_said() -> None:
    refused, known = judge(entry("10.0.0.0/8", "vpn0", "route", "static"))
    assert refused == []
    assert {problem.found for problem in known} == {
        "it holds 10.244.0.0/16 of cluster_pod_subnet",
        "it holds 10.96.0.0/12 of cluster_service_subnet",
    }


@pytest.mark.parametrize(
    "found",
    [
        entry("10.244.1.0/24", "cni0"),
        entry("10.244.2.0/24", "eth0", "route", "98"),
        entry("10.244.2.0/26", "eth0", "route", "bird"),
        entry("10.244.0.0/32", "flannel.1"),
        entry("10.96.0.1/32", "kube-ipvs0"),
        entry("10.244.9.7/32", "cali1234", "route", "boot"),
    ],
    ids=lambda found: found["device"] + found["protocol"],
)
def test_check_host_leaves_what_the_clusters_own_network_laid_there(found: dict[str, str]) -> None:
    assert judge(found) == ([], [])


def test_check_host_does_not_take_another_clusters_bridge_for_its_own() -> None:
    refused, _known = judge(entry("10.240.0.0/12", "cni0"))
    assert len(refused) == 1


_NETWORKS = st.builds(
    lambda address, prefix: ipaddress.ip_network((address, prefix), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


@given(_NETWORKS, _NETWORKS, st.sampled_from(["address", "route"]))
def test_check_host_is_silent_exactly_where_no_address_is_shared(
    network: ipaddress.IPv4Network, pods: ipaddress.IPv4Network, kind: str
) -> None:
    refused, known = subnets.check_host("cp1", [entry(str(network), kind=kind)], (pods,), ())
    first, last = max(network[0], pods[0]), min(network[-1], pods[-1])
    assert bool(refused or known) is (first <= last)
    assert not (refused and known)
    if known:  # more specific routes, which are the pods' own, win over this one
        assert kind == "route"
        assert network.prefixlen < pods.prefixlen


@given(_NETWORKS)
def test_check_host_never_minds_a_network_of_the_other_family(network: ipaddress.IPv4Network) -> None:
    assert subnets.check_host("cp1", [entry(str(network))], subnets.parse("fd00:1::/48"), ()) == ([], [])


def test_check_family_of_an_api_server_is_that_of_its_services() -> None:
    for address in ("fd00::11", "cp1.example.com"):
        (problem,) = subnets.check_family("cp1", address, SERVICES)
        assert address in problem.found
        assert problem.wanted.startswith("one of IPv4")
    assert subnets.check_family("cp1", "192.0.2.11", SERVICES) == []


@pytest.mark.parametrize("text", ["10.244.0.0/16,fd00:1:0::/48", None])
def test_check_fixed_subnet_that_is_the_same_or_unknown_is_fine(text: str | None) -> None:
    dual = subnets.parse("10.244.0.0/16,fd00:1::/48")
    assert subnets.check_fixed({subnets.PODS: dual}, {subnets.PODS: text} if text else {}) == []


@pytest.mark.parametrize("text", ["10.244.0.0/16", "fd00:1::/48,10.244.0.0/16", "something"])
def test_check_fixed_subnets_of_other_number_or_order_are_refused(text: str) -> None:
    dual = subnets.parse("10.244.0.0/16,fd00:1::/48")
    assert subnets.check_fixed({subnets.PODS: dual}, {subnets.PODS: text})


def test_check_fixed_subnet_that_was_another_at_birth_is_refused() -> None:
    (problem,) = subnets.check_fixed({subnets.PODS: PODS, subnets.SERVICES: SERVICES}, {subnets.PODS: "10.200.0.0/16"})
    assert problem.found == "10.200.0.0/16, with which this cluster was begun"
    assert problem.action.endswith("set cluster_pod_subnet to 10.200.0.0/16.")
