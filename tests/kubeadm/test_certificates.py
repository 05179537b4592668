# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates by request, held against kubeadm's own, and used by real etcd.

The role runs on this machine for four hosts, each of which sees a folder /etc of its own. It is run in check mode, for
real and once more: check mode says what the run then does, and the second time changes nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from kubelab.artifacts.parts import parts
from kubelab.cache import Cache
from kubelab.settings import STATE, cache_directory
from support import ROOT, Run, playbook, succeed

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd

# The CA that kubeadm 1.20 makes has the serial number 0.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

AUTHORITY, MEMBERS, CLIENT = "etcd1", ("etcd2", "etcd3"), "cp1"
HOSTS = {name: f"192.0.2.{20 + int(name[-1])}" for name in (AUTHORITY, *MEMBERS)} | {CLIENT: "192.0.2.11"}
MORE_NAMES = {"etcd2": ["etcd.example.com", "192.0.2.99"]}
PHASES = {
    "etcd-server": "etcd/server",
    "etcd-peer": "etcd/peer",
    "etcd-healthcheck-client": "etcd/healthcheck-client",
    "apiserver-etcd-client": "apiserver-etcd-client",
}
PAIRS = [f"{name}.{kind}" for name in PHASES.values() for kind in ("crt", "key")]
# A host's own /etc, as a layer over this machine's.
INTERPRETER = """#!/bin/sh
exec unshare --mount sh -c '
mount -t overlay overlay -o lowerdir=/etc,upperdir={folder}/etc,workdir={folder}/work /etc && exec {python} "$@"
' python "$@"
"""
CHECK, RUN, AGAIN = "check", "run", "again"


@dataclass(frozen=True)
class Built:
    """What the role has made.

    Attributes:
        folder: of all hosts.
        run: what ansible-playbook said, with all results.
    """

    folder: Path
    run: Run

    def pki(self, host: str) -> Path:
        return self.folder / host / "etc" / "kubernetes" / "pki"


def role_without_packages(folder: Path) -> None:
    """The role, but for what it installs: this machine is not a host of anybody's."""
    shutil.copytree(ROOT / "roles" / "etcd", folder / "roles" / "etcd")
    path = folder / "roles" / "etcd" / "tasks" / "certificates.yml"
    tasks = [task for task in yaml.safe_load(path.read_text()) if "ansible.builtin.package" not in task]
    path.write_text(yaml.safe_dump(tasks, sort_keys=False))


def inventory(folder: Path) -> Path:
    hosts = {}
    for name in HOSTS:
        for part in ("etc", "work"):
            (folder / name / part).mkdir(parents=True)
        interpreter = folder / name / "python"
        interpreter.write_text(INTERPRETER.format(folder=folder / name, python=sys.executable))
        interpreter.chmod(0o755)
        hosts[name] = {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(interpreter),
            **({"cluster_etcd_local": {"serverCertSANs": MORE_NAMES[name]}} if name in MORE_NAMES else {}),
        }
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    return path


def entering(when: str, **variables: Any) -> dict[str, Any]:
    identities = {name: {"node_name": name, "address": address} for name, address in HOSTS.items()}
    return {
        "name": when,
        "ansible.builtin.import_role": {"name": "etcd", "tasks_from": "certificates"},
        "check_mode": when == CHECK,
        "diff": True,
        "vars": {
            "cluster_kubernetes_version": "1.20.2",
            "etcd_authority": AUTHORITY,
            "etcd_hosts": identities,
            **variables,
        },
    }


