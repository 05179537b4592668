# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches are files that kubeadm recognises, and a host has those that are wanted and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import patches, versions
from ansible_collections.kubeadm.ha.plugins.module_utils.problems import Problem
from ansible_collections.kubeadm.ha.tests.unit.plugins.helpers.configurations import anything

PATCH = {"metadata": {"annotations": {"a": "b"}}}
OPERATIONS = [{"op": "add", "path": "/metadata/annotations/a", "value": "b"}]


def check(name: Any, content: Any, version: str = "1.20.2") -> list[Problem]:
    return patches.check("cluster_patches", {name: content}, versions.parse(version))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("kube-apiserver.yaml", PATCH),
        ("kube-apiserver0+merge.yaml", PATCH),
        ("kube-controller-manager-b.yaml", "metadata: {}\n"),
        ("kube-scheduler+strategic.json", PATCH),
        ("etcd+json.json", OPERATIONS),
        ("etcd+json.yaml", "- {op: remove, path: /metadata/annotations}\n"),
    ],
)
def test_check_patch_that_kubeadm_reads_is_fine(name: str, content: Any) -> None:
    assert check(name, content) == []


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("kube-apisever.yaml", "Did you mean kube-apiserver?"),
        ("apiserver+merge.yaml", "Did you mean kube-apiserver?"),
        ("kubelet.yaml", "Name it so"),
        ("etc.yaml", "Did you mean etcd?"),
        ("etcd.yml", "Name it so"),
        ("etcd+patch.yaml", "Name it so"),
        ("etcd+merge", "Name it so"),
        ("../etcd.yaml", "Name it so"),
        (7, "Name it so"),
    ],
)
def test_check_name_that_kubeadm_passes_over_is_refused(name: Any, action: str) -> None:
    (problem,) = check(name, PATCH)
    assert problem.subject == f"cluster_patches[{name}]"
    assert problem.action.startswith(action)


@pytest.mark.parametrize(
    ("target", "since"), [("kubeletconfiguration", 25), ("corednsdeployment", 31), ("kubeproxydaemonset", 36)]
)
def test_check_target_is_known_from_its_version_on(target: str, since: int) -> None:
    assert check(f"{target}.yaml", PATCH, version=f"1.{since}.0") == []
    assert len(check(f"{target}.yaml", PATCH, version=f"1.{since - 1}.9")) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [("etcd.yaml", None), ("etcd.yaml", ""), ("etcd.yaml", {}), ("etcd.yaml", OPERATIONS), ("etcd+json.yaml", PATCH)],
)
def test_check_content_that_is_no_patch_of_this_type_is_refused(name: str, content: Any) -> None:
    (problem,) = check(name, content)
    assert problem.wanted.endswith("or the text of one")


@given(anything, st.sampled_from([None, versions.parse("1.20.2")]))
def test_check_of_anything_only_finds_problems(value: Any, version: versions.Version | None) -> None:
    for problem in patches.check("cluster_patches", value, version):
        assert problem.subject.startswith("cluster_patches")


def test_changes_leave_the_wanted_files_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "patches"
    monkeypatch.setattr(patches, "FOLDER", str(folder))
    for change in patches.changes({"etcd.yaml": PATCH, "kube-apiserver.yaml": "text\n"}):
        change.apply()
    assert json.loads((folder / "etcd.yaml").read_text(encoding="utf-8")) == PATCH
    assert (folder / "kube-apiserver.yaml").stat().st_mode & 0o777 == 0o600
    assert patches.changes({"etcd.yaml": PATCH, "kube-apiserver.yaml": "text\n"}) == []
    (gone,) = patches.changes({"etcd.yaml": PATCH})
    assert (gone.before, gone.after) == ("text\n", "")
    gone.apply()
    assert [path.name for path in folder.iterdir()] == ["etcd.yaml"]


def test_named_in_names_the_folder_where_there_are_patches() -> None:
    assert patches.named_in({"a": 1}, {"etcd.yaml": PATCH}) == {"a": 1, "patches": {"directory": patches.FOLDER}}
    assert patches.named_in({"a": 1}, {}) == {"a": 1}
