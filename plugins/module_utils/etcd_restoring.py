# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd without its quorum, begun again as a cluster of one member: what was done by the evidence, and what is next.

New data is prepared beside the old, by a pod that runs once and is heard on loopback alone. Only data from which an
etcd has answered as the only member takes the old one's place, and the old one is renamed. Each step is one rename or
can be done again from its start, so that a look at what is there tells how far it went. Pure.

Sources: etcd's CHANGELOG-3.4, -3.5 and -3.6 for what each release can do and gets wrong; snapshot restore and
force-new-cluster in etcd's etcdutl/snapshot and server/etcdserver/bootstrap.go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import etcd_data, identity
from .https_json import url
from .problems import Problem

DATA, SNAPSHOT = "data", "snapshot"

# Steps, in their order.
STOP, PREPARE, TAKE, START, FINISH, SERVE = "stop", "prepare", "take", "start", "finish", "serve"
_MEANING = {
    STOP: "stop etcd and the API server",
    PREPARE: "prepare new data beside the old, and keep the old",
    TAKE: "give the new data the old one's place",
    START: "start etcd as the only member",
    FINISH: "name what is kept",
    SERVE: "start the API server, and what leans on it",
}

# Below etcd's data directory while a restore is under way: the data that is prepared, and then the former member's.
WORK = etcd_data.WORK

# How the prepared data comes about: by etcd's own --force-new-cluster on a copy of the data, log included; by a restore
# of the data's database; or by one of a snapshot.
FORCE, DATABASE = "force", "database"

# Kubernetes recommends so much: more than any cluster writes between a snapshot and its loss.
# Source: kubernetes.io, "Operating etcd clusters for Kubernetes", restoring an etcd cluster.
BUMP = 1_000_000_000

# etcd allocates two segments of its log at once.
_LOG_BYTES = 2 * 64 * 1024 * 1024

POD = "etcd-restore"
RESTORE_CONTAINER, ETCD_CONTAINER = "restore", "etcd"

_IMAGE = re.compile(r"^\s*image: [\"']?([^\s\"']+)", re.MULTILINE)
_TAG = re.compile(r":v?(\d+\.\d+\.\d+)[^:/]*$")
_STATE = re.compile(r"^(?P<before>[ \t]*- [\"']?--initial-cluster-state=)[a-z]+", re.MULTILINE)
_INITIAL = re.compile(r"^(?P<item>[ \t]*- )[\"']?--initial-cluster=.*$", re.MULTILINE)

Release = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """What there is of a restore.

    Attributes:
        aside: etcd's manifest lies aside.
        work: the folder of a restore is there,
        prepared: and in it new data,
        kept: and the former member's.
        member: the data directory holds a member's data.
        agrees: this host's etcd is of a cluster with a quorum.
    """

    aside: bool
    work: bool
    prepared: bool
    kept: bool
    member: bool
    agrees: bool


def next_step(found: Found) -> str:
    """The step to be done next; one that was interrupted is done again.

    Data is only kept once the new one is proven, so where it is kept, what was prepared is whole. What is kept while
    etcd is neither stopped nor well is of an earlier restore, which was all but finished.
    """
    if not found.kept:
        return PREPARE if found.aside or found.work else STOP
    if not found.member:
        return TAKE if found.prepared else STOP
    if found.aside:
        return START
    return FINISH if found.agrees else STOP


def steps(first: str) -> list[str]:
    """This step and all that follow, in words."""
    names = list(_MEANING)
    return [_MEANING[name] for name in names[names.index(first) :]]


@dataclass(frozen=True)
class Member:
    """This host's member as its manifest describes it.

    Attributes:
        flags: etcd's, without their dashes.
        image: of its container.
    """

    flags: Mapping[str, str]
    image: str

    @property
    def name(self) -> str:
        return self.flags.get("name", "")

    @property
    def peer_url(self) -> str:
        return self.flags.get("initial-advertise-peer-urls", "")

    @property
    def data_dir(self) -> str:
        return self.flags.get("data-dir", "")

    @property
    def client_port(self) -> int:
        return _port(self.flags.get("listen-client-urls", ""), 2379)

    @property
    def peer_port(self) -> int:
        return _port(self.flags.get("listen-peer-urls", ""), 2380)

    @property
    def tag(self) -> str:
        """The release of etcd that its image is named after; empty where it is not."""
        match = _TAG.search(self.image)
        return match[1] if match else ""


