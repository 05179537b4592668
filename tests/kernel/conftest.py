# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with a kernel of its own and with all that preflight has to undo, and the runs that undo it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import testinfra
from support import STATE, Run, lab, playbook, succeed

HERE = Path(__file__).parent
INVENTORY = HERE / "inventory"
PLAYBOOK = HERE / "preflight.yml"

# Swap in each of its forms: by fstab, by a unit of the administrator's, by one that came with a package, and on
# compressed memory by a service as zram-tools has it. Contrary sysctls where distributions read last. A variant of
# iptables that is not asked for.
UNFIT = r"""
set -eu
for number in 1 2 3; do
    fallocate -l 8M /swap$number
    chmod 600 /swap$number
    mkswap /swap$number
done
echo '/swap1 none swap sw 0 0' >> /etc/fstab
printf '[Swap]\nWhat=/swap2\n[Install]\nWantedBy=swap.target\n' > /etc/systemd/system/swap2.swap
printf '[Swap]\nWhat=/swap3\n[Install]\nWantedBy=swap.target\n' > /usr/lib/systemd/system/swap3.swap
service=/usr/lib/systemd/system/zramswap.service
zram='modprobe zram; echo 16M > /sys/block/zram0/disksize; mkswap /dev/zram0; swapon /dev/zram0'
printf "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -ec '$zram'\n" > $service
printf '[Install]\nWantedBy=multi-user.target\n' >> $service
systemctl daemon-reload
systemctl enable --quiet --now swap2.swap swap3.swap zramswap.service
swapon -a
printf 'net.ipv4.ip_forward = 0\nnet.bridge.bridge-nf-call-iptables=0\n' > /etc/sysctl.conf
ln -sf ../sysctl.conf /etc/sysctl.d/99-sysctl.conf
for tool in iptables ip6tables arptables ebtables; do
    update-alternatives --quiet --set $tool /usr/sbin/$tool-nft
done
"""


@dataclass(frozen=True)
class Runs:
    """What the role was made to do with the machine, in this order."""

    machine: testinfra.host.Host
    swaps_before: str
    checked: Run
    swaps_after_check: str
    done: Run
    again: Run


def preflight(*arguments: str) -> Run:
    """A run of the role alone."""
    return succeed(playbook("--diff", *arguments, inventory=INVENTORY, book=str(PLAYBOOK)))


@pytest.fixture(scope="session")
def unfit() -> Iterator[testinfra.host.Host]:
    """The machine, freshly booted and then spoilt."""
    lab("vm", "up")
    machine = testinfra.get_host("ssh://vm1", ssh_config=str(STATE / "vm" / "ssh_config"))
    machine.check_output(UNFIT)
    yield machine
    lab("vm", "down")


@pytest.fixture(scope="session")
def runs(unfit: testinfra.host.Host) -> Runs:
    """The machine after check mode, a run, and another one."""
    before = unfit.file("/proc/swaps").content_string
    checked = preflight("--check")
    between = unfit.file("/proc/swaps").content_string
    return Runs(unfit, before, checked, between, preflight(), preflight())


@pytest.fixture(scope="session", params=["now", "after a reboot"])
def fit(request: pytest.FixtureRequest, runs: Runs) -> testinfra.host.Host:
    """The machine as the role left it, and as it comes back."""
    if request.param != "now":
        lab("vm", "reboot")
    return runs.machine
