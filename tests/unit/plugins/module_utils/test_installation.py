# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that are there, beside those that are asked for: what is refused, on which host, and what nobody minds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import installation, plan, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.installation import BINARIES, EXISTING, PACKAGES, Installation
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.simulated_cluster import SimulatedCluster

VERSION = versions.parse("1.20.2")
UNIT = {"path": "/usr/lib/systemd/system/kubelet.service", "own": [], "reads_flags": True}
OWN_UNIT = {"path": "/etc/systemd/system/kubelet.service", "own": [], "reads_flags": True}
NO_UNIT = {"path": None, "own": [], "reads_flags": False}
OWN_DROP_IN = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"

names = st.sampled_from(["kubeadm", "kubelet", "kubectl"])
methods = st.sampled_from(installation.METHODS)
folders = st.sampled_from(["/usr/bin", "/usr/local/bin", "/opt/bin", "/opt/kubernetes"])
found_versions = st.none() | st.builds(versions.Version, st.integers(15, 40), st.integers(0, 9)).map(str)


@st.composite
def programs(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    return {
        name: program(name, draw(found_versions), draw(folders), held=draw(st.booleans()))
        for name in draw(st.sets(names))
    }


def program(name: str, version: str | None, folder: str = "/usr/bin", *, held: bool = False) -> dict[str, Any]:
    said = f"v{version}" if version else "v1.20.2-rc.1"
    return {"path": f"{folder}/{name}", "version": version, "said": said, "held": held}


def found(version: str | None = "1.20.2", folder: str = "/usr/bin", **others: str) -> dict[str, dict[str, Any]]:
    versions_found = dict.fromkeys(("kubeadm", "kubelet", "kubectl"), version) | others
    return {name: program(name, value, folder) for name, value in versions_found.items()}


def new(
    wanted: Installation, there: dict[str, Any], unit: dict[str, Any] | None = None, manager: str = "apt"
) -> list[tuple[str, str]]:
    problems = installation.check_new_node("w1", wanted, VERSION, there, UNIT if unit is None else unit, manager)
    assert {problem.host for problem in problems} <= {"w1"}
    return [(problem.subject, problem.found) for problem in problems]


@pytest.mark.parametrize("method", [BINARIES, PACKAGES])
def test_bare_host_is_installed_by_either_method(method: str) -> None:
    assert new(Installation(method), {}, NO_UNIT) == []


def test_existing_programs_that_fit_are_taken() -> None:
    assert new(Installation(EXISTING), found()) == []
    assert new(Installation(EXISTING), found(kubelet="1.19.7", kubectl="1.21.0", kubeadm="1.20.0")) == []


@pytest.mark.parametrize(
    ("there", "subjects"),
    [
        ({}, ["kubeadm", "kubelet"]),
        (found(kubeadm="1.21.2"), ["kubeadm"]),
        (found(kubeadm="1.19.2"), ["kubeadm"]),
        (found(kubelet="1.21.2"), ["kubelet"]),
        (found(kubelet="1.18.2"), ["kubelet"]),
        (found(kubectl="1.22.2"), ["kubectl"]),
        (found(None), ["kubeadm", "kubectl", "kubelet"]),
    ],
)
def test_existing_programs_that_are_missing_or_do_not_fit_are_refused(
    there: dict[str, Any], subjects: list[str]
) -> None:
    assert [subject for subject, _found in new(Installation(EXISTING), there)] == subjects


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (NO_UNIT, "no such unit"),
        ({"path": "/etc/systemd/system/kubelet.service", "reads_flags": False}, "which does not read it"),
        ({}, "no such unit"),
    ],
)
def test_existing_kubelet_must_read_what_kubeadm_writes_for_it(unit: dict[str, Any], said: str) -> None:
    ((subject, text),) = new(Installation(EXISTING), found(), unit)
    assert subject == "kubelet.service"
    assert said in text


