"""The verb that times detection: evaluate speed."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Annotated

import typer

from vidanon.cli import console
from vidanon.cli import options as o
from vidanon.cli.measuring import EVERYTHING, Json, built, settings_for
from vidanon.errors import UsageError

NAMES = ("vidanon", "vidanon-fast")


def frame_size(text: str) -> tuple[int, int]:
    """Width and height of "1920x1080". Raises UsageError."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"{text!r} is no frame size", hint="say --size 1920x1080")
    return int(width), int(height)


def speed(
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Frame size, px.")] = "1920x1080",
    detectors: Annotated[
        list[str] | None, typer.Option("--detector", metavar="NAME", help="As in a preset; may be repeated.")
    ] = None,
    min_faces: Annotated[
        list[float] | None, typer.Option("--min-face", metavar="PX", min=1, help="Smallest face; may be repeated.")
    ] = None,
    batches: Annotated[
        list[int] | None, typer.Option("--batch", metavar="N", min=1, help="Frames a call; may be repeated.")
    ] = None,
    calls: Annotated[int, typer.Option("--calls", metavar="N", min=1, help="Calls that are timed.")] = 7,
    device: o.Device = None,
    as_json: Json = False,
) -> None:
    """Time the detectors on frames of a size: milliseconds a frame, by smallest face and batch, side by side.

    [bold]Examples[/bold]

    $ vidanon evaluate speed
    $ vidanon evaluate speed --size 3840x2160 --min-face 12 --min-face 24 --batch 1 --batch 8 --device cuda:0
    """
    from vidanon.evaluate.pace import Entrant, measure

    width, height = frame_size(size)
    entrants = []
    for name, smallest in itertools.product(detectors or NAMES, min_faces or (12.0, 20.0)):
        detector = built(settings_for(name, device, smallest, None, EVERYTHING))
        entrants += [Entrant(detector, smallest, batch) for batch in batches or (1,)]
    paces = measure(entrants, width=width, height=height, calls=calls)
    if as_json:
        console.put_json([dataclasses.asdict(pace) for pace in paces])
        return
    console.put(f"{width} x {height} px, {calls} calls each, in turns")
    rows = [
        [p.detector, p.device, f"{p.min_face_px:g}", p.batch, *(f"{v:.1f}" for v in (p.ms, p.fastest, p.slowest))]
        for p in paces
    ]
    console.put_table(["detector", "device", "smallest face", "batch", "ms a frame", "fastest", "slowest"], rows)
