"""Where a face's own pixels take its box and its keypoints, from the first frame of a track to the last.

In come a track's detections with the optical flow measured at each (pointflow.py), out comes the way of the box and of
every keypoint as flow alone tells it. That way knows every nod and syllable and does not tremble, but it drifts; the
detector's does not drift, but trembles. Settling smooths only what the two differ by, so it takes away the trembling
and leaves the motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import Array
from vidanon.track.live import RawPoint
from vidanon.types import FACE_POINTS, N_FACE_POINTS, ON_FACE, ScannedFace

LEAST_POINTS = 6
"""keypoints whose flow is known, or the face as a whole is moved by the flow of its box"""
ASTRAY = 0.03
"""how far a keypoint's flow may be from where the others' similarity takes it, in face sizes, to count a quarter"""
LOST = 0.1
"""how far, in face sizes, it is taken for that of something else: the similarity's is used"""
LIED = 0.05
"""how far flow may be from what the keypoints moved as found, by their median, in face sizes: further, it followed
something else (a hand, a flash), and that median is used"""
LIED_OF_BOX = 0.15
"""the same for a face without keypoints, whose box trembles more"""

_ON_FACE = np.isin(np.arange(N_FACE_POINTS), ON_FACE)


@dataclass(frozen=True, slots=True)
class Ride:
    """Ways over N frames, from nought in the first."""

    box: Array
    """[N, 4] of (cx, cy, log w, log h), px and log px"""
    points: Array
    """[N, 30, 2] px"""
    told: float
    """share of the way, 0..1, over which flow told how the keypoints move"""


def ride(points: Sequence[RawPoint], start: int, path: Array, marks: Array) -> Ride:
    """The ride of a track whose frames begin with `start`.

    `path` [N, 4] (cx, cy, log w, log h) and `marks` [N, 30, 2] px are where box and keypoints are by detection, gaps
    filled; NaN for keypoints never known. Between frames without flow, that is how they move.
    """
    box, each = np.diff(path, axis=0), np.nan_to_num(np.diff(marks, axis=0))
    told = 0
    for one, two in pairwise(points):
        if two.frame != one.frame + 1:
            continue
        i = one.frame - start
        step = _step(one.face, two.face, size=float(np.exp(path[i, 2:].mean())), box=box[i, :2])
        if step is not None:
            box[i] = (*step.centre(path[i, :2]), step.growth, step.growth)
            each[i] = step.points
            told += step.told
    zero = np.zeros((1, *each.shape[1:]))
    return Ride(
        np.vstack([np.zeros((1, 4)), np.cumsum(box, axis=0)]),
        np.concatenate([zero, np.cumsum(each, axis=0)]),
        told / max(len(box), 1),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """From one frame to the next: z goes to turn * z + shift, as complex numbers x + iy px."""

    turn: complex
    shift: complex
    points: Array
    """[30, 2] px that each keypoint moves"""
    told: bool
    """whether that is known of the keypoints, or only of the box"""

    @property
    def growth(self) -> float:
        """of log size"""
        return float(np.log(abs(self.turn)))

    def centre(self, at: Array) -> Array:
        """How far the place `at` [2] moves, px."""
        z = complex(*at)
        moved = self.turn * z + self.shift - z
        return np.array([moved.real, moved.imag])


def _step(face: ScannedFace, after: ScannedFace, *, size: float, box: Array) -> _Step | None:
    """The motion of a face to where it was found `after`; None if nothing but that of its `box` [2] px is known."""
    moved, marks = np.asarray(face.moved, np.float64), np.asarray(face.points, np.float64)
    found = np.asarray(after.points, np.float64) - marks
    seen = _ON_FACE & np.isfinite(found).all(axis=1)
    known = seen & np.isfinite(moved).all(axis=1)
    if seen.sum() < LEAST_POINTS:
        lied = np.hypot(*(np.array(face.flow) - box)) > LIED_OF_BOX * size
        return None if lied else _plain(complex(*face.flow))
    median = complex(*np.median(found[seen], axis=0))
    if known.sum() < LEAST_POINTS:
        lied = abs(complex(*face.flow) - median) > LIED * size
        return _plain(median if lied else complex(*face.flow))
    z, w = _complex(marks[known]), _complex(marks[known] + moved[known])
    # Geman-McClure: a hand before the mouth moves the hand's share of the points elsewhere, which is not the landmarks'
    weights = _trust(np.abs(w - z - median) / (2 * LIED * size))
    for _ in range(4):
        turn, shift = _similarity(z, w, weights)
        weights = _trust(np.abs(turn * z + shift - w) / (ASTRAY * size))
    middle = z.mean()
    if abs(turn * middle + shift - middle - median) > LIED * size or not 0.8 < abs(turn) < 1.25:
        return _plain(median)
    centre = complex(*((face.box[:2] + face.box[2:]) / 2))
    at = np.where(np.isfinite(marks).all(axis=1), _complex(np.nan_to_num(marks)), centre)
    as_whole = turn * at + shift - at
    own = np.where(known, _complex(np.nan_to_num(moved)), as_whole)
    own = np.where(np.abs(own - as_whole) > LOST * size, as_whole, own)
    return _Step(turn, shift, np.stack([own.real, own.imag], axis=1), told=True)


def _plain(shift: complex) -> _Step:
    return _Step(1.0, shift, np.tile((shift.real, shift.imag), (len(FACE_POINTS), 1)), told=False)


def _trust(off: Array) -> Array:
    return np.asarray(1 / (1 + off**2) ** 2, np.float64)


def _similarity(z: NDArray[np.complex128], w: NDArray[np.complex128], weights: Array) -> tuple[complex, complex]:
    """turn, shift of the weighted least-squares similarity from places z [P] to w [P]."""
    share = weights / weights.sum()
    here, there = (share * z).sum(), (share * w).sum()
    power = (share * np.abs(z - here) ** 2).sum()
    turn = complex((share * np.conj(z - here) * (w - there)).sum() / power) if power > 1e-9 else 1.0 + 0j
    return turn, complex(there - turn * here)


def _complex(points: Array) -> NDArray[np.complex128]:
    return np.asarray(points[..., 0] + 1j * points[..., 1], np.complex128)
