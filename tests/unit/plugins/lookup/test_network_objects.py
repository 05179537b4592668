# SPDX-License-Identifier: GPL-3.0-or-later
"""A network's objects come with a record of it, or with every reason why not."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.kubeadm.ha.plugins.module_utils import pod_network

ROOT = Path(__file__).resolve().parents[4]
FLANNEL = """
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data: {net-conf.json: '{"Network": "10.244.0.0/16"}'}
"""


def look_up(folder: Path, **options: Any) -> Any:
    """What Ansible has for the lookup in a template: objects, or the text of its failure."""
    asked = {"pod_subnet": "10.200.0.0/16", "kubernetes_version": "1.20.2", **options}
    (folder / "hosts").write_text("here ansible_connection=local\n")
    (folder / "asked.json").write_text(json.dumps({"asked": asked}))
    done = subprocess.run(
        [
            *("ansible", "here", "-i", folder / "hosts", "-e", f"@{folder / 'asked.json'}"),
            *("-m", "ansible.builtin.debug", "-a", "msg={{ query('kubeadm.ha.network_objects', **asked) }}"),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.partition("=> ")[2]
    return json.loads(found)["msg"] if done.returncode == 0 else done.stdout + done.stderr


def test_objects_come_with_the_subnet_set_and_with_their_record(tmp_path: Path) -> None:
    (tmp_path / "flannel.yml").write_text(FLANNEL)
    record, config = look_up(tmp_path, network="flannel", manifests=["flannel.yml"])
    assert '"10.200.0.0/16"' in config["data"]["net-conf.json"]
    assert record["data"] == {"network": "flannel", "objects": "ConfigMap kube-flannel/kube-flannel-cfg\n"}


def test_bridge_has_its_record_alone(tmp_path: Path) -> None:
    assert look_up(tmp_path, network="bridge") == [pod_network.record("bridge", [])]


def test_reasons_come_all_at_once(tmp_path: Path) -> None:
    said = look_up(tmp_path, network="manifest", manifests=["one.yml", "two.yml"])
    assert f"cluster: one.yml: found [Errno 2] No such file or directory: '{tmp_path}/one.yml'" in said
    assert "cluster: two.yml: found" in said
