# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that could show secrets and do not: one that fails among them, every playbook in check mode, every one refused.

What all runs of the session showed is searched in test_z_secrets.py, after the last of them; see tests/shared/canary.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from canary import CHECKED, FAILING, Canary
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support import CANARY, ROOT, STATE, api, cluster_id, extended, host, lab, playbook, succeed

pytestmark = pytest.mark.usefixtures("cluster")

TALKATIVE = ("-vvvv", "--diff")
BOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))
# It reads a snapshot, which its own tests have.
NEEDS_A_FILE = {"open_snapshot.yml"}
UNKNOWN = {"cluster_kubernetes_version": "1.99.0"}
WRONG = {"plan.yml": UNKNOWN, "site.yml": UNKNOWN, "recover.yml": UNKNOWN, "snapshot.yml": {"snapshot_public_key": "?"}}
NEWCOMER = "w4"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
KUBEADM = "/usr/local/bin/kubeadm"
TOLD = "/etc/kubernetes/told"
# Says what it was told, as no kubeadm should, and fails.
INDISCREET = f"""#!/bin/sh
[ "$1" != version ] || exec echo v1.20.2
for word; do case $word in --config=*) tr --delete '\\n' < "${{word#--config=}}" | tee /dev/stderr {TOLD} ;; esac; done
echo "{KUBEADM}: out of order" >&2
exit 1
"""


@pytest.fixture(scope="module")
def failed_join(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run says that fails late, without pipelining: a control plane's kubeadm tells everything and dies."""
    lab("up", NEWCOMER)
    inventory = extended(tmp_path_factory.mktemp("newcomer"), control_plane=[NEWCOMER])
    host(NEWCOMER).check_output(f"printf %s %s > {KUBEADM} && chmod +x {KUBEADM}", "%s", INDISCREET)
    run = playbook("--limit", NEWCOMER, *TALKATIVE, inventory=inventory, env={"ANSIBLE_PIPELINING": "False"})
    assert run.code != 0
    # It has ended too soon for anybody who looks at processes from time to time.
    CANARY.harvest.told(f"{KUBEADM} of {NEWCOMER}", host(NEWCOMER).file(TOLD).content)
    return run.output


def test_failed_join_tells_all_but_its_secrets_and_takes_them_back(failed_join: str) -> None:
    assert f"{KUBEADM}: out of order" in failed_join
    assert '"token": "********"' in failed_join
    assert '"certificateKey": "********"' in failed_join
    left = {name for secret in api().get(SECRETS)["items"] for name in (secret["type"], secret["metadata"]["name"])}
    assert left.isdisjoint({"bootstrap.kubernetes.io/token", "kubeadm-certs"})
    lab("power-off", NEWCOMER)


def test_files_of_the_cluster_are_roots_alone(cluster: None) -> None:
    assert CANARY.modes() == []


@pytest.fixture(scope="module")
def options(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each playbook is given that needs something."""
    folder = tmp_path_factory.mktemp("snapshots")
    key = rsa.generate_private_key(65537, 2048).public_key()
    public = folder / "public.pem"
    public.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return {
        "remove_node.yml": {"remove_node_name": "w2"},
        "reset.yml": {"reset_confirm": cluster_id()},
        "snapshot.yml": {"snapshot_public_key": str(public), "snapshot_directory": str(folder)},
    }


@pytest.mark.parametrize("book", [book for book in BOOKS if book not in NEEDS_A_FILE])
def test_playbook_is_foretold(options: dict[str, dict[str, str]], book: str) -> None:
    if (book, CHECKED) not in CANARY.ways:  # or other tests had it so
        given = json.dumps(options.get(book, {}))
        succeed(playbook("--check", *TALKATIVE, "-e", given, book=f"playbooks/{book}"))


@pytest.mark.parametrize("book", BOOKS)
def test_playbook_that_lacks_something_fails(cluster: None, book: str) -> None:
    if (book, FAILING) not in CANARY.ways:
        run = playbook(*TALKATIVE, "-e", json.dumps(WRONG.get(book, {})), book=f"playbooks/{book}")
        assert run.code != 0
        assert run.changes == set()


@contextlib.contextmanager
def leaks(secret: str) -> Iterator[set[str]]:
    """A secret in every kind of place; yields what a finding has to say of each."""
    node = host("w1")
    places = ["/tmp/leak", "/run/leak", "/var/lib/leak"]
    here = [Path.home() / ".ansible/tmp/leak", STATE / "logs/leak", Path("/tmp/leak-of-a-canary"), ROOT / "leak"]
    for place in places:
        node.check_output(f"printf %s > {place}", secret)
    node.check_output("logger --tag=leak %s", secret)
    node.check_output("systemd-run --unit=leak --property=Type=exec sh -c %s", f"sleep 600; : {secret}")
    for path in here:
        path.write_text(secret)
    try:
        yield {
            "/root/tmp/leak: ",
            "/root/run/leak: ",
            "w1/upper/var/lib/leak: ",
            "journal of w1: ",
            "/processes: ",
            "/temporary files: ",
            *(f"{path}: " for path in here),
        }
    finally:
        node.check_output(f"systemctl stop leak; rm {' '.join(places)}")
        for path in here:
            path.unlink()


def test_canary_sings(cluster: None) -> None:
    """One of its own, for what is shown here is no secret of the cluster's."""
    canary, secret = Canary(STATE), secrets.token_hex(32)
    canary.known.secret("leak", secret.encode())
    with leaks(secret) as expected:
        with canary.watching():
            pass  # a look at its end is enough
        found = canary.search()
    for place in expected:
        assert any(place in line for line in found), (place, found)
