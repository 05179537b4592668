# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs that are struck: where each begins, what it shows while it works, and how its end must be."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import points
import signs
import strikes
from kubelab.settings import HOSTS as LAB
from points import KILL, Point
from signs import CONFIG_MAPS, NODES, Sign, file, files, labelled, learner, member, thing, voter, within_one_step
from strikes import bare, reinstall, strike
from support import INVENTORY, ROOT, STATE, Run, api, eventually, host, lab, playbook, rewritten, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import RequestFailed

KEPT = STATE / "chaos"
"""Inventories, recorded boundaries, and the logs of trials that were not survived."""

ENVIRONMENT = {"ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=2s -o ServerAliveInterval=5"}
"""For runs that are let go to their end: hosts come anew right after them, and a kept connection would lead nowhere."""


class Scenario:
    """One kind of run.

    Attributes:
        name: as in keys of points.
        book: the playbook.
        arguments: what it is given.
        control_planes, workers, etcd, balancers: the hosts in its inventory.
    """

    name: str
    book = "site.yml"
    arguments: tuple[str, ...] = ()
    control_planes: tuple[str, ...] = ("cp1", "cp2")
    workers: tuple[str, ...] = ("w1",)
    etcd: tuple[str, ...] = ()
    balancers: tuple[str, ...] = ("lb1",)

    def begin(self) -> None:
        """Bring the hosts to where the run begins."""
        raise NotImplementedError

    def spoil(self) -> None:
        """Know that the hosts are in a state to be thrown away."""

    def signs(self) -> list[list[Sign]]:
        """What shows how far the run's modules have got, in its order, by the jobs that they do on a host."""
        raise NotImplementedError

    @property
    def hosts(self) -> tuple[str, ...]:
        return (*self.balancers, *self.etcd, *self.control_planes, *self.workers)

    @property
    def inventory(self) -> Path:
        """An inventory of these hosts; the endpoint is a load balancer's, or the one control plane's own."""
        return _inventory(self.name, self.control_planes, self.workers, self.etcd, self.balancers)

    def trials(
        self,
        ways: Collection[str] = points.WAYS,
        chain: int = 1,
        is_left: Callable[[Point], bool] = lambda _point: True,
    ) -> list[list[Point]]:
        """All that can be struck, each trial to be made from the beginning.

        Args:
            ways: how to strike.
            chain: how many points a trial may have. What a killed controller leaves running on a host goes on there,
                past all further points of its job, so that the next one has to be another job's.
            is_left: whether a point is still to be tried.
        """
        trials = []
        for how in (way for way in points.WAYS if way in ways):
            jobs = [[point for point in job if is_left(point)] for job in self._jobs(how)]
            if how == points.BOUNDARY:
                trials += points.chained(filter(None, jobs), chain)
            elif how == KILL and chain > 1:
                trials += points.abreast(jobs, chain)
            else:
                trials += points.chained(([point] for job in jobs for point in job), chain)
        return trials

    def _jobs(self, how: str) -> list[list[Point]]:
        """All points of a way to strike, by the jobs that are done on a host, or by what changed since."""
        if how == points.BOUNDARY:
            return points.boundary_trials(self.name, self._boundaries())
        struck: dict[str, Callable[[Sign], bool]] = {
            points.POWER_OFF: lambda _sign: True,
            points.POWER_LOSS: lambda sign: bool(sign.path),
            KILL: lambda sign: sign.step,
        }
        return [
            [Point(self.name, how, f"{sign.host} {sign.what}") for sign in filter(struck[how], job)]
            for job in self.signs()
        ]

    def _boundaries(self) -> list[dict[str, Any]]:
        """The boundaries of a run that nothing disturbs, recorded once for the playbooks and roles as they are."""
        digest = hashlib.sha256()
        for path in sorted(path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*.yml")):
            digest.update(path.read_bytes())
        kept = KEPT / f"boundaries-{self.name}-{digest.hexdigest()[:12]}.json"
        if not kept.exists():
            self.begin()
            told = strikes.record(self.book, self.inventory, self.arguments)
            KEPT.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(told))
        return list(json.loads(kept.read_text()))

    def strike(self, point: Point, grace: float = strikes.GRACE_SECONDS) -> bool:
        """Begin the run and strike it there; return whether it came so far."""
        every = (one for job in self.signs() for one in job)
        sign = next((one for one in every if f"{one.host} {one.what}" == point.where), None)
        assert sign or point.how == points.BOUNDARY, f"{point.key}: no such sign"
        return strike(point, sign, self.book, self.inventory, self.arguments, grace)

    def finish(self) -> None:
        """Run again, and once more.

        Raises:
            AssertionError: the cluster is not whole then, or the last run changed something.
        """
        known = self.authorities()
        again = self._run("again")
        assert again.code == 0, f"the run after it ended with {again.code}: {_last_words(again)}"
        self.expect_whole()
        assert not known or self.authorities() <= known, f"the CA was one of {known}, and is {self.authorities()}"
        third = self._run("third")
        assert third.code == 0, f"the third run ended with {third.code}: {_last_words(third)}"
        assert not third.changes, f"the third run changed {sorted(third.changes)}"

    def _run(self, which: str) -> Run:
        log = STATE / f"logs/chaos-{which}.log"
        return playbook(*self.arguments, book=self.book, inventory=self.inventory, env=ENVIRONMENT, log=log)

    def authorities(self) -> set[str]:
        """The hashes of the CA certificates on control planes and workers, as far as they are whole."""
        places = [
            signs.inside(name, f"{signs.KUBERNETES}/pki/ca.crt") for name in (*self.control_planes, *self.workers)
        ]
        texts = [place.read_bytes() for place in places if place.exists()]
        return {hashlib.sha256(text).hexdigest() for text in texts if b"END CERTIFICATE" in text}

    def expect_whole(self) -> None:
        """Every node is there and Ready, and no other; etcd's members are all voters and healthy; there is one CA.

        Raises:
            AssertionError: something is not so, and does not become so.
        """
        wanted = {*self.control_planes, *self.workers}
        eventually(lambda: _ready_nodes() == (wanted, wanted), f"nodes {sorted(wanted)} are there and Ready", 60)
        members = self.etcd or self.control_planes
        eventually(lambda: _etcd_is_whole(members), f"etcd's members are {members}, healthy voters", 60)
        assert len(self.authorities()) == 1, f"CAs: found {self.authorities()}, wanted one"


