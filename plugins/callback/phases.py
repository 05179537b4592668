# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: phases
type: aggregate
short_description: Say which phase runs, and how long each one took
version_added: 0.1.0
description:
  - Numbers the plays of a playbook as its phases when they begin, and closes with their times.
requirements:
  - enable it in configuration (C(callbacks_enabled = kubeadm.ha.phases))
"""

import time
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Times of plays; those without a host to work on are not counted, for nothing happened in them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kubeadm.ha.phases"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._begun: list[tuple[str, float]] = []
        self._worked: set[int] = set()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._begun.append((play.get_name().strip(), time.monotonic()))

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._worked.add(len(self._begun) - 1)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        ends = [begin for _name, begin in self._begun[1:]] + [time.monotonic()]
        self._display.banner("TIME PER PHASE")
        for index, ((name, begin), end) in enumerate(zip(self._begun, ends)):
            if index in self._worked:
                self._display.display(f"{end - begin:7.1f} s  {name}")
        if self._begun:
            self._display.display(f"{ends[-1] - self._begun[0][1]:7.1f} s  in all")
