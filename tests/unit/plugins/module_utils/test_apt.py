# SPDX-License-Identifier: GPL-3.0-or-later
"""apt's and dpkg's words, as they say them."""

from __future__ import annotations

from ansible_collections.kubeadm.ha.plugins.module_utils import apt

MADISON = """\
   kubeadm | 1.34.2-1.1 | https://pkgs.k8s.io/core:/stable:/v1.34/deb  Packages
   kubeadm | 1.34.1-1.1 | https://pkgs.k8s.io/core:/stable:/v1.34/deb  Packages
   kubeadm | 1.34.2-1.1 | https://pkgs.k8s.io/core:/stable:/v1.34/deb  Sources
cri-tools | 1.34.0-1.1 | https://pkgs.k8s.io/core:/stable:/v1.34/deb  Packages
"""
STATUS = """\
kubeadm\t1.34.2-1.1\thold\tinstalled
kubelet\t1.34.2-1.1\tinstall\thalf-configured
kubectl\t1.34.2-1.1\tdeinstall\tconfig-files
cri-tools\t\tunknown\tnot-installed
"""


def test_madison_is_read_newest_first() -> None:
    assert apt.parse_madison(MADISON) == {"kubeadm": ["1.34.2-1.1", "1.34.1-1.1"], "cri-tools": ["1.34.0-1.1"]}
    assert apt.parse_madison("") == apt.parse_madison("N: Unable to locate package kubeadm\n") == {}


def test_status_has_what_is_on_the_host() -> None:
    assert apt.parse_status(STATUS) == {
        "kubeadm": apt.Installed("1.34.2-1.1", held=True, whole=True),
        "kubelet": apt.Installed("1.34.2-1.1", held=False, whole=False),
    }


def test_version_is_satisfied_by_any_revision_of_it_and_by_no_longer_number() -> None:
    def satisfied(version: str, *, whole: bool = True) -> bool:
        return apt.is_satisfied(apt.Installed(version, held=False, whole=whole), "1.34.2-*")

    assert satisfied("1.34.2-1.1")
    assert satisfied("1.34.2-2.1")
    assert not satisfied("1.34.20-1.1")
    assert not satisfied("11.34.2-1.1")
    assert not satisfied("1.34.2-1.1", whole=False)
    assert not apt.is_satisfied(None, apt.ANY)


def test_key_is_named_by_its_form() -> None:
    assert apt.key_file("k", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx") == "/etc/apt/keyrings/k.asc"
    assert apt.key_file("k", b"\x99\x01\x0d") == "/etc/apt/keyrings/k.gpg"


def test_preferences_pin_versions_that_are_wanted_and_nothing_else() -> None:
    text = apt.preferences({"kubelet": "1.34.2-*", "cri-tools": "*", "kubeadm": "1.34.2-*"})
    assert [line for line in text.splitlines() if line.startswith("Package")] == [
        "Package: kubeadm",
        "Package: kubelet",
    ]
    assert text.count("Pin: version 1.34.2-*\nPin-Priority: 1000\n") == 2
