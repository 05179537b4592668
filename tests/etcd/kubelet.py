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
    """Runs what manifests say, and keeps the containers' logs as the CRI does."""

    def __init__(self, manifests: Path, logs: Path, programs: Path) -> None:
        """
        Args:
            manifests: the folder that is watched.
            logs: where containers' logs go.
            programs: where the images' programs are.
        """
        self._manifests, self._logs, self._programs = manifests, logs, programs
        self._running: dict[Path, list[subprocess.Popen[bytes]]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def runs(self, program: str, **flags: str) -> bool:
        """As ``set_aside.runs``, of this kubelet's processes."""
        wanted = {f"--{name.replace('_', '-')}={value}" for name, value in flags.items()}
        return any(
            os.path.basename(str(process.args[0])) == program and wanted <= set(map(str, process.args[1:]))
            for processes in list(self._running.values())
            for process in processes
            if process.poll() is None
        )

    def _run(self) -> None:
        pods: dict[Path, dict[str, Any]] = {}
        begun: dict[Path, int] = {}
        while True:
            found = set() if self._over.is_set() else {*self._manifests.glob("[!.]*.yaml")}
            for path in set(pods) - found:
                self._stop(path)
                del pods[path], begun[path]
            if self._over.is_set():
                return
            for path in found - set(pods):
                pods[path] = yaml.safe_load(path.read_text())
                begun[path] = 0
                self._running[path] = []
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
