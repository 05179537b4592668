#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: api_server_etcd
short_description: Have this control plane's API server use these etcd endpoints
version_added: 0.2.0
description:
  - Brings the endpoints of external etcd, in the ClusterConfiguration that kubeadm keeps in the cluster and in this
    host's manifest of kube-apiserver, to what is wanted, and waits until the API server that starts then is ready.
  - Changes nothing else of either. The manifest is not generated anew, so what was patched or written into it stays.
  - Reads the other API servers and etcd afresh before. It refuses to restart the API server while none of the others is
    ready, while etcd has no quorum, or towards endpoints of another etcd than the one in use.
  - Run it on one control plane after the other.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.actor
options:
  endpoints:
    description: Client URLs of etcd. Their order means nothing.
    type: list
    elements: str
    required: true
  timeout_seconds:
    description: How long the API server may take until it is ready again.
    type: int
    default: 240
"""

EXAMPLES = r"""
- name: Use the member that was added, too
  kubeadm.ha.api_server_etcd:
    endpoints:
      - https://192.0.2.31:2379
      - https://192.0.2.32:2379
      - https://192.0.2.33:2379
"""

RETURN = r"""
endpoints:
  description: The endpoints that this host's manifest named before.
  returned: success
  type: list
  elements: str
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    etcd_look,
    etcd_servers,
    evidence,
    external_etcd,
    kube_api,
    kubeconfig,
    static_pods,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import Change
