"""How a face is built: where features lie is a part of who somebody is, and a new face is built like somebody else's.

In: keypoints of upright crops. Out: what is peculiar to a person over all of a clip, and keypoints moved so that this
is exchanged for the peculiarities of nobody. All points of a feature move alike and by one amount in every frame, so
what the face does (speech, blinks, gaze, nods) stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from vidanon.geometry import apply
from vidanon.render.align import crop_matrix, face_pose
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, JAW, OPENINGS, FloatArray, Observation


def _rows(*parts: str) -> list[int]:
    return [i for i, name in enumerate(FACE_POINTS) if any(part in name for part in parts)]


def _named(*names: str) -> list[int]:
    return [FACE_POINT_INDEX[name] for name in names]


_LEFT_EYE = _rows("left_eye", "left_pupil", "left_lid", "left_brow")
_RIGHT_EYE = _rows("right_eye", "right_pupil", "right_lid", "right_brow")
_BROWS, _MOUTH = _rows("_brow_"), _rows("mouth_", "lip_")
_NOSE, _CHIN, _MOUTH_RIGHT, _MOUTH_LEFT = _named("nose", "jaw_4", "mouth_right", "mouth_left")
_EYES = _named("right_eye", "left_eye")
_LIDS = OPENINGS[1:]
_SIDES = (_named("jaw_0", "jaw_2"), _named("jaw_8", "jaw_6"))

SHAPE_TRAITS = 8
"""half the distance of the eyes, their height, the brows', nose's and mouth's below it, half the widths of mouth and
jaw, the chin's height below the eyes: in crops"""
USUAL = np.array([0.1134, 0.3933, -0.0671, 0.1232, 0.2312, 0.0999, 0.2205, 0.4013], np.float32)
"""the traits' means over training faces that look ahead (`vidanon train builds`) ..."""
VARIETY = np.array(
    [
        [65.7, 0, 0, 0, 0, 0, 0, 0],
        [21.3, 77.7, 0, 0, 0, 0, 0, 0],
        [-22.8, -29.7, 55.9, 0, 0, 0, 0, 0],
        [-20.1, -57.1, 3.1, 66.4, 0, 0, 0, 0],
        [-5.8, -71.1, -33.8, 47.7, 76.7, 0, 0, 0],
        [41.3, 4.8, 11.5, -4.8, -26.9, 67.9, 0, 0],
        [74.8, 9.6, 20, -11.9, -16.6, 2.1, 65.2, 0],
        [-24, -74.8, -0.1, 4.6, 2.7, 0.4, -1, 20.4],
    ],
    np.float32,
) * np.float32(1e-4)
"""... and the Cholesky factor of their covariance once nodding, smiling, speaking and blinking are regressed out"""
PECULIAR = 2.0
"""Standard deviations beyond which a trait is not the person's but the way they hold their head"""
FURTHEST = 0.03
"""crops: no feature is moved further"""
PECULIARITIES = SHAPE_TRAITS + 1
"""the traits, and how wide the eyes are usually open: a natural logarithm"""
OPEN, NARROWEST = 0.12, 0.4
"""How far apart lids of who looks ahead are, from the eyes to the mouth being 1 (cubic mean of 2,864 training faces, so
that blinks hardly count); the most by which that is anybody's way, as a natural logarithm."""
ENOUGH = 40.0
"""Faces of somebody over which that is half believed: in one photo it may be a smile."""
AHEAD = (0.15, 0.35)
"""how far the nose is off the middle of the eyes, in half their distance, where shape counts in full and not at all"""


def traits_of(points: FloatArray) -> tuple[FloatArray, float]:
    """([SHAPE_TRAITS], weight 0..1) of keypoints [30, 2] in 0..1 of the upright crop.

    The weight is 0 where the head is turned or a point is missing: then the traits say nothing.
    """
    eyes = points[_EYES]
    middle, across = eyes.mean(axis=0), eyes[1] - eyes[0]
    brows, mouth = points[_BROWS].mean(axis=0), points[[_MOUTH_RIGHT, _MOUTH_LEFT]].mean(axis=0)
    jaw = points[_SIDES[1]].mean(axis=0) - points[_SIDES[0]].mean(axis=0)
    traits = np.array(
        [
            across[0] / 2,
            middle[1],
            brows[1] - middle[1],
            points[_NOSE, 1] - middle[1],
            mouth[1] - middle[1],
            (points[_MOUTH_LEFT, 0] - points[_MOUTH_RIGHT, 0]) / 2,
            jaw[0] / 2,
            points[_CHIN, 1] - middle[1],
        ],
        np.float32,
    )
    if not np.isfinite(traits).all() or across[0] <= 0:
        return np.zeros(SHAPE_TRAITS, np.float32), 0.0
    aside = abs(float(points[_NOSE, 0] - middle[0])) / (float(across[0]) / 2)
    t = min(1.0, max(0.0, (AHEAD[1] - aside) / (AHEAD[1] - AHEAD[0])))
    return traits, t * t * (3 - 2 * t)


