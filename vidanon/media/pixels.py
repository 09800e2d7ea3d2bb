"""Reading and painting a small window of a frame in the frame's own samples.

In: a `Frame` and a region or patches in upright px. Out: R'G'B' of the region, or a frame in which only samples
under a patch differ. Works in the frame's own matrix, range, bit depth and chroma subsampling, so that what is not
painted is bit-identical to what was decoded.

Chroma is taken as centred on the block of luma samples it covers, when read and when painted, so the two cancel.

Source: ITU-R BT.709 / BT.601 / BT.2020 for the equations, ITU-T H.273 for ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidanon.errors import InputError, RenderError
from vidanon.media.formats import Component, Layout, copy_planes, is_full_range, kr_kb, layout_of, matrix_code, samples
from vidanon.media.frames import Frame
from vidanon.types import FloatArray, Patch, Region

Samples = NDArray[np.unsignedinteger]


class _Scale:
    """How sample values map to Y' 0..1 and C -0.5..0.5, and back, for one frame."""

    def __init__(self, frame: Frame, layout: Layout) -> None:
        full = is_full_range(frame.picture)
        bits = layout.depth
        self.top = (1 << bits) - 1
        self.y_zero = 0.0 if full else float(16 << (bits - 8))
        self.y_span = float(self.top) if full else float(219 << (bits - 8))
        self.c_zero = float(1 << (bits - 1))
        self.c_span = float(self.top) if full else float(224 << (bits - 8))
        code = matrix_code(frame.picture)
        if code is None:
            raise InputError(f"colour matrix {int(frame.picture.colorspace)} (H.273) is not supported")
        self.kr, self.kb = kr_kb(code)
        self.kg = 1.0 - self.kr - self.kb


def read_region(frame: Frame, region: Region) -> FloatArray:
    """The pixels of `region` as float32 R'G'B' 0..1 [region.height, region.width, 3], upright.

    Only the region is converted; chroma is interpolated bilinearly and so reaches at most one chroma sample past
    the region. Raises ValueError where the region is empty or not inside the picture.
    """
    layout = _layout(frame)
    y0, y1, x0, x1 = _stored_window(frame, region)
    height, width = y1 - y0, x1 - x0
    rgb = np.empty((height, width, 3), np.float32)
    if layout.kind == "rgb":
        for i, component in enumerate(layout.components):
            rgb[..., i] = samples(frame.picture, component, layout)[y0:y1, x0:x1]
        rgb *= np.float32(1 / ((1 << layout.depth) - 1))
    else:
        scale = _Scale(frame, layout)
        luma = _floats(frame, layout.components[0], layout, (y0, y1, x0, x1))
        luma -= np.float32(scale.y_zero)
        luma *= np.float32(1 / scale.y_span)
        if layout.kind == "gray":
            rgb[...] = luma[..., None]
        else:
            cb, cr = (_chroma(frame, component, layout, scale, (y0, y1, x0, x1)) for component in layout.components[1:])
            np.add(luma, np.float32(2 - 2 * scale.kr) * cr, out=rgb[..., 0])
            np.add(luma, np.float32(2 - 2 * scale.kb) * cb, out=rgb[..., 2])
            cr *= np.float32(scale.kr * (2 - 2 * scale.kr) / scale.kg)
            cb *= np.float32(scale.kb * (2 - 2 * scale.kb) / scale.kg)
            luma -= cr
            luma -= cb
            rgb[..., 1] = luma
        np.clip(rgb, 0.0, 1.0, out=rgb)
    turns = frame.rotation // 90
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def paste(frame: Frame, patches: Sequence[Patch]) -> Frame:
    """The frame with the patches blended in, in order; the same frame where there is nothing to paint.

    Every sample outside `alpha > 0` is bit-identical; `frame` itself is not changed. A chroma sample is replaced to
    the largest alpha of the luma samples it covers, so that no colour of a face stays under its mask. An alpha
    channel of the picture is not touched. Raises RenderError where a patch is not finite or does not fit its region
    (a face would stay uncovered), ValueError where a region is not inside the picture.
    """
    wanted = [patch for patch in patches if _checked(patch)]
    if not wanted:
        return frame
    painted = replace(frame, picture=copy_planes(frame.picture))
    layout = _layout(frame)
    scale = None if layout.kind == "rgb" else _Scale(frame, layout)
    for patch in wanted:
        _paint(painted, layout, scale, patch)
    return painted


