# SPDX-License-Identifier: GPL-3.0-or-later
"""What API servers would meet at an etcd that somebody else runs: told by real processes, judged as the plan does."""

from __future__ import annotations

import base64
import datetime
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import SUITE, LocalEtcd, Member, Program
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd, etcd_look, external_etcd, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.external_etcd import Look
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates

KUBERNETES = versions.parse("1.20.2")
PAST = datetime.datetime(2026, 2, 1, tzinfo=certificates.UTC)


class Foreign:
    """An etcd of one process, and the files of a client of it."""

    def __init__(self, processes: LocalEtcd, files: Path) -> None:
        self.processes, self.files = processes, files

    @property
    def member(self) -> Member:
        return self.processes.processes["m0"]

    @property
    def url(self) -> str:
        return self.member.client_url

    def call(self, method: str, body: dict[str, Any]) -> Any:
        return etcd.call(self.url, self.processes.context, method, 5.0, body)

    def look(self, *endpoints: str, files: Path | None = None) -> Look:
        folder = files or self.files
        found = etcd_look.look(
            endpoints or [self.url],
            f"{folder}/ca.crt",
            f"{folder}/client.crt",
            f"{folder}/client.key",
            external_etcd.PREFIX,
            2.0,
        )
        look = Look.from_result(found)
        assert look is not None
        return look


@contextmanager
def running(
    etcd_program: Path, ca: certificates.Identity, *, arguments: Sequence[str] = (), not_after: Any = certificates.DIES
) -> Iterator[Foreign]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, tempfile.TemporaryDirectory() as files:
        processes = LocalEtcd(etcd_program, Path(folder), ca)
        own = ca.issue("member", address="127.0.0.1", not_after=not_after)
        client_files(Path(files), ca, ca)
        try:
            if not_after < certificates.DIES:
                own.write(Path(folder), "member")
                member = processes.new()
                member.arguments += arguments
                member.start(state="new")
            else:
                processes.begin(1, *arguments)
            yield Foreign(processes, Path(files))
        finally:
            processes.end()


def client_files(folder: Path, trusted: certificates.Identity, signer: certificates.Identity) -> Path:
    """What a control plane is given: a CA to trust, and a certificate for clients."""
    folder.mkdir(exist_ok=True)
    (folder / "ca.crt").write_text(trusted.pem, encoding="ascii")
    signer.issue("kube-apiserver-etcd-client").write(folder, "client")
    return folder


@pytest.fixture(scope="module")
def etcd_program(program: Program) -> Path:
    return program(SUITE)


@pytest.fixture(scope="module")
def stranger() -> certificates.Identity:
    """Another CA."""
    return certificates.authority("somebody else")


@pytest.fixture(scope="module")
def foreign(etcd_program: Path, authority: certificates.Identity) -> Iterator[Foreign]:
    with running(etcd_program, authority) as one:
        yield one


def said(looks: dict[str, Look], *, begins: bool = True) -> tuple[str, str]:
    """Refusals and warnings as text, for hosts that are all to become control planes."""
    refusals, warnings = external_etcd.judge(looks, KUBERNETES, new=[*looks], begins=begins)
    return "\n".join(map(str, refusals)), "\n".join(map(str, warnings))


def test_whole_and_empty_etcd_is_good_for_a_new_cluster(foreign: Foreign) -> None:
    look = foreign.look()
    assert look.holds
    answer = look.answers[foreign.url]
    assert answer.version.startswith("3.")
    assert answer.keys == 0
    assert answer.members == ((answer.member, "m0", (foreign.url,)),)
    assert said({"cp1": look, "cp2": look}) == ("", "")


def test_host_without_files_only_sees_whether_it_could_connect(foreign: Foreign, tmp_path: Path) -> None:
    look = foreign.look(files=tmp_path / "none")
    assert look.answers == {foreign.url: external_etcd.Answer(asked=False)}
    refused, _known = said({"cp1": look})
    assert "cluster: files of etcd: found none of cp1 with all of " in refused
    assert said({"cp1": look, "cp2": foreign.look()}) == ("", "")


def test_nobody_listens(foreign: Foreign) -> None:
    gone = "https://127.0.0.1:1"
    refused, _known = said({"cp1": foreign.look(foreign.url, gone)})
    assert refused == (
        f"cp1: etcd endpoint {gone}: found Connection refused, wanted a connection. "
        "Look whether etcd runs there, and at routes and firewalls on the way."
    )


