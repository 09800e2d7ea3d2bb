"""What the generator painted, as the skin of a person: its light, that person's features, and what lies beside it.

In: a painted crop, the features (texture.py) and what is seen around the face. Out: the same face with skin up to its
outline, meeting neck and hair (rim.py). Blind: keypoints, the painted crop and what is seen decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import Array
from vidanon.render.align import FacePose
from vidanon.render.blend import clipped, eased, place
from vidanon.render.rim import depth, made_whole, neighbours, outline_of, passed_over, placed
from vidanon.render.texture import roundness, textured
from vidanon.types import FloatArray, Region

SURELY = 0.7
"""How far up a forehead is skin for sure, of the way from the brows to where hair may begin at the most."""
INNER = (0.03, 0.1)
"""How far inside the outline of what is, the light on it is told hardly, and wholly, in sides of the crop: near to it a
net hedges."""


@dataclass(frozen=True, slots=True)
class Skin:
    """A new face's skin over the whole of its crop, and where of that it is seen."""

    crop: FloatArray
    """[D, D, 3] R'G'B' 0..1"""
    outline: Array
    """[N, 2] in 0..1 of the crop"""
    passing: FloatArray
    """[S, S] 0..1 where it passes over into other skin"""

    def over(self, painted: FloatArray, amount: float) -> FloatArray:
        """[D, D, 3] this much of it, 0..1, over what was painted [S, S, 3]."""
        size = (len(self.crop), len(self.crop))
        large = np.asarray(cv2.resize(painted, size, interpolation=cv2.INTER_CUBIC), np.float32)
        return clipped(large + np.float32(amount) * (self.crop - large))

    def seen(self, pose: FacePose, window: Region) -> FloatArray:
        """[h, w] 0..1 where it is in a window of the picture."""
        softly = place(np.dstack([self.passing] * 3), pose, window)[..., 0]
        return placed(self.outline, softly, pose, window)


def beside(crop: FloatArray, context: FloatArray, visible: NDArray[np.bool_], points: FloatArray) -> FloatArray:
    """[s, s, 6] what lies beside a painted face [S, S, 3], for `skin_of`; smooth, to be averaged over frames.

    `context` [S, S, 3] counts where it is `visible` [S, S]; `points` [30, 2] in 0..1 of the crop, NaN = unknown.
    """
    points = made_whole(points)
    inner = _inner(outline_of(points, forehead=SURELY), len(crop))
    return neighbours(crop, inner, context, visible, points)


def skin_of(
    crop: FloatArray,
    person: FloatArray,
    near: FloatArray,
    *,
    visible: NDArray[np.bool_],
    points: FloatArray,
    clear: float,
) -> Skin:
    """The skin of a painted face [S, S, 3] with a person's features [D, D, 4] in a scene so `clear` (texture.py).

    The rest as `beside`.
    """
    points = made_whole(points)
    sure = outline_of(points, forehead=SURELY)
    inner, shape = _inner(sure, len(crop)), roundness(sure, len(crop))
    skin = textured(crop, person, inner, shape, clear)
    skin, passing = passed_over(skin, near, visible, points)
    return Skin(skin, outline_of(points), passing)


def _inner(outline: Array, side: int) -> FloatArray:
    """[side, side] 0..1 how well the light is told within an outline [N, 2]."""
    return eased(depth(outline, side), *INNER)
