# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there and what is wanted: all that the plan may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import pki
from .etcd import Member
from .etcd_settings import EtcdSettings
from .external_etcd import Look
from .installation import Installation
from .requirements import Needs
from .subnets import Network
from .versions import Version


@dataclass(frozen=True)
class EtcdLook:
    """What one host showed of its own etcd member besides the list of members; see ``evidence``.

    Attributes:
        answers: its own etcd lists the members,
        leader: and knows a leader.
        keys: how many API servers keep there; None where nobody counted, or no quorum stands behind a count.
        cluster_id: of etcd, in decimal, by its own etcd or else by its data; empty where nobody can tell.
        flags: of its manifest; none where there is no manifest.
        data: it has data,
        formed: which comes from a cluster that was formed,
        member_id: or will be, as this member, in decimal,
        data_cluster: and these members started together, as etcd's ``--initial-cluster`` has it.
        began_alone: the data was begun here, and knows of no other member, though the member does not answer.
        without_log: its data, if any, has no write-ahead log, and the member does not answer.
        log_cut: by its own last word, the leader knows that its log was longer once.
        service_manager: its kubelet is told to run the member without a cluster.
        ca_in_the_making: kubeadm was stopped there while it made etcd's CA, or what that signs for the host itself.
    """

    answers: bool = False
    leader: bool = False
    keys: int | None = None
    cluster_id: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    data: bool = False
    formed: bool = False
    member_id: str = ""
    data_cluster: str = ""
    began_alone: bool = False
    without_log: bool = False
    log_cut: bool = False
    service_manager: bool = False
    ca_in_the_making: bool = False

    @property
    def lost(self) -> bool:
        """Whether there is nothing here, or no longer enough, of what a member has voted for, by what is here alone."""
        return not self.answers and (not self.formed or self.without_log or self.log_cut)

    @classmethod
    def from_results(cls, etcd: Mapping[str, Any], files: Mapping[str, Any]) -> EtcdLook:
        """From what ``evidence.etcd_state`` and ``evidence.etcd_files`` return."""
        data = files.get("data") or {}
        return cls(
            answers=etcd.get("answers", False),
            leader=etcd.get("leader", False),
            keys=etcd.get("keys"),
            cluster_id=etcd.get("cluster_id") or data.get("cluster_id", ""),
            flags=files.get("flags", {}),
            data=bool(data),
            formed=data.get("formed", False),
            member_id=data.get("member_id", ""),
            data_cluster=data.get("initial_cluster", ""),
            began_alone=files.get("began_alone", False),
            without_log=files.get("without_log", False),
            log_cut=files.get("log_cut", False),
            service_manager=files.get("service_manager", False),
            ca_in_the_making=files.get("ca_in_the_making", False),
        )


@dataclass(frozen=True)
class Observation:
    """What one host showed; see ``evidence.collect`` for where it comes from.

    Attributes:
        node_name: the name under which the host is, or will be, a node.
        address: the address that it advertises.
        package_manager: the name of the Ansible module that installs its packages.
        packages_interrupted: that left off in the middle, and takes no orders until it was finished.
        machine: what it is; see ``machine.collect``. Empty where nobody looked.
        traces: paths of kubeadm's files found on it.
        ca: public key hash of the cluster CA on it.
        public_keys: by path, the public key hash of its certificates and keys.
        unusable: evidence that cannot be used, each as subject, found, wanted and action.
        has_run: its kubelet has been given a certificate by a running cluster.
        identity: the node that this certificate speaks for.
        endpoint_addresses: what the endpoint's host name means on this host.
        cri_socket: the container runtime that its kubelet uses, as far as that is written down.
        endpoint_answers: an API server answered it at the control plane endpoint,
        endpoint_ca: and published this CA (public key hash).
        endpoint_error: why not even a refusal came back from there; None where one did.
        api_answers: its own API server answered.
        api_error: why it did not; empty where it did, and where there is none.
        nodes: the nodes by that API server; see ``evidence.describe_node``.
        lasting: the phases of kubeadm init whose objects that API server holds.
        subnets: of the cluster's birth, by ``cluster_*`` variable; see ``evidence.cluster_subnets``.
        etcd_record: where the cluster has its etcd, by its own records; see ``evidence.cluster_etcd``.
        network: what is recorded of the cluster's pod network; see ``evidence.cluster_network``.
        members: etcd's members by its own etcd; see ``etcd.Member``.
        etcd: what else it shows of its own etcd member.
        external_etcd: what it sees of an etcd that is not its own; None where it was not asked to look.
        etcd_servers: the endpoints of etcd that its API server's manifest names.
        programs: Kubernetes' programs on it; see ``programs.collect``.
        kubelet_unit: likewise.
        virtual_ip: what the virtual address meets here; see ``virtual_ip_probe.look``. Empty where nobody looked.
        back_ends: the addresses that its HAProxy sends to.
    """

    node_name: str
    address: str
    package_manager: str = "auto"
    packages_interrupted: bool = False
    machine: Mapping[str, Any] = field(default_factory=dict)
    traces: frozenset[str] = frozenset()
    ca: str | None = None
    public_keys: Mapping[str, str] = field(default_factory=dict)
    unusable: tuple[tuple[str, str, str, str], ...] = ()
    has_run: bool = False
    identity: str | None = None
    endpoint_addresses: tuple[str, ...] = ()
    cri_socket: str | None = None
    endpoint_answers: bool = False
    endpoint_ca: str | None = None
    endpoint_error: str | None = None
    api_answers: bool = False
    api_error: str = ""
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lasting: frozenset[str] = frozenset()
    subnets: Mapping[str, str] = field(default_factory=dict)
    etcd_record: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    etcd: EtcdLook = field(default_factory=EtcdLook)
    external_etcd: Look | None = None
    etcd_servers: tuple[str, ...] = ()
    programs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kubelet_unit: Mapping[str, Any] = field(default_factory=dict)
    virtual_ip: Mapping[str, Any] = field(default_factory=dict)
    back_ends: tuple[str, ...] = ()

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Observation:
        """From the return values of the module ``node_info``."""
        api, endpoint = result["api"] or {}, result["endpoint"]
        return cls(
            node_name=result["node_name"],
            address=result["address"] or "",
            package_manager=result["package_manager"],
            packages_interrupted=result.get("packages_interrupted", False),
            machine=result.get("machine", {}),
            traces=frozenset(result["traces"]),
            ca=result["ca"],
            public_keys=result.get("public_keys", {}),
            unusable=tuple((subject, found, wanted, action) for subject, found, wanted, action in result["problems"]),
            has_run=result["has_run"],
            identity=result["identity"],
            endpoint_addresses=tuple(result.get("endpoint_addresses", ())),
            cri_socket=result.get("cri_socket"),
            endpoint_answers=endpoint["answers"],
            endpoint_ca=endpoint["ca"],
            endpoint_error=endpoint["error"],
            api_answers=api.get("answers", False),
            api_error=api.get("error", ""),
            nodes=api.get("nodes", {}),
            lasting=frozenset(api.get("lasting", ())),
            subnets=api.get("subnets", {}),
            etcd_record=api.get("etcd", {}),
            network=api.get("network", {}),
            members=tuple(Member.from_dict(member) for member in (result["etcd"] or {}).get("members", ())),
            etcd=EtcdLook.from_results(result["etcd"] or {}, result.get("etcd_files") or {}),
            external_etcd=Look.from_result(result.get("external_etcd")),
            etcd_servers=tuple(result.get("etcd_servers", ())),
            programs=result.get("programs", {}),
            kubelet_unit=result.get("kubelet_unit", {}),
            virtual_ip=result.get("virtual_ip") or {},
            back_ends=tuple(result.get("back_ends", ())),
        )