def test_endpoints_of_two_clusters(foreign: Foreign, etcd_program: Path, authority: certificates.Identity) -> None:
    with running(etcd_program, authority) as other:
        refused, _known = said({"cp1": foreign.look(foreign.url, other.url)})
        assert "cluster: etcd endpoints: found cluster " in refused
        assert f" at {foreign.url}" in refused
        assert f" at {other.url}" in refused
        assert ", wanted one cluster behind all of them. Take the endpoints out of" in refused
        # Even where each host sees one of them alone, as behind a name that means something else on each.
        refused, _known = said({"cp1": foreign.look(), "cp2": other.look()}, begins=False)
        assert "wanted one cluster behind all of them." in refused


def test_server_of_another_ca(
    foreign: Foreign, stranger: certificates.Identity, etcd_program: Path, tmp_path: Path
) -> None:
    with running(etcd_program, stranger) as other:
        refused, _known = said({"cp1": foreign.look(foreign.url, other.url)})
        assert f"cp1: etcd endpoint {other.url}: found a server certificate that our CA did not sign (" in refused
        assert "wanted one that cluster_etcd_ca_file has signed. Set cluster_etcd_ca_file to the CA" in refused


def test_client_that_etcd_does_not_know(foreign: Foreign, stranger: certificates.Identity, tmp_path: Path) -> None:
    folder = client_files(tmp_path, foreign_ca(foreign), stranger)
    (folder / "ca.crt").write_text((folder / "ca.crt").read_text() + stranger.pem)
    refused, _known = said({"cp1": foreign.look(files=folder)})
    assert f"cp1: etcd endpoint {foreign.url}: found our certificate refused (" in refused
    assert "Take a certificate for clients that etcd's --trusted-ca-file has signed." in refused


def foreign_ca(foreign: Foreign) -> certificates.Identity:
    class Known:
        pem = (foreign.files / "ca.crt").read_text()

    return Known()  # type: ignore[return-value]


def test_name_that_is_not_in_the_servers_certificate(foreign: Foreign) -> None:
    url = foreign.url.replace("127.0.0.1", "localhost")
    refused, _known = said({"cp1": foreign.look(url)})
    assert f"cp1: etcd endpoint {url}: found a server certificate for 127.0.0.1, wanted one for localhost." in refused


def test_server_certificate_that_has_ended(etcd_program: Path, authority: certificates.Identity) -> None:
    with running(etcd_program, authority, not_after=PAST) as ended:
        for _attempt in range(100):
            look = ended.look()
            if look.answers[ended.url].failure != external_etcd.NO_CONNECTION:
                break
        refused, _known = said({"cp1": look})
        assert "found a certificate that ended on 2026-02-01 00:00 UTC, by this host's clock, wanted a valid" in refused


def test_something_that_is_not_etcd(foreign: Foreign) -> None:
    """The peers' port speaks TLS, and not etcd's API."""
    refused, _known = said({"cp1": foreign.look(foreign.member.peer_url)})
    assert f"cp1: etcd endpoint {foreign.member.peer_url}: found a port of etcd that serves its peers," in refused
    assert "Correct cluster_etcd_endpoints" in refused


def test_etcd_that_holds_a_cluster_is_not_begun_over(etcd_program: Path, authority: certificates.Identity) -> None:
    with running(etcd_program, authority) as used:
        for key in ("/registry/namespaces/default", "/registryother/a", "/other/a"):
            used.call("/kv/put", {"key": base64.b64encode(key.encode()).decode(), "value": "eA=="})
        refused, _known = said({"cp1": used.look()})
        assert "cluster: etcd: found 1 keys below API servers' prefix, wanted none before kubeadm init." in refused
        assert said({"cp1": used.look()}, begins=False) == ("", "")


def test_alarm(etcd_program: Path, authority: certificates.Identity) -> None:
    with running(etcd_program, authority) as full:
        member = full.look().answers[full.url].member
        full.call("/maintenance/alarm", {"action": "ACTIVATE", "memberID": member, "alarm": "NOSPACE"})
        refused, _known = said({"cp1": full.look()}, begins=False)
        assert f"cluster: etcd alarm: found NOSPACE of member {int(member):x}, wanted none. Compact" in refused


def test_authentication_of_etcds_own(etcd_program: Path, authority: certificates.Identity) -> None:
    with running(etcd_program, authority) as guarded:
        for method, body in (
            ("/auth/user/add", {"name": "root", "password": "secret"}),
            ("/auth/role/add", {"name": "root"}),
            ("/auth/user/grant", {"user": "root", "role": "root"}),
            ("/auth/enable", {}),
        ):
            guarded.call(method, body)
        refused, known = said({"cp1": guarded.look()})
        assert refused == ""
        assert "cluster: etcd authentication: found enabled at " in known


