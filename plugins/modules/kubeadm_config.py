#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_config
short_description: Render a configuration for the kubeadm at hand
version_added: 0.1.0
description:
  - Refuses fields that the API does not have, and values that kubeadm would not take, all of them at once.
  - Renders one description as C(v1beta2), C(v1beta3) or C(v1beta4), by the version of kubeadm found on the host, and
    writes it to a file where O(path) is given.
  - M(kubeadm.ha.kubeadm_init) and M(kubeadm.ha.kubeadm_join) render for themselves and need no file. This module is for
    kubeadm's other commands, and for looking.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._description
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  kind:
    description:
      - For which command to render.
      - For V(reset) and V(upgrade), O(node) is all of ResetConfiguration or UpgradeConfiguration, which kubeadm reads
        from 1.31 on.
    type: str
    choices: [init, join, reset, upgrade]
    default: init
  version:
    description: The kubeadm to render for. The one found on the host where it is not given.
    type: str
  path:
    description: Where to write it, with mode 0600. Nothing is written where it is not given.
    type: path
"""

EXAMPLES = r"""
- name: Write a configuration for kubeadm upgrade to read
  kubeadm.ha.kubeadm_config:
    cluster:
      kubernetesVersion: v1.20.2
      controlPlaneEndpoint: 192.0.2.10:6443
    path: /root/kubeadm.yaml
"""

RETURN = r"""
api_version:
  description: The kubeadm API that was rendered.
  returned: success
  type: str
  sample: kubeadm.k8s.io/v1beta2
content:
  description: The rendered documents, as one file that kubeadm reads. Tokens and keys in it are withheld.
  returned: success
  type: str
arguments:
  description: What has to stand beside C(--config), because this kubeadm reads it from there alone.
  returned: success
  type: list
  elements: str
  sample: ["--experimental-patches=/etc/kubernetes/patches"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import kubeadm_config, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import file_change
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import Kubeadm, KubeadmFailed, flags
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal

COMMANDS = {
    "init": "InitConfiguration",
    "join": "JoinConfiguration",
    "reset": "ResetConfiguration",
    "upgrade": "UpgradeConfiguration",
}


def render(kind: str, description: kubeadm_config.Description, kubeadm: versions.Version) -> list[dict[str, Any]]:
    """The documents that this command of kubeadm reads."""
    if kind == "init":
        return kubeadm_config.render_init(description, kubeadm)
    if kind == "join":
        return kubeadm_config.render_join(description, kubeadm)
    return kubeadm_config.render_command(COMMANDS[kind], description.node, kubeadm)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **kubeadm_config.ARGUMENT_SPEC,
            "kind": {"type": "str", "choices": list(COMMANDS), "default": "init"},
            "version": {"type": "str"},
            "path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        kubeadm = versions.parse(options["version"]) if options["version"] else Kubeadm(module).version()
        description = kubeadm_config.Description.from_options(options, COMMANDS[options["kind"]])
        documents = render(options["kind"], description, kubeadm)
    except (KubeadmFailed, Refusal, ValueError) as error:
        module.fail_json(msg=str(error))
    content = kubeadm_config.dump(documents)
    module.no_log_values.update(kubeadm_config.secrets(documents))
    changes = list(file_change(options["path"], content, 0o600)) if options["path"] else []
    for change in changes:
        if not module.check_mode:
            change.apply()
    module.exit_json(
        changed=bool(changes),
        api_version=f"kubeadm.k8s.io/{versions.config_api(kubeadm)}",
        content=content,
        arguments=[
            *kubeadm_config.arguments(description.node, kubeadm),
            *flags(skip_phases=description.node.get("skipPhases") or ()),
        ],
        diff=[change.diff() for change in changes],
    )


if __name__ == "__main__":
    main()
