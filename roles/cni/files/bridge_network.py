# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pod networks by a bridge on each node and a route to each other node, for hosts on one IPv4 subnet.

Runs on every node, from before it joins. It watches the Node objects with the kubelet's own certificate, so a node that
comes, goes or moves is followed by all others without any of them being visited.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

CONFLIST = "/etc/cni/net.d/10-bridge.conflist"
CA = "/etc/kubernetes/pki/ca.crt"
CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"
# Marks the routes as ours; rt_protos(5) leaves numbers above 4 to administrators.
PROTOCOL = "98"
WATCH_SECONDS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", required=True, help="name of this node")
    parser.add_argument("--endpoint", required=True, help="host:port of the API")
    parser.add_argument("--pod-subnet", required=True, help="network of all pods")
    options = parser.parse_args()
    done: dict[str, tuple[str, str]] = {}
    while True:
        try:
            masquerade(options.pod_subnet)
            for nodes in node_networks(options.endpoint):
                if nodes != done:
                    follow(options.node, nodes)
                    done = nodes
        except (OSError, ValueError, KeyError, http.client.HTTPException, subprocess.CalledProcessError) as error:
            # Before the node joins, and while no API server answers, there is nothing to follow: what is laid stays.
            print(f"waiting: {error}", file=sys.stderr, flush=True)
        time.sleep(2)


def node_networks(endpoint: str) -> Iterator[dict[str, tuple[str, str]]]:
    """Pod network and address by node name: once as listed, then after each event, until the watch ends."""
    listed = json.loads(request(endpoint, "/api/v1/nodes").read())
    nodes = {node["metadata"]["name"]: network for node in listed["items"] if (network := describe(node))}
    yield dict(nodes)
    version = listed["metadata"]["resourceVersion"]
    path = f"/api/v1/nodes?watch=true&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
    for line in request(endpoint, path):
        event = json.loads(line)
        if event["type"] == "ERROR":
            return
        name, network = event["object"]["metadata"]["name"], describe(event["object"])
        if event["type"] == "DELETED" or network is None:
            nodes.pop(name, None)
        else:
            nodes[name] = network
        yield dict(nodes)


def request(endpoint: str, path: str) -> http.client.HTTPResponse:
    """A response with status 200; the certificate is read anew each time, because the kubelet renews it."""
    context = ssl.create_default_context(cafile=CA)
    context.load_cert_chain(CERTIFICATE)
    connection = http.client.HTTPSConnection(endpoint, context=context, timeout=WATCH_SECONDS + 30)
    connection.request("GET", path)
    response = connection.getresponse()
    if response.status != 200:
        raise OSError(f"GET {path}: {response.status} {response.reason}")
    return response


def describe(node: dict) -> tuple[str, str] | None:
    """Pod network and address of a node, or None while it has not got both."""
    addresses = [entry["address"] for entry in node["status"].get("addresses", []) if entry["type"] == "InternalIP"]
    network = node["spec"].get("podCIDR")
    return (network, addresses[0]) if network and addresses else None


def follow(own_name: str, nodes: dict[str, tuple[str, str]]) -> None:
    """Make the routes, and this node's CNI configuration, agree with the nodes."""
    wanted = {network: address for name, (network, address) in nodes.items() if name != own_name}
    shown = json.loads(run("ip", "-json", "-4", "route", "show", "proto", PROTOCOL) or "[]")
    for route in shown:
        if route["dst"] not in wanted:
            run("ip", "route", "del", route["dst"], "proto", PROTOCOL)
    for network, address in wanted.items():
        run("ip", "route", "replace", network, "via", address, "proto", PROTOCOL)
    if own_name in nodes:
        write_conflist(nodes[own_name][0])


def write_conflist(network: str) -> None:
    """The CNI configuration for pods of this node; containerd takes up a changed one by itself."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": network}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    content = json.dumps({"cniVersion": "0.4.0", "name": "bridge", "plugins": [bridge, portmap]}, indent=2) + "\n"
    try:
        with open(CONFLIST, encoding="utf-8") as stream:
            if stream.read() == content:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(CONFLIST), exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(CONFLIST), prefix=".bridge.", delete=False) as stream:
        stream.write(content)
        os.fchmod(stream.fileno(), 0o644)
    os.replace(stream.name, CONFLIST)


def masquerade(pod_subnet: str) -> None:
    """Pods reach the world outside by their node's address, and each other by their own."""
    rule = ["POSTROUTING", "-s", pod_subnet, "!", "-d", pod_subnet, "-j", "MASQUERADE"]
    if subprocess.run(["iptables", "-w", "-t", "nat", "-C", *rule], capture_output=True, check=False).returncode != 0:
        run("iptables", "-w", "-t", "nat", "-A", *rule)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
