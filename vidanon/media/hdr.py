"""Static HDR metadata: what the mastering display could show, and how bright the programme gets.

In: a decoded picture. Out: the options that make x264, x265 and SVT-AV1 say the same in the new bitstream.

Sources: SMPTE ST 2086 and CTA-861.3; the memory layout of FFmpeg's AVMasteringDisplayMetadata and
AVContentLightMetadata (libavutil/mastering_display_metadata.h).
"""

from __future__ import annotations

import struct

import av
from av.sidedata.sidedata import Type

from vidanon.media.side_data import side_data

_MASTERING = struct.Struct("=20i2i")
"""red, green, blue, white (x, y), least and greatest luminance as ten fractions, then two flags"""
_LIGHT = struct.Struct("=2I")
_NAMES = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}
"""option, and what display and light are called in it"""
_CHROMATICITY_UNIT, _LUMINANCE_UNIT = 50_000, 10_000


def hdr_options(picture: av.VideoFrame, encoder: str) -> dict[str, str]:
    """Encoder options for the static HDR metadata of `picture`; none where it has none or the encoder takes none."""
    names = _NAMES.get(encoder)
    if names is None:
        return {}
    settings = []
    if display := _mastering_display(picture, whole=encoder != "libsvtav1"):
        settings.append(f"{names[1]}={display}")
    if light := _side_data(picture, Type.CONTENT_LIGHT_LEVEL, _LIGHT):
        settings.append(f"{names[2]}={light[0]},{light[1]}")
    return {names[0]: ":".join(settings)} if settings else {}


def _mastering_display(picture: av.VideoFrame, *, whole: bool) -> str | None:
    """The display as x264 and x265 write it, in `whole` units of the bitstream, or as SVT-AV1 does, in fractions."""
    values = _side_data(picture, Type.MASTERING_DISPLAY_METADATA, _MASTERING)
    if values is None or not (values[20] and values[21]):
        return None
    ratios = [n / d if d else 0.0 for n, d in zip(values[0:20:2], values[1:20:2], strict=True)]

    def said(ratio: float, unit: int) -> str:
        return str(round(ratio * unit)) if whole else f"{ratio:.6f}"

    red, green, blue, white = (
        f"({said(x, _CHROMATICITY_UNIT)},{said(y, _CHROMATICITY_UNIT)})"
        for x, y in zip(ratios[0:8:2], ratios[1:8:2], strict=True)
    )
    least, greatest = (said(v, _LUMINANCE_UNIT) for v in ratios[8:])
    return f"G{green}B{blue}R{red}WP{white}L({greatest},{least})"


def _side_data(picture: av.VideoFrame, kind: Type, layout: struct.Struct) -> tuple[int, ...] | None:
    data = side_data(picture, kind)
    return layout.unpack_from(data) if data is not None and len(data) >= layout.size else None