def _checked(patch: Patch) -> bool:
    """Whether the patch paints anything; raises RenderError where it cannot be painted."""
    shape = (patch.region.height, patch.region.width)
    if patch.alpha.shape != shape or patch.rgb.shape != (*shape, 3):
        raise RenderError(
            f"a patch for {shape[1]} x {shape[0]} px has rgb {patch.rgb.shape}, alpha {patch.alpha.shape}"
        )
    if not np.isfinite(patch.alpha).all():
        raise RenderError("a patch's alpha holds a value that is no number")
    return bool((patch.alpha > 0).any())


def _paint(frame: Frame, layout: Layout, scale: _Scale | None, patch: Patch) -> None:
    y0, y1, x0, x1 = _stored_window(frame, patch.region)
    back = -(frame.rotation // 90)
    alpha = np.clip(np.rot90(patch.alpha, back), 0, 1).astype(np.float32, copy=False)
    # Work on what is painted only: a feathered face leaves a wide empty rim.
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    alpha = np.ascontiguousarray(alpha[top:bottom, left:right])
    rgb = np.rot90(patch.rgb, back)[top:bottom, left:right]
    y0, y1, x0, x1 = y0 + top, y0 + bottom, x0 + left, x0 + right
    # One plane per colour: numpy is several times faster on those. What lies under alpha 0 may be anything.
    colour = np.stack([rgb[..., i] for i in range(3)]).astype(np.float32, copy=False)
    np.copyto(colour, 0, where=alpha <= 0)
    if not np.isfinite((colour.min(), colour.max())).all():
        raise RenderError("a patch's colour holds a value that is no number")
    np.clip(colour, 0, 1, out=colour)
    if scale is None:
        for i, component in enumerate(layout.components):
            window = samples(frame.picture, component, layout)[y0:y1, x0:x1]
            largest = float((1 << layout.depth) - 1)
            _blend(window, colour[i] * np.float32(largest), alpha, shift=layout.shift, top=largest)
        return
    luma = np.float32(scale.kr) * colour[0] + np.float32(scale.kg) * colour[1] + np.float32(scale.kb) * colour[2]
    window = samples(frame.picture, layout.components[0], layout)[y0:y1, x0:x1]
    _blend(window, luma * np.float32(scale.y_span) + np.float32(scale.y_zero), alpha, shift=layout.shift, top=scale.top)
    if layout.kind == "gray":
        return
    blocks = _Blocks(alpha, layout, y0, x0)
    cy0, cx0 = y0 // layout.sub_y, x0 // layout.sub_x
    cy1, cx1 = cy0 + blocks.alpha.shape[0], cx0 + blocks.alpha.shape[1]
    for component, channel, k in ((layout.components[1], 2, scale.kb), (layout.components[2], 0, scale.kr)):
        value = blocks.mean((colour[channel] - luma) * np.float32(scale.c_span / (2 - 2 * k)))
        value += np.float32(scale.c_zero)
        window = samples(frame.picture, component, layout)[cy0:cy1, cx0:cx1]
        _blend(window, value, blocks.alpha, shift=layout.shift, top=scale.top)


def _blend(window: Samples, value: FloatArray, alpha: FloatArray, *, shift: int, top: float) -> None:
    """window <- (1 - alpha) window + alpha value where alpha > 0; nothing else is written."""
    old = (window >> shift if shift else window).astype(np.float32)
    value = value - old
    value *= alpha
    value += old
    value += np.float32(0.5)
    np.clip(value, 0, top, out=value)
    new = value.astype(window.dtype)
    np.copyto(window, new << shift if shift else new, where=alpha > 0)


class _Blocks:
    """Luma samples gathered by the chroma sample that covers them."""

    def __init__(self, alpha: FloatArray, layout: Layout, y0: int, x0: int) -> None:
        step_y, step_x = layout.sub_y, layout.sub_x
        height, width = alpha.shape
        self._rim = (
            (y0 % step_y, -(y0 % step_y + height) % step_y),
            (x0 % step_x, -(x0 % step_x + width) % step_x),
        )
        self._parts = [(slice(i, None, step_y), slice(j, None, step_x)) for i in range(step_y) for j in range(step_x)]
        self._weight = self._padded(alpha)
        parts = [self._weight[part] for part in self._parts]
        self.alpha: FloatArray = parts[0].copy()
        """[h, w] the largest alpha each chroma sample covers"""
        total = parts[0].copy()
        for part in parts[1:]:
            np.maximum(self.alpha, part, out=self.alpha)
            total += part
        self._total = np.where(total > 0, total, np.float32(1))

    def mean(self, values: FloatArray) -> FloatArray:
        """[h, w] alpha-weighted mean of luma-sized values over each chroma sample's block."""
        if len(self._parts) == 1:
            return values
        weighted = self._padded(values) * self._weight
        mean: FloatArray = weighted[self._parts[0]].copy()
        for part in self._parts[1:]:
            mean += weighted[part]
        mean /= self._total
        return mean

    def _padded(self, values: FloatArray) -> FloatArray:
        return np.pad(values, self._rim) if any(map(any, self._rim)) else values


def _chroma(
    frame: Frame, component: Component, layout: Layout, scale: _Scale, window: tuple[int, int, int, int]
) -> FloatArray:
    """One chroma component of a luma window, -0.5..0.5, interpolated to luma resolution."""
    y0, y1, x0, x1 = window
    size = samples(frame.picture, component, layout).shape
    rows, row_weight, cy0, cy1 = _taps(y0, y1, layout.sub_y, size[0])
    columns, column_weight, cx0, cx1 = _taps(x0, x1, layout.sub_x, size[1])
    values = _floats(frame, component, layout, (cy0, cy1, cx0, cx1))
    values -= np.float32(scale.c_zero)
    values *= np.float32(1 / scale.c_span)
    if layout.sub_y > 1:
        lower = values[np.minimum(rows + 1, len(values) - 1)]
        values = values[rows]
        lower -= values
        lower *= row_weight[:, None]
        values += lower
    if layout.sub_x > 1:
        right = values[:, np.minimum(columns + 1, values.shape[1] - 1)]
        values = values[:, columns]
        right -= values
        right *= column_weight
        values += right
    return values


def _taps(start: int, stop: int, step: int, size: int) -> tuple[NDArray[np.intp], FloatArray, int, int]:
    """Linear interpolation of luma positions start..stop between chroma centres.

    Returns each position's first tap (relative to the chroma range), the weight of the second, and the chroma range
    [first, last) that is read.
    """
    at = (np.arange(start, stop) + 0.5) / step - 0.5
    # Before the first and after the last centre the edge sample is repeated.
    at = np.clip(at, 0, size - 1)
    taps = np.floor(at).astype(np.intp)
    weight = (at - taps).astype(np.float32)
    low, high = int(taps[0]), int(np.ceil(at[-1])) + 1
    return taps - low, weight, low, high


def _floats(frame: Frame, component: Component, layout: Layout, window: tuple[int, int, int, int]) -> FloatArray:
    """A window (y0, y1, x0, x1) of a component's samples as float32."""
    y0, y1, x0, x1 = window
    view = samples(frame.picture, component, layout)[y0:y1, x0:x1]
    return (view >> layout.shift if layout.shift else view).astype(np.float32)


def _layout(frame: Frame) -> Layout:
    layout = layout_of(frame.picture.format.name)
    if layout is None:
        raise ValueError(f"the reader hands out no {frame.picture.format.name} pictures; nor can they be painted")
    return layout


def _stored_window(frame: Frame, region: Region) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1) in the stored picture of an upright region."""
    if not (0 <= region.x0 < region.x1 <= frame.width and 0 <= region.y0 < region.y1 <= frame.height):
        raise ValueError(f"{region} is empty or not inside the {frame.width} x {frame.height} picture")
    height, width = frame.picture.height, frame.picture.width
    if frame.rotation == 90:
        return region.x0, region.x1, width - region.y1, width - region.y0
    if frame.rotation == 180:
        return height - region.y1, height - region.y0, width - region.x1, width - region.x0
    if frame.rotation == 270:
        return height - region.x1, height - region.x0, region.y0, region.y1
    return region.y0, region.y1, region.x0, region.x1
