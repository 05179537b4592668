# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of site.yml as bare commands, all hosts side by side: what a person in a hurry could do by hand at best.

Every step that site.yml does for real is here, from installing HAProxy to waiting for Ready nodes, and none of its
looks: no plan, no comparing, no second thoughts. The argument is the topology: stacked or external_etcd. Or it is
``replace`` and the name of a control plane, which is dead, and behind whose name a new host waits.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STATE = Path(__file__).resolve().parents[2] / ".lab"
MIRROR = "http://10.210.0.1:8080"
# By topology: the first load balancer's own address, and the virtual one of both.
ENDPOINTS = {"stacked": "10.210.0.11", "external_etcd": "10.210.0.10"}
VERSION = "v1.20.2"
CONTROL_PLANES = {"cp1": "10.210.0.21", "cp2": "10.210.0.22", "cp3": "10.210.0.23"}
WORKERS = {"w1": "10.210.0.31", "w2": "10.210.0.32"}
NODES = {**CONTROL_PLANES, **WORKERS}
LOAD_BALANCERS = ("lb1", "lb2")
ETCD = {"etcd1": "10.210.0.41", "etcd2": "10.210.0.42", "etcd3": "10.210.0.43"}

PREPARE = f"""
set -e
apt-get install -qq -y conntrack ebtables ethtool iptables kmod socat containerd >/dev/null
swapoff -a
printf 'net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv4.ip_forward = 1\n' \
  > /etc/sysctl.d/90-bare.conf
sysctl --quiet --load /etc/sysctl.d/90-bare.conf
for tool in iptables ip6tables arptables ebtables; do update-alternatives --set $tool /usr/sbin/$tool-legacy; done
mkdir -p /etc/containerd /opt/cni/bin /etc/cni/net.d /etc/systemd/system/kubelet.service.d
cat > /etc/containerd/config.toml <<'CONF'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "k8s.gcr.io/pause:3.2"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
CONF
systemctl restart containerd
cd /usr/local/bin
for name in kubeadm kubelet kubectl; do
  curl -sSfO {MIRROR}/release/{VERSION}/bin/linux/amd64/$name
  echo "$(curl -sSf {MIRROR}/release/{VERSION}/bin/linux/amd64/$name.sha256)  $name" | sha256sum --check --quiet
  chmod +x $name
done
cd /tmp
for archive in cri-tools/v1.20.0/crictl-v1.20.0-linux-amd64.tar.gz \\
    cni-plugins/v1.1.1/cni-plugins-linux-amd64-v1.1.1.tgz; do
  curl -sSfo archive {MIRROR}/$archive
  echo "$(curl -sSf {MIRROR}/$archive.sha256 | cut -c1-64)  archive" | sha256sum --check --quiet
  case $archive in cri-tools*) tar -xzf archive -C /usr/local/bin ;; *) tar -xzf archive -C /opt/cni/bin ;; esac
done
cat > /etc/systemd/system/kubelet.service <<'UNIT'
[Service]
ExecStart=/usr/local/bin/kubelet
Restart=always
RestartSec=2
[Install]
WantedBy=multi-user.target
UNIT
cat > /etc/systemd/system/kubelet.service.d/10-kubeadm.conf <<'UNIT'
[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=
ExecStart=/usr/local/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
  --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
UNIT
systemctl daemon-reload
systemctl enable --quiet kubelet
"""

BALANCE = """
set -e
apt-get install -qq -y haproxy >/dev/null
cat > /etc/haproxy/haproxy.cfg <<'CONF'
defaults
    mode tcp
    timeout connect 5s
    timeout client 24h
    timeout server 24h
frontend api
    bind *:6443
    default_backend api
backend api
    option httpchk GET /readyz
    default-server check check-ssl verify none inter 1s fall 2 rise 2
    server cp1 10.210.0.21:6443
    server cp2 10.210.0.22:6443
    server cp3 10.210.0.23:6443
CONF
systemctl restart haproxy
"""

SHARE_ADDRESS = f"""
set -e
apt-get install -qq -y keepalived >/dev/null
cat > /etc/keepalived/keepalived.conf <<CONF
vrrp_script haproxy {{
    script "/usr/bin/systemctl is-active --quiet haproxy"
    interval 1
}}
vrrp_instance api {{
    interface host0
    state BACKUP
    virtual_router_id 51
    priority 100
    unicast_peer {{
        $PEER
    }}
    virtual_ipaddress {{
        {ENDPOINTS["external_etcd"]}/24
    }}
    track_script {{
        haproxy
    }}
}}
CONF
systemctl restart keepalived
"""

