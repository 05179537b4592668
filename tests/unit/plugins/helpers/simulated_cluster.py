# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that exists in memory: hosts, Node objects and etcd members, and kubeadm's stages between them.

It shows each host as ``node_info`` would, and does what a plan says as ``kubeadm init``, ``join`` and ``reset`` would,
up to the stage at which they are killed. The modules' own second look at their host is the real one.

Sources: kubeadm's cmd/phases/{init,join,reset} of 1.20; of 1.29, which adds etcd members as learners; of 1.33, whose
ControlPlaneKubeletLocalMode starts a control plane's etcd before its kubelet registers the node; and etcd_join, which
does before 1.29 what kubeadm's phase control-plane-join/etcd does since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

from ansible_collections.kubeadm.ha.plugins.module_utils import evidence, kube_api, pki, plan, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed
from ansible_collections.kubeadm.ha.plugins.modules import kubeadm_init, kubeadm_join

ENDPOINT = "192.0.2.10:6443"
VERSION = versions.parse("1.20.2")
FOREIGN_CA = "sha256:" + "f" * 64
ADMIN_CONF = "/etc/kubernetes/admin.conf"
ETCD_DATA = "/var/lib/etcd/member"
_FOLDER = evidence.KUBERNETES
_LEAVES = pki.paths(pki.LEAVES)
_CONFS = (ADMIN_CONF, f"{_FOLDER}/controller-manager.conf", f"{_FOLDER}/scheduler.conf")
_BOOTSTRAP_CONF = f"{_FOLDER}/bootstrap-kubelet.conf"
_KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"
_API_SERVER = f"{_FOLDER}/manifests/kube-apiserver.yaml"
_ETCD = f"{_FOLDER}/manifests/etcd.yaml"
_PODS = tuple(f"{_FOLDER}/manifests/{pod}.yaml" for pod in evidence.CONTROL_PLANE_PODS)

Stage = tuple[str, Callable[[], None]]


class Killed(Exception):
    """The run ended here."""


class Failed(Exception):
    """kubeadm, etcd or the module would not go on."""


@dataclass
class Host:
    """One machine."""

    name: str
    address: str
    traces: set[str] = field(default_factory=set)
    ca: str | None = None
    has_run: bool = False
    identity: str | None = None
    up: bool = True


@dataclass
class SimulatedMember:
    """One entry of etcd's member list, and whether a process stands behind it."""

    id: str
    host: Host
    learner: bool = False
    started: bool = False


