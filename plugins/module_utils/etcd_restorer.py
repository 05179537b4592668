# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of ``etcd_restoring``: this host's data, manifests and pods, moved and watched."""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import glob
import json
import os
import shutil
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from . import (
    etcd,
    etcd_data,
    etcd_pod,
    etcd_restoring,
    etcd_snapshot,
    evidence,
    kube_api,
    set_aside,
    static_pods,
    x509,
)
from .etcd_restoring import DATA, FINISH, PREPARE, SNAPSHOT, START, STOP, TAKE
from .files import read_text, write_atomic
from .https_json import JsonClient, RequestFailed, url
from .problems import Problem, Refusal

ONE_SHOT = set_aside.manifest(etcd_restoring.POD)
POD_LOGS = "/var/log/pods"

_PODS = (set_aside.ETCD, *set_aside.CONTROL_PLANE)
_TOOLS = ("etcdctl", "etcdutl")
_LOOK_SECONDS = 2.0
# For how long an etcd that has been started may take to lead itself.
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        source: ``etcd_restoring.DATA`` or ``SNAPSHOT``.
        cluster_id: that was confirmed.
        snapshot: path of a snapshot on this host.
        name: that the member must have; empty takes the manifest's, as with the next two.
        peer_url: likewise.
        data_dir: likewise.
        etcd_version: of the image, where neither etcd nor the image's tag says it.
        endpoints: client URLs of other members, at which a quorum is looked for.
        timeout: seconds for one step of etcd or of the kubelet.
    """

    source: str
    cluster_id: str
    snapshot: str = ""
    name: str = ""
    peer_url: str = ""
    data_dir: str = ""
    etcd_version: str = ""
    endpoints: tuple[str, ...] = ()
    timeout: float = 300.0


def kubernetes_ca() -> str | None:
    """Public key hash of the CA of the Kubernetes cluster that this host belongs to."""
    try:
        return x509.parse(read_text(evidence.CA) or "").public_key_hash
    except x509.MalformedCertificate:
        return None


def voters_that_agree(endpoints: Sequence[str], context: ssl.SSLContext | None, patience: float) -> tuple[str, ...]:
    """The voters of a cluster with a quorum, as one of these endpoints lists them by a read that needs it.

    Args:
        endpoints: client URLs.
        context: speaks as a client of etcd's; None where this host cannot.
        patience: seconds to look for, so that an election under way is no loss.
    """
    if context is None or not endpoints:
        return ()
    deadline = time.monotonic() + patience

    def ask(endpoint: str) -> tuple[str, ...]:
        try:
            listed = etcd.members(endpoint, context, _LOOK_SECONDS, sure=True)
        except RequestFailed:
            return ()
        return tuple(member.name or member.id for member in listed if not member.learner)

    with ThreadPoolExecutor(max_workers=len(endpoints)) as threads:
        while True:
            found = max(threads.map(ask, endpoints), key=len)
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.5)


def client_context() -> ssl.SSLContext | None:
    """Speaks as this host's client of etcd; None where it has no files to do so."""
    try:
        return etcd.local_context()
    except OSError:
        return None


def keep(folder: str, data_dir: str) -> str:
    """Give a folder below the data directory a name that says since when it is kept; return its new path.

    Beside the data directory, where kubeadm reset leaves it alone; below it where that is a file system of its own.
    """
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    beside, below = f"{data_dir.rstrip('/')}-before-{stamp}", f"{data_dir}/before-{stamp}"
    try:
        os.rename(folder, beside)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EROFS, errno.EACCES):
            raise
        os.rename(folder, below)
        return below
    return beside


