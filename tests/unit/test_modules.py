# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules' documentation promises: examples that the module would take, and options that it really has.

ansible-test compares documentation with the code of modules; for those that run on the controller, whose code is an
action plugin, that is done here.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
# Those whose whole work is done on the controller. The others hand their options to the module, which checks them.
ACTIONS = sorted(
    path.stem
    for path in (PLUGINS / "action").glob("*.py")
    if "AnsibleModule" not in (PLUGINS / "modules" / path.name).read_text()
)
# A value of each type, for templates, whose own values are not known.
SAMPLES = {"bool": True, "dict": {}, "float": 1.0, "int": 1, "list": [], "path": "/", "raw": "", "str": "text"}
# What an option is, as far as both a documentation and an argument spec say it.
ASPECTS = ("type", "elements", "required", "choices", "default")


def texts(path: Path) -> dict[str, str]:
    """The texts that a plugin assigns at its top, by name, and those of its class where it is a fragment."""
    tree = ast.parse(path.read_text())
    statements = [*tree.body, *(inner for node in tree.body if isinstance(node, ast.ClassDef) for inner in node.body)]
    return {
        target.id: node.value.value
        for node in statements
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@functools.cache
def options(module: str) -> dict[str, Any]:
    """All documented options, those of its fragments included."""
    documentation = yaml.safe_load(texts(PLUGINS / "modules" / f"{module}.py")["DOCUMENTATION"])
    found = dict(documentation.get("options", {}))
    for name in documentation.get("extends_documentation_fragment", []):
        fragment, _dot, part = name.removeprefix("kubeadm.ha.").partition(".")
        shared = texts(PLUGINS / "doc_fragments" / f"{fragment}.py")[(part or "documentation").upper()]
        found.update(yaml.safe_load(shared).get("options", {}))
    return found


def spec(documented: Mapping[str, Any]) -> dict[str, Any]:
    """Documented options in the form in which modules are given them."""
    made = {}
    for name, option in documented.items():
        made[name] = {aspect: option[aspect] for aspect in ASPECTS if aspect in option}
        if "suboptions" in option:
            made[name]["options"] = spec(option["suboptions"])
    return made


def examples(module: str) -> list[dict[str, Any]]:
    return yaml.safe_load(texts(PLUGINS / "modules" / f"{module}.py")["EXAMPLES"])


def worked_out(value: Any, option: Mapping[str, Any]) -> Any:
    """An example's value, with samples for its templates."""
    if isinstance(value, str) and "{{" in value:
        return SAMPLES[option.get("type", "str")]
    inner = option.get("suboptions", {})
    if isinstance(value, list):
        return [worked_out(item, {"type": option.get("elements", "raw"), "suboptions": inner}) for item in value]
    if isinstance(value, dict) and inner:
        return {name: worked_out(item, inner.get(name, {})) for name, item in value.items()}
    return value


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_tasks_that_call_the_module(module: str) -> None:
    assert examples(module)
    for task in examples(module):
        assert task["name"]
        assert f"kubeadm.ha.{module}" in task


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_what_the_module_takes(module: str) -> None:
    for task in examples(module):
        given = worked_out(task[f"kubeadm.ha.{module}"] or {}, {"suboptions": options(module)})
        result = ArgumentSpecValidator(spec(options(module))).validate(given)
        assert result.error_messages == []


@pytest.mark.parametrize("action", ACTIONS)
def test_action_takes_the_options_that_are_documented(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Exception):
        pass

    def see(_self: ActionBase, argument_spec: dict[str, Any], **_more: Any) -> None:
        raise Seen(argument_spec)

    monkeypatch.setattr(ActionBase, "validate_argument_spec", see)
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments, **_more: {})
    plugin = importlib.import_module(f"ansible_collections.kubeadm.ha.plugins.action.{action}")
    runner = plugin.ActionModule(
        task=SimpleNamespace(args={}, check_mode=False, async_val=0, action=action),
        connection=None,
        play_context=None,
        loader=None,
        templar=None,
        shared_loader_obj=None,
    )
    with pytest.raises(Seen) as seen:
        runner.run(None, {})
    (taken,) = seen.value.args
    known = {*ASPECTS, "options", "no_log"}
    assert all(set(option) <= known for option in taken.values())
    assert {name: {key: option[key] for key in option if key != "no_log"} for name, option in taken.items()} == spec(
        options(action)
    )
