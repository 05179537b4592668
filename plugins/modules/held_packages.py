#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: held_packages
short_description: Install packages of one version from a signed apt repository, and keep them at it
version_added: 0.1.0
description:
  - Knows a flat repository by its own key, pins the versions that are wanted of its packages, installs them and holds
    them, all in one execution.
  - A repository whose index its key does not verify never becomes one of the host's sources.
  - Where the wanted versions are installed, no server is asked. Where none is known, only this repository's index is
    fetched; also in check mode, which keeps it for itself.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  name:
    description: What the repository's files below C(/etc/apt) are called.
    type: str
    required: true
  url:
    description: The repository's folder, with a slash at its end.
    type: str
    required: true
  key:
    description:
      - The repository's public key, armoured, or the URL at which it is to be had. A URL is asked once, when the
        repository is new; to fetch another key from it, remove the old one from C(/etc/apt/keyrings).
    type: str
    required: true
  packages:
    description:
      - Version by package, with apt's wildcards, such as V(1.34.2-*). These are pinned and held.
      - With V(*) a package is only seen to be there.
    type: dict
    required: true
  downgrade:
    description: Whether a package may be replaced by an older one.
    type: bool
    default: false
  timeout_seconds:
    description: How long to wait for others who use apt, and for a server that keeps silent.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Install kubeadm, and keep its version
  kubeadm.ha.held_packages:
    name: kubernetes
    url: https://pkgs.k8s.io/core:/stable:/v1.34/deb/
    key: https://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key
    packages:
      kubeadm: 1.34.2-*
      cri-tools: "*"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: success
  type: list
  elements: str
  sample: [add the repository kubernetes, install kubeadm=1.34.2-1.1, hold kubeadm]
