# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module reads from a runtime's own tools, and which files it takes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.kubeadm.ha.plugins.module_utils import runtime_files
from ansible_collections.kubeadm.ha.plugins.modules import container_runtime

# Lines of ctr plugins ls, as containerd 1.6, 1.7 and 2.1 print them.
PLUGINS = """\
TYPE                            ID                       PLATFORMS      STATUS
io.containerd.content.v1        content                  -              ok
io.containerd.snapshotter.v1    aufs                     linux/amd64    skip
io.containerd.transfer.v1       local                    -              ok
io.containerd.cri.v1            images                   -              ok
"""


class Module:
    """An AnsibleModule on a host whose ctr answers so."""

    def __init__(self, code: int, output: str, error: str = "") -> None:
        self.answer = (code, output, error)

    def get_bin_path(self, name: str) -> str:
        return f"/usr/bin/{name}"

    def run_command(self, argv: list[str]) -> tuple[int, str, str]:
        assert argv == ["ctr", "--address", "/run/containerd/containerd.sock", "plugins", "ls"]
        return self.answer


def lack(code: int, output: str, error: str = "") -> str | None:
    module: Any = Module(code, output, error)
    return container_runtime.lack_of_containerd(module, "/run/containerd/containerd.sock")


@pytest.mark.parametrize(
    "line",
    [
        "io.containerd.grpc.v1           cri                      linux/amd64    ok        \n",
        "io.containerd.grpc.v1                     cri                      -              ok        \n",
    ],
)
def test_containerd_whose_cri_is_loaded_lacks_nothing(line: str) -> None:
    assert lack(0, PLUGINS + line) is None


def test_containerd_whose_cri_could_not_be_loaded_lacks_it() -> None:
    line = "io.containerd.grpc.v1           cri                      linux/amd64    error     \n"
    assert lack(0, PLUGINS + line) == "its CRI in the state error"


def test_containerd_whose_cri_is_disabled_lacks_it() -> None:
    assert lack(0, PLUGINS) == "a containerd without CRI (disabled_plugins?)"


def test_containerd_that_does_not_answer_is_told_by_its_client() -> None:
    assert lack(1, "", "ctr: connection refused\n") == "ctr: connection refused"


def test_stale_files_are_our_own_that_are_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runtime_files.COMING_AND_GOING, "containerd", (f"{tmp_path}/*/hosts.toml",))
    contents = {"wanted": runtime_files.HEADER, "stale": runtime_files.HEADER, "foreign": "server = 'x'\n"}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "hosts.toml").write_text(content)
    wanted = [runtime_files.RuntimeFile(f"{tmp_path}/wanted/hosts.toml", runtime_files.HEADER)]
    assert container_runtime.stale("containerd", wanted) == [f"{tmp_path}/stale/hosts.toml"]
