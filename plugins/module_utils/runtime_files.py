# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that tell a container runtime what Kubernetes needs of it, in each runtime's own words.

Sources: containerd's docs/cri/config.md, docs/hosts.md and its migration from version 2 to 3 (plugins/cri/*/plugin.go,
migrateConfig); CRI-O's crio.conf.d(5), containers-registries.conf(5) and containers-certs.d(5); dockerd(8).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import toml
from .container_runtimes import CONTAINERD, CRIO, DOCKER, Mirror, Mirrors, RuntimeVersion, socket_path
from .problems import CLUSTER, Problem, Refusal

Settings = dict[str, Any]

HEADER = "# Written by kubeadm.ha.\n"
CRICTL = "/etc/crictl.yaml"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_HOSTS = "/etc/containerd/certs.d"
CRIO_CONFIG = "/etc/crio/crio.conf.d/90-kubeadm-ha.conf"
CRIO_REGISTRIES = "/etc/containers/registries.conf.d/90-kubeadm-ha.conf"
CRIO_CERTIFICATES = "/etc/containers/certs.d"
DOCKER_CONFIG = "/etc/docker/daemon.json"
DOCKER_CERTIFICATES = "/etc/docker/certs.d"
CNI_CONFIG = "/etc/cni/net.d"

# Where files lie that come and go with the mirrors; those with our header that are not wanted any more are removed.
COMING_AND_GOING = {
    CONTAINERD: (f"{CONTAINERD_HOSTS}/*/hosts.toml", f"{CONTAINERD_HOSTS}/*/*.crt"),
    CRIO: (CRIO_REGISTRIES, f"{CRIO_CERTIFICATES}/*/ca.crt"),
    DOCKER: (f"{DOCKER_CERTIFICATES}/*/ca.crt",),
}

_CRI_V1 = "io.containerd.grpc.v1.cri"
_CRI_IMAGES = "io.containerd.cri.v1.images"
_CRI_RUNTIME = "io.containerd.cri.v1.runtime"
_SERVER_SETTINGS = frozenset(
    {
        "disable_tcp_service",
        "stream_server_address",
        "stream_server_port",
        "stream_idle_timeout",
        "enable_tls_streaming",
        "x509_key_pair_streaming",
    }
)
_IMAGE_SETTINGS = frozenset(
    {
        "registry",
        "image_decryption",
        "max_concurrent_downloads",
        "image_pull_progress_timeout",
        "image_pull_with_sync_fs",
        "stats_collect_period",
        # Of 2 alone.
        "concurrent_layer_fetch_buffer",
        "pinned_images",
        "runtime_platforms",
        "use_local_image_pull",
    }
)
# They lay in the table containerd.
_SNAPSHOT_SETTINGS = frozenset({"snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers"})


