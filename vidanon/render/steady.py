"""One face in neighbouring frames, blended: the flicker of a network that sees every frame for the first time.

In: a track's crops as the generator painted them, with their keypoints. Out: each crop averaged with those of a few
frames before and after it, every one bent by a thin plate until its keypoints lie where they are in this frame (never
by what is under the mask). Where a mouth or an eye has opened or closed in between, or the head has turned, the other
frame counts less: that is no flicker. The result depends on these few frames alone, the same number on either side, so
nothing lags, and a render that begins in the middle only has to paint these first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.geometry import Array, apply, fit_similarity
from vidanon.types import FACE_POINTS, JAW, ON_FACE, OPENINGS, FloatArray

LEAST_POINTS = 5
"""keypoints known in both frames, or nothing is known of how one face becomes the other"""
OPENED = 0.025
"""how much further lips or lids may be apart than in this frame, in sides of the crop, for the other to be of no use"""
TURNED = 0.08
"""root mean square of what a head's turn moves keypoints against each other, in sides of the crop, that makes another
frame count 1/e: half a turn does. What a net makes of light hangs on the pose, and light does not change with that."""
AROUND = (0.09, 0.05, 0.05)
"""how far around the middle of each of OPENINGS that matters, in sides of the crop"""
MOVED = 0.01
"""root mean square of how far a part of the face has moved, in sides of the crop, that makes another frame count 1/e
for where it lies ..."""
SPOKEN, BLINKED = 0.0065, 0.003
"""... and the same of what mouth and eyes do: of their points, off their middle"""
HAIRLINE = (0.0, -0.15)
"""from the brows to about the hairline, in sides of the crop"""
STIFFNESS = 2e-4
"""smoothing of the thin plate: where points nearly meet (a closed eye) they may not tear it"""

_BROWS = np.array([i for i, name in enumerate(FACE_POINTS) if "_brow_" in name])
_PARTS = [
    ([i for i, name in enumerate(FACE_POINTS) if re.match(part, name)], done)
    for part, done in (
        ("right_(eye|lid|pupil)", BLINKED),
        ("left_(eye|lid|pupil)", BLINKED),
        ("lip|mouth", SPOKEN),
        ("right_brow", SPOKEN),
        ("left_brow", SPOKEN),
        ("nose", SPOKEN),
        ("jaw", SPOKEN),
    )
]
"""Rows of what moves as one, and which change of its shape is no trembling"""
_HEAD = [i for i in ON_FACE if i not in JAW]
"""what tells how a head has moved; of the jaw's keypoints each lies elsewhere along it"""
_FRAME: Array = np.array([[x, y] for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0) if (x, y) != (0.5, 0.5)])
"""the crop's border stays where it is"""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A face as the generator painted it."""

    track: int
    """track number"""
    frame: int
    """frame index"""
    crop: FloatArray
    """[S, S, 3] R'G'B' 0..1"""
    points: FloatArray
    """[30, 2] in 0..1 of the crop, NaN = unknown"""
    beside: FloatArray
    """[s, s, C] what lies beside it, smooth (render/skin.py)"""


