"""Where a face ends: skin passes over into hair and background as narrowly as in a picture.

In: a painted crop, what was shown around it, and keypoints. Out: the crop with the same face, its rim told apart. A net
that cannot see where hair ends paints a mean of all the places where it may, fading over a tenth of the crop. Blind: of
the source only what is visible counts.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidanon.render.blend import away, carried, clipped, eased
from vidanon.types import FACE_POINT_INDEX, LUMA, FloatArray

DEPTH = 0.13
"""How far inside the hidden area skin is skin, in sides of the crop; nearer to its edge it may be hair."""
RIM = (0.1, 0.165)
"""From where on, inside it, what is painted is told apart less, and not at all."""
GLEAM = (0.05, 0.09)
"""The same beside something lighter: a little further in, what is light is a cheekbone."""
BLUSH = 0.03
"""How far the hue of skin may be off, R'G'B' 0..1."""
BESIDE = 0.06
"""How far outside it hair and background are asked, in sides of the crop."""
NARROW = (0.28, 0.72)
"""Shares of the way from skin to surroundings that become all skin, and all surroundings."""
DISTINCT = (0.12, 0.24)
"""Difference of luma from which they are told apart, and in full."""
BROW, TAIL = (0.022, 0.045), 0.35
"""How far from a brow it is left alone wholly, and hardly, in sides of the crop; how much longer than its keypoints."""
EYE = (0.045, 0.075)
"""The same of the middle of an eye."""
EYES, CORNERS = ("right_eye", "left_eye"), ("mouth_right", "mouth_left")
DOWN = (0.4, 0.9)
"""How far down from the eyes to the mouth it is done less, and not at all: a chin passes over softly into a neck ..."""
LIGHTER = (0.05, 0.2)
"""... unless what is beside it is so much lighter: a wall."""


def told_apart(
    painted: FloatArray, context: FloatArray, visible: NDArray[np.bool_], points: FloatArray, amount: float = 1.0
) -> FloatArray:
    """The crop [S, S, 3] with a narrow passage from face to surroundings, where the net drew a wide one.

    `context` [S, S, 3] counts where `visible` [S, S]; `points` [30, 2] in 0..1 of the crop, NaN = unknown: brows, eyes,
    mouth and chin stay as they are. `amount` 0..1.
    """
    if amount <= 0 or not visible.any():
        return painted
    side = len(painted)
    inside = away(~visible) / np.float32(side)
    alone, below = _features(points, side), _below(points, side)
    known = (inside > DEPTH) & (np.maximum(alone, below) < 0.5)
    if not known.any():
        return painted
    skin = carried(painted, known)
    way = carried(context, visible & (away(visible) < BESIDE * side)) - skin
    length = way @ LUMA
    alone = np.maximum(alone, below * (1 - eased(length, *LIGHTER)))
    near = 1 - np.where(length > 0, eased(inside, *GLEAM), eased(inside, *RIM))
    rim = (1 - alone) * near * ~visible * np.float32(amount)
    light = (painted - skin) @ LUMA
    share = np.clip(light / np.where(np.abs(length) < DISTINCT[0] / 2, np.inf, length), 0, 1)
    apart, there = eased(np.abs(length), *DISTINCT), eased(share, *NARROW)
    # hair has a hue of hair, and skin nearly one of skin: what is beside the way there, a green temple, is the net's
    hue = _along(painted - skin - light[..., None], way - length[..., None])
    astray = 1 - BLUSH / np.maximum(np.sqrt(np.einsum("ijk,ijk->ij", hue, hue)), BLUSH)
    hue *= (rim * np.maximum(apart * there, astray))[..., None]
    return clipped(painted + (rim * apart * (there - share))[..., None] * way + hue)


def _along(hue: ArrayLike, course: ArrayLike) -> FloatArray:
    """[S, S, 3] what takes a `hue` [S, S, 3] to the nearest on a `course` [S, S, 3], between none and all of it."""
    hue, course = np.asarray(hue, np.float32), np.asarray(course, np.float32)
    ahead, length = np.einsum("ijk,ijk->ij", hue, course), np.einsum("ijk,ijk->ij", course, course)
    share = np.clip(ahead / np.maximum(length, 1e-5), 0, 1)
    return np.asarray(share[..., None] * course - hue, np.float32)


def _features(points: FloatArray, side: int) -> FloatArray:
    """[side, side] 1 on brows and eyes, 0 away from them."""
    half = max(side // 2, 1)  # they are smooth: half the resolution holds them
    at = np.asarray((np.arange(half) + 0.5) / half, np.float32)
    out = np.zeros((half, half), np.float32)
    lines = []
    for who in ("right", "left"):
        lines += [(f"{who}_brow_inner", f"{who}_brow_outer", TAIL, BROW), (f"{who}_eye", f"{who}_eye", 0.0, EYE)]
    for one, other, longer, reach in lines:
        start, stop = np.asarray(points[[FACE_POINT_INDEX[one], FACE_POINT_INDEX[other]]], np.float32)
        if np.isfinite([start, stop]).all():
            far = _distance(at, start, np.float32(1 + longer) * (stop - start))
            np.maximum(out, 1 - eased(far, *reach), out=out)
    return np.asarray(cv2.resize(out, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def _below(points: FloatArray, side: int) -> FloatArray:
    """[side, side] 1 from the mouth down, 0 from the eyes up."""
    at = np.asarray((np.arange(side) + 0.5) / side, np.float32)
    eyes, mouth = (points[[FACE_POINT_INDEX[name] for name in pair]].mean(axis=0) for pair in (EYES, CORNERS))
    axis = mouth - eyes
    if not np.isfinite(axis).all() or not axis @ axis > 0:
        return np.zeros((side, side), np.float32)
    axis = axis / (axis @ axis)
    return eased((at[None] - eyes[0]) * axis[0] + (at[:, None] - eyes[1]) * axis[1], *DOWN)


def _distance(at: FloatArray, start: FloatArray, way: FloatArray) -> FloatArray:
    """[S, S] from every place (at, at) to the segment from `start` [2] along `way` [2]."""
    x, y = at[None] - start[0], at[:, None] - start[1]
    along = np.clip((x * way[0] + y * way[1]) / max(float(way @ way), 1e-9), 0, 1)
    return np.asarray(np.hypot(x - along * way[0], y - along * way[1]), np.float32)
