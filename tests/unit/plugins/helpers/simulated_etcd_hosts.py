# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of etcd that exist in memory, a control plane that needs them, and the stages by which a run makes them.

Each host is shown as ``node_info`` would show it, and what a plan says is done as site.yml does it, up to the stage at
which the run is killed. Kubelets go on then: what has a manifest is started.

Sources: a member that is started first writes down those of its --initial-cluster; a quorum of these elects a leader,
whose log every one of them holds from then on; each one that runs publishes its client URLs (etcd's
server/etcdserver/server.go, bootstrap.go). Adding and promoting are ``etcd_join``'s.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, pki, plan, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_settings import EtcdSettings

VERSION = versions.parse("1.20.2")
ENDPOINT = "192.0.2.10:6443"
CA_CERTIFICATE, CA_KEY = pki.ETCD_CA.public, str(pki.ETCD_CA.private)
LEAVES = frozenset(pki.ETCD_HOST_FILES) - {CA_CERTIFICATE}
CONTROL_PLANE = "cp1"

Stage = tuple[str, Callable[[], None]]


class Killed(Exception):
    """The run ended here."""


class Failed(Exception):
    """A module would not go on."""


@dataclass
class Data:
    """What a member has on its disk."""

    cluster_id: str
    member_id: str
    initial_cluster: str = ""
    formed: bool = False


@dataclass
class Host:
    """One machine."""

    name: str
    address: str
    traces: set[str] = field(default_factory=set)
    ca: str | None = None
    making_ca: bool = False
    service_manager: bool = False
    initial_cluster: str = ""
    initial_state: str = ""
    data: Data | None = None
    up: bool = True

    @property
    def peer_url(self) -> str:
        return f"https://{self.address}:2380"


@dataclass
class Member:
    """One entry of a cluster's member list."""

    id: str
    name: str
    peer_url: str
    published: bool = False
    learner: bool = False


def _id(*parts: str) -> str:
    """As etcd has ids: hashes, in decimal."""
    return str(2**63 + zlib.crc32("".join(parts).encode()))


