"""The verbs that look at a plan and change it: show, export, keep, anonymize, merge, name. None of them needs torch.

In come plan files and track numbers; tables and JSON go to stdout, what was changed is said on stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vidanon.cli import console
from vidanon.cli.summary import count
from vidanon.errors import UsageError
from vidanon.plan import Plan
from vidanon.types import Action

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file, as scan and run write it.")]
Tracks = Annotated[list[int], typer.Argument(metavar="TRACK", help="Track numbers, as `plan show` lists them.", min=1)]


def show(
    plan: PlanFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Print what a plan holds: frames, tracks, and what happens to each.

    [bold]Examples[/bold]

    $ vidanon plan show interview.vidanon
    $ vidanon plan show interview.vidanon --json
    """
    import dataclasses

    from vidanon.pipeline.doubts import certainties
    from vidanon.plan.summary import summary

    with Plan.open(plan) as opened:
        header, numbers, edits = opened.header, summary(opened, certainties(opened)), opened.edits()
    if as_json:
        whole = {
            "source": header.source_name,
            "width": header.width,
            "height": header.height,
            "state": header.state,
            **dataclasses.asdict(numbers),
        }
        console.put_json(whole)
        return
    console.put(f"{plan}: {header.source_name}, {header.width}x{header.height}, {header.state}")
    console.put(
        f"{count(numbers.frames, 'frame')} in {numbers.seconds:.2f} s, {count(numbers.detections, 'detection')}, "
        f"{count(len(numbers.tracks), 'track')}, {count(numbers.faces, 'face')} "
        f"in {count(numbers.frames_with_faces, 'frame')}, {count(len(edits), 'edit')}"
    )
    if not numbers.tracks:
        return
    console.put("")
    console.put_table(
        [
            "track",
            "from s",
            "to s",
            "faces",
            "detected",
            "weak",
            "filled",
            "padded",
            "px",
            "lowest",
            "sure",
            "action",
            "identity",
        ],
        [
            [
                track.number,
                track.first_seconds,
                track.last_seconds,
                sum(track.observations.values()),
                track.observations.get("detected", 0) + track.observations.get("edited", 0),
                track.observations.get("weak", 0),
                sum(track.observations.get(source, 0) for source in ("interpolated", "carried", "hidden")),
                track.observations.get("padded", 0),
                round(track.mean_size),
                track.lowest_score,
                track.certainty,
                track.action,
                track.identity,
            ]
            for track in numbers.tracks
        ],
    )


def export(
    plan: PlanFile,
    as_json: Annotated[  # noqa: ARG001  (said by the user so that another format may come later)
        bool, typer.Option("--json", help="As JSON, the one format there is.")
    ] = True,
) -> None:
    """Print a plan, frame by frame: boxes, keypoints, scores and where they are from.

    [bold]Examples[/bold]

    $ vidanon plan export interview.vidanon --json > interview.json
    $ vidanon plan export interview.vidanon --json | jq '.frames[10].faces'
    """
    from vidanon.plan.export import write_json

    with Plan.open(plan) as opened:
        write_json(opened, sys.stdout)


def keep(plan: PlanFile, tracks: Tracks) -> None:
    """Leave these people as they are: the reporter, a poster, a statue.

    [bold]Examples[/bold]

    $ vidanon plan keep interview.vidanon 2
    $ vidanon plan keep interview.vidanon 2 5 7
    """
    _act(plan, tracks, "keep")


def anonymize(plan: PlanFile, tracks: Tracks) -> None:
    """Cover these people after all: takes a `keep` back.

    [bold]Examples[/bold]

    $ vidanon plan anonymize interview.vidanon 2
    """
    _act(plan, tracks, "anonymize")


def merge(plan: PlanFile, tracks: Tracks) -> None:
    """Give several tracks the first one's face: one person in several shots.

    [bold]Examples[/bold]

    $ vidanon plan merge interview.vidanon 1 4 6
    """
    if len(set(tracks)) < 2:
        raise UsageError("merging takes two tracks or more", hint="vidanon plan merge PLAN 1 4")
    with Plan.open(plan) as opened:
        identities = {track.number: track.identity for track in opened.tracks()}
        _known(tracks, list(identities), plan)
        for track in tracks[1:]:
            opened.set_identity(track, identities[tracks[0]])
    console.say(f"tracks {', '.join(map(str, tracks))} get one face now")


def name(
    plan: PlanFile,
    track: Annotated[int, typer.Argument(metavar="TRACK", help="A track number, as `plan show` lists them.")],
    person: Annotated[str, typer.Argument(metavar="NAME", help="Who this is; a code name does.")],
) -> None:
    """Say who a track is: one name and one key file give one face, in every clip of a reel.

    The name is written into the plan, in clear.

    [bold]Examples[/bold]

    $ vidanon plan name monday.vidanon 2 witness-a
    $ vidanon plan name tuesday.vidanon 1 witness-a
    """
    with Plan.open(plan) as opened:
        _known([track], [t.number for t in opened.tracks()], plan)
        kept = opened.set_name(track, person)
    console.say(f"track {track} is {kept}")


def _act(plan: Path, tracks: list[int], action: Action) -> None:
    with Plan.open(plan) as opened:
        _known(tracks, [track.number for track in opened.tracks()], plan)
        for track in tracks:
            opened.set_action(track, action)
    verb = "stays visible" if action == "keep" else "is anonymized"
    for track in tracks:
        console.say(f"track {track} {verb}")


def _known(asked: list[int], there: list[int], plan: Path) -> None:
    """Refuses all of an edit when one of its tracks is not there, so that half of it is never done."""
    for track in asked:
        if track not in there:
            hint = f"it has tracks 1 to {max(there)}: `vidanon plan show {plan}`" if there else "it has no tracks"
            raise UsageError(f"{plan} has no track {track}", hint=hint)
