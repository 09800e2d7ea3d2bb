"""Facts about containers, pixel formats and colour: suffixes, plane layouts, matrices, ranges.

In: FFmpeg's names and numbers. Out: what reader, pixels and writer need to know of them. No file is opened here.

Sources: ITU-T H.273 (matrix and range code points), ITU-R BT.601, BT.709, BT.2020, FFmpeg's libavutil/pixdesc.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import av
import numpy as np
from numpy.typing import DTypeLike, NDArray

STILL_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""Pictures, read and written through Pillow."""
WRITABLE_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mxf", ".avi"})
"""Video containers we can write with exact time stamps."""
VIDEO_SUFFIXES = WRITABLE_SUFFIXES | frozenset(
    {".gif", ".mpg", ".mpeg", ".vob", ".flv", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".mk3d"}
)
"""Video containers we read."""
SEQUENCE_SUFFIXES = STILL_SUFFIXES | frozenset({".tif", ".tiff", ".dpx", ".bmp", ".tga", ".jp2"})
"""Pictures that make a clip when they are numbered."""
MEDIA_SUFFIXES = VIDEO_SUFFIXES | STILL_SUFFIXES
"""Everything that counts as an input when a folder is given."""

LIMITED, FULL = 1, 2
"""AVColorRange: studio swing (16..235 at 8 bit) and full swing (0..255)."""
UNSPECIFIED = 2
"""AVColorSpace, AVColorPrimaries, AVColorTransferCharacteristic: no tag."""

_KR_KB = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470BG, as BT.601
    6: (0.299, 0.114),  # SMPTE 170M, as BT.601
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020 non-constant luminance
}
_SWSCALE_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


@dataclass(frozen=True, slots=True)
class Component:
    """Where the samples of one colour component lie."""

    plane: int
    """number of the plane"""
    offset: int
    """elements before the first sample of a row"""
    step: int
    """elements from one sample to the next"""


@dataclass(frozen=True, slots=True)
class Layout:
    """How one pixel format lays out its samples."""

    kind: Literal["yuv", "rgb", "gray"]
    """what the components mean"""
    components: tuple[Component, ...]
    """Y, Cb, Cr or R, G, B or Y; alpha is not listed, so nobody touches it"""
    depth: int
    """bits of a sample"""
    shift: int = 0
    """unused low bits below a sample (P010 and its kin)"""
    sub_x: int = 1
    """luma columns that share one chroma sample"""
    sub_y: int = 1
    """luma rows that share one chroma sample"""
    full_by_name: bool = False
    """the name itself says full range (yuvj)"""

    @property
    def dtype(self) -> DTypeLike:
        """numpy type of one element"""
        return np.uint8 if self.depth + self.shift <= 8 else np.dtype("<u2")


_PLANAR_YUV = re.compile(r"yuv(?P<j>j?)(?P<alpha>a?)(?P<sub>4\d\d)p(?P<depth>9|10|12|14|16)?(le)?")
_PLANAR_RGB = re.compile(r"gbra?p(?P<depth>9|10|12|14|16)?(le)?")
_GRAY = re.compile(r"gray(?P<depth>9|10|12|14|16)?(le)?")
_SEMI_PLANAR = re.compile(r"(?P<sub>nv12|nv21|nv16|nv24|nv42|p0|p2|p4)(?P<depth>10|12|16)?(le)?")
_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}
_SEMI_PLANAR_SUB = {
    "nv12": "420",
    "nv21": "420",
    "nv16": "422",
    "nv24": "444",
    "nv42": "444",
    "p0": "420",
    "p2": "422",
    "p4": "444",
}
_PACKED_RGB = {
    "rgb24": "rgb",
    "bgr24": "bgr",
    "rgba": "rgba",
    "bgra": "bgra",
    "argb": "argb",
    "abgr": "abgr",
    "rgb0": "rgb0",
    "bgr0": "bgr0",
    "0rgb": "0rgb",
    "0bgr": "0bgr",
}


@lru_cache(maxsize=64)
def layout_of(name: str) -> Layout | None:
    """The layout of FFmpeg's pixel format `name`, or None where its samples cannot be reached one by one."""
    if order := _PACKED_RGB.get(name):
        packed = tuple(Component(0, order.index(c), len(order)) for c in "rgb")
        return Layout("rgb", packed, 8)
    if m := _PLANAR_YUV.fullmatch(name):
        sub_x, sub_y = _SUBSAMPLING[m["sub"]]
        planes = tuple(Component(i, 0, 1) for i in range(3))
        return Layout("yuv", planes, int(m["depth"] or 8), 0, sub_x, sub_y, full_by_name=bool(m["j"]))
    if m := _PLANAR_RGB.fullmatch(name):
        # FFmpeg stores the planes in the order G, B, R.
        planes = tuple(Component(i, 0, 1) for i in (2, 0, 1))
        return Layout("rgb", planes, int(m["depth"] or 8))
    if m := _GRAY.fullmatch(name):
        return Layout("gray", (Component(0, 0, 1),), int(m["depth"] or 8))
    if m := _SEMI_PLANAR.fullmatch(name):
        sub_x, sub_y = _SUBSAMPLING[_SEMI_PLANAR_SUB[m["sub"]]]
        v_first = m["sub"] in ("nv21", "nv42")
        chroma = (Component(1, int(v_first), 2), Component(1, int(not v_first), 2))
        depth = int(m["depth"] or 8)
        return Layout("yuv", (Component(0, 0, 1), *chroma), depth, 16 - depth if depth > 8 else 0, sub_x, sub_y)
    return None


