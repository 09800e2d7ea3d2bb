"""Keypoints of one track through time: the head held still, lips and lids left to move.

In come the keypoints of a track's detections, its settled boxes, and where the face's own pixels take the keypoints
(ride.py); out come keypoints in every frame. Only what a keypoint does beyond its ride is smoothed: what the points of
brow, eyes and nose do together (shift, zoom, roll) as the box is, what lips, lids and pupils do by themselves hardly
at all, as that may be speech.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidanon.track import path
from vidanon.track.smooth import smooth
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, N_FACE_POINTS, OPENINGS, FloatArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

GUESSED = 0.05
"""how much a keypoint counts that was not seen in its frame; also the least for one that was"""
STRAY = 0.15
"""distance from where it is in the frames around, in face sizes, that makes a point an outlier"""
STRAY_SECONDS = 0.25 + path.TICK
"""how far around is, on either side"""
_IS_FIRM = np.isin(
    np.arange(N_FACE_POINTS),
    [i for i, name in enumerate(FACE_POINTS) if "brow" in name]
    + [FACE_POINT_INDEX[n] for n in ("right_eye", "left_eye", "nose")],
)
_PUPILS = [FACE_POINT_INDEX[name] for name in ("right_pupil", "left_pupil")]
_QUICK = np.isin(np.arange(N_FACE_POINTS), [*_PUPILS, *np.ravel(OPENINGS)])
"""How far lips and lids are apart is speech and blinks, hardly smoothed; where the two are together, as the rest."""


def settle_points(
    times: Array,
    seen: NDArray[np.intp],
    marks: Array,
    trust: Array,
    boxes: Array,
    *,
    known: Mask,
    ride: Array,
    sigma: float,
    quick: float,
) -> FloatArray:
    """Keypoints [N, 30, 2] px in the frames at `times` [N] seconds, NaN for those never known.

    `marks` [K, 30, 2] px and `trust` [K, 30] (0..1) were found in the frames with index `seen` [K], and count where
    `known` [K, 30]; `boxes` [N, 4] xyxy px are settled. `ride` [N, 30, 2] px is where the face's own pixels take the
    keypoints (ride.py); `sigma` is the head's smoothing in seconds, `quick` that of lips, lids and pupils.
    """
    centre, size = frame_of(boxes)
    places = (marks - centre[seen, None]) / size[seen, None, None]
    known = known & ~_strays(times[seen], places, known)
    off = filled(times, seen, marks, boxes, known=known) - ride
    head, shape, told = _heads(places, off[seen], known)
    if told.any():
        rigid = np.column_stack([np.interp(times, times[seen[told]], head[told, k]) for k in range(head.shape[1])])
        own = off - _together(rigid, shape)
        weights = np.full(len(times), GUESSED)
        weights[seen[told]] = 1.0
        rigid = path.eased(times, rigid, weights, sigma, unit=size[:, None])
        mine = known & told[:, None]
        out = _each(times, seen, own, trust, known=mine, sigma=sigma, unit=size)
        fine = _each(times, seen, own, trust, known=mine & _QUICK, sigma=quick)
        out[:, _PUPILS] = fine[:, _PUPILS]
        for upper, lower in OPENINGS:
            if not mine[:, [upper, lower]].any(axis=0).all():
                out[:, [upper, lower]] = fine[:, [upper, lower]]  # of the other nothing is known
                continue
            apart = (fine[:, lower] - fine[:, upper]) - (out[:, lower] - out[:, upper])
            out[:, lower] += apart / 2
            out[:, upper] -= apart / 2
        out += _together(rigid, shape)
        never = ~mine.any(axis=0)
    else:
        out, never = np.full((len(times), *marks.shape[1:]), np.nan), np.ones(known.shape[1], bool)
    if never.any():
        out[:, never] = _each(times, seen, off, trust, known=known, sigma=quick)[:, never]
    return np.asarray(out + ride, np.float32)


def filled(times: Array, seen: NDArray[np.intp], marks: Array, boxes: Array, *, known: Mask) -> Array:
    """Keypoints [N, 30, 2] px in every frame, between `marks` [K, 30, 2] at their place in `boxes` [N, 4].

    NaN for those never `known`. Arguments as those of `settle_points`; boxes need not be settled.
    """
    centre, size = frame_of(boxes)
    places = (marks - centre[seen, None]) / size[seen, None, None]
    out = np.full((len(times), *marks.shape[1:]), np.nan)
    for j in np.flatnonzero(known.any(axis=0)):
        have = known[:, j]
        for axis in (0, 1):
            out[:, j, axis] = np.interp(times, times[seen[have]], places[have, j, axis])
    return np.asarray(out * size[:, None, None] + centre[:, None], np.float64)


def frame_of(boxes: Array) -> tuple[Array, Array]:
    """Centres [N, 2] and sizes [N] of boxes: what keypoints are relative to."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.01)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, np.sqrt(sides[:, 0] * sides[:, 1])


