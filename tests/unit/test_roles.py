# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles, playbooks and their documentation promise each other."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from jinja2 import nodes

from ansible_collections.kubeadm.ha.plugins.module_utils import cluster_input

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(folder.name for folder in (ROOT / "roles").iterdir() if folder.is_dir())
PLAYBOOKS = [ROOT / "site.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]
VARIABLES = ROOT / "docs" / "variables.md"

# Where a role's work is written; its meta and README speak about it.
WORKING_FOLDERS = ("defaults", "vars", "tasks", "handlers", "templates")
TASK_LISTS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
BARE_EXPRESSIONS = ("when", "changed_when", "failed_when", "until", "that")
ARBITRARY_COMMANDS = {
    f"{namespace}{module}"
    for namespace in ("", "ansible.builtin.", "ansible.legacy.")
    for module in ("command", "shell", "raw", "script", "expect")
}
MAGIC = {"inventory_hostname", "inventory_dir", "hostvars", "item", "omit", "lookup", "query", "role_path", "dict"}

# A variable that is laid over an empty mapping or list where it is missing.
CONTAINER = re.compile(r"(cluster_\w+) \| default\((\{\}|\[\])\)")

by_role = pytest.mark.parametrize("role", ROLES)
by_playbook = pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: str(path.relative_to(ROOT)))


@functools.cache
def load(path: Path) -> Any:
    """A YAML file's content; an empty mapping where the file is missing, empty or not YAML."""
    is_yaml = path.suffix in (".yml", ".yaml") and path.exists()
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if is_yaml else None) or {}


def role_file(role: str, *parts: str) -> Path:
    return ROOT.joinpath("roles", role, *parts)


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    """The role's argument specs, by the name of the task file that they are checked for."""
    return load(role_file(role, "meta", "argument_specs.yml")).get("argument_specs", {})


def required(role: str, entry_point: str = "main") -> set[str]:
    """The options without which the role, entered there, does nothing."""
    found = entry_points(role).get(entry_point, {}).get("options", {})
    return {name for name, option in found.items() if option.get("required")}


def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of the role's main entry point, by name; other entry points take some of them."""
    return entry_points(role).get("main", {}).get("options", {})


def defaults(role: str) -> dict[str, Any]:
    return load(role_file(role, "defaults", "main.yml"))


def working_files(role: str) -> list[Path]:
    """The files that make up what the role does, apart from programs that it puts onto hosts."""
    return sorted(path for folder in WORKING_FOLDERS for path in role_file(role, folder).rglob("*") if path.is_file())


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def is_static(value: Any) -> bool:
    """Whether no part of a default is an expression."""
    return not any(is_template(text) for text in texts(value))


def texts(value: Any) -> Iterator[str]:
    """Every text inside a YAML value, expressions without braces with theirs."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from texts(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            bare = key in BARE_EXPRESSIONS
            yield from (f"{{{{ {text} }}}}" if bare and not is_template(text) else text for text in texts(entry))


def names_in(text: str) -> set[str]:
    """The variables that a template reads.

    Those of other hosts (``hostvars[…].name``, ``map('extract', hostvars, 'name')``) are among them.
    """
    tree = jinja2.Environment(autoescape=False).parse(text)
    found = list(tree.find_all(nodes.Name))
    own = {name.name for name in found if name.ctx != "load"}
    return (
        {name.name for name in found} - own
        | {
            node.attr
            for node in tree.find_all(nodes.Getattr)
            if isinstance(node.node, (nodes.Getitem, nodes.Getattr))
            and isinstance(node.node.node, nodes.Name)
            and node.node.node.name == "hostvars"
        }
        | {
            name.value
            for call in tree.find_all(nodes.Filter)
            if call.args[:2] == [nodes.Const("extract"), nodes.Name("hostvars", "load")]
            for name in call.args[2:]
        }
    )


def names_read(path: Path) -> set[str]:
    """The variables that a file reads."""
    if path.suffix == ".j2":
        return names_in(path.read_text(encoding="utf-8"))
    return {name for text in texts(load(path)) if is_template(text) for name in names_in(text)}


def tasks_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every task of a task list or of plays, those in blocks included."""
    for entry in value if isinstance(value, list) else ():
        yield entry
        for key in TASK_LISTS:
            yield from tasks_in(entry.get(key))


def names_set(task: dict[str, Any]) -> set[str]:
    """The variables that a task makes: by vars, by register and by set_fact."""
    facts = task.get("ansible.builtin.set_fact", {})
    return {*task.get("vars", {}), *filter(None, [task.get("register")]), *facts} - {"cacheable"}


def entered_in(plays: Any) -> Iterator[tuple[str, str]]:
    """Every role that plays enter elsewhere than by its main entry point, and that entry point."""
    for task in tasks_in(plays):
        for module in ("ansible.builtin.include_role", "ansible.builtin.import_role"):
            if "tasks_from" in task.get(module, {}):
                yield task[module]["name"].split(".")[-1], task[module]["tasks_from"].removesuffix(".yml")


