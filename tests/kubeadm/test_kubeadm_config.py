# SPDX-License-Identifier: GPL-3.0-or-later
"""The module finds the kubeadm of its host, and writes what this one reads."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers import configurations

ROOT = Path(__file__).parents[2]
TOKEN = "abcdef.0123456789abcdef"
NODE = {
    "nodeRegistration": {"name": "cp1", "criSocket": "unix:///run/containerd/containerd.sock"},
    "localAPIEndpoint": {"advertiseAddress": "192.0.2.11"},
    "bootstrapTokens": [{"token": TOKEN, "ttl": "1h"}],
    "patches": {"directory": "/etc/kubernetes/patches"},
    "skipPhases": ["addon/coredns"],
}
CLUSTER = {"kubernetesVersion": "v1.20.2", "apiServer": {"extraArgs": [{"name": "v", "value": 2}]}}


@pytest.fixture
def run(program: Path) -> Any:
    """Run the module on this machine, and return its result with all that was printed."""

    def call(*argv: str, **options: Any) -> tuple[dict[str, Any], str]:
        done = subprocess.run(
            [
                "ansible",
                "localhost",
                "-c",
                "local",
                "-m",
                "kubeadm.ha.kubeadm_config",
                "-a",
                json.dumps(options),
                *argv,
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{program.parent}:{os.environ['PATH']}",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout[done.stdout.index("=> {") + len("=> ") :]
        return json.JSONDecoder().raw_decode(text)[0], done.stdout + done.stderr

    return call


def test_file_is_what_the_kubeadm_of_this_host_reads(run: Any, program: Path, tmp_path: Path) -> None:
    path = tmp_path / "kubeadm.yaml"
    options = {"cluster": CLUSTER, "node": NODE, "path": str(path)}
    found, said = run("--check", "--diff", **options)
    assert (found["changed"], path.exists()) == (True, False)
    found, said = run("-vvv", "--diff", **options)
    assert (found["changed"], found["api_version"]) == (True, "kubeadm.k8s.io/v1beta2")
    assert found["arguments"] == ["--experimental-patches=/etc/kubernetes/patches", "--skip-phases=addon/coredns"]
    assert TOKEN.partition(".")[2] not in said
    assert path.stat().st_mode & 0o777 == 0o600
    read = subprocess.run(
        [program, "config", "migrate", "--old-config", path], capture_output=True, text=True, check=True
    )
    assert "unknown field" not in read.stderr
    init, cluster = yaml.safe_load_all(read.stdout)
    assert init["bootstrapTokens"][0]["token"] == TOKEN
    assert init["nodeRegistration"]["criSocket"] == "/run/containerd/containerd.sock"
    assert cluster["apiServer"]["extraArgs"] == {"v": "2"}
    found, _said = run(**options)
    assert not found["changed"]


def test_everything_wrong_is_told_at_once(run: Any) -> None:
    found, said = run(
        cluster={"apiserver": {}, "proxy": {"disabled": True}}, node={"nodeRegistration": {"name": "CP1"}}
    )
    assert "FAILED" in said
    assert "Did you mean apiServer?" in found["msg"]
    assert "InitConfiguration.nodeRegistration.name" in found["msg"]


@pytest.mark.parametrize(("kind", "command"), [("reset", "ResetConfiguration"), ("upgrade", "UpgradeConfiguration")])
def test_newer_kubeadms_are_rendered_for_by_their_version(run: Any, kind: str, command: str) -> None:
    found, _said = run(kind=kind, version="1.36.0", node=configurations.golden("description")[command])
    assert found["api_version"] == "kubeadm.k8s.io/v1beta4"
    assert list(yaml.safe_load_all(found["content"])) == configurations.golden("v1beta4")[kind]
