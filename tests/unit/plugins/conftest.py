# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the tests of all plugins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates, etcd_gateway, https_server


@pytest.fixture(scope="session")
def ca() -> certificates.Identity:
    """A CA that tests of one session share."""
    return certificates.authority()


@pytest.fixture
def serve_etcd(ca: certificates.Identity, tmp_path: Path) -> Iterator[etcd_gateway.Serve]:
    """Start a process of etcd, which lets in only clients that its CA has signed."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(https_server.serve(answer, ca, tmp_path, client_certificate=True))


@pytest.fixture
def etcd_pki(ca: certificates.Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that make this host a client of etcd."""
    folder = tmp_path / "pki"
    folder.mkdir()
    (folder / "ca.crt").write_text(ca.pem, encoding="ascii")
    ca.issue("kube-etcd-healthcheck-client").write(folder, "healthcheck-client")
    monkeypatch.setattr(etcd, "PKI", str(folder))
    return folder
