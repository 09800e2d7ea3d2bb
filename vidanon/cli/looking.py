"""The verbs that look at files: info, compare, contact-sheet, presets list and show.

In come clips and presets; tables and JSON go to stdout, a contact sheet goes to a PNG.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from vidanon import locations
from vidanon import settings as presets_of
from vidanon.cli import console
from vidanon.cli import options as o
from vidanon.cli.summary import clock, count
from vidanon.errors import PlanError, VidanonError
from vidanon.types import VideoInfo

if TYPE_CHECKING:
    from vidanon.media.compare import Comparison
    from vidanon.media.fidelity import Fidelity

Clip = Annotated[Path, typer.Argument(metavar="INPUT", help="A video or a still picture.")]
Before = Annotated[Path, typer.Argument(metavar="SOURCE", help="The clip as it was.")]
After = Annotated[Path, typer.Argument(metavar="OUTPUT", help="Its anonymized copy.")]


def info(
    source: Clip,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Print what a file holds, and what vidanon would leave behind.

    [bold]Examples[/bold]

    $ vidanon info interview.mp4
    $ vidanon info interview.mp4 --json
    """
    from vidanon.media.probe import probe

    found = probe(source)
    if as_json:
        console.put_json(dataclasses.asdict(found))
        return
    for name, text in info_lines(found):
        console.put(f"{name:<12} {text}")


def info_lines(found: VideoInfo) -> list[tuple[str, str]]:
    """A probed clip in words: (what, value)."""
    rate = "rate unknown" if found.rate is None else f"{float(found.rate):.3f} fps on average"
    length = "unknown" if found.duration_seconds is None else clock(found.duration_seconds)
    frames = "" if found.frames_estimate is None else f", about {found.frames_estimate} frames"
    turned = f", stored turned by {found.rotation}°" if found.rotation else ""
    lines = [
        ("file", str(found.path)),
        ("container", found.container),
        ("video", f"{found.codec}, {found.width}x{found.height}{turned}, {found.pix_fmt}"),
        ("time", f"{length}{frames}, {rate}, time base {found.time_base}"),
    ]
    for audio in found.audio:
        language = f", {audio.language}" if audio.language not in {None, "und"} else ""
        lines.append(("audio", f"{audio.codec}, {audio.rate} Hz, {count(audio.channels, 'channel')}{language}"))
    if not found.audio:
        lines.append(("audio", "none"))
    lines.extend(("left behind", stream) for stream in found.other_streams)
    return lines


