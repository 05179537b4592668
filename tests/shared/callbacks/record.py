# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what each task said of itself, a JSON object a line, in the file that KUBEADM_HA_RECORD names.

The whole result is among it, as any callback gets it: with all that is shown at the highest verbosity.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.executor.task_result import CallbackTaskResult
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: keep what each task said of itself
description: For tests, which compare runs.
"""


class CallbackModule(CallbackBase):
    """Told of each result, and silent on the screen."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def _keep(self, outcome: str, result: CallbackTaskResult) -> None:
        told = result.result
        line = {
            "host": result.host.get_name(),
            "task": result.task.get_name(),
            "on": str(result.task.delegate_to or result.host.get_name()),
            "outcome": outcome,
            "changed": bool(told.get("changed")),
            "subjects": sorted(_subjects(told)),
            "result": dict(told),
        }
        with open(os.environ["KUBEADM_HA_RECORD"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._keep("ok", result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._keep("failed", result)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._keep("unreachable", result)


def _subjects(told: dict[str, Any]) -> set[str]:
    """What the result's diffs are of: files, settings, commands."""
    found = set()
    for each in (told, *told.get("results", ())):
        diffs = each.get("diff") or []
        for diff in diffs if isinstance(diffs, list) else [diffs]:
            found.update(str(diff[key]) for key in ("before_header", "after_header") if diff.get(key))
    return found
