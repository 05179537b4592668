# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab asks of this machine's apt: its own few tools, versions, and where Debian is to be had."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from . import progress, shell
from .errors import LabError
from .settings import SUITE

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "iptables": "iptables",
    "ssh": "openssh-client",
    "gpg": "gnupg",
    "nsenter": "util-linux",
    "journalctl": "systemd",
}
"""Command: the Debian package that brings it."""

UNKNOWN = "(none)"
_known: dict[str, str] = {}


def install_missing(log: Path) -> None:
    """Install those tools that this machine lacks."""
    missing = sorted({package for command, package in TOOLS.items() if not shutil.which(command)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(
            "this machine",
            found=f"no apt-get, and without: {' '.join(missing)}",
            wanted="Debian 12",
            do="run the lab on such a machine",
        )
    with progress.step(f"install {' '.join(missing)}"):
        refresh(log)
        shell.run(["apt-get", "install", "--yes", "--no-install-recommends", *missing], log)


def refresh(log: Path) -> None:
    """Fetch the package lists."""
    shell.run(["apt-get", "update"], log)


def candidates(names: Iterable[str], log: Path) -> dict[str, str]:
    """Package name to the version that apt would install, UNKNOWN if it knows none.

    What was asked once is remembered: apt takes a second for any question, so ask for much at a time.
    """
    if new := set(names) - _known.keys():
        _known.update(_ask(new))
        if UNKNOWN in _known.values():
            refresh(log)
            _known.update(_ask(new))
    return {name: _known[name] for name in names}


def _ask(names: Iterable[str]) -> dict[str, str]:
    text = shell.output(["env", "LC_ALL=C", "apt-cache", "policy", *names])
    return dict.fromkeys(names, UNKNOWN) | dict(re.findall(r"^(\S+):\n.*\n  Candidate: (\S+)", text, re.MULTILINE))


@cache
def debian_sources(suite: str = SUITE) -> list[str]:
    """This machine's own lines for Debian's release (one-line format), or these lines for another release.

    Empty if this machine itself has another one than the lab's.
    """
    fields = "$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(COMPONENT)|$(SIGNED_BY)"
    lines = []
    for target in shell.output(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]).splitlines():
        uri, release, origin, component, keyring = target.split("|")
        if origin == "Debian" and release.startswith(SUITE) and component == "main":
            signed = f"[signed-by={keyring}] " if keyring.startswith("/") else ""
            lines.append(f"deb {signed}{uri} {release.replace(SUITE, suite, 1)} {component}")
    return lines if any(f" {suite} " in line for line in lines) else []


@cache
def apt_settings() -> str:
    """The settings of this machine's apt that decide whether and how a mirror is reached, as an apt.conf."""
    wanted = re.compile(r"Acquire::(?:https?|ftp|Retries|Check-Valid-Until|Check-Date|ForceIPv4|Languages|Proxy)\b")
    lines = shell.output(["apt-config", "dump", "--no-empty"]).splitlines()
    return "".join(f"{line}\n" for line in lines if wanted.match(line))
