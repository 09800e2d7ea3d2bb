"""The options of an encoder: ours for its quality and the source's profile, and what the user adds.

In: an encoder's name, the pixel format, the settings, the source's traits. Out: a dict for FFmpeg. Names the encoder
does not know, and those that would break a promise of ours, are refused here; wrong values when it is opened.
"""

from __future__ import annotations

import os
from fractions import Fraction

import av
import av.error
import av.logging
from av.codec.context import OptionFlags

from vidanon.errors import OutputError
from vidanon.settings import OutputSettings
from vidanon.types import CodecTraits

_PRORES = {"Proxy": "proxy", "LT": "lt", "Standard": "standard", "HQ": "hq", "4444": "4444", "XQ": "4444xq"}
_DNXHR = {
    "DNXHR LB": "dnxhr_lb",
    "DNXHR SQ": "dnxhr_sq",
    "DNXHR HQ": "dnxhr_hq",
    "DNXHR HQX": "dnxhr_hqx",
    "DNXHR 444": "dnxhr_444",
}
_H264 = {"Baseline": "baseline", "Constrained Baseline": "baseline", "Main": "main"}
"""profiles that x264 is held to; those above follow from the pixel format"""
_LOSSLESS = frozenset({"huffyuv", "ffvhuff", "utvideo", "v210", "rawvideo", "qtrle"})
_INTRA = frozenset({"libx264", "libx264rgb", "libx265", "mpeg2video", "mpeg4", "ffv1"})
"""encoders that are told to make every picture a key frame where the source's are"""
_TARGETS = {"b", "qp", "cqp", "global_quality", "minrate"}
"""options that replace our rate factor or quantizer"""
_JOINED = ("x264-params", "x265-params", "svtav1-params")
"""lists of the encoder's own, of which ours and the user's are both given"""
_OURS = {
    "time_base": "time",
    "video_size": "the size",
    "pixel_format": "the pixel format",
    "sar": "the pixels' shape",
    "aspect": "the pixels' shape",
    "color_primaries": "colour",
    "color_trc": "colour",
    "colorspace": "colour",
    "color_range": "colour",
    "chroma_sample_location": "colour",
    "field_order": "the order of the fields",
    "flags": "the flags",
    "flags2": "the flags",
    "codec_tag": "the codec's tag",
    "bits_per_raw_sample": "the bit depth",
    "bits_per_coded_sample": "the bit depth",
    "export_side_data": "side data",
    "a53cc": "captions",
    "udu_sei": "side data",
    "pass": "passes",
    "passlogfile": "passes",
    "stats": "passes",
}
"""options that follow the source, and what they would change"""


def built_in_options(
    name: str, pix_fmt: str, settings: OutputSettings, traits: CodecTraits, *, reorder: bool
) -> tuple[dict[str, str], int | None]:
    """Our options for encoder `name`, and its fixed quantizer where it has no rate factor, else None.

    `reorder=False` forbids B frames.
    """
    crf = settings.crf
    options: dict[str, str] = {}
    qscale = None
    if name in ("libx264", "libx264rgb", "libx265"):
        options = {"crf": f"{min(crf, 51):g}", "preset": settings.encoder_preset, "a53cc": "0"}
        if name == "libx264" and traits.profile in _H264 and pix_fmt in ("yuv420p", "yuvj420p") and crf >= 1:
            options["profile"] = _H264[traits.profile]
        if name == "libx265":
            options["x265-params"] = "log-level=error" + ("" if reorder else ":bframes=0")
    elif name == "libsvtav1":
        options = {"crf": f"{crf:.0f}", "preset": "8"}
    elif name in ("libvpx-vp9", "libvpx"):
        options = {"crf": f"{max(4, crf):.0f}", "b": "0" if name == "libvpx-vp9" else "50M", "cpu-used": "4"}
        options |= {"row-mt": "1"} if name == "libvpx-vp9" else {"auto-alt-ref": "0"}
    elif name == "prores_ks":
        options = {"profile": _prores(pix_fmt, traits), "vendor": "apl0"}
    elif name == "dnxhd":
        options = _dnxhd(pix_fmt, traits)
    elif name == "ffv1":
        options = {"level": "3", "slicecrc": "1"}
    elif name == "jpeg2000":
        options = {"pred": "dwt53"}
    elif name not in _LOSSLESS:
        # Quantizer scales run from 1 to 31; three steps of rate factor are about one of theirs.
        qscale = max(1, min(31, round((crf - 12) / 3) + 1))
        if name == "mpeg2video":
            options["a53cc"] = "0"
    if not reorder and name in ("libx264", "libx264rgb", "mpeg2video", "mpeg4"):
        options["bf"] = "0"
    if traits.intra and name in _INTRA:
        options["g"] = "1"
    return options, qscale


