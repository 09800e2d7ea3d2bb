"""The verbs that work on pictures: run, scan, render.

In come paths and options, out come files; what happened is said on stderr and, with --json, on stdout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidanon.cli import console
from vidanon.cli import options as o
from vidanon.cli.progress import view
from vidanon.cli.summary import total
from vidanon.errors import VidanonError
from vidanon.pipeline.events import Finished
from vidanon.pipeline.reports import FileReport, RunReport, ScanReport, document

RESUMES = "no partial output is left, the plan is kept: the same command goes on where this one stopped"


def run(  # the order of the parameters is the order of the help
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Videos, still pictures, and folders of either.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file for one input file; else a folder that mirrors the inputs' trees.",
        ),
    ],
    preset: o.Preset = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="PATH", help="Where the plan of a single input is kept. Default: OUT.vidanon."),
    ] = None,
    method: o.MethodOption = None,
    region: o.RegionOption = None,
    key_file: o.KeyFile = None,
    threshold: o.Threshold = None,
    min_face: o.MinFace = None,
    detector: o.Detector = None,
    codec: o.Codec = None,
    crf: o.Crf = None,
    encoder_option: o.EncoderOption = None,
    video_streams: o.VideoStreams = None,
    framerate: o.Framerate = None,
    no_audio: o.NoAudio = None,
    voice: o.Voice = None,
    subtitles: o.Subtitles = None,
    chapters: o.Chapters = None,
    keep_metadata: o.KeepMetadata = None,
    overwrite: o.Overwrite = None,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    assignments: o.SetOption = None,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
) -> None:
    """Anonymize videos and pictures: scan, settle, render.

    [bold]Examples[/bold]

    $ vidanon run interview.mp4 -o safe.mp4
    $ vidanon run interview.mp4 -o safe.mp4 --preset strict --device cuda:0
    $ vidanon run interview.mov -o safe.mov --voice disguise --keep-metadata language,timecode
    $ vidanon run captures/ -o covered/ --preset street --json > report.json
    $ vidanon run face.jpg -o safe.jpg --set render.truncation=1

    A file appears only when all of it is done. A run that was stopped goes on where it was.
    """
    settings, _ = o.settings_of(
        preset,
        {
            "render.method": method,
            "render.region": region,
            "detect.threshold": threshold,
            "detect.min_face_px": min_face,
            "detect.detector": detector,
            "output.codec": codec,
            "output.crf": crf,
            "output.encoder_options": o.encoder_options(encoder_option),
            "output.video_streams": video_streams,
            "output.framerate": framerate,
            "output.audio": o.drop_audio(no_audio),
            "output.voice": voice,
            "output.subtitles": subtitles,
            "output.chapters": chapters,
            "output.keep_metadata": keep_metadata,
            "output.overwrite": overwrite,
            "run.device": device,
            "run.batch_size": batch_size,
        },
        assignments,
    )
    with view(progress) as screen, console.stoppable(RESUMES):
        from vidanon.pipeline.run import anonymize

        report = anonymize(inputs, output, settings=settings, key_file=key_file, plan=plan, listen=screen.listen)
    if as_json:
        console.put_json(document(report))
    if progress in {"auto", "rich", "plain"} and len(report.files) + len(report.failures) > 1:
        console.say(total(report))
    raise typer.Exit(exit_code(report))


def exit_code(report: RunReport) -> int:
    """0 if all went well; the failure's own code when it was the only input; 1 when some of several failed."""
    if report.ok:
        return 0
    alone = len(report.failures) == 1 and not report.files
    return report.failures[0][1].exit_code if alone else VidanonError.exit_code


def scan(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A video or a still picture.")],
    plan: Annotated[Path, typer.Option("--plan", metavar="PATH", help="The plan to write, or to go on with.")],
    preset: o.Preset = None,
    threshold: o.Threshold = None,
    min_face: o.MinFace = None,
    detector: o.Detector = None,
    video_streams: o.VideoStreams = None,
    framerate: o.Framerate = None,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    assignments: o.SetOption = None,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
) -> None:
    """Find and follow the faces, and write the plan. Nothing is painted.

    [bold]Examples[/bold]

    $ vidanon scan interview.mp4 --plan interview.vidanon
    $ vidanon scan interview.mp4 --plan interview.vidanon --preset strict --min-face 10
    """
    settings, _ = o.settings_of(
        preset,
        {
            "detect.threshold": threshold,
            "detect.min_face_px": min_face,
            "detect.detector": detector,
            "output.video_streams": video_streams,
            "output.framerate": framerate,
            "run.device": device,
            "run.batch_size": batch_size,
        },
        assignments,
    )
    with view(progress) as screen, console.stoppable(RESUMES):
        from vidanon.pipeline.scan import scan as scan_clip

        report: ScanReport = scan_clip(source, plan, settings=settings, listen=screen.listen)
        screen.listen(Finished(source, report))
    if as_json:
        console.put_json(document(report))


def render(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="The clip the plan was made of.")],
    plan: Annotated[Path, typer.Option("--plan", metavar="PATH", help="The plan that says what to cover.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write.")],
    preset: o.Preset = None,
    method: o.MethodOption = None,
    region: o.RegionOption = None,
    key_file: o.KeyFile = None,
    codec: o.Codec = None,
    crf: o.Crf = None,
    encoder_option: o.EncoderOption = None,
    video_streams: o.VideoStreams = None,
    framerate: o.Framerate = None,
    no_audio: o.NoAudio = None,
    voice: o.Voice = None,
    subtitles: o.Subtitles = None,
    chapters: o.Chapters = None,
    keep_metadata: o.KeepMetadata = None,
    overwrite: o.Overwrite = None,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    assignments: o.SetOption = None,
    progress: o.ProgressOption = "auto",
    as_json: o.JsonOption = False,
) -> None:
    """Paint over the faces of a plan and write the anonymized copy.

    [bold]Examples[/bold]

    $ vidanon render interview.mp4 --plan interview.vidanon -o safe.mp4
    $ vidanon render interview.mp4 --plan interview.vidanon -o safe.mp4 --method solid --overwrite
    """
    settings, _ = o.settings_of(
        preset,
        {
            "render.method": method,
            "render.region": region,
            "output.codec": codec,
            "output.crf": crf,
            "output.encoder_options": o.encoder_options(encoder_option),
            "output.video_streams": video_streams,
            "output.framerate": framerate,
            "output.audio": o.drop_audio(no_audio),
            "output.voice": voice,
            "output.subtitles": subtitles,
            "output.chapters": chapters,
            "output.keep_metadata": keep_metadata,
            "output.overwrite": overwrite,
            "run.device": device,
            "run.batch_size": batch_size,
        },
        assignments,
    )
    with view(progress) as screen, console.stoppable("no partial output is left, the plan is as it was"):
        from vidanon.pipeline.render import render as render_clip
        from vidanon.plan.schema import KEY_SUFFIX
        from vidanon.render.identity import load_or_create_key

        key = load_or_create_key(key_file or plan.with_name(plan.name + KEY_SUFFIX))
        report: FileReport = render_clip(source, plan, output, settings=settings, key=key, listen=screen.listen)
        screen.listen(Finished(source, report))
    if as_json:
        console.put_json(document(report))
