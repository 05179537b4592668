# SPDX-License-Identifier: GPL-3.0-or-later
"""Users get the bindings that are listed and no others, and no way around them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import user_access, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.user_access import Binding, Bound

OLD, NEW = versions.parse("1.20.2"), versions.parse("1.22.0")
NAMES = st.sampled_from(("jane", "joe@example.com"))
BINDINGS = st.builds(
    Binding, NAMES, st.sampled_from(("view", "system:aggregate-to-view")), st.sampled_from(("", "shop"))
)


def of_cluster(binding: Binding, **changes: Any) -> Bound:
    return Bound.read({**binding.document(), **changes})


@given(BINDINGS)
def test_binding_is_read_as_it_was_made_and_survives_the_way_to_the_controller(binding: Binding) -> None:
    found = of_cluster(binding)
    assert found == Bound(binding.name, binding.namespace, binding)
    assert Bound.from_dict(found.as_dict()) == found


@given(st.frozensets(BINDINGS), st.frozensets(BINDINGS))
def test_decide_makes_the_cluster_s_bindings_the_wanted_ones(
    there: frozenset[Binding], wanted: frozenset[Binding]
) -> None:
    bind, unbind = user_access.decide(map(of_cluster, there), wanted)
    assert (there - {one.binding for one in unbind}) | set(bind) == wanted
    assert not set(bind) & there
    assert user_access.decide(map(of_cluster, wanted), wanted) == ([], [])


@given(BINDINGS)
def test_names_of_bindings_are_their_own(binding: Binding) -> None:
    others = [
        Binding(user, role) for user in ("jane", "joe@example.com") for role in ("view", "system:aggregate-to-view")
    ]
    assert [one.name for one in others].count(binding.name) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"subjects": []},
        {"subjects": [{"kind": "User", "name": "mallory"}]},
        {"subjects": [{"kind": "Group", "name": "jane"}]},
        {"subjects": [{"kind": "User", "name": "jane"}, {"kind": "User", "name": "mallory"}]},
        {"roleRef": {"kind": "Role", "name": "view"}},
    ],
)
def test_binding_that_somebody_changed_is_made_anew_and_goes_with_its_user(changes: dict[str, Any]) -> None:
    binding = Binding("jane", "view", "shop")
    found = of_cluster(binding, **changes)
    assert found.binding is None
    assert user_access.decide([found], [binding]) == ([binding], [found])
    assert user_access.decide([found], []) == ([], [found])


def test_wanted_bindings_are_those_of_all_users() -> None:
    users = [
        {"name": "jane", "bindings": [{"cluster_role": "edit", "namespace": "shop"}, {"cluster_role": "view"}]},
        {"name": "joe"},
    ]
    assert user_access.wanted_bindings(users) == {Binding("jane", "edit", "shop"), Binding("jane", "view")}


# What users write.


def test_check_sound_users_have_no_problem() -> None:
    users = [
        {"name": "jane", "groups": ["dev"], "days": 1, "path": "~/x", "bindings": [{"cluster_role": "view"}]},
        {"name": "joe@example.com", "bindings": [{"cluster_role": "system:node-reader", "namespace": "shop"}]},
    ]
    assert user_access.check(users, NEW) == []
    assert user_access.check([], OLD) == []


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"name": ""},
        {"name": "system:kube-controller-manager"},
        {"name": "a/b"},
        {"name": "a:b"},
        {"name": "a b"},
        {"name": "x" * 65},
        {"name": 7},
        {"name": user_access.ADMIN},
        {"name": "a", "groups": "dev"},
        {"name": "a", "groups": ["system:masters"]},
        {"name": "a", "groups": ["system:nodes"]},
        {"name": "a", "groups": [user_access.ADMINS]},
        {"name": "a", "groups": [""]},
        {"name": "a", "days": 0},
        {"name": "a", "days": "7"},
        {"name": "a", "days": True},
        {"name": "a", "path": ""},
        {"name": "a", "path": 1},
        {"name": "a", "bindings": {"cluster_role": "view"}},
        {"name": "a", "bindings": [{"namespace": "shop"}]},
        {"name": "a", "bindings": [{"cluster_role": "view", "namespace": "Shop"}]},
        {"name": "a", "bindings": [{"cluster_role": "view", "namespace": ""}]},
        {"name": "a", "bindings": [{"cluster_role": "a/b"}]},
        {"name": "a", "role": "view"},
    ],
)
def test_check_user_who_cannot_be_is_refused(user: dict[str, Any]) -> None:
    (problem,) = user_access.check([user], NEW)
    assert problem.subject == f"cluster_users, {user.get('name') or 'user 1'}"
    assert problem.action.endswith((".", "?"))


@pytest.mark.parametrize("users", [["jane"], [None], [[]]])
def test_check_what_is_no_user_is_refused(users: Any) -> None:
    (problem,) = user_access.check(users, NEW)
    assert problem.subject == "cluster_users"


def test_check_lifetime_before_requests_could_ask_for_one_is_refused() -> None:
    (problem,) = user_access.check([{"name": "a", "days": 7}], OLD)
    assert "1.22 or later" in problem.wanted


def test_check_names_the_nearest_key() -> None:
    (problem,) = user_access.check([{"name": "a", "bindngs": []}], NEW)
    assert problem.action == "Did you mean bindings?"


@pytest.mark.parametrize("key", ["name", "path"])
def test_check_two_users_share_nothing(key: str) -> None:
    users = [{"name": "a", "path": "1"}, {"name": "b", "path": "2"}]
    users[1][key] = users[0][key]
    (problem,) = user_access.check(users, NEW)
    assert problem.found == f"{key} {users[0][key]} twice"