@dataclass(frozen=True)
class RuntimeFile:
    """One file of a runtime.

    Attributes:
        path: where it lies.
        content: what it holds.
        read_at_start: the runtime reads it when it starts, and not each time that it pulls.
        validate: a command that accepts or refuses it, whose ``%s`` is its path; empty for none.
    """

    path: str
    content: str
    read_at_start: bool = False
    validate: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What Kubernetes and the site need of a runtime.

    Attributes:
        sandbox_image: the pause image.
        cgroup_driver: systemd or cgroupfs.
        socket: where the runtime is reached, for crictl.
        cni_bin_dir: the folder of the network's plugins.
        mirrors: by registry, in the order in which they are asked.
        cri: settings of containerd's CRI, in the words of its version 1, whatever version is at hand.
        settings: of the runtime's own file, in that file's words; they are laid over all else.
    """

    sandbox_image: str
    cgroup_driver: str
    socket: str
    cni_bin_dir: str = "/opt/cni/bin"
    mirrors: Mirrors = field(default_factory=dict)
    cri: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def render(runtime: str, version: RuntimeVersion, wanted: Wanted) -> list[RuntimeFile]:
    """All files for this runtime.

    Raises:
        Refusal: the settings contradict each other.
        ValueError: they cannot be said in the file's language.
    """
    files = {CONTAINERD: _containerd, CRIO: _crio, DOCKER: _docker}[runtime](version, wanted)
    endpoint = f"unix://{socket_path(wanted.socket)}"
    return [
        *files,
        RuntimeFile(CRICTL, f"{HEADER}runtime-endpoint: {endpoint}\nimage-endpoint: {endpoint}\n"),
    ]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Settings:
    """``above`` laid over ``below``: tables join, anything else is replaced."""
    result = {**below}
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        result[name] = merged(below[name], value) if both else value
    return result


def _containerd(version: RuntimeVersion, wanted: Wanted) -> Iterator[RuntimeFile]:
    config = _sorted(merged(_containerd_config(version, wanted), wanted.settings))
    validate = ("containerd", "--config", "%s", "config", "dump")
    yield RuntimeFile(CONTAINERD_CONFIG, HEADER + toml.dump(config), read_at_start=True, validate=validate)
    for registry, mirrors in wanted.mirrors.items():
        folder = f"{CONTAINERD_HOSTS}/{registry}"
        hosts = {}
        for mirror in mirrors:
            host: Settings = {"capabilities": ["pull", "resolve"]}
            if mirror.prefix:
                host["override_path"] = True
            if mirror.ca:
                host["ca"] = f"{folder}/{_file_name(mirror)}.crt"
                yield RuntimeFile(host["ca"], HEADER + _line_ended(mirror.ca))
            if mirror.skip_verify:
                host["skip_verify"] = True
            path = f"/v2/{mirror.prefix}" if mirror.prefix else ""
            hosts[f"{mirror.scheme}://{mirror.host}{path}"] = host
        # In the order of the mirrors, for so they are asked. The registry itself comes last, unsaid.
        yield RuntimeFile(f"{folder}/hosts.toml", HEADER + toml.dump({"host": hosts}))


def _containerd_config(version: RuntimeVersion, wanted: Wanted) -> Settings:
    cri = merged(
        {
            "sandbox_image": wanted.sandbox_image,
            "cni": {"bin_dir": wanted.cni_bin_dir, "conf_dir": CNI_CONFIG},
            "containerd": {
                "runtimes": {
                    "runc": {
                        "runtime_type": "io.containerd.runc.v2",
                        "options": {"SystemdCgroup": wanted.cgroup_driver == "systemd"},
                    }
                }
            },
            **({} if _mirrors_of_old(wanted) else {"registry": {"config_path": CONTAINERD_HOSTS}}),
        },
        wanted.cri,
    )
    if version.major < 2:
        config: Settings = {"version": 2, "plugins": {_CRI_V1: cri}}
        foreign = sorted({_CRI_IMAGES, _CRI_RUNTIME} & set(wanted.settings.get("plugins", {})))
    else:
        config = {"version": 3, "plugins": _version_3(cri, version)}
        own = wanted.settings.get("plugins", {}).get(_CRI_V1, {})
        foreign = [_CRI_V1] if set(own) - _SERVER_SETTINGS else []
    if foreign or wanted.settings.get("version", config["version"]) != config["version"]:
        found = f"the table plugins.{foreign[0]!r}" if foreign else f"version = {wanted.settings['version']!r}"
        raise Refusal(
            [
                Problem(
                    host=CLUSTER,
                    subject="cluster_containerd_settings",
                    found=f"{found}, which containerd {version} does not read",
                    wanted=f"tables of its version {config['version']}",
                    action="Say it in cluster_containerd_cri_settings, which suit both layouts.",
                )
            ]
        )
    return config


def _mirrors_of_old(wanted: Wanted) -> bool:
    """Whether the user's settings name mirrors in containerd's older way, beside which it allows no other."""
    registry = wanted.cri.get("registry", {})
    old = "mirrors" in registry or any("tls" in config for config in registry.get("configs", {}).values())
    if old and wanted.mirrors:
        raise Refusal(
            [
                Problem(
                    host=CLUSTER,
                    subject="cluster_containerd_cri_settings.registry",
                    found="mirrors, or tls in configs, beside cluster_registry_mirrors",
                    wanted="one of them: containerd does not take both",
                    action="Move them all to cluster_registry_mirrors.",
                )
            ]
        )
    return old


def _version_3(cri: Mapping[str, Any], version: RuntimeVersion) -> Settings:
    """The CRI's settings in the tables of version 3, which has three plugins where version 2 has one."""
    cri = copy.deepcopy(dict(cri))
    images = {"pinned_images": {"sandbox": cri.pop("sandbox_image")}}
    images = merged(images, {name: cri.pop(name) for name in list(cri) if name in _IMAGE_SETTINGS})
    containerd = cri.get("containerd", {})
    images.update({name: containerd.pop(name) for name in list(containerd) if name in _SNAPSHOT_SETTINGS})
    server = {name: cri.pop(name) for name in list(cri) if name in _SERVER_SETTINGS}
    for runtime in containerd.get("runtimes", {}).values():
        if "sandbox_mode" in runtime:
            runtime.setdefault("sandboxer", runtime.pop("sandbox_mode"))
    network = cri.get("cni", {})
    if version >= (2, 1) and "bin_dir" in network:  # 2.1 can look in several folders
        network.setdefault("bin_dirs", [network.pop("bin_dir")])
        network.pop("bin_dir", None)
    return {_CRI_IMAGES: images, _CRI_RUNTIME: cri, **({_CRI_V1: server} if server else {})}


