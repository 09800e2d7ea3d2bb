"""The command line put together: which verbs there are, in which groups, and the way in and out of the process.

`main` is what the `vidanon` script and `python -m vidanon` call; it never returns.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

import vidanon
from vidanon.cli import (
    bench,
    cleaning,
    console,
    datasets,
    evaluating,
    generating,
    looking,
    measuring,
    pacing,
    plans,
    robust,
    running,
    training,
)

MAIN_JOB = "The main job"
PLANS = "Plans and presets"
CHECKS = "Looking and measuring"
NETWORKS = "Networks"

HELP = """Replace the people in a video by people who do not exist.

[bold]Examples[/bold]

$ vidanon run interview.mp4 -o safe.mp4
$ vidanon run captures/ -o covered/ --preset street
$ vidanon contact-sheet interview.mp4 safe.mp4 -o sheet.png

[bold]Exit codes[/bold]

0 done                          1 some inputs failed, or a fault
2 usage or settings             3 input missing or damaged
4 output cannot be written      5 plan missing or unfit
6 weights missing or damaged    7 device not there
8 a face could not be covered   130, 143 stopped; 141 closed pipe
"""


class Verbs(TyperGroup):
    """The root: what stops a verb from outside is turned into an exit code of ours before typer sees it."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb."""
        with console.stoppable():
            return super().invoke(ctx)


def _version(asked: bool) -> None:
    if asked:
        console.put(f"vidanon {vidanon.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def _group(app: typer.Typer, name: str, text: str, panel: str, cls: type[TyperGroup] | None = None) -> typer.Typer:
    group = typer.Typer(name=name, help=text, rich_markup_mode="rich", no_args_is_help=True, cls=cls)
    app.add_typer(group, rich_help_panel=panel)
    return group


def build() -> typer.Typer:
    """The whole application."""
    app = typer.Typer(
        name="vidanon", cls=Verbs, rich_markup_mode="rich", no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.callback(help=HELP)(_root)
    app.command("run", rich_help_panel=MAIN_JOB, no_args_is_help=True)(running.run)
    app.command("scan", rich_help_panel=MAIN_JOB, no_args_is_help=True)(running.scan)
    app.command("render", rich_help_panel=MAIN_JOB, no_args_is_help=True)(running.render)

    app.command("clean", rich_help_panel=MAIN_JOB)(cleaning.clean)

    plan = _group(app, "plan", "Look at a plan and change it.", PLANS)
    plan.command("show", no_args_is_help=True)(plans.show)
    plan.command("export", no_args_is_help=True)(plans.export)
    plan.command("keep", no_args_is_help=True)(plans.keep)
    plan.command("anonymize", no_args_is_help=True)(plans.anonymize)
    plan.command("merge", no_args_is_help=True)(plans.merge)
    plan.command("name", no_args_is_help=True)(plans.name)

    presets = _group(app, "presets", "See the presets and where each value is from.", PLANS)
    presets.command("list")(looking.list_presets)
    presets.command("show")(looking.show_preset)

    app.command("info", rich_help_panel=CHECKS, no_args_is_help=True)(looking.info)
    app.command("compare", rich_help_panel=CHECKS, no_args_is_help=True)(looking.compare)
    app.command("contact-sheet", rich_help_panel=CHECKS, no_args_is_help=True)(looking.contact_sheet)

    app.command("bench", rich_help_panel=CHECKS, no_args_is_help=True)(bench.bench)

    dataset = _group(app, "dataset", "Make training sets of your own photos.", NETWORKS)
    dataset.command("build", no_args_is_help=True)(datasets.build)
    dataset.command("show", no_args_is_help=True)(datasets.show)

    _group(app, "train", "Train the networks.", NETWORKS, training.TrainGroup)
    evaluate = _group(app, "evaluate", "Measure the networks.", NETWORKS)
    evaluate.command("detector", no_args_is_help=True)(measuring.detector)
    evaluate.command("grids", no_args_is_help=True)(measuring.grids)
    evaluate.command("speed")(pacing.speed)
    evaluate.command("misses", no_args_is_help=True)(measuring.misses)
    evaluate.command("generator", no_args_is_help=True)(generating.generator)
    evaluate.command("temporal", no_args_is_help=True)(evaluating.temporal)
    evaluate.command("gaps", no_args_is_help=True)(robust.gaps)
    app.command("calibrate", rich_help_panel=NETWORKS, no_args_is_help=True)(measuring.calibrate)
    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and leaves the process. Args: `arguments`, None for the process's own."""
    command = get_command(build())
    sys.exit(console.guard(lambda: command.main(args=arguments, prog_name="vidanon", standalone_mode=False)))
