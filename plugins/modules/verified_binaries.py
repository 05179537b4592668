#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verified_binaries
short_description: Install programs from a web server by checksum
version_added: 0.1.0
description:
  - Downloads programs, or archives of them, verifies their SHA-256 and puts them in place whole, all in one execution.
  - A program that already says the wanted version, and has the checksum if one is given, is not downloaded again, and
    no server is asked.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  binaries:
    description: What to install.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Where it is to be had. An archive ends in C(.tgz) or C(.tar.gz).
        type: str
        required: true
      sha256:
        description:
          - Checksum of the download, hex. Where not given it is read from the URL with C(.sha256) appended.
          - A program that is no archive is judged by it each time.
        type: str
      dest:
        description: The program's path, or for an archive the folder that takes its files.
        type: path
        required: true
      members:
        description: Files of an archive that must be there afterwards. Each one answers O(binaries[].version_command).
        type: list
        elements: str
        default: []
      version:
        description:
          - What the program says of its version.
          - One that says C(version unknown), as CNI plugins that a distribution has built do, is left as it is.
        type: str
      version_command:
        description: Arguments that make the program say its version.
        type: list
        elements: str
        default: [--version]
  timeout_seconds:
    description: How long a server may keep silent.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Install kubeadm
  kubeadm.ha.verified_binaries:
    binaries:
      - url: https://dl.k8s.io/release/v1.34.2/bin/linux/amd64/kubeadm
        dest: /usr/local/bin/kubeadm
        version: v1.34.2
        version_command: [version, -o, short]
"""

RETURN = r"""
installed:
  description: Paths that were installed, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

import contextlib
import hashlib
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.kubeadm.ha.plugins.module_utils.changes import ChangeFailed

CHUNK = 1 << 20


def is_archive(url: str) -> bool:
    return url.endswith((".tgz", ".tar.gz"))


def sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Installer:
    """One binary after the other, each left untouched until its successor is verified."""

    def __init__(self, module: AnsibleModule, timeout: int) -> None:
        self._module, self._timeout = module, timeout

    def found(self, binary: dict[str, Any]) -> str:
        """What is in place: the wanted version, or what stands against it."""
        paths = self._paths(binary)
        missing = [path for path in paths if not os.access(path, os.X_OK)]
        if missing:
            return f"no {', '.join(missing)}"
        if binary["sha256"] and not is_archive(binary["url"]) and sha256_of(paths[0]) != binary["sha256"]:
            return "another checksum"
        wanted = self.wanted(binary)
        said = (self._version(path, binary) for path in paths if binary["version"] is not None)
        return next((version for version in said if version != wanted), wanted)

    @staticmethod
    def wanted(binary: dict[str, Any]) -> str:
        return binary["version"] or binary["sha256"] or "present"

    @staticmethod
    def _paths(binary: dict[str, Any]) -> list[str]:
        if is_archive(binary["url"]):
            return [os.path.join(binary["dest"], member) for member in binary["members"]]
        return [binary["dest"]]

    def _version(self, path: str, binary: dict[str, Any]) -> str:
        code, output, error = self._module.run_command([path, *binary["version_command"]])
        said = (output + error).strip()
        wanted = binary["version"]
        pattern = rf"(?<![\w.]){re.escape(wanted)}(?![\w.])|\bversion unknown\b"
        if code == 0 and re.search(pattern, said):
            return wanted
        return said.splitlines()[0] if said else f"exit code {code}"

    def install(self, binary: dict[str, Any]) -> None:
        """Download, verify, replace.

        Raises:
            ChangeFailed: the server does not have it, or what came is not what was wanted.
        """
        url, dest = binary["url"], binary["dest"]
        folder = dest if is_archive(url) else os.path.dirname(dest)
        os.makedirs(folder, exist_ok=True)
        wanted = binary["sha256"] or self._published_checksum(url)
        with self._download(url, folder) as (path, digest):
            if digest != wanted:
                raise ChangeFailed(
                    f"{url}: found sha256 {digest}, wanted {wanted}. Check the mirror, and who stands before it."
                )
            if is_archive(url):
                self._unpack(path, dest)
            else:
                os.chmod(path, 0o755)
                os.replace(path, dest)
        if self.found(binary) != self.wanted(binary):
            raise ChangeFailed(
                f"{dest}: found {self.found(binary)}, wanted {self.wanted(binary)}. {url} holds something else."
            )

    def _published_checksum(self, url: str) -> str:
        with self._open(f"{url}.sha256") as response:
            text = response.read(CHUNK).decode("ascii", "replace").split()
        if not text or not re.fullmatch(r"[0-9a-f]{64}", text[0]):
            raise ChangeFailed(f"{url}.sha256: found no SHA-256 in it, wanted one. Give the checksum yourself.")
        return text[0]

    def _open(self, url: str) -> Any:
        try:
            return open_url(url, timeout=self._timeout)
        except Exception as error:  # open_url raises what the scheme's library raises
            raise ChangeFailed(
                f"{url}: found {error}, wanted a file. Check the URL, and that this host can reach it."
            ) from error

    @contextlib.contextmanager
    def _download(self, url: str, folder: str) -> Iterator[tuple[str, str]]:
        """Path and SHA-256 of a download that is gone afterwards, unless it was moved away."""
        digest = hashlib.sha256()
        handle, path = tempfile.mkstemp(dir=folder, prefix=".download.")
        try:
            with os.fdopen(handle, "wb") as stream, self._open(url) as response:
                while chunk := response.read(CHUNK):
                    digest.update(chunk)
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            yield path, digest.hexdigest()
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    @staticmethod
    def _unpack(path: str, dest: str) -> None:
        """Regular files only, each replaced at once; their folders inside the archive do not count."""
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                name = os.path.basename(member.name)
                source = archive.extractfile(member) if member.isfile() and name else None
                if source is None:
                    continue
                handle, temporary = tempfile.mkstemp(dir=dest, prefix=f".{name}.")
                with os.fdopen(handle, "wb") as stream:
                    while chunk := source.read(CHUNK):
                        stream.write(chunk)
                os.chmod(temporary, 0o755 if member.mode & 0o111 else 0o644)
                os.replace(temporary, os.path.join(dest, name))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "binaries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "url": {"type": "str", "required": True},
                    "sha256": {"type": "str"},
                    "dest": {"type": "path", "required": True},
                    "members": {"type": "list", "elements": "str", "default": []},
                    "version": {"type": "str"},
                    "version_command": {"type": "list", "elements": "str", "default": ["--version"]},
                },
            },
            "timeout_seconds": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    installer = Installer(module, module.params["timeout_seconds"])
    installed, diffs = [], []
    for binary in module.params["binaries"]:
        found, wanted = installer.found(binary), installer.wanted(binary)
        if found == wanted:
            continue
        installed.append(binary["dest"])
        diffs.append(
            {
                "before_header": binary["dest"],
                "after_header": binary["dest"],
                "before": f"{found}\n",
                "after": f"{wanted}\n",
            }
        )
        try:
            if not module.check_mode:
                installer.install(binary)
        except (ChangeFailed, OSError, tarfile.TarError) as error:
            module.fail_json(msg=str(error), installed=installed[:-1])
    module.exit_json(changed=bool(installed), installed=installed, diff=diffs)


if __name__ == "__main__":
    main()
