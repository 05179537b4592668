#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: virtual_ip_info
short_description: See that just one machine has a virtual IP
version_added: 0.1.0
description:
  - Asks, by ARP or neighbour discovery, who has an address that hosts carry by turns, and waits until it is just one
    machine, this host or another, at which somebody takes connections.
  - Two machines that have it at once cannot hear each other's VRRP. Each run may hit either.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  address:
    description: The address.
    type: str
    required: true
  port:
    description: The port at which it takes connections.
    type: int
    required: true
  settle:
    description: Whether the hosts have just begun to agree on who has it, so that a first answer may be none for long.
    type: bool
    default: false
  timeout_seconds:
    description: How long to wait for it. In check mode, in which nothing is begun, nobody waits or fails.
    type: int
    default: 15
"""

EXAMPLES = r"""
- name: See that one of the load balancers has the address
  kubeadm.ha.virtual_ip_info:
    address: 192.0.2.10
    port: 6443
"""

RETURN = r"""
carries:
  description: Whether it is this host.
  returned: success
  type: bool
answered_by:
  description: MAC addresses of other machines that have it.
  returned: success
  type: list
  elements: str
"""

import socket
import time
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import virtual_ip_probe

# Answers of neighbours come within milliseconds.
ASK_SECONDS = 0.4
# Longer than two hosts that take an address at the same moment need to agree, at one advert a second.
SETTLE_SECONDS = 2.5


@dataclass(frozen=True)
class Seen:
    """Who has the address, by one look.

    Attributes:
        carries: this host.
        answered_by: MAC addresses of others.
    """

    carries: bool
    answered_by: tuple[str, ...]

    @property
    def just_one(self) -> bool:
        """Whether it is one machine."""
        return self.carries + len(self.answered_by) == 1

    def __str__(self) -> str:
        owners = [*(["this host"] if self.carries else []), *self.answered_by]
        return " and ".join(owners) or "nobody"


def see(address: str) -> Seen:
    """Ask once.

    Raises:
        OSError: the kernel gives no such sockets.
        LookupError: no network of this host holds the address.
    """
    links = virtual_ip_probe.interfaces()
    found = virtual_ip_probe.choose(links, address)
    if not found["interface"]:
        raise LookupError(f"{address}: found no network of this host that it lies in, wanted one to ask there.")
    heard = virtual_ip_probe.listen(found["interface"], found["mac"], address, ASK_SECONDS)
    return Seen(virtual_ip_probe.has(links, address), tuple(sorted(heard.answered_by)))


def listens(address: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((address, port), timeout=2).close()
        return True
    except OSError:
        return False


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "settle": {"type": "bool", "default": False},
            "timeout_seconds": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    options = module.params
    address, port = options["address"], options["port"]
    deadline = time.monotonic() + options["timeout_seconds"]
    since, last = time.monotonic(), None
    try:
        while True:
            seen = see(address)
            if seen != last:
                since, last = time.monotonic(), seen
            settled = time.monotonic() - since >= (SETTLE_SECONDS if options["settle"] else 0)
            serves = seen.just_one and settled and listens(address, port)
            if serves or module.check_mode or time.monotonic() > deadline:
                break
    except (LookupError, OSError) as error:
        module.fail_json(msg=str(error.args[0] if isinstance(error, LookupError) else error))
    if not serves and not module.check_mode:
        if seen.just_one:
            problem = (
                f"found nobody who takes connections at port {port} of {seen}, wanted HAProxy. See its journal there."
            )
        else:
            problem = (
                f"found it on {seen}, wanted it on just one of the hosts that may have it. See keepalived's journal, "
                "and let VRRP (IP protocol 112) pass between them."
            )
        module.fail_json(msg=f"{address}: {problem}")
    module.exit_json(carries=seen.carries, answered_by=list(seen.answered_by))


if __name__ == "__main__":
    main()
