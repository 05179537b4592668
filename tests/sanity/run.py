# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test sanity on the clone's files: all of its tests, none ignored.

It wants to run inside a folder ansible_collections/kubeadm/ha, so it is given a copy. It keeps a virtual environment
for each test in the home directory, so it is given another home, which lasts beside the lab's caches. Modules are
compiled and imported by the Python that runs this, and by every other one at hand.
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal.constants import SUPPORTED_PYTHON_VERSIONS
from ansible_test._internal.python_requirements import get_venv_packages

CLONE = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("SANITY_CACHE") or "/var/cache/kubeadm-ha-sanity").absolute()
PYTHON = ".".join(platform.python_version_tuple()[:2])
# The clone's name as a collection leads back to the clone; inside the copy it would lead nowhere.
LEFT_OUT = (".collections/",)
# What ansible-test says of a test that found no file of its kind. Any other reason to skip one is a failure here.
NOTHING_TO_TEST = "No tests applicable."

# In the place of the get-pip.py that ansible-test fetches from a server of its own: the pip at hand does the same.
BOOTSTRAP = """\
import subprocess
import sys

asked = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([{python!r}, "-m", "pip", "--python", sys.executable, "install", "--quiet", *asked]))
"""


def copy_clone(collection: Path) -> None:
    """Copy what git knows or would add, as it stands now."""
    listed = subprocess.run(
        ["git", "-C", CLONE, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = CLONE / name, collection / name
        if name.startswith(LEFT_OUT) or not os.path.lexists(source):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def furnish_home() -> None:
    """What ansible-test looks for in the home directory: how pip is configured here, and how to get pip itself."""
    settings: dict[str, dict[str, str]] = defaultdict(dict)
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    )
    for line in configured.stdout.splitlines():
        key, value = line.split("=", 1)
        section, name = key.rsplit(".", 1)
        # The environment comes first here, as it does for pip, and reaches nothing that ansible-test starts.
        section = "global" if section == ":env:" else section
        settings[section].setdefault(name, "\n    ".join(str(ast.literal_eval(value)).split()))
    sections = (
        "\n".join([f"[{section}]", *(f"{name} = {value}" for name, value in entries.items())])
        for section, entries in settings.items()
    )
    write(HOME / ".config/pip/pip.conf", "\n".join([*sections, ""]))
    version = get_venv_packages(SimpleNamespace(version=PYTHON))["pip"]
    write(HOME / f".ansible/test/cache/get_pip_{version.replace('.', '_')}.py", BOOTSTRAP.format(python=sys.executable))


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def interpreters() -> list[str]:
    """The Pythons that modules may meet on a node, as far as they can be run here."""
    found = [f"--target-python={PYTHON}"]
    for version in SUPPORTED_PYTHON_VERSIONS:
        path = shutil.which(f"python{version}")
        if not path or version == PYTHON:
            continue
        # A name in the PATH may be a placeholder for a Python that nobody chose.
        probe = [path, "-c", "import sys, venv; print(sys.executable)"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found.append(f"--target-python={version}@{done.stdout.strip()}")
    return found


def gather(folder: Path) -> tuple[tree.Element, list[str]]:
    """All reports as one, and what ansible-test skipped though there was something to test."""
    suites = tree.Element("testsuites")
    skipped = []
    for path in sorted(folder.glob("*.xml")):
        suites.extend(tree.parse(path).getroot())
    for case in suites.iter("testcase"):
        reason = case.findtext("skipped")
        if reason is not None and reason.strip() != NOTHING_TO_TEST:
            skipped.append(f"{case.get('name')}: skipped: {reason.strip()}")
    return suites, skipped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="The rest goes to ansible-test.")
    parser.add_argument("--junit-xml", type=Path, metavar="FILE", help="write a report of all tests")
    options, more = parser.parse_known_args()
    furnish_home()
    with tempfile.TemporaryDirectory(prefix="sanity-") as folder:
        collection = Path(folder) / "ansible_collections" / "kubeadm" / "ha"
        copy_clone(collection)
        command = ["ansible-test", "sanity", "--junit", f"--controller=origin:python={PYTHON}", *interpreters(), *more]
        done = subprocess.run(command, cwd=collection, env={**os.environ, "HOME": str(HOME)}, check=False)
        suites, skipped = gather(collection / "tests" / "output" / "junit")
    if options.junit_xml:
        tree.ElementTree(suites).write(options.junit_xml)
    for line in skipped:
        print(line, file=sys.stderr)
    return done.returncode or bool(skipped)


if __name__ == "__main__":
    sys.exit(main())
