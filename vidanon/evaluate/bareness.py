"""How much of a face is still to be seen in an output.

In: the crop of one face in the source and in the output. Out: the share of the face that is bare. It is told cell by
cell from the detail that came through, so neither a colour cast nor an encoder's noise hides an original face, and a
painted face with eyes and mouth in the same places is not taken for one.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidanon.evaluate.crops import FACE_PX, Crop, Mask
from vidanon.types import FloatArray

CELLS = 4
"""cells across a face, and down, at most"""
CELL_PX = 6
"""least side of a cell, px of the source: in fewer, a plain patch may look like what was there"""
KEPT = 0.8
"""share of a cell's detail that is found again unchanged, from which the cell is bare"""
NOISE = 2.0
"""a cell that differs by less than this times the difference far outside the face is bare"""
NOISES = (0.002, 0.03)
"""least root mean square difference, of 0..1, that can be told from none, and the largest an encoder is blamed for:
where a face lies within another one, its surroundings are painted too"""
NAKED = 0.5
"""share of bare cells from which a face counts as naked"""
_COARSE = FACE_PX / 6
"""sigma px; what varies more slowly is light, not detail"""
_SHRINK = 8
"""a picture that holds only light is as well blurred at an eighth of the size, and 50 times as fast"""


def bare_share(source: Crop, output: Crop, face: Mask, *, size_px: float = CELLS * CELL_PX) -> float | None:
    """Share 0..1 of the cells of a face of `size_px` that show the source; None if none of it is in the picture."""
    seen = face & source.seen & output.seen
    if not seen.any():
        return None
    difference = output.luma() - source.luma()
    detail = _detail(source.luma())
    # a cast that an encoder or a grade puts over the whole picture is no cover
    change = _detail(difference)
    quiet = float(np.clip(NOISE * _noise(change, face, source.seen & output.seen), *NOISES))
    rows, columns = np.flatnonzero(face.any(1)), np.flatnonzero(face.any(0))
    across = int(np.clip(size_px // CELL_PX, 1, CELLS))
    bare = cells = 0
    for ys in np.array_split(np.arange(rows[0], rows[-1] + 1), across):
        for xs in np.array_split(np.arange(columns[0], columns[-1] + 1), across):
            window = np.ix_(ys, xs)
            inside = seen[window]
            if inside.mean() < 0.5:
                continue
            cells += 1
            lost = float(np.square(change[window][inside]).mean())
            had = float(np.square(detail[window][inside]).mean())
            bare += lost <= quiet**2 or 1 - lost / max(had, 1e-12) >= KEPT
    return bare / cells if cells else None


def _detail(luma: FloatArray) -> FloatArray:
    """[H, W] without what varies slowly."""
    small = cv2.resize(luma, None, fx=1 / _SHRINK, fy=1 / _SHRINK, interpolation=cv2.INTER_AREA)
    light = cv2.resize(cv2.GaussianBlur(small, (0, 0), _COARSE / _SHRINK), luma.shape[::-1])
    return np.asarray(luma - light, np.float32)


def _noise(change: FloatArray, face: Mask, seen: Mask) -> float:
    """Deviation of the change well away from the face, where an output holds the source; 0 if nothing is there."""
    away = cv2.distanceTransform((~face).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    outside = np.abs(change[seen & (away > 0.35 * FACE_PX)])
    # the median, so that another painted face in a corner does not count
    return float(np.median(outside)) * 1.4826 if len(outside) >= 64 else 0.0