from ansible_collections.kubeadm.ha.plugins.module_utils.files import read_text, write_atomic
from ansible_collections.kubeadm.ha.plugins.module_utils.https_json import (
    JsonClient,
    RequestFailed,
    present_certificate,
    url,
    verified_context,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.kubeadm import KubeadmFailed, alone
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem, Refusal

MANIFEST = evidence.POD_MANIFESTS[0]
NODES = "/api/v1/nodes"
PORT = 6443


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoints": {"type": "list", "elements": "str", "required": True},
            "timeout_seconds": {"type": "int", "default": 240},
        },
        supports_check_mode=True,
    )
    try:
        with alone(module.check_mode):
            result = follow(module.params["endpoints"], module.params["timeout_seconds"], module.check_mode)
    except (RequestFailed, KubeadmFailed, Refusal, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def follow(endpoints: list[str], timeout: float, check_mode: bool) -> dict[str, Any]:
    """Bring configuration and manifest to these endpoints; what is to be told of it."""
    manifest = read_text(MANIFEST)
    if manifest is None:
        action = "Run this on control planes that are members of the cluster."
        raise Refusal([Problem("this host", MANIFEST, "no file", "the manifest of kube-apiserver", action)])
    before = etcd_servers.of_manifest(manifest)
    api = answering_api()
    config_map = api.get(evidence.KUBEADM_CONFIG)
    restarts = _manifest_change(manifest, endpoints)
    changes = _configuration_change(api, config_map, endpoints) + restarts
    # What check mode foretells may be wanted for a member that the same run is to start first.
    if changes and not check_mode:
        problems = etcd_problems(manifest, before, endpoints) + (restart_problems(api) if restarts else [])
        if problems:
            raise Refusal(problems)
        for change in changes:
            change.apply()
        if restarts:
            wait_until_ready(endpoints, timeout)
    return {"changed": bool(changes), "endpoints": before, "diff": [change.diff() for change in changes]}


def answering_api() -> kube_api.KubeApi:
    """This host's own API server; the cluster's by the endpoint where that does not answer.

    Raises:
        RequestFailed: neither does.
    """
    own = kube_api.local_admin()
    try:
        own.get("/version")
    except RequestFailed:
        return kube_api.KubeApi(kubeconfig.parse(read_text(kube_api.ADMIN_CONF) or ""))
    return own


def _configuration_change(api: kube_api.KubeApi, config_map: dict[str, Any], endpoints: list[str]) -> list[Change]:
    text = config_map["data"]["ClusterConfiguration"]
    if external_etcd.same_endpoints(etcd_servers.of_configuration(text), endpoints):
        return []
    subject = "ConfigMap kube-system/kubeadm-config, ClusterConfiguration"
    try:
        wanted = etcd_servers.in_configuration(text, endpoints)
    except etcd_servers.UnknownForm as error:
        raise Refusal([_unknown("cluster", subject, error, endpoints)]) from error

    def apply() -> None:
        # With the version that was read, so that nobody else's change is lost.
        api.replace(
            evidence.KUBEADM_CONFIG, {**config_map, "data": {**config_map["data"], "ClusterConfiguration": wanted}}
        )

    return [Change(subject, text, wanted, apply)]


def _manifest_change(text: str, endpoints: list[str]) -> list[Change]:
    if external_etcd.same_endpoints(etcd_servers.of_manifest(text), endpoints):
        return []
    try:
        wanted = etcd_servers.in_manifest(text, endpoints)
    except etcd_servers.UnknownForm as error:
        raise Refusal([_unknown(own_name(), MANIFEST, error, endpoints)]) from error
    mode = os.stat(MANIFEST).st_mode & 0o777
    return [Change(MANIFEST, text, wanted, lambda: write_atomic(MANIFEST, wanted.encode(), mode))]


def _unknown(host: str, subject: str, error: Exception, endpoints: list[str]) -> Problem:
    wanted, action = "the form that kubeadm gives it", f"Change it by hand to {', '.join(endpoints)}."
    return Problem(host, subject, str(error), wanted, action)


def etcd_problems(manifest: str, before: list[str], endpoints: list[str]) -> list[Problem]:
    """What stands against these endpoints, by a look made just now as the API server would make it."""
    flags = static_pods.flags_of(manifest)
    ca_file, cert_file, key_file = (flags.get(name, "") for name in ("etcd-cafile", "etcd-certfile", "etcd-keyfile"))
    prefix = flags.get("etcd-prefix") or external_etcd.PREFIX
    found = etcd_look.look(sorted({*before, *endpoints}), ca_file, cert_file, key_file, prefix, 5.0)
    answers = {url: external_etcd.Answer.from_dict(answer) for url, answer in found["answers"].items()}
    return etcd_servers.problems(own_name(), answers, before, endpoints)


def restart_problems(api: kube_api.KubeApi, patience: float = 60.0) -> list[Problem]:
    """What stands against restarting this host's API server now.

    Args:
        api: one that answers.
        patience: seconds for others to become ready, such as one that was restarted just now for the same reason.
    """
    own, others = kube_api.local_is_ready(), other_api_servers(api)
    deadline = time.monotonic() + patience
    while not all(answering := [ready(address) for address in others.values()]) and time.monotonic() < deadline:
        time.sleep(1)
    return etcd_servers.restart_problems(own_name(), own=own, others=len(others), ready=sum(answering))


def own_name() -> str:
    return evidence.identity() or "this host"


def other_api_servers(api: kube_api.KubeApi) -> dict[str, str]:
    """Addresses of the other control planes, by node."""
    own = own_name()
    described = (evidence.describe_node(node) | {"name": node["metadata"]["name"]} for node in api.get(NODES)["items"])
    return {
        node["name"]: node["address"]
        for node in described
        if node["control_plane"] and node["name"] != own and node["address"]
    }


def ready(address: str) -> bool:
    """Whether the API server there says that it is ready; what does not answer is not."""
    try:
        admin = kubeconfig.parse(read_text(kube_api.ADMIN_CONF) or "")
        context = verified_context(admin.ca)
        # Its certificate names the address that it advertises, which may be another one than its node's.
        context.check_hostname = False
        present_certificate(context, admin.certificate, admin.key)
        JsonClient(url(address, PORT), context, 5.0).request("GET", "/readyz")
    except (RequestFailed, ValueError, OSError):
        return False
    return True


def wait_until_ready(endpoints: list[str], timeout: float) -> None:
    """Wait until an API server runs here with these endpoints, and is ready.

    Raises:
        Refusal: there is none after so many seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        running = running_with()
        fine = running and all(external_etcd.same_endpoints(one, endpoints) for one in running)
        if fine and kube_api.local_is_ready():
            return
        if time.monotonic() > deadline:
            found = "one that is not ready" if fine else "none that runs with the new endpoints alone"
            action = f"See the kubelet's journal and the container's log; {MANIFEST} is what it should run."
            wanted = f"one that is ready within {timeout:.0f} s"
            raise Refusal([Problem(own_name(), "API server", found, wanted, action)])
        time.sleep(0.5)


def running_with() -> list[list[str]]:
    """The endpoints of each API server's process on this host."""
    processes = static_pods.running("kube-apiserver")
    return [flags["etcd-servers"].split(",") for flags, _began in processes if "etcd-servers" in flags]


if __name__ == "__main__":
    main()
