"""Covers that need no network: blur, mosaic, solid.

In: the R'G'B' pixels of a window and the face's masks. Out: a Patch. All three cover exactly the same pixels with the
same edge. Blur and mosaic keep a handful of quantised cell means and nothing else, so no filter brings the face back;
solid does not look at the face at all.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.render.mask import FaceMask, painted_window, slices
from vidanon.types import FloatArray, Method, Patch, Region

MOST_BLUR_CELLS = 6
"""A blurred face is made from at most 6 x 6 cells."""

SMALLEST_CELL_PX = 8
"""Cells are never smaller: a face of 12 px must not come out as itself."""

LEVELS = 63
"""Cell colours are rounded to this many steps."""


def cover(
    method: Method, rgb: FloatArray, mask: FaceMask, region: Region, *, mosaic_cells: int = MOST_BLUR_CELLS
) -> Patch:
    """A Patch by "blur", "mosaic" or "solid" for the pixels `rgb` [h, w, 3] of `region`.

    Never gives a colour that is no number. Raises ValueError for another method.
    """
    if method == "blur":
        return blur(rgb, mask, region)
    if method == "mosaic":
        return mosaic(rgb, mask, region, cells=mosaic_cells)
    if method == "solid":
        return solid(rgb, mask, region)
    raise ValueError(f"no cover is called {method!r}")


def blur(rgb: FloatArray, mask: FaceMask, region: Region) -> Patch:
    """The face as a smooth surface through at most 6 x 6 cell means."""
    part = painted_window(mask.alpha, region)
    grid = _cells(rgb, mask, region, part, most=MOST_BLUR_CELLS)
    smooth = cv2.resize(grid, (part.width, part.height), interpolation=cv2.INTER_CUBIC)
    return Patch(part, np.clip(smooth, 0, 1).astype(np.float32, copy=False), _alpha(mask, region, part))


def mosaic(rgb: FloatArray, mask: FaceMask, region: Region, *, cells: int) -> Patch:
    """The face as at most cells x cells flat tiles."""
    part = painted_window(mask.alpha, region)
    grid = _cells(rgb, mask, region, part, most=cells)
    tiles = cv2.resize(grid, (part.width, part.height), interpolation=cv2.INTER_NEAREST)
    return Patch(part, tiles.astype(np.float32, copy=False), _alpha(mask, region, part))


def solid(rgb: FloatArray, mask: FaceMask, region: Region) -> Patch:
    """One colour: the mean of the window's pixels that are not hidden, mid grey where all are."""
    part = painted_window(mask.alpha, region)
    colour = colour_around(rgb, mask.hidden)
    fill = np.empty((part.height, part.width, 3), np.float32)
    fill[:] = 0.5 if colour is None else np.clip(colour, 0, 1)
    return Patch(part, fill, _alpha(mask, region, part))


def colour_around(rgb: FloatArray, hidden: NDArray[np.bool_]) -> FloatArray | None:
    """Mean [3] of the pixels [h, w, 3] that are not hidden; None if there are none, or it is not a number."""
    if hidden.all():
        return None
    mean = np.asarray(cv2.mean(rgb, mask=(~hidden).view(np.uint8))[:3], np.float32)
    return mean if np.isfinite(mean).all() else None


def _alpha(mask: FaceMask, region: Region, part: Region) -> FloatArray:
    return mask.alpha[slices(part, region)].copy()


def _cells(rgb: FloatArray, mask: FaceMask, region: Region, part: Region, *, most: int) -> FloatArray:
    """`cell_means` of the painted window, weighted by alpha."""
    weight = mask.alpha[slices(part, region)] + np.float32(1e-4)  # a corner cell may have no painted pixel
    return cell_means(rgb[slices(part, region)], weight, most=most)


def cell_means(rgb: FloatArray, weight: FloatArray, *, most: int) -> FloatArray:
    """Quantised means [rows, columns, 3] of at most `most` cells a side, of pixels [h, w, 3] by `weight` [h, w].

    NaN counts as grey.
    """
    height, width = weight.shape
    side = max(width, height)
    count = max(1, min(most, side // SMALLEST_CELL_PX))
    columns = max(1, math.ceil(count * width / side - 0.5))
    rows = max(1, math.ceil(count * height / side - 0.5))
    colour = np.nan_to_num(rgb, nan=0.5, posinf=1.0, neginf=0.0)
    total = _mean(weight, columns, rows)
    mean = _mean(colour * weight[..., None], columns, rows) / total[..., None]
    return np.asarray(np.round(np.clip(mean, 0, 1) * LEVELS) / LEVELS, np.float32)


def _mean(plane: FloatArray, columns: int, rows: int) -> FloatArray:
    return np.asarray(cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
