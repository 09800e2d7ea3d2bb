"""Settings: what a preset may say, and `load`, which merges preset, environment and options.

Four layers, the later one wins: the defaults below, a preset (TOML), the environment (VIDANON_SECTION__KEY), what
the caller asks for. Unknown keys, wrong types and values out of range are refused with their path and where they
came from, and `load` says of every value which layer it is from.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from vidanon import locations
from vidanon.errors import SettingsError
from vidanon.types import Method

DEFAULT_PRESET = "broadcast"
ENVIRONMENT_PREFIX = "VIDANON_"

Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base: immutable, keyword-only, no unknown keys."""


class DetectSettings(Frozen, frozen=True):
    """Where faces are looked for, and how sure one must be."""

    detector: str = "vidanon"
    """"vidanon" (our own), "vidanon-fast" (two thirds of its time, finds a little less), "mtcnn" (extra), or a path: a
    YuNet/SCRFD/CenterFace-style ONNX file, or .safetensors of `vidanon train detector`"""
    threshold: Unit = 0.65
    """score at which a detection may start a track"""
    weak_threshold: Unit = 0.3
    """score at which a detection may continue a track; never above `threshold`"""
    min_face_px: Positive = 12.0
    """smallest face, in px of the source, that must be found: sets the input scales"""
    nms_iou: Unit = 0.4
    """overlap above which two detections are one face"""
    tile_px: Count = 2048
    """longest side of one detector input; larger pictures are tiled"""


class TrackSettings(Frozen, frozen=True):
    """How detections become people over time."""

    min_iou: Unit = 0.2
    """least overlap of a flow-predicted box with a detection of the same face"""
    max_gap_seconds: NonNegative = 1.5
    """longest hole across which a track is followed frame by frame, and filled"""
    join_seconds: NonNegative = 3.0
    """longest hole between two tracks that are joined afterwards, and filled, where one ends as the other begins"""
    pad_seconds: NonNegative = 0.4
    """how long a track is extended past its first and last detection"""
    carry_seconds: NonNegative = 1.0
    """how long a face is followed by its own pixels past its last detection, and back before its first"""
    smooth_seconds: NonNegative = 0.35
    """width of the zero-phase smoothing of centre, size and keypoints"""
    min_detections: Count = 1
    """tracks with fewer confident detections are dropped; 1 keeps everything"""
    veto_confidence: Unit = 0.0
    """a track of one single confident detection is dropped if its keypoints are less sure than this; 0 keeps it"""
    faint_seconds: NonNegative = 0.4
    """a line of weak detections is a track all the same once it holds as many as there are frames in this time, on
    average at least halfway from `detect.weak_threshold` to `detect.threshold`; 0 = never"""
    drop_parts: Unit = 0.7
    """a detection of which more than this part lies in a surer, larger one belongs to that face, as do ears, hair,
    necks and chests that are taken for faces; 1 keeps all of them apart"""
    cut_threshold: Unit = 0.35
    """picture change above which a shot ends"""


class RenderSettings(Frozen, frozen=True):
    """What is painted over a face."""

    method: Method = "gan"
    """gan, blur, mosaic or solid"""
    fallback: Literal["blur", "mosaic", "solid"] = "solid"
    """what covers a face the generator could not paint"""
    doubtful: Method = "blur"
    """what covers, instead of a new face, somebody who hardly is one: the back of a head, a ball, a car"""
    doubt: Unit = 0.63
    """who that is: the median score of a person's detections is smaller than this; 0 = nobody"""
    region: Literal["face", "head"] = "face"
    """what is hidden: the face, or around it the head as well (ears, hair), of which a coarse blur is left"""
    mask_margin: NonNegative = 0.08
    """how far the mask reaches past the settled face box, in parts of its side"""
    feather: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    """width of the soft edge outside the mask, in parts of the box side"""
    truncation: Unit = 0.9
    """1 = the latent as drawn (most varied), 0 = the mean face"""
    candidates: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    """how many new people are considered for somebody; the one who suits hair, neck and clothes best is taken"""
    tone: Unit = 1.0
    """how far a new face's skin is moved from the painted tone towards the one that its surroundings let expect: 1 =
    half-way to how light it is, and to the warmer of both hues"""
    shape_change: Unit = 1.0
    """how far a new face is built like nobody's instead of the person's: 1 = wholly, 0 = eyes, nose, mouth and jaw lie
    exactly where theirs do"""
    blend_frames: Annotated[int, msgspec.Meta(ge=0, le=16)] = 6
    """how many frames before and after it a new face is blended with, bent to its keypoints: against flicker"""
    detail: Unit = 1.0
    """how far skin, brows, lashes and outline of a new face are its person's own, and crisp: 0 = as painted"""
    lively: Unit = 1.0
    """how much of irises, lashes, teeth and a mouth's inside is drawn where the keypoints have them: 0 = as painted"""
    mosaic_cells: Count = 6
    """cells across a face with method mosaic"""


