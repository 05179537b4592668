#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: interrupted_packages
short_description: Finish what an interrupted dpkg has left
version_added: 0.1.0
description:
  - Where a host lost its power while packages were installed, apt refuses all further work until dpkg has configured
    what it had unpacked. This has dpkg do so. Configuration files that somebody changed stay as they are.
  - A dpkg that is still at work is waited for. A host without dpkg is left as it is.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  timeout_seconds:
    description: How long to wait for others who use apt or dpkg.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Have dpkg finish
  kubeadm.ha.interrupted_packages:
"""

RETURN = r""" # """

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import apt_tools
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import ChangeFailed


def main() -> None:
    module = AnsibleModule(
        argument_spec={"timeout_seconds": {"type": "int", "default": 300}},
        supports_check_mode=True,
    )
    if not apt_tools.interrupted():
        module.exit_json(changed=False)
    try:
        if not module.check_mode:
            apt_tools.run(module, [*apt_tools.CONFIGURE], module.params["timeout_seconds"])
    except ChangeFailed as error:
        module.fail_json(msg=f"dpkg: found interrupted, wanted done. `dpkg --configure -a` says:\n{error}")
    header = {"before_header": apt_tools.NOTES, "after_header": apt_tools.NOTES}
    module.exit_json(changed=True, diff=[{**header, "before": "interrupted\n", "after": "done\n"}])


if __name__ == "__main__":
    main()