class Build(Scenario):
    """site.yml on bare hosts."""

    name = "build"

    def begin(self) -> None:
        bare(*self.hosts)

    def signs(self) -> list[list[Sign]]:
        return [
            [*files("lb1", "/usr/sbin/haproxy"), file("lb1", "/etc/haproxy/haproxy.cfg", holds="kube_apiserver")],
            _signs_of_preparation("cp1"),
            _signs_of_init("cp1"),
            [*_signs_of_control_plane("cp2", by="cp1"), labelled("cp2", by="cp1")],
            _signs_of_worker("w1", by="cp1"),
        ]


class External(Scenario):
    """site.yml on bare hosts, etcd among them, with one control plane that is its own endpoint."""

    name = "external"
    control_planes = ("cp1",)
    workers = ()
    etcd = ("etcd1", "etcd2", "etcd3")
    balancers = ()

    def begin(self) -> None:
        bare(*self.hosts)

    def signs(self) -> list[list[Sign]]:
        return [
            _on_disk(files("etcd1", "pki/etcd/ca.key", "pki/etcd/ca.crt", "pki/etcd/peer.crt")),
            [
                *files("etcd2", "/etc/systemd/system/kubelet.service.d/20-etcd-service-manager.conf"),
                *_on_disk(files("etcd2", "pki/etcd/peer.key", "pki/etcd/ca.crt", "pki/etcd/peer.crt")),
                *files("etcd2", "manifests/etcd.yaml", "kubeadm-etcd.yaml", "/var/lib/etcd/member"),
            ],
            [
                *_on_disk(files("cp1", "pki/apiserver-etcd-client.key", "pki/apiserver-etcd-client.crt")),
                *files("cp1", "pki/ca.crt"),
            ],
        ]


class ScaleUp(Scenario):
    """site.yml on a cluster whose inventory got a third control plane and a second worker."""

    name = "scale_up"
    control_planes = ("cp1", "cp2", "cp3")
    workers = ("w1", "w2")
    new = ("cp3", "w2")

    def __init__(self) -> None:
        self._base: _Base | None = None

    def begin(self) -> None:
        if self._base and self._base.forget(*self.new):
            reinstall(*self.new)
            return
        build = Build()
        build.begin()
        succeed(playbook(inventory=build.inventory, env=ENVIRONMENT))
        self.adopt()
        lab("up", *self.new)

    def adopt(self) -> None:
        """Take the cluster that is there, which the build made, for the one that is to grow."""
        self._base = _Base("cp1", "lb1")

    def spoil(self) -> None:
        self._base = None

    def signs(self) -> list[list[Sign]]:
        return [
            _signs_of_preparation("cp3"),
            [*_signs_of_control_plane("cp3", by="cp1"), labelled("cp3", by="cp1")],
            _signs_of_worker("w2", by="cp1"),
        ]


