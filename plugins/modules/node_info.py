#!/usr/bin/python
# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Tell all that the plan needs to know of a host
version_added: 0.1.0
description:
  - Reads, in one execution, what a host is and what it shows of a cluster - kubeadm's files, the certificate authority,
    its own API server and etcd, who answers at the control plane endpoint, and which of Kubernetes' programs are there.
  - Changes nothing and returns no secret.
author:
  - The kubeadm.ha developers (@kubeadm-ha)
extends_documentation_fragment:
  - kubeadm.ha._attributes
  - kubeadm.ha._attributes.reader
options:
  endpoint:
    description: The control plane endpoint, C(host:port).
    type: str
    required: true
  version:
    description: The Kubernetes version that is wanted, which names some of the objects looked for.
    type: str
    required: true
  node_name:
    description: The node's name. The lowercased host name where it is not given.
    type: str
  address:
    description: The address to advertise. The one that leads to O(endpoint) where it is not given.
    type: str
  external_etcd:
    description:
      - What to ask of an etcd that is not this host's own, with C(endpoints), C(ca_file), C(cert_file), C(key_file) and
        C(prefix), below which API servers keep their keys. The endpoints that the manifest of kube-apiserver names are
        asked as well. Nothing is asked without it.
    type: dict
    default: {}
  etcd_prefix:
    description:
      - Below which API servers keep their keys, where this host's etcd member is to be asked how many there are.
    type: str
  virtual_ip:
    description:
      - An address that this host is to carry by turns with others. While the host is not set up for it, the module
        takes two seconds to find out who has the address, and to listen for VRRP of others. Needs O(virtual_router_id).
    type: str
  virtual_router_id:
    description: The router id that tells the VRRP for O(virtual_ip) from others.
    type: int
  virtual_ip_interface:
    description: The interface for O(virtual_ip). The one whose network holds the address where it is not given.
    type: str
  timeout_seconds:
    description: How long to wait for one answer of the endpoint, the API server or etcd.
    type: int
    default: 5
  etcd_data_dir:
    description: Where this host's etcd member keeps, or will keep, its data.
    type: path
    default: /var/lib/etcd
  etcd_client_port:
    description: At which port this host's etcd member answers its clients.
    type: int
    default: 2379
"""

EXAMPLES = r"""
- name: Look at this host
  kubeadm.ha.node_info:
    endpoint: 192.0.2.10:6443
    version: 1.20.2
  register: node
"""

RETURN = r"""
node_name:
  description: The name under which this host is, or will be, a node.
  returned: success
  type: str
  sample: cp1
address:
  description: The address that this host advertises.
  returned: success
  type: str
  sample: 192.0.2.11
machine:
  description:
    - What the host is. Its C(hostname), C(os), C(kernel), C(cpus), C(memory_mb), whether it is a C(container), its
      C(cgroups) (C(version) and C(controllers)), C(time) by its own clock, C(machine_id), C(product_uuid), C(mac), the
      C(addresses) that others can reach it by, whether it has a C(default_route), and its C(name_servers).
    - The TCP ports that it is C(listening) on, and while it carries nothing of kubeadm's, their C(owners).
    - The C(services) that run, of those that guard or keep a node's network and clock. The room on C(disks) by folder.
      What is C(occupied) of the folders that kubeadm wants to find empty.
    - Its C(cni) configuration's files, and, as long as it carries no file of kubeadm's, the C(networks) that its
      addresses and routes lead to.
  returned: success
  type: dict
package_manager:
  description: The name of the Ansible module that installs packages here.
  returned: success
  type: str
  sample: apt
packages_interrupted:
  description: Whether dpkg was interrupted here, which keeps apt from installing anything.
  returned: success
  type: bool
traces:
  description: The files of kubeadm's that exist on this host.
  returned: success
  type: list
  elements: str
ca:
  description: Public key hash of the cluster CA found here, which is also kubeadm's discovery hash.
  returned: success
  type: str
public_keys:
  description: By path, the public key hash of each certificate and key of a node that is here.
  returned: success
  type: dict
has_run:
  description: Whether the kubelet has been given a certificate by a running cluster.
  returned: success
  type: bool
problems:
  description: Evidence that cannot be used, each as subject, what was found, what is wanted, and what to do.
  returned: success
  type: list
  elements: list
identity:
  description: The node that the kubelet's client certificate speaks for.
  returned: success
  type: str
endpoint_addresses:
  description: What the endpoint's host name means here.
  returned: success
  type: list
  elements: str
cri_socket:
  description: The container runtime that the kubelet uses.
  returned: success
  type: str
endpoint:
  description: Whether an API server answers at the endpoint (C(answers)), and its CA (C(ca)).
  returned: success
  type: dict
api:
  description: The cluster as this host's own API server tells it; none where it has none.
  returned: success
  type: dict