def member_of(manifest: str, flags: Mapping[str, str]) -> Member:
    """The member that a manifest of kubeadm's runs."""
    image = _IMAGE.search(manifest)
    return Member(flags, image[1] if image else "")


def _port(urls: str, default: int) -> int:
    return urlsplit(urls.split(",")[0]).port or default


def release(version: str) -> Release:
    """``3.4.13`` as numbers; empty where it is none."""
    parts = version.split("-")[0].split(".")
    return tuple(int(part) for part in parts) if len(parts) == 3 and all(map(str.isdigit, parts)) else ()


def bumps(at_hand: Release) -> bool:
    """Whether a restore can raise the revision and mark what is below it as compacted.

    Watchers of what is restored then learn that they have to begin anew, rather than wait for revisions of the past.
    """
    return at_hand >= (3, 5, 10) or (3, 4, 27) <= at_hand < (3, 5)


def forces(at_hand: Release) -> bool:
    """Whether --force-new-cluster does what it says, learners in the log included."""
    return at_hand >= (3, 6, 1) or (3, 5, 22) <= at_hand < (3, 6) or (3, 4, 14) <= at_hand < (3, 5)


def method(source: str, at_hand: Release) -> str:
    """How the new data is prepared."""
    if source == SNAPSHOT:
        return SNAPSHOT
    return FORCE if forces(at_hand) else DATABASE


def restore_command(how: str, at_hand: Release, member: Member, *, database: str, target: str, token: str) -> list[str]:
    """The program in etcd's image that makes a data directory of a database, and its arguments.

    Args:
        how: ``SNAPSHOT``, or ``DATABASE`` for one without a digest.
        at_hand: the image's release.
        member: that is to begin again.
        database: the file as the container sees it.
        target: the data directory to be made.
        token: of the new cluster. With one of its own it shares no id with the former, whose members may come back.
    """
    arguments = [
        f"--data-dir={target}",
        f"--name={member.name}",
        f"--initial-cluster={member.name}={member.peer_url}",
        f"--initial-cluster-token={token}",
        f"--initial-advertise-peer-urls={member.peer_url}",
    ]
    arguments += ["--skip-hash-check=true"] if how == DATABASE else []
    arguments += [f"--bump-revision={BUMP}", "--mark-compacted=true"] if bumps(at_hand) else []
    return ["etcdutl" if at_hand >= (3, 6) else "etcdctl", "snapshot", "restore", database, *arguments]


def pod(
    member: Member, *, uid: str, target: str, restore: list[str], force: bool, read_only: str = ""
) -> dict[str, Any]:
    """A static pod that prepares data and runs an etcd on it that only this host hears.

    Args:
        member: that is to begin again.
        uid: tells this pod and its logs from those of another attempt.
        target: the data directory of the new data.
        restore: what makes it; nothing where it is there.
        force: etcd is to forget all members but this one.
        read_only: a folder of the host's that the restore reads.
    """
    flags = {
        **{name: value for name, value in member.flags.items() if name not in _NOT_PASSED_ON},
        "data-dir": target,
        "listen-client-urls": url("127.0.0.1", member.client_port),
        "listen-peer-urls": url("127.0.0.1", member.peer_port),
        **({"force-new-cluster": "true"} if force else {}),
    }
    folders = {os.path.dirname(value): True for value in flags.values() if value.startswith("/")}
    folders = {member.data_dir: False, **({read_only: True} if read_only else {}), **folders}
    folders.pop(os.path.dirname(target), None)
    places = [folder for folder in folders if not folder.startswith(f"{member.data_dir}/")]
    mounts = [{"name": f"v{n}", "mountPath": place, "readOnly": folders[place]} for n, place in enumerate(places)]
    container = {"image": member.image, "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts}
    environment = [{"name": "ETCDCTL_API", "value": "3"}]
    first = {"name": RESTORE_CONTAINER, "command": restore, "env": environment, **container}
    command = ["etcd", *(f"--{name}={value}" for name, value in flags.items())]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{POD}-{uid[:8]}", "namespace": "kube-system", "uid": uid},
        "spec": {
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "restartPolicy": "Never",
            "initContainers": [first] if restore else [],
            "containers": [{"name": ETCD_CONTAINER, "command": command, **container}],
            "volumes": [{"name": f"v{n}", "hostPath": {"path": place}} for n, place in enumerate(places)],
        },
    }


