"""From a settled face box and its keypoints to an upright square crop, and the sub-pixel warp between the two.

In: a box and points in px of the upright picture. Out: a `FacePose`, the 2x3 matrices of geometry.py, the picture
window a face needs, and resampled pixels. Training and rendering share this file, so a crop means the same to both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidanon.geometry import Array, apply, invert, similarity
from vidanon.types import FACE_POINT_INDEX, FloatArray, Region

CROP_SCALE = 1.7
"""Side of the crop in face sizes: the face, and enough of its surroundings to continue skin, hair and light."""

DEFAULT_MARGIN = 0.08
"""How far the mask reaches past the face, in face sizes; the default of RenderSettings.mask_margin ..."""
MARGIN_PX = 1.5
"""... and px of the source on top: what a face of any size is out by, and a third of one of ten px."""

POINT_LIMIT = 0.75
"""Keypoints never pull the mask further than this from the centre along the face's axes, in face sizes:
the crop ends at CROP_SCALE / 2 = 0.85, and a stray point must leave the generator a ring to see."""

EDGE_PX = 6
"""Room around everything a face needs: the guard band of mask.py and a border where alpha is 0."""

SMALLEST_PX = 2.0
"""Boxes below this are treated as this large, so that no scale divides by zero."""

STRAY_ANGLE = math.radians(12)
"""A vector so far off the others' direction counts a quarter."""

EMPTY_WEIGHT = 1e-3
"""A resampled pixel with less of its weight from visible ones than this has no colour."""


@dataclass(frozen=True, slots=True)
class FacePose:
    """Where a face is and how it stands."""

    cx: float
    """px, centre of the box"""
    cy: float
    """px, centre of the box"""
    size: float
    """px, the longer side of the box"""
    roll: float
    """radians the face is turned in the picture, x towards y; 0 = upright"""
    box_w: float = 1.0
    """width of the (axis-parallel) box in sizes, 0..1"""
    box_h: float = 1.0
    """height of the (axis-parallel) box in sizes, 0..1"""


_ACROSS = (("right_eye", "left_eye", 1.0), ("right_pupil", "left_pupil", 1.0), ("mouth_right", "mouth_left", 0.7))
_UPPER = (("right_eye", "left_eye"), ("right_pupil", "left_pupil"))


def face_pose(box: ArrayLike, points: ArrayLike) -> FacePose:
    """Pose of a face from its box [4] xyxy px and points [30, 2] px in the order of FACE_POINTS (NaN = unknown).

    Roll is the direction of a sum of vectors, each as long as it is in the picture: eye to eye, pupil to pupil,
    mouth corner to mouth corner, and eyes to mouth (turned by a right angle). In profile the first three shrink and
    the last one takes over; one that points elsewhere than the rest hardly counts. Without points roll is 0.
    Raises ValueError if the box is not finite.
    """
    x0, y0, x1, y1 = (float(v) for v in np.asarray(box, np.float64).reshape(4))
    if not all(math.isfinite(v) for v in (x0, y0, x1, y1)):
        raise ValueError(f"a face box wants four finite numbers, got {[x0, y0, x1, y1]}")
    w, h = max(x1 - x0, SMALLEST_PX), max(y1 - y0, SMALLEST_PX)
    cx, cy, size = (x0 + x1) / 2, (y0 + y1) / 2, max(w, h)
    return FacePose(cx, cy, size, _roll(np.asarray(points, np.float64), complex(cx, cy), size), w / size, h / size)


def _roll(points: Array, centre: complex, size: float) -> float:
    z = points @ np.array([1, 1j])
    with np.errstate(invalid="ignore"):
        z[~(np.abs(z - centre) <= 1.5 * size)] = np.nan  # unknown, or so far out that it belongs to something else

    def at(name: str) -> complex:
        return complex(z[FACE_POINT_INDEX[name]])

    vectors = [weight * (at(b) - at(a)) for a, b, weight in _ACROSS]
    mouth = (at("mouth_right") + at("mouth_left")) / 2
    vectors += [-1j * (mouth - (at(a) + at(b)) / 2) for a, b in _UPPER]
    known = np.array([v for v in vectors if math.isfinite(v.real) and math.isfinite(v.imag)], np.complex128)
    if not len(known) or abs(known.sum()) < 0.05 * size:
        return 0.0
    total = known.sum()
    for _ in range(4):  # Geman-McClure weights: a threshold would make the roll jump when a vector crosses it
        off = np.angle(known * np.conj(total)) / STRAY_ANGLE
        total = (known / (1 + off**2) ** 2).sum()
    return float(np.angle(total))


def crop_matrix(pose: FacePose, crop_px: int) -> Array:
    """Transform [2, 3] from picture px to px of the upright crop, crop_px on a side and CROP_SCALE sizes wide."""
    scale = crop_px / (CROP_SCALE * pose.size)
    return similarity(scale, -pose.roll, (pose.cx, pose.cy), (crop_px / 2, crop_px / 2))


