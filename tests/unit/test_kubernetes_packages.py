# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role asks of package managers, and that its own kubelet is run as the packages' is."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.kubeadm.ha.plugins.module_utils.files import WRITTEN

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "kubernetes_packages"
LAB = ROOT / "tests" / "lab"


def tasks(name: str) -> dict[str, Any]:
    """The modules that a task file calls, with their arguments."""
    loaded = yaml.safe_load((ROLE / "tasks" / f"{name}.yml").read_text())
    return {module: arguments for task in loaded for module, arguments in task.items() if module != "name"}


def rendered(tmp_path: Path, manager: str, expression: str, *, version: str = "1.34.2", **calls: Any) -> Any:
    """What an expression of the role's variables comes to, after modules were called with such expressions, too."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "tasks": [
            *({module: arguments} for module, arguments in calls.items()),
            {"ansible.builtin.copy": {"content": f"{{{{ {expression} | to_json }}}}", "dest": f"{tmp_path}/rendered"}},
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    # By the command line, for these must win over the files, as they would over a role's defaults.
    said = {
        "cluster_kubernetes_version": version,
        "kubernetes_packages_package_manager": manager,
        "ansible_python_interpreter": sys.executable,
    }
    command = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", json.dumps(said), tmp_path / "play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "rendered").read_text())


def test_yum_repository_is_the_file_that_upstream_asks_for(tmp_path: Path) -> None:
    call = {**tasks("packages_dnf")["ansible.builtin.yum_repository"], "reposdir": str(tmp_path)}
    names = rendered(tmp_path, "dnf", "__kubernetes_packages_dnf", **{"ansible.builtin.yum_repository": call})
    written = configparser.ConfigParser()
    written.read(tmp_path / "kubernetes.repo")
    assert dict(written["kubernetes"]) == {
        "name": "Kubernetes",
        "baseurl": "https://pkgs.k8s.io/core:/stable:/v1.34/rpm/",
        "gpgcheck": "1",
        "gpgkey": "https://pkgs.k8s.io/core:/stable:/v1.34/rpm/repodata/repomd.xml.key",
        "exclude": "kubeadm kubelet kubectl cri-tools kubernetes-cni",
    }
    assert names == ["kubeadm-1.34.2", "kubelet-1.34.2", "kubectl-1.34.2", "cri-tools", "kubernetes-cni"]


def test_dnf_is_called_with_options_that_it_has_and_despite_the_exclusion() -> None:
    call = tasks("packages_dnf")["ansible.builtin.dnf"]
    assert call["disable_excludes"] == tasks("packages_dnf")["ansible.builtin.yum_repository"]["name"]
    done = subprocess.run(["ansible-doc", "--json", "dnf", "dnf5"], capture_output=True, text=True, check=True)
    for document in json.loads(done.stdout).values():
        assert call.keys() <= document["doc"]["options"].keys()


def test_apt_repository_is_upstreams_for_the_minor_version(tmp_path: Path) -> None:
    call = tasks("packages_apt")["kubeadm.ha.held_packages"]
    expression = f"[{call['url'][3:-3]}, {call['key'][3:-3]}, {call['packages'][3:-3]}]"
    url = "https://pkgs.k8s.io/core:/stable:/v1.24/deb/"
    assert rendered(tmp_path, "apt", expression, version="1.24.17") == [
        url,
        f"{url}Release.key",
        {
            **dict.fromkeys(("kubeadm", "kubelet", "kubectl"), "1.24.17-*"),
            **dict.fromkeys(("cri-tools", "kubernetes-cni"), "*"),
        },
    ]


def test_units_are_known_as_our_own_by_how_they_begin() -> None:
    units = sorted((ROLE / "templates").iterdir())
    assert [unit.name for unit in units if not unit.read_text().startswith(WRITTEN)] == []
    assert len(units) == 2


def test_kubelet_is_run_alike_by_this_roles_unit_and_by_the_labs_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both speak for upstream's packages: what kubeadm writes is read from the same places, in the same order."""
    monkeypatch.syspath_prepend(str(LAB))
    from kubelab.artifacts import apt_repository

    def settings(text: str, bin_dir: str) -> list[str]:
        lines = re.findall(r"^(?:Environment|ExecStart).*$", text, re.MULTILINE)
        return [line.replace(bin_dir, "") for line in lines if "/etc/sysconfig" not in line]

    own = (ROLE / "templates" / "10-kubeadm.conf.j2").read_text()
    assert settings(own, "{{ kubernetes_packages_bin_dir }}") == settings(apt_repository._DROP_IN, "/usr/bin")
    assert len(settings(own, "")) == 6
    for name in [name for name in sys.modules if name.startswith("kubelab")]:
        monkeypatch.delitem(sys.modules, name)
