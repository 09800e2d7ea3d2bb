"""The verbs that make and measure networks: train detector, landmarks, generator; evaluate detector.

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
from vidanon.cli import options as o

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
    $ vidanon train detector --data data --run runs/detector --minutes 120 --resume runs/detector/checkpoint.safetensors
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
    "generator": Job(
        "vidanon.train.generator",
        "train",
        """Train the generator that paints the new faces, against its discriminator.

    [bold]Examples[/bold]

    $ vidanon train generator --data data/faces --run runs/generator --images 90000
    $ vidanon train generator --data data/faces --run runs/generator --resolution 128 --device cuda
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


def evaluate_detector(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures and a boxes.json with their faces.")],
    detector: o.Detector = None,
    device: o.Device = None,
    min_face: o.MinFace = None,
    iou: Annotated[float, typer.Option("--iou", metavar="0..1", help="Overlap from which a box is a hit.")] = 0.4,
    false_positives: Annotated[
        float, typer.Option("--false-positives", metavar="N", help="False alarms a picture at which recall is told.")
    ] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measures as JSON.")] = False,
) -> None:
    """Measure a detector on labelled pictures: average precision, recall by face size, time.

    [bold]Examples[/bold]

    $ vidanon evaluate detector data/crowd-dev
    $ vidanon evaluate detector data/crowd-dev --detector yunet.onnx --json
    """
    # Every score counts here, so nothing may be dropped before it is measured.
    typed: dict[str, object] = {"detect.detector": detector, "detect.min_face_px": min_face, "run.device": device}
    settings, _ = o.settings_of(None, typed, ["detect.weak_threshold=0.02"])
    from vidanon.detect.factory import build_detector
    from vidanon.evaluate.detector import evaluate
    from vidanon.pipeline.device import pick_device

    chosen = pick_device(settings.run.device)
    built = build_detector(settings.detect, device=chosen, threads=settings.run.threads)
    report = evaluate(folder, built, iou=iou, false_positives=false_positives)
    if as_json:
        console.put_json(dataclasses.asdict(report))
        return
    console.put(
        f"{report.detector} on {chosen}: {report.pictures} pictures, {report.faces} faces, {report.ms:.1f} ms each"
    )
    console.put(f"average precision {report.ap:.3f}")
    alarms = f"{report.false_positives:g} false alarms a picture"
    console.put(f"recall {report.recall:.3f} at {alarms} (score {report.threshold:.3f})")
    rows = [[f"{low:g} to {high:g}", faces, recall] for low, high, recall, faces in report.recall_by_size]
    console.put_table(["size px", "faces", "recall"], rows)
