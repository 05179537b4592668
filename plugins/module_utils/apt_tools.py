# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running apt and dpkg beside others who do, and what an interrupted one leaves."""

from __future__ import annotations

import os
import re
import time

from ansible.module_utils.basic import AnsibleModule

from .changes import ChangeFailed

# dpkg notes here what it does until it is done; as long as there are notes, apt refuses all of its work (dpkg(1), and
# debSystem::CheckUpdates in apt, which knows them by their names of digits).
NOTES = "/var/lib/dpkg/updates"
CONFIGURE = ("dpkg", "--configure", "-a", "--force-confdef", "--force-confold")
ENVIRONMENT = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
_LOCKED = re.compile(r"Could not get lock|lock was locked by|is another process using it")


def interrupted() -> bool:
    """Whether dpkg was interrupted on this host, or is at work there."""
    try:
        return any(name.isdigit() for name in os.listdir(NOTES))
    except OSError:
        return False


def run(module: AnsibleModule, argv: list[str], patience: float) -> None:
    """Run one of apt's tools once nobody else is at it.

    Args:
        patience: for so many seconds others may be.

    Raises:
        ChangeFailed: it ended badly; the message is the end of what it said.
    """
    deadline = time.monotonic() + patience
    while True:
        code, output, error = module.run_command(argv, environ_update=ENVIRONMENT)
        if code == 0:
            return
        if not _LOCKED.search(error) or time.monotonic() > deadline:
            said = (error.strip() or output.strip()).splitlines()
            raise ChangeFailed("\n".join(said[-10:]) or f"{' '.join(argv[:2])}: exit code {code}")
        time.sleep(1)