# As kubeadm's guide has it: all keys and certificates on one host, and a copy of what each other one needs.
ISSUE = f"""
set -e
cat > /root/ca.yaml <<CONF
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: {VERSION}
CONF
kubeadm init phase certs etcd-ca --config /root/ca.yaml >/dev/null
for member in $MEMBERS; do
  name=${{member%=*}} address=${{member#*=}}
  cat > /root/$name.yaml <<CONF
apiVersion: kubeadm.k8s.io/v1beta2
kind: InitConfiguration
nodeRegistration: {{name: $name}}
localAPIEndpoint: {{advertiseAddress: $address}}
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: {VERSION}
etcd:
  local:
    serverCertSANs: [$address]
    peerCertSANs: [$address]
    extraArgs:
      initial-cluster: $INITIAL_CLUSTER
      initial-cluster-state: new
      name: $name
      listen-peer-urls: https://$address:2380
      listen-client-urls: https://$address:2379
      advertise-client-urls: https://$address:2379
      initial-advertise-peer-urls: https://$address:2380
CONF
  for certificate in etcd-server etcd-peer etcd-healthcheck-client apiserver-etcd-client; do
    kubeadm init phase certs $certificate --config /root/$name.yaml >/dev/null
  done
  cp -r /etc/kubernetes/pki /root/pki-$name
  find /root/pki-$name -name ca.key -delete
  find /etc/kubernetes/pki -not -name ca.crt -not -name ca.key -type f -delete
  echo "$name $(tar -cz -C /root $name.yaml pki-$name | base64 -w0)"
done
"""

START = """
set -e
base64 -d <<<"$FILES" | tar -xz -C /root
mkdir -p /etc/kubernetes/pki /etc/systemd/system/kubelet.service.d
cp -r /root/pki-$NAME/. /etc/kubernetes/pki
cat > /etc/systemd/system/kubelet.service.d/20-etcd-service-manager.conf <<'UNIT'
[Service]
ExecStart=
ExecStart=/usr/local/bin/kubelet --address=127.0.0.1 --pod-manifest-path=/etc/kubernetes/manifests \\
  --cgroup-driver=systemd --container-runtime=remote \\
  --container-runtime-endpoint=unix:///run/containerd/containerd.sock
UNIT
systemctl daemon-reload
kubeadm init phase etcd local --config /root/$NAME.yaml >/dev/null
systemctl restart kubelet
cd /etc/kubernetes/pki/etcd
until curl -sf --cacert ca.crt --cert healthcheck-client.crt --key healthcheck-client.key https://$ADDRESS:2379/health
do sleep 0.5; done
"""

TAKE_CLIENT_FILES = """
set -e
base64 -d <<<"$FILES" | tar -xz -C /tmp
mkdir -p /etc/kubernetes/pki/etcd
cp /tmp/pki-*/etcd/ca.crt /etc/kubernetes/pki/etcd
cp /tmp/pki-*/apiserver-etcd-client.* /etc/kubernetes/pki
"""

EXTERNAL = f"""
etcd:
  external:
    endpoints: [{", ".join(f"https://{address}:2379" for address in ETCD.values())}]
    caFile: /etc/kubernetes/pki/etcd/ca.crt
    certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
    keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key"""

INITIALISE = f"""
set -e
cat > /root/kubeadm.yaml <<CONF
apiVersion: kubeadm.k8s.io/v1beta2
kind: InitConfiguration
nodeRegistration: {{name: cp1, criSocket: /run/containerd/containerd.sock}}
localAPIEndpoint: {{advertiseAddress: 10.210.0.21}}
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: {VERSION}
controlPlaneEndpoint: $ENDPOINT:6443
networking: {{podSubnet: 10.244.0.0/16}}$ETCD
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 5m
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {{maxPerCore: 0}}
CONF
kubeadm init --config /root/kubeadm.yaml --upload-certs --skip-phases addon/coredns --ignore-preflight-errors ImagePull
"""

FORGET = """
set -e
cd /etc/kubernetes/pki/etcd
call() {
  curl -sSf --cacert ca.crt --cert healthcheck-client.crt --key healthcheck-client.key \\
    -d "$2" https://127.0.0.1:2379/v3/cluster/member/$1
}
id=$(call list '{}' | python3 -c "import json, sys
print(next(member['ID'] for member in json.load(sys.stdin)['members'] if member['name'] == '$NAME'))")
call remove "{\\"ID\\": \\"$id\\"}" >/dev/null
kubectl --kubeconfig /etc/kubernetes/admin.conf delete node $NAME >/dev/null
"""

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf"


