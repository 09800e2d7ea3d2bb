"""The verbs that make networks: train detector, publish, labels, landmarks, builds, patterns, surroundings, generator.

Each training room says in a frozen dataclass what it can be told. Its fields become options here, their docstrings
the help, so that the two can never differ. That takes importing torch, which therefore waits until one of these
verbs is really asked for.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup
from typer.main import get_command

from vidanon.cli import console

SIMPLE: tuple[type, ...] = (int, float, str, bool, Path)
"""types an option can have; a field of another type (a network's shape) keeps its default"""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One verb made from a room's `function(options)`."""

    module: str
    """the room"""
    function: str
    """its entry, which takes one options dataclass"""
    help: str
    """what the verb does, with examples"""


TRAIN = {
    "detector": Job(
        "vidanon.train.detector",
        "train",
        """Train the face detector: box, score, five keypoints.

    [bold]Examples[/bold]

    $ vidanon train detector --data data --run runs/detector --minutes 60
    $ vidanon train detector --data data --run runs/detector --minutes 120 --resume runs/detector/latest.safetensors
    """,
    ),
    "publish": Job(
        "vidanon.train.detector_publishing",
        "publish_detector",
        """Make weights of a detector's checkpoint: its averaged network, scores calibrated on pictures it never saw.

    [bold]Examples[/bold]

    $ vidanon train publish --checkpoint runs/detector/latest.safetensors --labels data/crowd-dev --folder mine
    $ vidanon train publish --checkpoint latest.safetensors --labels my-pictures --folder mine --all-labels --size fast
    """,
    ),
    "labels": Job(
        "vidanon.train.pseudo",
        "label",
        """Label frames of clips with what two other detectors agree on: more pictures for the detector's training.

    The file is what `vidanon train detector` takes as its pseudo-labels.

    [bold]Examples[/bold]

    $ vidanon train labels --clips data/clips --teacher yunet.onnx --second ultralight.onnx --target labels.npz
    """,
    ),
    "landmarks": Job(
        "vidanon.train.landmarks",
        "train",
        """Train the landmarker: the keypoints the generator is steered by.

    [bold]Examples[/bold]

    $ vidanon train landmarks --data data/faces --run runs/landmarks --minutes 30
    """,
    ),
    "builds": Job(
        "vidanon.train.builds",
        "measure",
        """Measure how faces are built and how that varies: what a new face's build is drawn from (render/shape.py).

    [bold]Examples[/bold]

    $ vidanon train builds --data data/faces --target builds.json
    """,
    ),
    "patterns": Job(
        "vidanon.train.patterns",
        "choose",
        """Give generator weights other patterns: the invented faces whose detail new people get. No training.

    [bold]Examples[/bold]

    $ vidanon train patterns --data data/faces --weights weights/generator.safetensors --publish mine
    $ vidanon train patterns --data data/faces --weights generator.safetensors --listed faces.txt --publish mine
    """,
    ),
    "surroundings": Job(
        "vidanon.train.surroundings",
        "read_surroundings",
        """Fit what a generator expects of a face by its surroundings: skin colour, and who suits. No training.

    [bold]Examples[/bold]

    $ vidanon train surroundings --data data/faces --weights weights/generator.safetensors --publish mine
    """,
    ),
    "generator": Job(
        "vidanon.train.generator",
        "train",
        """Train the generator that paints the new faces, against its discriminator.

    [bold]Examples[/bold]

    $ vidanon train generator --data data/faces --run runs/generator --images 90000
    $ vidanon train generator --data data/faces --run runs/gpu --resolution 256 --device cuda:0 --minutes 27
    """,
    ),
}


class TrainGroup(TyperGroup):
    """`vidanon train`: its verbs are built when they are asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Names, in the order in which the networks depend on each other."""
        return list(TRAIN)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """The verb, built from its room's options."""
        job = TRAIN.get(cmd_name)
        return None if job is None else command_of(cmd_name, job)


def command_of(name: str, job: Job) -> Any:
    """A typer command for a job."""
    function = getattr(importlib.import_module(job.module), job.function)
    first = next(iter(inspect.signature(function).parameters))
    options_class = get_type_hints(function)[first]
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command(name=name, help=inspect.cleandoc(job.help))(verb_of(function, options_class))
    return get_command(app)


def verb_of(function: Callable[[Any], Any], options_class: type[Any]) -> Callable[..., None]:
    """A function with one keyword parameter for each simple field of the dataclass, that calls `function` with it."""

    def verb(**values: Any) -> None:
        with console.stoppable("the last checkpoint is kept: --resume goes on from it"):
            result = function(options_class(**values))
        if isinstance(result, Path):
            console.say(f"done: {result}")

    hints, notes = get_type_hints(options_class), field_docs(options_class)
    parameters = []
    for field in dataclasses.fields(options_class):
        kind = simple_type(hints[field.name])
        if kind is None:
            continue
        option = typer.Option(f"--{field.name.replace('_', '-')}", help=notes.get(field.name, ""))
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default = inspect.Parameter.empty if required else field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
            )
        )
    # Typer reads both: the signature for defaults, the annotations for types.
    verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    verb.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return verb


def simple_type(hint: Any) -> Any:
    """The type an option takes for a field's hint, or None where it cannot be typed on a command line."""
    if hint in SIMPLE or get_origin(hint) is Literal:
        return hint
    if get_origin(hint) in {Union, types.UnionType}:
        inner = [kind for kind in get_args(hint) if kind is not type(None)]
        if len(inner) == 1 and inner[0] in SIMPLE:
            return hint
    return None


def field_docs(options_class: type[Any]) -> dict[str, str]:
    """The string that stands under each field of a class."""
    (body,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(options_class))).body
    found: dict[str, str] = {}
    name = None
    for node in getattr(body, "body", []):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[name] = str(node.value.value)
            name = None
        else:
            name = None
    return found
