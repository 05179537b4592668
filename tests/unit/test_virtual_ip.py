# SPDX-License-Identifier: GPL-3.0-or-later
"""What keepalived and kube-vip are told, as Ansible renders it from users' variables.

What keepalived itself says of it is asked in tests/virtual_ip, what Kubernetes does in tests/variants/test_kube_vip.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeadm.ha.plugins.module_utils import virtual_ip_probe

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "virtual_ip"
GOLDEN = Path(__file__).parent / "fixtures" / "keepalived"
PODS = Path(__file__).parent / "fixtures" / "kube_vip"
HOSTS = {
    "lb2": {"interface": "eth1", "address": "192.0.2.12"},
    "lb1": {"interface": "eth0", "address": "192.0.2.11"},
    "lb3": {"interface": "", "address": "192.0.2.13"},
}
# By name: a user's variables.
CASES: dict[str, dict[str, Any]] = {
    "three": {"virtual_ip_advert_seconds": 1},
    "password": {"cluster_virtual_ip_password": "s3cret", "cluster_load_balancer_monitor_port": 9000},
    "alone": {"virtual_ip_hosts": {"lb1": HOSTS["lb1"]}, "virtual_ip_address": "192.0.2.10/24"},
    "first": {
        "virtual_ip_kubeconfig": "/etc/kubernetes/super-admin.conf",
        "virtual_ip_image": "mirror.example.com/vip:1",
    },
    "ipv6": {
        "virtual_ip_address": "2001:db8::10/128",
        "virtual_ip_hosts": {
            "lb1": {"interface": "eth0", "address": "2001:db8::11"},
            "lb2": {"interface": "eth0", "address": "2001:db8::12"},
        },
    },
    "shuffled": {"virtual_ip_advert_seconds": 1, "virtual_ip_hosts": dict(reversed(list(HOSTS.items())))},
    "other_password": {"cluster_virtual_ip_password": "other", "cluster_load_balancer_monitor_port": 9000},
}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each case's files, all by one run of Ansible."""
    folder = tmp_path_factory.mktemp("keepalived")
    (folder / "templates").symlink_to(ROLE / "templates")
    kinds = {"conf": "__virtual_ip_settings", "name": "__virtual_ip_process", "yaml": "__virtual_ip_pod"}
    plays = [
        {
            "hosts": "lb1",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "vars_files": [str(ROLE / part / "main.yml") for part in ("defaults", "vars")],
            "tasks": [
                {
                    "ansible.builtin.copy": {"content": f"{{{{ {variable} }}}}", "dest": f"{folder}/{name}.{kind}"},
                    "vars": {
                        "virtual_ip_hosts": HOSTS,
                        "virtual_ip_address": "192.0.2.10/32",
                        "virtual_ip_router_id": 10,
                        "cluster_control_plane_endpoint": "192.0.2.10:6443",
                        **variables,
                    },
                }
                for kind, variable in kinds.items()
            ],
        }
        for name, variables in CASES.items()
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    command = ["ansible-playbook", "-i", "lb1,", "-c", "local", str(folder / "play.yml")]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.conf")))
def test_configuration_is_the_golden_one(rendered: Path, name: str) -> None:
    assert (rendered / f"{name}.conf").read_text() == (GOLDEN / f"{name}.conf").read_text()


def test_order_of_hosts_means_nothing(rendered: Path) -> None:
    assert (rendered / "shuffled.conf").read_text() == (rendered / "three.conf").read_text()


def test_process_is_named_by_what_it_runs_with_and_not_by_the_password(rendered: Path) -> None:
    names = {name: (rendered / f"{name}.name").read_text() for name in CASES}
    for name, process in names.items():
        assert f"vrrp_process_name {process}\n" in (rendered / f"{name}.conf").read_text()
        assert len(process) == 15
    assert len({names[name] for name in ("three", "password", "alone", "ipv6")}) == 4
    assert names["password"] == names["other_password"]


@pytest.mark.parametrize("name", CASES)
def test_password_stays_out_of_what_is_shown(rendered: Path, name: str) -> None:
    text = (rendered / f"{name}.conf").read_text()
    assert "s3cret" not in text
    assert ("include " in text) == ("password" in name)


@pytest.mark.parametrize("name", ["first", "ipv6", "three"])
def test_pod_is_the_golden_one(rendered: Path, name: str) -> None:
    assert (rendered / f"{name}.yaml").read_text() == (PODS / f"{name}.pod").read_text()


@pytest.mark.parametrize("name", CASES)
def test_pod_is_known_again_on_its_host(rendered: Path, name: str) -> None:
    text = (rendered / f"{name}.yaml").read_text()
    address = CASES[name].get("virtual_ip_address", "192.0.2.10/32").split("/")[0]
    assert virtual_ip_probe.is_in_pod(text, address)
    assert not virtual_ip_probe.is_in_pod(text, "192.0.2.1")


@pytest.mark.parametrize("name", CASES)
def test_keepalived_is_known_again_on_its_host(rendered: Path, name: str) -> None:
    text = (rendered / f"{name}.conf").read_text()
    address = CASES[name].get("virtual_ip_address", "192.0.2.10/32").split("/")[0]
    assert virtual_ip_probe.is_configured(text, address, 10)
    assert not virtual_ip_probe.is_configured(text, address, 1)
