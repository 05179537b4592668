# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods leave a node, and how the API is asked for it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import draining


def pod(name: str, *, owner: str = "", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    owners = [{"kind": owner, "name": "owner", "controller": True}] if owner else []
    about = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "ownerReferences": owners, **metadata}
    return {"metadata": about, "status": {"phase": phase}}


def test_pods_leave_that_have_something_to_lose() -> None:
    found = draining.to_leave(
        [
            pod("of-a-replica-set", owner="ReplicaSet"),
            pod("of-a-job", owner="Job"),
            pod("of-nobody"),
            pod("pending", phase="Pending"),
            pod("going", owner="StatefulSet", deletionTimestamp="2026-01-01T00:00:00Z"),
            pod("of-a-daemon-set", owner="DaemonSet"),
            pod("mirror", owner="Node", annotations={"kubernetes.io/config.mirror": "hash"}),
            pod("done", phase="Succeeded"),
            pod("failed", owner="Job", phase="Failed"),
        ]
    )
    assert {one.title.split("/")[1]: (one.leaving, one.managed) for one in found} == {
        "of-a-replica-set": (False, True),
        "of-a-job": (False, True),
        "of-nobody": (False, False),
        "pending": (False, False),
        "going": (True, True),
    }


def test_an_eviction_is_of_this_pod_and_of_no_later_one() -> None:
    (found,) = draining.to_leave([pod("cart-0", owner="StatefulSet")])
    assert found.path == "/api/v1/namespaces/shop/pods/cart-0/eviction"
    asked = draining.eviction(found, "policy/v1")
    assert asked["metadata"] == {"namespace": "shop", "name": "cart-0"}
    assert asked["deleteOptions"]["preconditions"] == {"uid": "uid-cart-0"}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_the_server_says_which_eviction_it_takes(version: str) -> None:
    # As API servers list it: kubernetes 1.20 and 1.30.
    listed = {"resources": [{"name": "pods"}, {"name": "pods/eviction", "group": "policy", "version": version}]}
    assert draining.eviction_version(listed) == f"policy/{version}"
    with pytest.raises(ValueError, match="pods/eviction"):
        draining.eviction_version({"resources": []})


def test_only_what_was_closed_here_may_be_opened_here() -> None:
    patch = draining.closing(closed=True)
    ours = {"metadata": {"annotations": dict(patch["metadata"]["annotations"])}, "spec": patch["spec"]}
    assert draining.is_closed(ours)
    assert draining.is_ours(ours)
    theirs = {"metadata": {}, "spec": {"unschedulable": True}}
    assert draining.is_closed(theirs)
    assert not draining.is_ours(theirs)
    opened = draining.closing(closed=False)
    assert opened["spec"] == {"unschedulable": None}
    assert set(opened["metadata"]["annotations"].values()) == {None}