def calls_in(plays: Any) -> Iterator[tuple[str, set[str], str]]:
    """Every call of a role in plays: its name, the variables that are passed, and where it is entered."""
    for task in tasks_in(plays):
        for entry in task.get("roles", []):
            call = {"role": entry} if isinstance(entry, str) else entry
            yield call["role"], {*call, *call.get("vars", {})} - {"role", "vars", "when", "tags"}, "main"
        for module in ("ansible.builtin.include_role", "ansible.builtin.import_role"):
            if module in task:
                yield task[module]["name"], set(task.get("vars", {})), task[module].get("tasks_from", "main")


def commands_in(path: Path) -> list[str]:
    """Tasks of a file that run a command of their own instead of a module that knows what it does."""
    found = []
    for task in tasks_in(load(path)):
        called = {*task}
        for key in ("action", "local_action"):
            value = task.get(key, "")
            called |= {value.get("module")} if isinstance(value, dict) else {*value.split()[:1]}
        if called & ARBITRARY_COMMANDS:
            found.append(f"{path.relative_to(ROOT)}: {task.get('name', task)}")
    return found


def readers(names: Iterable[str]) -> dict[str, set[str]]:
    """Which roles, and which playbooks by file name, read each of these variables."""
    places = {role: {name for path in working_files(role) for name in names_read(path)} for role in ROLES}
    places.update((playbook.name, names_read(playbook)) for playbook in PLAYBOOKS if playbook.parent != ROOT)
    return {name: {place for place, read in places.items() if name in read} for name in names}


def cluster_variables() -> set[str]:
    """The ``cluster_*`` variables that roles and playbooks read, but for the options that a role has of its own."""
    files = [*PLAYBOOKS, *(path for role in ROLES for path in working_files(role))]
    read = {name for path in files for name in names_read(path) if name.startswith("cluster_")}
    return read - {option for role in ROLES for option in options(role)}


def described_variables() -> dict[str, list[str]]:
    """The rows of the tables in docs/variables.md: the other cells by variable."""
    rows = re.findall(r"^\| `(cluster_\w+)` \|(.*)\|$", VARIABLES.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a variable is described twice"
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in rows}


