"""Where a face ends: hair, ears and background pass over into painted skin as narrowly as they do in a picture.

In: a painted crop, what was shown around it, and keypoints. Out: the crop with its outer rim told apart. A net that
cannot see where hair ends paints a mean of all the places where it may: over a tenth of the crop, hair fades into skin.
Every pixel of that rim is moved to the side it is nearer to. Blind: of the source only what is visible counts.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.render.blend import away, carried, eased
from vidanon.types import FACE_POINT_INDEX, LUMA, FloatArray

EYES, CORNERS = ("right_eye", "left_eye"), ("mouth_right", "mouth_left")

DEPTH = 0.13
"""How far inside the hidden area skin is skin, in sides of the crop; nearer to its edge it may be hair."""
RIM = (0.1, 0.165)
"""From where on, inside it, what is painted is told apart less, and not at all."""
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
DOWN = (0.4, 0.9)
"""How far down from the eyes to the mouth it is done less, and not at all: a chin passes over softly into a neck ..."""
LIGHTER = (0.05, 0.2)
"""... unless what is beside it is so much lighter: a wall."""


def told_apart(
    painted: FloatArray, context: FloatArray, visible: NDArray[np.bool_], points: FloatArray, amount: float = 1.0
) -> FloatArray:
    """The crop [S, S, 3] with a narrow passage from face to surroundings, where the net drew a wide one.

    `context` [s, s, 3] counts where `visible` [s, s], at the crop's resolution or a smaller one; `points` [30, 2] in
    0..1 of the crop, NaN = unknown: brows, eyes, mouth and chin stay as they are. `amount` 0..1.
    """
    if amount <= 0 or visible.all() or not visible.any():
        return painted
    side = len(painted)
    inside = away(~visible) / np.float32(len(visible))
    alone, below = _features(points, len(visible)), _below(points, len(visible))
    small = np.asarray(cv2.resize(painted, visible.shape, interpolation=cv2.INTER_AREA), np.float32)
    skin = carried(small, (inside > DEPTH) & (np.maximum(alone, below) < 0.5))
    around = carried(context, visible & (away(visible) < BESIDE * len(visible)))
    way = around - skin
    lighter = way @ LUMA
    alone = np.maximum(alone, below * (1 - eased(lighter, *LIGHTER)))
    rim = (1 - alone) * (1 - eased(inside, *RIM)) * ~visible * np.float32(amount)
    apart = rim * eased(np.abs(lighter), *DISTINCT)
    if side != len(visible):
        skin, way, rim, apart = (_enlarged(plane, side) for plane in (skin, way, rim, apart))
    light, length = (painted - skin) @ LUMA, way @ LUMA
    share = np.clip(light / np.where(np.abs(length) < DISTINCT[0] / 2, np.inf, length), 0, 1)
    more = apart * (eased(share, *NARROW) - share)
    # colours lie on the way from one to the other: what is beside it, a green temple, is the net's
    hue, course = painted - skin - light[..., None], way - length[..., None]
    along = np.clip((hue * course).sum(-1) / np.maximum((course * course).sum(-1), 1e-4), 0, 1)
    astray = along[..., None] * course - hue
    return np.asarray(np.clip(painted + more[..., None] * way + rim[..., None] * astray, 0, 1), np.float32)


def _enlarged(plane: FloatArray, side: int) -> FloatArray:
    return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def _features(points: FloatArray, side: int) -> FloatArray:
    """[side, side] 1 on brows and eyes, 0 away from them."""
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    out = np.zeros((side, side), np.float32)
    lines = []
    for who in ("right", "left"):
        lines += [(f"{who}_brow_inner", f"{who}_brow_outer", TAIL, BROW), (f"{who}_eye", f"{who}_eye", 0.0, EYE)]
    for one, other, longer, reach in lines:
        start, stop = points[FACE_POINT_INDEX[one]], points[FACE_POINT_INDEX[other]]
        stop = stop + longer * (stop - start)
        if np.isfinite([start, stop]).all():
            np.maximum(out, 1 - eased(_distance(at, start, stop), *reach), out=out)
    return out


def _below(points: FloatArray, side: int) -> FloatArray:
    """[side, side] 1 from the mouth down, 0 from the eyes up."""
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    eyes, mouth = (points[[FACE_POINT_INDEX[name] for name in pair]].mean(axis=0) for pair in (EYES, CORNERS))
    axis = mouth - eyes
    if not np.isfinite(axis).all() or not axis @ axis > 0:
        return np.zeros((side, side), np.float32)
    axis = axis / (axis @ axis)
    return eased((at[None] - eyes[0]) * axis[0] + (at[:, None] - eyes[1]) * axis[1], *DOWN)


def _distance(at: FloatArray, start: FloatArray, stop: FloatArray) -> FloatArray:
    """[S, S] from every place (at, at) to the segment from `start` [2] to `stop` [2]."""
    x, y = at[None] - start[0], at[:, None] - start[1]
    way = np.asarray(stop - start, np.float32)
    along = np.clip((x * way[0] + y * way[1]) / max(float(way @ way), 1e-9), 0, 1)
    return np.asarray(np.hypot(x - along * way[0], y - along * way[1]), np.float32)
