# SPDX-License-Identifier: GPL-3.0-or-later
"""One host: a systemd-nspawn machine with a root, a cable and a power switch."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from . import network, shell
from .cgroups import ControlGroup
from .errors import LabError
from .processes import Process, launch
from .settings import BRIDGE, CONTROLLER_ADDRESS, HOSTS, PREFIX_LENGTH, Host
from .ssh import Ssh

BOOT_SECONDS = 90
"""Longest time from power to a working SSH."""

REAL_FOLDERS = ("containerd", "docker", "kubelet", "etcd")
"""Below /var/lib on a real file system of this machine: a container runtime's overlays do not stack on an overlay."""

SYSTEM_CALLS = "add_key keyctl bpf perf_event_open @mount @module"
"""What container runtimes and the kubelet call beyond what systemd-nspawn allows."""

_START = """
# systemd-nspawn leaves locks and folders below /run; this one goes with the host.
mount -t tmpfs -o mode=755 tmpfs /run
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$ROOT"
exec "$@"
"""


class Machine:
    """A host's files below the lab's state directory, and its processes."""

    def __init__(self, host: Host, state: Path, ssh: Ssh, logs: Path) -> None:
        self.host = host
        self.ssh = ssh
        self.folder = state / "hosts" / host.name
        self.console = logs / f"console-{host.name}.log"
        self.group = ControlGroup(host.name)
        self._process_record = self.folder / "process.json"
        self._base_record = self.folder / "base.json"

    @property
    def upper(self) -> Path:
        """What the host changed in its root."""
        return self.folder / "upper"

    @property
    def installed(self) -> bool:
        return self._base_record.exists()

    @property
    def supervisor(self) -> Process | None:
        """The systemd-nspawn process, if it runs."""
        process = Process.load(self._process_record)
        return process if process and process.alive else None

    @property
    def running(self) -> bool:
        return self.supervisor is not None

    def install(self, base: Path, stores: Mapping[str, Path]) -> None:
        """Lay out the host's root over the base, with its identity and filled image stores, by folder of /var/lib."""
        self.remove()
        for name in ("upper", "work", "root", *REAL_FOLDERS):
            (self.folder / name).mkdir(parents=True)
        for name, store in stores.items():
            _link_store(store, self.folder / name)
        self._write_identity()
        self._base_record.write_text(json.dumps({"base": str(base)}) + "\n")

    def remove(self) -> None:
        """Throw the host's disk away; it must be off."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _write_identity(self) -> None:
        hosts = "".join(f"{host.address} {host.name}\n" for host in HOSTS.values())
        key = self.ssh.host_key(self.host)
        files = {
            "etc/hostname": (f"{self.host.name}\n", 0o644),
            "etc/machine-id": (f"{uuid.uuid4().hex}\n", 0o444),
            "etc/hosts": (f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{hosts}", 0o644),
            "etc/resolv.conf": (_resolvers(), 0o644),
            "etc/lab-network": (f"ADDRESS={self.host.address}/{PREFIX_LENGTH}\nGATEWAY={CONTROLLER_ADDRESS}\n", 0o644),
            "etc/ssh/ssh_host_ed25519_key": (key.read_text(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_text(), 0o644),
            "root/.ssh/authorized_keys": (f"{self.ssh.public_identity()}\n", 0o600),
            # As after apt's daily update, however old the base is.
            "var/lib/apt/periodic/update-success-stamp": ("", 0o644),
        }
        for name in ("etc", "etc/ssh", "var", "var/lib", "var/lib/apt", "var/lib/apt/periodic", "root", "root/.ssh"):
            (self.upper / name).mkdir(mode=0o700 if name.startswith("root") else 0o755)
        for name, (content, mode) in files.items():
            (self.upper / name).write_text(content)
            (self.upper / name).chmod(mode)

    def power_on(self) -> None:
        """Start the host; return at once."""
        base = Path(json.loads(self._base_record.read_text())["base"])
        if not base.is_dir():
            raise LabError(
                f"host {self.host.name}",
                found=f"its base {base} is gone from the cache",
                do="run `lab down`, then `lab up`",
            )
        self._clear_remains()
        network.heal_all(self.host)
        command = [
            "systemd-nspawn",
            "--boot",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--bind=/dev/kmsg",
            f"--system-call-filter={SYSTEM_CALLS}",
            # Later releases of systemd boot on control groups of version 1 by request alone.
            "--setenv=SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
            f"--machine={self.host.name}",
            f"--directory={self.folder / 'root'}",
            f"--network-bridge={BRIDGE}",
            *(f"--bind={self.folder / name}:/var/lib/{name}" for name in REAL_FOLDERS),
        ]
        self.console.unlink(missing_ok=True)
        process = launch(
            # The overlay is mounted in a name space of its own, so that it goes when the host goes, however it goes.
            ["unshare", "--mount", "/bin/sh", "-ec", _START, "sh", *command],
            self.group,
            self.console,
            LOWER=str(base),
            UPPER=str(self.upper),
            WORK=str(self.folder / "work"),
            ROOT=str(self.folder / "root"),
            SYSTEMD_NSPAWN_API_VFS_WRITABLE="yes",
        )
        process.save(self._process_record)

    def wait_for_ssh(self) -> None:
        """Return when a command can be run on the host over SSH."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not (self._greets() and self.ssh.answers(self.host)):
            if not self.running:
                self._fail("it ended while it booted")
            if time.monotonic() > deadline:
                self._fail(f"no SSH after {BOOT_SECONDS} s")
            time.sleep(0.1)

    def _fail(self, found: str) -> None:
        raise LabError(
            f"host {self.host.name}",
            found=f"{found}; the end of its console:\n{shell.tail(self.console)}",
            wanted=f"SSH at {self.host.address} within {BOOT_SECONDS} s",
            do=f"read {self.console}, and `lab logs {self.host.name}`",
        )

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.host.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def power_off(self) -> None:
        """Kill the host and everything in it at one stroke; its root stays.

        Its cable is pulled first: a dead kernel says no goodbye to those that it was connected to.
        """
        if network.has_port(self.host):
            network.unplug(self.host)
        network.heal_all(self.host)
        if remaining := self.group.kill():
            raise LabError(
                f"host {self.host.name}",
                found=f"processes {sorted(remaining)} do not die",
                do="look at their state in /proc/PID/stack; run the command again",
            )
        self._clear_remains()

    def _clear_remains(self) -> None:
        """Take away what a killed systemd-nspawn could not."""
        self.group.kill()
        self.group.remove()
        self._process_record.unlink(missing_ok=True)
        shell.succeeds(["ip", "link", "delete", self.host.port])

    def journal(self) -> Path | None:
        """The host's journal files, readable whether it runs or not."""
        folder = self.upper / "var/log/journal"
        return folder if folder.is_dir() and any(folder.iterdir()) else None


def _link_store(store: Path, target: Path) -> None:
    """Give a host an image store of its own.

    Blobs and layers are never written in place, so links do; databases are copied. Across file systems all is copied.
    """
    linked = subprocess.run(["cp", "--archive", "--link", f"{store}/.", target], capture_output=True, check=False)
    if linked.returncode:
        shutil.rmtree(target)
        shell.output(["cp", "--archive", "--reflink=auto", f"{store}/.", target])
        return
    for database in store.rglob("*.db"):
        copy = target / database.relative_to(store)
        copy.unlink()
        shutil.copy2(database, copy)


def _resolvers() -> str:
    """This machine's resolv.conf, past a stub resolver that listens on the loopback interface alone."""
    behind_stub = Path("/run/systemd/resolve/resolv.conf")
    return (behind_stub if behind_stub.exists() else Path("/etc/resolv.conf")).read_text()