@dataclass(slots=True)
class Build:
    """What is peculiar to one person, gathered over a clip in constant memory."""

    total: FloatArray = field(default_factory=lambda: np.zeros(SHAPE_TRAITS, np.float32))
    """[SHAPE_TRAITS] weighted sum of the traits"""
    weight: float = 0.0
    """sum of the weights"""
    opened: float = 0.0
    """weighted sum of the cubes of how far the lids are apart"""

    def add(self, face: Observation) -> None:
        """Takes a face into account; one without a place is none."""
        try:
            pose = face_pose(face.box, face.points)
        except ValueError:
            return
        points = np.asarray(apply(crop_matrix(pose, 1), face.points), np.float32)
        traits, weight = traits_of(points)
        if weight > 0:
            self.total += weight * traits
            self.weight += weight
            self.opened += weight * _opening(points) ** 3

    def peculiarities(self) -> FloatArray | None:
        """[PECULIARITIES] off the usual; None if the person never looked ahead."""
        if self.weight < 0.5:
            return None
        spread = PECULIAR * np.linalg.norm(VARIETY, axis=1)
        traits = np.clip(self.total / self.weight - USUAL, -spread, spread)
        open_ = math.log(max((self.opened / self.weight) ** (1 / 3), 0.01) / OPEN)
        believed = self.weight / (self.weight + ENOUGH)
        return np.append(traits, believed * min(max(open_, -NARROWEST), NARROWEST)).astype(np.float32)


def _opening(points: FloatArray) -> float:
    """How far the lids of keypoints [30, 2] are apart, in lengths from the eyes to the mouth; OPEN if unknown."""
    length = float(np.hypot(*(points[[_MOUTH_RIGHT, _MOUTH_LEFT]].mean(axis=0) - points[_EYES].mean(axis=0))))
    gaps = np.hypot(*np.array([points[lower] - points[upper] for upper, lower in _LIDS]).T)
    opening = float(gaps.mean()) / length if length > 0 else math.nan
    return opening if math.isfinite(opening) else OPEN


def builds(faces: Iterable[tuple[str, Observation]]) -> dict[str, FloatArray]:
    """What is peculiar to each identity among (identity, face) pairs; without those of whom nothing is known."""
    seen: dict[str, Build] = {}
    for identity, face in faces:
        if face.source != "hidden":
            seen.setdefault(identity, Build()).add(face)
    known = ((identity, build.peculiarities()) for identity, build in seen.items())
    return {identity: own for identity, own in known if own is not None}


def own_shape(points: FloatArray, traits: FloatArray, own: FloatArray | None, *, amount: float) -> FloatArray:
    """Keypoints [30, 2] in 0..1 of the upright crop, of a head that is built differently.

    `traits` [SHAPE_TRAITS], standard normal, say how nobody's face is built; `own` [PECULIARITIES], what is peculiar to
    the person (`builds`), is taken off; `amount` 1 does both wholly, 0 neither. In profile, where the eyes are close
    together in the picture, widths change as much less.
    """
    new = np.clip(traits, -2, 2).astype(np.float32) @ VARIETY.T
    change = np.clip(np.float32(amount) * (new if own is None else new - own[:-1]), -FURTHEST, FURTHEST)
    apart, raised, brows, nose, mouth, lips, jaw, chin = change.tolist()
    eyes = points[_EYES[1]] - points[_EYES[0]]
    facing = min(1.0, float(np.hypot(*eyes)) / float(2 * USUAL[0])) if np.isfinite(eyes).all() else 1.0
    out = points.copy()
    if own is not None:  # as far as they are from being shut, so blinks stay
        wider = np.float32(math.expm1(-amount * float(own[-1])) / 2)
        for upper, lower in _LIDS:
            gap = points[lower] - points[upper]
            out[upper] -= wider * gap
            out[lower] += wider * gap
    out[_LEFT_EYE] += (apart * facing, raised)
    out[_RIGHT_EYE] += (-apart * facing, raised)
    out[_BROWS, 1] += brows
    out[_NOSE, 1] += raised + nose
    out[_MOUTH, 1] += raised + mouth
    out[_MOUTH_LEFT, 0] += lips * facing
    out[_MOUTH_RIGHT, 0] -= lips * facing
    share = np.linspace(-1, 1, len(JAW), dtype=np.float32)  # from the right ear over the chin to the left
    out[JAW, 0] += np.float32(jaw * facing) * np.clip(2 * share, -1, 1)
    out[JAW, 1] += np.float32(raised + chin) * (1 - np.abs(share))
    return out