def examples(path: Path) -> list[Any]:
    """The YAML examples in a Markdown file."""
    fences = re.findall(r"^```yaml\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(text) for text in fences]


def words(description: str | list[str]) -> str:
    return description if isinstance(description, str) else " ".join(description)


@by_role
@pytest.mark.parametrize("parts", [("README.md",), ("meta", "argument_specs.yml"), ("meta", "main.yml")], ids="/".join)
def test_role_has_its_documentation(role: str, parts: tuple[str, ...]) -> None:
    assert role_file(role, *parts).is_file()


@by_role
def test_meta_says_what_galaxy_asks(role: str) -> None:
    meta = load(role_file(role, "meta", "main.yml"))
    galaxy = meta["galaxy_info"]
    assert galaxy["author"]
    assert galaxy["description"]
    assert galaxy["license"] == "GPL-3.0-or-later"
    assert f">={galaxy['min_ansible_version']}.0" == load(ROOT / "meta" / "runtime.yml")["requires_ansible"]
    assert galaxy["platforms"] == [{"name": "Debian", "versions": ["bookworm"]}]
    assert meta["dependencies"] == []


@by_role
def test_options_are_the_defaults_and_what_is_required(role: str) -> None:
    assert set(defaults(role)) ^ (set(options(role)) - required(role)) == set()


@by_role
def test_entry_points_and_options_are_described(role: str) -> None:
    assert "main" in entry_points(role)
    for name, entry_point in entry_points(role).items():
        assert role_file(role, "tasks", f"{name}.yml").is_file()
        for key in ("short_description", "description", "author", "version_added"):
            assert entry_point.get(key), (name, key)
        assert {key: options(role).get(key) for key in entry_point["options"]} == entry_point["options"]
    assert [
        name for name, option in options(role).items() if not (option.get("description") and option.get("type"))
    ] == []


@by_role
def test_static_defaults_are_documented_as_they_are(role: str) -> None:
    static = {name: value for name, value in defaults(role).items() if is_static(value)}
    assert {name: option["default"] for name, option in options(role).items() if "default" in option} == static


@by_role
def test_static_defaults_have_the_type_that_is_documented(role: str) -> None:
    static = {name: option for name, option in options(role).items() if "default" in option}
    given = {name: defaults(role)[name] for name in static}
    assert ArgumentSpecValidator(static).validate(given).error_messages == []


@by_role
def test_computed_defaults_are_documented_in_words(role: str) -> None:
    for name, value in defaults(role).items():
        if is_static(value):
            continue
        description = words(options(role)[name]["description"])
        assert "Defaults to " in description, name
        sources = {source for text in texts(value) for source in names_in(text) if source.startswith("cluster_")}
        assert {source for source in sources if source not in description} == set(), name


@by_role
def test_secrets_are_declared_as_such(role: str) -> None:
    for name, option in options(role).items():
        if re.search(r"_(credentials|token|secret|password|certificate_key)$", name):
            assert option.get("no_log") is True, name


@by_role
def test_variables_carry_the_prefix_of_the_role(role: str) -> None:
    prefixes = (f"{role}_", f"__{role}_")
    read = {name for path in working_files(role) for name in names_read(path)} - MAGIC
    foreign = {name for name in read if not name.startswith((*prefixes, "cluster_", "ansible_"))}
    assert foreign == set()
    files = working_files(role)
    made = {*defaults(role), *load(role_file(role, "vars", "main.yml"))}
    made |= {name for path in files for task in tasks_in(load(path)) for name in names_set(task)}
    # How Ansible itself connects is set by its own names.
    made = {name for name in made if not name.startswith("ansible_")}
    assert {name for name in made if not name.startswith(prefixes)} == set()


@by_role
def test_role_names_no_inventory_group(role: str) -> None:
    assert [str(path) for path in working_files(role) if names_read(path) & {"groups", "group_names"}] == []


@by_role
def test_role_runs_no_arbitrary_command(role: str) -> None:
    assert [commands_in(path) for path in working_files(role) if commands_in(path)] == []


@by_playbook
def test_playbook_runs_no_arbitrary_command(playbook: Path) -> None:
    assert commands_in(playbook) == []


def test_playbooks_pass_options_that_roles_have_and_all_that_they_require() -> None:
    known = {name for role in ROLES for name in options(role)}
    passed = {name for playbook in PLAYBOOKS for _role, names, _entry in calls_in(load(playbook)) for name in names}
    assert passed - known == set()
    assert {name for role in ROLES for name in required(role)} - passed == set()


@by_playbook
def test_playbook_enters_roles_where_they_say(playbook: Path) -> None:
    assert [(role, name) for role, name in entered_in(load(playbook)) if name not in entry_points(role)] == []


@by_role
def test_readme_shows_a_play_that_the_role_accepts(role: str) -> None:
    plays = [play for example in examples(role_file(role, "README.md")) for play in example]
    calls = [(names, entry) for called, names, entry in calls_in(plays) if called == f"kubeadm.ha.{role}"]
    assert calls
    for names, entry in calls:
        assert required(role, entry) <= names <= set(options(role))
    assert [(called, name) for called, name in entered_in(plays) if name not in entry_points(called)] == []


@by_role
def test_readme_names_only_variables_that_there_are(role: str) -> None:
    text = role_file(role, "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# kubeadm.ha.{role}\n")
    assert "(meta/argument_specs.yml)" in text
    assert "## Verified and untried" in text
    named = set(re.findall(r"`((?:cluster|" + "|".join(ROLES) + r")_\w+)`", text))
    known = {option for other in ROLES for option in options(other)} | cluster_variables() | set(ROLES)
    assert {name for name in named if name not in known} == set()


def test_variables_that_are_read_are_described_and_no_others() -> None:
    assert set(described_variables()) ^ cluster_variables() == set()


def test_variables_that_are_described_are_the_ones_that_a_run_accepts() -> None:
    assert {name for name in described_variables() if cluster_input.unknown({name: {"cp1"}})} == set()
    assert set(described_variables()) >= cluster_input.KNOWN


def test_variables_are_described_with_all_who_read_them() -> None:
    described = {name: set(re.findall(r"`([\w.]+)`", cells[-1])) for name, cells in described_variables().items()}
    assert described == readers(described)


def test_variables_that_users_set_have_an_example() -> None:
    files = [*PLAYBOOKS, *(path for role in ROLES for path in working_files(role))]
    made = {name for path in files for task in tasks_in(load(path)) for name in names_set(task)}
    shown = {name for example in examples(VARIABLES) for name in example}
    assert shown == set(described_variables()) - made


def test_inventories_set_variables_that_are_described() -> None:
    files = [path for kind in ("group_vars", "host_vars") for path in ROOT.glob(f"inventories/**/{kind}/**/*.yml")]
    known = {*described_variables(), *(option for role in ROLES for option in options(role))}
    assert files
    unknown = {name for path in files for name in load(path) if not name.startswith("ansible_")} - known
    assert unknown == set()


@pytest.mark.parametrize(
    "path",
    [VARIABLES, *(path for role in ROLES for path in sorted(role_file(role).rglob("*.md")))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_documentation_uses_the_words_of_the_field(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("system:masters", "")  # a group's name, and Kubernetes' own
    assert re.findall(r"\b(?:master|slave|blacklist|whitelist)\w*", text, re.IGNORECASE) == []


@by_role
def test_variables_that_hold_mappings_and_lists_are_known_to_do_so(role: str) -> None:
    kinds = {"{}": dict, "[]": list}
    defaults = role_file(role, "defaults", "main.yml")
    text = defaults.read_text() if defaults.exists() else ""
    held = {name: kinds[empty] for name, empty in CONTAINER.findall(text)}
    assert held.items() <= cluster_input.SHAPES.items()