etcd:
  description:
    - The members as this host's own etcd tells them, with etcd's C(cluster_id), and whether it knows a C(leader). With
      O(etcd_prefix) also how many C(keys) there are, as long as it has a quorum. None where the host has none.
  returned: success
  type: dict
etcd_files:
  description:
    - What files tell of the host's own etcd member, also while it is silent. The C(flags) in its manifest. Whether the
      kubelet is its C(service_manager). Whether a stopped kubeadm has left its CA half made (C(ca_in_the_making)).
    - Where it is silent, whether its data was C(began_alone), so that it knows of no other member, whether it is
      C(without_log), and whether it says that its log was cut (C(log_cut)).
    - Its C(data), none where there is none, with C(cluster_id), C(member_id), whether the cluster was ever C(formed),
      and the C(initial_cluster) of its first start.
  returned: success
  type: dict
etcd_servers:
  description: The endpoints of etcd that the manifest of kube-apiserver names.
  returned: success
  type: list
  elements: str
external_etcd:
  description:
    - What this host sees of an etcd that is not its own, none where that is not asked for. The files that it is
      C(missing), why those that it has are C(unfit), and the C(answers) by endpoint.
  returned: success
  type: dict
back_ends:
  description: The addresses that the host's HAProxy sends to, by its configuration.
  returned: success
  type: list
  elements: str
programs:
  description:
    - kubeadm, kubelet and kubectl, as far as they are there. Each with its C(path), its C(version) (none where it is no
      release), what it C(said), and whether its package is C(held) by somebody else.
  returned: success
  type: dict
kubelet_unit:
  description:
    - The C(path) of the kubelet's unit, those of its files that are this collection's C(own), and whether it
      C(reads_flags) that kubeadm writes.
  returned: success
  type: dict
virtual_ip:
  description:
    - What O(virtual_ip) meets here. The C(interface) that would carry it, with the host's C(address), C(network) and
      C(mac) there, whether the host C(carries) it now and is C(configured) to, the MAC addresses that it was
      C(answered_by), the VRRP that was C(heard), and the C(peers) that it was set up with, addresses by inventory
      name. None without O(virtual_ip).
  returned: success
  type: dict
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.kubeadm.ha.plugins.module_utils import (
    evidence,
    machine,
    programs,
    versions,
    virtual_ip_probe,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoint": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "node_name": {"type": "str"},
            "address": {"type": "str"},
            "external_etcd": {"type": "dict", "default": {}},
            "etcd_prefix": {"type": "str"},
            "virtual_ip": {"type": "str"},
            "virtual_router_id": {"type": "int"},
            "virtual_ip_interface": {"type": "str"},
            "timeout_seconds": {"type": "int", "default": 5},
            "etcd_data_dir": {"type": "path", "default": evidence.ETCD_DATA_DIR},
            "etcd_client_port": {"type": "int", "default": evidence.ETCD_CLIENT_PORT},
        },
        required_together=[("virtual_ip", "virtual_router_id")],
        supports_check_mode=True,
    )
    options = module.params
    if os.geteuid() != 0:
        module.fail_json(msg=f"user: found uid {os.geteuid()}, wanted root, who can see all of it. Set become: true.")
    try:
        version = versions.parse(options["version"])
    except ValueError as error:
        module.fail_json(msg=str(error))
    with ThreadPoolExecutor(1) as beside:
        met = beside.submit(_meet, options)
        found = evidence.collect(
            endpoint=options["endpoint"],
            version=version,
            timeout=options["timeout_seconds"],
            etcd_data_dir=options["etcd_data_dir"],
            etcd_client_port=options["etcd_client_port"],
            etcd_prefix=options["etcd_prefix"],
            external_etcd=options["external_etcd"],
        )
    try:
        found["virtual_ip"] = met.result()
    except OSError as error:
        module.fail_json(msg=f"{options['virtual_ip']}: {error.strerror or error}")
    if found["virtual_ip"] and found["address"] == options["virtual_ip"]:
        # To itself a host speaks from the address that it is spoken to; it may lose this one at any time.
        found["address"] = found["virtual_ip"]["address"]
    found["address"] = options["address"] or found["address"]
    kind = machine.collect(name_owners=not found["traces"], data_folders=[options["etcd_data_dir"]])
    # A node's own are of no interest any more, and grow with the cluster.
    kind["networks"] = [] if found["traces"] else machine.host_networks()
    module.exit_json(
        node_name=options["node_name"] or kind["hostname"].lower(), machine=kind, **found, **programs.collect()
    )


def _meet(options: dict[str, Any]) -> dict[str, Any] | None:
    """What the virtual address meets here, if there is one."""
    if options["virtual_ip"] is None:
        return None
    return virtual_ip_probe.look(options["virtual_ip"], options["virtual_router_id"], options["virtual_ip_interface"])


if __name__ == "__main__":
    main()
