"""One frame: a decoded picture, its time, and its conversion to upright RGB.

In: what the reader decoded. Out: uint8 RGB of any size, converted with the picture's own matrix and range.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from vidanon.media.formats import FULL, LIMITED, is_full_range, layout_of, matrix_code, swscale_matrix
from vidanon.types import ImageArray

_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_STUDIO_TO_FULL = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
_KEPT_SCALERS = 8
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture and when it is shown."""

    index: int
    """0-based, in presentation order"""
    pts: int
    """in units of the clip's time base"""
    picture: av.VideoFrame
    """the samples as decoded, not turned; treat them as read-only (the decoder may still refer to them)"""
    rotation: int
    """degrees counter-clockwise that turn `picture` upright: 0, 90, 180 or 270"""

    @property
    def width(self) -> int:
        """px of the upright picture"""
        return self.picture.height if self.rotation in (90, 270) else self.picture.width

    @property
    def height(self) -> int:
        """px of the upright picture"""
        return self.picture.width if self.rotation in (90, 270) else self.picture.height

    def rgb(self, width: int | None = None, height: int | None = None) -> ImageArray:
        """The upright picture as uint8 RGB [height, width, 3], converted with the frame's own matrix and range.

        One of `width` and `height` alone keeps the proportions; neither keeps the size. Shrinking averages areas,
        enlarging is bicubic.
        """
        if width is None and height is None:
            width, height = self.width, self.height
        elif height is None:
            assert width is not None
            height = max(1, round(width * self.height / self.width))
        elif width is None:
            width = max(1, round(height * self.width / self.height))
        if width < 1 or height < 1:
            raise ValueError(f"rgb wants a size of at least 1 x 1 px, got {width} x {height}")
        out_w, out_h = (height, width) if self.rotation in (90, 270) else (width, height)
        smaller = out_w < self.picture.width or out_h < self.picture.height
        # Without swscale's accuracy flags: they cost tenfold and change a value by five at most.
        flags = Interpolation.AREA if smaller else Interpolation.BICUBIC
        code = matrix_code(self.picture)
        layout = layout_of(self.picture.format.name)
        coded = layout is None or layout.kind != "rgb"
        converted = _reformatter(self.picture, out_w, out_h).reformat(
            self.picture,
            width=out_w,
            height=out_h,
            format="rgb24",
            src_colorspace=swscale_matrix(code) if code is not None and coded else None,
            src_color_range=FULL if is_full_range(self.picture) else LIMITED,
            dst_color_range=ColorRange.JPEG,
            interpolation=flags,
            threads=1,
        )
        plane = converted.planes[0]
        view: ImageArray = np.ndarray(
            (out_h, out_w, 3), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, 3, 1)
        )
        if layout is not None and layout.kind == "gray" and not is_full_range(self.picture):
            view = _STUDIO_TO_FULL[view]  # swscale takes all gray for full range
        if self.rotation:
            return cast("ImageArray", cv2.rotate(view, _TURNS[self.rotation]))
        return np.ascontiguousarray(view)


def _reformatter(picture: av.VideoFrame, width: int, height: int) -> VideoReformatter:
    """A scaler for this kind of conversion, kept per thread: setting one up costs more than using it."""
    kept: OrderedDict[tuple[object, ...], VideoReformatter] = _local.__dict__.setdefault("kept", OrderedDict())
    key = (picture.format.name, picture.width, picture.height, width, height)
    scaler = kept.pop(key, None) or VideoReformatter()
    kept[key] = scaler
    if len(kept) > _KEPT_SCALERS:
        kept.popitem(last=False)
    return scaler
