# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration and where it is probed, as Ansible renders them from users' variables.

What HAProxy itself says of these configurations is asked in tests/variants/test_load_balancer.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "load_balancer"
GOLDEN = Path(__file__).parent / "fixtures" / "haproxy"
BACK_ENDS = {"cp2": "192.0.2.12", "cp1": "192.0.2.11"}
# By name: a user's variables, and where HAProxy is probed for them.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "ipv4": ({"cluster_control_plane_endpoint": "192.0.2.10:6443"}, "127.0.0.1:6443"),
    "ipv6": (
        {
            "cluster_control_plane_endpoint": "[2001:db8::10]:8443",
            "load_balancer_backends": {"cp1": "2001:db8::11", "cp2": "2001:db8::12"},
        },
        "[::1]:8443",
    ),
    "one_address": (
        {
            "cluster_control_plane_endpoint": "k8s.example.com:443",
            "cluster_load_balancer_port": 8443,
            "cluster_load_balancer_bind_address": "2001:db8::21",
            "load_balancer_idle_timeout": "1h",
        },
        "[2001:db8::21]:8443",
    ),
    "virtual_ip": (
        {
            "cluster_control_plane_endpoint": "192.0.2.10:6443",
            "cluster_virtual_ip": "192.0.2.10/24",
            "cluster_load_balancer_bind_address": "192.0.2.10",
        },
        "127.0.0.1:8405",
    ),
}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each case's configuration and probe, all by one run of Ansible."""
    folder = tmp_path_factory.mktemp("haproxy")
    (folder / "templates").symlink_to(ROLE / "templates")
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "vars_files": [str(ROLE / part / "main.yml") for part in ("defaults", "vars")],
            "tasks": [
                {
                    "ansible.builtin.copy": {"content": f"{{{{ {variable} }}}}", "dest": f"{folder}/{name}.{kind}"},
                    "vars": {"load_balancer_backends": BACK_ENDS, **variables},
                }
                for kind, variable in (("cfg", "__load_balancer_settings"), ("probe", "load_balancer_probe"))
            ],
        }
        for name, (variables, _probe) in CASES.items()
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(folder / "play.yml")]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("name", CASES)
def test_configuration_is_the_golden_one(rendered: Path, name: str) -> None:
    assert (rendered / f"{name}.cfg").read_text() == (GOLDEN / f"{name}.cfg").read_text()


@pytest.mark.parametrize("name", CASES)
def test_probe_is_where_it_listens(rendered: Path, name: str) -> None:
    assert (rendered / f"{name}.probe").read_text() == CASES[name][1]