def _each(
    times: Array,
    seen: NDArray[np.intp],
    values: Array,
    trust: Array,
    *,
    known: Mask,
    sigma: float,
    unit: Array | None = None,
) -> Array:
    """Every point's `values` [N, 30, 2] by themselves: smoothed, or eased in a `unit` [N]; NaN where never `known`."""
    out = np.full(values.shape, np.nan)
    for j in np.flatnonzero(known.any(axis=0)):
        weights = np.full(len(times), GUESSED)
        weights[seen[known[:, j]]] = np.clip(trust[known[:, j], j], GUESSED, 1)
        if unit is None:
            out[:, j] = smooth(times, values[:, j], weights, sigma)
        else:
            out[:, j] = path.eased(times, values[:, j], weights, sigma, unit=unit[:, None])
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


def _heads(places: Array, off: Array, known: Mask) -> tuple[Array, Array, Mask]:
    """What the firm points do together, beyond their ride: [K, 4] px, the `shape` [30, 2] it acts on, and where known.

    `places` [K, 30, 2] are in the box's frame, `off` [K, 30, 2] px from the ride. As complex numbers x + iy, a point at
    z of the shape is off by shift + turn * z: a small shift, zoom and roll.
    """
    firm = known & _IS_FIRM
    out, told = np.zeros((len(off), 4)), np.zeros(len(off), bool)
    shape = np.zeros(off.shape[1:])
    usual = firm.any(axis=0)
    if usual.sum() < 3:
        return out, shape, told
    seen = known.any(axis=0)
    shape[seen] = np.nanmedian(np.where(known[..., None], places, np.nan)[:, seen], axis=0)
    # Each point's own offset from the others must not show when it is not seen.
    base = np.zeros(off.shape[1:])
    base[usual] = np.nanmedian(np.where(firm[..., None], off, np.nan)[:, usual], axis=0)
    z, w = _complex(shape), _complex(off - base)
    for k in np.flatnonzero(firm.sum(axis=1) >= 3):
        here, there = z[firm[k]], w[k, firm[k]]
        spread = here - here.mean()
        power = float(np.square(np.abs(spread)).sum())
        if power < 1e-6:
            continue  # all in one place
        turn = (np.conj(spread) * (there - there.mean())).sum() / power
        shift = there.mean() - turn * here.mean()
        out[k] = (shift.real, shift.imag, turn.real, turn.imag)
        told[k] = True
    return out, shape, told


def _together(head: Array, shape: Array) -> Array:
    """[N, 30, 2] px that heads [N, 4] put the points of `shape` [30, 2] off."""
    z = _complex(shape)
    moved = (head[:, 0] + 1j * head[:, 1])[:, None] + (head[:, 2] + 1j * head[:, 3])[:, None] * z
    return np.stack([moved.real, moved.imag], axis=-1)


def _complex(points: Array) -> NDArray[np.complex128]:
    return np.asarray(points[..., 0] + 1j * points[..., 1], np.complex128)
