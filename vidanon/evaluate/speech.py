"""Whether lips and lids of the new face do what those of the person do.

In: keypoints of one face, frame by frame, in the source and in an output, or as scanned and as settled. Out: openings,
how well they correlate, and how wide one opens for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidanon.evaluate.crops import FACE_PX, SQUARE, Crop, Place
from vidanon.geometry import apply
from vidanon.types import FACE_POINT_INDEX, FIVE_POINTS, Detections, FloatArray, ImageArray

LEAST_FRAMES = 16
"""shorter series correlate by chance"""
LEAST_MOTION = 0.008
"""standard deviation of an opening, in face sizes, below which nothing opens and a correlation would be of noise"""

_BOX = np.array([[*SQUARE[0], *SQUARE[2]]], np.float32)
_LIPS = ("lip_upper_inner", "lip_lower_inner")
_LIDS = (("right_lid_upper", "right_lid_lower"), ("left_lid_upper", "left_lid_lower"))


class Locator(Protocol):
    """Finds keypoints, such as detect.landmarks.FaceLandmarker."""

    def locate(self, image: ImageArray, found: Detections) -> tuple[FloatArray, FloatArray]:
        """Points [N, 30, 2] px and confidences [N, 30]."""
        ...


@dataclass(frozen=True, slots=True)
class Openings:
    """Of one face in one frame, in face sizes; NaN where unknown."""

    mouth: float
    """inner lip to inner lip"""
    lids: float
    """upper lid to lower lid, mean of the eyes that are known"""


def openings(points: FloatArray, size: float) -> Openings:
    """Of a face of `size` px with `points` [30, 2] px in the order of FACE_POINTS, NaN = unknown."""
    lids = [d for pair in _LIDS if np.isfinite(d := _distance(points, pair))]
    return Openings(_distance(points, _LIPS) / size, float(np.mean(lids)) / size if lids else float("nan"))


def seen_openings(crop: Crop, place: Place, locator: Locator) -> Openings:
    """What a locator sees in a face's crop, told only where the face is: whoever is in the crop is measured alike."""
    five = apply(place.matrix, place.points[: len(FIVE_POINTS)]).astype(np.float32)
    points, _ = locator.locate(crop.image(), Detections(_BOX, np.ones(1, np.float32), five[None]))
    return openings(points[0], FACE_PX)


def _distance(points: FloatArray, pair: Sequence[str]) -> float:
    a, b = (points[FACE_POINT_INDEX[name]].astype(np.float64) for name in pair)
    return float(np.hypot(*(a - b)))


def correlation(a: ArrayLike, b: ArrayLike) -> float | None:
    """Pearson's of two series of openings [N], where both are known; None if `a` hardly moves or they are too short."""
    both = _moving(a, b)
    if both is None:
        return None
    # a face whose mouth never moves is a mouth that does not follow
    return float(np.asarray(np.corrcoef(both))[0, 1]) if both[1].std() > 1e-9 else 0.0


def gain(a: ArrayLike, b: ArrayLike) -> float | None:
    """How far `b` opens for every unit that `a` does: the slope of the line through both; None as `correlation`."""
    both = _moving(a, b)
    return None if both is None else float(np.polyfit(both[0], both[1], 1)[0])


def _moving(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64] | None:
    """[2, M] where both are known, None if `a` hardly moves there or that is too short."""
    both = np.stack([np.asarray(a, np.float64), np.asarray(b, np.float64)])
    both = both[:, np.isfinite(both).all(axis=0)]
    return None if both.shape[1] < LEAST_FRAMES or both[0].std() < LEAST_MOTION else both
