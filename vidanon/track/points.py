"""Keypoints of one track through time: the head held still, lips and lids left to move.

In come the keypoints of a track's detections and its settled boxes, out come keypoints in every frame. What the points
of brow, eyes and nose do together (shift, scale, roll) is the head, and is smoothed as the box is; what each point does
beyond that is expression and speech, and is hardly smoothed at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import apply, fit_similarity
from vidanon.track import path
from vidanon.track.smooth import smooth
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, N_FACE_POINTS, FloatArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FINE = 4.0
"""how much narrower than the head's the window of a single point is: lips and lids move faster than heads"""
GUESSED = 0.05
"""how much a keypoint counts that was not seen in its frame; also the least for one that was"""
STRAY = 0.15
"""distance from where it is in the frames around, in face sizes, that makes a point an outlier"""
STRAY_SECONDS = 0.25 + path.TICK
"""how far around is, on either side"""
_FIRM = np.array(
    [i for i, name in enumerate(FACE_POINTS) if "brow" in name]
    + [FACE_POINT_INDEX[n] for n in ("right_eye", "left_eye", "nose")]
)

_STEADY = np.isin(np.arange(N_FACE_POINTS), [FACE_POINT_INDEX[name] for name in ("right_eye", "left_eye", "nose")])


def settle_points(
    times: Array, seen: NDArray[np.intp], marks: Array, trust: Array, boxes: Array, *, known: Mask, sigma: float
) -> FloatArray:
    """Keypoints [N, 30, 2] px in the frames at `times` [N] seconds, NaN for those never known.

    `marks` [K, 30, 2] px and `trust` [K, 30] (0..1) were found in the frames with index `seen` [K], and count where
    `known` [K, 30]; `boxes` [N, 4] xyxy px are settled. `sigma` is the head's smoothing in seconds.
    """
    centre, size = frame_of(boxes)
    marks = (marks - centre[seen, None]) / size[seen, None, None]
    known = known & ~_strays(times[seen], marks, known)
    if not known.any():
        return np.full((len(times), *marks.shape[1:]), np.nan, np.float32)
    head, told = _heads(marks, known)
    if told.any():
        bare = np.array([_unplaced(h, m) for h, m in zip(head, marks, strict=True)])
        rigid = np.column_stack([np.interp(times, times[seen[told]], head[told, k]) for k in range(head.shape[1])])
        weights = np.full(len(times), GUESSED)
        weights[seen[told]] = 1.0
        rigid = path.eased(times, rigid, weights, sigma)
        rest = _each(times, seen, bare, trust, known=known & told[:, None], sigma=sigma / FINE)
        # Eyes and nose sit on the skull and say how the crop is turned: they move against it only as the head turns.
        firm = known & told[:, None] & _STEADY
        rest = np.where(_STEADY[:, None], _each(times, seen, bare, trust, known=firm, sigma=sigma, eased=True), rest)
        never = ~(known & told[:, None]).any(axis=0)
        out = np.array([_placed(h, r) for h, r in zip(rigid, rest, strict=True)])
        if never.any():
            out[:, never] = _each(times, seen, marks, trust, known=known, sigma=sigma / FINE)[:, never]
    else:
        out = _each(times, seen, marks, trust, known=known, sigma=sigma / FINE)
    return np.asarray(out * size[:, None, None] + centre[:, None], np.float32)


def frame_of(boxes: Array) -> tuple[Array, Array]:
    """Centres [N, 2] and sizes [N] of boxes: what keypoints are relative to."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.01)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, np.sqrt(sides[:, 0] * sides[:, 1])


def _each(
    times: Array, seen: NDArray[np.intp], marks: Array, trust: Array, *, known: Mask, sigma: float, eased: bool = False
) -> Array:
    """Every point by itself: holes filled in a line, smoothed, or `eased` as a head is."""
    out = np.full((len(times), *marks.shape[1:]), np.nan)
    for j in np.flatnonzero(known.any(axis=0)):
        have = seen[known[:, j]]
        values = marks[known[:, j], j]
        filled = np.column_stack([np.interp(times, times[have], values[:, axis]) for axis in (0, 1)])
        weights = np.full(len(times), GUESSED)
        weights[have] = np.clip(trust[known[:, j], j], GUESSED, 1)
        out[:, j] = (path.eased if eased else smooth)(times, filled, weights, sigma)
    return out


def _strays(times: Array, marks: Array, known: Mask) -> Mask:
    """Single points [K, 30] far off their own median in the frames around."""
    out = np.zeros(known.shape, bool)
    low = np.searchsorted(times, times - STRAY_SECONDS)
    high = np.searchsorted(times, times + STRAY_SECONDS, side="right")
    values = np.where(known[..., None], marks, np.nan)
    for k in range(len(times)):
        around = values[low[k] : high[k]]
        usual = np.isfinite(around[..., 0]).sum(axis=0) >= 3
        if usual.any():
            off = np.linalg.norm(values[k, usual] - np.nanmedian(around[:, usual], axis=0), axis=1)
            out[k, usual] = off > STRAY
    return out


def _heads(marks: Array, known: Mask) -> tuple[Array, Mask]:
    """(x, y, log scale, roll) [K, 4] from the track's mean firm points to each frame's, and where they are known."""
    firm = known[:, _FIRM]
    points = np.where(firm[..., None], marks[:, _FIRM], np.nan)
    out, told = np.zeros((len(marks), 4)), np.zeros(len(marks), bool)
    usual = firm.any(axis=0)
    if usual.sum() < 3:
        return out, told
    model = np.full((len(_FIRM), 2), np.nan)
    model[usual] = np.nanmedian(points[:, usual], axis=0)
    for k in np.flatnonzero((firm & usual).sum(axis=1) >= 3):
        try:
            m = fit_similarity(model, points[k])
        except ValueError:
            continue  # all in one place
        out[k] = (*m[:, 2], np.log(np.hypot(m[0, 0], m[1, 0])), np.arctan2(m[1, 0], m[0, 0]))
        told[k] = True
    out[told, 3] = np.unwrap(out[told, 3])
    return out, told


def _matrix(head: Array) -> Array:
    c, s = np.exp(head[2]) * np.cos(head[3]), np.exp(head[2]) * np.sin(head[3])
    return np.array([[c, -s, head[0]], [s, c, head[1]]])


def _placed(head: Array, points: Array) -> Array:
    return apply(_matrix(head), points)


def _unplaced(head: Array, points: Array) -> Array:
    m = _matrix(head)
    return np.asarray((points - m[:, 2]) @ np.linalg.inv(m[:, :2]).T, np.float64)
