#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_config
short_description: Keep a service running what its files say
version_added: 0.1.0
description:
  - Writes the files of one systemd service, and enables, starts, restarts or reloads it as they require, in one
    execution.
  - Whether the service has read its files is taken from their modification times and from when systemd last started or
    reloaded it. A run that was killed between the two is finished by the next one, without any handler.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  name:
    description: The systemd unit.
    type: str
    required: true
  files:
    description: The files that it reads, its own unit files among them.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the file lies.
        type: str
        required: true
      content:
        description: What it holds.
        type: str
        required: true
      mode:
        description: Its mode, octal.
        type: str
        default: '0644'
      validate:
        description: A command that accepts or refuses the new file, whose path replaces C(%s).
        type: list
        elements: str
  enabled:
    description: Whether it starts at boot. Left alone where not given.
    type: bool
  started:
    description: Start it if it does not run. Where false, a service that does not run is left so.
    type: bool
    default: false
  on_change:
    description: How it takes up a changed file.
    type: str
    choices: [restart, reload]
    default: restart
  listens_on:
    description:
      - A C(host:port) at which it takes TCP connections. A service that does not, though nothing else was to be done,
        is restarted; one that does not within ten seconds of what was done fails the task with the end of its journal.
    type: str
"""

EXAMPLES = r"""
- name: Keep journald to half a gigabyte
  kubeadm.ha.service_config:
    name: systemd-journald.service
    files:
      - path: /etc/systemd/journald.conf.d/50-size.conf
        content: |
          [Journal]
          SystemMaxUse=512M
    started: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be, in order.
  returned: success
  type: list
  elements: str
  sample: [write /etc/containerd/config.toml, restart containerd]
"""

import socket
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils.evidence import split_endpoint
from ansible_collections.kubeadm.ha.plugins.module_utils.service_keeper import Keeper, ServiceFailed


def listens(module: AnsibleModule, place: str, patience: float = 0.0) -> bool:
    """Whether something takes connections at ``host:port``, now or within so many seconds."""
    try:
        address = split_endpoint(place)
    except ValueError as error:
        module.fail_json(msg=f"listens_on: {error}")
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(address, timeout=2).close()
            return True
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                    "validate": {"type": "list", "elements": "str"},
                },
            },
            "enabled": {"type": "bool"},
            "started": {"type": "bool", "default": False},
            "on_change": {"type": "str", "choices": ["restart", "reload"], "default": "restart"},
            "listens_on": {"type": "str"},
        },
        supports_check_mode=True,
    )
    options, name = module.params, module.params["name"]
    keeper = Keeper(module, name)
    actions = keeper.actions
    try:
        for item in options["files"]:
            keeper.write(item["path"], item["content"], int(item["mode"], 8), item["validate"] or ())
        keeper.settle(enabled=options["enabled"], started=options["started"], on_change=options["on_change"])
    except ServiceFailed as error:
        module.fail_json(msg=str(error))
    if options["listens_on"] and not listens(module, options["listens_on"]):
        if not actions:
            keeper.act(f"restart {name}", "systemctl", "restart", name)
        if not module.check_mode and not listens(module, options["listens_on"], patience=10):
            module.fail_json(
                msg=f"{name}: found nothing that listens on {options['listens_on']} after {', '.join(actions)}, "
                f"wanted it to. Its journal ends with:\n{keeper.journal()}"
            )
    module.exit_json(changed=bool(actions), actions=actions, diff=keeper.diffs)


if __name__ == "__main__":
    main()
