# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and an inventory that do not fit together: refused before anything changes, all that is wrong at once."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support import Run, host, lab, listing, playbook, rewritten

PLANTED = ("w5", "w6")
Inventory = dict[str, Any]


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def authority(days: int = 1) -> str:
    """The certificate of a cluster that is not this one, which ends in so many days."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def plant(name: str, path: str, content: str) -> None:
    """Leave a file on a host as another cluster, or a disk that was full, would have."""
    host(name).check_output(f"mkdir -p $(dirname {path}) && printf %%s %s > {path}", content)


@pytest.fixture(scope="module")
def planted(cluster: None) -> Iterator[None]:
    """Two hosts more: one carries another cluster's CA, and the other certificates that nobody could use.

    One ends in the middle, one has somebody else's key, and the life of one is over.
    """
    lab("up", *PLANTED)
    foreign, torn = PLANTED
    plant(foreign, "/etc/kubernetes/pki/ca.crt", authority())
    plant(torn, "/etc/kubernetes/pki/ca.crt", authority()[:200])
    plant(torn, "/etc/kubernetes/pki/front-proxy-ca.crt", authority())
    key = new_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    plant(torn, "/etc/kubernetes/pki/front-proxy-ca.key", key.decode())
    plant(torn, "/etc/kubernetes/pki/etcd/ca.crt", authority(days=-1))
    yield
    for name in PLANTED:
        host(name).check_output("rm -r /etc/kubernetes")


def plan(folder: Path, *argv: str, change: Callable[[Inventory], object]) -> Run:
    """What the plan says to the lab's inventory with a change."""
    return playbook(*argv, inventory=rewritten(folder, change), book="playbooks/plan.yml")


def flat(run: Run) -> str:
    """Its output without line breaks and doubled quotes, which are the screen's."""
    return " ".join(run.output.replace("''", "'").split())


def test_hosts_that_contradict_each_other_are_all_named_at_once(planted: None, tmp_path: Path) -> None:
    before = {name: listing(name) for name in PLANTED}

    def change(everything: Inventory) -> None:
        workers = everything["children"]["workers"]["hosts"]
        workers["w1"] = {"cluster_node_name": "renamed"}
        workers["w2"] = {"cluster_node_address": "10.210.0.21"}
        workers.update(dict.fromkeys(PLANTED))

    run = plan(tmp_path, change=change)
    output = flat(run)
    assert run.code != 0
    assert "Nothing was changed." in output
    for text in (
        "cluster: certificate authority: found sha256:",
        "wanted one cluster CA everywhere. These are different clusters. Take the foreign hosts out of the inventory",
        "w6: /etc/kubernetes/pki/ca.crt: found ",
        "wanted a whole file. Restore it from a backup or another control plane; if this host is no member yet, reset",
        "w6: /etc/kubernetes/pki/front-proxy-ca.key: found a key that does not belong to ",
        "w6: /etc/kubernetes/pki/etcd/ca.crt: found a CA that ended on ",
        "w5: /etc/kubernetes/pki/ca.crt: found the CA sha256:",
        "w1: node name: found w1, by its kubelet's certificate, wanted renamed. A node keeps its name",
        "w2: address: found 10.210.0.21, also on cp1, wanted one of its own. Give each host its own.",
        "cp1: address: found 10.210.0.21, also on w2,",
    ):
        assert text in output, run.output
    assert run.changes == set()
    assert {name: listing(name) for name in PLANTED} == before


def test_inventory_that_contradicts_the_cluster_is_told_so_at_once(cluster: None, tmp_path: Path) -> None:
    def change(everything: Inventory) -> None:
        groups = everything["children"]
        groups["workers"]["hosts"]["cp3"] = groups["control_plane"]["hosts"].pop("cp3")
        groups["control_plane"]["hosts"]["w2"] = groups["workers"]["hosts"].pop("w2")
        del groups["control_plane"]["hosts"]["cp2"]

    run = plan(tmp_path, "--extra-vars=cluster_kubernetes_version=1.20.1", change=change)
    output = flat(run)
    assert run.code != 0
    for text in (
        "cp3: role: found a control plane of the cluster, wanted what the group workers says.",
        "w2: role: found a worker: it carries none of a control plane's keys",
        "cluster: cluster_kubernetes_version: found control planes that run v1.20.2, wanted v1.20.1.",
        "Know: cluster: stacked control planes: found 2, wanted an odd number.",
        "Know: cluster: nodes: found cp2",
    ):
        assert text in output, run.output
    assert run.changes == set()
