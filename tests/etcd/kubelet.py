# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet as far as static pods go, with processes for containers: real programs on real data, and no container."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import yaml


class Kubelet:
    """Runs what manifests say, and keeps the containers' logs as the CRI does.

    Attributes:
        sees_the_api: it has seen the API since its start; else it lets go of a pod, and does not end it.
    """

    sees_the_api = True

    def __init__(self, manifests: Path, logs: Path, programs: Path) -> None:
        """
        Args:
            manifests: the folder that is watched.
            logs: where containers' logs go.
            programs: where the images' programs are.
        """
        self._manifests, self._logs, self._programs = manifests, logs, programs
        self._running: dict[Path, list[subprocess.Popen[bytes]]] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        # Names of pods; from 1.22 on the next one of that name waits until it has ended.
        self._let_go: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def restart(self) -> None:
        """Forget pods that it has let go of, as it may; their names are free then."""
        self._let_go.clear()

    def pids(self, program: str, **flags: str) -> list[int]:
        """As ``set_aside.pids``, of this kubelet's processes, those included that it has let go of."""
        wanted = {f"--{name.replace('_', '-')}={value}" for name, value in flags.items()}
        return [
            process.pid
            for process in list(self._processes)
            if process.poll() is None
            and os.path.basename(str(process.args[0])) == program
            and wanted <= set(map(str, process.args[1:]))
        ]

    def _run(self) -> None:
        pods: dict[Path, dict[str, Any]] = {}
        begun: dict[Path, int] = {}
        while True:
            found = set() if self._over.is_set() else {*self._manifests.glob("[!.]*.yaml")}
            for path in set(pods) - found:
                if self.sees_the_api or self._over.is_set():
                    self._stop(path)
                else:
                    self._let_go.add(pods[path]["metadata"]["name"])
                del pods[path], begun[path]
            if self._over.is_set():
                for process in self._processes:
                    process.kill()
                return
            for path in found - set(pods):
                pod = yaml.safe_load(path.read_text())
                if pod["metadata"]["name"] not in self._let_go:
                    pods[path], begun[path], self._running[path] = pod, 0, []
            for path, pod in pods.items():
                begun[path] = self._go_on(path, pod, begun[path])
            time.sleep(0.05)

    def _go_on(self, path: Path, pod: dict[str, Any], begun: int) -> int:
        """Start the next container of a pod where the one before has ended well; return how many were begun."""
        containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        processes = self._running[path]
        if processes and processes[-1].poll() is None:
            return begun
        if begun == len(containers):
            if pod["spec"].get("restartPolicy", "Always") == "Always":
                processes.append(self._start(pod, containers[-1]))
            return begun
        if processes and processes[-1].returncode != 0:
            return begun  # a pod that is not restarted has failed
        processes.append(self._start(pod, containers[begun]))
        return begun + 1

    def _start(self, pod: dict[str, Any], container: dict[str, Any]) -> subprocess.Popen[bytes]:
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}_{metadata['name']}-host_{metadata.get('uid', 'hash')}"
        folder = self._logs / name / container["name"]
        folder.mkdir(parents=True, exist_ok=True)
        program, *arguments = container["command"]
        environment = {entry["name"]: entry["value"] for entry in container.get("env", ())}
        prefix = "2026-01-02T03:04:05.678901234Z stderr F "
        process = subprocess.Popen(
            [self._programs / program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        self._processes.append(process)
        log = (folder / "0.log").open("a")

        def copy() -> None:
            assert process.stdout
            with log:
                for line in process.stdout:
                    log.write(prefix + line.decode(errors="replace"))
                    log.flush()

        threading.Thread(target=copy).start()
        return process

    def _stop(self, path: Path) -> None:
        for process in self._running[path]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._running[path] = []
