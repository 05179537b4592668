# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of a reset: gather what the hosts showed, decide once, say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.kubeadm.ha.plugins.module_utils import resetting
from ansible_collections.kubeadm.ha.plugins.module_utils.identity import cluster_id


class ActionModule(ActionBase):
    """See plugins/modules/reset_plan.py for what it takes and returns."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(
            argument_spec={
                "confirm": {"type": "str", "default": ""},
                "scope": {"type": "list", "elements": "str", "required": True},
                "load_balancers": {"type": "list", "elements": "str", "default": []},
                "look": {"type": "str", "required": True},
                "preview": {"type": "str", "required": True},
                "outside_scope": {"type": "list", "elements": "dict", "default": []},
            },
        )
        variables = task_vars["hostvars"]
        plan = resetting.decide(
            options["confirm"],
            {host: _in_scope(host, variables[host], options["look"], options["preview"]) for host in options["scope"]},
            {look["item"]: _outside(look) for look in options["outside_scope"]},
            options["load_balancers"],
        )
        Display().display(plan.text())
        if plan.refusals():
            raise AnsibleActionFail("\n".join(["Nothing was changed.", *plan.refusals()]))
        result.update(
            cluster_id=plan.cluster,
            hosts={host: {"removed": list(look.removed), "left": list(look.left)} for host, look in plan.looks.items()},
        )
        return result


def _answered(look: Mapping[str, Any] | None) -> bool:
    return bool(look) and not look.get("unreachable")


def _in_scope(host: str, variables: Mapping[str, Any], look: str, preview: str) -> resetting.Look | None:
    seen, would = variables.get(look), variables.get(preview)
    if not _answered(seen) or not _answered(would):
        return None
    if "traces" not in seen:
        return resetting.Look(frozenset({host.lower()}), hindrance=str(seen.get("msg")))
    return resetting.Look.of(seen, would)


def _outside(look: Mapping[str, Any]) -> resetting.Look | None:
    if not _answered(look) or "traces" not in look:
        return None
    return resetting.Look.of(look, None, ids=[cluster_id(look["ca"])] if look.get("ca") else [])
