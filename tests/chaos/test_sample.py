# SPDX-License-Identifier: GPL-3.0-or-later
"""A fixed sample of the points that `make test-chaos` tries: struck one after the other, each run going on from the
last, until one is let go to its end, and one more changes nothing. Where a host loses its power, the controller does,
too.
"""

from __future__ import annotations

import pytest
from points import KILL, POWER_LOSS, POWER_OFF, Point, boundary
from scenarios import Build, Replace, ScaleUp, Scenario
from strikes import LOG

PREPARE = "Prepare the nodes and the hosts of etcd"
CREDENTIALS = "Make credentials for those who join"

BUILD = [
    Point("build", KILL, "cp1 /etc/containerd/config.toml"),
    boundary("build", PREPARE, "kubeadm.ha.kubernetes_packages : Let systemd run the kubelet as kubeadm expects"),
    Point("build", POWER_OFF, "cp1 pki/ca.crt"),
    Point("build", KILL, "cp1 manifests/etcd.yaml"),
    boundary("build", CREDENTIALS, "Make token, discovery hash and certificate key"),
    Point("build", POWER_OFF, "w1 bootstrap-kubelet.conf"),
]
# Whoever joins beside the struck host goes on, so that no two points here are of joins side by side.
SCALE_UP = [
    boundary("scale_up", CREDENTIALS, "Make token, discovery hash and certificate key"),
    Point("scale_up", POWER_LOSS, "cp3 pki/ca.key"),
    Point("scale_up", POWER_OFF, "cp3 added learner cp3"),
    Point("scale_up", KILL, "cp3 voter cp3"),
]
REPLACE = [
    Point("replace", KILL, "cp1 old member cp1 gone"),
    boundary("replace", CREDENTIALS, "Make token, discovery hash and certificate key"),
    Point("replace", POWER_OFF, "cp1 started learner cp1"),
]


def expect_struck(scenario: Scenario, point: Point) -> None:
    assert scenario.strike(point, grace=0), f"the run ended before it came to {point.key}: {LOG.read_text()[-5000:]}"


@pytest.mark.parametrize("point", BUILD, ids=lambda point: point.key)
def test_build_is_struck(build: Build, point: Point) -> None:
    expect_struck(build, point)


def test_build_goes_on_to_one_whole_cluster(build: Build) -> None:
    build.finish()


@pytest.mark.parametrize("point", SCALE_UP, ids=lambda point: point.key)
def test_scale_up_is_struck(scale_up: ScaleUp, point: Point) -> None:
    expect_struck(scale_up, point)


def test_scale_up_goes_on_to_one_whole_cluster(scale_up: ScaleUp) -> None:
    scale_up.finish()


@pytest.mark.parametrize("point", REPLACE, ids=lambda point: point.key)
def test_replacement_is_struck(replace: Replace, point: Point) -> None:
    expect_struck(replace, point)


def test_replacement_goes_on_to_one_whole_cluster(replace: Replace) -> None:
    replace.finish()
