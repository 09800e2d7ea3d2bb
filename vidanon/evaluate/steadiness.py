"""Jitter: what of a path over time is too quick to be a head.

In: times and places. Out: root mean square of what is left above 5 Hz, in px. The vigorous head turns people can make
have a median frequency of 2.6 Hz (Grossman et al. 1988, https://pubmed.ncbi.nlm.nih.gov/3384048/).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import butter, sosfiltfilt

Array = NDArray[np.float64]

HERTZ = 5.0
"""the edge between motion and jitter"""
LEAST_FRAMES = 16
"""shorter paths say nothing about frequencies"""
STILL = 0.2
"""face sizes a second below which a head counts as still"""
STILL_WINDOW = 0.4
"""seconds over which that speed is taken"""


@dataclass(frozen=True, slots=True)
class Jitter:
    """How a path trembles."""

    px: float
    """root mean square above 5 Hz, px of the source"""
    still_px: float | None
    """the same while the head is still; None if it never is"""
    still_share: float
    """part of the frames in which the head is still, 0..1"""


def high_pass(times: ArrayLike, values: ArrayLike, hertz: float = HERTZ) -> Array | None:
    """What of `values` [N, ...] at `times` [N] seconds lies above `hertz`, on even times [M, ...], with zero phase.

    None where the path is too short or has too few frames a second to hold that frequency.
    """
    t, x = np.asarray(times, np.float64), np.asarray(values, np.float64)
    if len(t) < LEAST_FRAMES:
        return None
    step = float(np.median(np.diff(t)))
    if step <= 0 or 1 / step <= 2.2 * hertz:
        return None
    grid = even(t)
    flat = x.reshape(len(t), -1)
    evened = np.stack([np.interp(grid, t, column) for column in flat.T], axis=1)
    filtered = sosfiltfilt(butter(4, hertz, "highpass", fs=1 / step, output="sos"), evened, axis=0)
    return np.asarray(filtered, np.float64).reshape(len(grid), *x.shape[1:])


def even(times: ArrayLike) -> Array:
    """Times from the first to the last, at their median distance."""
    t = np.asarray(times, np.float64)
    return np.asarray(np.arange(t[0], t[-1] + 1e-9, float(np.median(np.diff(t)))), np.float64)


def jitter(times: ArrayLike, corners: ArrayLike, sizes: ArrayLike) -> Jitter | None:
    """Of a crop with `corners` [N, 4, 2] px around a face of `sizes` [N] px; None where `high_pass` is.

    Corners tell of centre, size and roll at once, in the unit that is seen.
    """
    t, places = np.asarray(times, np.float64), np.asarray(corners, np.float64)
    quick = high_pass(t, places)
    if quick is None:
        return None
    power = np.square(quick).sum(2).mean(1)
    still = still_frames(t, places, sizes)
    return Jitter(
        px=float(np.sqrt(power.mean())),
        still_px=float(np.sqrt(power[still].mean())) if still.any() else None,
        still_share=float(still.mean()),
    )


def still_frames(times: ArrayLike, corners: ArrayLike, sizes: ArrayLike) -> NDArray[np.bool_]:
    """At which of the `even` times the head hardly moves."""
    t, places, size = (np.asarray(a, np.float64) for a in (times, corners, sizes))
    grid = even(t)

    def at(when: Array) -> Array:
        when = np.clip(when, t[0], t[-1])
        flat = places.reshape(len(t), -1)
        return np.stack([np.interp(when, t, column) for column in flat.T], axis=1).reshape(-1, 4, 2)

    half = STILL_WINDOW / 2
    span = np.minimum(grid + half, t[-1]) - np.maximum(grid - half, t[0])
    speed = np.linalg.norm(at(grid + half) - at(grid - half), axis=2).mean(1) / np.maximum(span, 1e-9)
    return np.asarray(speed < STILL * np.interp(grid, t, size), np.bool_)
