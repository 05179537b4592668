# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static pods stopped and started: their manifests lie aside meanwhile, as they were, and by that it shows."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable

from . import evidence, static_pods
from .https_json import RequestFailed
from .problems import Problem, Refusal

# On the file system of the manifests, so that each moves in one step.
FOLDER = f"{evidence.KUBERNETES}/kubeadm.ha-aside"

ETCD = "etcd"
# In the order in which they are started.
CONTROL_PLANE = evidence.CONTROL_PLANE_PODS


def manifest(pod: str) -> str:
    return f"{evidence.MANIFESTS}/{pod}.yaml"


def aside(pod: str) -> str:
    """Where its manifest lies while it is stopped."""
    return f"{FOLDER}/{pod}.yaml"


def found_aside(pods: Iterable[str]) -> list[str]:
    return [pod for pod in pods if os.path.exists(aside(pod))]


def found_in_place(pods: Iterable[str]) -> list[str]:
    return [pod for pod in pods if os.path.exists(manifest(pod))]


def put_aside(pods: Iterable[str]) -> list[str]:
    """Move the manifests of these pods aside, as far as they are there; return whose were."""
    moved = found_in_place(pods)
    if moved:
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
    for pod in moved:
        os.replace(manifest(pod), aside(pod))
    return moved


def put_back(pods: Iterable[str]) -> list[str]:
    """Move them back, in this order; return whose were aside."""
    moved = found_aside(pods)
    for pod in moved:
        os.replace(aside(pod), manifest(pod))
    tidy()
    return moved


def tidy() -> None:
    """Remove the folder once it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(FOLDER)


def runs(program: str, **flags: str) -> bool:
    """Whether a process of this program runs here that has these flags; underscores stand for dashes."""
    wanted = {name.replace("_", "-"): value for name, value in flags.items()}.items()
    return any(wanted <= found.items() for found, _began in static_pods.running(program))


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition came about within so many seconds; what does not answer is not yet so."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RequestFailed):
            if condition():
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)


def wait_until_ended(host: str, programs: Iterable[str], seconds: float, **flags: str) -> None:
    """Wait until none of these programs runs here.

    Raises:
        Refusal: one still does after so many seconds.
    """
    names = list(programs)
    if wait(lambda: not any(runs(name, **flags) for name in names), seconds):
        return
    left = [name for name in names if runs(name, **flags)]
    action = "See the kubelet's journal: it stops what has no manifest."
    found = f"{', '.join(left)} {seconds:.0f} s after its manifest was moved away"
    raise Refusal([Problem(host, "static pods", found, "them stopped", action)])