def region_of(
    pose: FacePose, *, width: int, height: int, feather: float, margin: float = DEFAULT_MARGIN, reach: float = 0.0
) -> Region | None:
    """The window of a width x height picture that holds the crop, the mask and its soft edge; None if it is empty.

    `feather` and `margin` are those of RenderSettings, in face sizes; so is `reach`, how far from the middle it goes.
    """
    reach = max(reach, CROP_SCALE / 2, max(0.5 + margin + MARGIN_PX / pose.size, POINT_LIMIT) + feather)
    half = reach * pose.size * (abs(math.cos(pose.roll)) + abs(math.sin(pose.roll))) + EDGE_PX
    x0, y0 = max(0, math.floor(pose.cx - half)), max(0, math.floor(pose.cy - half))
    x1, y1 = min(width, math.ceil(pose.cx + half)), min(height, math.ceil(pose.cy + half))
    return Region(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def warp(
    image: NDArray[np.float32] | NDArray[np.uint8],
    matrix: ArrayLike,
    size: int | tuple[int, int],
    *,
    valid: NDArray[np.bool_] | None = None,
    origin: tuple[int, int] = (0, 0),
) -> tuple[FloatArray, FloatArray]:
    """Resample `image` [h, w, 3] through `matrix` to `size` (a side, or width and height); (colour, weight).

    `valid` [h, w] marks the pixels that may be read (default: all); the others, and everything outside the image,
    weigh nothing: they are zeroed before the first filter, and colour is divided by the weight that came through
    (normalized convolution, Knutsson & Westin 1993). `weight` [H, W] is 0..1; colour [H, W, 3] keeps the image's
    range and is 0 where the weight is nil. `origin` is the image's first pixel in px of the matrix's source.
    Shrinking is antialiased: whole blocks first (on a grid fixed to the picture, so a moving window does not
    shimmer), then a small Gaussian.
    """
    out_w, out_h = (size, size) if isinstance(size, int) else size
    m = np.asarray(matrix, np.float64)
    scale = math.sqrt(abs(float(np.linalg.det(m[:, :2]))))
    block = max(1, int(0.67 / scale))
    have = Region(origin[0], origin[1], origin[0] + image.shape[1], origin[1] + image.shape[0])
    x0, y0, x1, y1 = _window(m, (out_w, out_h), have, pad=3 / scale + 2 * block + 2)
    if x0 >= x1 or y0 >= y1:
        return np.zeros((out_h, out_w, 3), np.float32), np.zeros((out_h, out_w), np.float32)
    rows, columns = slice(y0 - origin[1], y1 - origin[1]), slice(x0 - origin[0], x1 - origin[0])
    part = image[rows, columns].astype(np.float32, copy=False)
    if valid is None:
        weight = np.ones(part.shape[:2], np.float32)
    else:
        mask = valid[rows, columns].astype(np.uint8)
        part = np.asarray(cv2.copyTo(part, mask), np.float32)  # leaves 0 where the mask is 0
        weight = mask.astype(np.float32)
    if block > 1:
        left, top = x0 % block, y0 % block
        edges = (top, -y1 % block, left, -x1 % block)
        part, weight = _shrink(part, edges, block), _shrink(weight, edges, block)
        x0, y0 = x0 - left, y0 - top
    stack = cv2.merge([*cv2.split(part), weight])
    rest = scale * block
    if rest < 1:
        sigma = 0.5 * math.sqrt(1 / rest**2 - 1)
        reach = math.ceil(3 * sigma)
        if reach:
            stack = cv2.copyMakeBorder(stack, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
            x0, y0 = x0 - reach * block, y0 - reach * block
            stack = cv2.GaussianBlur(stack, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    # OpenCV puts pixel centres at integers, geometry.py at half-integers
    local = np.hstack([m[:, :2] * block, (m[:, :2] @ np.array([x0, y0]) + m[:, 2])[:, None]])
    local[:, 2] += local[:, :2] @ np.array([0.5, 0.5]) - 0.5
    mixed = cv2.warpAffine(stack, local, (out_w, out_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    weight = np.asarray(np.clip(mixed[..., 3], 0, 1), np.float32)
    colour = np.asarray(mixed[..., :3] / np.maximum(weight, EMPTY_WEIGHT)[..., None], np.float32)
    colour[weight < EMPTY_WEIGHT] = 0
    return colour, weight


def _shrink(plane: FloatArray, edges: tuple[int, int, int, int], block: int) -> FloatArray:
    """Means of block x block px, after zeros at the edges (top, bottom, left, right) make whole blocks of all."""
    plane = np.asarray(cv2.copyMakeBorder(plane, *edges, cv2.BORDER_CONSTANT), np.float32)
    size = (plane.shape[1] // block, plane.shape[0] // block)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _window(m: Array, out: tuple[int, int], have: Region, *, pad: float) -> tuple[int, int, int, int]:
    """The part of the image the output can see, filters included: x0, y0, x1, y1 in source px."""
    corners = np.array([[0, 0], [out[0], 0], [0, out[1]], [out[0], out[1]]], np.float64)
    seen = apply(invert(m), corners)
    low, high = np.floor(seen.min(0) - pad), np.ceil(seen.max(0) + pad)
    return max(have.x0, int(low[0])), max(have.y0, int(low[1])), min(have.x1, int(high[0])), min(have.y1, int(high[1]))
