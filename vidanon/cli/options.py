"""What several verbs share: the options that are settings, and how typed ones become a `Settings`.

An option counts only if it was typed: all of them default to None, which leaves the preset and the environment in
charge. `settings_of` turns the typed ones into overrides named after their flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from vidanon.errors import UsageError
from vidanon.settings import Settings, load

WHAT = "What to paint"
FIND = "What to find"
WRITE = "What to write"
HOW = "How to run"
SAY = "What to say"

ProgressMode = Literal["auto", "rich", "plain", "json", "none"]
MethodChoice = Literal["gan", "blur", "mosaic", "solid"]
RegionChoice = Literal["face", "head"]
CameraChoice = Literal["refuse", "main", "all"]
VoiceChoice = Literal["original", "mute", "disguise"]
CopyChoice = Literal["drop", "copy"]

Preset = Annotated[
    str | None,
    typer.Option("--preset", "-p", metavar="NAME|PATH", help="Preset by name or .toml path. Default: broadcast."),
]
MethodOption = Annotated[
    MethodChoice | None,
    typer.Option("--method", "-m", help="What covers a face.", rich_help_panel=WHAT, show_default=False),
]
RegionOption = Annotated[
    RegionChoice | None,
    typer.Option(
        "--region",
        help="What is hidden: the face, or the head with it, of which a coarse blur is left.",
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="PATH",
        rich_help_panel=WHAT,
        help="Secret the new faces are derived from; made if missing. Default: one beside each plan.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", metavar="0..1", help="Score from which a detection is a face.", rich_help_panel=FIND),
]
MinFace = Annotated[
    float | None,
    typer.Option("--min-face", metavar="PX", help="Smallest face to be found, source px.", rich_help_panel=FIND),
]
Detector = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME|PATH",
        rich_help_panel=FIND,
        help="vidanon, mtcnn (extra), or an ONNX file (extra) of the YuNet, SCRFD or CenterFace kind.",
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        "--codec", metavar="NAME", help="FFmpeg encoder, or auto: as the source if possible.", rich_help_panel=WRITE
    ),
]
Crf = Annotated[
    float | None,
    typer.Option("--crf", metavar="0..63", help="Rate factor: lower is better and larger.", rich_help_panel=WRITE),
]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder-option",
        metavar="NAME=VALUE",
        rich_help_panel=WRITE,
        help="An option of the encoder's own, as FFmpeg names it; may be repeated.",
    ),
]
VideoStreams = Annotated[
    CameraChoice | None,
    typer.Option(
        "--video-streams",
        rich_help_panel=WRITE,
        show_default=False,
        help="A clip with several cameras: refuse it, keep only the main one, or paint all.",
    ),
]
Framerate = Annotated[
    float | None,
    typer.Option("--framerate", metavar="FPS", help="Frames a second of numbered pictures.", rich_help_panel=WRITE),
]
NoAudio = Annotated[
    bool | None,
    typer.Option("--no-audio", help="Leave the sound out instead of copying it.", rich_help_panel=WRITE),
]
Voice = Annotated[
    VoiceChoice | None,
    typer.Option(
        "--voice",
        rich_help_panel=WRITE,
        show_default=False,
        help="Sound: copied as it is, silent, or disguised by shifting pitch and formants.",
    ),
]
Subtitles = Annotated[
    CopyChoice | None,
    typer.Option(
        "--subtitles", help="Subtitle streams; they can name people.", rich_help_panel=WRITE, show_default=False
    ),
]
Chapters = Annotated[
    CopyChoice | None,
    typer.Option("--chapters", help="Chapters; they can name people.", rich_help_panel=WRITE, show_default=False),
]
KeepMetadata = Annotated[
    str | None,
    typer.Option(
        "--keep-metadata",
        metavar="NAME,NAME",
        rich_help_panel=WRITE,
        help='Tags that pass: "language,timecode", or all (but those of place, to be named one by one).',
    ),
]
Overwrite = Annotated[
    bool | None,
    typer.Option("--overwrite", help="Replace an output that is there already.", rich_help_panel=WRITE),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="auto|cpu|cuda:N", help="Where the networks run.", rich_help_panel=HOW),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Frames decoded and detected at a time. Never changes the result.",
        rich_help_panel=HOW,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        rich_help_panel=HOW,
        help="Any other setting; may be repeated. `vidanon presets show` lists them.",
    ),
]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option("--progress", help="auto: bars on a terminal, else plain lines.", rich_help_panel=SAY),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel=SAY)]

FLAGS = {
    "render.method": "--method",
    "render.region": "--region",
    "detect.threshold": "--threshold",
    "detect.min_face_px": "--min-face",
    "detect.detector": "--detector",
    "output.codec": "--codec",
    "output.crf": "--crf",
    "output.encoder_options": "--encoder-option",
    "output.video_streams": "--video-streams",
    "output.framerate": "--framerate",
    "output.audio": "--no-audio",
    "output.voice": "--voice",
    "output.subtitles": "--subtitles",
    "output.chapters": "--chapters",
    "output.keep_metadata": "--keep-metadata",
    "output.overwrite": "--overwrite",
    "run.device": "--device",
    "run.batch_size": "--batch-size",
}
"""Which flag sets which setting: what messages and `presets show` call it."""


def settings_of(
    preset: str | None, typed: dict[str, object], assignments: Sequence[str] | None
) -> tuple[Settings, dict[str, str]]:
    """The settings and their origins. Args: `typed`, by dotted key; `assignments`, the texts of --set.

    Raises UsageError for an assignment without "=" and SettingsError for what `load` refuses.
    """
    overrides: dict[str, object] = {}
    names = dict(FLAGS)
    for text in assignments or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {text} is not an assignment", hint="write --set track.pad_seconds=0.8")
        overrides[key.strip()] = value.strip()
        names[key.strip()] = "--set"
    # A flag of its own stands before a --set of the same key.
    typed = {key: value for key, value in typed.items() if value is not None}
    for key in typed:
        names[key] = FLAGS[key]
    return load(preset, overrides={**overrides, **typed}, names=names)


def path_and_scale(text: str) -> tuple[str, float | None]:
    """PATH or PATH@SCALE of an --against; no scale is None. Raises UsageError for a scale that is none."""
    path, at, scale = text.rpartition("@")
    if not at:
        return text, None
    try:
        factor = float(scale)
    except ValueError:
        factor = 0.0
    if factor <= 0:
        raise UsageError(f"--against {text}: {scale!r} is not a scale", hint="write yunet.onnx@2")
    return path, factor


def drop_audio(no_audio: bool | None) -> str | None:
    """The setting that --no-audio stands for; None where it was not typed."""
    return "drop" if no_audio else None


def encoder_options(pairs: Sequence[str] | None) -> str | None:
    """The setting that the texts of --encoder-option stand for; None where none was typed.

    Raises UsageError for a text without a name or without "=".
    """
    if not pairs:
        return None
    for text in pairs:
        name, equals, _ = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--encoder-option {text} is not an option", hint="write --encoder-option tune=film")
    return ":".join(text.replace("\\", "\\\\").replace(":", "\\:") for text in pairs)
