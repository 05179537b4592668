# SPDX-License-Identifier: GPL-3.0-or-later
"""kubeadm's own preflight accepts the versions of external etcd that the plan accepts, and no others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import external_etcd, kubeadm_config, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm_config import Description
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import certificates, https_server

VERSION = versions.parse("1.20.2")


@pytest.mark.parametrize("etcd", ["3.2.17", "3.2.18-rc.1", "3.2.18", "3.4.13", "3.10.0", "2.3.8"])
def test_kubeadm_accepts_the_etcd_that_the_plan_accepts(program: Path, tmp_path: Path, etcd: str) -> None:
    ca = certificates.authority("etcd-ca")
    (tmp_path / "ca.crt").write_text(ca.pem)
    ca.issue("kube-apiserver-etcd-client").write(tmp_path, "client")
    answer = (200, {"etcdserver": etcd, "etcdcluster": etcd})
    with https_server.serve(lambda _request: answer, ca, tmp_path, client_certificate=True) as server:
        files = {"caFile": tmp_path / "ca.crt", "certFile": tmp_path / "client.crt", "keyFile": tmp_path / "client.key"}
        external = {"endpoints": [server.url], **{name: str(path) for name, path in files.items()}}
        description = Description(
            cluster={"kubernetesVersion": f"v{VERSION}", "etcd": {"external": external}},
            # No such runtime: it gets no further than these checks.
            node={"nodeRegistration": {"criSocket": str(tmp_path / "no.sock")}},
        )
        config = tmp_path / "kubeadm.yaml"
        config.write_text(kubeadm_config.dump(kubeadm_config.render_init(description, VERSION)))
        done = subprocess.run(
            [program, "init", "phase", "preflight", f"--config={config}"],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/nowhere"},
        )
    assert server.paths == ["/version"]
    assert "[preflight] Some fatal errors occurred" in done.stderr
    assert ("ERROR ExternalEtcdVersion" not in done.stderr) == external_etcd.accepts(VERSION, etcd), done.stderr