"""

import glob
import os
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible_collections.kubeadm.ha.plugins.module_utils import apt, apt_tools
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import Change, ChangeFailed, file_change
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text, write_atomic

KEY_SIZE_LIMIT = 1 << 20


class Packages:
    """One repository and what is wanted of it, on this host."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module, options = module, module.params
        self._name, self._url, self._key = options["name"], options["url"], options["key"]
        self._packages: dict[str, str] = {name: str(version) for name, version in options["packages"].items()}
        self._downgrade, self._patience = options["downgrade"], options["timeout_seconds"]
        self._source = f"{apt.SOURCES}/{self._name}.sources"
        self._scratch = ""
        # In check mode apt keeps what it fetches here, and the host's own lists stay as they are.
        self._elsewhere: list[str] = []
        self._fresh = False
        self.actions: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def bring_about(self) -> None:
        """All of it.

        Raises:
            ChangeFailed: a part of it cannot be; what was done before is in ``actions``.
        """
        with tempfile.TemporaryDirectory() as self._scratch:
            os.chmod(self._scratch, 0o755)  # apt looks at keys as a user of its own
            self._know_repository()
            chosen = self._choose()
        for change in file_change(f"{apt.PREFERENCES}/{self._name}.pref", apt.preferences(self._packages), 0o644):
            self._do("pin versions", change.diff(), change.apply)
        self._install(chosen)
        self._hold()

    def _do(self, action: str, diff: dict[str, str], apply: Any) -> None:
        if not self._module.check_mode:
            apply()
        self.actions.append(action)
        self.diffs.append(diff)

    # The repository.

    def _know_repository(self) -> None:
        given = self._key.encode() if apt.is_armoured(self._key.encode()) else None
        origin = "the inventory" if given else self._key
        present = read_text(self._source)
        for key_path in (apt.key_file(self._name, given or b""), f"{apt.KEYRINGS}/{self._name}.asc"):
            key_is_there = read_text(key_path) == self._key if given else os.path.exists(key_path)
            if key_is_there and present == apt.source(self._url, key_path, origin):
                return
        self._refuse_another_source()
        key = given or self._fetch_key()
        key_path = apt.key_file(self._name, key)
        content = apt.source(self._url, key_path, origin)
        self._try(key, origin)

        def add() -> None:
            write_atomic(key_path, key, 0o644)
            write_atomic(self._source, content.encode(), 0o644)

        change = Change(self._source, present or "", content, add)
        self._do(f"add the repository {self._name}", change.diff(), change.apply)

    def _refuse_another_source(self) -> None:
        """apt refuses all of its work where two sources name one repository with different keys."""
        for path in ["/etc/apt/sources.list", *sorted(glob.glob(f"{apt.SOURCES}/*"))]:
            if path != self._source and self._url.rstrip("/") in (read_text(path) or ""):
                raise ChangeFailed(
                    f"{path}: found {self._url} in it, wanted it in {self._source} alone. Remove it there."
                )

    def _fetch_key(self) -> bytes:
        try:
            return open_url(self._key, timeout=30).read(KEY_SIZE_LIMIT)
        except Exception as error:  # open_url raises what the scheme's library raises
            raise ChangeFailed(
                f"{self._key}: {error}. Check the URL and that this host can reach it, or give the key itself."
            ) from error

    def _try(self, key: bytes, origin: str) -> None:
        """Fetch the index by a source that nothing else reads: one that is wrong would stop all use of apt."""
        key_path = os.path.join(self._scratch, os.path.basename(apt.key_file(self._name, key)))
        source = os.path.join(self._scratch, "candidate.sources")
        write_atomic(key_path, key, 0o644)
        write_atomic(source, apt.source(self._url, key_path, origin).encode(), 0o644)
        self._update(source)

    def _update(self, source: str) -> None:
        """Fetch the index of this one source."""
        only = [f"Dir::Etc::sourcelist={source}", "Dir::Etc::sourceparts=/dev/null", "APT::Get::List-Cleanup=false"]
        if self._module.check_mode:
            lists = os.path.join(self._scratch, "lists")
            os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
            only += [f"Dir::State::lists={lists}", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="]
            self._elsewhere = [f"--option={setting}" for setting in only]
        failing = ["APT::Update::Error-Mode=any", "Acquire::Retries=3"]
        try:
            self._run(["apt-get", "update", *(f"--option={setting}" for setting in [*only, *failing])])
        except ChangeFailed as error:
            raise ChangeFailed(
                f"{self._url}: found no index that its key verifies, wanted one. Check the URL and the key "
                f"({self._key.splitlines()[0]}). apt says:\n{error}"
            ) from error
        self._fresh = True

    # The packages.

    def _installed(self) -> dict[str, apt.Installed]:
        # dpkg-query ends with 1 where it does not know one of them.
        query = ["dpkg-query", "--show", f"--showformat={apt.STATUS_FORMAT}", *self._packages]
        _code, output, _error = self._module.run_command(query, environ_update=apt_tools.ENVIRONMENT)
        return apt.parse_status(output)

    def _choose(self) -> dict[str, str]:
        """The version of each package that is to be installed.

        Raises:
            ChangeFailed: there is none that is wanted, or it is older than the one that is there.
        """
        found = self._installed()
        lacking = [name for name, wanted in self._packages.items() if not apt.is_satisfied(found.get(name), wanted)]
        if not lacking:
            return {}
        known = self._known(lacking)
        if not self._fresh and lacking != list(self._matching(known, lacking)):
            self._update(self._source)
            known = self._known(lacking)
        chosen = self._matching(known, lacking)
        for name in lacking:
            if name not in chosen:
                raise ChangeFailed(
                    f"{name}: found {', '.join(known.get(name, [])) or 'no version'}, wanted {self._packages[name]}. "
                    f"See what {self._url} holds."
                )
            if name in found and not self._downgrade and self._is_older(chosen[name], found[name].version):
                raise ChangeFailed(
                    f"{name}: found {found[name].version}, wanted {chosen[name]}, which is older. Set downgrade to "
                    "true if it is to be replaced all the same."
                )
        return chosen

    def _install(self, chosen: dict[str, str]) -> None:
        if not chosen:
            return
        words = [name if self._packages[name] == apt.ANY else f"{name}={version}" for name, version in chosen.items()]
        found = self._installed()
        if not self._module.check_mode:
            if apt_tools.interrupted() or not all(package.whole for package in found.values()):
                self._run([*apt_tools.CONFIGURE])
            settings = [f"DPkg::Lock::Timeout={self._patience}"]
            settings += [f"Dpkg::Options::=--force-conf{kept}" for kept in ("def", "old")]
            flags = ["--yes", "--no-install-recommends", "--allow-change-held-packages"]
            flags += ["--allow-downgrades"] if self._downgrade else []
            self._run(["apt-get", "install", *flags, *(f"--option={setting}" for setting in settings), *words])
        self.actions.append(f"install {' '.join(words)}")
        for name, version in chosen.items():
            before = found[name].version if name in found else "not installed"
            header = {"before_header": name, "after_header": name}
            self.diffs.append({**header, "before": f"{before}\n", "after": f"{version}\n"})

    def _matching(self, known: dict[str, list[str]], names: list[str]) -> dict[str, str]:
        found = {name: [v for v in known.get(name, []) if apt.matches(v, self._packages[name])] for name in names}
        return {name: versions[0] for name, versions in found.items() if versions}

    def _known(self, names: list[str]) -> dict[str, list[str]]:
        _code, output, _error = self._module.run_command(
            ["apt-cache", *self._elsewhere, "madison", *names], environ_update=apt_tools.ENVIRONMENT
        )
        return apt.parse_madison(output)

    def _is_older(self, version: str, than: str) -> bool:
        return self._module.run_command(["dpkg", "--compare-versions", version, "lt", than])[0] == 0

    def _hold(self) -> None:
        held = {name for name, package in self._installed().items() if package.held}
        loose = [name for name, wanted in self._packages.items() if wanted != apt.ANY and name not in held]
        if not loose:
            return
        if not self._module.check_mode:
            self._run(["apt-mark", "hold", *loose])
        self.actions.append(f"hold {' '.join(loose)}")

    def _run(self, argv: list[str]) -> None:
        apt_tools.run(self._module, argv, self._patience)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": False},
            "packages": {"type": "dict", "required": True},
            "downgrade": {"type": "bool", "default": False},
            "timeout_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    packages = Packages(module)
    try:
        packages.bring_about()
    except (ChangeFailed, OSError) as error:
        module.fail_json(msg=str(error), actions=packages.actions)
    module.exit_json(changed=bool(packages.actions), actions=packages.actions, diff=packages.diffs)


if __name__ == "__main__":
    main()
