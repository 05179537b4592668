# SPDX-License-Identifier: GPL-3.0-or-later
"""Two load balancers that share an address, and stand-ins for two API servers; made once for all tests of a session."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pair import API_SERVERS, API_UNITS, BALANCERS, GUARDED, SERVER, build
from support import STATE, Run, host, succeed


@pytest.fixture(scope="session")
def hosts(boot: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The hosts, and the API servers' stand-ins, all of them on one host."""
    boot(*BALANCERS, "cp1")
    certificate = tmp_path_factory.mktemp("certificate") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=stand-in", "-days", "2", "-keyout", certificate, "-out", f"{certificate}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + Path(f"{certificate}.crt").read_text())
    copy = ["scp", "-q", "-F", STATE / "ssh_config", certificate, SERVER, "cp1:/root/"]
    subprocess.run(copy, check=True)
    host("cp1").run(f"ip address add {API_SERVERS['cp2']}/24 dev host0")
    # A router of somebody else's, which is started by a test.
    host("cp1").run("systemctl mask keepalived")
    host("cp1").run("systemd-run --unit=install sh -c 'apt-get -qq update && apt-get -qq install keepalived'")
    unit = f"[Service]\nExecStart=/usr/bin/python3 /root/{SERVER.name} %i 7443 /root/{certificate.name}\n"
    host("cp1").run("printf %s %s > /etc/systemd/system/api@.service", "%s", unit)
    host("cp1").check_output(f"systemctl daemon-reload; systemctl start {API_UNITS}")


@pytest.fixture(scope="session")
def foretold(hosts: None, keeps_lab: bool) -> Run:
    """What check mode said of the build before there was anything."""
    if keeps_lab:
        pytest.skip("the lab that is kept is not bare")
    return succeed(build("--check", "--diff"))


@pytest.fixture(scope="session")
def pair(hosts: None) -> Run:
    """The run that makes the pair."""
    return succeed(build("--diff"))


@pytest.fixture(scope="session")
def guarded(pair: Run) -> Run:
    """The run that changes nearly all of it: a password, and HAProxy at the address alone, on both hosts."""
    return succeed(build(*GUARDED, "-vvvv", "--diff"))
