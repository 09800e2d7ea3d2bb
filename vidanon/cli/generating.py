"""The verb that measures new faces: evaluate generator.

In comes a folder of photos; a table goes to stdout, a report to a file, grids of faces to PNGs.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vidanon.cli import console
from vidanon.cli import options as o

if TYPE_CHECKING:
    from vidanon.evaluate.generator_report import GeneratorReport
    from vidanon.evaluate.workers import Workers
    from vidanon.types import FloatArray

T = TypeVar("T")

TELL_SECONDS = 10.0
"""between two lines about how far it is"""


def generator(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Photos of people: NAME__0.jpg and NAME__1.jpg are one person.")
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="PATH[@SCALE]",
            help="An ONNX detector that says whether there is a face, shown each photo once; may be repeated. "
            "Default: ours.",
        ),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            "--real",
            metavar="FOLDER",
            help="Real faces for the Fréchet distance: a face set (its val split), or photos. Default: FOLDER.",
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups",
            metavar="CSV",
            help="Groups to tell figures of, besides skin tone and pose: a column file, and one for each kind.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Another generator.safetensors. Default: the one that ships."),
    ] = None,
    latents: Annotated[
        int, typer.Option("--latents", metavar="N", min=2, help="New people that each photo gets, to be compared.")
    ] = 2,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of latents, jitter and noise.")] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many photos, spread evenly.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="REPORT", help="Write a report: .html, .md or .json.")
    ] = None,
    grids: Annotated[
        Path | None,
        typer.Option("--grids", metavar="FOLDER", help="Draw 64 new faces, and 8 latents of 8 people, as PNGs."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Processes. Default: one a CPU core, 8 at most.")
    ] = None,
    preset: o.Preset = None,
    device: o.Device = None,
    overwrite: o.Overwrite = None,
    assignments: o.SetOption = None,
    as_json: o.JsonOption = False,
) -> None:
    r"""Measure new faces on photos, side by side with blur, mosaic, black-out and no anonymization.

    [bold]Examples[/bold]

    $ vidanon evaluate generator data/lfw-dev --against yunet.onnx --against ultralight.onnx
    $ vidanon evaluate generator data/lfw-dev --limit 100 --out report.html --grids grids/
    $ vidanon evaluate generator data/lfw-dev --real data/faces --latents 4 --json
    $ vidanon evaluate generator data/lfw-dev --groups labels.csv
    $ vidanon evaluate generator data/lfw-dev --weights runs/mine/generator.safetensors --limit 200

    Is there still a face, is it still the person, does the same latent stay the same person when the crop moves, do
    other latents become other people, are new faces spread as real ones are, do lips and lids follow, does anything
    under the mask show. Recognition needs the extra: pip install 'vidanon\[evaluate]'.
    """
    typed: dict[str, object] = {"run.device": device, "output.overwrite": overwrite}
    settings, _ = o.settings_of(preset, typed, assignments)
    from vidanon.evaluate.examine import Equipment, Examiner
    from vidanon.evaluate.face_sheets import draw_sheets, require_free
    from vidanon.evaluate.generator import figures_of
    from vidanon.evaluate.generator_tables import require_writable, write_report
    from vidanon.evaluate.groups import read_groups
    from vidanon.evaluate.paint_speed import paint_speed
    from vidanon.evaluate.photos import photos_in
    from vidanon.evaluate.workers import Workers
    from vidanon.pipeline.device import limit_threads, pick_device

    replace = settings.output.overwrite
    if target is not None:
        require_writable(target, overwrite=replace)
    if grids is not None:
        require_free(grids, overwrite=replace)
    kinds = read_groups(groups) if groups is not None else None
    photos = photos_in(folder, limit=limit)
    limit_threads(settings.run.threads)
    equipment = Equipment(
        settings=settings,
        device=pick_device(settings.run.device),
        judges=tuple((path, scale or 1.0) for path, scale in map(o.path_and_scale, against or ())),
        latents=latents,
        seed=seed,
        weights=weights,
    )
    # built here too: what is missing is told at once, and speed is taken while nothing else runs
    tools = equipment.tools()
    speed = paint_speed(tools.painter)
    if grids is not None:
        draw_sheets(photos, Examiner(tools, equipment), equipment, grids, overwrite=replace)
    count = workers or min(settings.run.threads or os.cpu_count() or 1, 8)
    with Workers(equipment, tools, count=min(count, len(photos))) as pool:
        seen = list(_told(pool.look(photos), len(photos), "photos"))
        vectors = _real(real, pool) if real is not None else None
    report = figures_of(
        seen,
        folder=folder.resolve().name,
        weights=weights.name if weights else "as shipped",
        judges=[judge.name for judge in tools.judges],
        speed=speed,
        real=vectors,
        real_name=real.resolve().name if real else None,
        kinds=kinds,
    )
    if target is not None:
        write_report(report, target)
    if as_json:
        console.put_json(dataclasses.asdict(report))
    else:
        put_report(report)


def put_report(report: GeneratorReport) -> None:
    """A report as tables on stdout."""
    from vidanon.evaluate.generator_tables import notes, tables

    for note in notes(report):
        console.put(note)
    for table in tables(report):
        console.put("")
        console.put_table(table.heads, table.rows)


def _real(folder: Path, pool: Workers) -> FloatArray:
    """[N, 128] of the real faces in a folder."""
    import numpy as np

    from vidanon.evaluate.photos import photos_in, unpack_face_set

    with tempfile.TemporaryDirectory(prefix="vidanon-") as unpacked:
        is_set = (folder / "labels.npz").is_file()
        photos = unpack_face_set(folder, Path(unpacked)) if is_set else photos_in(folder)
        found = _told(pool.vectors(photos), len(photos), "real faces")
        return np.array([vector for vector in found if vector is not None], np.float32)


def _told(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The items, with a line on stderr now and then about how many there were."""
    last = time.monotonic()
    for i, item in enumerate(items, 1):
        if time.monotonic() - last > TELL_SECONDS and i < total:
            last = time.monotonic()
            console.say(f"{i} of {total} {what}")
        yield item
