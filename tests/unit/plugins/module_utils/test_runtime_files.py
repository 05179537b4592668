# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of each runtime: as they are in full, and what holds of them whatever users set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomllib
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import runtime_files
from ansible_collections.kubeadm.ha.plugins.module_utils.container_runtimes import (
    CONTAINERD,
    CRIO,
    DOCKER,
    RUNTIMES,
    Mirror,
    RuntimeVersion,
    parse_mirrors,
)
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Refusal
from ansible_collections.kubeadm.ha.plugins.module_utils.runtime_files import Wanted, render

GOLDEN = Path(__file__).parents[2] / "fixtures" / "runtimes"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
CASES = {
    "containerd-1": (CONTAINERD, (1, 6)),
    "containerd-2.0": (CONTAINERD, (2, 0)),
    "containerd-2": (CONTAINERD, (2, 1)),
    "crio": (CRIO, (1, 28)),
    "docker": (DOCKER, (20, 10)),
}
VERSIONS = {CONTAINERD: [(1, 6), (1, 7), (2, 0), (2, 1), (2, 3)], CRIO: [(1, 20), (1, 34)], DOCKER: [(20, 10), (26, 1)]}
V1, IMAGES, RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"


def wanted(**changes: Any) -> Wanted:
    return Wanted(
        **{
            "sandbox_image": "registry.example.com/pause:3.2",
            "cgroup_driver": "systemd",
            "socket": "unix:///run/runtime.sock",
            **changes,
        }
    )


def full(runtime: str) -> Wanted:
    """A site that sets something of everything."""
    mirrors: dict[str, Any] = {
        "docker.io": [{"endpoint": "https://b.example.com", "ca": PEM}, "http://a.example.com:5000"],
    }
    if runtime != DOCKER:
        mirrors["k8s.gcr.io"] = [{"endpoint": "https://b.example.com/k8s/proxy", "ca": PEM, "skip_verify": True}]
    settings: dict[str, Any] = {
        CONTAINERD: {"debug": {"level": "warn"}, "imports": ["/etc/containerd/conf.d/*.toml"]},
        CRIO: {"crio": {"runtime": {"pids_limit": 4096}}},
        DOCKER: {"log-opts": {"max-file": "3"}, "exec-opts": ["native.umask=normal"]},
    }
    return wanted(
        mirrors=parse_mirrors(mirrors),
        cni_bin_dir="/usr/lib/cni",
        cri={
            "restrict_oom_score_adj": True,
            "max_concurrent_downloads": 5,
            "stream_server_port": "10010",
            "cni": {"max_conf_num": 2},
            "containerd": {
                "snapshotter": "native",
                "runtimes": {"gvisor": {"runtime_type": "io.containerd.runsc.v1", "sandbox_mode": "podsandbox"}},
            },
        },
        settings=settings[runtime],
    )


def contents(runtime: str, version: tuple[int, int], want: Wanted) -> dict[str, str]:
    files = render(runtime, RuntimeVersion(*version), want)
    assert len({file.path for file in files}) == len(files)
    return {file.path: file.content for file in files}


def config(runtime: str, version: tuple[int, int], want: Wanted) -> dict[str, Any]:
    """The runtime's own file as it reads it."""
    files = contents(runtime, version, want)
    if runtime == DOCKER:
        return json.loads(files[runtime_files.DOCKER_CONFIG])
    return tomllib.loads(files[{CONTAINERD: runtime_files.CONTAINERD_CONFIG, CRIO: runtime_files.CRIO_CONFIG}[runtime]])


@pytest.mark.parametrize("name", CASES)
def test_render_full_site_is_as_it_was_looked_over(name: str) -> None:
    runtime, version = CASES[name]
    shown = "".join(f"==> {path}\n{text}\n" for path, text in contents(runtime, version, full(runtime)).items())
    assert shown == (GOLDEN / f"{name}.txt").read_text()


versions_at_hand = st.sampled_from([(runtime, version) for runtime, several in VERSIONS.items() for version in several])
drivers = st.sampled_from(["systemd", "cgroupfs"])