@dataclass(frozen=True)
class VirtualIp:
    """An address that moves between hosts.

    Attributes:
        address: as text.
        prefix_length: with which it is put on an interface.
        router_id: tells this VRRP from others in the subnet.
        in_pods: kube-vip on the control planes carries it, and not keepalived on the load balancers.
    """

    address: str
    prefix_length: int
    router_id: int
    in_pods: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the inventory and its variables ask for.

    Attributes:
        version: of Kubernetes.
        endpoint: ``host:port`` of the API as all nodes reach it.
        control_plane: inventory names, as are the next ones.
        addresses: of control planes, etcd hosts and load balancers, as far as the inventory says them.
        workers: likewise.
        load_balancers: likewise.
        etcd: likewise; empty unless etcd runs on hosts of their own that this inventory has.
        etcd_settings: of these, what the inventory says of each one's member, by inventory name.
        foreign_etcd: kubeadm's ``etcd.external`` for an etcd that somebody else runs; empty where nobody does.
        cri_sockets: of nodes in scope, where their container runtimes listen, by inventory name.
        external_etcd: etcd runs on hosts of its own.
        skip_phases: phases of kubeadm init that the user leaves out.
        pods: networks of pods; here and below none where nobody asks.
        services: networks of services.
        network: which pod network, one of ``pod_network.NETWORKS``.
        network_objects: names of the objects that its manifests bring.
        needs: what this cluster asks of its machines.
        scope: the hosts that this run may change (``--limit``).
        installations: how programs come to hosts, by inventory name.
        virtual_ip: the address that the endpoint's hosts are to carry by turns.
        node_names: what hosts are called as nodes, by inventory name, as far as the inventory says it.
    """

    version: Version
    endpoint: str
    control_plane: frozenset[str]
    addresses: Mapping[str, str] = field(default_factory=dict)
    workers: frozenset[str] = frozenset()
    load_balancers: frozenset[str] = frozenset()
    etcd: frozenset[str] = frozenset()
    etcd_settings: Mapping[str, EtcdSettings] = field(default_factory=dict)
    cri_sockets: Mapping[str, str] = field(default_factory=dict)
    foreign_etcd: Mapping[str, Any] = field(default_factory=dict)
    external_etcd: bool = False
    skip_phases: frozenset[str] = frozenset()
    pods: tuple[Network, ...] = ()
    services: tuple[Network, ...] = ()
    network: str = ""
    network_objects: frozenset[str] = frozenset()
    needs: Needs = field(default_factory=Needs)
    scope: frozenset[str] = frozenset()
    installations: Mapping[str, Installation] = field(default_factory=dict)
    virtual_ip: VirtualIp | None = None
    node_names: Mapping[str, str] = field(default_factory=dict)

    def node_name(self, host: str) -> str:
        """What a host that was not looked at is called as a node, as far as the inventory tells."""
        return self.node_names.get(host, host).lower()

    def etcd_of(self, host: str) -> EtcdSettings:
        """What the inventory says of a host's own member; the defaults where it says nothing."""
        return self.etcd_settings.get(host, EtcdSettings())

    @property
    def handed(self) -> frozenset[str]:
        """What control planes are handed for etcd hosts, which comes before there is a cluster."""
        return frozenset(pki.ETCD_CLIENT_FILES) if self.external_etcd else frozenset()

    @property
    def carriers(self) -> frozenset[str]:
        """The hosts that may carry the virtual address."""
        if self.virtual_ip is None:
            return frozenset()
        return self.control_plane if self.virtual_ip.in_pods else self.load_balancers