class Restorer:
    """A restore on this host, from wherever it has got to."""

    def __init__(self, wish: Wish, restart_kubelet: Callable[[], object]) -> None:
        self._wish, self._restart_kubelet = wish, restart_kubelet
        # Where it lies aside, etcd is stopped.
        text = read_text(set_aside.aside(set_aside.ETCD)) or read_text(set_aside.manifest(set_aside.ETCD))
        self._member = etcd_restoring.member_of(text, static_pods.flags_of(text)) if text else None
        self.host = wish.name or (self._member.name if self._member else "") or "this host"
        self._data_dir = self._member.data_dir if self._member else wish.data_dir
        self._work = f"{self._data_dir}/{etcd_restoring.WORK}"
        self._target = f"{self._work}/new"
        self._former, self._own = f"{self._work}/member", f"{self._data_dir}/member"
        self._context = client_context()
        self._local = url("127.0.0.1", self._member.client_port if self._member else 2379)
        self._running = self._running_version()
        self._at_hand = etcd_restoring.release(
            wish.etcd_version or self._running or (self._member.tag if self._member else "")
        )
        self.warnings: list[str] = []
        self.kept = ""

    def next_step(self) -> str:
        aside, kept = bool(set_aside.found_aside([set_aside.ETCD])), os.path.isdir(self._former)
        return etcd_restoring.next_step(
            etcd_restoring.Found(
                aside=aside,
                work=os.path.isdir(self._work),
                prepared=os.path.isdir(f"{self._target}/member"),
                kept=kept,
                member=os.path.isdir(self._own),
                agrees=kept and not aside and bool(voters_that_agree([self._local], self._context, _START_SECONDS)),
            )
        )

    def check(self) -> None:
        """Judge everything there is to judge before anything is stopped.

        Raises:
            Refusal: something stands against it.
        """
        wish, step = self._wish, self.next_step()
        begun = step in (TAKE, START, FINISH)
        snapshot, problems = self._read_snapshot() if not begun else (None, [])
        if self._context is None:
            action = "Choose a host that carried a member of etcd."
            problems.append(Problem(self.host, etcd.PKI, "no files of a client of etcd's", "them", action))
        facts = self._facts(step, snapshot)
        expected = {"name": wish.name, "initial-advertise-peer-urls": wish.peer_url, "data-dir": wish.data_dir}
        problems += etcd_restoring.refusals(
            facts,
            source=wish.source,
            at_hand=self._at_hand,
            cluster_id=wish.cluster_id,
            expected=expected,
            begun=begun,
        )
        if problems:
            raise Refusal(problems)
        if not begun:
            known = self._database if snapshot else None
            self.warnings = etcd_restoring.warnings(
                wish.source,
                self._at_hand,
                snapshot_revision=snapshot.revision if snapshot else 0,
                data_revision=known.revision if known else 0,
            )

    def work(self) -> list[str]:
        """Do what is left to do; return it in words.

        Raises:
            Refusal: a step failed. One that had not kept the old data yet has left everything as it was.
        """
        step = first = self.next_step()
        steps = {STOP: self._stop, PREPARE: self._prepare, TAKE: self._take, START: self._start, FINISH: self._finish}
        while True:
            steps[step]()
            if step == FINISH:
                self._serve()
                return etcd_restoring.steps(first)
            step = self.next_step()

    def told(self) -> dict[str, Any]:
        """What the restored etcd says: ``revision``, and ``keys``, how many there are."""
        answer = self._call("/kv/range", {"key": "AA==", "range_end": "AA==", "count_only": True})
        return {"revision": int(answer["header"]["revision"]), "keys": int(answer.get("count", 0))}

    # Looks.

    def _running_version(self) -> str:
        if self._context is None:
            return ""
        try:
            return str(JsonClient(self._local, self._context, _LOOK_SECONDS).request("GET", "/version")["etcdserver"])
        except (RequestFailed, KeyError):
            return ""

    def _facts(self, step: str, snapshot: etcd_snapshot.Snapshot | None) -> etcd_restoring.Facts:
        data = etcd_data.look(self._data_dir) if self._data_dir else None
        return etcd_restoring.Facts(
            host=self.host,
            ca=kubernetes_ca(),
            member=self._member,
            has_data=data is not None,
            formed=bool(data and data["formed"]),
            kubelet=set_aside.runs("kubelet"),
            voters=self._voters(step),
            free_bytes=shutil.disk_usage(self._data_dir).free if os.path.isdir(self._data_dir) else 0,
            data_bytes=_size(self._own),
            database_bytes=_file_size(f"{self._own}/snap/db"),
            snapshot_bytes=snapshot.size_bytes if snapshot else 0,
        )

    def _voters(self, step: str) -> tuple[str, ...]:
        """Who agrees now: also without this host's own etcd, once that is stopped or begun again."""
        if step in (TAKE, START, FINISH) or self._member is None:
            return ()
        if step == STOP:
            endpoints = {*self._wish.endpoints, *self._listed_endpoints(), self._local}
        else:
            # What answers here is an attempt that was interrupted, and agrees with itself.
            own = set(self._member.flags.get("advertise-client-urls", "").split(","))
            endpoints = {*self._wish.endpoints, *self._stored_endpoints()} - own
        elections = 10 * int(self._member.flags.get("election-timeout", "1000")) / 1000
        return voters_that_agree(sorted(endpoints), self._context, elections)

    def _listed_endpoints(self) -> set[str]:
        """Client URLs of the members that this host's etcd lists, or its data where it does not answer."""
        try:
            listed = self._call("/cluster/member/list").get("members", ())
        except RequestFailed:
            return self._stored_endpoints()
        return {one for member in listed for one in member.get("clientURLs", ())}

    def _stored_endpoints(self) -> set[str]:
        known = self._database.members if self._database else ()
        return {one for member in known for one in member.client_urls}

    def _read_snapshot(self) -> tuple[etcd_snapshot.Snapshot | None, list[Problem]]:
        if self._wish.source == DATA:
            return None, []
        return etcd_snapshot.verify(self._wish.snapshot, host=self.host, cluster_id=self._wish.cluster_id)

    @functools.cached_property
    def _database(self) -> etcd_snapshot.Snapshot | None:
        """What the member's data says; None where it cannot be read, as while etcd writes it."""
        try:
            return etcd_snapshot.read(f"{self._own}/snap/db")
        except etcd_snapshot.UnusableSnapshot:
            return None

    def _call(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._context is None:
            raise RequestFailed(f"{etcd.PKI}: found no files of a client's")
        return etcd.call(self._local, self._context, method, 5.0, body)

    def _is_alone(self) -> bool:
        """Whether this host's etcd answers, leads, and knows no other member.

        Raises:
            RequestFailed: it does not answer yet.
        """
        member = self._known_member()
        status = self._call("/maintenance/status")
        listed = self._call("/cluster/member/list").get("members", [])
        own = status.get("header", {}).get("member_id")
        leads = bool(own) and status.get("leader") == own
        return leads and etcd_restoring.alone(member.name, member.peer_url, listed) is None

    def _known_member(self) -> etcd_restoring.Member:
        if self._member is None:
            raise AssertionError("check refuses a host without a manifest")
        return self._member

    # Steps.

    def _stop(self) -> None:
        if os.path.isdir(self._former):
            keep(self._work, self._data_dir)
        set_aside.put_aside(_PODS)
        set_aside.end(self.host, set_aside.CONTROL_PLANE, self._wish.timeout)
        set_aside.end(self.host, [set_aside.ETCD], self._wish.timeout, data_dir=self._data_dir)

    def _prepare(self) -> None:
        try:
            # Another attempt may have been interrupted in the midst of stopping.
            self._stop()
            self._clear()
            self._make_data()
        except (Refusal, RequestFailed, OSError):
            self._clear()
            set_aside.put_back(_PODS)
            self._restart_kubelet()
            raise
        if os.path.isdir(self._own):
            os.rename(self._own, self._former)
        else:
            os.mkdir(self._former, 0o700)

    def _make_data(self) -> None:
        wish, member = self._wish, self._known_member()
        how = etcd_restoring.method(wish.source, self._at_hand)
        os.makedirs(self._work, mode=0o700)
        restore: list[str] = []
        if how == etcd_restoring.FORCE:
            os.mkdir(self._target, 0o700)
            shutil.copytree(self._own, f"{self._target}/member")
        else:
            database = os.path.realpath(wish.snapshot) if how == SNAPSHOT else f"{self._own}/snap/db"
            token = f"kubeadm.ha-{uuid.uuid4()}"
            restore = etcd_restoring.restore_command(
                how, self._at_hand, member, database=database, target=self._target, token=token
            )
        uid = str(uuid.uuid4())
        pod = etcd_restoring.pod(
            member,
            uid=uid,
            target=self._target,
            restore=restore,
            force=how == etcd_restoring.FORCE,
            read_only=os.path.dirname(os.path.realpath(wish.snapshot)) if how == SNAPSHOT else "",
        )
        write_atomic(ONE_SHOT, json.dumps(pod, indent=1).encode(), 0o600)
        self._watch(uid)
        self._end_one_shot()
        _give_to_owner_of(self._data_dir, self._target)
        os.sync()

    def _watch(self, uid: str) -> None:
        """Wait until the new etcd is there and alone.

        Raises:
            Refusal: the restore or etcd ended badly, in its own words; or neither did in time.
        """
        deadline = time.monotonic() + self._wish.timeout
        while True:
            with contextlib.suppress(RequestFailed):
                if self._is_alone():
                    return
            logs = self._logs(uid)
            # Nothing is begun anew in this pod: an etcd that has spoken and is gone has failed.
            ended = etcd_restoring.ETCD_CONTAINER in logs and not set_aside.runs(set_aside.ETCD, data_dir=self._target)
            failed = ended or etcd_restoring.has_failed(logs.get(etcd_restoring.RESTORE_CONTAINER, ""))
            if failed or time.monotonic() > deadline:
                raise Refusal([self._failure(logs, gave_up=not failed)])
            time.sleep(0.3)

    def _failure(self, logs: dict[str, str], *, gave_up: bool) -> Problem:
        container = etcd_restoring.ETCD_CONTAINER
        said = etcd_restoring.words(logs.get(container, "") or logs.get(etcd_restoring.RESTORE_CONTAINER, ""))
        if said:
            found = f"{'no answer in time; it said' if gave_up else 'that it ended, saying'}:\n{said}\n"
        else:
            found = f"that the kubelet did not begin it within {self._wish.timeout:.0f} s"
        action = "Nothing was lost: the data and the manifests are as they were. See the kubelet's journal, too."
        return Problem(self.host, f"pod {etcd_restoring.POD}", found, "an etcd with the restored data", action)

    def _logs(self, uid: str) -> dict[str, str]:
        """What the pod's containers have said, by name, as far as they have said something."""
        found = {}
        for path in sorted(glob.glob(f"{POD_LOGS}/*_{uid}/*/*.log")):
            text = read_text(path)
            if text:
                found[os.path.basename(os.path.dirname(path))] = text
        return found

    def _end_one_shot(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ONE_SHOT)
        set_aside.end(self.host, [set_aside.ETCD, *_TOOLS], self._wish.timeout, data_dir=self._target)

    def _clear(self) -> None:
        """Take back what an attempt has made that did not come to its end; the old data is not among it."""
        self._end_one_shot()
        if os.path.isdir(self._work) and not os.path.isdir(self._former):
            shutil.rmtree(self._work)

    def _take(self) -> None:
        os.rename(f"{self._target}/member", self._own)

    def _start(self) -> None:
        path = set_aside.aside(set_aside.ETCD)
        text = read_text(path)
        if text is not None:
            _rewrite(etcd_pod.CAUSE, etcd_restoring.told_protected)
            _rewrite(path, etcd_restoring.protected)
            set_aside.put_back([set_aside.ETCD])
            # One that has not seen the API since its start has not seen the former pod of that name go either.
            self._restart_kubelet()
        if not set_aside.wait(self._is_alone, self._wish.timeout):
            raise Refusal([self._not_up("etcd", "one that answers as the only member")])

    def _finish(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._target)
        self.kept = keep(self._work, self._data_dir)

    def _serve(self) -> None:
        put_back = set_aside.put_back(set_aside.CONTROL_PLANE[:1])
        if put_back and not set_aside.wait(kube_api.local_is_ready, self._wish.timeout):
            raise Refusal([self._not_up("API server", "one that is ready")])
        set_aside.put_back(set_aside.CONTROL_PLANE[1:])

    def _not_up(self, subject: str, wanted: str) -> Problem:
        found = f"none within {self._wish.timeout:.0f} s, with the restored data in its place"
        action = "See its container's log and the kubelet's journal, and run again: it goes on from here."
        return Problem(self.host, subject, found, wanted, action)


def _rewrite(path: str, change: Any) -> None:
    text = read_text(path)
    if text is not None and change(text) != text:
        write_atomic(path, change(text).encode(), os.stat(path).st_mode & 0o777)


def _give_to_owner_of(folder: str, target: str) -> None:
    """etcd may run as a user of its own, while the pod that prepared the data did not."""
    owner = os.stat(folder)
    for root, folders, files in os.walk(target):
        for path in (root, *(os.path.join(root, name) for name in (*folders, *files))):
            os.chown(path, owner.st_uid, owner.st_gid)


def _file_size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _size(folder: str) -> int:
    return sum(_file_size(os.path.join(root, name)) for root, _folders, files in os.walk(folder) for name in files)