def _prores(pix_fmt: str, traits: CodecTraits) -> str:
    """The source's profile where the pictures fit it."""
    full = pix_fmt.startswith(("yuv444", "yuva444"))
    profile = _PRORES.get(traits.profile or "")
    if profile is not None and full == profile.startswith("4444"):
        return profile
    return "4444" if full else "hq"


def _dnxhd(pix_fmt: str, traits: CodecTraits) -> dict[str, str]:
    """The source's profile and rate where the pictures fit them, else DNxHR of about its quality."""
    if traits.profile == "DNXHD" and traits.megabits is not None and "422" in pix_fmt:
        return {"profile": "dnxhd", "b": f"{traits.megabits}M"}
    if "444" in pix_fmt or pix_fmt.startswith("gbrp"):
        return {"profile": "dnxhr_444"}
    profile = _DNXHR.get(traits.profile or "")
    if "10" in pix_fmt:
        return {"profile": "dnxhr_hqx"}
    return {"profile": profile if profile in ("dnxhr_lb", "dnxhr_sq", "dnxhr_hq") else "dnxhr_hq"}


def parse_options(text: str) -> dict[str, str]:
    """The dict that "name=value:name=value" says; before a colon or a backslash in a value stands a backslash.

    Raises OutputError for a part without a name or without "=".
    """
    parts, escaped = [""], False
    for letter in text:
        if escaped or letter not in "\\:":
            parts[-1] += letter
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            parts.append("")
    options: dict[str, str] = {}
    for part in filter(None, parts):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise OutputError(f'encoder option "{part}" is not an option', hint="write it as name=value")
        options[name.strip()] = value
    return options


def merged_options(
    encoder: str, ours: dict[str, str], qscale: int | None, asked: dict[str, str], *, reorder: bool
) -> tuple[dict[str, str], int | None]:
    """Our options and quantizer with what the user asks for over them.

    Raises OutputError for an option the encoder does not have, and for one that would break a promise.
    """
    known = _known_options(encoder)
    for name, value in asked.items():
        if name in _OURS:
            raise OutputError(
                f'encoder option "{name}" cannot be set: {_OURS[name]} must stay as in the source', hint="leave it out"
            )
        if name not in known:
            raise OutputError(
                f'encoder {encoder} has no option "{name}"',
                hint=f"`ffmpeg -h encoder={encoder}` lists them",
            )
        bframes = name == "bf" and value != "0"
        if not reorder and (bframes or (name in _JOINED and "bframes=" in value)):
            raise OutputError(
                f'encoder option "{name}={value}": this container cannot hold B frames at exact times',
                hint="leave it out, or write a .mp4, .mov or .mkv file",
            )
    options = dict(ours)
    if _TARGETS & asked.keys():
        options.pop("crf", None)
        qscale = None
    for name, value in asked.items():
        options[name] = f"{options[name]}:{value}" if name in _JOINED and name in options else value
    return options, qscale


def _known_options(encoder: str) -> set[str]:
    offered = av.CodecContext.create(encoder, "w").supported_options
    wanted = OptionFlags.ENCODING_PARAM | OptionFlags.VIDEO_PARAM
    generic = (option for option in offered.generic if option.flags & wanted == wanted)
    return {option.name for option in (*offered.private, *generic)}


def try_options(encoder: str, options: dict[str, str], *, size: tuple[int, int], pix_fmt: str, rate: Fraction) -> None:
    """Open the encoder once for a clip like this. Raises OutputError where it refuses or ignores an option."""
    os.environ.setdefault("SVT_LOG", "1")  # its own output, past FFmpeg's log
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt, context.time_base, context.framerate = pix_fmt, 1 / rate, rate
    context.options = dict(options)
    said: list[str] = []
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as log:
            context.open(strict=False)
        said = [text.strip() for _, _, text in log if "option" in text.lower() or "parsing" in text.lower()]
    except (av.error.FFmpegError, ValueError) as error:
        given = ", ".join(f"{name}={value}" for name, value in options.items())
        raise OutputError(f"encoder {encoder} refuses its options: {given}", hint="check encoder_options") from error
    finally:
        av.logging.set_level(level)
    said += [f'"{name}" does nothing here' for name in context.options]
    if said:
        raise OutputError(f"encoder {encoder}: {said[0]}", hint="check encoder_options")