def test_no_gateway(etcd_program: Path, authority: certificates.Identity) -> None:
    with running(etcd_program, authority) as bare:
        member = bare.member
        member.kill()
        member.arguments.append("--enable-grpc-gateway=false")
        member.start()
        look = bare.look()
        while look.answers[bare.url].failure:
            look = bare.look()
        refused, known = said({"cp1": look})
        assert refused == ""
        assert f"cluster: etcd endpoints: found no JSON gateway at {bare.url}, wanted" in known


def test_members_that_went_down(local_etcd: LocalEtcd, authority: certificates.Identity, tmp_path: Path) -> None:
    local_etcd.begin(3)
    foreign = Foreign(local_etcd, client_files(tmp_path, authority, authority))
    first, second, third = (member.client_url for member in local_etcd.processes.values())
    refused, known = said({"cp1": foreign.look(first)})
    assert refused == ""
    assert "cluster: etcd endpoints: found none of m1, m2, wanted all members. API servers pass these by" in known
    local_etcd.processes["m2"].kill()
    while not local_etcd.writes():
        pass
    look = foreign.look(first, second, third)
    refused, known = said({"cp1": look}, begins=False)
    assert refused == ""
    assert f"cp1: etcd endpoint {third}: found Connection refused" in known
    refused, _known = said({"cp1": look})
    assert f"cp1: etcd endpoint {third}: found Connection refused" in refused
    local_etcd.processes["m1"].kill()
    look = foreign.look(first)
    while look.answers[first].leader not in ("", "0"):
        look = foreign.look(first)
    refused, _known = said({"cp1": look}, begins=False)
    assert "cluster: etcd quorum: found no leader" in refused
    assert "wanted 2 of 3 members that agree." in refused


@pytest.mark.parametrize(
    ("case", "path", "says"),
    [
        ("other key", "client.key", "a key that does not belong to "),
        ("other CA", "client.crt", "a certificate that "),
        ("ended", "client.crt", "a certificate that ended on 2026-02-01 00:00 UTC, by this host's clock"),
        ("of a server", "client.crt", "a certificate that is not for clients"),
        ("torn", "client.crt", "no certificate, or "),
        ("no CA", "ca.crt", "no certificate of a CA ("),
    ],
)
def test_files_that_do_not_belong_together(
    foreign: Foreign,
    authority: certificates.Identity,
    stranger: certificates.Identity,
    tmp_path: Path,
    case: str,
    path: str,
    says: str,
) -> None:
    folder = client_files(tmp_path, authority, stranger if case == "other CA" else authority)
    if case == "other key":
        (folder / "client.key").write_text(authority.issue().key_pem)
    elif case == "ended":
        authority.issue("client", not_after=PAST).write(folder, "client")
    elif case == "of a server":
        authority.issue("client", purpose=ExtendedKeyUsageOID.SERVER_AUTH).write(folder, "client")
    elif case == "torn":
        (folder / "client.crt").write_text((folder / "client.crt").read_text()[:200])
    elif case == "no CA":
        (folder / "ca.crt").write_text("nothing")
    refused, _known = said({"cp1": foreign.look(files=folder)})
    assert f"cp1: {folder / path}: found {says}" in refused
    assert "wanted what etcd lets in. Put files there that belong together" in refused


def test_some_of_the_files_alone(foreign: Foreign, authority: certificates.Identity, tmp_path: Path) -> None:
    folder = client_files(tmp_path, authority, authority)
    (folder / "client.key").unlink()
    refused, _known = said({"cp1": foreign.look(files=folder), "cp2": foreign.look()})
    assert refused.startswith(f"cp1: {folder}/client.key: found no file, wanted it beside the others.")


def test_intermediate_authority_will_do(
    etcd_program: Path, authority: certificates.Identity, tmp_path: Path, foreign: Foreign
) -> None:
    """Kubernetes is content with the CA that signed directly; OpenSSL by itself wants the root as well."""
    middle = certificates.intermediate(authority, "etcd-intermediate")
    with running(etcd_program, middle) as below:
        assert said({"cp1": below.look()}) == ("", "")


def test_the_look_returns_no_secret(foreign: Foreign) -> None:
    text = repr(foreign.look())
    assert "PRIVATE KEY" not in text
    assert (foreign.files / "client.key").read_text().splitlines()[1] not in text


def test_endpoint_that_does_not_exist_leaves_the_others_alone(foreign: Foreign) -> None:
    look = foreign.look(foreign.url, "https://nowhere.invalid:2379")
    assert look.answers[foreign.url].speaks
    assert look.answers["https://nowhere.invalid:2379"].failure == external_etcd.NO_CONNECTION
