# SPDX-License-Identifier: GPL-3.0-or-later
"""Real etcd on loopback: the program that the lab's images carry, one process a member."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kubelab import chroot, packages
from kubelab.artifacts.parts import parts
from kubelab.cache import Artifact, Cache
from kubelab.settings import STATE, SUITE, cache_directory

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd
from ansible_collections.kubeadm.ha.plugins.module_utils.etcd_cluster import EtcdCluster
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates


class Member:
    """One process of etcd, with its data in memory.

    Attributes:
        arguments: that it is started with besides.
    """

    def __init__(self, program: Path, folder: Path, name: str, settings: dict[str, object]) -> None:
        self.name = name
        self._settings = settings
        self._program, self._pki, self.data = program, folder, folder / name
        self.peer_port, self.client_port = _free_ports(2)
        self.arguments: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._started_with = ("", "")

    @property
    def peer_url(self) -> str:
        return f"https://127.0.0.1:{self.peer_port}"

    @property
    def client_url(self) -> str:
        return f"https://127.0.0.1:{self.client_port}"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_wanted(self) -> bool:
        """Whether it was started, and not killed since; it may have given up by itself."""
        return self._process is not None

    def keep(self) -> None:
        """Start it again where it has given up, as a kubelet does; a member does so that finds no leader at first."""
        if self.is_wanted and not self.runs:
            self.start(*self._started_with)

    def start(self, initial_cluster: str = "", state: str = "existing") -> None:
        self._started_with = (initial_cluster, state)
        files = {
            f"{prefix}{kind}-file": self._pki / f"{name}"
            for prefix in ("", "peer-")
            for kind, name in (("cert", "member.crt"), ("key", "member.key"), ("trusted-ca", "ca.crt"))
        }
        settings = {
            "name": self.name,
            **self._settings,
            "data-dir": self.data,
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "listen-client-urls": self.client_url,
            "advertise-client-urls": self.client_url,
            "initial-cluster": initial_cluster or f"{self.name}={self.peer_url}",
            "initial-cluster-state": state,
            **files,
        }
        arguments = [f"--{key}={value}" for key, value in settings.items()]
        with (self._pki / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--client-cert-auth", "--peer-client-cert-auth", *arguments, *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "ETCD_UNSUPPORTED_ARCH": "arm64"},
            )

    def kill(self) -> None:
        """End it as a loss of power would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def move(self) -> None:
        """Get another address, as far as there are others here."""
        self.peer_port, self.client_port = _free_ports(2)

    def wipe(self) -> None:
        """Lose its data."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)


class LocalEtcd:
    """A cluster of such processes, and a client of it."""

    def __init__(
        self, program: Path, folder: Path, ca: certificates.Identity, *, strict: bool = True, heartbeat: int = 50
    ) -> None:
        """
        Args:
            program: etcd.
            folder: for data, certificates and logs; ``end`` removes it.
            ca: signs the certificates.
            strict: whether etcd itself judges changes, too.
            heartbeat: between the leader and the others, in ms.
        """
        self._settings = {
            "heartbeat-interval": heartbeat,
            "election-timeout": 10 * heartbeat,
            "strict-reconfig-check": str(strict).lower(),
        }
        self.folder = folder
        self._program = program
        (folder / "ca.crt").write_text(ca.pem, encoding="ascii")
        ca.issue("member", address="127.0.0.1", not_before=certificates.BORN).write(folder, "member")
        self._numbers = itertools.count()
        self.processes: dict[str, Member] = {}
        self.context: ssl.SSLContext = etcd.client_context(
            f"{folder}/ca.crt", f"{folder}/member.crt", f"{folder}/member.key"
        )

    def new(self) -> Member:
        """One more process, not started."""
        member = Member(self._program, self.folder, f"m{next(self._numbers)}", self._settings)
        self.processes[member.name] = member
        return member

    def begin(self, size: int, *arguments: str) -> None:
        """Start a cluster of so many voters, and wait for the last of them: without a quorum it would never answer."""
        members = [self.new() for _number in range(size)]
        for member in members:
            member.arguments += arguments
        initial = ",".join(f"{member.name}={member.peer_url}" for member in members)
        for member in members:
            member.start(initial, "new")

        def whole() -> bool:
            for member in members:
                member.keep()
            return self.is_well([member.name for member in members]) and self.writes()

        self.wait_until(whole, "a whole cluster")

    def wait_until(
        self, condition: Callable[[], bool], what: str = "what is waited for", seconds: float = 60.0
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"etcd does not come to {what}"
            time.sleep(0.1)

    def cluster(self, *, patience: float = 60.0, silence: float = 30.0, timeout: float = 1.5) -> EtcdCluster:
        """As a module sees it: by all client URLs that there ever were."""
        urls = [member.client_url for member in self.processes.values()]
        return EtcdCluster(urls, self.context, timeout=timeout, patience=patience, silence=silence)

    def is_well(self, names: Collection[str] | None = None) -> bool:
        """Whether each of these, by default each that runs, says that it is well."""
        try:
            healthy = {member.name for member in self.cluster().members() if member.healthy}
        except etcd.RequestFailed:
            return False
        running = {name for name, process in self.processes.items() if process.runs}
        return (running if names is None else set(names)) <= healthy

    def writes(self) -> bool:
        """Whether a write is accepted by one of the processes that run."""
        for member in self.processes.values():
            if member.runs:
                try:
                    etcd.call(member.client_url, self.context, "/kv/put", 3.0, {"key": "dGVzdA==", "value": "dGVzdA=="})
                    return True
                except etcd.RequestFailed:
                    continue
        return False

    def end(self, *, keep_logs: bool = False) -> None:
        for member in self.processes.values():
            member.kill()
        if not keep_logs:
            shutil.rmtree(self.folder)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _number in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


Program = Callable[[str], Path]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The etcd of a Debian release; the lab's images carry that of the lab's own."""
    log = tmp_path_factory.mktemp("build") / "build.log"
    packages.install_missing(log)
    cache = Cache(cache_directory(), STATE / "logs")
    return lambda suite: cache.get(parts(log) if suite == SUITE else of_release(suite)) / "root/usr/bin/etcd"


def of_release(suite: str) -> Artifact:
    """Another release's etcd, unpacked with what it needs; this machine's apt cannot tell which version that is."""

    def build(target: Path, log: Path) -> None:
        chroot.make(target / "root", log, "extract", ["etcd-server"], suite=suite)

    sources = "\n".join(packages.debian_sources(suite))
    return Artifact(f"etcd-{suite}", f"etcd of Debian's {suite}", build, {"sources": sources})


@pytest.fixture(scope="session")
def authority() -> certificates.Identity:
    return certificates.authority("etcd-ca")


@dataclass(frozen=True)
class Kind:
    """What an etcd is like.

    Attributes:
        suite: the Debian release that it is of.
        strict: whether it judges changes itself, and for 5 s after each start refuses them. It does so everywhere but
            here, where the module's rules stand alone for most tests.
    """

    suite: str = SUITE
    strict: bool = False


@pytest.fixture
def local_etcd(
    program: Program, authority: certificates.Identity, request: pytest.FixtureRequest
) -> Iterator[LocalEtcd]:
    """A cluster to come, in memory: a disk would only make it slow. Its parameter is a ``Kind``."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    kind = getattr(request, "param", Kind())
    etcd_processes = LocalEtcd(program(kind.suite), folder, authority, strict=kind.strict)
    yield etcd_processes
    etcd_processes.end()
