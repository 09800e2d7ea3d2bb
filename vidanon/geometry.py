"""Boxes, overlap and similarity transforms: arrays in, arrays out, no torch.

A transform is a float64 [2, 3] matrix M that maps column points: p' = M[:, :2] @ p + M[:, 2].
Pixel centres lie at half-integers: pixel (0, 0) covers [0, 1) x [0, 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def area(boxes: ArrayLike) -> Array:
    """Area in px² of xyxy boxes [..., 4]; 0 for empty or inverted ones."""
    b = np.asarray(boxes, np.float64)
    return np.clip(b[..., 2] - b[..., 0], 0, None) * np.clip(b[..., 3] - b[..., 1], 0, None)


def intersection(a: Array, b: Array) -> Array:
    """Area [N, M] in px² that boxes [N, 4] and [M, 4], xyxy, have in common."""
    # Axis by axis: arrays with a short last side are slow, and there may be hundreds of boxes.
    low, high = np.maximum(a[:, None, 0], b[None, :, 0]), np.minimum(a[:, None, 2], b[None, :, 2])
    top, bottom = np.maximum(a[:, None, 1], b[None, :, 1]), np.minimum(a[:, None, 3], b[None, :, 3])
    return np.asarray(np.maximum(high - low, 0) * np.maximum(bottom - top, 0))


def iou(a: ArrayLike, b: ArrayLike) -> Array:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4], xyxy; 0 where both are empty."""
    a, b = np.asarray(a, np.float64).reshape(-1, 4), np.asarray(b, np.float64).reshape(-1, 4)
    inter = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - inter
    return np.where(union > 0, inter / np.where(union > 0, union, 1), 0.0)


def within(boxes: ArrayLike, others: ArrayLike) -> Array:
    """Which part [N, M] of each of `boxes` [N, 4] lies inside each of `others` [M, 4], xyxy; 0 for empty ones."""
    a, b = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(others, np.float64).reshape(-1, 4)
    whole = area(a)[:, None]
    inter = intersection(a, b)
    return np.where(whole > 0, inter / np.where(whole > 0, whole, 1), 0.0)


def centre_size(boxes: ArrayLike) -> Array:
    """(cx, cy, w, h) [..., 4] of xyxy boxes [..., 4]."""
    b = np.asarray(boxes, np.float64)
    return np.concatenate([(b[..., :2] + b[..., 2:]) / 2, b[..., 2:] - b[..., :2]], axis=-1)


def from_centre_size(c: ArrayLike) -> Array:
    """xyxy boxes [..., 4] of (cx, cy, w, h) [..., 4]."""
    c = np.asarray(c, np.float64)
    half = c[..., 2:] / 2
    return np.concatenate([c[..., :2] - half, c[..., :2] + half], axis=-1)


def similarity(scale: float, angle: float, source: ArrayLike, target: ArrayLike) -> Array:
    """The transform that turns by `angle` (radians, x towards y), scales, and maps `source` to `target`."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    m = np.array([[c, -s], [s, c]])
    t = np.asarray(target, np.float64) - m @ np.asarray(source, np.float64)
    return np.hstack([m, t[:, None]])


def apply(matrix: ArrayLike, points: ArrayLike) -> Array:
    """Points [..., 2] mapped by a transform [2, 3]; NaN stays NaN."""
    m = np.asarray(matrix, np.float64)
    return np.asarray(points, np.float64) @ m[:, :2].T + m[:, 2]


def invert(matrix: ArrayLike) -> Array:
    """The inverse of an affine transform [2, 3]. Raises numpy.linalg.LinAlgError if it has none."""
    m = np.asarray(matrix, np.float64)
    inverse = np.linalg.inv(m[:, :2])
    return np.hstack([inverse, -(inverse @ m[:, 2])[:, None]])


def fit_similarity(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Least-squares similarity [2, 3] from points `source` to `target`, both [N, 2] (Umeyama 1991, no mirror).

    Points with NaN on either side do not count. Raises ValueError with fewer than two distinct points left.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    w = np.ones(len(a)) if weights is None else np.asarray(weights, np.float64)
    keep = np.isfinite(a).all(1) & np.isfinite(b).all(1) & (w > 0)
    a, b, w = a[keep], b[keep], w[keep]
    if len(a) < 2:
        raise ValueError(f"a similarity wants two known points on both sides, got {len(a)}")
    w = w / w.sum()
    ma, mb = w @ a, w @ b
    za = (a - ma) @ np.array([1, 1j])
    zb = (b - mb) @ np.array([1, 1j])
    spread = float(np.sum(w * np.abs(za) ** 2))
    if spread <= 1e-12:
        raise ValueError("a similarity wants two distinct points, all given ones coincide")
    r = np.sum(w * np.conj(za) * zb) / spread
    return similarity(float(np.abs(r)), float(np.angle(r)), ma, mb)
