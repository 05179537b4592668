# SPDX-License-Identifier: GPL-3.0-or-later
"""Where CRI-O is looked for, by the Kubernetes version and the host's package manager."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support import ROOT, playbook, succeed

ROLE = ROOT / "roles" / "container_runtime"
UPSTREAM = "https://download.opensuse.org/repositories/isv:/cri-o:/stable:"
RPM_KEY = "repodata/repomd.xml.key"


@pytest.mark.parametrize(
    ("variables", "repository", "key"),
    [
        ({}, f"{UPSTREAM}/v1.34/deb/", f"{UPSTREAM}/v1.34/deb/Release.key"),
        ({"container_runtime_package_manager": "dnf"}, f"{UPSTREAM}/v1.34/rpm/", f"{UPSTREAM}/v1.34/rpm/{RPM_KEY}"),
        ({"cluster_crio_repository": "https://m/"}, "https://m/", "https://m/Release.key"),
        ({"cluster_crio_repository": "https://m/", "cluster_crio_key": "https://k"}, "https://m/", "https://k"),
    ],
    ids=["apt", "dnf", "mirror", "mirror and key"],
)  # fmt: skip
def test_repository_is_upstreams_or_the_one_that_is_named(
    tmp_path: Path, variables: dict[str, str], repository: str, key: str
) -> None:
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "vars": {"cluster_container_runtime": "crio", "cluster_kubernetes_version": "1.34.2"},
        "tasks": [
            {
                "ansible.builtin.debug": {
                    "msg": "repository {{ container_runtime_repository }} key {{ container_runtime_repository_key }}."
                }
            }
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    (tmp_path / "variables.yml").write_text(yaml.safe_dump(variables))
    (tmp_path / "hosts").write_text("localhost\n")
    run = succeed(
        playbook(
            "-e",
            f"@{tmp_path / 'variables.yml'}",
            inventory=tmp_path / "hosts",
            book=str(tmp_path / "play.yml"),
            log=tmp_path / "run.log",
        )
    )
    assert f"repository {repository} key {key}." in " ".join(run.output.split())
