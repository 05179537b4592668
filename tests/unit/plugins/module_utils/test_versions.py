# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a Kubernetes version, against the tables of kubeadm's own sources and release notes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import versions
from ansible_collections.kubeadm.ha.plugins.module_utils.versions import Version

numbers = st.integers(0, 200)
releases = st.builds(Version, numbers, numbers)


def minor(number: int) -> Version:
    return Version(number, 0)


@given(releases)
def test_parse_reads_what_str_writes(version: Version) -> None:
    assert versions.parse(str(version)) == version == versions.parse(f"v{version}")


@given(releases, releases)
def test_version_compares_in_release_order(one: Version, other: Version) -> None:
    assert (one < other) == ((one.minor, one.patch) < (other.minor, other.patch))


@pytest.mark.parametrize(
    "text",
    ["", "1.20", "1.20.2-rc.1", "1.20.2+k3s1", "2.0.0", "1.020.2", "1.20.02", "1.20.2.1", "v v1.20.2", "latest", 1.2,
     None, "1.2０.2"],
)  # fmt: skip
def test_parse_refuses_anything_else_and_repeats_it(text: object) -> None:
    with pytest.raises(ValueError, match="is not a Kubernetes version of the form 1.x.y") as refused:
        versions.parse(text)  # type: ignore[arg-type]
    assert repr(text) in str(refused.value)


@given(st.text())
def test_parse_any_text_is_a_version_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert str(versions.parse(text)) == text.strip().removeprefix("v")


@pytest.mark.parametrize(
    ("first", "last", "api"), [(20, 21, "v1beta2"), (22, 26, "v1beta3"), (27, 30, "v1beta3"), (31, 36, "v1beta4")]
)
def test_config_api_is_the_newest_that_kubeadm_reads(first: int, last: int, api: str) -> None:
    assert {versions.config_api(minor(number)) for number in range(first, last + 1)} == {api}


@pytest.mark.parametrize(
    ("number", "name"), [(20, "kubelet-config-1.20"), (23, "kubelet-config-1.23"), (24, "kubelet-config")]
)
def test_kubelet_config_map_is_unversioned_from_24(number: int, name: str) -> None:
    assert versions.kubelet_config_map(minor(number)) == name


def test_joins_as_learner_from_29() -> None:
    assert [number for number in range(20, 37) if versions.joins_as_learner(minor(number))] == list(range(29, 37))


@pytest.mark.parametrize(
    ("number", "image"),
    [
        (20, "k8s.gcr.io/pause:3.2"),
        (21, "k8s.gcr.io/pause:3.4.1"),
        (22, "k8s.gcr.io/pause:3.5"),
        (23, "k8s.gcr.io/pause:3.6"),
        (24, "k8s.gcr.io/pause:3.7"),
        (25, "registry.k8s.io/pause:3.8"),
        (26, "registry.k8s.io/pause:3.9"),
        (30, "registry.k8s.io/pause:3.9"),
        (31, "registry.k8s.io/pause:3.10"),
        (33, "registry.k8s.io/pause:3.10"),
        (34, "registry.k8s.io/pause:3.10.1"),
        (35, "registry.k8s.io/pause:3.10.1"),
        (36, "registry.k8s.io/pause:3.10.2"),
    ],
)
def test_sandbox_image_is_the_one_kubeadm_names(number: int, image: str) -> None:
    assert versions.sandbox_image(minor(number)) == image


def test_sandbox_image_comes_from_the_repository_given() -> None:
    assert versions.sandbox_image(minor(33), "mirror.example:5000/k8s") == "mirror.example:5000/k8s/pause:3.10"
