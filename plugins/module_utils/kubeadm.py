# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running kubeadm: configuration and secrets by memory, never by argument or file; its words without its secrets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from . import kubeadm_config, versions
from .files import secret_file

LOCK = "/run/kubeadm-ha.lock"

# What kubeadm's preflight holds against its own earlier, interrupted work, beside etcd's data.
OWN_REMAINS = (
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


def own_remains(etcd_data_dir: str) -> list[str]:
    """Findings of kubeadm's preflight that only say what an interrupted kubeadm of this host left."""
    return [f"DirAvailable-{etcd_data_dir.replace('/', '-')}", *OWN_REMAINS]


class KubeadmFailed(Exception):
    """kubeadm ended badly; the message holds the end of what it said."""


@contextlib.contextmanager
def alone(check_mode: bool, patience: float = 900.0) -> Iterator[int | None]:
    """Be the only one who runs kubeadm on this host, and look at its evidence only then.

    When a controller is killed, the kubeadm that it started lives on. It holds the lock by the descriptor that it
    inherits, so the next run waits for it to end, and then sees what it has done.

    Yields:
        The descriptor that a kubeadm to be started must inherit; None in check mode, where none is started.

    Raises:
        KubeadmFailed: another one still runs after so many seconds.
    """
    if check_mode:
        yield None
        return
    descriptor = os.open(LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise KubeadmFailed(
                        f"{LOCK}: found it held by another run of kubeadm for {patience:.0f} s, wanted it free. "
                        "Look for that process (fuser), and let it end or end it."
                    ) from None
                time.sleep(0.5)
        yield descriptor
    finally:
        os.close(descriptor)


class Kubeadm:
    """The kubeadm at hand.

    Args:
        module: runs it.
        lock: the descriptor from ``alone``, for commands that change this host.
    """

    def __init__(self, module: AnsibleModule, lock: int | None = None, path: str = "kubeadm") -> None:
        self._module = module
        self._inherited = () if lock is None else (lock,)
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
            return self._run(argv, self._inherited, secrets)
        with secret_file(config) as (path, descriptor):
            return self._run([*argv, f"--config={path}"], (descriptor, *self._inherited), secrets)

    def _run(self, argv: list[str], descriptors: tuple[int, ...], secrets: Iterable[str]) -> str:
        if not self.installed:
            raise KubeadmFailed(
                "kubeadm: found none on this host, wanted it in the PATH, /usr/local/bin or /opt/bin. Install it first."
            )
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


def shown(command: str, documents: list[dict[str, Any]]) -> dict[str, str]:
    """What a command is told, for diff mode, without its secrets."""

    def withhold(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: "********" if key in kubeadm_config.SECRET_FIELDS else withhold(item)
                for key, item in value.items()
            }
        return [withhold(item) for item in value] if isinstance(value, list) else value

    after = kubeadm_config.dump([withhold(document) for document in documents])
    return {"before_header": command, "after_header": command, "before": "", "after": after}
