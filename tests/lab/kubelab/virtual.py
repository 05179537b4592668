# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine: a kernel of its own, for what hosts that share this machine's kernel cannot show.

It needs nothing of the other hosts: no network of the lab, no control groups. qemu's user network leads nowhere but to
a port of the loopback interface, which is forwarded to the machine's SSH.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from . import shell
from .errors import LabError
from .processes import Process
from .settings import VIRTUAL_MACHINE

BOOT_SECONDS = 300
"""Longest time from power to a working SSH; an emulated processor on a busy machine takes its time."""

TRIAL_SECONDS = 5
"""Within which a kernel that runs on a real processor says its first word."""

# A quarter of an emulated processor's work is saved where the kernel trusts its clock and guards against nothing.
KERNEL_ARGUMENTS = "root=/dev/nvme0n1 rw console=ttyS0 quiet tsc=reliable no_timer_check mitigations=off"
MEMORY = "1G"
PROCESSORS = "2"


class VirtualMachine:
    """Its files in a clone's state directory, and its process."""

    def __init__(self, state: Path, logs: Path) -> None:
        self.folder = state / "vm"
        self.console = logs / f"console-{VIRTUAL_MACHINE}.log"
        self.config = self.folder / "ssh_config"
        self._image = self.folder / "disk.qcow2"
        self._record = self.folder / "process.json"

    @property
    def process(self) -> Process | None:
        """The qemu process, if it runs."""
        process = Process.load(self._record)
        return process if process and process.alive else None

    def up(self, disk: Path) -> None:
        """Boot from a fresh copy of the disk until SSH works."""
        self.down()
        self.folder.mkdir(parents=True)
        self.console.parent.mkdir(parents=True, exist_ok=True)
        self.console.unlink(missing_ok=True)
        backing = ["-b", disk / "disk.raw", "-F", "raw"]
        shell.output(["qemu-img", "create", "-q", "-f", "qcow2", *backing, self._image])
        port = _free_port()
        self._write_ssh_config(disk, port)
        command = [
            *_machine(accelerator(disk / "vmlinuz")),
            *("-smp", PROCESSORS, "-m", MEMORY, "-uuid", str(uuid.uuid4())),
            *("-serial", f"file:{self.console}"),
            *("-kernel", disk / "vmlinuz", "-append", KERNEL_ARGUMENTS),
            # What the machine writes is lost with it: no need to wait for this machine's disk.
            *("-drive", f"if=none,id=disk,format=qcow2,cache=unsafe,file={self._image}"),
            *("-device", "nvme,serial=disk,drive=disk", "-device", "virtio-rng-pci"),
            *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
            *("-device", "virtio-net-pci,netdev=net"),
        ]
        with (self.folder / "qemu.log").open("wb") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        Process.of(child.pid).save(self._record)
        self._wait(lambda: self._boot_id() is not None)

    def down(self) -> None:
        """Kill the machine, and remove all of it but the log of its console."""
        deadline = time.monotonic() + 10
        while process := self.process:
            os.kill(process.pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise LabError(VIRTUAL_MACHINE, found=f"process {process.pid} does not die", do="run it again")
            time.sleep(0.05)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def reboot(self) -> None:
        """Have the machine shut down in order and boot again from its own disk, until SSH works."""
        before = self._boot_id()
        if before is None:
            raise LabError(VIRTUAL_MACHINE, found="it does not answer", do=f"read {self.console}")
        self._run("systemctl", "reboot")
        self._wait(lambda: self._boot_id() not in (None, before))

    def command(self, *words: str) -> list[str]:
        """The command that runs another one, or a shell, on the machine."""
        return ["ssh", "-F", str(self.config), VIRTUAL_MACHINE, *words]

    def require(self) -> None:
        """Raise an error unless the machine runs."""
        if not self.process:
            raise LabError(VIRTUAL_MACHINE, found="it is off", wanted="a running machine", do="run `lab vm up`")

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while not ready():
            found = "qemu ended" if not self.process else ""
            if time.monotonic() > deadline:
                found = f"no SSH after {BOOT_SECONDS} s"
            if found:
                raise LabError(
                    VIRTUAL_MACHINE,
                    found=f"{found}; what qemu said, and the end of the console:\n"
                    f"{shell.tail(self.folder / 'qemu.log')}\n{shell.tail(self.console)}",
                    wanted=f"SSH within {BOOT_SECONDS} s",
                    do=f"read {self.console}",
                )
            time.sleep(0.3)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A quick command on the machine, or the failure to reach it."""
        options = ("-o", "ConnectTimeout=5", "-o", "BatchMode=yes")
        command = ["ssh", "-F", str(self.config), *options, VIRTUAL_MACHINE, *words]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def _boot_id(self) -> str | None:
        """Which boot of the machine answers over SSH; None where none does."""
        done = self._run("cat", "/proc/sys/kernel/random/boot_id")
        return done.stdout.strip() if done.returncode == 0 else None

    def _write_ssh_config(self, disk: Path, port: int) -> None:
        self.config.write_text(
            f"Host {VIRTUAL_MACHINE}\n"
            "  HostName 127.0.0.1\n"
            f"  Port {port}\n"
            f"  HostKeyAlias {VIRTUAL_MACHINE}\n"
            "  User root\n"
            f'  IdentityFile "{disk / "id_ed25519"}"\n'
            "  IdentitiesOnly yes\n"
            f'  UserKnownHostsFile "{disk / "known_hosts"}"\n'
            "  StrictHostKeyChecking yes\n"
            "  LogLevel ERROR\n"
        )


def accelerator(kernel: Path) -> str:
    """kvm where a kernel speaks up under it, else tcg: the device may exist and yet run nothing."""
    if not os.access("/dev/kvm", os.W_OK):
        return "tcg"
    trial = [*_machine("kvm"), "-m", "256M", "-no-reboot", "-serial", "stdio"]
    trial += ["-kernel", str(kernel), "-append", "earlyprintk=ttyS0 console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=TRIAL_SECONDS)
        said = done.stdout
    except subprocess.TimeoutExpired as silence:
        said = silence.stdout or b""
    return "kvm" if b"Linux version" in said else "tcg"


def _machine(accelerator: str) -> list[str | Path]:
    # A plain processor, for which the kernel loads few modules.
    chosen = {"kvm": ["-accel", "kvm", "-cpu", "host"], "tcg": ["-accel", "tcg,thread=multi", "-cpu", "qemu64,-svm"]}
    return ["qemu-system-x86_64", "-machine", "q35", *chosen[accelerator], "-nodefaults", "-display", "none"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
