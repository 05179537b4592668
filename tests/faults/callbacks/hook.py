# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the command in KUBEADM_HA_HOOK once, at the moment when the task named by KUBEADM_HA_HOOK_TASK begins."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: hook
type: notification
short_description: run a command when a task begins
description: For tests, which do something to the cluster in the middle of a run.
"""


class CallbackModule(CallbackBase):
    """Nothing goes on in the run until the command has ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "hook"
    CALLBACK_NEEDS_ENABLED = True

    _done = False

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self._done or os.environ["KUBEADM_HA_HOOK_TASK"] not in task.get_name():
            return
        self._done = True
        subprocess.run(["/bin/sh", "-ec", os.environ["KUBEADM_HA_HOOK"]], check=True, stdin=subprocess.DEVNULL)