class OutputSettings(Frozen, frozen=True):
    """How the result is encoded."""

    codec: str = "auto"
    """FFmpeg encoder name, or "auto": the source's codec where it can be encoded, else H.264"""
    crf: Annotated[float, msgspec.Meta(ge=0, le=63)] = 16.0
    """constant rate factor: lower is better and larger"""
    encoder_preset: str = "medium"
    """speed preset of x264 and x265"""
    encoder_options: str = ""
    """more of the encoder's own options, "name=value:name=value"; a colon in a value is written "\\:\""""
    video_streams: Literal["refuse", "main", "all"] = "refuse"
    """a clip with several cameras: refused, only its main one painted and kept, or all of them"""
    framerate: Positive = 25.0
    """frames a second of numbered pictures; clips know their own"""
    audio: Literal["copy", "drop"] = "copy"
    """every audio stream, or none"""
    voice: Literal["original", "mute", "disguise"] = "original"
    """packet-exact copy of the sound, silence of its length, or pitch and formants shifted and encoded anew"""
    subtitles: Literal["drop", "copy"] = "drop"
    """subtitle streams; they can name people"""
    chapters: Literal["drop", "copy"] = "drop"
    """chapter marks with their titles; they can name people"""
    keep_metadata: str = "language,timecode"
    """tags that pass, by name; "all" is every one but those of place, which are named one by one; "" is none"""
    overwrite: bool = False
    """replace an output that is there already"""


class RunSettings(Frozen, frozen=True):
    """How it runs."""

    device: str = "auto"
    """"auto", "cpu" or "cuda:N\""""
    batch_size: Count = 8
    """frames decoded and detected at a time; never changes the result"""
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """CPU threads of the networks, 0 = all cores"""


class Settings(Frozen, frozen=True):
    """One preset, whole."""

    description: str = ""
    """one line for the preset's list"""
    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    render: RenderSettings = RenderSettings()
    output: OutputSettings = OutputSettings()
    run: RunSettings = RunSettings()


DEFAULT_ORIGIN = "default"


def setting_types() -> dict[str, Any]:
    """Every setting's dotted key with its annotated type, in the order they are declared."""
    found: dict[str, Any] = {}
    for section in msgspec.structs.fields(Settings):
        if isinstance(section.type, type) and issubclass(section.type, Frozen):
            for field in msgspec.structs.fields(section.type):
                found[f"{section.name}.{field.name}"] = field.type
        else:
            found[section.name] = section.type
    return found


def presets(environ: Mapping[str, str] | None = None) -> dict[str, Path]:
    """The presets there are, by name: the shipped ones, then the user's, which stand before those of the same name."""
    found: dict[str, Path] = {}
    for folder in (locations.presets_dir(), locations.user_presets_dir(environ)):
        found.update({path.stem: path for path in sorted(folder.glob("*.toml"))})
    return dict(sorted(found.items()))


def find_preset(preset: str | Path, environ: Mapping[str, str] | None = None) -> Path:
    """The file of a preset, named or given by path (a path has a separator or ends in .toml).

    Raises SettingsError when there is none.
    """
    text = str(preset)
    if isinstance(preset, Path) or text.endswith(".toml") or os.sep in text:
        path = Path(preset).expanduser()
        if not path.is_file():
            raise SettingsError(f"no preset at {path}", hint="name a .toml file, or see `vidanon presets list`")
        return path
    known = presets(environ)
    if text not in known:
        raise SettingsError(
            f"no preset named {text!r}", hint=_suggestion(text, known) or f"there are: {', '.join(known)}"
        )
    return known[text]


