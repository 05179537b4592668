# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd that begins again: what is next by what is there, what a release can do, and what stands against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_restoring, kubeadm_config, static_pods
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_restoring import (
    DATA,
    DATABASE,
    FINISH,
    FORCE,
    PREPARE,
    SNAPSHOT,
    START,
    STOP,
    TAKE,
    Facts,
    Found,
)

MANIFEST = """\
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://10.0.0.1:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=https://10.0.0.1:2380
    - --initial-cluster=cp1=https://10.0.0.1:2380
    - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379
    - --listen-metrics-urls=http://127.0.0.1:2381
    - --listen-peer-urls=https://10.0.0.1:2380
    - --name=cp1
    - --snapshot-count=10000
    image: k8s.gcr.io/etcd:3.4.13-0
"""
MEMBER = etcd_restoring.member_of(MANIFEST, static_pods.flags_of(MANIFEST))
CA = "sha256:0123456789ab" + 52 * "0"
CLUSTER = "0123456789ab"
GIGABYTE = 1 << 30
FACTS = Facts(
    host="cp1",
    ca=CA,
    member=MEMBER,
    has_data=True,
    formed=True,
    kubelet=True,
    voters=(),
    free_bytes=GIGABYTE,
    data_bytes=GIGABYTE // 2,
    database_bytes=GIGABYTE // 4,
    snapshot_bytes=GIGABYTE // 4,
)


class Killed(Exception):
    """The run is over, wherever it was."""


@dataclass
class Host:
    """A host's evidence, and steps on it that may be killed before each single change.

    Attributes:
        former: where the data of the former member lies.
        new: where the new data lies, and whether it is whole.
        left: how many changes are made until the run is killed.
    """

    manifests: dict[str, str]
    former: str = "member"
    new: tuple[str, bool] | None = None
    work: bool = False
    done: bool = False
    left: int = 10**9

    def change(self, **values: Any) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        for name, value in values.items():
            setattr(self, name, value)

    def found(self) -> Found:
        return Found(
            aside=self.manifests["etcd"] == "aside",
            work=self.work,
            prepared=bool(self.new and self.new[0] == "work"),
            kept=self.former == "work",
            member=self.former == "member" or bool(self.new and self.new[0] == "member"),
            agrees=self.manifests["etcd"] == "place" and self.new == ("member", True),
        )

    def move(self, pod: str, place: str) -> None:
        self.change(manifests={**self.manifests, pod: place})

    def run(self) -> None:
        while not self.done:
            getattr(self, etcd_restoring.next_step(self.found()))()

    def stop(self) -> None:
        for pod in self.manifests:
            self.move(pod, "aside")

    def prepare(self) -> None:
        self.stop()
        assert self.former == "member"
        self.change(new=None, work=False)
        self.change(work=True)
        self.change(new=("work", False))
        self.change(new=("work", True))
        self.change(former="work")

    def take(self) -> None:
        assert self.new == ("work", True)
        self.change(new=("member", True))

    def start(self) -> None:
        assert self.new == ("member", True)
        self.move("etcd", "place")

    def finish(self) -> None:
        assert self.manifests["etcd"] == "place"
        self.change(former="kept", work=False, done=True)


@given(kills=st.lists(st.integers(0, 12), max_size=6), api=st.sampled_from(["place", "aside"]))
def test_killed_anywhere_it_ends_with_proven_data_and_the_former_kept(kills: list[int], api: str) -> None:
    host = Host({"etcd": "place", "api": api})
    for left in kills:
        host.left = left
        try:
            host.run()
        except Killed:
            # No etcd ever starts by itself on data that was not proven.
            assert host.manifests["etcd"] == "aside" or host.new in (None, ("member", True))
    host.left = 10**9
    host.run()
    assert (host.new, host.former, host.work) == (("member", True), "kept", False)
    assert host.manifests["etcd"] == "place"


NOTHING = Found(aside=False, work=False, prepared=False, kept=False, member=True, agrees=False)


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({}, STOP),
        ({"member": False}, STOP),
        ({"aside": True}, PREPARE),
        ({"work": True}, PREPARE),
        ({"aside": True, "work": True, "prepared": True}, PREPARE),
        ({"aside": True, "work": True, "prepared": True, "kept": True, "member": False}, TAKE),
        ({"aside": True, "work": True, "kept": True}, START),
        ({"work": True, "kept": True, "agrees": True}, FINISH),
        ({"work": True, "kept": True}, STOP),
        ({"work": True, "kept": True, "member": False}, STOP),
    ],
)
def test_evidence_tells_the_next_step(changes: dict[str, bool], step: str) -> None:
    assert etcd_restoring.next_step(replace(NOTHING, **changes)) == step


