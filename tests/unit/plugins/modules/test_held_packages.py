# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a host with an apt that exists in memory: what it does, in which order, and after being killed."""

from __future__ import annotations

import contextlib
import fnmatch
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.kubeadm.ha.plugins.module_utils import apt, apt_tools
from ansible_collections.kubeadm.ha.plugins.module_utils.changes import ChangeFailed
from ansible_collections.kubeadm.ha.plugins.modules import held_packages

URL = "https://mirror.example.com/v1.34/deb/"
KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nthe right one\n"
WRONG_KEY = KEY.replace("right", "wrong")
WANTED = {"kubeadm": "1.34.2-*", "kubelet": "1.34.2-*", "cri-tools": "*"}


class Killed(Exception):
    """The run ended here."""


class Host:
    """Files, packages, and apt's tools. It counts what is done to it, and can be killed at any count."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.offered = {name: ["1.34.3-1.1", "1.34.2-1.1", "1.34.1-1.1"] for name in WANTED}
        self.known: dict[str, list[str]] = {}
        self.installed: dict[str, str] = {}
        self.held: set[str] = set()
        self.half: set[str] = set()
        self.deeds: list[str] = []
        self.killed_at: int | None = None
        self.locked_times = 0

    def do(self, deed: str) -> None:
        if self.killed_at == len(self.deeds):
            raise Killed
        self.deeds.append(deed)

    def run_command(self, argv: list[str], **_how: Any) -> tuple[int, str, str]:
        words = [word for word in argv if not word.startswith("-")]
        elsewhere = any("Dir::State::lists=" in word for word in argv)
        if argv[0] == "dpkg-query":
            rows = [
                (
                    name,
                    version,
                    "hold" if name in self.held else "install",
                    "unpacked" if name in self.half else "installed",
                )
                for name, version in self.installed.items()
            ]
            return 1, "".join("\t".join(row) + "\n" for row in rows), "no packages found"
        if words[:2] == ["apt-cache", "madison"]:
            known = self.offered if elsewhere else self.known
            rows = [f"{name} | {version} | {URL} Packages" for name in words[2:] for version in known.get(name, [])]
            return 0, "\n".join(rows), ""
        if elsewhere:
            assert words == ["apt-get", "update"]
            return self._fetched(argv)
        if argv[:2] == ["dpkg", "--compare-versions"]:
            return (0 if argv[2] < argv[4] else 1), "", ""
        if self.locked_times:
            self.locked_times -= 1
            return 100, "", "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt-get)"
        return self._change(argv, words)

    @staticmethod
    def _fetched(argv: list[str]) -> tuple[int, str, str]:
        """What apt says of the one source that it is to look at."""
        (source,) = [word.partition("sourcelist=")[2] for word in argv if "sourcelist=" in word]
        text = Path(source).read_text()
        key = next(line.partition(": ")[2] for line in text.splitlines() if line.startswith("Signed-By"))
        right = Path(key).read_text() == KEY
        return (0, "", "") if right else (100, "", f"E: The repository '{URL} InRelease' is not signed.")

    def _change(self, argv: list[str], words: list[str]) -> tuple[int, str, str]:
        self.do(" ".join(words))
        if words == ["apt-get", "update"]:
            result = self._fetched(argv)
            self.known = self.known if result[0] else self.offered
            return result
        if words[:2] == ["apt-get", "install"]:
            assert "--allow-change-held-packages" in argv
            for word in words[2:]:
                name, _equals, version = word.partition("=")
                self.installed[name] = version or self.known[name][0]
                self.half.add(name)
            self.do("configure")
            self.half.clear()
        elif argv == [*apt_tools.CONFIGURE]:
            self.half.clear()
        elif words[:2] == ["apt-mark", "hold"]:
            self.held |= set(words[2:])
        return 0, "", ""

    def run(self, *, key: str = KEY, downgrade: bool = False, check_mode: bool = False) -> list[str]:
        """One run of the module; what it says that it did."""
        params = {"name": "kubernetes", "url": URL, "key": key, "packages": WANTED, "downgrade": downgrade}
        module = mock.Mock(params={**params, "timeout_seconds": 5}, check_mode=check_mode, run_command=self.run_command)
        write = held_packages.write_atomic

        def written(path: str, content: bytes, mode: int) -> None:
            if path.startswith(str(self.root)):
                self.do(f"write {Path(path).name}")
            write(path, content, mode)

        folders = {name: str(self.root / name.lower()) for name in ("KEYRINGS", "SOURCES", "PREFERENCES")}
        with (
            mock.patch.multiple(apt, **folders),
            mock.patch.object(held_packages, "write_atomic", written),
            mock.patch("ansible_collections.kubeadm.ha.plugins.module_utils.changes.write_atomic", written),
            mock.patch.object(apt_tools.time, "sleep"),
            mock.patch.object(apt_tools, "interrupted", lambda: False),
        ):
            packages = held_packages.Packages(module)
            packages.bring_about()
        return packages.actions

    @property
    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.root.rglob("*")) if path.is_file()}

    @property
    def is_as_wanted(self) -> bool:
        right = all(fnmatch.fnmatch(self.installed.get(name, ""), wanted) for name, wanted in WANTED.items())
        return right and not self.half and self.held == {"kubeadm", "kubelet"} and len(self.files) == 3


@pytest.fixture
def host() -> Iterator[Host]:
    folder = Path(tempfile.mkdtemp())
    yield Host(folder)
    shutil.rmtree(folder)


def test_bare_host_gets_all_of_it(host: Host) -> None:
    assert host.run() == [
        "add the repository kubernetes",
        "pin versions",
        "install kubeadm=1.34.2-1.1 kubelet=1.34.2-1.1 cri-tools",
        "hold kubeadm kubelet",
    ]
    assert host.is_as_wanted
    assert f"Signed-By: {host.root}/keyrings/kubernetes.asc" in host.files["kubernetes.sources"]


def test_second_run_does_nothing_and_asks_no_server(host: Host) -> None:
    host.run()
    host.deeds.clear()
    assert host.run() == []
    assert host.deeds == []


def test_check_mode_says_the_same_and_does_nothing(host: Host) -> None:
    said = host.run(check_mode=True)
    assert host.deeds == []
    assert host.files == {}
    assert said == host.run()
    assert host.run(check_mode=True) == []


@given(st.lists(st.integers(0, 8), max_size=4))
def test_run_that_is_killed_anywhere_is_finished_by_the_next(kills: list[int]) -> None:
    folder = Path(tempfile.mkdtemp())
    host = Host(folder)
    try:
        for kill in kills:
            host.deeds.clear()
            host.killed_at = kill
            with contextlib.suppress(Killed):
                host.run()
        host.killed_at = None
        host.run()
        assert host.is_as_wanted
        assert host.run() == []
    finally:
        shutil.rmtree(folder)


def test_wrong_key_leaves_nothing_of_the_repository(host: Host) -> None:
    with pytest.raises(ChangeFailed, match="found no index that its key verifies") as refused:
        host.run(key=WRONG_KEY)
    assert "is not signed" in str(refused.value)
    assert host.files == {}
    assert host.run() != []
    assert host.is_as_wanted


def test_check_mode_refuses_what_the_run_would(host: Host) -> None:
    with pytest.raises(ChangeFailed, match="found no index that its key verifies"):
        host.run(key=WRONG_KEY, check_mode=True)
    host.offered = {name: ["1.34.1-1.1"] for name in WANTED}
    with pytest.raises(ChangeFailed, match=r"kubeadm: found 1.34.1-1.1, wanted 1.34.2-\*"):
        host.run(check_mode=True)
    assert host.deeds == []


def test_wrong_key_does_not_take_the_place_of_the_right_one(host: Host) -> None:
    host.run()
    before = host.files
    with pytest.raises(ChangeFailed):
        host.run(key=WRONG_KEY)
    assert host.files == before


def test_repository_that_has_another_source_is_refused(host: Host) -> None:
    (host.root / "sources").mkdir()
    other = host.root / "sources" / "k8s.list"
    other.write_text(f"deb [signed-by=/etc/apt/keyrings/other.gpg] {URL} /\n")
    with pytest.raises(ChangeFailed, match=f"{other}: found {URL} in it"):
        host.run()
    assert host.deeds == []


def test_key_by_url_is_fetched_once(host: Host) -> None:
    with mock.patch.object(held_packages, "open_url") as server:
        server.return_value.read.return_value = KEY.encode()
        host.run(key=f"{URL}Release.key")
        assert host.run(key=f"{URL}Release.key") == []
        assert server.call_count == 1
        assert host.run(key=f"{URL}Another.key") == ["add the repository kubernetes"]
    assert host.files["kubernetes.asc"] == KEY


def test_wait_for_others_who_use_apt(host: Host) -> None:
    host.locked_times = 3
    host.run()
    assert host.is_as_wanted


def test_version_that_is_new_in_the_repository_is_looked_for(host: Host) -> None:
    host.offered = {name: ["1.34.1-1.1"] for name in WANTED}
    with pytest.raises(ChangeFailed, match=r"kubeadm: found 1.34.1-1.1, wanted 1.34.2-\*"):
        host.run()
    host.offered = {name: ["1.34.2-1.1", "1.34.1-1.1"] for name in WANTED}
    host.run()
    assert host.is_as_wanted


def test_hold_of_our_own_does_not_stop_us(host: Host) -> None:
    host.run()
    host.installed["kubelet"] = "1.34.1-1.1"
    assert host.run() == ["install kubelet=1.34.2-1.1"]
    assert host.is_as_wanted


def test_downgrade_is_refused_unless_asked_for(host: Host) -> None:
    host.run()
    host.installed["kubelet"] = "1.34.3-1.1"
    (host.root / "preferences" / "kubernetes.pref").write_text("of another version")
    before = list(host.deeds)
    with pytest.raises(ChangeFailed, match="kubelet: found 1.34.3-1.1, wanted 1.34.2-1.1, which is older"):
        host.run()
    assert host.installed["kubelet"] == "1.34.3-1.1"
    assert host.deeds == before
    host.run(downgrade=True)
    assert host.is_as_wanted
