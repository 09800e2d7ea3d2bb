"""Which encoder writes a clip, in which pixel format and with which options.

In: the source's codec, its decoded picture, the container, the settings. Out: an `EncoderChoice`. Nothing is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

import av
import av.codec.codec

from vidanon.errors import OutputError
from vidanon.media.codec_options import built_in_options, merged_options, parse_options, try_options
from vidanon.media.formats import Layout, layout_of
from vidanon.settings import OutputSettings
from vidanon.types import CodecTraits

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
    ".mxf": "mxf",
    ".avi": "avi",
}
"""FFmpeg's muxer for a suffix we write"""
FIXED_RATE = frozenset({"mxf", "avi"})
"""containers that count pictures instead of giving each its time"""
SHOWN_LATE = frozenset({"libx264", "mpeg2video"})
"""encoders whose pictures an AVI, which says when they are decoded, shows one picture later"""
NO_TURN = frozenset({"mpegts", "mxf", "avi"})
"""containers that cannot say how the picture is to be turned"""

_SAME_CODEC = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "vp8": "libvpx",
    "prores": "prores_ks",
    "dnxhd": "dnxhd",
    "mpeg2video": "mpeg2video",
    "mpeg4": "mpeg4",
    "mjpeg": "mjpeg",
    "jpeg2000": "jpeg2000",
    "dvvideo": "dvvideo",
    "ffv1": "ffv1",
    "huffyuv": "huffyuv",
    "ffvhuff": "ffvhuff",
    "utvideo": "utvideo",
    "v210": "v210",
    "rawvideo": "rawvideo",
    "qtrle": "qtrle",
}
_EDITORS = frozenset({"mpeg2video", "prores", "dnxhd", "mjpeg", "jpeg2000", "dvvideo", "h264"})
_HELD_BY = {
    "mp4": frozenset({"h264", "hevc", "av1", "vp9", "mpeg2video", "mpeg4", "mjpeg"}),
    "mov": _EDITORS | {"hevc", "mpeg4", "v210", "qtrle"},
    "webm": frozenset({"vp8", "vp9", "av1"}),
    "mpegts": frozenset({"h264", "hevc", "mpeg2video"}),
    "mxf": _EDITORS | {"ffv1"},
    "avi": frozenset(_SAME_CODEC) - {"hevc", "av1", "vp9", "vp8", "prores", "qtrle"},
}
_FALLBACK = {
    "webm": ("libvpx-vp9", "libsvtav1"),
    "mxf": ("libx264", "prores_ks"),
    "avi": ("mpeg4", "ffv1"),
}
"""encoders for what has none of its own; in the other containers _ANYWHERE"""
_ANYWHERE = ("libx264", "libx265")
_MPEG2_RATES = tuple(
    Fraction(n, d)
    for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1))
)
# These refuse a picture whose size is not a whole number of chroma samples.
_WHOLE_CHROMA = frozenset(
    {"libx264", "libx265", "libsvtav1", "prores_ks", "dnxhd", "huffyuv", "ffvhuff", "utvideo", "v210", "rawvideo"}
)
_DV_FORMATS = {(720, 576): ("yuv420p", "yuv422p"), (720, 480): ("yuv411p", "yuv422p")}
_LEAST_DNXHR = (256, 120)
_INTERLACED = frozenset({"libx264", "mpeg2video", "mpeg4", "prores_ks", "dnxhd", "ffv1", "dvvideo", "v210"})


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """How the pictures are encoded."""

    encoder: str
    """FFmpeg's name"""
    pix_fmt: str
    """pixel format handed to the encoder"""
    options: dict[str, str]
    """its private options"""
    rate: Fraction
    """frames a second it is told; time stamps are set on the packets afterwards"""
    qscale: int | None
    """fixed quantizer for encoders without a rate factor, else None"""
    interlaced: bool
    """code the two fields of a picture apart"""


