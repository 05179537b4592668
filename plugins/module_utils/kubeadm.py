# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running kubeadm: configuration and secrets by memory, never by argument or file; its words without its secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from . import versions
from .files import secret_file

# What kubeadm's preflight holds against its own earlier, interrupted work.
OWN_REMAINS = (
    "DirAvailable--var-lib-etcd",
    "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml",
    "FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml",
    "FileAvailable--etc-kubernetes-manifests-etcd.yaml",
    "Port-6443",
    "Port-10250",
    "Port-10257",
    "Port-10259",
    "Port-2379",
    "Port-2380",
)


class KubeadmFailed(Exception):
    """kubeadm ended badly; the message holds the end of what it said."""


class Kubeadm:
    """The kubeadm at hand.

    Raises:
        KubeadmFailed: it cannot say its version.
    """

    def __init__(self, module: AnsibleModule, path: str = "kubeadm") -> None:
        self._module = module
        self.path = module.get_bin_path(path, opt_dirs=["/usr/local/bin", "/opt/bin"]) or path

    @property
    def installed(self) -> bool:
        return os.access(self.path, os.X_OK)

    def version(self) -> versions.Version:
        """Its own version, as it says it."""
        text = self.run(["version", "-o", "short"])
        try:
            return versions.parse(text)
        except ValueError as error:
            raise KubeadmFailed(f"{self.path} version: {error}") from error

    def run(self, argv: list[str], *, config: str | None = None, secrets: Iterable[str] = ()) -> str:
        """Run kubeadm and return its standard output.

        Args:
            argv: everything after the program's name.
            config: the text for --config; handed over in memory, because it may hold secrets.
            secrets: texts to be taken out of whatever is returned or raised.

        Raises:
            KubeadmFailed: exit code other than 0.
        """
        if config is None:
            return self._run(argv, (), secrets)
        with secret_file(config) as (path, descriptor):
            return self._run([*argv, f"--config={path}"], (descriptor,), secrets)

    def _run(self, argv: list[str], descriptors: tuple[int, ...], secrets: Iterable[str]) -> str:
        # kubeadm calls crictl and kubelet by name, and they may lie beside it, outside the path of an SSH session.
        path = ":".join([os.path.dirname(self.path), os.environ.get("PATH", ""), "/usr/sbin:/sbin"])
        code, output, error = self._module.run_command(
            [self.path, *argv], pass_fds=descriptors, environ_update={"PATH": path}
        )
        for secret in secrets:
            output, error = output.replace(secret, "********"), error.replace(secret, "********")
        if code != 0:
            last = "\n".join([*output.strip().splitlines()[-5:], *error.strip().splitlines()[-20:]])
            raise KubeadmFailed(f"kubeadm {' '.join(argv[:2])} failed with code {code}:\n{last}")
        return output


def flags(*, skip_phases: Iterable[str] = (), ignore_preflight_errors: Iterable[str] = ()) -> list[str]:
    """The arguments that every API version lets stand beside --config."""
    arguments = []
    for name, values in (("skip-phases", skip_phases), ("ignore-preflight-errors", ignore_preflight_errors)):
        joined = ",".join(values)
        if joined:
            arguments.append(f"--{name}={joined}")
    return arguments


def shown(documents: list[dict[str, Any]], secret_keys: Iterable[str]) -> str:
    """Documents as text for a diff, with the values of these keys withheld."""
    hidden = frozenset(secret_keys)

    def withhold(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: "********" if key in hidden else withhold(item) for key, item in value.items()}
        return [withhold(item) for item in value] if isinstance(value, list) else value

    return "---\n".join(json.dumps(withhold(document), indent=2, sort_keys=True) + "\n" for document in documents)
