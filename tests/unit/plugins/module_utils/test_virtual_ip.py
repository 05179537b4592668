# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual address goes where hosts can carry it, and nowhere where somebody has it or speaks of it already."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import plan, versions, virtual_ip
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import describe
from ansible_collections.kubeadm.ha.plugins.module_utils.situation import Observation, VirtualIp
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import SimulatedCluster

ADDRESS = "192.0.2.10"
GROUPS = {"control_plane": {"cp1"}, "workers": set(), "load_balancers": {"lb1", "lb2"}}
POOL = ("lb1", "lb2", "lb3")
MACS = {host: f"02:00:00:00:00:0{number}" for number, host in enumerate(POOL, 1)}
ADDRESSES = {host: f"192.0.2.{number}" for number, host in enumerate(POOL, 11)}


def said(**changes: Any) -> dict[str, Any]:
    return {
        "cluster_virtual_ip": ADDRESS,
        "cluster_virtual_ip_provider": "keepalived",
        "cluster_control_plane_endpoint": f"{ADDRESS}:6443",
        "cluster_virtual_router_id": "",
        "cluster_load_balancer_monitor_port": "",
        **changes,
    }


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("192.0.2.10", ("192.0.2.10", 32)),
        ("192.0.2.10/24", ("192.0.2.10", 24)),
        ("2001:0DB8::10", ("2001:db8::10", 128)),
        ("2001:db8::10/64", ("2001:db8::10", 64)),
    ],
)
def test_address_has_its_own_prefix_or_none_but_itself(value: str, meaning: tuple[str, int]) -> None:
    assert virtual_ip.parse(value) == meaning


@pytest.mark.parametrize(
    "value", ["", "lb", "192.0.2", "192.0.2.10/33", "127.0.0.1", "224.0.0.18", "fe80::1", "::", None]
)
def test_address_that_no_host_can_have_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        virtual_ip.parse(value)


@given(st.ip_addresses())
def test_router_id_by_default_is_one_that_vrrp_has(address: Any) -> None:
    assert 1 <= virtual_ip.default_router_id(str(address)) <= 255


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cluster_virtual_ip": f"{ADDRESS}/24", "cluster_virtual_router_id": 255},
        {"cluster_control_plane_endpoint": "k8s.example.com:6443", "cluster_virtual_router_id": "7"},
        {"cluster_virtual_ip": "2001:db8::10", "cluster_control_plane_endpoint": "[2001:db8:0::10]:6443"},
        {"cluster_virtual_ip": "", "cluster_control_plane_endpoint": "192.0.2.99:6443"},
    ],
)
def test_check_what_fits_is_fine(changes: dict[str, Any]) -> None:
    assert virtual_ip.check(said(**changes), GROUPS) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cluster_virtual_ip": "192.0.2.256"}, "cluster_virtual_ip: found '192.0.2.256', wanted an address"),
        (
            {"cluster_control_plane_endpoint": "192.0.2.11:6443"},
            f"cluster_control_plane_endpoint: found 192.0.2.11, which is not cluster_virtual_ip ({ADDRESS})",
        ),
        ({"cluster_virtual_router_id": 256}, "cluster_virtual_router_id: found 256, wanted a number from 1 to 255"),
        ({"cluster_virtual_router_id": "a"}, "cluster_virtual_router_id: found 'a'"),
        ({"cluster_virtual_router_id": 0}, "cluster_virtual_router_id: found 0"),
        ({"cluster_load_balancer_monitor_port": "http"}, "cluster_load_balancer_monitor_port: found 'http'"),
        (
            {"cluster_virtual_ip": "", "cluster_virtual_router_id": 10},
            "cluster_virtual_router_id: found 10, and no cluster_virtual_ip, wanted both or neither",
        ),
    ],
)
def test_check_refuses(changes: dict[str, Any], text: str) -> None:
    assert text in describe(virtual_ip.check(said(**changes), GROUPS))


@pytest.mark.parametrize(("minor", "name"), [(20, "admin"), (28, "admin"), (29, "super-admin"), (36, "super-admin")])
def test_first_pod_has_the_kubeconfig_that_may_do_something_already(minor: int, name: str) -> None:
    one = wanted("lb1", version=versions.parse(f"1.{minor}.0"))
    assert virtual_ip.describe(one)["first_kubeconfig"] == f"/etc/kubernetes/{name}.conf"


def test_check_what_goes_with_kube_vip() -> None:
    pods = said(cluster_virtual_ip_provider="kube-vip")
    assert virtual_ip.check(pods, {**GROUPS, "load_balancers": set()}) == []
    told = describe(virtual_ip.check({**pods, "cluster_control_plane_endpoint": f"{ADDRESS}:8443"}, GROUPS))
    assert "cluster_control_plane_endpoint: found port 8443, wanted 6443: with kube-vip" in told
    assert "group load_balancers: found lb1, lb2, wanted no host" in told


def test_check_somebody_has_to_carry_it() -> None:
    alone = {**GROUPS, "load_balancers": set()}
    assert "no host in the group load_balancers" in describe(virtual_ip.check(said(), alone))
    assert virtual_ip.check(said(cluster_virtual_ip_provider="kube-vip"), alone) == []