class Replace(Scenario):
    """recover.yml after the first control plane has died and was installed anew under its old name."""

    name = "replace"
    book = "playbooks/recover.yml"
    arguments = ("-e", "recover_apply=true")
    control_planes = ("cp1", "cp2", "cp3")
    workers = ()
    victim, survivor = "cp1", "cp2"

    def __init__(self) -> None:
        self._whole = False
        self._member: str | None = None
        self._node: str | None = None

    def begin(self) -> None:
        if not self._whole:
            bare(*self.hosts)
            succeed(playbook(inventory=self.inventory, env=ENVIRONMENT))
        self.adopt()

    def adopt(self) -> None:
        """Have the victim die in the cluster that is there, and come back bare."""
        self._member = (member(self.victim, self.survivor) or {}).get("ID")
        self._node = signs.identity(f"{NODES}/{self.victim}", self.survivor)
        assert self._member and self._node, f"{self.victim} is no member, so it cannot be replaced"
        reinstall(self.victim)
        self._whole = True

    def spoil(self) -> None:
        self._whole = False

    def signs(self) -> list[list[Sign]]:
        return [
            [
                signs.member_gone(self.victim, self.survivor, self._member),
                signs.node_gone(self.victim, self.survivor, self._node),
            ],
            _signs_of_preparation(self.victim),
            _signs_of_control_plane(self.victim, self.survivor, self._member, self._node),
        ]


class _Base:
    """A cluster as it was before hosts were added, to be had back without building it."""

    def __init__(self, anchor: str, balancer: str) -> None:
        self._anchor = anchor
        self._balancer = balancer
        self._balancing = host(balancer).file("/etc/haproxy/haproxy.cfg").content_string
        self._configuration = signs.api_of(anchor).get(f"{CONFIG_MAPS}/kubeadm-config")["data"]

    def forget(self, *names: str) -> bool:
        """Take hosts out without asking them; return whether the cluster answered all the way."""
        strikes.switch_off(*names)
        try:
            for name in names:
                if own := member(name, self._anchor):
                    signs.etcd(self._anchor, "cluster/member/remove", {"ID": own["ID"]})
            kube = signs.api_of(self._anchor, timeout=10)
            for name in names:
                kube.delete(f"{NODES}/{name}")
                for pod in kube.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{name}")["items"]:
                    metadata = pod["metadata"]
                    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
                    kube.delete(f"{path}?gracePeriodSeconds=0")
            configuration = kube.get(f"{CONFIG_MAPS}/kubeadm-config")
            kube.replace(f"{CONFIG_MAPS}/kubeadm-config", {**configuration, "data": self._configuration})
        except (RequestFailed, OSError, ValueError):
            return False
        writing = ["ssh", "-F", str(STATE / "ssh_config"), self._balancer]
        command = "cat > /etc/haproxy/haproxy.cfg && systemctl reload haproxy"
        subprocess.run([*writing, command], input=self._balancing, text=True, check=True)
        return True


def _inventory(
    name: str,
    control_planes: tuple[str, ...],
    workers: tuple[str, ...],
    etcd: tuple[str, ...],
    balancers: tuple[str, ...],
) -> Path:
    folder = KEPT / f"inventory-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    groups = {"control_plane": control_planes, "workers": workers, "etcd": etcd, "load_balancers": balancers}

    def reduce(everything: dict[str, Any]) -> None:
        endpoint = LAB[(balancers or control_planes)[0]].address
        everything["vars"]["cluster_control_plane_endpoint"] = f"{endpoint}:6443"
        if etcd:
            everything["vars"]["cluster_etcd_topology"] = "external"
        everything["children"] = {group: {"hosts": dict.fromkeys(names)} for group, names in groups.items() if names}

    return rewritten(folder, reduce, INVENTORY)


def _on_disk(signs_of_files: list[Sign]) -> list[Sign]:
    """Files that are whole as soon as they are there, whatever happens: kubeadm has not written them."""
    return [replace(sign, path="") for sign in signs_of_files]