def handled_format(name: str, *, codec: str = "") -> str:
    """The pixel format a decoded picture of format `name` is worked on in: itself where `layout_of` knows it.

    GIF pictures become rgb24 (their alpha is bookkeeping between frames); packed YUV becomes planar with the same
    subsampling; palettes and odd RGB packings become rgb24, rgba or 12-bit planar RGB. No step loses precision
    that the format carries, except above 12 bits of RGB.
    """
    if codec == "gif":
        return "rgb24"
    if layout_of(name) is not None:
        return name
    little = name.removesuffix("be") + "le"
    if name.endswith("be") and layout_of(little) is not None:
        return little
    fmt = av.VideoFormat(name, 64, 64)
    depth = max((c.bits for c in fmt.components), default=8)
    alpha = any(c.is_alpha for c in fmt.components)
    if fmt.is_rgb or fmt.has_palette or name.startswith(("pal", "xyz", "bayer", "mono")):
        return ("rgba" if alpha else "rgb24") if depth <= 8 else "gbrp12le"
    if len(fmt.components) <= 2:
        return "gray" if depth <= 8 else "gray12le"
    sub = {(32, 32): "420", (32, 64): "422", (64, 64): "444", (16, 64): "411"}.get(
        (fmt.chroma_width(64), fmt.chroma_height(64)), "444"
    )
    return f"yuv{sub}p" if depth <= 8 else f"yuv{sub}p{10 if depth <= 10 else 12}le"


def matrix_code(picture: av.VideoFrame) -> int | None:
    """H.273 matrix code of a decoded picture; unspecified: BT.709 from 720 rows up, else BT.601.

    None: not a YCbCr matrix we know (YCgCo, ICtCp, constant luminance).
    """
    code = int(picture.colorspace)
    if code in _KR_KB:
        return code
    if code in (0, UNSPECIFIED, 3):
        return 1 if picture.height >= 720 else 6
    return None


def kr_kb(code: int) -> tuple[float, float]:
    """Luma weights of red and blue for a code of `matrix_code`."""
    return _KR_KB[code]


def swscale_matrix(code: int) -> int:
    """swscale's number (SWS_CS_*) for a code of `matrix_code`."""
    return _SWSCALE_MATRIX[code]


def is_full_range(picture: av.VideoFrame) -> bool:
    """Whether the samples use the full swing. RGB always does; gray and YUV only where they are tagged so."""
    layout = layout_of(picture.format.name)
    if layout is not None and (layout.kind == "rgb" or layout.full_by_name):
        return True
    return int(picture.color_range) == FULL


def samples(picture: av.VideoFrame, component: Component, layout: Layout) -> NDArray[np.unsignedinteger]:
    """View [rows, columns] of one component's samples in the picture's own memory; writing to it writes there."""
    plane = picture.planes[component.plane]
    dtype = np.dtype(layout.dtype)
    # A negative line size means rows stored bottom up; the buffer then starts at the lowest address.
    stride = plane.line_size
    offset = component.offset * dtype.itemsize + (0 if stride >= 0 else -stride * (plane.height - 1))
    return np.ndarray(
        (plane.height, plane.width),
        dtype,
        buffer=memoryview(plane),
        offset=offset,
        strides=(stride, component.step * dtype.itemsize),
    )


def copy_planes(picture: av.VideoFrame, *, name: str | None = None) -> av.VideoFrame:
    """A copy of the samples alone, optionally under another name of the same memory layout (yuvj420p as yuv420p).

    Time stamp and colour tags come along; side data (captions, telemetry, motion vectors), picture type and the
    decoder's other notes stay behind.
    """
    copy = av.VideoFrame(picture.width, picture.height, name or picture.format.name)
    for source, target in zip(picture.planes, copy.planes, strict=True):
        rows = source.height
        width = min(abs(source.line_size), abs(target.line_size))
        from_rows = _rows(source, rows, width)
        np.copyto(_rows(target, rows, width), from_rows)
    copy.pts, copy.duration = picture.pts, picture.duration
    if picture.time_base is not None:
        copy.time_base = picture.time_base
    copy.color_range, copy.colorspace = picture.color_range, picture.colorspace
    copy.color_primaries, copy.color_trc = picture.color_primaries, picture.color_trc
    return copy


def _rows(plane: av.video.plane.VideoPlane, rows: int, width: int) -> NDArray[np.uint8]:
    stride = plane.line_size
    offset = 0 if stride >= 0 else -stride * (rows - 1)
    return np.ndarray((rows, width), np.uint8, buffer=memoryview(plane), offset=offset, strides=(stride, 1))