@pytest.mark.parametrize("password", ["", None, "s3cret", "12345678", 12345678])
def test_password_that_vrrp_carries_whole_is_fine(password: Any) -> None:
    assert virtual_ip.check_passwords({password}) == []


@given(st.text(min_size=5))
def test_password_that_is_refused_is_not_told(password: str) -> None:
    told = describe(virtual_ip.check_passwords({password}))
    assert password not in told
    assert bool(told) or len(password) <= 8


@pytest.mark.parametrize("password", ["123456789", "a b", 'a"b', "a#b", "a!b", "a{b", "ä", "$abc", "a\nb", "'", "\\"])
def test_password_that_keepalived_would_read_otherwise_is_refused(password: str) -> None:
    assert virtual_ip.check_passwords({password})


def test_passwords_that_differ_are_refused() -> None:
    assert "another one than others" in describe(virtual_ip.check_passwords({"a", "b"}))
    assert "another one than others" in describe(virtual_ip.check_passwords({"a", None}))


@pytest.mark.parametrize("name", virtual_ip.PLACES)
def test_address_of_a_host_is_refused(name: str) -> None:
    told = describe(virtual_ip.check_places("2001:db8::10", {"w1": {name: "2001:db8:0::10"}, "w2": {name: "w2"}}))
    assert f"w1: cluster_virtual_ip 2001:db8::10: found that of w1, by its {name}" in told
    assert "w2" not in told


# What hosts showed.


def shown(host: str, **changes: Any) -> dict[str, Any]:
    return {
        "interface": "eth0",
        "address": ADDRESSES[host],
        "network": "192.0.2.0/24",
        "mac": MACS[host],
        "networks": [{"device": "eth0", "network": "192.0.2.0/24"}],
        "wanted": "",
        "carries": False,
        "configured": False,
        "foreign": False,
        "answered_by": [],
        "heard": [],
        "peers": {},
        **changes,
    }


def look(host: str, **changes: Any) -> Observation:
    return Observation(host, ADDRESSES[host], virtual_ip=shown(host, **changes))


def wanted(*hosts: str, **changes: Any) -> plan.Wanted:
    made = SimulatedCluster(1, 0).wanted()
    values: dict[str, Any] = {
        "load_balancers": frozenset(hosts),
        "scope": frozenset(hosts),
        "addresses": {},
        "virtual_ip": VirtualIp(ADDRESS, 32, 10),
        "endpoint": f"{ADDRESS}:6443",
        **changes,
    }
    return dataclasses.replace(made, **values)


def place(*looks: Observation, **changes: Any) -> virtual_ip.Placement:
    hosts = [one.node_name for one in looks]
    return virtual_ip.place(wanted(*hosts, **changes), {one.node_name: one for one in looks})


@given(st.permutations(POOL), st.sets(st.sampled_from(POOL)), st.sampled_from((None, *POOL)))
def test_whoever_is_set_up_already_and_in_whatever_order_all_of_them_may_carry_it(
    order: list[str], configured: set[str], carrier: str | None
) -> None:
    """A host that is to be added hears the one that has the address answer for it."""
    if carrier not in configured:
        carrier = None
    answers = [MACS[carrier]] if carrier else []
    looks = [
        look(
            host,
            configured=host in configured,
            carries=host == carrier,
            answered_by=[] if host in configured else answers,
        )
        for host in order
    ]
    placed = place(*looks)
    assert placed.refusals == []
    assert placed.carriers == {host: {"interface": "eth0", "address": ADDRESSES[host]} for host in POOL}


@given(st.sets(st.sampled_from(POOL), min_size=1), st.sampled_from((None, *POOL)))
def test_stranger_that_answers_is_refused_whoever_hears_it(hearing: set[str], carrier: str | None) -> None:
    stranger = "02:00:00:00:00:99"
    looks = [
        look(
            host,
            configured=host == carrier,
            carries=host == carrier,
            answered_by=[stranger] if host in hearing else [],
        )
        for host in POOL
    ]
    told = describe(place(*looks).refusals)
    assert f"a machine that answers for it, with the MAC address {stranger}, seen from" in told


def test_address_that_somebody_put_onto_a_host_is_refused() -> None:
    placed = place(look("lb1", carries=True), look("lb2", answered_by=[MACS["lb1"]]))
    assert "lb1: cluster_virtual_ip 192.0.2.10: found on eth0, put there by somebody else" in describe(placed.refusals)


def test_address_of_another_host_of_the_inventory_is_refused() -> None:
    seen = {host: look(host) for host in ("lb1", "lb2")}
    owner = Observation("cp1", "192.0.2.21", machine={"addresses": ["192.0.2.21", ADDRESS]})
    told = describe(virtual_ip.place(wanted("lb1", "lb2"), {**seen, "cp1": owner}).refusals)
    assert "cp1: cluster_virtual_ip 192.0.2.10: found among its addresses" in told


