# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a member keeps its data. That it joins is seen on real etcd, in tests/etcd."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import etcd_join


@pytest.mark.parametrize(
    ("configuration", "folder"),
    [
        ({}, "/var/lib/etcd"),
        ({"etcd": None}, "/var/lib/etcd"),
        ({"etcd": {"local": {"dataDir": "/srv/etcd"}}}, "/srv/etcd"),
    ],
)
def test_data_dir_is_what_the_cluster_says(configuration: dict[str, Any], folder: str) -> None:
    assert etcd_join.data_dir(configuration) == folder
