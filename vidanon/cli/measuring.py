"""The verbs that measure detection: evaluate detector, evaluate grids, evaluate misses; calibrate.

In come labelled pictures, portraits, clips; tables and JSON go to stdout, a preset or a picture of misses to a file.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from vidanon.cli import console
from vidanon.cli import options as o
from vidanon.errors import OutputError, UsageError

if TYPE_CHECKING:
    from vidanon.detect.base import Detector
    from vidanon.evaluate.grids import GridReport
    from vidanon.settings import Settings

EVERYTHING = "detect.weak_threshold=0.001"
"""Every score counts when measuring, so nothing may be dropped before."""

Json = Annotated[bool, typer.Option("--json", help="Print the measures as JSON.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures and a boxes.json with their faces.")]


def settings_for(
    detector: str | None, device: str | None, min_face: float | None, preset: str | None, *more: str
) -> Settings:
    """Settings of a preset with what was typed; `more` are KEY=VALUE."""
    typed: dict[str, object] = {"detect.detector": detector, "detect.min_face_px": min_face, "run.device": device}
    return o.settings_of(preset, typed, more)[0]


def built(settings: Settings) -> Detector:
    """The detector of these settings, on their device and threads."""
    from vidanon.detect.factory import build_detector
    from vidanon.pipeline.device import limit_threads, pick_device

    limit_threads(settings.run.threads)
    return build_detector(settings.detect, device=pick_device(settings.run.device), threads=settings.run.threads)


def _rival(text: str, settings: Settings) -> Detector:
    """The detector of an --against: PATH through our passes, PATH@SCALE shown every picture once at that scale."""
    from vidanon.detect.onnx import OnnxNetwork
    from vidanon.detect.plain import PlainDetector

    path, scale = o.path_and_scale(text)
    if scale is None:
        return built(_with_detector(settings, text))
    least, threads = settings.detect.weak_threshold, settings.run.threads
    network = OnnxNetwork(Path(path), least=least, nms_iou=settings.detect.nms_iou, threads=threads)
    return PlainDetector(network, name=network.name, scale=scale)


def _with_detector(settings: Settings, detector: str) -> Settings:
    return msgspec.structs.replace(settings, detect=msgspec.structs.replace(settings.detect, detector=detector))


def detector(
    folder: Folder,
    detector: o.Detector = None,
    device: o.Device = None,
    min_face: o.MinFace = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="PATH[@SCALE]",
            help="Another ONNX detector beside it, through our passes or once at a scale; may be repeated.",
        ),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only every fifth picture by name: those our training leaves out.")
    ] = False,
    iou: Annotated[float, typer.Option("--iou", metavar="0..1", help="Overlap from which a box is a hit.")] = 0.4,
    false_positives: Annotated[
        float, typer.Option("--false-positives", metavar="N", help="False alarms a picture at which recall is told.")
    ] = 0.5,
    as_json: Json = False,
) -> None:
    """Measure detectors on labelled pictures, side by side: average precision, recall by face size, time.

    [bold]Examples[/bold]

    $ vidanon evaluate detector data/crowd-dev --held-out
    $ vidanon evaluate detector data/crowd-dev --against yunet.onnx@1 --against yunet.onnx@2 --json
    """
    from vidanon.detect.labelled import names_of, split
    from vidanon.evaluate.detector import evaluate

    settings = settings_for(detector, device, min_face, None, EVERYTHING)
    detectors = [built(settings), *(_rival(text, settings) for text in against or ())]
    names = split(names_of(folder))[1] if held_out else None
    reports = evaluate(folder, detectors, names=names, iou=iou, false_positives=false_positives)
    if as_json:
        console.put_json([dataclasses.asdict(report) for report in reports])
        return
    first = reports[0]
    console.put(
        f"{first.pictures} pictures, {first.faces} faces, hits from IoU {iou:g}; recall at {false_positives:g} false "
        "alarms a picture"
    )
    sizes = [f"{low:g} to {high:g} px ({faces})" for low, high, _, faces in first.recall_by_size]
    rows = [
        [r.detector, r.ap, r.recall, r.threshold, *(recall for _, _, recall, _ in r.recall_by_size), f"{r.ms:.1f}"]
        for r in reports
    ]
    console.put_table(["detector", "AP", "recall", "at score", *sizes, "ms a picture"], rows)
    console.put("\nwith a score as the threshold: recall, false alarms a picture")
    scores = [f"{score:g}" for score, *_ in first.by_score]
    costs = [[r.detector, *(f"{recall:.3f}, {wrong:.2f}" for _, recall, wrong in r.by_score)] for r in reports]
    console.put_table(["detector", *scores], costs)


def grids(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Portraits, each with one face in its middle.")],
    detector: o.Detector = None,
    device: o.Device = None,
    preset: o.Preset = None,
    min_face: o.MinFace = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="Portraits in every cell.")] = 100,
    as_json: Json = False,
) -> None:
    """Measure where detection goes blind: recall by face size and tilt, by motion blur and by noise.

    A hit needs the score at which the preset starts a track.

    [bold]Examples[/bold]

    $ vidanon evaluate grids data/lfw-dev
    $ vidanon evaluate grids data/lfw-dev --preset strict --count 30
    """
    from vidanon.evaluate.grids import evaluate_grids

    settings = settings_for(detector, device, min_face, preset)
    threshold = settings.detect.threshold
    report = evaluate_grids(folder, built(settings), threshold=threshold, count=count)
    if as_json:
        console.put_json(dataclasses.asdict(report))
        return
    console.put(f"{report.detector}, score from {threshold:g}, smallest face {settings.detect.min_face_px:g} px")
    console.put(f"portraits as they are: {report.main_faces:.2%} of the faces in the middle found")
    console.put(f"a neck or chest taken for a face in {report.chests:.2%} of them")
    _put_grids(report)


def _put_grids(report: GridReport) -> None:
    from vidanon.evaluate.grids import BLURS, DAMAGED_PX, NOISES, SIZES_PX, TILTS_DEG, Cell

    console.put("recall by tilt and size of the face")
    rows = [[f"{tilt:g}°", *(report.recall(Cell(size, tilt=tilt)) for size in SIZES_PX)] for tilt in TILTS_DEG]
    console.put_table(["tilt", *(f"{size:g} px" for size in SIZES_PX)], rows)
    console.put("recall by size, motion blur (in face sides) and noise (levels of 255)")
    rows = [
        [
            f"{size:g} px",
            *(report.recall(Cell(size, blur=blur)) for blur in BLURS),
            *(report.recall(Cell(size, noise=noise)) for noise in NOISES[1:]),
        ]
        for size in DAMAGED_PX
    ]
    heads = [*("sharp" if not blur else f"blur {blur:g}" for blur in BLURS), *(f"noise {n:g}" for n in NOISES[1:])]
    console.put_table(["face", *heads], rows)


def misses(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A clip that has been scanned.")],
    plan: Annotated[Path, typer.Option("--plan", metavar="PATH", help="Its plan.")],
    teacher: Annotated[
        list[Path], typer.Option("--teacher", metavar="ONNX", help="Another detector; may be repeated.")
    ],
    least: Annotated[float, typer.Option("--score", metavar="0..1", help="A teacher's score that counts.")] = 0.6,
    min_px: Annotated[float, typer.Option("--min-px", metavar="PX", help="Smallest face that counts.")] = 16.0,
    looks: Annotated[
        int,
        typer.Option("--looks", metavar="N", min=1, help="How many looks, each a teacher at a scale, must see a face."),
    ] = 1,
    every: Annotated[int, typer.Option("--every", metavar="N", min=1, help="Look at every N-th frame.")] = 1,
    sheet: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PNG", help="Pictures of the faces missed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask other detectors, at several scales, for faces that a plan does not cover.

    Of each miss it tells how many looks (a teacher at a scale) see it, and the score of the scan's own detection there.

    [bold]Examples[/bold]

    $ vidanon scan interview.mp4 --plan interview.vidanon
    $ vidanon evaluate misses interview.mp4 --plan interview.vidanon --teacher yunet.onnx -o missed.png
    """
    from vidanon.detect.onnx import OnnxNetwork
    from vidanon.evaluate.misses import find_misses
    from vidanon.media.filters import contact_sheet as draw

    threads = settings_for(None, None, None, None).run.threads
    teachers = [OnnxNetwork(path, least=least, nms_iou=0.4, threads=threads) for path in teacher]
    report, crops = find_misses(clip, plan, teachers, least=least, min_px=min_px, looks=looks, every=every)
    if sheet is not None and crops:
        labels = [f"{miss.frame}: {miss.score:.2f}, {miss.looks}x, ours {miss.scanned:.2f}" for miss in report.misses]
        draw(crops, sheet, columns=min(8, len(crops)), cell_width=160, labels=labels, overwrite=True)
    if as_json:
        console.put_json({**dataclasses.asdict(report), "frames_with_misses": report.frames_with_misses})
        return
    console.put(
        f"{report.clip}: {report.frames} frames, {report.faces} faces seen by the teachers, {len(report.misses)} not "
        f"covered, in {report.frames_with_misses:.2%} of the frames"
    )
    rows = [
        [miss.frame, *(f"{v:.0f}" for v in miss.box), miss.score, miss.looks, miss.scanned] for miss in report.misses
    ]
    console.put_table(["frame", "x0", "y0", "x1", "y1", "score", "looks", "ours"], rows)


