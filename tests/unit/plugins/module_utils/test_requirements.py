# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that must not become nodes are refused, each with all that stands against it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import requirements
from ansible_collections.kubeadm.ha.plugins.module_utils.requirements import Candidate, Finding, Needs
from ansible_collections.kubeadm.ha.plugins.module_utils.versions import Version

FIT = {
    "hostname": "cp1",
    "os": "debian 12",
    "kernel": "6.1.0-56-cloud-amd64",
    "container": False,
    "cpus": 2,
    "memory_mb": 1700,
    "time": 1_000_000.0,
    "machine_id": "a",
    "product_uuid": None,
    "mac": "02:00:00:00:00:01",
    "cgroups": {"version": 2, "controllers": ["cpu", "cpuset", "io", "memory", "pids"]},
    "addresses": ["192.0.2.11", "2001:db8::11"],
    "default_route": True,
    "listening": [22],
    "owners": {"22": "sshd, process 1"},
    "services": ["chrony"],
    "name_servers": ["192.0.2.53"],
    "disks": {"/var/lib/etcd": {"free_mb": 20000, "size_mb": 100000}},
    "occupied": {},
}
V1 = {"version": 1, "controllers": ["cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"]}
PLAIN = Needs()
versions = st.integers(20, 36).map(lambda minor: Version(minor, 0))


def candidate(name: str = "cp1", *, control_plane: bool = True, joins: bool = True, **machine: Any) -> Candidate:
    address = machine.pop("address", "192.0.2.11")
    return Candidate("cp1", name, address, {**FIT, **machine}, control_plane, joins)


def check(*arguments: Any, version: int = 20, needs: Needs = PLAIN, **keywords: Any) -> list[Finding]:
    return requirements.check_new_node(candidate(*arguments, **keywords), Version(version, 0), needs)


def refused(*arguments: Any, needs: Needs = PLAIN, **keywords: Any) -> list[str]:
    """Subjects of what stops the host from becoming a node."""
    findings = check(*arguments, needs=needs, **keywords)
    return [problem.subject for problem in requirements.sort_out(findings, {"cp1"}, needs)[0]]


def warned(*arguments: Any, needs: Needs = PLAIN, **keywords: Any) -> list[str]:
    findings = check(*arguments, needs=needs, **keywords)
    return [problem.subject for problem in requirements.sort_out(findings, {"cp1"}, needs)[1]]


@given(versions, st.booleans())
def test_machine_at_the_limits_is_fit_for_every_version(version: Version, control_plane: bool) -> None:
    assert requirements.check_new_node(candidate(control_plane=control_plane), version, Needs()) == []


@given(st.sets(st.sampled_from(sorted(FIT))), versions)
def test_what_was_not_looked_at_is_not_judged(missing: set[str], version: Version) -> None:
    machine = {key: value for key, value in FIT.items() if key not in missing}
    found = requirements.check_new_node(dataclasses.replace(candidate(), machine=machine), version, Needs())
    assert [finding for finding in found if finding.fatal] == []


def test_machine_with_several_faults_is_refused_with_all_of_them() -> None:
    found = check("CP_1", cpus=1, memory_mb=1699, listening=[22, 6443, 2379], owners={"6443": "haproxy, process 7"})
    assert [finding.problem.subject for finding in found] == ["node name", "port 2379", "port 6443", "CPUs", "memory"]
    assert found[2].problem.found == "in use by haproxy, process 7"


def test_worker_is_not_held_to_a_control_planes_limits() -> None:
    small = {"cpus": 1, "memory_mb": 500, "listening": [6443, 2379, 10257], "address": ""}
    assert check(control_plane=False, occupied={"/var/lib/etcd": ["member"]}, **small) == []
    assert refused(control_plane=False, listening=[10250]) == ["port 10250"]


def test_etcds_ports_and_folder_may_be_taken_where_etcd_is_elsewhere() -> None:
    elsewhere = Needs.of({}, external_etcd=True)
    taken: dict[str, Any] = {"listening": [2379], "occupied": {"/var/lib/etcd": ["lost+found"]}}
    assert refused(needs=elsewhere, **taken) == []
    assert refused(**taken) == ["port 2379", "/var/lib/etcd"]


@pytest.mark.parametrize(
    "arguments",
    [{"service-node-port-range": "31000-31010"}, [{"name": "service-node-port-range", "value": "31000-31010"}]],
)
def test_node_ports_are_warned_of_in_their_range(arguments: Any) -> None:
    variables = {"cluster_configuration": {"apiServer": {"extraArgs": arguments}}}
    needs = Needs.of(variables, external_etcd=False)
    assert warned(needs=needs, listening=[30999, 31011]) == []
    assert warned(needs=needs, listening=[31000]) == ["NodePorts"]
    assert warned(listening=[30999]) == ["NodePorts"]