@pytest.mark.parametrize(
    ("wanted", "folder", "refused"),
    [
        (Installation(PACKAGES), "/usr/bin", False),
        (Installation(PACKAGES), "/usr/local/bin", True),
        (Installation(PACKAGES), "/opt/bin", True),
        (Installation(BINARIES), "/usr/bin", False),
        (Installation(BINARIES), "/usr/local/bin", False),
        (Installation(BINARIES), "/opt/bin", False),
        (Installation(BINARIES, bin_dir="/opt/bin"), "/usr/local/bin", True),
        (Installation(BINARIES, bin_dir="/opt/bin"), "/opt/bin", False),
        (Installation(BINARIES, bin_dir="/opt/kubernetes"), "/opt/bin", True),
    ],
)
def test_program_that_would_be_run_in_place_of_the_new_one_is_refused(
    wanted: Installation, folder: str, refused: bool
) -> None:
    assert bool(new(wanted, {"kubeadm": program("kubeadm", "1.20.2", folder)})) is refused


def test_units_that_stand_before_those_of_packages_are_refused() -> None:
    own = {**OWN_UNIT, "own": [OWN_UNIT["path"], OWN_DROP_IN]}
    assert new(Installation(PACKAGES), {}, own) == [
        ("kubelet.service", OWN_UNIT["path"]),
        ("kubelet.service", OWN_DROP_IN),
    ]
    assert new(Installation(PACKAGES), {}, OWN_UNIT) == [("kubelet.service", OWN_UNIT["path"])]
    assert new(Installation(BINARIES), {}, own) == []


@pytest.mark.parametrize(
    ("version", "held", "downgrade", "said"),
    [
        ("1.20.2", True, False, None),
        ("1.20.1", False, False, None),
        ("1.20.1", True, False, "held by somebody"),
        ("1.20.3", False, False, "newer"),
        ("1.20.3", False, True, None),
        ("1.20.3", True, True, "held by somebody"),
    ],
)
def test_packages_of_somebody_else_and_newer_ones_are_refused(
    version: str, held: bool, downgrade: bool, said: str | None
) -> None:
    there = {"kubelet": program("kubelet", version, held=held)}
    problems = new(Installation(PACKAGES, downgrade=downgrade), there)
    assert [said in text for _subject, text in problems] == ([True] if said else [])


@pytest.mark.parametrize(("manager", "known"), [("apt", True), ("dnf", True), ("zypper", False), ("auto", False)])
def test_packages_need_a_package_manager_that_upstream_serves(manager: str, known: bool) -> None:
    assert bool(new(Installation(PACKAGES), {}, manager=manager)) is not known
    assert new(Installation(BINARIES), {}, manager=manager) == []


@given(methods, programs())
def test_member_is_left_as_it_is_or_the_run_refused(method: str, there: dict[str, dict[str, Any]]) -> None:
    """What the role would change on a node is what is refused, whatever is there; kubectl is nobody's version."""
    problems = installation.check_member("w1", Installation(method), VERSION, there, UNIT)
    changed = {name for name in ("kubeadm", "kubelet") if name in there and there[name]["version"] != "1.20.2"}
    said = [problem for problem in problems if "never changes the version" in problem.wanted]
    assert len(said) == (0 if method == EXISTING else len(changed))
    if method != PACKAGES:
        assert said == problems


def test_member_that_was_made_in_another_way_is_not_taken_for_one_of_packages() -> None:
    there = found("1.20.2", "/usr/local/bin")
    problems = installation.check_member("w1", Installation(PACKAGES), VERSION, there, OWN_UNIT)
    assert [problem.subject for problem in problems] == ["kubeadm", "kubelet", "kubelet.service"]
    assert installation.check_member("w1", Installation(BINARIES), VERSION, there, OWN_UNIT) == []


@given(methods, programs(), st.sampled_from([UNIT, OWN_UNIT, {}]), st.sampled_from(["apt", "dnf", "zypper"]))
def test_whatever_is_there_is_accepted_or_refused_in_full_words(
    method: str, there: dict[str, dict[str, Any]], unit: dict[str, Any], manager: str
) -> None:
    problems = installation.check_new_node("w1", Installation(method), VERSION, there, unit, manager)
    for problem in problems:
        assert all([problem.subject, problem.found, problem.wanted, problem.action.endswith(".")])


@pytest.mark.parametrize(("manager", "refused"), [("apt", False), ("dnf", True)])
def test_key_itself_is_for_apt_alone(manager: str, refused: bool) -> None:
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
    assert bool(new(Installation(PACKAGES, key=key), {}, manager=manager)) is refused


def check(version: str = "1.20.2", **variables: Any) -> list[str]:
    wanted = Installation.from_variables(variables)
    return [str(problem) for problem in installation.check_inventory("w1", wanted, version)]