@pytest.mark.parametrize(
    ("version", "bumps", "forces", "program"),
    [
        ("3.3.15", False, False, "etcdctl"),
        ("3.4.13-0", False, False, "etcdctl"),
        ("3.4.14", False, True, "etcdctl"),
        ("3.4.26", False, True, "etcdctl"),
        ("3.4.27", True, True, "etcdctl"),
        ("3.5.0-0", False, False, "etcdctl"),
        ("3.5.10", True, False, "etcdctl"),
        ("3.5.22", True, True, "etcdctl"),
        ("3.6.0", True, False, "etcdutl"),
        ("3.6.1", True, True, "etcdutl"),
        ("3.10.0", True, True, "etcdutl"),
    ],
)
def test_release_tells_what_a_restore_can_do(version: str, bumps: bool, forces: bool, program: str) -> None:
    release = etcd_restoring.release(version)
    assert (etcd_restoring.bumps(release), etcd_restoring.forces(release)) == (bumps, forces)
    assert etcd_restoring.method(DATA, release) == (FORCE if forces else DATABASE)
    assert etcd_restoring.method(SNAPSHOT, release) == SNAPSHOT
    command = etcd_restoring.restore_command(
        SNAPSHOT, release, MEMBER, database="/s/etcd.db", target="/var/lib/etcd/w/new", token="t"
    )
    assert command[:4] == [program, "snapshot", "restore", "/s/etcd.db"]
    assert {"--initial-cluster=cp1=https://10.0.0.1:2380", "--initial-cluster-token=t"} <= set(command)
    assert ("--mark-compacted=true" in command, "--bump-revision=1000000000" in command) == (bumps, bumps)
    assert "--skip-hash-check=true" not in command


@pytest.mark.parametrize("text", ["", "latest", "3.5", "3.5.x", "v3.5.1"])
def test_what_is_no_release_is_none(text: str) -> None:
    assert etcd_restoring.release(text) == ()


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("k8s.gcr.io/etcd:3.4.13-0", "3.4.13"),
        ("registry:5000/etcd:v3.5.16", "3.5.16"),
        ("registry:5000/etcd", ""),
        ("etcd@sha256:" + 64 * "0", ""),
    ],
)
def test_image_tells_its_release_by_its_tag(image: str, tag: str) -> None:
    assert etcd_restoring.member_of(MANIFEST.replace("k8s.gcr.io/etcd:3.4.13-0", image), {}).tag == tag


def test_pod_is_heard_on_loopback_alone_and_sees_what_it_needs() -> None:
    pod = etcd_restoring.pod(
        MEMBER,
        uid="u",
        target="/var/lib/etcd/kubeadm.ha-restore/new",
        restore=["etcdctl"],
        force=False,
        read_only="/var/backups",
    )
    (first,), (etcd,) = pod["spec"]["initContainers"], pod["spec"]["containers"]
    assert "--listen-client-urls=https://127.0.0.1:2379" in etcd["command"]
    assert "--listen-peer-urls=https://127.0.0.1:2380" in etcd["command"]
    assert "--data-dir=/var/lib/etcd/kubeadm.ha-restore/new" in etcd["command"]
    assert not [word for word in etcd["command"] if word.startswith(("--initial-cluster", "--force", "--listen-metr"))]
    assert "--snapshot-count=10000" in etcd["command"]
    mounts = {mount["mountPath"]: mount["readOnly"] for mount in etcd["volumeMounts"]}
    assert mounts == {"/var/lib/etcd": False, "/var/backups": True, "/etc/kubernetes/pki/etcd": True}
    assert first["volumeMounts"] == etcd["volumeMounts"]
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod["spec"]["volumes"]}
    assert {paths[mount["name"]]: mount["mountPath"] for mount in etcd["volumeMounts"]} == {one: one for one in mounts}
    assert (pod["metadata"]["uid"], pod["spec"]["restartPolicy"]) == ("u", "Never")


def test_pod_forgets_the_others_where_it_is_told_to() -> None:
    pod = etcd_restoring.pod(MEMBER, uid="u", target="/var/lib/etcd/w/new", restore=[], force=True)
    assert pod["spec"]["initContainers"] == []
    assert "--force-new-cluster=true" in pod["spec"]["containers"][0]["command"]


def test_manifest_says_afterwards_that_the_cluster_exists_and_nothing_else_new() -> None:
    once = etcd_restoring.protected(MANIFEST)
    assert static_pods.flags_of(once) == {**MEMBER.flags, "initial-cluster-state": "existing"}
    assert etcd_restoring.protected(once) == once
    began = once.replace("state=existing", "state=new")
    assert etcd_restoring.protected(began) == once


def test_what_kubeadm_was_told_follows_the_manifest() -> None:
    flags = {"initial-cluster": "new=https://10.0.0.1:2380", "initial-cluster-state": "new", "name": "new"}
    for said in (flags, [{"name": name, "value": value} for name, value in flags.items()]):
        told = kubeadm_config.dump([{"etcd": {"local": {"extraArgs": said}}}])
        protected = etcd_restoring.told_protected(told)
        (line,) = set(protected.splitlines()) - set(told.splitlines())
        assert '"existing"' in line
        assert etcd_restoring.told_protected(protected) == protected


