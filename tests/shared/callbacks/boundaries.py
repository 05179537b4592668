# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell of each task that begins, a JSON object a line, in the file that KUBEADM_HA_BOUNDARIES names.

A line says which task of which play it is, the how manieth of that name, on which hosts the task before it ran, and
whether anything on any host may have changed since the last line. With KUBEADM_HA_HALT, which holds play, task and
number in JSON, the run says that it halts there, and then does nothing more: whoever waits for that kills it.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from typing import Any

from ansible.executor.task_result import CallbackTaskResult
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: boundaries
type: notification
short_description: tell of each task that begins, and halt at one
description: For tests, which strike there.
"""


class CallbackModule(CallbackBase):
    """Told of each task before any host is."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "boundaries"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._play = ""
        self._seen: Counter[tuple[str, str]] = Counter()
        self._under_way: set[tuple[str, str]] = set()
        self._hosts: set[str] = set()
        self._changed = False
        self._halt = json.loads(os.environ.get("KUBEADM_HA_HALT", "null"))

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play = play.get_name().strip()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        name = task.get_name().strip()
        self._seen[self._play, name] += 1
        here = [self._play, name, self._seen[self._play, name]]
        self._tell(here=here, changed=self._changed or bool(self._under_way), before=sorted(self._hosts))
        self._changed = False
        self._hosts = set()
        if here == self._halt:
            self._tell(halted=here)
            while True:
                signal.pause()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._under_way.add((host.get_name(), task._uuid))
        self._hosts.add(host.get_name())

    def _over(self, result: CallbackTaskResult) -> None:
        self._under_way.discard((result.host.get_name(), result.task._uuid))
        self._changed = self._changed or bool(result.result.get("changed"))

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._over(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        self._over(result)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._over(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        # How far it got is not known.
        self._over(result)
        self._changed = True

    def _tell(self, **said: Any) -> None:
        with open(os.environ["KUBEADM_HA_BOUNDARIES"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(said) + "\n")
