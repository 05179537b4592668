#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_runtime
short_description: Keep a container runtime as Kubernetes needs it
version_added: 0.1.0
description:
  - Finds out which version of the runtime is installed, writes its files as that version reads them, and makes the
    service run what they say, in one execution.
  - Whether the service has read its files is taken from their modification times and from when systemd last started
    it. A run that was killed between the two is finished by the next one.
  - A runtime that does not serve the kubelet with its new files gets the old ones back.
  - A host that is a node already keeps the runtime that its kubelet uses; another one is refused.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  name:
    description: The runtime. V(docker) goes with Kubernetes before 1.24 alone, the last one with dockershim.
    type: str
    choices: [containerd, crio, docker]
    default: containerd
  kubernetes_version:
    description: The Kubernetes version that it is to serve.
    type: str
    required: true
  sandbox_image:
    description: The pause image. Docker is told of it by the kubelet.
    type: str
    required: true
  cgroup_driver:
    description: The cgroup driver, which has to be the kubelet's as well.
    type: str
    choices: [systemd, cgroupfs]
    default: systemd
  socket:
    description: Where crictl reaches the runtime, where that is not the runtime's own default.
    type: str
  cni_bin_dir:
    description: Where the runtime looks for CNI plugins. With Docker, the kubelet looks for them itself.
    type: str
    default: /opt/cni/bin
  registry_mirrors:
    description:
      - By registry, the endpoints to pull its images from before the registry itself, in that order. An endpoint is an
        address, or a mapping of C(endpoint), C(ca) (the text of a PEM) and C(skip_verify).
      - A path in an address is put before the names of images. Docker knows mirrors of C(docker.io) alone, without
        paths.
    type: dict
    default: {}
  cri_settings:
    description:
      - With V(containerd), settings of its CRI by the names that they have in its version 1, below
        C(plugins."io.containerd.grpc.v1.cri"). With a later version they go to the tables that took them over.
    type: dict
    default: {}
  settings:
    description:
      - Of the runtime's own file and in its words, laid over everything else; C(/etc/containerd/config.toml),
        C(/etc/crio/crio.conf.d/90-kubeadm-ha.conf) or C(/etc/docker/daemon.json).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Keep containerd as Kubernetes needs it
  kubeadm.ha.container_runtime:
    kubernetes_version: 1.20.2
    sandbox_image: k8s.gcr.io/pause:3.2
    registry_mirrors:
      docker.io: [https://mirror.example.com]
"""

RETURN = r"""
version:
  description: The runtime's version; not returned in check mode while it is not installed.
  returned: success
  type: str
  sample: "1.7"
actions:
  description: What was done, or in check mode would be, in order.
  returned: success
  type: list
  elements: str
  sample: [write /etc/containerd/config.toml, restart containerd.service]
"""

import glob
import re
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import container_runtimes, evidence, runtime_files, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.container_runtimes import CONTAINERD, CRIO, DOCKER
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.module_utils.service_keeper import Keeper, ServiceFailed

PATIENCE_SECONDS = 20.0


class Program(NamedTuple):
    """How a runtime is run and asked.

    Attributes:
        command: it says its version with --version.
        service: its systemd unit.
        assumed: the version that is taken for granted in check mode while it is not installed.
    """

    command: str
    service: str
    assumed: tuple[int, int]


PROGRAMS = {
    CONTAINERD: Program("containerd", "containerd.service", (1, 7)),
    CRIO: Program("crio", "crio.service", (1, 28)),
    DOCKER: Program("dockerd", "docker.service", (20, 10)),
}


def installed_version(module: AnsibleModule, program: Program) -> container_runtimes.RuntimeVersion | None:
    """The runtime's version by its own word; None where it is not installed."""
    path = module.get_bin_path(program.command)
    if path is None:
        return None
    _code, output, _error = module.run_command([path, "--version"], check_rc=True)
    try:
        return container_runtimes.parse_version(output)
    except ValueError as error:
        raise ServiceFailed(f"{path} --version: {error}.") from error


def lack_of_containerd(module: AnsibleModule, path: str) -> str | None:
    """What keeps containerd from serving the kubelet. It goes on without its CRI where it cannot load that."""
    if not module.get_bin_path("ctr"):
        return None if accepts(path) else f"nobody at {path}"
    code, output, error = module.run_command(["ctr", "--address", path, "plugins", "ls"])
    if code != 0:
        return error.strip() or output.strip()
    state = re.search(r"^io\.containerd\.grpc\.v1\s+cri\s.*?(\S+)\s*$", output, re.MULTILINE)
    if state is None:
        return "a containerd without CRI (disabled_plugins?)"
    return None if state[1] == "ok" else f"its CRI in the state {state[1]}"


def lack_of_crio(_module: AnsibleModule, path: str) -> str | None:
    """What keeps CRI-O from serving the kubelet."""
    return None if accepts(path) else f"nobody at {path}"


def lack_of_docker(module: AnsibleModule, _path: str) -> str | None:
    """What keeps Docker from serving the kubelet, which brings dockershim itself."""
    return None if accepts("/run/docker.sock") else "nobody at /run/docker.sock"


LACKS: dict[str, Callable[[AnsibleModule, str], str | None]] = {
    CONTAINERD: lack_of_containerd,
    CRIO: lack_of_crio,
    DOCKER: lack_of_docker,
}


def accepts(path: str) -> bool:
    """Whether something takes connections at a Unix socket."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(path)
        return True
    except OSError:
        return False


def lacking(module: AnsibleModule, name: str, path: str, patience: float) -> str | None:
    """What the runtime does not do for the kubelet, now or still after so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        found = LACKS[name](module, path)
        if found is None or time.monotonic() >= deadline:
            return found
        time.sleep(0.2)


def stale(name: str, files: list[runtime_files.RuntimeFile]) -> list[str]:
    """Files that an earlier run wrote for mirrors that are not wanted any more."""
    wanted = {file.path for file in files}
    found = {path for pattern in runtime_files.COMING_AND_GOING[name] for path in glob.glob(pattern)}
    return sorted(path for path in found - wanted if (read_text(path) or "").startswith(runtime_files.HEADER))


def keep(module: AnsibleModule) -> dict[str, Any]:
    """Bring the runtime about, and return what is to be told of it."""
    options, name = module.params, module.params["name"]
    kubernetes = versions.parse(options["kubernetes_version"])
    endpoint = container_runtimes.cri_socket(name, kubernetes, options["socket"])
    used = evidence.cri_socket(kubernetes)
    if used and not container_runtimes.same_socket(used, endpoint):
        raise Refusal([container_runtimes.another("this host", used, endpoint)])
    mirrors = container_runtimes.parse_mirrors(options["registry_mirrors"])
    program = PROGRAMS[name]
    version = installed_version(module, program)
    if version is None and not module.check_mode:
        raise ServiceFailed(
            f"{name}: found no {program.command} in the path, wanted one. Install a package that brings it: "
            "container_runtime_packages names those of this host."
        )
    at_hand = version or container_runtimes.RuntimeVersion(*program.assumed)
    if version is None:
        module.warn(f"{name} is not installed yet: its files are shown as version {at_hand} reads them.")
    problems = container_runtimes.incompatible("this host", name, at_hand, kubernetes)
    if name == DOCKER:
        problems += container_runtimes.refused_by_docker("this host", mirrors)
    if problems:
        raise Refusal(problems)
    wanted = runtime_files.Wanted(
        sandbox_image=options["sandbox_image"],
        cgroup_driver=options["cgroup_driver"],
        socket=endpoint,
        cni_bin_dir=options["cni_bin_dir"],
        mirrors=mirrors,
        cri=options["cri_settings"],
        settings=options["settings"],
    )
    files = runtime_files.render(name, at_hand, wanted)
    keeper = Keeper(module, program.service)
    path = container_runtimes.socket_path(endpoint)
    try:
        for file in files:
            keeper.write(file.path, file.content, validate=file.validate, read_at_start=file.read_at_start)
        for old in stale(name, files):
            keeper.remove(old, read_at_start=name == CRIO)
        keeper.settle(enabled=True, started=True)
        found = None if module.check_mode else lacking(module, name, path, PATIENCE_SECONDS if keeper.actions else 0.0)
        if found and not keeper.actions:
            keeper.act(f"restart {program.service}", "systemctl", "restart", program.service)
            found = lacking(module, name, path, PATIENCE_SECONDS)
        if found:
            raise ServiceFailed(
                f"{program.service}: found {found} after {', '.join(keeper.actions)}, wanted it to serve the kubelet. "
                f"Its journal ends with:\n{keeper.journal()}"
            )
    except ServiceFailed as error:
        back = not module.check_mode and keeper.roll_back()
        raise ServiceFailed(f"{error}" + ("\nIts files are as they were before." if back else "")) from error
    result: dict[str, Any] = {"changed": bool(keeper.actions), "actions": keeper.actions, "diff": keeper.diffs}
    return {**result, "version": str(version)} if version else result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "choices": list(container_runtimes.RUNTIMES), "default": CONTAINERD},
            "kubernetes_version": {"type": "str", "required": True},
            "sandbox_image": {"type": "str", "required": True},
            "cgroup_driver": {"type": "str", "choices": ["systemd", "cgroupfs"], "default": "systemd"},
            "socket": {"type": "str"},
            "cni_bin_dir": {"type": "str", "default": "/opt/cni/bin"},
            "registry_mirrors": {"type": "dict", "default": {}},
            "cri_settings": {"type": "dict", "default": {}},
            "settings": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        result = keep(module)
    except (ServiceFailed, Refusal, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