def _crio(_version: RuntimeVersion, wanted: Wanted) -> Iterator[RuntimeFile]:
    config = merged(
        {
            "crio": {
                "api": {"listen": socket_path(wanted.socket)},
                "image": {"pause_image": wanted.sandbox_image},
                "network": {"network_dir": f"{CNI_CONFIG}/", "plugin_dirs": [f"{wanted.cni_bin_dir}/"]},
                "runtime": {
                    "cgroup_manager": wanted.cgroup_driver,
                    # cgroupfs knows no slices to put the monitors into.
                    "conmon_cgroup": "system.slice" if wanted.cgroup_driver == "systemd" else "pod",
                },
            }
        },
        wanted.settings,
    )
    validate = ("crio", "--config", "%s", "--config-dir", "", "config")
    yield RuntimeFile(CRIO_CONFIG, HEADER + toml.dump(_sorted(config)), read_at_start=True, validate=validate)
    if wanted.mirrors:
        registries = [
            {"location": registry, "mirror": [_crio_mirror(mirror) for mirror in mirrors]}
            for registry, mirrors in wanted.mirrors.items()
        ]
        yield RuntimeFile(CRIO_REGISTRIES, HEADER + toml.dump({"registry": registries}), read_at_start=True)
    yield from _authorities(CRIO_CERTIFICATES, wanted.mirrors)


def _crio_mirror(mirror: Mirror) -> Settings:
    location = "/".join(part for part in (mirror.host, mirror.prefix) if part)
    insecure = mirror.skip_verify or mirror.scheme == "http"
    return {"location": location, **({"insecure": True} if insecure else {})}


def _docker(version: RuntimeVersion, wanted: Wanted) -> Iterator[RuntimeFile]:
    hub = wanted.mirrors.get("docker.io", ())
    insecure = [mirror.host for mirror in hub if mirror.skip_verify]
    config = merged(
        {
            # Containers outlive a restart of Docker, as they do one of the other runtimes.
            "live-restore": True,
            # The kubelet does not rotate what Docker logs.
            "log-driver": "json-file",
            "log-opts": {"max-size": "100m"},
            **({"registry-mirrors": [f"{mirror.scheme}://{mirror.host}" for mirror in hub]} if hub else {}),
            **({"insecure-registries": insecure} if insecure else {}),
        },
        wanted.settings,
    )
    others = [option for option in config.get("exec-opts", []) if not option.startswith("native.cgroupdriver=")]
    config["exec-opts"] = [f"native.cgroupdriver={wanted.cgroup_driver}", *others]
    validate = ("dockerd", "--validate", "--config-file=%s") if version >= (23, 0) else ()
    content = json.dumps(config, indent=2, sort_keys=True) + "\n"
    yield RuntimeFile(DOCKER_CONFIG, content, read_at_start=True, validate=validate)
    yield from _authorities(DOCKER_CERTIFICATES, {"docker.io": hub})


def _authorities(folder: str, mirrors: Mirrors) -> Iterator[RuntimeFile]:
    """Those that the mirrors' certificates are checked by, a file a host, whatever registries it mirrors."""
    texts: dict[str, list[str]] = {}
    for mirror in (mirror for several in mirrors.values() for mirror in several if mirror.ca):
        known = texts.setdefault(mirror.host, [])
        known.extend([mirror.ca] if mirror.ca not in known else [])
    for host, several in texts.items():
        yield RuntimeFile(f"{folder}/{host}/ca.crt", HEADER + "".join(_line_ended(text) for text in several))


def _file_name(mirror: Mirror) -> str:
    return "_".join(part.replace(":", "_").replace("/", "_") for part in (mirror.host, mirror.prefix) if part)


def _line_ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _sorted(table: Mapping[str, Any]) -> Settings:
    """The order in which a user writes settings means nothing, and is no reason to restart a runtime."""
    return {
        name: _sorted(value) if isinstance(value, Mapping) else value
        for name, value in sorted(table.items(), key=lambda item: str(item[0]))
    }