@pytest.fixture(scope="module")
def built(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("certificates")
    role_without_packages(folder)
    plays = [
        {"hosts": hosts, "gather_facts": False, "tasks": [entering(when, **variables) for when in (CHECK, RUN, AGAIN)]}
        for hosts, variables in (
            ([AUTHORITY, *MEMBERS], {}),
            ([CLIENT], {"etcd_profiles": ["apiserver-etcd-client"]}),
        )
    ]
    book = folder / "certificates.yml"
    book.write_text(yaml.safe_dump(plays, sort_keys=False))
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    run = playbook("-vvv", inventory=inventory(folder), book=str(book), env=env, log=folder / "certificates.log")
    return Built(folder, succeed(run))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def files(folder: Path) -> dict[str, int]:
    """Modes by path below the folder."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in found}


def kubeadm(program: Path, *argv: str) -> str:
    done = subprocess.run([program, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configuration(path: Path, host: str, certificates: Path) -> Path:
    """As the documentation of Kubernetes tells people to write it for a member."""
    address = HOSTS[host]
    shared = {"apiVersion": "kubeadm.k8s.io/v1beta2"}
    sans = {"serverCertSANs": [address, *MORE_NAMES.get(host, ())], "peerCertSANs": [address]}
    documents = [
        {
            **shared,
            "kind": "InitConfiguration",
            "nodeRegistration": {"name": host, "criSocket": "/run/containerd/containerd.sock"},
            "localAPIEndpoint": {"advertiseAddress": address},
        },
        {
            **shared,
            "kind": "ClusterConfiguration",
            "kubernetesVersion": "v1.20.2",
            "certificatesDir": str(certificates),
            "etcd": {"local": sans},
        },
    ]
    path.write_text(yaml.safe_dump_all(documents))
    return path


@pytest.fixture(scope="module")
def kubeadms_own(built: Built, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What kubeadm makes for etcd2 with the same CA."""
    folder = tmp_path_factory.mktemp("kubeadm")
    (folder / "etcd").mkdir()
    for name in ("ca.crt", "ca.key"):
        shutil.copy(built.pki(AUTHORITY) / "etcd" / name, folder / "etcd" / name)
    config = configuration(folder / "kubeadm.yaml", "etcd2", folder)
    for phase in PHASES:
        kubeadm(program, "init", "phase", "certs", phase, f"--config={config}")
    return folder


def usages(one: x509.Certificate) -> list[tuple[Any, bool]]:
    found = [one.extensions.get_extension_for_class(kind) for kind in (x509.ExtendedKeyUsage, x509.KeyUsage)]
    return [(extension.value, extension.critical) for extension in found]


def names(one: x509.Certificate) -> set[x509.GeneralName]:
    found = [
        extension.value for extension in one.extensions if isinstance(extension.value, x509.SubjectAlternativeName)
    ]
    return {name for value in found for name in value}


@pytest.mark.parametrize("name", PHASES.values())
def test_certificate_is_as_kubeadm_makes_it(built: Built, kubeadms_own: Path, name: str) -> None:
    ours, theirs = (certificate(folder / f"{name}.crt") for folder in (built.pki("etcd2"), kubeadms_own))
    assert ours.subject == theirs.subject
    assert ours.issuer.public_bytes() == theirs.issuer.public_bytes()
    assert usages(ours) == usages(theirs)
    assert names(ours) == names(theirs)
    assert ours.signature_algorithm_oid == theirs.signature_algorithm_oid
    identifiers = [one.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value for one in (ours, theirs)]
    assert identifiers[0] == identifiers[1]
    for one in (ours, theirs):
        assert isinstance(one.public_key(), rsa.RSAPublicKey)
        assert one.public_key().key_size == 2048
    # kubeadm 1.20 begins where its CA begins, and both end a year after they were made.
    assert abs((ours.not_valid_after_utc - theirs.not_valid_after_utc).total_seconds()) < 300
    assert ours.not_valid_before_utc == theirs.not_valid_before_utc


@pytest.mark.parametrize("name", PHASES.values())
def test_files_are_as_kubeadm_writes_them(built: Built, kubeadms_own: Path, name: str) -> None:
    for kind in ("crt", "key"):
        ours, theirs = (folder / f"{name}.{kind}" for folder in (built.pki("etcd2"), kubeadms_own))
        assert ours.stat().st_mode == theirs.stat().st_mode
        assert ours.read_text().splitlines()[0] == theirs.read_text().splitlines()[0]


@pytest.mark.parametrize("host", HOSTS)
def test_each_host_has_the_files_that_it_needs_and_the_authority_alone_the_cas_key(built: Built, host: str) -> None:
    wanted = [*PAIRS, "etcd/ca.crt"]
    wanted = {AUTHORITY: [*wanted, "etcd/ca.key"], CLIENT: [*PAIRS[-2:], "etcd/ca.crt"]}.get(host, wanted)
    assert files(built.pki(host)) == {name: 0o600 if name.endswith(".key") else 0o644 for name in wanted}


def test_no_key_is_on_two_hosts_or_in_what_ansible_says(built: Built) -> None:
    private = [path.read_text() for host in HOSTS for path in built.pki(host).rglob("*.key")]
    assert len(set(private)) == len(private) == 14
    # A key begins with its public half, 270 bytes, which requests carry as well.
    lines = {line for text in private for line in text.splitlines()[7:-1]}
    said = built.run.output + json.dumps(built.run.told)
    assert "BEGIN CERTIFICATE REQUEST" in said
    assert "PRIVATE KEY" not in said
    assert {line for line in lines if line in said} == set()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("host", MEMBERS)
def test_kubeadm_takes_the_certificates(built: Built, program: Path, tmp_path: Path, host: str, phase: str) -> None:
    """Without the CA's key, which this host does not have: it would make what it does not take."""
    folder = Path(shutil.copytree(built.pki(host), tmp_path / "pki"))
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    said = kubeadm(program, "init", "phase", "certs", phase, f"--config={configuration(tmp_path / 'c', host, folder)}")
    assert re.search(rf'Using existing {PHASES[phase]} .*|Using the existing "{PHASES[phase]}"', said), said
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_kubeadm_takes_the_certificates_with_the_cas_key_beside_them(
    built: Built, program: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(built.pki("etcd2"), tmp_path / "pki"))
    shutil.copy(built.pki(AUTHORITY) / "etcd" / "ca.key", folder / "etcd")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    for phase in PHASES:
        kubeadm(program, "init", "phase", "certs", phase, f"--config={configuration(tmp_path / 'c', 'etcd2', folder)}")
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_kubeadm_tells_when_the_certificates_end_and_whose_they_are(built: Built, program: Path) -> None:
    said = kubeadm(program, "certs", "check-expiration", f"--cert-dir={built.pki('etcd2')}")
    found = dict(re.findall(r"^(\S+) +\w{3} \d\d, .* UTC +364d +(\S+) +no", said, re.MULTILINE))
    assert found == dict.fromkeys(
        ("apiserver-etcd-client", "etcd-healthcheck-client", "etcd-peer", "etcd-server"), "etcd-ca"
    )


class Runs:
    """The results of the role's tasks on a host, in the order of check, run, again."""

    def __init__(self, built: Built, task: str) -> None:
        self._lines = [line for line in built.run.told if line["task"].endswith(task)]

    def of(self, host: str) -> list[dict[str, Any]]:
        return [line["result"] for line in self._lines if line["host"] == host and not line["result"].get("skipped")]


ASKED, MADE = "ask for certificates", "the authority's own certificates"
SIGNED, INSTALLED = "Sign all requests", "Install what was signed"
CALLS = [
    *((ASKED, host) for host in (*MEMBERS, CLIENT)),
    (MADE, AUTHORITY),
    *((INSTALLED, host) for host in (*MEMBERS, CLIENT)),
]


@pytest.mark.parametrize(("task", "host"), CALLS)
def test_check_mode_says_what_the_run_then_does_and_the_second_time_changes_nothing(
    built: Built, task: str, host: str
) -> None:
    check, run, *again = Runs(built, task).of(host)
    assert (check["changed"], run["changed"]) == (True, True)
    assert check["reasons"] == run["reasons"]
    shown = [json.dumps(result["diff"]) for result in (check, run)]
    # What a certificate is to say is known before; when it ends and its fingerprint is not.
    shown[1] = re.sub(r", until [^\\]*", "", shown[1])
    assert shown[0] == shown[1]
    # Where nothing is asked for, nothing is installed.
    assert len(again) == (0 if task == INSTALLED else 1)
    assert all((result["changed"], result["reasons"], result.get("diff")) == (False, {}, None) for result in again)


@pytest.mark.parametrize(
    ("module", "task", "host"),
    [
        ("certificate_request", ASKED, "etcd2"),
        ("certificate_request", INSTALLED, "etcd2"),
        ("etcd_authority", MADE, AUTHORITY),
        ("certificate_issue", SIGNED, AUTHORITY),
    ],
)
def test_modules_return_what_they_document(built: Built, module: str, task: str, host: str) -> None:
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text()
    documented = yaml.safe_load(source.split('RETURN = r"""')[1].split('"""')[0])
    always = {name for name, value in documented.items() if value["returned"].startswith("success")}
    for result in Runs(built, task).of(host):
        returned = {name for name in result if not name.startswith("_")} - {"changed", "diff", "invocation", "failed"}
        returned -= {"ansible_facts", "warnings", "deprecations"}
        assert always <= returned <= documented.keys()


def test_authority_signed_for_all_hosts_in_one_execution(built: Built) -> None:
    signed = [line for line in built.run.told if line["task"].endswith(SIGNED) and not line["result"].get("skipped")]
    assert {line["on"] for line in signed} == {AUTHORITY}
    assert [{*line["result"]["certificates"]} for line in signed] == [set(), {AUTHORITY, *MEMBERS}, set(), {CLIENT}]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _number in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def cluster(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The client URLs of three members, each with the files of its host, and all that its manifest would say."""
    folder = tmp_path_factory.mktemp("etcd")
    etcd_program = Cache(cache_directory(), STATE / "logs").get(parts(folder / "build.log")) / "root/usr/bin/etcd"
    members = (AUTHORITY, *MEMBERS)
    free = free_ports(2 * len(members))
    ports = dict(zip(members, zip(free[::2], free[1::2], strict=True), strict=True))
    initial = ",".join(f"{name}=https://127.0.0.1:{peer}" for name, (peer, _client) in ports.items())
    running = []
    for name, (peer, client) in ports.items():
        pki = built.pki(name) / "etcd"
        settings = {
            "name": name,
            "data-dir": folder / name,
            "listen-peer-urls": f"https://127.0.0.1:{peer}",
            "initial-advertise-peer-urls": f"https://127.0.0.1:{peer}",
            "listen-client-urls": f"https://127.0.0.1:{client}",
            "advertise-client-urls": f"https://127.0.0.1:{client}",
            "initial-cluster": initial,
            "cert-file": pki / "server.crt",
            "key-file": pki / "server.key",
            "trusted-ca-file": pki / "ca.crt",
            "peer-cert-file": pki / "peer.crt",
            "peer-key-file": pki / "peer.key",
            "peer-trusted-ca-file": pki / "ca.crt",
        }
        arguments = ["--client-cert-auth", "--peer-client-cert-auth"]
        arguments += [f"--{key}={value}" for key, value in settings.items()]
        with (folder / f"{name}.log").open("wb") as log:
            running.append(subprocess.Popen([etcd_program, *arguments], stdout=log, stderr=log))
    try:
        yield [f"https://127.0.0.1:{client}" for _peer, client in ports.values()]
    finally:
        for process in running:
            process.kill()
            process.wait()


def context(pki: Path, name: str) -> ssl.SSLContext:
    return etcd.client_context(f"{pki}/etcd/ca.crt", f"{pki}/{name}.crt", f"{pki}/{name}.key")


def test_members_speak_to_each_other_and_to_their_clients(built: Built, cluster: list[str]) -> None:
    """A write through any member needs two of them, and so the certificates of hosts that trust the authority alone."""
    clients = [(CLIENT, "apiserver-etcd-client"), ("etcd3", "etcd/healthcheck-client")]
    for url, (host, name) in itertools.product(cluster, clients):
        client = context(built.pki(host), name)
        deadline = time.monotonic() + 60
        while True:
            try:
                etcd.call(url, client, "/kv/put", 3.0, {"key": "dGVzdA==", "value": "dGVzdA=="})
                break
            except etcd.RequestFailed as error:
                assert time.monotonic() < deadline, error
                time.sleep(0.2)
        members = etcd.members(url, client)
        assert {member.name: member.healthy for member in members} == dict.fromkeys((AUTHORITY, *MEMBERS), True)