def test_folder_with_manifests_stops_joins_of_old_kubeadms_alone() -> None:
    occupied = {"/etc/kubernetes/manifests": ["kube-vip.yaml"]}
    assert refused(occupied=occupied, version=22) == ["/etc/kubernetes/manifests"]
    assert refused(occupied=occupied, version=23) == refused(occupied=occupied, version=22, joins=False) == []


@given(st.sampled_from(["NumCPU", "numcpu", "all", "Mem"]), st.booleans())
def test_what_the_user_passes_over_is_said_of_new_nodes_and_stops_none(name: str, new: bool) -> None:
    needs = Needs.of({requirements.IGNORE_VARIABLE: [name]}, external_etcd=False)
    findings = [*check(cpus=1, needs=needs), *check("a_b", needs=needs)]
    refusals, warnings = requirements.sort_out(findings, {"cp1"} if new else set(), needs)
    told = {problem.subject for problem in warnings}
    if new:
        assert [problem.subject for problem in refusals] == (["CPUs"] if name == "Mem" else []) + ["node name"]
        assert told == ({"CPUs"} if name != "Mem" else set())
    else:
        assert refusals == []
        assert told == {"node name"} | ({"CPUs"} if name == "Mem" else set())


@given(st.lists(st.sampled_from(["NumCPU", "Mem", "Port-6443", "SystemVerification", "DiskSpace"])), versions)
def test_nothing_that_is_found_is_lost(ignored: list[str], version: Version) -> None:
    needs = Needs.of({requirements.IGNORE_VARIABLE: ignored}, external_etcd=False)
    unfit = candidate("x_y", cpus=0, memory_mb=1, listening=[6443], kernel="2.6.32", cgroups=V1, address="127.0.0.1")
    findings = requirements.check_new_node(unfit, version, needs)
    refusals, warnings = requirements.sort_out(findings, {"cp1"}, needs)
    assert sorted([*refusals, *warnings]) == sorted(finding.problem for finding in findings)
    assert all(finding.problem in warnings for finding in findings if finding.check in ignored)


@pytest.mark.parametrize("name", ["node1", "node-1.example.com", "1", "a" * 63])
def test_node_name_that_kubernetes_takes_is_taken(name: str) -> None:
    assert check(name) == []


@pytest.mark.parametrize("name", ["", "Node1", "node_1", "-node", "node-", "a..b", "node.", "a" * 254, "localhost"])
def test_node_name_that_kubernetes_refuses_is_refused(name: str) -> None:
    assert refused(name) == ["node name"]


@pytest.mark.parametrize(
    "system",
    ["debian 13", "ubuntu 22.04", "ubuntu 24.04", "rhel 8.10", "rocky 9.4", "almalinux 10.0", "centos 9", "ol 9.5"],
)
def test_system_that_is_served_is_taken(system: str) -> None:
    assert check(os=system) == []


@pytest.mark.parametrize(
    "system", ["", "debian", "debian 11", "ubuntu 20.04", "ubuntu 24", "rhel 7.9", "arch", "fedora 42"]
)
def test_other_system_is_refused_unless_the_user_answers_for_it(system: str) -> None:
    assert refused(os=system) == ["operating system"]
    needs = Needs.of({requirements.IGNORE_VARIABLE: ["OperatingSystem"]}, external_etcd=False)
    assert refused(os=system, needs=needs) == []


@pytest.mark.parametrize(
    ("kernel", "version", "fit"),
    [
        ("3.10.0-1160.el7.x86_64", 31, True),
        ("4.18.0-553.el8_10.x86_64", 31, True),
        ("4.18.0-553.el8_10.x86_64", 32, False),
        ("5.14.0-503.el9.x86_64", 33, True),
        ("5.14.0-503.el9.x86_64", 34, False),
        ("5.15.0-100-generic", 36, True),
        ("6.18.44-fc", 36, True),
        ("2.6.32", 20, False),
    ],
)
def test_kernel_is_refused_where_kubeadm_would(kernel: str, version: int, fit: bool) -> None:
    assert refused(kernel=kernel, version=version) == ([] if fit else ["kernel"])


def test_control_groups_version_1_is_refused_from_1_35_on_unless_both_are_told() -> None:
    told = {"cluster_kubelet_configuration": {"failCgroupV1": False}}
    ignored = {requirements.IGNORE_VARIABLE: ["SystemVerification"]}
    stopped = {
        name: refused(cgroups=V1, version=35, needs=Needs.of(variables, external_etcd=False)) != []
        for name, variables in {"": {}, "told": told, "ignored": ignored, "both": {**told, **ignored}}.items()
    }
    assert stopped == {"": True, "told": True, "ignored": True, "both": False}
    assert (refused(cgroups=V1, version=34), warned(cgroups=V1, version=34)) == ([], ["control groups"])
    assert check(cgroups=V1, version=30) == []


