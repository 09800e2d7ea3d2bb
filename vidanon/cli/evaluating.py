"""The verbs that measure what was made of a clip: evaluate temporal.

In come a clip, its plan and its anonymized copies; tables and JSON go to stdout, a plot to a PNG.
"""

from __future__ import annotations

import dataclasses
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidanon.cli import console
from vidanon.cli import options as o
from vidanon.cli.progress import view
from vidanon.errors import UsageError

if TYPE_CHECKING:
    from vidanon.cli.progress import View
    from vidanon.evaluate.report import TemporalReport
    from vidanon.evaluate.temporal import Output
    from vidanon.settings import Settings

ROWS = (
    ("face-frames", "faces", "d"),
    ("naked face-frames", "naked", "d"),
    ("coverage", "coverage", ".4f"),
    ("E_warp in the face", "e_warp", ".2e"),
    ("  times the source's", "e_warp_ratio", ".2f"),
    ("tOF, px", "t_of", ".2f"),
    ("adjacent dlib distance, median", "step_median", ".3f"),
    ("  95th percentile", "step_p95", ".3f"),
    ("crop above 5 Hz, px", "jitter", ".2f"),
    ("  while the head is still", "still_jitter", ".2f"),
    ("mouth, correlation", "mouth", ".3f"),
    ("  how far for the source's 1", "mouth_gain", ".2f"),
    ("lids, correlation", "lids", ".3f"),
)
"""what is printed of a clip: words, field of Figures, format"""


