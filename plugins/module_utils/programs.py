# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes' programs on a host, as evidence: where they lie, what they say of themselves, and who keeps them so."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from . import apt, versions
from .files import WRITTEN, read_text

# Where modules look for kubeadm before they look at the PATH.
FOLDERS = ("/usr/local/bin", "/opt/bin")
FLAGS_FILE = "/var/lib/kubelet/kubeadm-flags.env"

_ASK = {"kubeadm": ["version", "-o", "short"], "kubelet": ["--version"], "kubectl": ["version", "--client"]}
_VERSION = re.compile(r"\bv[0-9]+\.[0-9]+\.[0-9][\w.+-]*")
_PATIENCE_SECONDS = 20.0


def collect() -> dict[str, Any]:
    """What is installed, asked of all programs at once.

    Returns:
        ``programs``: by name, those that are there, each with its ``path``, its ``version`` (None where it says none
        that is a release), what it ``said``, and whether its package is ``held`` by somebody else. ``kubelet_unit``:
        ``path`` of the unit's file (None where systemd knows no such unit), its files that are this collection's
        ``own``, and whether it ``reads_flags`` that kubeadm writes for the kubelet.
    """
    paths = {name: path for name in _ASK if (path := find(name))}
    commands = {name: [path, *_ASK[name]] for name, path in paths.items()}
    commands["dpkg"] = ["dpkg-query", "--show", f"--showformat={apt.STATUS_FORMAT}", *_ASK]
    properties = "LoadState,FragmentPath,DropInPaths,EnvironmentFiles"
    commands["systemd"] = ["systemctl", "show", "kubelet.service", f"--property={properties}"]
    said = _ask(commands)
    # A hold of our own comes with our pin.
    ours = (read_text(f"{apt.PREFERENCES}/kubernetes.pref") or "").startswith(WRITTEN)
    packages = {} if ours else apt.parse_status(said["dpkg"])
    return {
        "programs": {
            name: {
                "path": path,
                **_said_version(said[name]),
                "held": name in packages and packages[name].held,
            }
            for name, path in paths.items()
        },
        "kubelet_unit": _unit(said["systemd"]),
    }


def find(name: str) -> str | None:
    """The program that modules would run by this name."""
    folders = [*FOLDERS, os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    return shutil.which(name, path=os.pathsep.join(folders))


def _ask(commands: Mapping[str, list[str]]) -> dict[str, str]:
    """What each command prints, all of them run side by side; nothing for one that cannot be run or does not end."""
    running: dict[str, subprocess.Popen[str]] = {}
    for name, argv in commands.items():
        with contextlib.suppress(OSError):
            running[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},
            )
    said = dict.fromkeys(commands, "")
    for name, process in running.items():
        try:
            said[name] = process.communicate(timeout=_PATIENCE_SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    return said


def _said_version(output: str) -> dict[str, str | None]:
    """The version in what a program prints, if it is a release, and the words themselves."""
    match = _VERSION.search(output)
    said = match.group() if match else (output.strip().splitlines() or [""])[0]
    try:
        return {"version": str(versions.parse(said)), "said": said}
    except ValueError:
        return {"version": None, "said": said}


def _unit(output: str) -> dict[str, Any]:
    """The kubelet's unit, from ``systemctl show``; a property may come several times, once for each of its values."""
    values: dict[str, list[str]] = {}
    for line in output.splitlines():
        key, _separator, value = line.partition("=")
        values.setdefault(key, []).extend(value.split())
    loaded = values.get("LoadState") == ["loaded"]
    fragment = next(iter(values.get("FragmentPath", ())), None) if loaded else None
    paths = [path for path in (fragment, *values.get("DropInPaths", ())) if path]
    return {
        "path": fragment,
        "own": [path for path in paths if (read_text(path) or "").startswith(WRITTEN)],
        "reads_flags": FLAGS_FILE in values.get("EnvironmentFiles", ()),
    }
