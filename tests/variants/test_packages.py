# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs from a signed apt repository, and from somebody before us: as they were asked for, and kept so."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import STATE, Run, host, playbook

REPOSITORY = "http://10.210.0.1:8080/core:/stable:/v1.20/deb/"
KEY = "/etc/apt/keyrings/kubernetes.asc"
# A key that is real, and not the repository's.
OTHER_KEY = "/usr/share/keyrings/debian-archive-bookworm-stable.gpg"

with_packages = pytest.mark.parametrize("name", ["cp1", "cp2"])


@with_packages
def test_repository_is_trusted_by_its_own_key_alone(cluster: None, name: str) -> None:
    source = host(name).file("/etc/apt/sources.list.d/kubernetes.sources").content_string
    assert f"URIs: {REPOSITORY}\n" in source
    assert f"Signed-By: {KEY}\n" in source
    assert "BEGIN PGP PUBLIC KEY BLOCK" in host(name).file(KEY).content_string
    assert host(name).run("grep -rl 'The lab' /etc/apt/trusted.gpg.d /usr/share/keyrings").stdout == ""


@with_packages
def test_packages_have_the_wanted_version_and_keep_it(cluster: None, name: str) -> None:
    for package in ("kubeadm", "kubelet", "kubectl"):
        assert host(name).package(package).version == "1.20.2-1.1"
        policy = host(name).check_output(f"apt-cache policy {package}")
        assert "1.20.2-1.1 1000" in policy
    assert set(host(name).check_output("apt-mark showhold").split()) == {"kubeadm", "kubelet", "kubectl"}
    assert host(name).package("cri-tools").is_installed
    assert host(name).file("/opt/cni/bin/bridge").exists


@with_packages
def test_packages_bring_the_only_kubelet_unit(cluster: None, name: str) -> None:
    paths = host(name).check_output("systemctl show kubelet --property=FragmentPath,DropInPaths --value").split()
    assert paths == [
        "/lib/systemd/system/kubelet.service",
        "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
    ]
    assert not host(name).file("/usr/local/bin/kubeadm").exists
    assert host(name).service("kubelet").is_enabled


def test_existing_programs_are_taken_as_they_are(cluster: None) -> None:
    assert not host("w1").package("kubelet").is_installed
    assert not host("w1").file("/etc/apt/sources.list.d/kubernetes.sources").exists
    assert not host("w1").file("/usr/local/bin/kubelet").exists
    assert "/opt/bin/kubelet" in host("w1").check_output("pgrep --list-full kubelet")
    assert host("w1").service("kubelet").is_enabled


def held_packages(on: str, inventory: Path, **arguments: str) -> Run:
    """The module by itself on one host."""
    words = " ".join(f"{key}={value}" for key, value in arguments.items())
    play = [
        "- hosts: all",
        "  gather_facts: false",
        "  tasks:",
        f"    - kubeadm.ha.held_packages: {words}",
        "      args:",
        "        packages: {kubectl: 1.20.2-*}",
        "",
    ]
    book = STATE / "held_packages.yml"
    book.write_text("\n".join(play))
    return playbook("--limit", on, inventory=inventory, book=str(book))


def test_another_key_is_refused_and_leaves_nothing_behind(cluster: None, inventory: Path) -> None:
    run = held_packages("w1", inventory, name="other", url=REPOSITORY, key=f"file://{OTHER_KEY}")
    assert run.code != 0
    assert "found no index that its key verifies" in run.output
    assert "NO_PUBKEY" in run.output
    assert host("w1").run("ls /etc/apt/sources.list.d/other* /etc/apt/keyrings/other*").stdout == ""
    assert not host("w1").package("kubectl").is_installed
    assert host("w1").run("apt-get update").rc == 0


def test_hosts_own_key_is_what_apt_verifies_by(cluster: None) -> None:
    """Break it: with another key in its place, apt takes nothing from the repository any more."""
    shell = host("cp2")
    shell.check_output(f"cp {KEY} /root/key && gpgv --version >/dev/null; rm -f /var/lib/apt/lists/*core:*")
    try:
        shell.check_output(f"ln -sf {OTHER_KEY} {KEY}")
        done = shell.run("apt-get update 2>&1")
        assert done.rc != 0 and "is not signed" in done.stdout
    finally:
        shell.check_output(f"rm {KEY} && cp /root/key {KEY}")
    assert shell.run("apt-get update").rc == 0


@pytest.fixture(scope="module")
def plan_with_other_versions(cluster: None, inventory: Path) -> Run:
    """A plan while other programs lie before those of two hosts: of the worker, which has its own, and of cp2."""
    fakes = {("w1", "kubeadm"): "v1.21.0", ("w1", "kubelet"): "v1.17.0", ("cp2", "kubelet"): "v1.20.1"}
    for (name, program), says in fakes.items():
        path = f"/usr/local/bin/{program}"
        host(name).check_output(f"printf '#!/bin/sh\\necho {says}\\n' > {path} && chmod +x {path}")
    try:
        return playbook(inventory=inventory, book="playbooks/plan.yml")
    finally:
        for name, program in fakes:
            host(name).check_output(f"rm /usr/local/bin/{program}")


@pytest.mark.parametrize(
    ("program", "found", "rule"),
    [
        ("kubeadm", "v1.21.0", "by the minor version of kubeadm that the cluster was made with"),
        ("kubelet", "v1.17.0", "a kubelet is at most 2 minor versions older"),
    ],
)
def test_skew_of_programs_that_are_there_is_told_with_its_rule(
    plan_with_other_versions: Run, program: str, found: str, rule: str
) -> None:
    lines = plan_with_other_versions.output.splitlines()
    (told,) = [line for line in lines if f"Know: w1: {program}: found {found} (/usr/local/bin/{program})" in line]
    assert rule in told


def test_version_of_a_node_is_not_changed_by_a_build(plan_with_other_versions: Run) -> None:
    assert plan_with_other_versions.code != 0
    refused = "cp2: /usr/local/bin/kubelet: found v1.20.1, wanted v1.20.2: a build never changes the version of a node."
    assert refused in plan_with_other_versions.output