def test_inventory_that_says_nothing_means_binaries() -> None:
    assert Installation.from_variables({}) == Installation()
    assert check() == []


def test_method_that_is_none_is_answered_with_the_nearest() -> None:
    (problem,) = check(cluster_install_method="package")
    assert problem.startswith(
        "w1: cluster_install_method: found 'package', wanted one of binaries, packages, existing."
    )
    assert problem.endswith("Did you mean packages?")


@pytest.mark.parametrize(("version", "refused"), [("1.20.2", True), ("1.23.17", True), ("1.24.0", False), ("x", False)])
def test_upstream_has_no_packages_below_24_but_a_site_may(version: str, refused: bool) -> None:
    assert bool(check(version, cluster_install_method=PACKAGES)) is refused
    own = "https://mirror.example.com/"
    assert check(version, cluster_install_method=PACKAGES, cluster_package_repository=own) == []


def test_repository_is_a_folder() -> None:
    (problem,) = check(cluster_install_method=PACKAGES, cluster_package_repository="https://mirror.example.com/deb")
    assert "Put a slash at its end." in problem


def test_packages_put_plugins_where_they_do() -> None:
    assert check("1.30.1", cluster_install_method=PACKAGES, cluster_cni_bin_dir="/usr/lib/cni") != []
    assert check("1.30.1", cluster_cni_bin_dir="/usr/lib/cni") == []


@pytest.mark.parametrize(
    ("checksums", "said"),
    [
        ({"kubelet": "a" * 64}, None),
        ({"kubelett": "a" * 64}, "Did you mean kubelet?"),
        ({"kubelet": "a" * 63}, "64 lower case hexadecimal digits"),
        ({"cni_plugins": "sha256:" + "a" * 64}, "64 lower case hexadecimal digits"),
        ("a" * 64, None),
    ],
)
def test_checksums_that_would_pin_nothing_are_refused(checksums: Any, said: str | None) -> None:
    problems = check(cluster_checksums=checksums)
    assert [said in problem for problem in problems] == ([True] if said else [])


# The plan.


def plan_with(cluster: SimulatedCluster, host: str, method: str, there: dict[str, Any]) -> plan.Plan:
    seen = {
        name: look and dataclasses.replace(look, programs=there if name == host else {}, kubelet_unit=UNIT)
        for name, look in cluster.looks().items()
    }
    return plan.make(cluster.wanted(installations={host: Installation(method)}), seen)


def test_plan_refuses_a_new_node_whose_programs_do_not_fit() -> None:
    made = plan_with(SimulatedCluster(1, 1), "w1", EXISTING, found(kubelet="1.21.0"))
    assert [(problem.host, problem.subject) for problem in made.refusals] == [("w1", "kubelet")]
    assert made.anchor is None


def test_plan_tells_of_a_member_whose_programs_do_not_fit() -> None:
    made = plan_with(SimulatedCluster(1, 1).converge(), "w1", EXISTING, found(kubelet="1.21.0"))
    assert made.refusals == []
    assert [(problem.host, problem.subject) for problem in made.warnings] == [("w1", "kubelet")]


@pytest.mark.parametrize("method", [BINARIES, PACKAGES])
def test_plan_never_changes_the_version_of_a_member(method: str) -> None:
    cluster = SimulatedCluster(1, 1).converge()
    assert plan_with(cluster, "w1", method, found()).refusals == []
    (problem,) = plan_with(cluster, "w1", method, found(kubelet="1.20.1")).refusals
    assert "a build never changes the version of a node" in str(problem)


def test_plan_replaces_what_is_on_a_host_that_is_no_member() -> None:
    assert plan_with(SimulatedCluster(1, 1), "w1", BINARIES, found("1.19.1")).refusals == []


@pytest.mark.parametrize(("kubelet", "known"), [("v1.20.1", False), ("v1.17.9", True), ("v1.19.0-eks-1", False)])
def test_plan_tells_of_nodes_that_the_control_plane_leaves_behind(kubelet: str, known: bool) -> None:
    cluster = SimulatedCluster(1, 1).converge()
    cluster.nodes["w1"]["kubelet"] = kubelet
    assert [problem.host for problem in cluster.plan().warnings] == (["node w1"] if known else [])