# Flags of the first start, and places at which the others would find it.
_NOT_PASSED_ON = frozenset(
    ("initial-cluster", "initial-cluster-state", "initial-cluster-token", "listen-metrics-urls", "force-new-cluster")
)


def protected(manifest: str) -> str:
    """The manifest, told that the cluster exists: should the data be lost, it can begin no empty cluster by itself."""
    if _STATE.search(manifest):
        return _STATE.sub(lambda match: f"{match['before']}existing", manifest)
    return _INITIAL.sub(lambda match: f"{match[0]}\n{match['item']}--initial-cluster-state=existing", manifest, count=1)


def told_protected(cause: str) -> str:
    """The same of what kubeadm was told when it wrote the manifest of a host of etcd, in each of its API's versions."""
    return re.sub(r'("initial-cluster-state"(?:: |,\s*"value": ))"new"', r'\1"existing"', cause)


@dataclass(frozen=True)
class Facts:
    """What must be known of a host before anything is stopped.

    Attributes:
        host: whom to name.
        ca: public key hash of the Kubernetes cluster's CA; None on a host that has none.
        member: by the manifest; None where there is none.
        has_data: a member's data is there,
        formed: and belongs to a cluster that once agreed.
        kubelet: one runs.
        voters: members that agree with each other, by a look made just now; none where nobody has a quorum.
        free_bytes: on the file system of the data.
        data_bytes: of the member's data.
        database_bytes: of its database.
        snapshot_bytes: of the snapshot; 0 without one.
    """

    host: str
    ca: str | None
    member: Member | None
    has_data: bool
    formed: bool
    kubelet: bool
    voters: tuple[str, ...]
    free_bytes: int
    data_bytes: int
    database_bytes: int
    snapshot_bytes: int


def needed_bytes(facts: Facts, how: str) -> int:
    """What the prepared data takes beside the old."""
    copied = {FORCE: facts.data_bytes, DATABASE: facts.database_bytes, SNAPSHOT: facts.snapshot_bytes}
    return copied[how] + _LOG_BYTES


def refusals(
    facts: Facts, *, source: str, at_hand: Release, cluster_id: str, expected: Mapping[str, str], begun: bool
) -> list[Problem]:
    """What stands against beginning again here.

    Args:
        facts: of this host.
        source: ``DATA`` or ``SNAPSHOT``.
        at_hand: the release of etcd.
        cluster_id: that was confirmed.
        expected: what the member is to be by etcd's own flags; empty values say nothing.
        begun: a restore was interrupted after the old data had been kept: it can only be finished.
    """
    host, member = facts.host, facts.member
    problems = check_cluster(host, facts.ca, cluster_id)
    if facts.voters:
        found = f"{len(facts.voters)} voters that agree ({', '.join(facts.voters)})"
        action = "The cluster works: members are removed and joined one by one. Nothing is restored over it."
        problems.append(Problem(host, "etcd quorum", found, "none, which alone is a reason to begin again", action))
    if not facts.kubelet:
        action = "Start it (systemctl start kubelet): it stops and starts the pods."
        problems.append(Problem(host, "kubelet", "none that runs", "a running one", action))
    if member is None or not member.image or not member.data_dir or not member.name or not member.peer_url:
        found = "no file" if member is None else "not what kubeadm writes"
        action = "Choose a host that carried a member of etcd, or restore its manifest."
        manifest = "/etc/kubernetes/manifests/etcd.yaml"
        return [*problems, Problem(host, manifest, found, "the manifest of etcd", action)]
    for flag, wanted in expected.items():
        is_ = member.flags.get(flag, "")
        if wanted and is_ != wanted:
            problems.append(Problem(host, f"etcd's --{flag}", is_ or "none", wanted, "Correct what was asked for."))
    if member.flags.get("wal-dir"):
        action = "Restore this member by hand: its log lies elsewhere than its data."
        problems.append(Problem(host, "etcd's --wal-dir", member.flags["wal-dir"], "none", action))
    if not at_hand:
        action = "Give etcd_version."
        problems.append(Problem(host, "etcd's version", f"none in {member.image}", "one such as 3.5.16", action))
    if begun or not at_hand:
        return problems
    if source == DATA and not (facts.has_data and facts.formed):
        found = "data that was never part of a cluster" if facts.has_data else "no data"
        action = "Choose the host of a member that has its data, or restore a snapshot."
        problems.append(Problem(host, f"{member.data_dir}/member", found, "the data of a member", action))
    needed = needed_bytes(facts, method(source, at_hand))
    if facts.free_bytes < needed:
        found, wanted = f"{_mebibytes(facts.free_bytes)} free", f"{_mebibytes(needed)} for data beside the old"
        action = "Make room there: the old data is kept."
        problems.append(Problem(host, member.data_dir, found, wanted, action))
    return problems


