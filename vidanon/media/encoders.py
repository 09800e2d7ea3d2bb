"""Which encoder writes a clip, in which pixel format and with which options.

In: the source's codec, its decoded picture, the container, the settings. Out: an `EncoderChoice`. Nothing is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import av.codec.codec

from vidanon.errors import OutputError
from vidanon.media.formats import Layout, layout_of
from vidanon.settings import OutputSettings

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".mts": "mpegts",
    ".m2ts": "mpegts",
}
"""FFmpeg's muxer for a suffix we write"""

_SAME_CODEC = {
    "h264": ("libx264",),
    "hevc": ("libx265",),
    "av1": ("libsvtav1", "libaom-av1"),
    "vp9": ("libvpx-vp9",),
    "vp8": ("libvpx",),
    "prores": ("prores_ks",),
    "dnxhd": ("dnxhd",),
    "mpeg2video": ("mpeg2video",),
    "mjpeg": ("mjpeg",),
    "ffv1": ("ffv1",),
}
_HELD_BY = {
    "mp4": frozenset({"h264", "hevc", "av1", "vp9", "mpeg2video", "mjpeg"}),
    "mov": frozenset({"h264", "hevc", "prores", "dnxhd", "mpeg2video", "mjpeg"}),
    "webm": frozenset({"vp8", "vp9", "av1"}),
    "mpegts": frozenset({"h264", "hevc", "mpeg2video"}),
}
_MPEG2_RATES = tuple(
    Fraction(n, d)
    for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1))
)
# These refuse a picture whose size is not a whole number of chroma samples.
_WHOLE_CHROMA = frozenset({"libx264", "libx265", "libsvtav1", "prores_ks", "dnxhd"})
_INTERLACED = frozenset({"libx264", "mpeg2video", "prores_ks", "dnxhd"})


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
) -> EncoderChoice:
    """The encoder for a clip of source codec `codec` whose pictures look like `picture` and are worked on in `pix_fmt`.

    `reorder=False` forbids B frames. Raises OutputError where the asked-for encoder does not exist.
    """
    small = "yuv420p" if codec == "gif" else pix_fmt.replace("yuvj", "yuv")
    names = (settings.codec,) if settings.codec != "auto" else _automatic(codec, container)
    choice: tuple[str, str] | None = None
    for name in names:
        offered = encoder_formats(name)
        fitting = [f for f in offered if _fits(name, f, picture.width, picture.height)] if offered else [small]
        if fitting:
            choice = name, min(fitting, key=lambda f: _loss(small, f))
            break
    if choice is None:
        raise OutputError(
            f"encoder {names[0]} cannot hold a picture of {picture.width} x {picture.height} px without changing it",
            hint='set codec to "libx264" or "ffv1"',
        )
    name, fitted = choice
    options, qscale = _options(name, fitted, settings, reorder=reorder)
    return EncoderChoice(
        encoder=name,
        pix_fmt=fitted,
        options=options,
        rate=_rate(name, rate),
        qscale=qscale,
        interlaced=picture.interlaced_frame and name in _INTERLACED,
    )


def encoder_formats(name: str) -> list[str]:
    """Pixel formats an encoder takes, in its order of preference; empty where it takes any. Raises OutputError."""
    try:
        codec = av.Codec(name, "w")
    except (av.codec.codec.UnknownCodecError, ValueError) as error:
        raise OutputError(f'there is no encoder "{name}" in this FFmpeg', hint='set codec to "auto"') from error
    if codec.type != "video":
        raise OutputError(f'encoder "{name}" is for {codec.type}, not video', hint='set codec to "auto"')
    return [f.name for f in codec.video_formats or ()]


def _automatic(codec: str, container: str) -> tuple[str, ...]:
    held = _HELD_BY.get(container)
    fallback = ("libvpx-vp9",) if container == "webm" else ("libx264", "libx265")
    same = _SAME_CODEC.get(codec, ()) if held is None or codec in held else ()
    available = tuple(name for name in same if name in av.codecs_available or _exists(name))
    return (*available, *(f for f in fallback if f not in available))


def _exists(name: str) -> bool:
    try:
        encoder_formats(name)
    except OutputError:
        return False
    return True


def _fits(encoder: str, name: str, width: int, height: int) -> bool:
    layout = layout_of(name)
    if layout is None:
        return False
    return encoder not in _WHOLE_CHROMA or (width % layout.sub_x == 0 and height % layout.sub_y == 0)


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


def _options(name: str, pix_fmt: str, settings: OutputSettings, *, reorder: bool) -> tuple[dict[str, str], int | None]:
    crf = settings.crf
    options: dict[str, str] = {}
    qscale = None
    if name in ("libx264", "libx264rgb", "libx265"):
        options = {"crf": f"{min(crf, 51):g}", "preset": settings.encoder_preset, "a53cc": "0"}
        if name == "libx265":
            options["x265-params"] = "log-level=error" + ("" if reorder else ":bframes=0")
    elif name == "libsvtav1":
        options = {"crf": f"{crf:.0f}", "preset": "8"}
    elif name in ("libvpx-vp9", "libvpx"):
        options = {"crf": f"{max(4, crf):.0f}", "b": "0" if name == "libvpx-vp9" else "50M", "cpu-used": "4"}
        options |= {"row-mt": "1"} if name == "libvpx-vp9" else {"auto-alt-ref": "0"}
    elif name == "prores_ks":
        options = {"profile": "4" if pix_fmt.startswith(("yuv444", "yuva444")) else "3", "vendor": "apl0"}
    elif name == "dnxhd":
        options = {"profile": _dnxhr(pix_fmt)}
    elif name == "ffv1":
        options = {"level": "3", "slicecrc": "1"}
    else:
        # Quantizer scales run from 1 to 31; three steps of rate factor are about one of theirs.
        qscale = max(1, min(31, round((crf - 12) / 3) + 1))
        if name == "mpeg2video":
            options["a53cc"] = "0"
    if not reorder and name in ("libx264", "libx264rgb", "mpeg2video"):
        options["bf"] = "0"
    return options, qscale


def _dnxhr(pix_fmt: str) -> str:
    if "444" in pix_fmt or pix_fmt.startswith("gbrp"):
        return "dnxhr_444"
    return "dnxhr_hqx" if "10" in pix_fmt else "dnxhr_hq"