def choose_encoder(
    *,
    codec: str,
    picture: av.VideoFrame,
    pix_fmt: str,
    rate: Fraction | None,
    container: str,
    reorder: bool,
    settings: OutputSettings,
    start: Fraction = Fraction(0),
    traits: CodecTraits | None = None,
) -> EncoderChoice:
    """The encoder for a clip of source codec `codec` whose pictures look like `picture` and are worked on in `pix_fmt`.

    It is the source's codec, in its profile (`traits`), unless that would lose colour, depth or chroma which another
    encoder keeps. `reorder=False` forbids B frames; `start` is when the first picture is shown, seconds. Raises
    OutputError where the asked-for encoder does not exist, cannot hold the picture, or does not take its options.
    """
    traits = traits or CodecTraits()
    small = "yuv420p" if codec == "gif" else pix_fmt.replace("yuvj", "yuv")
    if codec == "prores":
        # Its decoder gives 12 bits of 4:4:4 whatever was coded; the encoder takes 10 and codes the same range.
        small = small.replace("12", "10")
    names = (settings.codec,) if settings.codec != "auto" else _automatic(codec, container, traits)
    if container == "avi" and start * (rate or 25) < 1:
        names = tuple(name for name in names if name not in SHOWN_LATE) or _refuse_late(names[0])
    fitting = [(name, fitted) for name in names if (fitted := _best_format(name, small, picture)) is not None]
    if not fitting:
        raise OutputError(
            f"encoder {names[0]} cannot hold a picture of {picture.width} x {picture.height} px without changing it",
            hint='set codec to "libx264" or "ffv1"',
        )
    name, fitted = min(fitting, key=lambda pair: _loss(small, pair[1])[:_WORTH_ANOTHER_CODEC])
    options, qscale = built_in_options(name, fitted, settings, traits, reorder=reorder)
    told = _rate(name, rate)
    if asked := parse_options(settings.encoder_options):
        options, qscale = merged_options(name, options, qscale, asked, reorder=reorder)
        try_options(name, options, size=(picture.width, picture.height), pix_fmt=fitted, rate=told)
    return EncoderChoice(
        encoder=name,
        pix_fmt=fitted,
        options=options,
        rate=told,
        qscale=qscale,
        interlaced=picture.interlaced_frame and name in _INTERLACED and options.get("profile", "")[:5] != "dnxhr",
    )


def _refuse_late(name: str) -> NoReturn:
    raise OutputError(
        f"an .avi file would show the pictures of {name} one picture late", hint='set codec to "auto", or write a .mkv'
    )


def _best_format(name: str, wanted: str, picture: av.VideoFrame) -> str | None:
    """The pixel format in which encoder `name` keeps most of `wanted`; None where it cannot hold the picture."""
    offered = encoder_formats(name) or [wanted]
    fitting = [f for f in offered if _fits(name, f, picture.width, picture.height)]
    return min(fitting, key=lambda f: _loss(wanted, f), default=None)


def encoder_formats(name: str) -> list[str]:
    """Pixel formats an encoder takes, in its order of preference; empty where it takes any. Raises OutputError."""
    try:
        codec = av.Codec(name, "w")
    except (av.codec.codec.UnknownCodecError, ValueError) as error:
        raise OutputError(f'there is no encoder "{name}" in this FFmpeg', hint='set codec to "auto"') from error
    if codec.type != "video":
        raise OutputError(f'encoder "{name}" is for {codec.type}, not video', hint='set codec to "auto"')
    return [f.name for f in codec.video_formats or ()]


def _automatic(codec: str, container: str, traits: CodecTraits) -> tuple[str, ...]:
    """Encoders to be tried, the source's own codec first."""
    held = _HELD_BY.get(container)
    fallback = _FALLBACK.get(container, _ANYWHERE)
    if traits.loose or codec not in _SAME_CODEC or (held is not None and codec not in held):
        return fallback
    same = _SAME_CODEC[codec]
    return (same, *(name for name in fallback if name != same))


def _fits(encoder: str, name: str, width: int, height: int) -> bool:
    layout = layout_of(name)
    if layout is None:
        return False
    if encoder == "dvvideo":
        return name in _DV_FORMATS.get((width, height), ())
    if encoder == "dnxhd" and (width < _LEAST_DNXHR[0] or height < _LEAST_DNXHR[1]):
        return False
    return encoder not in _WHOLE_CHROMA or (width % layout.sub_x == 0 and height % layout.sub_y == 0)


_WORTH_ANOTHER_CODEC = 4
"""so many of the losses that `_loss` names first are worse than another codec"""


def _loss(wanted: str, offered: str) -> tuple[int, ...]:
    """What is lost by storing `wanted` as `offered`, worst kind first; ties prefer what adds least."""
    a, b = layout_of(wanted), layout_of(offered)
    assert a is not None
    assert b is not None
    same_range = 0 if b.full_by_name == a.full_by_name else 1
    return (
        int(_colours(a) > _colours(b)),
        max(0, a.depth - b.depth),
        int(b.sub_x * b.sub_y > a.sub_x * a.sub_y) * b.sub_x * b.sub_y,
        int(_alpha(wanted) and not _alpha(offered)),
        int(a.kind != b.kind),
        int(wanted != offered),
        same_range,
        abs(b.sub_x - a.sub_x) + abs(b.sub_y - a.sub_y),
        max(0, b.depth - a.depth),
        int(_alpha(offered) and not _alpha(wanted)),
        b.shift,
        len({c.plane for c in b.components} ^ {c.plane for c in a.components}),
    )


def _colours(layout: Layout) -> int:
    return 1 if layout.kind == "gray" else 3


def _alpha(name: str) -> bool:
    return name.startswith(("yuva", "gbrap")) or name in ("rgba", "bgra", "argb", "abgr")


def _rate(encoder: str, rate: Fraction | None) -> Fraction:
    wanted = min(max(rate or Fraction(25), Fraction(1)), Fraction(1000)).limit_denominator(1001)
    if encoder in ("mpeg2video", "mpeg1video"):
        return min(_MPEG2_RATES, key=lambda r: abs(r - wanted))
    return wanted