def blended(canvas: Canvas, around: Sequence[Canvas], *, reach: int) -> FloatArray:
    """The crop [S, S, 3] of a canvas with those of the same track up to `reach` frames away among `around`.

    Beyond a frame without one nothing counts: a face not painted for a moment begins anew.
    """
    near = _near(canvas, [c for c in around if c.crop.shape == canvas.crop.shape], reach)
    pins = _pins(canvas.points)
    side = len(canvas.crop)
    total, weight = canvas.crop.copy(), np.ones((side, side), np.float32)
    usable = [(d, c, p) for d, c in near if (p := _pins(c.points)) is not None]
    if pins is None or not usable:
        return canvas.crop
    # a keypoint unknown in one of the frames must not pull in the others
    known = np.isfinite([pins, *(p for _, _, p in usable)]).all(axis=(0, 2))
    if known.sum() < LEAST_POINTS + len(_FRAME):
        return canvas.crop
    goals = np.stack([p[known] for _, _, p in usable])
    fields = thin_plate(pins[known], goals, side)
    for (distance, other, goal), field in zip(usable, fields, strict=True):
        share = _share(distance, reach) * _alike(pins[known], goal[known])
        local = np.float32(share) * (1 - _opened(canvas.points, other.points, side))
        x, y = (np.ascontiguousarray(field[..., axis]) for axis in (0, 1))
        moved = cv2.remap(other.crop, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        total += np.asarray(moved, np.float32) * local[..., None]
        weight += local
    return np.asarray(np.clip(total / weight[..., None], 0, 1), np.float32)


def averaged(canvas: Canvas, around: Sequence[Canvas], *, reach: int) -> FloatArray:
    """[s, s, C] what lies beside a face, averaged over the frames that `blended` asks for: no rim is to flicker."""
    total, weight = canvas.beside.copy(), 1.0
    for distance, other in _near(canvas, around, reach):
        share = _share(distance, reach)
        total += np.float32(share) * other.beside
        weight += share
    return total / np.float32(weight)


def held(canvas: Canvas, around: Sequence[Canvas], *, reach: int) -> FloatArray:
    """The keypoints [30, 2] of a canvas, each part of the face held still on the head while it does nothing.

    Of the frames that `blended` asks for, laid on this one's head, those count in which a part lies where it does in
    this one, or nearly: what is left of the landmarker's trembling goes, and what a mouth does stays, as does all that
    the head does as a whole.
    """
    near = [(d, c.points) for d, c in _near(canvas, around, reach)]
    if not near:
        return canvas.points
    points = np.stack([_laid(p, canvas.points) for _, p in near])
    share = np.array([_share(d, reach) for d, _ in near])
    out = np.asarray(canvas.points, np.float64).copy()
    for part, done in _PARTS:
        rows = [i for i in part if np.isfinite(out[i]).all()]
        if not rows:
            continue
        here, there = out[rows], points[:, rows]
        middle, middles = here.mean(axis=0), there.mean(axis=1)
        place = _nearest(middle[None], middles[:, None], share, MOVED)
        out[rows] = place + _nearest(here - middle, there - middles[:, None], share, done)
    return np.asarray(out, np.float32)


def _laid(points: FloatArray, here: FloatArray) -> Array:
    """Keypoints [30, 2] of another frame, moved as the head has moved from there to `here` [30, 2]."""
    one, two = np.asarray(points, np.float64), np.asarray(here, np.float64)
    try:
        return apply(fit_similarity(one[_HEAD], two[_HEAD]), one)
    except ValueError:
        return one  # nothing is known of the head


def _nearest(here: Array, there: Array, share: Array, moved: float) -> Array:
    """[K, 2] points `here` [K, 2] averaged with those in other frames `there` [N, K, 2] that lie like them."""
    off = there - here
    far = np.square(off).sum(axis=2).mean(axis=1)
    known = np.isfinite(far)
    weight = share[known] * np.exp(-far[known] / moved**2)
    return np.asarray(here + np.einsum("n,nkd->kd", weight, off[known]) / (1 + weight.sum()))


def _share(distance: int, reach: int) -> float:
    """0..1 how much a frame `distance` away counts beside this one, none from beyond `reach`."""
    return 0.5 * (1 + math.cos(math.pi * distance / (reach + 1)))


def _near(canvas: Canvas, around: Sequence[Canvas], reach: int) -> list[tuple[int, Canvas]]:
    """How far away, and which, the canvases of the same track before and after are, up to the first that is missing."""
    others = {c.frame - canvas.frame: c for c in around if c.track == canvas.track}
    return [pair for sign in (-1, 1) for pair in _unbroken(others, sign, reach)]


def _unbroken(others: Mapping[int, Canvas], sign: int, reach: int) -> list[tuple[int, Canvas]]:
    """The canvases 1, 2 .. `reach` frames away, up to the first that is missing."""
    found = []
    for d in range(1, reach + 1):
        if sign * d not in others:
            break
        found.append((d, others[sign * d]))
    return found


def _pins(points: FloatArray) -> Array | None:
    """What the plate is pinned to: facial keypoints, the hairline, the crop's border; None if too little is known."""
    p = np.asarray(points, np.float64)
    if np.isfinite(p[ON_FACE]).all(axis=1).sum() < LEAST_POINTS:
        return None
    return np.concatenate([p[ON_FACE], p[_BROWS] + HAIRLINE, _FRAME])


def thin_plate(pins: Array, goals: Array, side: int) -> FloatArray:
    """[N, S, S, 2] px, as cv2.remap wants it, where each of N thin plates takes each pixel.

    The plates take `pins` [M, 2] to `goals` [N, M, 2], in 0..1 of a crop `side` px wide. Bookstein 1989, https://doi.org/10.1109/34.24792.
    """
    m, n = len(pins), len(goals)
    flat = np.hstack([np.ones((m, 1)), pins])
    bend = _bend(np.square(pins[:, None] - pins[None]).sum(axis=2)) + STIFFNESS * np.eye(m)
    system = np.block([[bend, flat], [flat.T, np.zeros((3, 3))]])
    right = np.zeros((m + 3, 2 * n))
    right[:m] = (goals - pins).transpose(1, 0, 2).reshape(m, 2 * n)
    weights = np.linalg.solve(system, right)
    coarse = max(side // 4, 8)  # the plate is smooth: a quarter of the resolution holds it
    line = (np.arange(coarse) + 0.5) / coarse
    at = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    away = np.square(at[:, None] - pins[None]).sum(axis=2).astype(np.float32)
    shift = _bend(away) @ weights[:m].astype(np.float32) + np.hstack([np.ones((len(at), 1)), at]) @ weights[m:]
    small = shift.astype(np.float32).reshape(coarse, coarse, n, 2)
    full = np.stack([cv2.resize(small[:, :, i], (side, side), interpolation=cv2.INTER_CUBIC) for i in range(n)])
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    return np.asarray(full * np.float32(side) + np.stack([x, y], axis=-1), np.float32)


def _bend(squared: Array | FloatArray) -> Array:
    return np.asarray(squared * np.log(squared + 1e-9))


def _alike(pins: Array, goals: Array) -> float:
    """0..1 how far a head has not turned between two sets of pins [M, 2] that shift, zoom and roll do not explain."""
    one, two = pins[: -len(_FRAME)], goals[: -len(_FRAME)]
    try:
        off = apply(fit_similarity(one, two), one) - two
    except ValueError:
        return 0.0  # all in one place
    return math.exp(-float(np.square(off).sum(axis=1).mean()) / TURNED**2)


def _opened(one: FloatArray, two: FloatArray, side: int) -> FloatArray:
    """[S, S] 0..1 where a mouth or an eye is more open in one of two sets of keypoints [30, 2]."""
    changed = np.zeros((side, side), np.float32)
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    for (upper, lower), sigma in zip(OPENINGS, AROUND, strict=True):
        middle = (one[upper] + one[lower]) / 2
        amount = abs(float(np.hypot(*(one[lower] - one[upper])) - np.hypot(*(two[lower] - two[upper])))) / OPENED
        if not math.isfinite(amount) or amount <= 0:
            continue
        x, y = (np.exp(-0.5 * np.square((at - middle[axis]) / sigma)) for axis in (0, 1))
        changed = np.maximum(changed, np.float32(min(amount, 1.0)) * np.outer(y, x))
    return changed
