# SPDX-License-Identifier: GPL-3.0-or-later
"""Input that is refused before any host is looked at: what each entry gets told, by the real playbook.

Each kind is here once; tests/unit has its other forms. What takes a look at hosts to be refused is on the lab, in
tests/e2e/test_7_refusals.py.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import Run, playbook

INVENTORY: dict[str, Any] = {
    "all": {
        "vars": {
            "cluster_kubernetes_version": "1.20.2",
            "cluster_control_plane_endpoint": "192.0.2.10:6443",
        },
        "children": {
            "control_plane": {"hosts": {"cp1": {}, "cp2": {}, "cp3": {}}},
            "workers": {"hosts": {"w1": {}, "w2": {}}},
        },
    }
}


@dataclass(frozen=True)
class Case:
    """One wrong inventory, and what has to be said of it.

    Attributes:
        name: what is wrong.
        says: texts, each of which stands in what the run prints: subject, found, wanted, what to do.
        variables: for all hosts, over those of ``INVENTORY``; None takes one away.
        hosts: variables of single hosts, by name.
        groups: hosts by group, over those of ``INVENTORY``; None takes one away.
        arguments: for ansible-playbook.
        book: what is run.
    """

    name: str
    says: tuple[str, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    groups: Mapping[str, list[str] | None] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    book: str = "playbooks/plan.yml"

    def inventory(self) -> dict[str, Any]:
        made = copy.deepcopy(INVENTORY)
        variables, groups = made["all"]["vars"], made["all"]["children"]
        variables.update(self.variables)
        for name in [name for name, value in variables.items() if value is None]:
            del variables[name]
        for group, names in self.groups.items():
            groups.pop(group, None)
            if names is not None:
                groups[group] = {"hosts": {name: {} for name in names}}
        for group in groups.values():
            for name in group["hosts"]:
                group["hosts"][name] = dict(self.hosts.get(name, {}))
        return made


REMOVE_NODE = "playbooks/remove_node.yml"
ENDPOINT = (
    "wanted host:port, the host a name in lower case or an address, IPv6 in brackets.",
    "Set the address of the load balancer",
)
VERSION = ("wanted 1.x.y, from 1.20 to 1.36.", "Set a full version, such as '1.20.2', in quotes.")
NETWORK = ("wanted a network such as 10.244.0.0/16, or one of IPv4 and one of IPv6. Correct it:",)
OWN = ("wanted one of its own. Give each host its own",)


def endpoint(value: str | None) -> Case:
    return Case(
        f"endpoint {value}",
        (f"cluster: cluster_control_plane_endpoint: found {value or ''!r},", *ENDPOINT),
        {"cluster_control_plane_endpoint": value},
    )


def version(value: object) -> Case:
    shown = "" if value is None else value
    return Case(
        f"version {value!r}",
        (f"cluster: cluster_kubernetes_version: found {shown!r},", *VERSION),
        {"cluster_kubernetes_version": value},
    )


def subnet(name: str, value: str) -> Case:
    return Case(f"{name} {value}", (f"cluster: {name}: found {value!r},", *NETWORK), {name: value})


CASES = [
    Case(
        "no host in control_plane",
        ("cluster: group control_plane: found no host, wanted at least one. Put hosts into the inventory's group.",),
        groups={"control_plane": []},
    ),
    Case(
        "no group control_plane",
        ("cluster: group control_plane: found no host, wanted at least one. Put hosts into the inventory's group.",),
        groups={"control_plane": None, "masters": ["cp1"]},
    ),
    Case(
        "none of the groups",
        ("cluster: group control_plane: found no host, wanted at least one. Put hosts into the inventory's group.",),
        groups={"control_plane": None, "workers": None, "masters": ["cp1"], "nodes": ["w1"]},
    ),
    Case(
        "a host in two groups",
        ("w1: groups: found control_plane and workers, wanted one of them. Keep it in control_plane",),
        groups={"control_plane": ["cp1", "cp2", "w1"], "workers": ["w1"]},
    ),
    *(endpoint(value) for value in (None, "k8s.example.com", "2001:db8::10:6443", "192.0.2.300:6443")),
    *(version(value) for value in (None, "1.20", 1.2, "1.99.0")),
    subnet("cluster_pod_subnet", "10.244.0.1/16"),
    subnet("cluster_service_subnet", "10.96.0.0-10.96.255.255"),
    Case(
        "pods and services overlap",
        (
            "cluster: cluster_pod_subnet: found 10.96.0.0/16, which overlaps 10.96.0.0/12 of cluster_service_subnet,",
            "wanted networks apart from each other. Choose another one.",
        ),
        {"cluster_pod_subnet": "10.96.0.0/16"},
    ),
    Case(
        "a variable typed wrong",
        (
            "cluster: variable cluster_pod_subnets: found a name that nothing reads,",
            "wanted one of docs/variables.md. Did you mean cluster_pod_subnet?",
        ),
        {"cluster_pod_subnets": "10.1.0.0/16"},
    ),
    Case(
        "a variable typed wrong, of one host",
        ("w2: variable cluster_nod_name: found a name that nothing reads,", "Did you mean cluster_node_name?"),
        hosts={"w2": {"cluster_nod_name": "w2"}},
    ),
    Case(
        "a variable like no other",
        ("cluster: variable cluster_zzz: found a name that nothing reads,", "Remove it, or name it without cluster_."),
        {"cluster_zzz": True},
    ),
    Case(
        "a word typed wrong",
        (
            "cluster: cluster_network: found 'birdge', wanted one of bridge, calico, cilium, flannel, manifest, none.",
            "Did you mean bridge?",
        ),
        {"cluster_network": "birdge"},
    ),
    Case(
        "external etcd in kubeadm's words",
        (
            "cluster: cluster_configuration.etcd.external: found a value, wanted nothing here,",
            "Set cluster_etcd_topology to external, with hosts in the group etcd or with the cluster_etcd_endpoints",
        ),
        {"cluster_configuration": {"etcd": {"external": {"endpoints": ["https://192.0.2.41:2379"]}}}},
    ),
    Case(
        "external etcd nowhere",
        (
            "cluster: cluster_etcd_topology: found external, and neither a host in the group etcd nor",
            "Put hosts into the group etcd, or set cluster_etcd_endpoints to an etcd that somebody else runs.",
        ),
        {"cluster_etcd_topology": "external"},
    ),
    Case(
        "etcd hosts with stacked etcd",
        ("cluster: cluster_etcd_topology: found stacked, and hosts in the group etcd (etcd1, etcd2), wanted",),
        groups={"etcd": ["etcd1", "etcd2"]},
    ),
    Case(
        "etcd hosts, and an etcd of somebody else",
        ("cluster: cluster_etcd_endpoints: found a list, and hosts in the group etcd (etcd1), wanted one of them.",),
        {"cluster_etcd_topology": "external", "cluster_etcd_endpoints": ["https://192.0.2.41:2379"]},
        groups={"etcd": ["etcd1"]},
    ),
    Case(
        "etcd hosts that are nodes",
        (
            "cp1: groups: found etcd and control_plane, wanted one of them: the kubelet of an etcd host serves no",
            "w2: groups: found etcd and workers, wanted one of them: the kubelet of an etcd host serves no cluster.",
        ),
        {"cluster_etcd_topology": "external"},
        groups={"etcd": ["cp1", "w2", "etcd1"]},
    ),
    Case(
        "a local etcd beside external etcd",
        (
            "cluster: cluster_configuration.etcd.local: found a value, wanted nothing: cluster_etcd_topology is",
            "Set the variables that begin with cluster_etcd_ instead.",
        ),
        {"cluster_etcd_topology": "external", "cluster_configuration": {"etcd": {"local": {"dataDir": "/srv/etcd"}}}},
        groups={"etcd": ["etcd1"]},
    ),
    Case(
        "settings of etcd hosts",
        (
            "etcd1: cluster_etcd_election_milliseconds: found 400, with heartbeats every 100, wanted at least 500:",
            "etcd2: cluster_etcd_client_port: found 10250, the port of the kubelet, wanted one of its own.",
            "etcd3: cluster_etcd_data_dir: found 'etcd', wanted an absolute path.",
            "etcd3: cluster_etcd_extra_args.name: found a value, wanted nothing here.",
            "cluster: cluster_etcd_election_milliseconds: found 400 on etcd1, etcd's default on etcd2, wanted one",
        ),
        {"cluster_etcd_topology": "external"},
        hosts={
            "etcd1": {"cluster_etcd_election_milliseconds": 400},
            "etcd2": {"cluster_etcd_client_port": 10250},
            "etcd3": {"cluster_etcd_data_dir": "etcd", "cluster_etcd_extra_args": {"name": "a"}},
        },
        groups={"etcd": ["etcd1", "etcd2", "etcd3"]},
    ),
    Case(
        "an etcd of somebody else that nobody could speak to",
        (
            "cluster: cluster_etcd_endpoints: found 'http://192.0.2.41:2379', wanted https://host:port, IPv6 in",
            "Correct it. Over http anybody on the way reads every Secret.",
            "cluster: cluster_etcd_endpoints: found 'https://192.0.2.42', wanted https://host:port,",
            "cluster: cluster_etcd_endpoints: found https://192.0.2.43:2379 twice, wanted each once.",
            "cluster: cluster_etcd_ca_file: found 'ca.crt', wanted an absolute path. Correct it: it is a path on the",
            "cluster: cluster_configuration.apiServer.extraArgs.etcd-servers: found a value, wanted nothing here.",
        ),
        {
            "cluster_etcd_topology": "external",
            "cluster_etcd_endpoints": [
                *("http://192.0.2.41:2379", "https://192.0.2.42"),
                *("https://192.0.2.43:2379", "https://192.0.2.43:2379"),
            ],
            "cluster_etcd_ca_file": "ca.crt",
            "cluster_configuration": {"apiServer": {"extraArgs": {"etcd-servers": "https://192.0.2.41:2379"}}},
        },
    ),
    Case(
        "files of an etcd of somebody else, and no etcd of somebody else",
        (
            "cluster: cluster_etcd_key_file: found /etc/etcd-client/client.key, wanted nothing without",
            "Set cluster_etcd_endpoints for an etcd that somebody else runs, or remove it.",
        ),
        {"cluster_etcd_key_file": "/etc/etcd-client/client.key"},
    ),
    Case(
        "a load balancer at the API server's port",
        (
            "cp1: load balancer's port: found 6443, which the node itself listens at, wanted another one",
            "Choose a free port for cluster_control_plane_endpoint, such as 8443,",
        ),
        groups={"load_balancers": ["cp1", "lb1"]},
    ),
    Case(
        "a label that is no text",
        ("w1: cluster_node_labels: found example.com/rack: 7, wanted texts. Put it in quotes;",),
        hosts={"w1": {"cluster_node_labels": {"example.com/rack": 7}}},
    ),
    Case(
        "a taint of the controllers",
        ("w1: cluster_node_taints: found", "wanted a taint that Kubernetes' controllers do not keep. Remove it;"),
        hosts={"w1": {"cluster_node_taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}},
    ),
    Case(
        "a text for true",
        ("cp1: cluster_control_plane_schedulable: found 'yes', wanted true or false. Write it without quotes.",),
        hosts={"cp1": {"cluster_control_plane_schedulable": "yes"}},
    ),
    Case(
        "a user in a group of Kubernetes' own",
        (
            "cluster: cluster_users, jane: found group system:masters, wanted none of Kubernetes' own:",
            "Give rights by bindings,",
        ),
        {"cluster_users": [{"name": "jane", "groups": ["system:masters"]}]},
    ),
    Case(
        "a text for a mapping",
        ("cluster: cluster_configuration: found 'apiServer', wanted a mapping. See its example in docs/variables.md.",),
        {"cluster_configuration": "apiServer"},
    ),
    Case(
        "a text for a list, of one host",
        ("w1: cluster_kubeadm_ignore_preflight_errors: found 'Swap', wanted a list.",),
        hosts={"w1": {"cluster_kubeadm_ignore_preflight_errors": "Swap"}},
    ),
    Case(
        "a method of installing that there is not, of one host",
        (
            "w1: cluster_install_method: found 'package', wanted one of binaries, packages, existing.",
            "Did you mean packages?",
        ),
        hosts={"w1": {"cluster_install_method": "package"}},
    ),
    Case(
        "packages that upstream does not have",
        (
            "w1: cluster_install_method: found packages, of Kubernetes 1.20.2, wanted a version from 1.24 on,",
            "Set cluster_package_repository to one that has them, or cluster_install_method to binaries.",
        ),
        hosts={"w1": {"cluster_install_method": "packages"}},
    ),
    Case(
        "a repository that is no folder, and plugins that no package puts there",
        (
            "cp1: cluster_package_repository: found https://mirror.example.com/deb, wanted the URL of a folder,",
            "cp1: cluster_cni_bin_dir: found /usr/lib/cni, wanted /opt/cni/bin,",
        ),
        {
            "cluster_install_method": "packages",
            "cluster_package_repository": "https://mirror.example.com/deb",
            "cluster_cni_bin_dir": "/usr/lib/cni",
        },
    ),
    Case(
        "checksums that would pin nothing",
        (
            "w2: cluster_checksums: found the name kubelett, wanted one of kubeadm, kubelet,",
            "Did you mean kubelet?",
            "w2: cluster_checksums.kubeadm: found 'sha256:0', wanted 64 lower case hexadecimal digits.",
        ),
        hosts={"w2": {"cluster_checksums": {"kubelett": "0" * 64, "kubeadm": "sha256:0"}}},
    ),
    Case(
        "a name that no node can have",
        (
            "w1: cluster_node_name: found 'Worker_1', wanted lower case letters, digits, hyphens and dots.",
            "Set another one",
        ),
        hosts={"w1": {"cluster_node_name": "Worker_1"}},
    ),
    Case(
        "an address that is none",
        (
            "cp1: cluster_node_address: found '192.0.2.11/24', wanted an IP address of the host,",
            "without port and prefix. Correct it",
        ),
        hosts={"cp1": {"cluster_node_address": "192.0.2.11/24"}},
    ),
    Case(
        "one node name twice",
        ("cp1: cluster_node_name: found node, also of w1,", "w1: cluster_node_name: found node, also of cp1,", *OWN),
        hosts={"cp1": {"cluster_node_name": "node"}, "w1": {"cluster_node_name": "node"}},
    ),
    Case(
        "one node name in two cases",
        (
            "w1: cluster_node_name: found worker, also of w2,",
            "w2: cluster_node_name: found 'Worker', wanted lower",
            *OWN,
        ),
        hosts={"w1": {"cluster_node_name": "worker"}, "w2": {"cluster_node_name": "Worker"}},
    ),
    Case(
        "one address twice, in two spellings",
        ("cp1: cluster_node_address: found 2001:db8::11, also of cp2,", *OWN),
        hosts={
            "cp1": {"cluster_node_address": "2001:db8::11"},
            "cp2": {"cluster_node_address": "2001:0db8:0:0::11"},
        },
    ),
    Case(
        "one machine under two names",
        ("w1: connection: found 192.0.2.31, also of w2,", "w2: connection: found 192.0.2.31, also of w1,", *OWN),
        hosts={"w1": {"ansible_host": "192.0.2.31"}, "w2": {"ansible_host": "192.0.2.31"}},
    ),
    Case(
        "one name in two cases",
        ("W1: connection: found w1, also of w1,", *OWN),
        groups={"workers": ["w1", "W1"]},
    ),
    Case(
        "a host outside the run with the name of one in it",
        ("w1: cluster_node_name: found node, also of w2,", *OWN),
        hosts={"w1": {"cluster_node_name": "node"}, "w2": {"cluster_node_name": "node"}},
        arguments=("--limit", "w1"),
    ),
    Case(
        "Docker without dockershim, and mirrors that it cannot use",
        (
            "cp1: cluster_container_runtime: found docker, with Kubernetes 1.24.0, wanted containerd or crio: ",
            "cp1: cluster_registry_mirrors[quay.io]: found Docker, wanted docker.io, the one that it mirrors. Set",
            "w1: cluster_container_runtime: found 'containrd', wanted one of containerd, crio, docker. Did you mean",
        ),
        {"cluster_kubernetes_version": "1.24.0", "cluster_registry_mirrors": {"quay.io": ["https://m.example.com"]}},
        hosts={"cp1": {"cluster_container_runtime": "docker"}, "w1": {"cluster_container_runtime": "containrd"}},
    ),
    Case(
        "a virtual IP that is none",
        ("cluster: cluster_virtual_ip: found '192.0.2.10:6443', wanted an address that no host has yet, such as",),
        {"cluster_virtual_ip": "192.0.2.10:6443"},
        groups={"load_balancers": ["lb1", "lb2"]},
    ),
    Case(
        "a virtual IP that the endpoint does not lead to, with a router id that there is not",
        (
            "cluster: cluster_control_plane_endpoint: found 192.0.2.10, which is not cluster_virtual_ip (192.0.2.9),",
            "cluster: cluster_virtual_router_id: found 300, wanted a number from 1 to 255.",
            "cluster: cluster_virtual_ip_password: found 9 characters, wanted one for all, of at most 8 letters",
        ),
        {
            "cluster_virtual_ip": "192.0.2.9",
            "cluster_virtual_router_id": 300,
            "cluster_virtual_ip_password": "lengthy-1",
        },
        groups={"load_balancers": ["lb1", "lb2"]},
    ),
    Case(
        "a virtual IP that a host has, and that nobody is to carry",
        (
            "w1: cluster_virtual_ip 192.0.2.10: found that of w1, by its ansible_host, wanted an",
            "cluster: cluster_virtual_ip: found no host in the group load_balancers, wanted the hosts whose keepalived",
        ),
        {"cluster_virtual_ip": "192.0.2.10"},
        hosts={"w1": {"ansible_host": "192.0.2.10"}},
    ),
    Case(
        "kube-vip in front of HAProxy, at another port",
        (
            "cluster: cluster_control_plane_endpoint: found port 8443, wanted 6443: with kube-vip",
            "cluster: group load_balancers: found lb1, wanted no host: with kube-vip nobody comes by one.",
        ),
        {
            "cluster_control_plane_endpoint": "192.0.2.10:8443",
            "cluster_virtual_ip": "192.0.2.10/24",
            "cluster_virtual_ip_provider": "kube-vip",
        },
        groups={"load_balancers": ["lb1"]},
    ),
    Case(
        "a virtual IP that nobody knows to move",
        ("cluster: cluster_virtual_ip_provider: found 'keepalivd', wanted one of keepalived, kube-vip. Did you mean",),
        {"cluster_virtual_ip": "192.0.2.10", "cluster_virtual_ip_provider": "keepalivd"},
        groups={"load_balancers": ["lb1", "lb2"]},
    ),
    Case(
        "what there is no virtual IP for",
        ("cluster: cluster_virtual_router_id: found 10, and no cluster_virtual_ip, wanted both or neither. Say which",),
        {"cluster_virtual_router_id": 10},
    ),
    Case(
        "all at once",
        (
            "cluster: cluster_kubernetes_version: found '1.20',",
            "cluster: cluster_control_plane_endpoint: found 'k8s',",
            "cluster: cluster_service_subnet: found 'services',",
            "cluster: variable cluster_zzz: found a name that nothing reads,",
            "w1: cluster_node_name: found 'W 1',",
            "w2: groups: found control_plane and workers,",
        ),
        {
            "cluster_kubernetes_version": "1.20",
            "cluster_control_plane_endpoint": "k8s",
            "cluster_service_subnet": "services",
            "cluster_zzz": 1,
        },
        hosts={"w1": {"cluster_node_name": "W 1"}},
        groups={"control_plane": ["cp1", "cp2", "w2"]},
    ),
    Case(
        "a removal of nobody",
        (
            "cluster: remove_node_name: found nothing, wanted a host of the inventory, or a node. Say it:",
            "cluster: remove_node_drain_timeout_seconds: found 0, wanted a number from 1 on.",
        ),
        arguments=("-e", "remove_node_drain_timeout_seconds=0"),
        book=REMOVE_NODE,
    ),
    Case(
        "a removal with a limit",
        ("cluster: --limit: found w1, wanted none. Say which host is to go by -e remove_node_name=NAME alone.",),
        arguments=("-e", "remove_node_name=w1", "--limit", "w1"),
        book=REMOVE_NODE,
    ),
    Case(
        "a removal of the only control plane",
        ("CP1: control planes: found no other one in the inventory, wanted one that stays. The last control plane ",),
        groups={"control_plane": ["cp1"]},
        arguments=("-e", "remove_node_name=CP1"),
        book=REMOVE_NODE,
    ),
    Case(
        "a removal without what finds the cluster",
        ("cluster: cluster_control_plane_endpoint: found nothing, wanted the cluster's own. Set it in the inventory.",),
        {"cluster_control_plane_endpoint": None},
        arguments=("-e", "remove_node_name=w1"),
        book=REMOVE_NODE,
    ),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[Run]]:
    """The plan of each case, as many side by side as there are processors."""

    def plan(case: Case, folder: Path) -> Run:
        (folder / "hosts.yml").write_text(yaml.safe_dump(case.inventory()))
        return playbook(*case.arguments, inventory=folder / "hosts.yml", book=case.book, log=folder / "run.log")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Folders are made here: pytest makes them for one thread at a time.
        return {case.name: pool.submit(plan, case, tmp_path_factory.mktemp("case")) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_before_any_host_is_looked_at(runs: dict[str, Future[Run]], case: Case) -> None:
    run = runs[case.name].result()
    # The screen breaks lines as it likes, and doubles quotes.
    output = " ".join(run.output.replace("''", "'").split())
    assert run.code != 0, run.output
    for text in case.says:
        assert text in output, run.output
    assert run.changes == set()
    assert "Look at" not in run.output


def test_one_case_a_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_sound_inventory_comes_as_far_as_looking_at_its_hosts(tmp_path: Path) -> None:
    """What every case has wrong is wrong by that case alone."""
    path = tmp_path / "hosts.yml"
    inventory = Case("", ()).inventory()
    inventory["all"]["vars"].update(ansible_connection="local", cluster_control_plane_endpoint="127.0.0.1:9")
    path.write_text(yaml.safe_dump(inventory))
    run = playbook(inventory=path, book="playbooks/plan.yml", log=tmp_path / "run.log")
    assert "Look at every host" in run.output
    assert run.changes == set()