def test_controller_that_is_missing_is_named() -> None:
    (finding,) = check(cgroups={"version": 2, "controllers": ["cpu", "cpuset", "pids"]})
    assert finding.problem.found == "no memory"
    assert finding.check == "SystemVerification"


@pytest.mark.parametrize("address", ["", "127.0.0.1", "169.254.1.1", "0.0.0.0", "192.0.2.99", "fe80::1", "cp1"])
def test_address_that_cannot_be_advertised_is_refused(address: str) -> None:
    assert refused(address=address) == ["advertised address"]
    assert refused(address=address, control_plane=False) == []


def test_address_of_either_family_may_be_advertised() -> None:
    assert refused(address="2001:db8::11") == []


def test_host_without_a_default_route_is_refused() -> None:
    assert refused(default_route=False, control_plane=False) == ["default route"]


def test_full_disk_is_refused_and_a_filling_one_is_warned_of() -> None:
    disks = {"/var/lib/etcd": {"free_mb": 1999, "size_mb": 8000}, "/var/log": {"free_mb": 1999, "size_mb": 8000}}
    (finding,) = check(disks=disks)
    assert "/var/lib/etcd, /var/log" in finding.problem.found
    assert refused(disks=disks) == ["disk"]
    filling = {"/var/log": {"free_mb": 14000, "size_mb": 100000}}
    assert (refused(disks=filling), warned(disks=filling)) == ([], ["disk"])


def test_clock_that_nobody_keeps_is_warned_of_but_not_in_containers() -> None:
    assert warned(services=[]) == ["clock"]
    assert warned(services=[], container=True) == []


@pytest.mark.parametrize("firewall", ["firewalld", "ufw"])
def test_firewall_is_warned_of_with_the_ports(firewall: str) -> None:
    needs = Needs.of({}, external_etcd=True)
    (finding,) = check(services=["chrony", firewall], needs=needs)
    assert finding.problem.subject == firewall
    assert "10250, 30000-32767, 6443 (TCP)" in finding.problem.wanted
    (finding,) = check(services=["chrony", firewall], control_plane=False)
    assert "2379" not in finding.problem.wanted


def test_resolver_that_pods_cannot_ask_is_warned_of() -> None:
    own: dict[str, Any] = {"name_servers": ["127.0.0.1", "::1"]}
    assert warned(**own) == ["/etc/resolv.conf"]
    assert warned(**own, services=["chrony", "systemd-resolved"]) == []
    needs = Needs.of({"cluster_kubelet_configuration": {"resolvConf": "/etc/real"}}, external_etcd=False)
    assert warned(**own, needs=needs) == []
    assert warned(name_servers=["127.0.0.1", "192.0.2.53"]) == []


def test_node_that_works_is_only_told_of_what_may_have_changed() -> None:
    found = candidate("x_y", cpus=1, listening=[6443], os="arch", default_route=False, services=["firewalld"])
    findings = requirements.check_node(found, Version(20, 0), Needs())
    assert [finding.problem.subject for finding in findings] == ["CPUs", "clock"]
    assert requirements.sort_out(findings, set(), Needs())[0] == []


@pytest.mark.parametrize("key", ["machine_id", "product_uuid", "mac"])
def test_identity_that_two_hosts_share_names_both(key: str) -> None:
    machines = {
        name: {**FIT, "machine_id": name, "mac": name, "product_uuid": name, **({key: "same"} if name != "w1" else {})}
        for name in ("cp1", "cp2", "w1")
    }
    found = [finding.problem for finding in requirements.check_distinct(machines)]
    assert [(problem.host, problem.found) for problem in found] == [
        ("cp1", "same, also on cp2"),
        ("cp2", "same, also on cp1"),
    ]


def test_identity_that_no_host_has_is_shared_by_nobody() -> None:
    nothing = {**FIT, "machine_id": None, "mac": None}
    assert requirements.check_distinct({"cp1": nothing, "cp2": nothing}) == []


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=7), st.sampled_from([-600.0, 600.0, 86400.0]))
def test_clock_that_is_off_is_found_and_the_others_are_not(offsets: list[float], off: float) -> None:
    machines = {f"h{index}": {**FIT, "time": 1e9 + offset} for index, offset in enumerate(offsets)}
    assert requirements.check_clocks(machines, 0.0) == []
    machines["late"] = {**FIT, "time": 1e9 + off}
    (finding,) = requirements.check_clocks(machines, 0.0)
    assert finding.problem.host == "late"
    assert ("ahead of" if off > 0 else "behind") in finding.problem.found


def test_clocks_may_seem_apart_by_the_time_that_looking_took() -> None:
    machines = {"cp1": FIT, "cp2": FIT, "w300": {**FIT, "time": FIT["time"] + 200}}
    assert requirements.check_clocks(machines, 180.0) == []
    assert requirements.check_clocks(machines, 60.0) != []