def temporal(
    original: Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The clip as it was.")],
    outputs: Annotated[
        list[Path] | None, typer.Argument(metavar="OUTPUT", help="Its anonymized copies, ours or another tool's.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="PATH", help="The clip's plan. Default: OUTPUT.vidanon, else a new scan."),
    ] = None,
    modes: Annotated[
        bool,
        typer.Option("--modes", help="Render the clip without and with what holds a face still, and compare these."),
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where --modes puts its copies and plans.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw one track's measures over time (extra).")
    ] = None,
    strip: Annotated[
        Path | None,
        typer.Option("--strip", metavar="PNG", help="Show eight frames in a row of one track, at its worst moment."),
    ] = None,
    track: Annotated[
        int | None, typer.Option("--track", metavar="N", help="The track to draw. Default: the longest.")
    ] = None,
    identity: Annotated[
        bool, typer.Option("--identity/--no-identity", help="Measure dlib distances too, which wants the extra.")
    ] = True,
    every: Annotated[
        int, typer.Option("--every", metavar="N", min=1, help="Measure the dlib distance of every N-th pair of frames.")
    ] = 1,
    preset: o.Preset = None,
    key_file: o.KeyFile = None,
    device: o.Device = None,
    overwrite: o.Overwrite = None,
    assignments: o.SetOption = None,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
) -> None:
    """Measure whether faces hold still, stay who they are, follow the speech and cover, against the source.

    [bold]Examples[/bold]

    $ vidanon evaluate temporal interview.mp4 safe.mp4 --plot safe.png
    $ vidanon evaluate temporal interview.mp4 safe.mp4 deface.mp4 --plan safe.mp4.vidanon --json
    $ vidanon evaluate temporal interview.mp4 --modes -o modes/ --strip modes.png

    The source has a column of its own: what cameras, encoders, detectors and dlib make of a face that is never changed.
    --modes renders a new face in every frame; one face a track on boxes and keypoints as detected (unsettled); on
    settled ones, every frame for itself (per-track); and what ships (full).
    """
    if modes == bool(outputs) or (modes and folder is None):
        raise UsageError("name copies to measure, or --modes with -o FOLDER to make some", hint="see --help")
    typed: dict[str, object] = {"run.device": device, "output.overwrite": overwrite}
    settings, _ = o.settings_of(preset, typed, assignments)
    with ExitStack() as stack:
        from vidanon.detect.landmarks import FaceLandmarker
        from vidanon.evaluate import plots
        from vidanon.evaluate.strips import strip as draw_strip
        from vidanon.evaluate.temporal import Output, measure
        from vidanon.models.embeddings import FaceEmbedder
        from vidanon.pipeline.device import limit_threads, pick_device
        from vidanon.render.align import CROP_SCALE

        screen = stack.enter_context(view(progress))
        stack.enter_context(console.stoppable("copies that were finished are kept"))
        if plot is not None:
            plots.require(plot, overwrite=settings.output.overwrite)
        embedder = FaceEmbedder(scale=CROP_SCALE) if identity else None
        limit_threads(settings.run.threads)
        locator = FaceLandmarker.shipped(pick_device(settings.run.device))
        if folder is not None and modes:
            plan = plan or folder / "full.vidanon"
            made = _modes(original, folder, plan, settings=settings, key_file=key_file, screen=screen)
        else:
            made = [Output(path.name, path) for path in outputs or ()]
            plan = plan or _plan_of(original, made[0].path, settings=settings, stack=stack, screen=screen)
        measured = measure(original, made, plan, embedder=embedder, locator=locator, every=every)
        if plot is not None:
            plots.plot(measured, plot, track=track, overwrite=settings.output.overwrite)
        if strip is not None:
            draw_strip(measured, original, made, plan, strip, track=track, overwrite=settings.output.overwrite)
    if as_json:
        console.put_json(dataclasses.asdict(measured.report))
    else:
        put_report(measured.report)


def _plan_of(original: Path, output: Path, *, settings: Settings, stack: ExitStack, screen: View) -> Path:
    """The plan beside an output, or one made for the moment."""
    from vidanon.pipeline.scan import scan
    from vidanon.plan.schema import PLAN_SUFFIX

    beside = output.with_name(output.name + PLAN_SUFFIX)
    if beside.exists():
        return beside
    plan = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vidanon-"))) / "plan.vidanon"
    scan(original, plan, settings=settings, listen=screen.listen)
    return plan


def _modes(
    original: Path, folder: Path, plan: Path, *, settings: Settings, key_file: Path | None, screen: View
) -> list[Output]:
    """Renders the clip in every mode. Raises OutputError for a copy that is there already."""
    from vidanon.evaluate.modes import MODES, mode_plan
    from vidanon.evaluate.temporal import Output
    from vidanon.media.writer import output_suffix
    from vidanon.pipeline.render import render
    from vidanon.pipeline.scan import scan
    from vidanon.plan.schema import KEY_SUFFIX
    from vidanon.render.identity import load_or_create_key

    folder.mkdir(parents=True, exist_ok=True)
    scan(original, plan, settings=settings, listen=screen.listen)
    key = load_or_create_key(key_file or plan.with_name(plan.name + KEY_SUFFIX))
    made = []
    for mode in MODES:
        target = (folder / mode.name).with_suffix(output_suffix(original))
        own = mode_plan(plan, mode, folder / f"{mode.name}.vidanon", settings=settings)
        render(original, own, target, settings=mode.settings(settings), key=key, listen=screen.listen)
        made.append(Output(mode.name, target, own))
    return made


def put_report(report: TemporalReport) -> None:
    """A temporal report as tables on stdout."""
    console.put(f"{report.original}: {report.frames} frames")
    rows = [[words, *(_figure(getattr(clip.whole, name), form) for clip in report.clips)] for words, name, form in ROWS]
    apart = ["least dlib distance between tracks", *(_figure(clip.separation_least, ".3f") for clip in report.clips)]
    console.put_table(["measure", *(clip.name for clip in report.clips)], [*rows, apart])
    kept = [_figure(value, ".3f") for value in (report.mouth_settled, report.lids_settled)]
    console.put(f"settled against scanned keypoints, correlation: mouth {kept[0]}, lids {kept[1]}")
    if len(report.clips[0].tracks) < 2:
        return
    for clip in report.clips[1:]:
        console.put(f"\n{clip.name}, track by track")
        console.put_table(
            ["track", "px", *(words.strip() for words, _, _ in ROWS)],
            [
                [t.track, f"{t.size_px:.0f}", *(_figure(getattr(t.figures, name), form) for _, name, form in ROWS)]
                for t in clip.tracks
            ],
        )


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
