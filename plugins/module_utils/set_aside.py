# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static pods stopped and started: their manifests lie aside meanwhile, as they were, and by that it shows."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

from . import evidence, services, static_pods
from .https_json import RequestFailed
from .problems import Problem, Refusal

# On the file system of the manifests, so that each moves in one step.
FOLDER = f"{evidence.KUBERNETES}/kubeadm.ha-aside"

ETCD = "etcd"
# In the order in which they are started.
CONTROL_PLANE = evidence.CONTROL_PLANE_PODS

# What the kubelet gives a static pod to end by itself.
_GRACE_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 5.0


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


def pids(program: str, **flags: str) -> list[int]:
    """This host's processes of a program that have these flags; underscores stand for dashes."""
    wanted = {name.replace("_", "-"): value for name, value in flags.items()}.items()
    return [pid for pid, found in static_pods.processes(program) if wanted <= found.items()]


def runs(program: str, **flags: str) -> bool:
    return bool(pids(program, **flags))


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


def end(host: str, programs: Iterable[str], seconds: float, **flags: str) -> None:
    """End these programs, whose manifests were moved away.

    A kubelet that has not seen the API since its start takes no pod away (deletePod in its kubelet.go: "sources aren't
    ready"), and does not start it anew either. So they are asked themselves, as it would ask them.

    Raises:
        Refusal: one still runs after so many seconds.
    """
    names, began, asked = list(programs), time.monotonic(), -_ASK_AGAIN_SECONDS
    while found := {name: running for name in names if (running := pids(name, **flags))}:
        since = time.monotonic() - began
        if since > seconds:
            action = "See the kubelet's journal: it starts again what it has not seen go."
            left = f"{', '.join(found)} {seconds:.0f} s after its manifest was moved away"
            raise Refusal([Problem(host, "static pods", left, "them stopped", action)])
        if since - asked >= _ASK_AGAIN_SECONDS:
            asked = since
            for pid in (pid for each in found.values() for pid in each):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM if since < _GRACE_SECONDS else signal.SIGKILL)
        time.sleep(0.2)


def restart_kubelet(host: str, run: services.Runner) -> None:
    """Have the kubelet begin anew, with what its manifests say and with nothing that it remembers; its pods go on.

    Raises:
        Refusal: it does not restart.
    """
    code, _output, error = run(["systemctl", "restart", "kubelet.service"])
    if code != 0:
        action = "See its journal."
        raise Refusal([Problem(host, "kubelet", f"that it does not restart ({error.strip()})", "it running", action)])
