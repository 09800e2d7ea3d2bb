"""The verb that measures how much a plan's cover owes to each detection: evaluate gaps.

In come a plan and its clip, out goes a table or JSON on stdout. torch is not needed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidanon.cli import console
from vidanon.cli import options as o

if TYPE_CHECKING:
    from vidanon.evaluate.robustness import GapsReport


def gaps(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file, as scan and run write it.")],
    clip: Annotated[
        Path | None, typer.Argument(metavar="[CLIP]", help="Its clip: what is left is followed through the pictures.")
    ] = None,
    drop: Annotated[float, typer.Option("--drop", min=0, max=1, help="Share of detections dropped at random.")] = 0.3,
    count: Annotated[int, typer.Option("--gaps", metavar="N", min=0, help="Holes torn into every track.")] = 3,
    frames: Annotated[int, typer.Option("--gap-frames", metavar="N", min=1, help="Length of a hole.")] = 15,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of what is dropped and torn.")] = 0,
    preset: o.Preset = None,
    assignments: o.SetOption = None,
    as_json: o.JsonOption = False,
) -> None:
    """Take detections out of a scanned plan, settle it again, and measure what of its faces is still covered.

    [bold]Examples[/bold]

    $ vidanon evaluate gaps interview.vidanon interview.mp4
    $ vidanon evaluate gaps street.vidanon street.mp4 --drop 0.5 --gaps 1 --seed 7 --json

    A face-frame is a face of the full run in a frame from its first detection to its last, false alarms included; those
    behind somebody are not counted. It is naked when less than 90 % of it lies under a mask.

    Without CLIP, where flow would have carried a face is guessed from what was taken away. The plan stays as it is.
    """
    from vidanon.evaluate.robustness import gaps_in_plan
    from vidanon.plan import Plan

    settings, _ = o.settings_of(preset, {}, assignments)
    with Plan.open(plan) as opened:
        report = gaps_in_plan(opened, clip, settings=settings, drop=drop, gaps=count, gap_frames=frames, seed=seed)
    if as_json:
        console.put_json(dataclasses.asdict(report))
    else:
        _put(report)


def _put(report: GapsReport) -> None:
    console.put_table(
        ["measure", "value"],
        [
            ["detections", report.detections],
            ["  taken away", report.dropped],
            ["tracks", report.tracks],
            ["holes torn", len(report.gaps)],
            ["face-frames", report.face_frames],
            ["coverage", f"{report.coverage:.4f}"],
            ["naked face-frames", report.naked],
            ["coverage of tracks seen surely", f"{report.sure_coverage:.4f}"],
            ["  naked face-frames of these", report.sure_naked],
            ["coverage where seen, not guessed", f"{report.seen_coverage:.4f}"],
            ["  naked face-frames of these", report.seen_naked],
            ["naked, no sure detection left", report.unstarted],
            ["masks covered", f"{report.mask_coverage:.4f}"],
            ["padding covered", f"{report.padded_coverage:.4f}"],
            ["tracks with more than one identity", report.split],
            ["tracks lost", report.lost],
        ],
    )
    if report.naked:
        console.put("")
        console.put_table(
            ["frame", "track", "covered"],
            [[face.frame, face.track, f"{face.face:.2f}"] for face in report.worst if face.face < report.least],
        )
