# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and client configuration, with which every host is known before it boots."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import shell
from .settings import HOSTS, Host


class Ssh:
    """The SSH files in a lab's state directory."""

    def __init__(self, state: Path) -> None:
        self.identity = state / "id_ed25519"
        self.known_hosts = state / "known_hosts"
        self.config = state / "ssh_config"
        self.host_keys = state / "host_keys"

    @property
    def files(self) -> list[Path]:
        return [self.identity, self.identity.with_suffix(".pub"), self.known_hosts, self.config, self.host_keys]

    def prepare(self) -> None:
        """Make whatever is missing."""
        self.host_keys.mkdir(parents=True, exist_ok=True)
        make_key(self.identity, "kubeadm-ha-lab")
        for host in HOSTS.values():
            make_key(self.host_key(host), host.name)
        self.known_hosts.write_text(
            "".join(f"{host.name},{host.address} {self._public(self.host_key(host))}\n" for host in HOSTS.values())
        )
        blocks = "".join(f"Host {host.name}\n  HostName {host.address}\n" for host in HOSTS.values())
        self.config.write_text(
            f"{blocks}\n"
            f"Host {' '.join(HOSTS)} {' '.join(host.address for host in HOSTS.values())}\n"
            "  User root\n"
            f'  IdentityFile "{self.identity}"\n'
            "  IdentitiesOnly yes\n"
            f'  UserKnownHostsFile "{self.known_hosts}"\n'
            "  StrictHostKeyChecking yes\n"
            "  LogLevel ERROR\n"
        )

    def host_key(self, host: Host) -> Path:
        return self.host_keys / host.name

    def public_identity(self) -> str:
        return self._public(self.identity)

    @staticmethod
    def _public(key: Path) -> str:
        return key.with_suffix(".pub").read_text().strip()

    def command(self, host: Host, *words: str) -> list[str]:
        return ["ssh", "-F", str(self.config), host.name, *words]

    def answers(self, host: Host) -> bool:
        """Whether a command runs on the host right now."""
        probe = ["ssh", "-F", str(self.config), "-o", "ConnectTimeout=2", "-o", "BatchMode=yes", host.name, "true"]
        return subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def make_key(path: Path, comment: str) -> None:
    """A key pair at path and path.pub, unless there is one."""
    if not path.exists():
        shell.output(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
