"""The command line documents itself, and the README keeps up with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from vidanon import errors, locations
from vidanon.cli import console
from vidanon.cli.app import build

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(path, command) of every verb, groups included."""
    yield " ".join(path), command
    if isinstance(command, TyperGroup):
        context = command.context_class(command, info_name="vidanon")
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


ALL = dict(commands(get_command(build())))
VERBS = {path: command for path, command in ALL.items() if not isinstance(command, TyperGroup)}


def exit_codes() -> set[int]:
    """Every code the process can end with."""
    kinds = [errors.VidanonError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return {0, console.INTERRUPTED, console.BROKEN_PIPE, console.TERMINATED, *(kind.exit_code for kind in kinds)}


def test_the_verbs_are_all_there() -> None:
    """What the README promises exists, and nothing is there that this test does not know of."""
    assert sorted(VERBS) == [
        "bench",
        "calibrate",
        "clean",
        "compare",
        "contact-sheet",
        "dataset build",
        "dataset show",
        "evaluate detector",
        "evaluate gaps",
        "evaluate generator",
        "evaluate grids",
        "evaluate misses",
        "evaluate speed",
        "evaluate temporal",
        "info",
        "plan anonymize",
        "plan export",
        "plan keep",
        "plan merge",
        "plan name",
        "plan show",
        "presets list",
        "presets show",
        "render",
        "run",
        "scan",
        "train builds",
        "train detector",
        "train generator",
        "train labels",
        "train landmarks",
        "train patterns",
        "train publish",
        "train surroundings",
    ]


@pytest.mark.parametrize("path", sorted(ALL))
def test_every_command_says_what_it_does(path: str) -> None:
    """A first line, and for verbs at least one example that begins with the verb itself."""
    text = ALL[path].help or ""
    assert text.strip()
    if path in VERBS:
        before, _, after = text.partition("[bold]Examples[/bold]")
        assert before.strip()
        assert re.search(rf"^\s*\$ .*vidanon {path}\b", after, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(VERBS))
def test_every_option_and_argument_says_what_it_is_for(path: str) -> None:
    """No parameter without a help text."""
    for parameter in VERBS[path].params:
        assert (getattr(parameter, "help", None) or "").strip(), f"{path}: {parameter.name}"


@pytest.mark.parametrize("path", sorted(VERBS))
def test_the_readme_names_every_verb(path: str) -> None:
    """A verb nobody can read about is a verb nobody has."""
    assert re.search(rf"vidanon {path}\b", README)


def test_the_readme_lists_every_option_of_the_main_job() -> None:
    """The option table of `vidanon run` is complete."""
    for parameter in VERBS["run"].params:
        for name in parameter.opts:
            if name.startswith("--") and name != "--help":
                assert f"`{name}" in README, name


def test_the_readme_lists_every_exit_code_and_no_other() -> None:
    """The table of exit codes is the truth."""
    table = README.split("## Exit codes")[1].split("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == exit_codes()


def test_the_readme_names_every_shipped_preset() -> None:
    """Each with a line of its own."""
    for preset in locations.presets_dir().glob("*.toml"):
        assert f"| `{preset.stem}` |" in README


def test_examples_in_the_help_use_options_that_exist() -> None:
    """An example can be typed as it stands."""
    for path, command in VERBS.items():
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        example_lines = [line for line in (command.help or "").splitlines() if "$ " in line]
        used = {word for line in example_lines for word in re.findall(r"(?<!\S)--?[a-z][a-z-]*", line.split("|")[0])}
        assert used <= known, f"{path}: {used - known}"