def check_cluster(host: str, ca: str | None, confirmed: str) -> list[Problem]:
    """Whether this is the cluster that was confirmed; a host that carries no CA of Kubernetes' cannot tell."""
    own = identity.cluster_id(ca)
    if confirmed and own in ("", confirmed):
        return []
    action = "Confirm with the id of the cluster that is meant; the plan prints it."
    return [Problem(host, "cluster id", own or "none on this host", confirmed or "it as confirmation", action)]


def warnings(source: str, at_hand: Release, *, snapshot_revision: int = 0, data_revision: int = 0) -> list[str]:
    """What should be known of a restore that goes on."""
    found = []
    if 0 < snapshot_revision < data_revision:
        found.append(
            f"The snapshot ends at revision {snapshot_revision}, the data here at {data_revision}: "
            f"what was written in between will be missing."
        )
    if method(source, at_hand) != FORCE and not bumps(at_hand):
        found.append(
            "This etcd cannot raise the revision when it restores. Programs that watch the API and that no run "
            "restarts, such as operators, have to be restarted by hand."
        )
    if method(source, at_hand) == DATABASE:
        found.append(
            "This etcd's --force-new-cluster is at fault, so its database is taken alone: what its log holds besides, "
            "after a crash the last tenth of a second, will be missing."
        )
    return found


def alone(name: str, peer_url: str, listed: list[Mapping[str, Any]]) -> Problem | None:
    """Why an etcd is not the cluster of one that it should be.

    Args:
        name: of the member.
        peer_url: where it is found.
        listed: the members as the gateway tells them.
    """
    members = [(one.get("name", ""), tuple(one.get("peerURLs", ()))) for one in listed]
    if [name for name, _urls in members] == [name] and peer_url in members[0][1]:
        return None
    found = ", ".join(f"{name or 'one without a name'} at {', '.join(urls)}" for name, urls in members) or "none"
    return Problem(name, "etcd members", found, f"{name} at {peer_url} alone", "See etcd's log.")


def has_failed(log: str) -> bool:
    """Whether a restore says that it has failed, as etcdctl and etcdutl do in a line of its own."""
    return any(line.startswith(("Error: ", "panic: ")) for line in words(log, len(log)).splitlines())


def words(log: str, lines: int = 8) -> str:
    """What a container said last, without what its runtime writes in front.

    Source: the CRI's log format (time, stream, tag, text); Docker's is an object a line.
    """
    said = []
    for line in log.splitlines():
        match = re.match(r"^\S+ (?:stdout|stderr) [FP] (.*)$", line) or re.match(r'^\{"log":"(.*?)(?:\\n)?","', line)
        said.append(match[1] if match else line)
    return "\n".join(said[-lines:])


def _mebibytes(count: int) -> str:
    return f"{count // (1024 * 1024)} MiB"
