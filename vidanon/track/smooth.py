"""Smoothing a path over time without delay, on uneven time stamps.

In come times in seconds and values, out come values at the same times. Local quadratic regression under a Gaussian
window: the Savitzky-Golay filter (https://doi.org/10.1021/ac60214a047) for frames that are not evenly spaced. It looks
as far ahead as behind, so nothing lags, and a path of constant acceleration passes through unchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REACH = 3.0
"""how many sigmas the window is wide, on either side"""
BLOCK = 2048
"""times handled at once, so that a long track needs little memory"""


def smooth(times: Array, values: Array, weights: Array, sigma: float) -> Array:
    """`values` [N, D] at rising `times` [N], smoothed with a Gaussian of `sigma` seconds.

    `weights` [N] or [N, D] say how much a value counts; 0 lets its neighbours decide. With sigma 0, unchanged.
    """
    n = len(times)
    if n < 3 or sigma <= 0:
        return values.copy()
    low = np.searchsorted(times, times - REACH * sigma)
    high = np.searchsorted(times, times + REACH * sigma, side="right")
    weights = np.broadcast_to(weights if weights.ndim == 2 else weights[:, None], values.shape)
    out = np.empty_like(values)
    for start in range(0, n, BLOCK):
        stop = min(n, start + BLOCK)
        width = int((high[start:stop] - low[start:stop]).max())
        index = low[start:stop, None] + np.arange(width)
        inside = index < high[start:stop, None]
        index = np.minimum(index, n - 1)
        u = (times[index] - times[start:stop, None]) / sigma
        gauss = np.where(inside, np.exp(-0.5 * u * u), 0.0)
        out[start:stop] = _fit(u, gauss[..., None] * weights[index], values[index], values[start:stop])
    return out


def _fit(u: Array, w: Array, x: Array, fallback: Array) -> Array:
    """Value at u = 0 of the quadratic through x [B, W, D] at u [B, W] with weights w [B, W, D]."""
    powers = [w]
    for _ in range(4):
        powers.append(powers[-1] * u[..., None])
    s0, s1, s2, s3, s4 = (p.sum(axis=1) for p in powers)
    # Subtracting the point itself keeps the sums small and the answer exact for values that do not change.
    y = x - fallback[:, None]
    b0, b1, b2 = ((p * y).sum(axis=1) for p in powers[:3])
    known = s0 > 1e-12
    unit = np.where(known, s0, 1.0)
    # A little stiffness: where few neighbours are known, the fit becomes a line, then a mean, instead of wild.
    s2, s4 = s2 + 1e-3 * unit, s4 + 0.03 * unit
    c0, c1, c2 = s2 * s4 - s3 * s3, s1 * s4 - s2 * s3, s1 * s3 - s2 * s2
    determinant = unit * c0 - s1 * c1 + s2 * c2
    solved = (b0 * c0 - b1 * c1 + b2 * c2) / np.where(np.abs(determinant) > 1e-12, determinant, 1.0)
    return np.where(known & (np.abs(determinant) > 1e-12), fallback + solved, fallback)