def _signs_of_preparation(name: str) -> list[Sign]:
    return [
        *files(name, "/etc/containerd/config.toml", "/usr/local/bin/kubelet", "/opt/cni/bin/bridge"),
        *files(name, "/etc/systemd/system/kubelet.service", "/opt/kubeadm-ha/bridge_network.py"),
    ]


def _signs_of_init(name: str) -> list[Sign]:
    return [
        *within_one_step(
            *files(name, "pki/ca.key", "pki/ca.crt", "pki/front-proxy-ca.crt", "pki/etcd/ca.crt", "pki/sa.key")
        ),
        *within_one_step(*files(name, "admin.conf", "kubelet.conf", "scheduler.conf")),
        *files(name, "/var/lib/kubelet/config.yaml", "manifests/kube-apiserver.yaml"),
        *within_one_step(
            *files(name, "manifests/etcd.yaml", "/var/lib/etcd/member"),
            *files(name, "/var/lib/kubelet/pki/kubelet-client-current.pem"),
        ),
        thing(name, "API", "/api/v1/namespaces/default", by=name),
        thing(name, "kubeadm-config", f"{CONFIG_MAPS}/kubeadm-config", by=name),
        thing(name, "kubelet-config", f"{CONFIG_MAPS}/kubelet-config-1.20", by=name),
        labelled(name, by=name),
        thing(name, "cluster-info", "/api/v1/namespaces/kube-public/configmaps/cluster-info", by=name),
        file(
            name, f"{signs.KUBERNETES}/kubelet.conf", holds="kubelet-client-current.pem", what="kubelet.conf finalized"
        ),
        thing(name, "kube-proxy", "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy", by=name),
    ]


def _signs_of_control_plane(
    name: str, by: str, old_member: str | None = None, old_node: str | None = None
) -> list[Sign]:
    return [
        *within_one_step(*files(name, "pki/ca.key", "pki/sa.pub")),
        *within_one_step(*files(name, "pki/etcd/peer.crt", "pki/apiserver.crt")),
        *files(name, "admin.conf"),
        *_signs_of_kubelet(name),
        thing(name, f"node {name}", f"{NODES}/{name}", by, old_node),
        learner(name, by, started=False),
        *within_one_step(*files(name, "manifests/etcd.yaml", "/var/lib/etcd/member")),
        learner(name, by, started=True),
        voter(name, by, old_member),
        *within_one_step(*files(name, "manifests/kube-apiserver.yaml", "manifests/kube-scheduler.yaml")),
        thing(name, "API", "/api/v1/namespaces/default", by=name),
    ]


def _signs_of_worker(name: str, by: str) -> list[Sign]:
    return [
        *_signs_of_kubelet(name, "pki/ca.crt"),
        thing(name, f"node {name}", f"{NODES}/{name}", by=by),
    ]


def _signs_of_kubelet(name: str, *more: str) -> list[Sign]:
    """Of one that is started to ask the cluster for its certificate."""
    return [
        *within_one_step(*files(name, "bootstrap-kubelet.conf", *more, "/var/lib/kubelet/config.yaml")),
        *within_one_step(*files(name, "kubelet.conf", "/var/lib/kubelet/pki/kubelet-client-current.pem")),
    ]


def _ready_nodes() -> tuple[set[str], set[str]]:
    """Names of all nodes, and of those that are Ready, as users see them."""
    nodes = api().get(NODES)["items"]
    ready = {
        node["metadata"]["name"]
        for node in nodes
        if any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
    }
    return {node["metadata"]["name"] for node in nodes}, ready


def _etcd_is_whole(names: tuple[str, ...]) -> bool:
    """Whether these hosts' etcds, and no others, are voters of one cluster with one leader, and none complains."""
    try:
        statuses = [signs.etcd(name, "maintenance/status") for name in names]
        members = signs.etcd(names[0], "cluster/member/list")["members"]
    except (RequestFailed, OSError, ValueError):
        return False
    return (
        {one.get("name") for one in members if not one.get("isLearner")} == set(names)
        and len(members) == len(names)
        and len({status["header"]["cluster_id"] for status in statuses}) == 1
        and len({status.get("leader") for status in statuses}) == 1
        and not any(status.get("errors") for status in statuses)
    )


def _last_words(run: Run) -> str:
    """What a failed run said of its failures."""
    return " | ".join(run.failures)[:1500] or " | ".join(run.output.splitlines()[-5:])


SCENARIOS: dict[str, type[Scenario]] = {one.name: one for one in (Build, ScaleUp, Replace, External)}