@given(versions_at_hand, drivers)
def test_render_tells_each_runtime_driver_and_image(at_hand: tuple[str, tuple[int, int]], driver: str) -> None:
    runtime, version = at_hand
    read = config(runtime, version, wanted(cgroup_driver=driver))
    if runtime == DOCKER:
        assert read["exec-opts"] == [f"native.cgroupdriver={driver}"]
        return
    if runtime == CRIO:
        told, image = read["crio"]["runtime"]["cgroup_manager"], read["crio"]["image"]["pause_image"]
        assert read["crio"]["runtime"]["conmon_cgroup"] == ("system.slice" if driver == "systemd" else "pod")
    else:
        assert read["version"] == (2 if version < (2, 0) else 3)
        plugins = read["plugins"]
        cri = plugins[V1] if version < (2, 0) else plugins[RUNTIME]
        told = "systemd" if cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] else "cgroupfs"
        image = cri["sandbox_image"] if version < (2, 0) else plugins[IMAGES]["pinned_images"]["sandbox"]
    assert (told, image) == (driver, "registry.example.com/pause:3.2")


@pytest.mark.parametrize(("version", "name", "value"), [
    ((1, 7), "bin_dir", "/opt/x"), ((2, 0), "bin_dir", "/opt/x"), ((2, 1), "bin_dirs", ["/opt/x"]),
])  # fmt: skip
def test_render_tells_containerd_the_plugins_folder_by_its_name_in_that_version(
    version: tuple[int, int], name: str, value: Any
) -> None:
    plugins = config(CONTAINERD, version, wanted(cni_bin_dir="/opt/x"))["plugins"]
    cni = plugins[V1 if version < (2, 0) else RUNTIME]["cni"]
    assert cni == {name: value, "conf_dir": "/etc/cni/net.d"}


names = st.sampled_from(
    ["restrict_oom_score_adj", "registry_", "max_concurrent_downloads", "stream_server_port", "enable_selinux", "other"]
)
leaves = st.booleans() | st.integers(0, 9) | st.text("abc", max_size=3)
cri_settings = st.dictionaries(names, leaves | st.dictionaries(names, leaves, max_size=2), max_size=4)


def leaves_of(table: Any, path: tuple[str, ...] = ()) -> set[tuple[Any, ...]]:
    if isinstance(table, dict):
        return {leaf for name, value in table.items() for leaf in leaves_of(value, (*path, name))}
    return {(*path, repr(table))}


@given(cri_settings)
def test_render_says_the_same_to_containerd_1_and_2(cri: dict[str, Any]) -> None:
    """Each of the user's settings is in exactly one table of version 3, under the path that it has in version 2."""
    old = config(CONTAINERD, (1, 7), wanted(cri=cri))["plugins"][V1]
    new = config(CONTAINERD, (2, 0), wanted(cri=cri))["plugins"]
    found = [leaf for plugin in new.values() for leaf in leaves_of(plugin)]
    renamed = {("sandbox_image", *leaf[2:]) if leaf[0] == "pinned_images" else leaf for leaf in found}
    assert len(found) == len(renamed)
    assert renamed == leaves_of(old)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_render_lays_the_users_settings_over_everything_else(runtime: str) -> None:
    over: dict[str, Any] = {
        CONTAINERD: {"plugins": {V1: {"cni": {"conf_dir": "/x"}}}},
        CRIO: {"crio": {"network": {"network_dir": "/x"}}},
        DOCKER: {"live-restore": False},
    }[runtime]
    read = config(runtime, VERSIONS[runtime][0], wanted(settings=over))
    assert leaves_of(over) <= leaves_of(read)
    assert read != config(runtime, VERSIONS[runtime][0], wanted())


def test_render_docker_keeps_the_cgroup_driver_whatever_the_user_sets() -> None:
    read = config(DOCKER, (20, 10), wanted(settings={"exec-opts": ["native.cgroupdriver=cgroupfs", "x=y"]}))
    assert read["exec-opts"] == ["native.cgroupdriver=systemd", "x=y"]


