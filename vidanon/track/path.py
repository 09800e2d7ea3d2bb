"""The path of one face's box through a shot: from detections with gaps and jitter to a smooth box in every frame.

Boxes are handled as (cx, cy, log w, log h), so that a size can neither vanish nor turn negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from vidanon.geometry import area, centre_size, from_centre_size
from vidanon.track.smooth import smooth
from vidanon.track.view import View

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TICK = 1e-6
"""seconds by which a window is wider than said, so that rounding never decides about a frame at its edge"""
SURE_IOU = 0.75
"""least overlap of a settled box with the detection it stands for; below it, the detection wins"""
FINE = 3.0
"""how much narrower the window is where a face moves too fast for the wide one"""
LAG = (0.003, 0.015)
"""distance between the wide and the narrow path, in face sizes, from which and at which the narrow one is taken"""
SIZE_UNIT = 3.0
"""how much less a size that lags counts than a place that does: heads come nearer slowly, their boxes breathe"""
STRAY = (0.6, 0.6)
"""part of its size by which a face may be off the curve between detections, for every second it is free, when it
stands, and how much more for every face size a second it moves"""
UNSEEN = 0.04
"""part of its size by which a box is larger at once, on every side, where no detection says how large it is"""
MOST_STRAY = 0.3
"""largest such part"""
SPEED_SECONDS = 0.3 + TICK
"""how far around a face's speed is looked for"""
JITTER = 0.06
"""how much of such a distance jitter may make up"""
RIDE_SECONDS = 0.09
"""sigma by which a box's ride is smoothed: it need not tremble with the head, nor breathe with what its mouth does"""
RIDE_LAG = (0.012, 0.03)
"""how far that may take it from its ride, in face sizes, until it counts less, and from where on not at all"""
USUAL_SECONDS = 1.0 + TICK
"""how far around its usual size is looked for"""
LONER = 0.6
"""distance from the line between its neighbours, in face sizes, that makes a detection an outlier"""
LONER_SECONDS = 0.4
"""outliers are looked for only between neighbours this close"""


def logs(boxes: Array) -> Array:
    """(cx, cy, log w, log h) [N, 4] of xyxy boxes [N, 4]; sides below 1/100 px count as that."""
    c = centre_size(boxes)
    return np.hstack([c[:, :2], np.log(np.maximum(c[:, 2:], 0.01))])


def unlogs(path: Array) -> Array:
    """xyxy boxes [N, 4] of (cx, cy, log w, log h) [N, 4]."""
    return from_centre_size(np.hstack([path[:, :2], np.exp(path[:, 2:])]))


def loners(times: Array, path: Array) -> Mask:
    """Which detections [K, 4] at `times` [K] lie far off the line between neighbours that agree; never an end."""
    out = np.zeros(len(times), bool)
    if len(times) < 3:
        return out
    before, here, after = path[:-2], path[1:-1], path[2:]
    span = times[2:] - times[:-2]
    part = ((times[1:-1] - times[:-2]) / span)[:, None]
    off = _distance(here, before + part * (after - before), before)
    # Alternating between two places, or a single step, is motion; one frame elsewhere and back again is a mistake.
    out[1:-1] = (off > LONER) & (_distance(after, before, before) < LONER / 2) & (span <= LONER_SECONDS)
    # Two outliers side by side would vouch for each other's neighbours being wrong.
    out[1:] &= ~out[:-1]
    return out


def _distance(a: Array, b: Array, size_of: Array) -> Array:
    """Distance of two paths in face sizes: of centres, or difference of log sizes, whichever is larger."""
    size = np.exp(size_of[:, 2:].mean(axis=1))
    centre = np.linalg.norm(a[:, :2] - b[:, :2], axis=1) / size
    return np.asarray(np.maximum(centre, np.abs(a[:, 2:] - b[:, 2:]).max(axis=1)), np.float64)


def fill(times: Array, seen: NDArray[np.intp], path: Array, camera: Sequence[View]) -> Array:
    """The path [N, 4] at `times` [N] from detections [K, 4] at indices `seen` [K]: PCHIP, in the world of N views.

    The first and the last time must have been seen. Fritsch and Butland 1984, https://doi.org/10.1137/0905021: monotone
    between detections, so a gap never swings wider than its ends.
    """
    if len(seen) == 1:
        return np.repeat(path, len(times), axis=0)
    steady = path.copy()
    for row, k in zip(steady, seen, strict=True):
        row[:2], row[2:] = camera[k].world(row[:2]), row[2:] - np.log(camera[k].scale)
    out = np.asarray(PchipInterpolator(times[seen], steady, axis=0)(times), np.float64)
    for row, view in zip(out, camera, strict=True):
        row[:2], row[2:] = view.picture(row[:2]), row[2:] + np.log(view.scale)
    return out


def settled(times: Array, path: Array, weights: Array, sigma: float, *, ride: Array) -> Array:
    """The path [N, 4] smoothed by `sigma` seconds, by a third of it where the face moves too fast for that.

    `ride` [N, 4] is where the face's own pixels take it (ride.py): what the two differ by is smoothed that much, the
    ride itself by `RIDE_SECONDS` at the most.
    """
    size = np.exp(path[:, 2:].mean(axis=1, keepdims=True))
    unit = np.hstack([size, size, np.full((len(path), 2), SIZE_UNIT)])
    way = _calmed(times, ride, min(sigma, RIDE_SECONDS), unit=unit)
    return np.asarray(way + eased(times, path - ride, weights, sigma, unit=unit), np.float64)