def ssh(host: str, script: str, **variables: str) -> str:
    """Run a script on a host and return what it printed; a script that fails ends the whole."""
    command = ["ssh", "-F", STATE / "ssh_config", host, "bash -s"]
    setting = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    done = subprocess.run(command, input=setting + script, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{host}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def side_by_side(work: Callable[[str], object], hosts: Iterable[str]) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, hosts))


def join(host: str, line: str, certificate_key: str) -> None:
    if host in CONTROL_PLANES:
        line += f" --control-plane --certificate-key {certificate_key} --apiserver-advertise-address {NODES[host]}"
    ssh(host, f"{line} --cri-socket /run/containerd/containerd.sock --ignore-preflight-errors ImagePull")


def connect(host: str, found: dict[str, str]) -> None:
    """The bridge network of one node, by hand."""
    routes = "\n".join(
        f"ip route add {network} via {NODES[other]}" for other, network in found.items() if other != host
    )
    routing = {"type": "host-local", "ranges": [[{"subnet": found[host]}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": routing}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    conflist = json.dumps({"cniVersion": "0.4.0", "name": "bridge", "plugins": [bridge, portmap]})
    ssh(host, f"{routes}\necho '{conflist}' > /etc/cni/net.d/10-bridge.conflist")


def start_etcd() -> None:
    """Three members on hosts of their own, and a client's files on the first control plane."""
    members = [f"{name}={address}" for name, address in ETCD.items()]
    initial = ",".join(f"{name}=https://{address}:2380" for name, address in ETCD.items())
    issued = ssh("etcd1", ISSUE, MEMBERS=" ".join(members), INITIAL_CLUSTER=initial)
    files = dict(line.split() for line in issued.splitlines())
    side_by_side(lambda name: ssh(name, START, NAME=name, ADDRESS=ETCD[name], FILES=files[name]), ETCD)
    ssh("cp1", TAKE_CLIENT_FILES, FILES=files["etcd1"])


def prepare(host: str, topology: str) -> None:
    if host not in LOAD_BALANCERS:
        ssh(host, PREPARE)
        return
    ssh(host, BALANCE)
    if topology == "external_etcd":
        peer = "10.210.0.12" if host == "lb1" else "10.210.0.11"
        ssh(host, SHARE_ADDRESS, PEER=peer)


def networks() -> dict[str, str]:
    """The network of pods of each node, by its name."""
    template = r"{range .items[*]}{.metadata.name} {.spec.podCIDR}{'\n'}{end}".replace("'", '"')
    listed = ssh("cp1", f"{KUBECTL} get nodes -o jsonpath='{template}'")
    return dict(entry.split() for entry in listed.splitlines())


def replace(name: str) -> None:
    """Put a new host in the place of a control plane that is dead."""
    with ThreadPoolExecutor() as pool:
        prepared = pool.submit(prepare, name, "stacked")
        ssh("cp1", FORGET, NAME=name)
        printed = ssh("cp1", "kubeadm init phase upload-certs --upload-certs --config /root/kubeadm.yaml")
        line = ssh("cp1", "kubeadm token create --print-join-command").strip()
        prepared.result()
    join(name, line, re.findall(r"\b[0-9a-f]{64}\b", printed)[-1])
    found = networks()
    connect(name, found)
    route = f"ip route replace {found[name]} via {NODES[name]}"
    side_by_side(lambda host: ssh(host, route), [host for host in NODES if host != name])
    ssh("cp1", f"{KUBECTL} wait --for condition=Ready --timeout 300s node/{name}")


def main(topology: str) -> None:
    external = topology == "external_etcd"
    side_by_side(lambda host: prepare(host, topology), [*NODES, *LOAD_BALANCERS, *(ETCD if external else ())])
    if external:
        start_etcd()
    printed = ssh("cp1", INITIALISE, ENDPOINT=ENDPOINTS[topology], ETCD=EXTERNAL if external else "")
    key = re.findall(r"--certificate-key ([0-9a-f]{64})", printed)[0]
    line = ssh("cp1", "kubeadm token create --print-join-command").strip()
    side_by_side(lambda host: join(host, line, key), [host for host in NODES if host != "cp1"])
    found = networks()
    side_by_side(lambda host: connect(host, found), NODES)
    ssh("cp1", f"{KUBECTL} wait --for condition=Ready --timeout 300s nodes --all")


if __name__ == "__main__":
    if sys.argv[1:2] == ["replace"]:
        replace(*sys.argv[2:])
    else:
        main(*sys.argv[1:] or ["stacked"])
