"""The verbs that make and show training sets: dataset build, dataset show.

In come photos or a set; a summary goes to stdout, progress to stderr.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from vidanon.cli import console
from vidanon.cli import options as o
from vidanon.cli.progress import PLAIN_SECONDS
from vidanon.cli.summary import clock, count
from vidanon.errors import OutputError, UsageError

if TYPE_CHECKING:
    from vidanon.train.dataset import BuildOptions, BuildProgress
    from vidanon.train.sets import SetSummary

KEEP = "What to keep"
SetFolder = Annotated[Path, typer.Argument(metavar="SET", help="Folder of a face set.")]


def build(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Photos, in sub-folders too.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="SET", help="Folder of the set, to be made.")],
    licence: Annotated[
        str, typer.Option("--licence", metavar="TEXT", help="Under which licence or consent the photos may be used.")
    ],
    source: Annotated[str, typer.Option("--source", metavar="TEXT", help="Where the photos are from.")],
    min_face: Annotated[
        float, typer.Option("--min-face", metavar="PX", help="Smallest face, px of its photo.", rich_help_panel=KEEP)
    ] = 64.0,
    min_score: Annotated[
        float, typer.Option("--min-score", metavar="0..1", help="Least detector score.", rich_help_panel=KEEP)
    ] = 0.5,
    min_sharpness: Annotated[
        float,
        typer.Option("--min-sharpness", metavar="0..1", help="Least share of fine detail.", rich_help_panel=KEEP),
    ] = 0.16,
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence",
            metavar="0.3..1",
            help="Least confidence of the worst point on a face.",
            rich_help_panel=KEEP,
        ),
    ] = 0.5,
    max_roll: Annotated[
        float,
        typer.Option("--max-roll", metavar="DEGREES", help="Most that a head is turned.", rich_help_panel=KEEP),
    ] = 45.0,
    max_outside: Annotated[
        float,
        typer.Option(
            "--max-outside",
            metavar="0..1",
            help="Largest share of a crop that may lie outside its photo.",
            rich_help_panel=KEEP,
        ),
    ] = 0.1,
    val_share: Annotated[
        float, typer.Option("--val-share", metavar="0..1", help="Share of the faces held out, about.")
    ] = 0.1,
    people_in_folders: Annotated[
        bool, typer.Option("--people-in-folders", help="Every sub-folder is one person: never on both sides.")
    ] = False,
    look: Annotated[
        int, typer.Option("--look", metavar="N", help="Crops drawn with their points into SET/look.png; 0: none.")
    ] = 48,
    device: o.Device = None,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
) -> None:
    """Make a training set of your own photos: faces found, cut out upright, sorted, their 30 points written down.

    [bold]Examples[/bold]

    $ vidanon dataset build photos/ -o data/faces --licence "CC BY 4.0, Jane Doe" --source "portraits 2019-2024"
    $ vidanon dataset build photos/ -o data/faces --licence "written consent" --source "staff" --people-in-folders

    Copies and near duplicates are taken once; small, soft, tilted and cut-off faces are refused, each with its reason
    in SET/refused.csv. Stopped or killed, the same command goes on. Look at SET/look.png before you train.
    """
    from vidanon import __version__
    from vidanon.pipeline.device import limit_threads, pick_device
    from vidanon.train.dataset import build as build_set

    settings, _ = o.settings_of(None, {"run.device": device}, None)
    wanted = _options(
        licence=licence,
        source=source,
        min_face_px=min_face,
        min_score=min_score,
        min_sharpness=min_sharpness,
        min_confidence=min_confidence,
        max_roll=max_roll,
        max_outside=max_outside,
        val_share=val_share,
        people_in_folders=people_in_folders,
        look=look,
    )
    limit_threads(settings.run.threads)
    with shown(progress) as listen, console.stoppable("what was found is kept: the same command goes on from there"):
        where = pick_device(settings.run.device)
        threads = settings.run.threads
        made = build_set(folder, output, wanted, version=__version__, device=where, threads=threads, listen=listen)
    put_summary(made, as_json=as_json)
    if look and not as_json:
        console.say(f"look at {output / 'look.png'} before you train on it")


def show(
    folder: SetFolder,
    look: Annotated[
        Path | None, typer.Option("--look", metavar="PNG", help="Draw crops with their points into a picture.")
    ] = None,
    crops: Annotated[int, typer.Option("--crops", metavar="N", min=1, help="How many crops --look draws.")] = 48,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Say what is in a face set: licence, source, split, sizes, what was refused and why; and whether it is whole.

    [bold]Examples[/bold]

    $ vidanon dataset show data/faces
    $ vidanon dataset show data/faces --look faces.png --crops 96
    """
    from vidanon.train.sets import check_set, look_sheet

    put_summary(check_set(folder), as_json=as_json)
    if look is not None:
        if look.exists():
            raise OutputError(f"{look}: exists already", hint="choose another name")
        sheet = look_sheet(folder, crops)
        try:
            sheet.save(look, "PNG")
        except OSError as e:
            raise OutputError(f"{look}: cannot be written: {e.strerror or e}") from e