class SimulatedEtcdHosts:
    """Hosts and what they have become.

    Attributes:
        members: of the cluster that was formed, in its own words.
        formed: the ids of all clusters that ever had a leader.
        authorities_made: how often a CA was generated.
        initialised: a Kubernetes cluster lives in it.
    """

    def __init__(self, size: int = 3) -> None:
        self.hosts = {f"etcd{number}": Host(f"etcd{number}", f"10.0.1.{number}") for number in range(1, size + 1)}
        self.control_plane = Host(CONTROL_PLANE, "10.0.0.1")
        self.members: dict[str, Member] = {}
        self.formed: list[str] = []
        self.authorities_made = 0
        self.initialised = False
        self._last_id = 2**63

    # What is there.

    def grow(self) -> None:
        """The inventory gets one more etcd host."""
        number = len(self.hosts) + 1
        self.hosts[f"etcd{number}"] = Host(f"etcd{number}", f"10.0.1.{number}")

    def give_ca(self, name: str) -> None:
        """Somebody puts a CA and its key there."""
        self.hosts[name].traces |= {CA_CERTIFICATE, CA_KEY}
        self.hosts[name].ca = "sha256:given"

    def runs(self, host: Host) -> bool:
        return host.up and evidence.ETCD_MANIFEST in host.traces and host.data is not None

    def _by_id(self, member_id: str) -> Host | None:
        return next((host for host in self.hosts.values() if host.data and host.data.member_id == member_id), None)

    def healthy(self, member: Member) -> bool:
        host = self._by_id(member.id)
        return member.published and host is not None and self.runs(host) and self.has_quorum

    @property
    def has_quorum(self) -> bool:
        voters = [one for one in self.members.values() if not one.learner]
        running = [one for one in voters if (host := self._by_id(one.id)) and self.runs(host)]
        return 2 * len(running) > len(voters)

    def is_whole(self, name: str) -> bool:
        host = self.hosts[name]
        member = self.members.get(host.data.member_id) if host.data else None
        return (
            member is not None
            and not member.learner
            and self.healthy(member)
            and host.service_manager
            and host.traces >= {*pki.ETCD_HOST_FILES}
        )

    def listed(self) -> list[dict[str, Any]]:
        """As ``etcd.Member.as_dict`` says them."""
        return [
            {
                "id": one.id,
                "name": one.name,
                "peer_urls": [one.peer_url],
                "client_urls": [one.peer_url.replace("2380", "2379")] if one.published else [],
                "learner": one.learner,
                "healthy": self.healthy(one),
                "leader": False,
                "version": "3.4.13" if one.published else "",
            }
            for one in self.members.values()
        ]

    def look(self, name: str) -> plan.Observation | None:
        """What ``node_info`` returns for a host, through the same door as the real one."""
        host = self.control_plane if name == CONTROL_PLANE else self.hosts[name]
        if not host.up:
            return None
        works = self.initialised and self.has_quorum
        data = host.data
        member = self.members.get(data.member_id) if data else None
        answers = self.runs(host) and member is not None and not member.learner and member.published and self.has_quorum
        keys = 100 if self.initialised else 0
        speaks = {"cluster_id": data.cluster_id, "leader": True, "keys": keys} if answers and data else {}
        is_node = name == CONTROL_PLANE and self.initialised
        node = {"ready": True, "control_plane": True, "address": host.address, "kubelet": "v1.20.2", "pod_cidr": None}
        api = {"answers": works, "nodes": {name: node}, "lasting": [*evidence.INIT_PHASES], "etcd": self._record()}
        flags = {"initial-cluster": host.initial_cluster, "initial-cluster-state": host.initial_state}
        return plan.Observation.from_result(
            {
                "node_name": name,
                "address": host.address,
                "package_manager": "apt",
                "traces": sorted(host.traces | ({f"{evidence.ETCD_DATA_DIR}/member"} if data else set())),
                "ca": "sha256:cluster" if is_node else None,
                "public_keys": {CA_CERTIFICATE: host.ca} if CA_CERTIFICATE in host.traces else {},
                "problems": [],
                "has_run": is_node,
                "identity": name if is_node else None,
                "endpoint": {"answers": works, "ca": "sha256:cluster" if works else None, "error": None},
                "api": (api if works else {"answers": False, "error": "refused"}) if is_node else None,
                "etcd": {"answers": answers, "members": self.listed() if answers else [], **speaks}
                if evidence.ETCD_MANIFEST in host.traces
                else None,
                "etcd_files": {
                    "flags": flags if host.initial_cluster else {},
                    "data": vars(data) if data else None,
                    "service_manager": host.service_manager,
                    "ca_in_the_making": host.making_ca,
                },
            }
        )

    def _record(self) -> dict[str, Any]:
        return {
            "topology": "external",
            "endpoints": [f"https://{host.address}:2379" for host in self.hosts.values()][:3],
        }

    # What is decided.

    def wanted(self, scope: Collection[str] | None = None) -> plan.Wanted:
        return plan.Wanted(
            version=VERSION,
            endpoint=ENDPOINT,
            control_plane=frozenset((CONTROL_PLANE,)),
            etcd=frozenset(self.hosts),
            etcd_settings=dict.fromkeys(self.hosts, EtcdSettings()),
            external_etcd=True,
            scope=frozenset((CONTROL_PLANE, *self.hosts) if scope is None else scope),
        )

    def plan(self, scope: Collection[str] | None = None) -> plan.Plan:
        return plan.make(self.wanted(scope), {name: self.look(name) for name in (CONTROL_PLANE, *self.hosts)})

    # What is done.

    def run(self, scope: Collection[str] | None = None, *, killed_before: int | None = None) -> plan.Plan:
        """One run of site.yml.

        Args:
            scope: ``--limit``.
            killed_before: the stage, counted over all hosts, before which the run is killed.
        """
        made = self.plan(scope)
        if not made.refusals:
            try:
                for index, (_stage, act) in enumerate(self._stages(made)):
                    if index == killed_before:
                        raise Killed
                    act()
                    self.settle()
            except (Killed, Failed):
                pass
        self.settle()
        return made

    def _stages(self, made: plan.Plan) -> list[Stage]:
        """In the order of site.yml; stages of one play by host."""
        hosts = sorted(host for host, step in made.steps.items() if step.role == plan.ETCD_MEMBER)
        authority = made.etcd.authority
        stages: list[Stage] = [(f"service manager {name}", self._set("service_manager", name)) for name in hosts]
        if authority in hosts:
            stages += self._make_ca(self.hosts[str(authority)])
        stages += [
            (f"certificates {name}", lambda name=name: self._certify(self.hosts[name], authority)) for name in hosts
        ]
        for name in hosts:
            action = made.steps[name].action
            if action == plan.START:
                stages.append((f"start {name}", lambda name=name: self._start(name, made.etcd.initial_cluster)))
            elif action == plan.ADD:
                stages += [
                    (f"add {name}", lambda name=name: self._add(self.hosts[name])),
                    (f"run {name}", lambda name=name: self._run_added(self.hosts[name])),
                    (f"promote {name}", lambda name=name: self._promote(self.hosts[name])),
                ]
        stages += [("see all members well", lambda: self._wait_for(hosts))]
        if made.etcd.clients:
            stages.append(("client's certificate", lambda: self._certify(self.control_plane, authority, client=True)))
        if any(step.action in (plan.INITIALISE, plan.RESUME) for step in made.steps.values()):
            stages.append(("init", self._initialise))
        return stages

    def settle(self) -> None:
        """Time goes by: kubelets start what has a manifest, and members that make a quorum elect a leader."""
        for host in self.hosts.values():
            if host.up and host.service_manager and evidence.ETCD_MANIFEST in host.traces and host.data is None:
                self._first_run(host)
        waiting: dict[str, list[Host]] = {}
        for host in self.hosts.values():
            if self.runs(host) and host.data and not host.data.formed and host.data.initial_cluster:
                waiting.setdefault(host.data.cluster_id, []).append(host)
        for cluster_id, hosts in waiting.items():
            assert hosts[0].data is not None
            parts = hosts[0].data.initial_cluster.split(",")
            if cluster_id not in self.formed and 2 * len(hosts) > len(parts):
                self.formed.append(cluster_id)
                for part in parts:
                    name, _separator, url = part.partition("=")
                    self.members[_id(cluster_id, name)] = Member(_id(cluster_id, name), name, url)
            if cluster_id in self.formed:
                for host in hosts:
                    assert host.data is not None
                    host.data.formed = True
        for host in self.hosts.values():
            member = self.members.get(host.data.member_id) if host.data else None
            if member and self.runs(host) and self.has_quorum:
                assert host.data is not None
                host.data.formed = True
                member.published, member.name = True, host.name

    def _first_run(self, host: Host) -> None:
        listed = {one.name: one for one in self.members.values()}
        if host.initial_state == "new":
            cluster_id = _id(host.initial_cluster)
            own = self.members.get(_id(cluster_id, host.name))
            if own and own.published:
                return  # its peers tell it that it has been started before
            host.data = Data(cluster_id, _id(cluster_id, host.name), host.initial_cluster)
        else:
            own = next((one for one in self.members.values() if one.peer_url == host.peer_url), None)
            if own is None or not self.has_quorum:
                return
            named = {f"{one.name}={one.peer_url}" for one in listed.values() if one.name}
            if {*host.initial_cluster.split(",")} != named | {f"{host.name}={host.peer_url}"}:
                return  # member count is unequal
            host.data = Data(self.formed[0], own.id)

    def _set(self, attribute: str, name: str) -> Callable[[], None]:
        return lambda: setattr(self.hosts[name], attribute, True)

    def _make_ca(self, host: Host) -> list[Stage]:
        if host.traces >= {CA_CERTIFICATE, CA_KEY} and not host.making_ca:
            return []

        def generate() -> None:
            host.traces -= {CA_CERTIFICATE}
            self.authorities_made += 1
            host.traces.add(CA_KEY)

        def certificate() -> None:
            host.traces.add(CA_CERTIFICATE)
            host.ca = f"sha256:{self.authorities_made}"

        return [
            ("mark", lambda: setattr(host, "making_ca", True)),
            ("CA's key", generate),
            ("CA's certificate", certificate),
            ("unmark", lambda: setattr(host, "making_ca", False)),
        ]

    def _certify(self, host: Host, authority: str | None, *, client: bool = False) -> None:
        files = frozenset(pki.ETCD_CLIENT_FILES if client else pki.ETCD_HOST_FILES)
        if files <= host.traces:
            return
        signer = self.hosts[authority] if authority else None
        if signer is None or not signer.up or not signer.traces >= {CA_CERTIFICATE, CA_KEY}:
            raise Failed("nobody signs")
        host.traces |= files
        host.ca = signer.ca

    def _start(self, name: str, initial_cluster: str) -> None:
        host = self.hosts[name]
        host.traces.add(evidence.ETCD_MANIFEST)
        host.initial_cluster, host.initial_state = initial_cluster, "new"

    def _own(self, host: Host) -> Member | None:
        return next((one for one in self.members.values() if one.peer_url == host.peer_url), None)

    def _add(self, host: Host) -> None:
        if not self.has_quorum:
            raise Failed("no quorum")
        if self._own(host):
            return
        if host.data or not all(map(self.healthy, self.members.values())):
            raise Failed("etcdserver: unhealthy cluster")
        self._last_id += 1
        self.members[str(self._last_id)] = Member(str(self._last_id), "", host.peer_url, learner=True)

    def _run_added(self, host: Host) -> None:
        named = {f"{one.name}={one.peer_url}" for one in self.members.values() if one.name}
        host.traces.add(evidence.ETCD_MANIFEST)
        host.initial_cluster = ",".join(sorted({*named, f"{host.name}={host.peer_url}"}))
        host.initial_state = "existing"

    def _promote(self, host: Host) -> None:
        member = self._own(host)
        if member is None or not self.healthy(member):
            raise Failed("not in sync with its leader")
        member.learner = False

    def _wait_for(self, hosts: Collection[str]) -> None:
        if not all(map(self.is_whole, hosts)):
            raise Failed("not all members are well")

    def _initialise(self) -> None:
        if not self.has_quorum or not self.control_plane.traces >= {*pki.ETCD_CLIENT_FILES}:
            raise Failed("etcd is not reached")
        self.initialised = True
        self.control_plane.traces |= {
            evidence.KUBELET_CONF,
            *pki.paths(pki.COMMON),
            *evidence.POD_MANIFESTS,
            *(f"{evidence.KUBERNETES}/{name}.conf" for name in ("admin", "controller-manager", "scheduler")),
        }