def calibrate(
    folder: Folder,
    recall: Annotated[float, typer.Option("--recall", metavar="0..1", help="Share of the faces to be found.")],
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PRESET.toml", help="Write a preset with the threshold.")
    ] = None,
    preset: o.Preset = None,
    detector: o.Detector = None,
    device: o.Device = None,
    min_face: o.MinFace = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a preset that is there already.")] = False,
    as_json: Json = False,
) -> None:
    """Pick the detection threshold for a wanted recall, on your own pictures with boxes, and write it to a preset.

    Faces under --min-face do not count. The preset is --preset (broadcast if none) with its detection settings changed.

    [bold]Examples[/bold]

    $ vidanon calibrate my-pictures --recall 0.95 -o my-camera.toml
    $ vidanon run clip.mp4 -o safe.mp4 --preset my-camera.toml
    """
    from vidanon.evaluate import calibrate as room
    from vidanon.settings import DEFAULT_PRESET, find_preset

    if target is not None and target.suffix != ".toml":
        raise UsageError(f"{target} does not end in .toml", hint="a preset is a TOML file")
    if target is not None and target.exists() and not overwrite:
        raise OutputError(f"{target}: exists already", hint="choose another name, or give --overwrite")
    settings = settings_for(detector, device, min_face, preset, EVERYTHING)
    smallest = settings.detect.min_face_px
    chosen = room.calibrate(folder, built(settings), recall=recall, min_face_px=smallest)
    if target is not None:
        base = find_preset(preset or DEFAULT_PRESET).read_text(encoding="utf-8")
        text = room.preset_text(base, chosen, detector=settings.detect.detector, min_face_px=smallest)
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as e:
            raise OutputError(f"{target}: cannot be written: {e.strerror}", hint="choose another folder") from e
    if as_json:
        console.put_json(dataclasses.asdict(chosen))
        return
    low, high = chosen.interval
    console.put(
        f"threshold {chosen.threshold:g} finds {chosen.recall:.3f} of {chosen.faces} faces of {smallest:g} px or more "
        f"(95 % interval {low:.3f} to {high:.3f}), with {chosen.false_positives:.2f} false alarms a picture"
    )
    if target is not None:
        console.say(f"written: {target}; use it with --preset {target}")
