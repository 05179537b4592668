# SPDX-License-Identifier: GPL-3.0-or-later
"""The pair as tests hold it: runs, who has the address, what answers there, and what goes wrong on purpose."""

from __future__ import annotations

import contextlib
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from support import Run, eventually, host, playbook

HERE = Path(__file__).parent
INVENTORY = HERE / "inventory"
BALANCERS = ("lb1", "lb2")
ADDRESS = "10.210.0.10"
API_SERVERS = {"cp1": "10.210.0.21", "cp2": "10.210.0.22"}
API_UNITS = " ".join(f"api@{address}" for address in API_SERVERS.values())
SERVER = HERE / "api_server.py"
SECRET = yaml.safe_load((HERE / "guarded.yml").read_text())["cluster_virtual_ip_password"]
GUARDED = ("-e", f"@{HERE / 'guarded.yml'}")


def build(*argv: str, **more: Any) -> Run:
    return playbook(*argv, inventory=INVENTORY, book=str(HERE / "pair.yml"), **more)


def has(name: str) -> bool:
    """Whether this host has the address now."""
    return f" {ADDRESS}/" in host(name).check_output("ip -4 -oneline address show")


def carriers(*names: str) -> list[str]:
    return [name for name in names or BALANCERS if has(name)]


def carrier() -> str:
    """The one host that has the address, once it is one."""
    eventually(lambda: len(carriers()) == 1, "one host has the address")
    return carriers()[0]


def other(name: str) -> str:
    return BALANCERS[1 - BALANCERS.index(name)]


def answered() -> str | None:
    """The API server that answers at the address; None where none does."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"https://{ADDRESS}:6443/readyz", timeout=2, context=context) as answer:
            return answer.read().decode()
    except OSError:
        return None


def up(name: str) -> set[str]:
    """The API servers to which the HAProxy of a host sends clients, those whose last check failed (UP 1/2) included."""
    ask = "import socket as s; c = s.socket(s.AF_UNIX); c.connect('/run/haproxy/admin.sock')"
    told = host(name).check_output(f"""python3 -c "{ask}; c.sendall(b'show stat\\n'); print(c.makefile().read())" """)
    rows = (line.split(",") for line in told.splitlines() if line.startswith("kube_apiserver,") and ",UP" in line)
    return {row[1] for row in rows} - {"BACKEND"}


def checked(name: str) -> bool:
    """Whether the host's own check says that it can serve."""
    return host(name).run("/usr/libexec/keepalived/check_haproxy 8405").rc == 0


def transitions(name: str) -> list[str]:
    """What keepalived's journal tells of states since its start, in order."""
    lines = host(name).check_output("journalctl --unit keepalived --output cat --no-pager").splitlines()
    return [line.rsplit(maxsplit=2)[-2] for line in lines if line.endswith(" STATE")]


@contextlib.contextmanager
def stopped(unit: str, *names: str) -> Iterator[None]:
    for name in names:
        host(name).check_output(f"systemctl stop {unit}")
    try:
        yield
    finally:
        for name in names:
            host(name).check_output(f"systemctl start {unit}")
