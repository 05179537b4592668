# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that end while hosts still join are kept valid, under the same token and the same certificate key."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from support import ROOT, api, host

pytestmark = pytest.mark.usefixtures("cluster")

SECRETS = "/api/v1/namespaces/kube-system/secrets"
NONCE_BYTES = 12


def credentials(inventory: Path, **options: Any) -> dict[str, Any]:
    """What the module returns on cp1."""
    done = subprocess.run(
        [
            "ansible",
            "cp1",
            "-i",
            inventory,
            "-m",
            "kubeadm.ha.join_credentials",
            "-a",
            json.dumps(options),
            "--one-line",
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.partition("=> ")[2])
    return result


@pytest.fixture(scope="module")
def made(cluster: None, inventory: Path) -> Iterator[dict[str, Any]]:
    made = credentials(inventory, control_plane=True, lifetime_minutes=1)
    yield made
    credentials(inventory, state="absent", token_id=made["token_id"])
    left = {secret["metadata"]["name"] for secret in api().get(SECRETS)["items"]}
    assert not {name for name in left if name.startswith("bootstrap-token-") or name == "kubeadm-certs"}


def keep(inventory: Path, made: dict[str, Any]) -> bool:
    kept = credentials(inventory, token=made["token"], certificate_key=made["certificate_key"])
    return bool(kept["changed"])


def test_what_is_gone_or_ends_soon_is_valid_again(made: dict[str, Any], inventory: Path) -> None:
    token = f"{SECRETS}/bootstrap-token-{made['token_id']}"
    before = api().get(token)["data"]
    # As the cluster takes them away: first the token that gives them their life.
    for owner in api().get(f"{SECRETS}/kubeadm-certs")["metadata"]["ownerReferences"]:
        api().delete(f"{SECRETS}/{owner['name']}")
    api().delete(f"{SECRETS}/kubeadm-certs")
    assert keep(inventory, made)
    after = api().get(token)["data"]
    assert after["token-secret"] == before["token-secret"]
    assert base64.b64decode(after["expiration"]) > base64.b64decode(before["expiration"])
    sealed = base64.b64decode(api().get(f"{SECRETS}/kubeadm-certs")["data"]["ca.key"])
    opened = AESGCM(bytes.fromhex(made["certificate_key"])).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
    assert opened.decode().strip() == host("cp1").check_output("cat /etc/kubernetes/pki/ca.key").strip()
    assert not keep(inventory, made)