def load(
    preset: str | Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[Settings, dict[str, str]]:
    """Merges the layers.

    Args: `preset`, a name or a path, None for DEFAULT_PRESET; `overrides`, what the caller asks for, by dotted key
    ("detect.threshold", also "detect__threshold" or "threshold"), None values not counting as asked for; `environ`,
    the environment, None for the process's own; `names`, what to call each override in messages ("--threshold").
    Returns the settings and, for every dotted key, where its value is from.
    Raises SettingsError: no such preset, not TOML, an unknown key, a wrong type, a value out of range.
    """
    environ = os.environ if environ is None else environ
    types = setting_types()
    values: dict[str, object] = {}
    origins = dict.fromkeys(types, DEFAULT_ORIGIN)
    layer = dict.fromkeys(types, 0)
    layers = (
        _from_preset(find_preset(DEFAULT_PRESET if preset is None else preset, environ), types),
        _from_environment(environ, types),
        _from_caller(overrides or {}, names or {}, types),
    )
    for number, items in enumerate(layers, start=1):
        for key, raw, origin in items:
            values[key] = _checked(key, raw, origin, types[key], lax=number > 1 and isinstance(raw, str))
            origins[key], layer[key] = origin, number
    settings = _built(values)
    if settings.detect.weak_threshold > settings.detect.threshold:
        weak, strong = "detect.weak_threshold", "detect.threshold"
        if layer[weak] >= layer[strong]:
            raise SettingsError(
                f"{weak} = {settings.detect.weak_threshold:g} ({origins[weak]}) is above "
                f"{strong} = {settings.detect.threshold:g} ({origins[strong]})",
                hint="what continues a track may be less sure than what starts one, never surer: lower the first",
            )
        # A caller who only lowers the threshold means both: a preset's weak threshold follows instead of refusing.
        values[weak] = settings.detect.threshold
        origins[weak] = f"lowered with {strong} ({origins[strong]})"
        settings = _built(values)
    return settings, origins


def _from_preset(path: Path, types: Mapping[str, Any]) -> Iterable[tuple[str, object, str]]:
    shipped = path.parent == locations.presets_dir()
    origin = f"preset {path.stem}" if shipped else f"preset {path}"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise SettingsError(f"{origin} cannot be read: {e}", hint="a preset is a TOML file in UTF-8") from e
    sections = {key.split(".")[0] for key in types if "." in key}
    for name, value in document.items():
        if name in sections and not isinstance(value, dict):
            raise SettingsError(f"{name} ({origin}) is a section", hint=f"write [{name}] and its keys below")
        flat = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
        for key, item in flat.items():
            if key not in types:
                raise _unknown(key, origin, types)
            yield key, item, origin


def _from_environment(environ: Mapping[str, str], types: Mapping[str, Any]) -> Iterable[tuple[str, object, str]]:
    for variable, value in sorted(environ.items()):
        # Only names with a double underscore are settings: VIDANON_DEBUG and the like are not.
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable or not value:
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".", 1)
        if key not in types:
            raise _unknown(key, f"environment {variable}", types)
        yield key, value, f"environment {variable}"


def _from_caller(
    overrides: Mapping[str, object], names: Mapping[str, str], types: Mapping[str, Any]
) -> Iterable[tuple[str, object, str]]:
    short = {key.rpartition(".")[2]: key for key in types}
    for asked, value in overrides.items():
        if value is None:
            continue
        key = asked.replace("__", ".", 1)
        key = key if key in types else short.get(key, key)
        origin = names.get(asked, "argument")
        if key not in types:
            raise _unknown(key, origin, types)
        yield key, value, origin


def _checked(key: str, raw: object, origin: str, kind: Any, *, lax: bool) -> object:
    """The value as its type wants it; `lax` reads numbers and booleans out of text."""
    try:
        value: object = msgspec.convert(raw, kind, strict=not lax)
    except msgspec.ValidationError as e:
        raise SettingsError(f"{key} = {raw!r} ({origin}) is not allowed", hint=f"give {expected(kind)}") from e
    if isinstance(value, float) and not math.isfinite(value):  # nan passes every range check
        raise SettingsError(f"{key} = {raw!r} ({origin}) is not allowed", hint=f"give {expected(kind)}")
    return value


def expected(kind: Any) -> str:
    """What a setting's type accepts, in words: "a number from 0 to 1"."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in info.values)
    if isinstance(info, msgspec.inspect.BoolType):
        return "true or false"
    if not isinstance(info, msgspec.inspect.FloatType | msgspec.inspect.IntType):
        return "text"
    noun = "a number" if isinstance(info, msgspec.inspect.FloatType) else "a whole number"
    if info.ge is not None and info.le is not None:
        return f"{noun} from {info.ge:g} to {info.le:g}"
    return f"{noun} above {info.gt:g}" if info.gt is not None else f"{noun} of at least {info.ge or 0:g}"


def _built(values: Mapping[str, object]) -> Settings:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        if section:
            nested.setdefault(section, {})[name] = value
        else:
            nested[name] = value
    return msgspec.convert(nested, Settings)


def _unknown(key: str, origin: str, types: Mapping[str, Any]) -> SettingsError:
    fallback = "`vidanon presets show` lists every key"
    return SettingsError(f"unknown setting {key} ({origin})", hint=_suggestion(key, types) or fallback)


def _suggestion(wrong: str, right: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(wrong, list(right), n=1)
    return f"did you mean {close[0]}?" if close else None