def packet(source: str, router_id: int, *addresses: str) -> dict[str, Any]:
    return {"source": source, "router_id": router_id, "addresses": list(addresses)}


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        (packet("192.0.2.77", 10, "192.0.2.50"), "VRRP from 192.0.2.77 with router id 10, heard on lb1, lb2"),
        (packet("192.0.2.77", 99, ADDRESS), f"VRRP from 192.0.2.77 with router id 99, about {ADDRESS}, heard on"),
    ],
)
def test_other_router_with_the_same_id_or_address_is_refused(heard: dict[str, Any], text: str) -> None:
    told = describe(place(look("lb1", heard=[heard]), look("lb2", heard=[heard])).refusals)
    assert f"cluster_virtual_router_id 10: found {text}" in told


def test_other_router_with_its_own_id_and_the_other_hosts_are_no_matter() -> None:
    heard = [packet("192.0.2.77", 99, "192.0.2.50"), packet(ADDRESSES["lb2"], 10, ADDRESS)]
    assert place(look("lb1", heard=heard), look("lb2")).refusals == []


def test_host_without_such_a_network_is_refused() -> None:
    nowhere = {"interface": "", "address": "", "network": "", "mac": ""}
    told = describe(place(look("lb1"), look("lb2", **nowhere)).refusals)
    assert "lb2: cluster_virtual_ip 192.0.2.10: found networks 192.0.2.0/24 on eth0, wanted one that the" in told
    told = describe(place(look("lb1", **nowhere, wanted="eth9", networks=[]), look("lb2")).refusals)
    assert "found networks none, wanted one that the address lies in, on eth9." in told
    assert "correct cluster_virtual_ip_interface" in told


def test_keepalived_of_somebody_else_is_refused() -> None:
    told = describe(place(look("lb1", foreign=True), look("lb2")).refusals)
    assert "lb1: /etc/keepalived/keepalived.conf: found a file that somebody else wrote" in told


def test_host_that_is_off_keeps_its_place_by_what_its_peer_speaks_to() -> None:
    hosts = {"load_balancers": frozenset(("lb1", "lb2")), "scope": frozenset(("lb1",))}
    off = virtual_ip.place(wanted(**hosts), {"lb1": look("lb1", peers={"lb2": "192.0.2.12"}), "lb2": None})
    assert off.refusals == []
    assert off.carriers["lb2"]["address"] == "192.0.2.12"


def test_host_that_is_off_keeps_its_place_by_what_the_inventory_says() -> None:
    hosts = {"load_balancers": frozenset(("lb1", "lb2")), "scope": frozenset(("lb1",))}
    off = virtual_ip.place(wanted(**hosts), {"lb1": look("lb1"), "lb2": None})
    assert "lb2: address: found none: it does not answer" in describe(off.refusals)
    told = virtual_ip.place(wanted(**hosts, addresses={"lb2": "192.0.2.12"}), {"lb1": look("lb1"), "lb2": None})
    assert told.refusals == []
    assert told.carriers["lb2"]["address"] == "192.0.2.12"
    far = virtual_ip.place(wanted(**hosts, addresses={"lb2": "198.51.100.1"}), {"lb1": look("lb1"), "lb2": None})
    assert "lb2: cluster_node_address: found 198.51.100.1, outside 192.0.2.0/24" in describe(far.refusals)


def test_name_of_the_endpoint_has_to_mean_the_address_where_it_means_anything() -> None:
    def meaning(*addresses: str) -> list[Any]:
        one = dataclasses.replace(look("lb1"), endpoint_addresses=addresses)
        return place(one, look("lb2"), endpoint="k8s.example.com:6443").refusals

    assert meaning() == meaning(ADDRESS) == meaning("192.0.2.99", ADDRESS) == []
    assert "found 192.0.2.99, by its name on lb1, wanted cluster_virtual_ip" in describe(meaning("192.0.2.99"))


def test_pod_comes_to_its_api_server_by_the_address_that_this_one_advertises() -> None:
    in_pods = VirtualIp(ADDRESS, 32, 10, in_pods=True)
    heard = [packet("192.0.2.77", 10, "192.0.2.50")]
    one = dataclasses.replace(look("lb1", heard=heard), address="198.51.100.1")
    placed = place(one, control_plane=frozenset(("lb1",)), load_balancers=frozenset(), virtual_ip=in_pods)
    assert placed.carriers == {"lb1": {"interface": "eth0", "address": "198.51.100.1"}}
    assert placed.refusals == []


def test_single_host_is_told() -> None:
    placed = place(look("lb1"))
    assert placed.refusals == []
    assert "one host to carry it, lb1" in describe(placed.warnings)


def test_without_an_address_or_a_host_of_this_run_nothing_is_judged() -> None:
    looks = {host: look(host, foreign=True) for host in ("lb1", "lb2")}
    assert virtual_ip.place(wanted("lb1", "lb2", virtual_ip=None), looks) == virtual_ip.Placement()
    assert virtual_ip.place(wanted("lb1", "lb2", scope=frozenset(("cp1",))), looks) == virtual_ip.Placement()