def compare(
    source: Before,
    output: After,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="PLAN", help="Where faces were painted: adds the PSNR elsewhere. Default: OUTPUT.vidanon."
        ),
    ] = None,
    preset: o.Preset = None,
    assignments: o.SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Measure that frame count, every time stamp and every audio packet of a copy equal the source's.

    With a plan it also measures how near the pictures are outside the faces: PSNR of the luma, over the pixels that
    neither a mask of the preset nor the 4 px around it touches.

    [bold]Examples[/bold]

    $ vidanon compare interview.mp4 safe.mp4
    $ vidanon compare interview.mp4 safe.mp4 --plan interview.vidanon --preset strict --json

    Exit code 1 says that something differs. What re-encoding does to the pictures is measured, not judged.
    """
    found = _compared(source, output, plan, o.settings_of(preset, {}, assignments)[0].render)
    if as_json:
        console.put_json({**dataclasses.asdict(found), "exact": found.exact})
    else:
        rows: list[list[object]] = [
            ["frames in", found.frames_in],
            ["frames out", found.frames_out],
            ["time stamps", "equal" if found.pts_equal else "DIFFER"],
            ["audio streams in", found.audio_streams[0]],
            ["audio streams out", found.audio_streams[1]],
            ["audio packets", "equal" if found.audio_packets_equal else "DIFFER"],
        ]
        console.put_table(["measure", "value"], rows + _fidelity_rows(found.fidelity))
    if not found.exact:
        raise VidanonError(f"{output} is not an exact companion of {source}", hint="the table says what differs")


def _compared(source: Path, output: Path, plan: Path | None, settings: presets_of.RenderSettings) -> Comparison:
    from vidanon.media.compare import compare as compare_files
    from vidanon.pipeline.compare import compare_outside
    from vidanon.plan.schema import PLAN_SUFFIX

    if plan is not None:
        return compare_outside(source, output, plan, settings=settings)
    beside = output.with_name(output.name + PLAN_SUFFIX)
    if beside.exists():
        try:
            return compare_outside(source, output, beside, settings=settings)
        except PlanError as e:
            console.say(f"{e.message}; pixels are not measured")
    return compare_files(source, output)


def _fidelity_rows(found: Fidelity | None) -> list[list[object]]:
    if found is None:
        return []
    if math.isinf(found.psnr_db):
        return [["pixels outside faces", f"equal ({found.measured:.1%} of all)"]]
    return [
        ["PSNR outside faces", f"{found.psnr_db:.2f} dB ({found.measured:.1%} of all pixels)"],
        ["PSNR of the worst frame", f"{found.worst_db:.2f} dB (frame {found.worst_frame})"],
    ]


def contact_sheet(
    source: Before,
    output: After,
    target: Annotated[Path, typer.Option("--output", "-o", metavar="PNG", help="The picture to write.")],
    moments: Annotated[int, typer.Option("--moments", metavar="N", min=1, max=60, help="How many moments.")] = 8,
    columns: Annotated[int, typer.Option("--columns", metavar="N", min=1, max=12, help="Pairs in a row.")] = 2,
    cell_width: Annotated[int, typer.Option("--cell-width", metavar="PX", min=64, help="Width of one picture.")] = 480,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that is there already.")] = False,
) -> None:
    """Put moments of a clip and of its anonymized copy side by side in one picture.

    [bold]Examples[/bold]

    $ vidanon contact-sheet interview.mp4 safe.mp4 -o sheet.png
    $ vidanon contact-sheet interview.mp4 safe.mp4 -o sheet.png --moments 24 --columns 3
    """
    from vidanon.media.filters import contact_sheet as draw
    from vidanon.media.sample import evenly, sample_frames

    frames, seconds = _length(source)
    indices = evenly(min(frames, _length(output)[0]), moments)
    pairs = zip(
        sample_frames(source, indices, max_side=2 * cell_width),
        sample_frames(output, indices, max_side=2 * cell_width),
        strict=True,
    )
    labels = [f"{what}  {seconds * i / frames:.2f} s, frame {i}" for i in indices for what in ("before", "after")]
    images = [image for pair in pairs for image in pair]
    draw(images, target, columns=2 * columns, cell_width=cell_width, labels=labels, overwrite=overwrite)
    console.say(f"{count(len(indices), 'moment')} in {target}")


def _length(path: Path) -> tuple[int, float]:
    """(frames, seconds) of a clip, counted where the container does not say."""
    from vidanon.media.probe import is_still, probe
    from vidanon.media.reader import Reader

    if is_still(path):
        return 1, 0.0
    found = probe(path)
    if found.frames_estimate and found.duration_seconds:
        return found.frames_estimate, found.duration_seconds
    with Reader(path) as reader:
        times = [frame.pts for frame in reader]
    return len(times), float((times[-1] - times[0]) * found.time_base)


def list_presets(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the presets: the shipped ones and your own in ~/.config/vidanon/presets.

    [bold]Examples[/bold]

    $ vidanon presets list
    """
    rows = []
    for name, path in presets_of.presets().items():
        found, _ = presets_of.load(path, environ={})
        rows.append({"name": name, "description": found.description, "path": str(path)})
    if as_json:
        console.put_json(rows)
        return
    mine = locations.presets_dir()
    console.put_table(
        ["name", "description", "from"],
        [[r["name"], r["description"], "shipped" if Path(r["path"]).parent == mine else r["path"]] for r in rows],
    )


def show_preset(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|PATH", help="A preset. Default: the one a run without --preset takes."),
    ] = None,
    assignments: o.SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print values and origins as JSON.")] = False,
) -> None:
    """Print every setting as a run would have it, and where each value is from.

    [bold]Examples[/bold]

    $ vidanon presets show
    $ vidanon presets show street
    $ VIDANON_TRACK__PAD_SECONDS=1 vidanon presets show strict --set detect.threshold=0.2
    """
    found, origins = o.settings_of(name, {}, assignments)
    values = {key: _value(found, key) for key in origins}
    if as_json:
        console.put_json({key: {"value": values[key], "from": origins[key]} for key in origins})
        return
    types = presets_of.setting_types()
    console.put_table(
        ["setting", "value", "from", "allowed"],
        [
            [key, _toml(values[key]), origins[key], presets_of.expected(types[key])]
            for key in origins
            if key != "description"
        ],
    )


def _value(settings: presets_of.Settings, key: str) -> object:
    section, _, name = key.rpartition(".")
    return getattr(getattr(settings, section) if section else settings, name)


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()
