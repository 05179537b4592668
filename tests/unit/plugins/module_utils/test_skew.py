# SPDX-License-Identifier: GPL-3.0-or-later
"""The version skew policies, against the tables that Kubernetes publishes and by what follows from any such policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import skew, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.versions import Version

supported = st.builds(Version, st.integers(versions.OLDEST_MINOR, versions.NEWEST_MINOR), st.integers(0, 30))
releases = st.builds(Version, st.integers(10, 40), st.integers(0, 30))


def v(minor: int) -> Version:
    return Version(minor, 3)


@given(supported, st.integers(0, 30))
def test_programs_of_the_control_planes_own_minor_version_go_with_it(control_plane: Version, patch: int) -> None:
    same = Version(control_plane.minor, patch)
    assert skew.kubeadm_rule(same, control_plane) is None
    assert skew.kubelet_rule(same, control_plane, joins=True) is None
    assert skew.kubectl_rule(same, control_plane) is None


@given(releases, releases, supported, supported)
def test_patches_decide_nothing(one: Version, other: Version, control_plane: Version, another: Version) -> None:
    other = other._replace(minor=one.minor)
    another = another._replace(minor=control_plane.minor)
    for rule in (skew.kubeadm_rule, skew.kubelet_rule, skew.kubectl_rule):
        assert (rule(one, control_plane) is None) == (rule(other, another) is None)


@given(releases, supported)
def test_kubelet_that_kubeadm_joins_is_one_that_the_policy_allows(kubelet: Version, control_plane: Version) -> None:
    if skew.kubelet_rule(kubelet, control_plane, joins=True) is None:
        assert skew.kubelet_rule(kubelet, control_plane) is None


@given(releases, supported)
def test_kubelets_that_are_allowed_have_no_gap(kubelet: Version, control_plane: Version) -> None:
    """Between one that is allowed and the control plane, all are."""
    for joins in (False, True):
        if skew.kubelet_rule(kubelet, control_plane, joins=joins) is None:
            between = range(kubelet.minor, control_plane.minor + 1)
            assert [n for n in between if skew.kubelet_rule(v(n), control_plane, joins=joins)] == []


@given(releases, supported)
def test_kubelet_is_never_newer(kubelet: Version, control_plane: Version) -> None:
    if kubelet.minor > control_plane.minor:
        assert "never newer" in (skew.kubelet_rule(kubelet, control_plane) or "")


@pytest.mark.parametrize(
    ("control_plane", "oldest", "oldest_that_joins"),
    [(20, 18, 19), (25, 23, 24), (27, 25, 26), (28, 25, 27), (29, 26, 26), (32, 29, 29), (36, 33, 33)],
)
def test_oldest_kubelet_by_control_plane(control_plane: int, oldest: int, oldest_that_joins: int) -> None:
    everything = range(10, control_plane + 3)
    stays = [n for n in everything if skew.kubelet_rule(v(n), v(control_plane)) is None]
    joins = [n for n in everything if skew.kubelet_rule(v(n), v(control_plane), joins=True) is None]
    assert stays == list(range(oldest, control_plane + 1))
    assert joins == list(range(oldest_that_joins, control_plane + 1))


@given(releases, supported)
def test_kubeadm_is_of_the_same_minor_version_and_kubectl_at_most_one_away(
    one: Version, control_plane: Version
) -> None:
    apart = abs(one.minor - control_plane.minor)
    assert (skew.kubeadm_rule(one, control_plane) is None) == (apart == 0)
    assert (skew.kubectl_rule(one, control_plane) is None) == (apart <= 1)


@given(releases, supported)
def test_rule_that_is_broken_names_what_is_wanted_and_who_says_so(one: Version, control_plane: Version) -> None:
    for rule in (skew.kubeadm_rule, skew.kubelet_rule, skew.kubectl_rule):
        said = rule(one, control_plane)
        assert said is None or ("1." in said and "policy)" in said)
