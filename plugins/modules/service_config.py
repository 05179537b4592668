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
      watched:
        description: Whether the service sees a change of the file by itself, so that nothing else has to be done.
        type: bool
        default: false
      validate:
        description: A command that accepts or refuses the new file, whose path replaces C(%s).
        type: list
        elements: str
  secrets:
    description:
      - Files that nobody but root is to read, and what they hold, by path. They are written before O(files), with mode
        0600, and no diff and no log shows what they hold. A file that is to hold nothing is removed.
    type: dict
    default: {}
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
  reports:
    description:
      - What the running service says of itself once it has taken up its files. A service that could not take them up at
        a reload goes on with what it had, and looks well in all else.
      - One that says something else, though nothing was to be done, is made to take its files up as O(on_change) says;
        one that still does ten seconds later fails the task with the end of its journal.
    type: dict
    suboptions:
      socket:
        description: A Unix socket that the service answers at.
        type: str
        required: true
      request:
        description: A line to send there.
        type: str
        required: true
      answer:
        description: A line of the answer, as it should be.
        type: str
        required: true
  runs_as:
    description:
      - The name that a process of the service bears once it has taken up its files, as far as the kernel keeps it,
        which is fifteen characters. For a service that can be told a name and has nothing to be asked at.
      - Where no process bears it, though nothing was to be done, the service is made to take its files up as
        O(on_change) says; where none does ten seconds later, the task fails with the end of its journal.
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
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils.evidence import split_endpoint
from ansible_collections.kubeadm.ha.plugins.module_utils.service_keeper import Keeper, ServiceFailed
from ansible_collections.kubeadm.ha.plugins.module_utils.services import runs


def listens(place: str) -> bool:
    """Whether something takes connections at ``host:port``.

    Raises:
        ValueError: not of that form.
    """
    address = split_endpoint(place)
    try:
        socket.create_connection(address, timeout=2).close()
        return True
    except OSError:
        return False


def answer_to(request: str, path: str) -> list[str]:
    """The lines that come back for one line sent to a Unix socket; none where nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(path)
            connection.sendall(f"{request}\n".encode())
            with connection.makefile(encoding="utf-8", errors="replace") as lines:
                return [line.strip() for line in lines]
    except OSError:
        return []


@dataclass(frozen=True)
class Lack:
    """What the running service should do and does not.

    Attributes:
        text: in a person's words, after "found".
        serves: its clients are served meanwhile.
    """

    text: str
    serves: bool


def lack(
    listens_on: str | None, reports: dict[str, str] | None, runs_as: str | None = None, patience: float = 0.0
) -> Lack | None:
    """What the service does not do, now or still after so many seconds.

    Raises:
        ValueError: ``listens_on`` is not host:port.
    """
    deadline = time.monotonic() + patience
    while True:
        found, heard = None, not listens_on or listens(listens_on)
        lines = answer_to(reports["request"], reports["socket"]) if reports else []
        if reports and reports["answer"] not in lines:
            text = (
                "a process that runs something else than its files say"
                if lines
                else f"no answer at {reports['socket']}"
            )
            # A process from before may serve its clients elsewhere than the files say now.
            found = Lack(text, serves=bool(lines or (listens_on and heard)))
        elif runs_as and not runs(runs_as):
            found = Lack(f"no process by the name of {runs_as}, which its files give to it", serves=True)
        elif not heard:
            found = Lack(f"nothing that listens on {listens_on}", serves=False)
        if found is None or time.monotonic() >= deadline:
            return found
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
                    "watched": {"type": "bool", "default": False},
                    "validate": {"type": "list", "elements": "str"},
                },
            },
            # As a whole: of values inside an option, a module's log leaves those out alone that are one line.
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "enabled": {"type": "bool"},
            "started": {"type": "bool", "default": False},
            "on_change": {"type": "str", "choices": ["restart", "reload"], "default": "restart"},
            "listens_on": {"type": "str"},
            "reports": {
                "type": "dict",
                "options": {key: {"type": "str", "required": True} for key in ("socket", "request", "answer")},
            },
            "runs_as": {"type": "str"},
        },
        supports_check_mode=True,
    )
    options, name = module.params, module.params["name"]
    keeper = Keeper(module, name)
    evidence = options["listens_on"], options["reports"], options["runs_as"]
    try:
        for path, content in options["secrets"].items():
            keeper.write_secret(path, content)
        for item in options["files"]:
            keeper.write(
                item["path"],
                item["content"],
                int(item["mode"], 8),
                item["validate"] or (),
                read_at_start=not item["watched"],
            )
        keeper.settle(enabled=options["enabled"], started=options["started"], on_change=options["on_change"])
        lacking = lack(*evidence)
        if lacking and not keeper.actions:
            # A restart takes the clients away that an old process still serves.
            verb = options["on_change"] if lacking.serves else "restart"
            keeper.act(f"{verb} {name}", "systemctl", verb, name)
        if lacking and not module.check_mode:
            lacking = lack(*evidence, patience=10)
    except ServiceFailed as error:
        module.fail_json(msg=str(error))
    except ValueError as error:
        module.fail_json(msg=f"listens_on: {error}")
    if lacking and not module.check_mode:
        module.fail_json(
            msg=f"{name}: found {lacking.text} after {', '.join(keeper.actions)}, wanted one that runs and serves by "
            f"its files. Its journal ends with:\n{keeper.journal()}"
        )
    module.exit_json(changed=bool(keeper.actions), actions=keeper.actions, diff=keeper.diffs)


if __name__ == "__main__":
    main()