class SimulatedCluster:
    """Hosts and what they have become.

    Attributes:
        authorities_made: how often a cluster CA was generated.
    """

    def __init__(
        self,
        control_plane: int = 3,
        workers: int = 1,
        *,
        version: versions.Version = VERSION,
        external_etcd: bool = False,
        sealed: bool = False,
    ) -> None:
        self.version, self.external_etcd, self.sealed = version, external_etcd, sealed
        self.control_plane = frozenset(f"cp{number}" for number in range(1, control_plane + 1))
        self.workers = frozenset(f"w{number}" for number in range(1, workers + 1))
        self.hosts = {
            name: Host(name, f"10.0.0.{number}")
            for number, name in enumerate(sorted(self.control_plane | self.workers), start=11)
        }
        self.nodes: dict[str, dict[str, Any]] = {}
        self.members: list[SimulatedMember] = []
        self.lasting: set[str] = set()
        self.authorities_made = 0
        self._last_id = 2**63

    # What is there.

    def healthy(self, member: SimulatedMember) -> bool:
        return member.started and member.host.up and ETCD_DATA in member.host.traces

    @property
    def voters(self) -> list[SimulatedMember]:
        return [member for member in self.members if not member.learner]

    @property
    def has_quorum(self) -> bool:
        return self.external_etcd or 2 * sum(map(self.healthy, self.voters)) > len(self.voters)

    def member_of(self, host: Host) -> SimulatedMember | None:
        return next((member for member in self.members if member.host is host), None)

    def etcd_answers(self, host: Host) -> bool:
        """Whether this host's own etcd lists the members: a learner does not."""
        member = self.member_of(host)
        return member is not None and not member.learner and self.healthy(member) and self.has_quorum

    def api_answers(self, host: Host) -> bool:
        if self.external_etcd:
            return host.up and {_API_SERVER, _KUBELET_CONFIG} <= host.traces
        return self.etcd_answers(host) and {_API_SERVER, _ETCD} <= host.traces

    @property
    def works(self) -> bool:
        return any(map(self.api_answers, self.hosts.values()))

    def is_whole(self, name: str) -> bool:
        """Whether this host is all that it should be."""
        host, node = self.hosts[name], self.nodes.get(name)
        if node is None or evidence.KUBELET_CONF not in host.traces:
            return False
        if name in self.workers:
            return True
        member = self.member_of(host)
        votes = self.external_etcd or (member is not None and member.started and not member.learner)
        return bool(node["control_plane"]) and votes

    def look(self, name: str) -> plan.Observation | None:
        """What ``node_info`` returns for a host, through the same door as the real one."""
        host = self.hosts[name]
        if not host.up:
            return None
        published = "bootstrap-token" in self.lasting
        api = {"answers": True, "nodes": self.nodes, "lasting": sorted(self.lasting)}
        silent = {"answers": False, "error": "connection refused"}
        return plan.Observation.from_result(
            {
                "node_name": name,
                "address": host.address,
                "package_manager": "apt",
                "traces": sorted(host.traces),
                "ca": host.ca,
                "problems": [],
                "has_run": host.has_run,
                "identity": host.identity,
                "endpoint": {
                    "answers": self.works,
                    "ca": self._ca() if self.works and published else None,
                    "error": None,
                },
                "api": (api if self.api_answers(host) else silent) if ADMIN_CONF in host.traces else None,
                "etcd": self.etcd_of(host) if _ETCD in host.traces else None,
            }
        )

    def _ca(self) -> str | None:
        return next(host.ca for host in self.hosts.values() if self.api_answers(host))

    def etcd_of(self, host: Host) -> dict[str, Any]:
        """The members by this host's own etcd, as ``evidence.etcd_state`` tells them."""
        if not self.etcd_answers(host):
            return {"answers": False, "error": "connection refused", "members": []}
        return {"answers": True, "members": [self.listed(member) for member in self.members]}

    def listed(self, member: SimulatedMember) -> dict[str, Any]:
        """As ``etcd.Member.as_dict`` says it."""
        return {
            "id": member.id,
            "name": member.host.name if member.started else "",
            "peer_urls": [f"https://{member.host.address}:2380"],
            "client_urls": [f"https://{member.host.address}:2379"] if member.started else [],
            "learner": member.learner,
            "healthy": self.healthy(member),
            "leader": False,
            "version": "3.4.13" if member.started else "",
        }

    # What is decided.

    def wanted(self, scope: Collection[str] | None = None, **changes: Any) -> plan.Wanted:
        everything = self.control_plane | self.workers
        values = {
            "version": self.version,
            "endpoint": ENDPOINT,
            "control_plane": self.control_plane,
            "workers": self.workers,
            "external_etcd": self.external_etcd,
            "scope": frozenset(everything if scope is None else scope),
        }
        return plan.Wanted(**{**values, **changes})

    def looks(self, scope: Collection[str] | None = None) -> dict[str, plan.Observation | None]:
        everything = self.control_plane | self.workers
        return {name: self.look(name) for name in self.control_plane | set(everything if scope is None else scope)}

    def plan(self, scope: Collection[str] | None = None, **changes: Any) -> plan.Plan:
        return plan.make(self.wanted(scope, **changes), self.looks(scope))

    # What is done.

    def run(
        self,
        scope: Collection[str] | None = None,
        *,
        kills: dict[str, int] | None = None,
        kubelets_go_on: bool = True,
        order: Iterable[str] = (),
    ) -> plan.Plan:
        """One run of site.yml.

        Args:
            scope: ``--limit``.
            kills: by host, before which of its stages kubeadm is killed there.
            kubelets_go_on: a kubelet that was started does its own part though kubeadm was killed.
            order: hosts that come first, of those that join.
        """
        made = self.plan(scope)
        if made.refusals:
            return made
        kills = kills or {}
        first = [host for host, step in made.steps.items() if step.action in (plan.INITIALISE, plan.RESUME)]
        rest = sorted(made.steps.keys() - set(first), key=[*order, *sorted(made.steps)].index)
        for name in [*first, *rest]:
            try:
                self._apply(made, name, kills.get(name))
            except (Killed, Failed) as end:
                if kubelets_go_on and isinstance(end, Killed):
                    self._kubelet_goes_on(self.hosts[name])
                if name in first:
                    break  # any_errors_fatal: nobody joins what is not whole
        return made

    def pass_time(self) -> None:
        """The node monitor's grace period goes by."""
        for name, node in self.nodes.items():
            node["ready"] = self.hosts[name].up and evidence.KUBELET_CONF in self.hosts[name].traces

    def converge(self) -> SimulatedCluster:
        """Run until every host is whole."""
        for _round in range(5):
            self.run()
            self.pass_time()
        assert all(map(self.is_whole, self.hosts))
        return self

    def _apply(self, made: plan.Plan, name: str, killed_before: int | None) -> None:
        host, action = self.hosts[name], self.action_on_host(made.steps[name].action, self.hosts[name])
        stages: list[Stage] = []
        if action == plan.INITIALISE:
            stages = self._init(host)
        elif action in (plan.JOIN, plan.REJOIN, plan.FINISH):
            stages = self._join(host, action)
        for index, (_stage, act) in enumerate(stages):
            if index == killed_before:
                raise Killed
            act()

    def action_on_host(self, planned: str, host: Host) -> str:
        """What the module makes of a step once it has looked at its host."""
        if planned in (plan.NOTHING, plan.BALANCE):
            return plan.NOTHING
        joins = planned not in (plan.INITIALISE, plan.RESUME)
        if joins and not (self.works and self.lasting >= {"upload-config/kubeadm", "bootstrap-token"}):
            raise Failed("no cluster to join yet")
        with (
            mock.patch.multiple(
                evidence,
                traces=lambda: sorted(host.traces),
                lasting_phases=lambda _api, _version: self.lasting,
                has_run=lambda: host.has_run,
                identity=lambda: host.identity,
                etcd_state=lambda _timeout: self.etcd_of(host),
            ),
            mock.patch.multiple(
                kube_api, local_admin=lambda: self._admin(host), kubelet_api=lambda _endpoint: self._as_kubelet(host)
            ),
            mock.patch.object(kubeadm_join, "os", self._files_of(host)),
        ):
            if not joins:
                reason, _again = kubeadm_init.reason_to_run(self.version, [], host.name)
                return plan.INITIALISE if reason else plan.NOTHING
            return kubeadm_join.decide(
                {
                    "endpoint": ENDPOINT,
                    "node_name": host.name,
                    "version": str(self.version),
                    "address": host.address,
                    "control_plane": host.name in self.control_plane,
                    "external_etcd": self.external_etcd,
                }
            )[0]

    def _admin(self, host: Host) -> object:
        if not self.api_answers(host):
            raise RequestFailed("connection refused")
        return self._as_kubelet(host)

    def _as_kubelet(self, host: Host) -> object:
        def find(_path: str) -> dict[str, Any] | None:
            node = self.nodes.get(host.name)
            label = {"node-role.kubernetes.io/master": ""} if node and node["control_plane"] else {}
            return node and {"metadata": {"name": host.name, "labels": label}}

        return SimpleNamespace(find=find)

    def _files_of(self, host: Host) -> object:
        """What modules/kubeadm_join.py needs of the module os."""
        exists = {*host.traces, *([kube_api.KUBELET_CERTIFICATE] if host.has_run else [])}
        return SimpleNamespace(path=SimpleNamespace(exists=exists.__contains__, isdir=exists.__contains__))

    def _init(self, host: Host) -> list[Stage]:
        etcd: list[Stage] = [
            ("etcd", lambda: host.traces.add(_ETCD)),
            ("the kubelet starts etcd and the API server", lambda: self._first_member(host)),
        ]
        return [
            ("certs", lambda: self._make_authority(host)),
            ("kubeconfig", lambda: host.traces.update(_CONFS, [evidence.KUBELET_CONF])),
            ("kubelet-start", lambda: host.traces.add(_KUBELET_CONFIG)),
            ("control-plane", lambda: host.traces.update(_PODS)),
            *([] if self.external_etcd else etcd),
            ("the kubelet registers the node", lambda: self._register(host)),
            ("upload-config/kubeadm", lambda: self.lasting.add("upload-config/kubeadm")),
            ("upload-config/kubelet", lambda: self.lasting.add("upload-config/kubelet")),
            ("mark-control-plane", lambda: self._mark(host)),
            ("bootstrap-token", lambda: self.lasting.add("bootstrap-token")),
            ("kubelet-finalize", lambda: self._finalize(host)),
            ("addon/coredns", lambda: self.lasting.add("addon/coredns")),
            ("addon/kube-proxy", lambda: self.lasting.add("addon/kube-proxy")),
        ]

    def _join_worker(self, host: Host) -> list[Stage]:
        return [
            ("preflight", lambda: self._preflight(host)),
            ("kubelet-start: ca", lambda: self._receive_authority(host, (evidence.CA,))),
            ("kubelet-start: check", lambda: self._refuse_ready_namesake(host)),
            ("kubelet-start", lambda: host.traces.update((_BOOTSTRAP_CONF, _KUBELET_CONFIG))),
            ("the kubelet gets its certificate", lambda: self._certify(host)),
            ("the kubelet registers the node", lambda: self._register(host)),
        ]

    def _join(self, host: Host, action: str) -> list[Stage]:
        """See ``join`` in modules/kubeadm_join.py."""
        own_member = host.name in self.control_plane and not self.external_etcd
        learns = own_member and not versions.joins_as_learner(self.version)
        member = self.member_of(host)
        votes = member is not None and member.started and not member.learner
        mark: list[Stage] = [("mark-control-plane", lambda: self._mark(host))]
        if action == plan.FINISH and (not own_member or votes):
            manifests: list[Stage] = [("control-plane", lambda: host.traces.update(_PODS))]
            return [*(manifests if learns else []), *mark]
        handed: list[Stage] = [("pki_import", lambda: self._receive_authority(host, pki.SHARED))]
        handed = handed if self.sealed and host.name in self.control_plane else []
        undo = self._undo(host) if action == plan.REJOIN or (action == plan.FINISH and not learns) else []
        if host.name in self.workers:
            return undo + self._join_worker(host)
        certs: list[Stage] = [
            ("preflight", lambda: self._preflight(host, handed=pki.SHARED)),
            ("download-certs", lambda: self._download(host)),
            ("certs", lambda: host.traces.update(_LEAVES)),
            ("kubeconfig", lambda: host.traces.update(_CONFS)),
        ]
        pods: list[Stage] = [("control-plane", lambda: host.traces.update(_PODS))]
        kubelet_start: list[Stage] = [
            ("kubelet-start: check", lambda: self._refuse_ready_namesake(host)),
            ("kubelet-start", lambda: host.traces.update((_BOOTSTRAP_CONF, _KUBELET_CONFIG))),
        ]
        kubelet: list[Stage] = [
            ("the kubelet gets its certificate", lambda: self._certify(host)),
            ("the kubelet registers the node", lambda: self._register(host)),
        ]
        etcd: list[Stage] = [
            ("etcd: add the member", lambda: self._add_member(host)),
            ("etcd: manifest", lambda: host.traces.add(_ETCD)),
            ("the kubelet starts etcd", lambda: self._start_member(host)),
            ("etcd: promote", lambda: self._promote(host)),
        ]
        if learns:
            first_half = [] if action == plan.FINISH else certs + kubelet_start + kubelet
            return handed + undo + first_half + etcd + pods + mark
        if self.external_etcd:
            etcd = []
        last = etcd + kubelet if self.version.minor >= 33 else kubelet + etcd
        return handed + undo + certs + pods + kubelet_start + last + mark

    def _undo(self, host: Host) -> list[Stage]:
        return [
            ("remove the etcd member", lambda: self._remove_member(host)),
            ("reset", lambda: self._reset_but_keep_what_was_handed(host)),
        ]

    def _reset_but_keep_what_was_handed(self, host: Host) -> None:
        ca, kept = host.ca, host.traces & pki.SHARED
        self.reset(host)
        if self.sealed and host.name in self.control_plane:
            host.ca, host.traces = ca, kept

    def _download(self, host: Host) -> None:
        """Nothing without a certificate key; then preflight has looked for what should be here."""
        if not self.sealed:
            self._receive_authority(host, pki.SHARED)

    def _kubelet_goes_on(self, host: Host) -> None:
        """Static pods start and nodes are registered by a kubelet that nobody stopped."""
        if _KUBELET_CONFIG not in host.traces:
            return
        if _ETCD in host.traces and self.members and self.member_of(host):
            self._start_member(host)
        elif _ETCD in host.traces and not self.members:
            self._first_member(host)
        if _BOOTSTRAP_CONF in host.traces and self.works:
            self._certify(host)
        if evidence.KUBELET_CONF in host.traces and self.works:
            self._register(host)

    def _make_authority(self, host: Host) -> None:
        if host.ca is None:
            self.authorities_made += 1
            host.ca = f"sha256:{self.authorities_made:064x}"
        host.traces.update(pki.SHARED, _LEAVES)

    def _receive_authority(self, host: Host, files: Iterable[str]) -> None:
        host.ca = self._ca()
        host.traces.update(files)

    def _preflight(self, host: Host, handed: frozenset[str] = frozenset()) -> None:
        if host.traces - handed:
            raise Failed("FileAvailable")
        if self.sealed and handed - host.traces:
            raise Failed("failure loading certificate")

    def _refuse_ready_namesake(self, host: Host) -> None:
        if self.nodes.get(host.name, {}).get("ready"):
            raise Failed(f"a node {host.name} that is Ready exists already")

    def _certify(self, host: Host) -> None:
        host.traces.discard(_BOOTSTRAP_CONF)
        host.traces.add(evidence.KUBELET_CONF)
        self._finalize(host)

    @staticmethod
    def _finalize(host: Host) -> None:
        host.has_run, host.identity = True, host.name

    def _register(self, host: Host) -> None:
        fresh = {"ready": False, "control_plane": False, "kubelet": f"v{self.version}", "pod_cidr": None}
        self.nodes.setdefault(host.name, {**fresh, "address": host.address})

    def _mark(self, host: Host) -> None:
        self.nodes[host.name]["control_plane"] = True

    def _new_member(self, host: Host, *, learner: bool = False) -> SimulatedMember:
        self._last_id += 1
        member = SimulatedMember(str(self._last_id), host, learner=learner)
        self.members.append(member)
        return member

    def _first_member(self, host: Host) -> None:
        if not self.members:
            self._new_member(host)
        self._start_member(host)

    def _add_member(self, host: Host) -> None:
        if self.member_of(host):
            return
        if not all(map(self.healthy, self.voters)) or any(member.learner for member in self.members):
            raise Failed("etcdserver: unhealthy cluster")
        self._new_member(host, learner=True)

    def _start_member(self, host: Host) -> None:
        host.traces.add(ETCD_DATA)
        member = self.member_of(host)
        assert member is not None
        member.started = True

    def _promote(self, host: Host) -> None:
        member = self.member_of(host)
        assert member is not None
        member.learner = False

    def _remove_member(self, host: Host) -> None:
        member = self.member_of(host)
        if member is None:
            return
        others = [voter for voter in self.voters if voter is not member]
        if not member.learner and not 2 * sum(map(self.healthy, others)) > len(others):
            raise Failed("etcd quorum")
        self.members.remove(member)

    @staticmethod
    def reset(host: Host) -> None:
        """As ``kubeadm reset``, or a new installation."""
        host.traces.clear()
        host.ca, host.has_run, host.identity = None, False, None