def _calmed(times: Array, ride: Array, sigma: float, *, unit: Array) -> Array:
    """A ride [N, 4] without what is too small and too quick to matter; `unit` [N, 4] is what counts as 1."""
    calm = smooth(times, ride, np.ones(len(times)), sigma)
    away = np.abs((calm - ride) / unit).max(axis=1)
    need = np.clip((away - RIDE_LAG[0]) / (RIDE_LAG[1] - RIDE_LAG[0]), 0, 1)
    # As in `eased`, but whoever rides trembles little: there is no jitter to allow for.
    return _given_way(times, calm, ride, need, sigma)


def eased(times: Array, values: Array, weights: Array, sigma: float, *, unit: Array | float = 1.0) -> Array:
    """Values [N, D] smoothed by `sigma` seconds, by a third of it where that would lag.

    `unit` is what counts as 1, such as the face's size for a place in px.
    """
    wide, narrow = smooth(times, values, weights, sigma), smooth(times, values, weights, sigma / FINE)
    lag = np.abs((wide - narrow) / unit).max(axis=1)
    # Jitter makes the two windows differ as well; second differences tell it from motion, which is hardly in them.
    bend = np.zeros(len(times))
    bend[1:-1] = np.abs(np.diff(values, n=2, axis=0) / (unit if isinstance(unit, float) else unit[1:-1])).max(axis=1)
    slack = LAG[0] + np.minimum(_usual(times, bend), JITTER)
    need = np.clip((lag - slack) / (LAG[1] - LAG[0]), 0, 1)
    return _given_way(times, wide, narrow, need, sigma)


def _given_way(times: Array, wide: Array, narrow: Array, need: Array, sigma: float) -> Array:
    """The `wide` path [N, D], the `narrow` one [N, D] where there is `need` [N] of it (0..1), and around."""
    # The change from one to the other is spread out, or it would be a jump itself.
    spread = smooth(times, need[:, None], np.ones(len(times)), sigma)[:, 0]
    share = np.clip(np.maximum(need, spread), 0, 1)[:, None]
    return np.asarray(wide + share * (narrow - wide), np.float64)


def _usual(times: Array, values: Array) -> Array:
    """Running median [N] over `USUAL_SECONDS` on either side."""
    low = np.searchsorted(times, times - USUAL_SECONDS)
    high = np.searchsorted(times, times + USUAL_SECONDS, side="right")
    return np.array([np.median(values[a:b]) for a, b in zip(low, high, strict=True)])


def widened(times: Array, boxes: Array, seen: NDArray[np.intp], camera: Sequence[View]) -> Array:
    """Boxes [N, 4] that are larger the farther they are from a detection: between two, nobody knows the way.

    `seen` are the indices at which there was one, the first and the last among them. On either side a box grows by the
    part of its size that a face of its speed, in the world of N views, may stray from the curve.
    """
    before = times - times[seen[np.maximum(np.searchsorted(seen, np.arange(len(times)), side="right") - 1, 0)]]
    after = times[seen[np.minimum(np.searchsorted(seen, np.arange(len(times))), len(seen) - 1)]] - times
    free = before * after / np.maximum(before + after, 1e-9)
    part = free * (STRAY[0] + STRAY[1] * _speeds(times, boxes, camera))
    return grown(boxes, np.where(free > 0, UNSEEN + part, 0))


def grown(boxes: Array, part: Array) -> Array:
    """Boxes [N, 4] larger by `part` [N] of their mean side, at most `MOST_STRAY`, on every side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    more = np.minimum(part, MOST_STRAY)[:, None] * np.sqrt(np.prod(sides, axis=1, keepdims=True))
    return np.hstack([boxes[:, :2] - more, boxes[:, 2:] + more])


def _speeds(times: Array, boxes: Array, camera: Sequence[View]) -> Array:
    """Face sizes a second [N], the mean over `SPEED_SECONDS` on either side."""
    if len(times) < 2:
        return np.zeros(len(times))
    c = centre_size(boxes)
    sizes = np.sqrt(np.maximum(c[:, 2] * c[:, 3], 1e-6)) / [view.scale for view in camera]
    places = np.array([view.world(row[:2]) for view, row in zip(camera, c, strict=True)])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1) / np.diff(times) / sizes[1:]
    low = np.searchsorted(times[1:], times - SPEED_SECONDS)
    high = np.maximum(np.searchsorted(times[:-1], times + SPEED_SECONDS, side="right"), low + 1)
    return np.array([steps[min(a, len(steps) - 1) : b].mean() for a, b in zip(low, high, strict=True)])


def cover(boxes: Array, detected: Array, *, loner: Mask) -> Array:
    """Settled boxes [K, 4], moved as little as needed towards the detections [K, 4] they must cover.

    Where a detection is an outlier, both places are covered: it may be the face after all.
    """
    out = boxes.copy()
    wrong = _paired_iou(out, detected) < SURE_IOU
    union = np.hstack([np.minimum(boxes[:, :2], detected[:, :2]), np.maximum(boxes[:, 2:], detected[:, 2:])])
    out[wrong & loner] = union[wrong & loner]
    wrong &= ~loner
    for part in (0.25, 0.5, 0.75, 1.0):
        out[wrong] = boxes[wrong] + part * (detected[wrong] - boxes[wrong])
        wrong &= _paired_iou(out, detected) < SURE_IOU
    return out


def _paired_iou(a: Array, b: Array) -> Array:
    inter = area(np.hstack([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])]))
    return np.asarray(inter / np.maximum(area(a) + area(b) - inter, 1e-9), np.float64)
