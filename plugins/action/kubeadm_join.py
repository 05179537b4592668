# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of a join: who may go now, where etcd takes only one at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.kubeadm.ha.plugins.module_utils import versions


class ActionModule(ActionBase):
    """See plugins/modules/kubeadm_join.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        alone = takes_turns(arguments) and not self._task.check_mode
        with turn(constants.DEFAULT_LOCAL_TMP) if alone else contextlib.nullcontext():
            module = self._execute_module(
                module_name="kubeadm.ha.kubeadm_join", module_args=arguments, task_vars=task_vars
            )
        result.update(module)
        return result


def takes_turns(arguments: Mapping[str, Any]) -> bool:
    """Whether kubeadm adds this host's etcd member itself: it gives up on a second learner after two minutes.

    Where this collection does so, it waits for as long as it takes, and everything before may go side by side.
    """
    own_member = boolean(arguments.get("control_plane", False)) and not boolean(arguments.get("external_etcd", False))
    try:
        return own_member and versions.joins_as_learner(versions.parse(str(arguments.get("version"))))
    except ValueError:
        return False  # the module says what is wrong with the version


@contextlib.contextmanager
def turn(folder: str) -> Iterator[None]:
    """One at a time among the processes of this run, which share its temporary folder."""
    descriptor = os.open(os.path.join(folder, "kubeadm-ha-join.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