@given(st.permutations(["b", "d", "a"]))
def test_render_settings_in_another_order_are_the_same_file(order: list[str]) -> None:
    settings = {name: dict.fromkeys(order, 1) for name in order}
    expected = {name: dict.fromkeys(sorted(order), 1) for name in sorted(order)}
    for runtime in RUNTIMES:
        version = VERSIONS[runtime][0]
        assert contents(runtime, version, wanted(settings=settings)) == contents(
            runtime, version, wanted(settings=expected)
        )


mirrors = st.builds(
    Mirror,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a.example.com", "b.example.com:5000"]),
    st.sampled_from(["", "x/y"]),
    st.sampled_from(["", PEM]),
    st.booleans(),
)


lists_of_mirrors = st.lists(mirrors, min_size=1, max_size=3, unique_by=lambda mirror: (mirror.host, mirror.prefix))


@given(st.dictionaries(st.sampled_from(["docker.io", "quay.io", "r:5000"]), lists_of_mirrors))
def test_render_containerd_asks_mirrors_in_their_order(several: dict[str, list[Mirror]]) -> None:
    files = contents(CONTAINERD, (1, 7), wanted(mirrors={name: tuple(value) for name, value in several.items()}))
    for registry, values in several.items():
        hosts = tomllib.loads(files[f"{runtime_files.CONTAINERD_HOSTS}/{registry}/hosts.toml"])["host"]
        urls = [f"{m.scheme}://{m.host}" + (f"/v2/{m.prefix}" if m.prefix else "") for m in values]
        assert list(hosts) == urls
        for url, mirror in zip(urls, values, strict=True):
            assert hosts[url].get("override_path", False) == bool(mirror.prefix)
        assert all(files[host["ca"]].endswith(PEM + "\n") for host in hosts.values() if "ca" in host)


def test_render_files_that_the_runtime_reads_on_each_pull_are_no_reason_to_restart_it() -> None:
    read_at_start = {
        runtime: {
            file.path
            for file in render(runtime, RuntimeVersion(*VERSIONS[runtime][0]), full(runtime))
            if file.read_at_start
        }
        for runtime in RUNTIMES
    }
    assert read_at_start == {
        CONTAINERD: {runtime_files.CONTAINERD_CONFIG},
        CRIO: {runtime_files.CRIO_CONFIG, runtime_files.CRIO_REGISTRIES},
        DOCKER: {runtime_files.DOCKER_CONFIG},
    }


@pytest.mark.parametrize("registry", [{"mirrors": {}}, {"configs": {"a": {"tls": {"insecure_skip_verify": True}}}}])
def test_render_containerd_leaves_its_older_way_of_mirrors_alone_or_refuses_both(registry: dict[str, Any]) -> None:
    read = config(CONTAINERD, (1, 7), wanted(cri={"registry": registry}))
    assert "config_path" not in read["plugins"][V1]["registry"]
    with pytest.raises(Refusal, match="does not take both"):
        render(
            CONTAINERD, RuntimeVersion(1, 7), wanted(cri={"registry": registry}, mirrors={"a": (Mirror("http", "b"),)})
        )


@pytest.mark.parametrize(
    ("version", "settings"),
    [
        ((1, 7), {"plugins": {RUNTIME: {"enable_selinux": True}}}),
        ((1, 7), {"version": 3}),
        ((2, 0), {"plugins": {V1: {"enable_selinux": True}}}),
        ((2, 0), {"version": 2}),
    ],
)
def test_render_containerd_refuses_tables_that_it_would_pass_over(
    version: tuple[int, int], settings: dict[str, Any]
) -> None:
    with pytest.raises(Refusal, match="cluster_containerd_cri_settings"):
        render(CONTAINERD, RuntimeVersion(*version), wanted(settings=settings))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_files_that_come_and_go_are_known_and_marked(runtime: str) -> None:
    """Each file that mirrors bring can be found again and told from a person's own."""
    version = RuntimeVersion(*VERSIONS[runtime][0])
    plain = {file.path for file in render(runtime, version, wanted())}
    more = [file for file in render(runtime, version, full(runtime)) if file.path not in plain]
    assert more
    for file in more:
        assert any(Path(file.path).match(pattern) for pattern in runtime_files.COMING_AND_GOING[runtime])
        assert file.content.startswith(runtime_files.HEADER)