def refusals(facts: Facts, **options: Any) -> str:
    said = {"source": DATA, "at_hand": (3, 4, 23), "cluster_id": CLUSTER, "expected": {}, "begun": False, **options}
    return "\n".join(map(str, etcd_restoring.refusals(facts, **said)))


def test_what_can_be_done_is_not_refused() -> None:
    assert refusals(FACTS) == ""
    assert refusals(replace(FACTS, has_data=False, formed=False), source=SNAPSHOT) == ""
    assert refusals(replace(FACTS, ca=None)) == ""
    assert refusals(FACTS, expected={"name": "cp1", "data-dir": ""}) == ""


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"voters": ("cp1", "cp2")}, {}, "etcd quorum: found 2 voters that agree (cp1, cp2), wanted none"),
        ({}, {"cluster_id": "ba9876543210"}, "cluster id: found 0123456789ab, wanted ba9876543210"),
        ({}, {"cluster_id": ""}, "cluster id: found 0123456789ab, wanted it as confirmation"),
        ({"ca": None}, {"cluster_id": ""}, "cluster id: found none on this host, wanted it as confirmation"),
        ({"kubelet": False}, {}, "kubelet: found none that runs"),
        ({"member": None}, {}, "/etc/kubernetes/manifests/etcd.yaml: found no file"),
        ({"member": etcd_restoring.Member({}, "")}, {}, "etcd.yaml: found not what kubeadm writes"),
        ({}, {"expected": {"name": "cp2"}}, "etcd's --name: found cp1, wanted cp2"),
        ({"member": replace(MEMBER, flags={**MEMBER.flags, "wal-dir": "/wal"})}, {}, "etcd's --wal-dir: found /wal"),
        ({}, {"at_hand": ()}, "etcd's version: found none in k8s.gcr.io/etcd:3.4.13-0"),
        ({"has_data": False, "formed": False}, {}, "/var/lib/etcd/member: found no data"),
        ({"formed": False}, {}, "found data that was never part of a cluster"),
        ({"free_bytes": 1 << 20}, {}, "/var/lib/etcd: found 1 MiB free, wanted 640 MiB for data beside the old"),
        ({"free_bytes": 1 << 20}, {"source": SNAPSHOT}, "wanted 384 MiB for data beside the old"),
    ],
)
def test_what_stands_against_it_is_said(changes: dict[str, Any], options: dict[str, Any], said: str) -> None:
    assert said in refusals(replace(FACTS, **changes), **options)


def test_restore_that_was_interrupted_after_its_data_was_proven_needs_neither_room_nor_source() -> None:
    assert refusals(replace(FACTS, has_data=False, free_bytes=0), begun=True) == ""


def test_older_snapshot_and_what_a_release_lacks_are_said() -> None:
    (older,) = etcd_restoring.warnings(SNAPSHOT, (3, 5, 16), snapshot_revision=5, data_revision=9)
    assert "ends at revision 5, the data here at 9" in older
    assert etcd_restoring.warnings(SNAPSHOT, (3, 5, 16), snapshot_revision=9, data_revision=5) == []
    assert etcd_restoring.warnings(DATA, (3, 4, 23)) == []
    assert len(etcd_restoring.warnings(DATA, (3, 4, 13))) == 2


def test_only_one_that_knows_no_other_is_alone() -> None:
    own = {"name": "cp1", "peerURLs": ["https://10.0.0.1:2380"]}
    assert etcd_restoring.alone("cp1", MEMBER.peer_url, [own]) is None
    problem = etcd_restoring.alone("cp1", MEMBER.peer_url, [own, {"peerURLs": ["https://10.0.0.2:2380"]}])
    assert problem and "one without a name at https://10.0.0.2:2380" in str(problem)
    assert etcd_restoring.alone("cp1", MEMBER.peer_url, [{**own, "name": "cp2"}])
    assert etcd_restoring.alone("cp1", "https://10.0.0.9:2380", [own])
    assert etcd_restoring.alone("cp1", MEMBER.peer_url, [])


def test_words_of_a_container_come_without_what_runtimes_add() -> None:
    of_cri = "2026-01-02T03:04:05.678Z stderr F Error: it failed\n2026-01-02T03:04:06.678Z stdout F bye\n"
    of_docker = '{"log":"Error: it failed\\n","stream":"stderr","time":"2026-01-02T03:04:05.678Z"}\n'
    assert etcd_restoring.words(of_cri) == "Error: it failed\nbye"
    assert etcd_restoring.words(of_cri, 1) == "bye"
    assert etcd_restoring.words(of_docker) == "Error: it failed"
    assert etcd_restoring.has_failed(of_cri) and etcd_restoring.has_failed(of_docker)
    assert not etcd_restoring.has_failed('2026-01-02T03:04:05.678Z stderr F {"msg":"restored snapshot"}\n')
    assert not etcd_restoring.has_failed("")
