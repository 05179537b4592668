# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt and dpkg say and read: sources.list(5), apt_preferences(5), dpkg-query(1), apt-cache(8). No I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

from .files import WRITTEN

KEYRINGS = "/etc/apt/keyrings"
SOURCES = "/etc/apt/sources.list.d"
PREFERENCES = "/etc/apt/preferences.d"

ANY = "*"
STATUS_FORMAT = "${Package}\\t${Version}\\t${db:Status-Want}\\t${db:Status-Status}\\n"
_ARMOUR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class Installed:
    """One package as dpkg knows it.

    Attributes:
        version: in full, with Debian's revision.
        held: somebody has told dpkg to keep it as it is.
        whole: unpacked and configured, not left half-way.
    """

    version: str
    held: bool
    whole: bool


def parse_status(output: str) -> dict[str, Installed]:
    """The packages that are on the host, by name, from dpkg-query with ``STATUS_FORMAT``."""
    rows = [line.split("\t") for line in output.splitlines() if line.count("\t") == 3]
    return {
        name: Installed(version, want == "hold", status == "installed")
        for name, version, want, status in rows
        if status not in ("not-installed", "config-files")
    }


def parse_madison(output: str) -> dict[str, list[str]]:
    """The versions that are to be had, by name and the newest first, from ``apt-cache madison``."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 3 and cells[2].endswith("Packages"):
            found.setdefault(cells[0], []).append(cells[1])
    return found


def matches(version: str, pattern: str) -> bool:
    """Whether a version is one that is wanted, by apt's own wildcards."""
    return fnmatch.fnmatchcase(version, pattern)


def is_satisfied(installed: Installed | None, pattern: str) -> bool:
    return installed is not None and installed.whole and matches(installed.version, pattern)


def key_file(name: str, key: bytes) -> str:
    """Where a repository's key belongs: apt tells armoured keys from binary ones by the name of their file."""
    return f"{KEYRINGS}/{name}.{'asc' if is_armoured(key) else 'gpg'}"


def is_armoured(key: bytes) -> bool:
    return _ARMOUR.encode() in key


def source(url: str, key_path: str, key_from: str) -> str:
    """A flat repository that is trusted by one key alone; where the key came from is written down beside it."""
    return f"{WRITTEN} The key is from {key_from}\nTypes: deb\nURIs: {url}\nSuites: /\nSigned-By: {key_path}\n"


def preferences(packages: Mapping[str, str]) -> str:
    """Versions that an upgrade keeps to. At 1000 a newer one that is installed stays: nothing is ever downgraded."""
    pins = [
        f"Package: {name}\nPin: version {pattern}\nPin-Priority: 1000\n"
        for name, pattern in sorted(packages.items())
        if pattern != ANY
    ]
    return "\n".join([f"{WRITTEN}\n", *pins])