def put_summary(made: SetSummary, *, as_json: bool) -> None:
    """A set's summary on stdout."""
    if as_json:
        console.put_json(msgspec.to_builtins(made))
        return
    record = made.record
    rows = [["licence", record.licence if record else "not stated"]]
    rows += [["source", record.source]] if record else []
    rows += [["faces", str(made.faces)], *([f"  {side}", str(n)] for side, n in made.splits.items())]
    if record is None or len(made.sources) > 1:
        rows += [[f"  from {name}", str(number)] for name, number in made.sources.items()]
    most = max([1, *made.native_px.values()])
    rows += [["crop's side in its photo, px", ""]]
    rows += [[f"  {name}", f"{n:>6}  {'#' * round(40 * n / most)}"] for name, n in made.native_px.items()]
    if record:
        rows += [["photos", str(record.photos)], ["not taken", str(sum(record.refused.values()))]]
        rows += [[f"  {reason}", str(number)] for reason, number in record.refused.items()]
        rows += [[f"  not looked at: {ending}", str(number)] for ending, number in record.other_files.items()]
        rows += [["built by", f"vidanon {record.vidanon}"]]
    console.put(made.folder)
    console.put_table(["what", "value"], rows)


def _options(**values: object) -> BuildOptions:
    """Checked build options. Raises UsageError."""
    from vidanon.settings import expected
    from vidanon.train.dataset import BuildOptions

    values = {key: value.strip() if isinstance(value, str) else value for key, value in values.items()}
    flags = {"min_face_px": "min-face"}
    for field in msgspec.structs.fields(BuildOptions):
        try:
            msgspec.convert(values[field.name], field.type)
        except msgspec.ValidationError as e:
            flag = flags.get(field.name, field.name.replace("_", "-"))
            raise UsageError(
                f"--{flag} {values[field.name]!r} is not allowed", hint=f"give {expected(field.type)}"
            ) from e
    return msgspec.convert(values, BuildOptions)


@contextmanager
def shown(mode: o.ProgressMode) -> Iterator[Callable[[BuildProgress], None]]:
    """What shows a build in the way `mode` says: a bar, a line every few seconds, JSON lines, or nothing."""
    start = time.monotonic()
    last = start

    def words(event: BuildProgress) -> str:
        pace = (event.done - event.before) / max(time.monotonic() - start, 1e-9)
        left = f", {clock((event.total - event.done) / pace)} left" if pace else ""
        return f"{event.done}/{event.total} photos, {pace:.1f} a second{left}, {count(event.faces, 'face')}"

    def greet(event: BuildProgress) -> None:
        if event.done == event.before and event.before:
            console.say(f"going on: {event.before} of {event.total} photos are done or copies of others")

    def plain(event: BuildProgress) -> None:
        nonlocal last
        greet(event)
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            console.say(words(event))

    def as_json(event: BuildProgress) -> None:
        console.say_json({"event": "progress", "stage": "dataset", **_fields(event)})

    if mode == "auto":
        mode = "rich" if sys.stderr.isatty() else "plain"
    if mode == "json":
        console.Voice.json = True
    if mode != "rich":
        yield {"plain": plain, "json": as_json}.get(mode, lambda _: None)
        return
    columns = (TextColumn("looking at photos"), BarColumn(bar_width=None), TextColumn("{task.fields[words]}"))
    with Bars(*columns, console=console.console(), transient=True, expand=True) as bars:
        task = bars.add_task("", total=None, words="")
        console.Voice.screen = bars.console

        def bar(event: BuildProgress) -> None:
            greet(event)
            bars.update(task, completed=event.done, total=event.total, words=words(event))

        try:
            yield bar
        finally:
            console.Voice.screen = None


def _fields(event: BuildProgress) -> dict[str, object]:
    return {"photos": event.done, "photos_total": event.total, "faces": event.faces}
