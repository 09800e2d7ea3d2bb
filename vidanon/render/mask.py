"""Which pixels of a picture are face: the hard core, its soft edge, and what the generator may not see.

In: a `FacePose` and keypoints. Out: masks over a picture window or over the upright crop, drawn from one and the
same convex outline, so that training and rendering hide the same thing. Nothing here looks at a pixel.

The outline is the convex hull of two superellipses (exponent 4), one along the picture's axes and one along the
face's, which each hold the box's own ellipse plus the margin, and of the known facial points, the brows raised to
the hairline, grown by the margin. The whole box lies inside at every roll and with every margin. Where (nearly) all
facial points are known they say themselves where the face ends: then two ellipses do, a tenth smaller than the box's
own, and the box's empty corners (hair, background, collar) stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidanon.geometry import Array
from vidanon.render.align import CROP_SCALE, MARGIN_PX, POINT_LIMIT, FacePose
from vidanon.render.blend import eased
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, ON_FACE, FloatArray, Region

GUARD_PX = 4
"""Source px around the core that are hidden too: as far as bicubic chroma interpolation of 4:2:0 carries a sample."""

HAIRLINE = 0.25
"""From brows to hairline, in face sizes: of 4,450 faces 99 % have no more; the margin comes on top."""

LIFTED = (0.5, 0.17, 0.18)
"""Where a nose lies on the way from eyes to mouth of a head held level; by how much nearer the hairline is for each
part of that way the nose lies higher, as a head that is thrown back foreshortens its forehead (of 4,017 faces 99 % have
no more, at every pitch); and no less than this."""

TEMPLE = 0.5
"""How much of that it is from a brow's outer end: foreheads are round."""

_CORNER = 2**0.25 * 1.01
"""Half-axis over half-side of the exponent-4 superellipse that just holds a rectangle, and 1 % for the polygon."""

ENOUGH_POINTS = 24
"""Known facial points, hairline included, out of 30 from which on they are trusted with the box's corners."""

DRAWN_IN = 0.9
"""Axes of the ellipse that does then, in sides of the box: beside a jaw the box's own holds what is behind it."""

_CIRCLE = np.exp(2j * np.pi * np.arange(24) / 24)
_ANGLE = 2 * np.pi * np.arange(256) / 256
_UNIT = np.stack([f(_ANGLE) for f in (np.cos, np.sin)], axis=1)
_SUPERELLIPSE = np.sign(_UNIT) * np.sqrt(np.abs(_UNIT))
_BROWS = np.array([FACE_POINT_INDEX[n] for n in FACE_POINTS if "_brow_" in n])
_HAIRLINE = np.array([[0, TEMPLE if "outer" in FACE_POINTS[i] else 1] for i in _BROWS])
_EYES, _NOSE, _CORNERS = (
    np.array([FACE_POINT_INDEX[name] for name in names])
    for names in (("right_eye", "left_eye"), ("nose",), ("mouth_right", "mouth_left"))
)
SUBPIXEL_BITS = 8
LARGEST_PX = 64_000_000
"""px of a face that is still drawn whole, whatever part of it is in the window: twice those of an 8K picture"""


@dataclass(frozen=True, slots=True)
class FaceMask:
    """The masks of one face over one window [h, w]."""

    core: NDArray[np.bool_]
    """the face: always wholly replaced"""
    alpha: FloatArray
    """1 on the core, falling smoothly to 0 outside it"""
    hidden: NDArray[np.bool_]
    """core, guard band, and the same of the other faces: what neither generator nor colour statistics may read"""


def unit_outline(pose: FacePose, points: ArrayLike, *, margin: float) -> Array:
    """Convex outline [N, 2] of the mask in the face's own frame: origin at its centre, upright, 1 = pose.size.

    `points` [30, 2] are px in the order of FACE_POINTS, NaN = unknown; `margin` is in face sizes, and MARGIN_PX come on
    top of it.
    """
    margin += MARGIN_PX / pose.size
    c, s = math.cos(pose.roll), math.sin(pose.roll)
    turn = np.array([[c, -s], [s, c]])  # row vectors: picture axes -> face axes
    p = (np.asarray(points, np.float64) - (pose.cx, pose.cy)) / pose.size @ turn
    known = facial(p)
    sure = len(known) >= ENOUGH_POINTS
    parts = [_around(pose.box_w, pose.box_h, margin, sure=sure) @ turn]
    if abs(pose.roll) > 1e-9:
        along = math.hypot(pose.box_w * c, pose.box_h * s), math.hypot(pose.box_w * s, pose.box_h * c)
        parts.append(_around(*along, margin, sure=sure))
    if len(known):
        grown = (known[:, None] + margin * np.stack([_CIRCLE.real, _CIRCLE.imag], 1)).reshape(-1, 2)
        parts.append(np.clip(grown, -POINT_LIMIT, POINT_LIMIT))
    hull = cv2.convexHull(np.concatenate(parts).astype(np.float32))
    return np.asarray(hull, np.float64).reshape(-1, 2)


def facial(points: Array, *, forehead: float = 1.0) -> Array:
    """[N, 2] the known ones of a face's keypoints [30, 2] in its own frame, and its hairline.

    The hairline is `forehead` of the way from the brows to where it may be at the most.
    """
    at = np.concatenate([points[ON_FACE], points[_BROWS] - forehead * _hairline(points) * _HAIRLINE])
    with np.errstate(invalid="ignore"):
        known: Array = at[np.hypot(at[:, 0], at[:, 1]) <= 1.2]  # drops unknown points and strays
    return known


def _hairline(points: Array) -> float:
    """From brows to hairline of a face with these keypoints [30, 2] in its own frame, in face sizes."""
    eyes, nose, mouth = (points[rows, 1].mean() for rows in (_EYES, _NOSE, _CORNERS))
    level, slope, least = LIFTED
    if not (mouth - eyes > 0.1 and math.isfinite(nose)):
        return HAIRLINE
    return float(np.clip(HAIRLINE + slope * ((nose - eyes) / (mouth - eyes) - level), least, HAIRLINE))


def _around(width: float, height: float, margin: float, *, sure: bool) -> Array:
    """About the box's ellipse and the margin; unless the points are `sure`, the whole box."""
    half = np.array([width / 2, height / 2])
    return _UNIT * (DRAWN_IN * half + margin) if sure else _SUPERELLIPSE * np.maximum(half + margin, _CORNER * half)


def crop_masks(pose: FacePose, points: ArrayLike, *, crop_px: int, margin: float) -> FloatArray:
    """Core mask [crop_px, crop_px] over the crop of `crop_matrix`: 1 = face, 0 = not.

    What the renderer hides is GUARD_PX of the source more: with a face of n px that is `margin + GUARD_PX / n`.
    """
    outline = (unit_outline(pose, points, margin=margin) / CROP_SCALE + 0.5) * crop_px
    return _fill(fixed_point(outline), crop_px, crop_px).astype(np.float32)


def outline_px(pose: FacePose, points: ArrayLike, *, margin: float) -> Array:
    """The outline of `unit_outline` [N, 2] in px of the picture."""
    return in_picture(pose, unit_outline(pose, points, margin=margin))


def in_picture(pose: FacePose, places: Array) -> Array:
    """Places [N, 2] in a face's own frame, in px of the picture."""
    c, s = math.cos(pose.roll), math.sin(pose.roll)
    back = np.array([[c, s], [-s, c]])
    out: Array = places * pose.size @ back + (pose.cx, pose.cy)
    return out


def face_px(pose: FacePose, points: ArrayLike) -> Array:
    """Outline [N, 2], px of the picture, of the face itself, without any margin: what must not be seen."""
    return outline_px(pose, points, margin=-MARGIN_PX / pose.size)


def core_mask(outline: Array, region: Region) -> NDArray[np.bool_]:
    """Pixels [h, w] of a window that an outline [N, 2] in picture px touches, the same in every window."""
    fixed = fixed_point(outline)
    low, high = (fixed.min(axis=0) >> SUBPIXEL_BITS) - 1, (fixed.max(axis=0) >> SUBPIXEL_BITS) + 2
    # drawn whole: OpenCV clips a polygon's edges at its canvas, and rounds the ends anew
    reach = Region(*(int(v) for v in low), *(int(v) for v in high))
    core = np.zeros((region.height, region.width), np.bool_)
    x0, y0 = max(region.x0, reach.x0), max(region.y0, reach.y0)
    part = Region(x0, y0, min(region.x1, reach.x1), min(region.y1, reach.y1))
    if part.width <= 0 or part.height <= 0:
        return core
    if reach.width * reach.height > LARGEST_PX:
        origin = (region.x0 << SUBPIXEL_BITS, region.y0 << SUBPIXEL_BITS)
        return _fill(fixed - origin, region.width, region.height) > 0
    drawn = _fill(fixed - (reach.x0 << SUBPIXEL_BITS, reach.y0 << SUBPIXEL_BITS), reach.width, reach.height)
    core[slices(part, region)] = drawn[slices(part, reach)] > 0
    return core


def fixed_point(outline: Array) -> NDArray[np.int64]:
    """An outline in fixed-point numbers, pixel centres at whole ones."""
    return np.asarray(np.round((outline - 0.5) * (1 << SUBPIXEL_BITS)), np.int64)


def _fill(fixed: NDArray[np.int64], width: int, height: int) -> NDArray[np.uint8]:
    """1 inside a convex outline and on the pixels its edge runs through."""
    canvas = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(canvas, fixed.astype(np.int32), 1, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
    return canvas


def face_mask(
    pose: FacePose,
    points: ArrayLike,
    region: Region,
    *,
    margin: float,
    feather: float,
    others: Sequence[Array] = (),
) -> FaceMask:
    """Masks of a face over a window; `margin` and `feather` in face sizes, `others` the outlines of other faces."""
    core = core_mask(outline_px(pose, points, margin=margin), region)
    away = distance(core)
    alpha = softened(away, feather * pose.size)
    hidden = away <= GUARD_PX
    # drawn with a border, as a core beyond the window may have its guard band inside
    g = GUARD_PX
    wide = Region(region.x0 - g, region.y0 - g, region.x1 + g, region.y1 + g)
    other = np.zeros((wide.height, wide.width), np.bool_)
    for outline in others:
        other |= core_mask(outline, wide)
    if other.any():
        hidden |= distance(other)[g:-g, g:-g] <= GUARD_PX
    return FaceMask(core, alpha, hidden)


def softened(away: FloatArray, feather: float) -> FloatArray:
    """Alpha [h, w] of an edge `feather` px wide: 1 where pixels are 0 px `away` from what is covered, then less."""
    # the first pixel outside lies at distance 1, so a feather of 0 is a hard edge
    return 1 - eased(away / np.float32(1 + feather))


def painted_window(alpha: FloatArray, region: Region) -> Region:
    """The part of a window that alpha [h, w] touches, with one px of zeros around it; its first pixel if none."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    if not len(rows):
        return Region(region.x0, region.y0, region.x0 + 1, region.y0 + 1)
    return Region(
        region.x0 + max(0, int(columns[0]) - 1),
        region.y0 + max(0, int(rows[0]) - 1),
        region.x0 + min(region.width, int(columns[-1]) + 2),
        region.y0 + min(region.height, int(rows[-1]) + 2),
    )


def slices(part: Region, whole: Region) -> tuple[slice, slice]:
    """Index of `part` in an array over `whole`, which must hold it."""
    return (
        slice(part.y0 - whole.y0, part.y1 - whole.y0),
        slice(part.x0 - whole.x0, part.x1 - whole.x0),
    )


def distance(core: NDArray[np.bool_]) -> FloatArray:
    """Px from each pixel to the nearest one of the core (0 on it); up to 2 % too short, never too long."""
    if not core.any():
        return np.full(core.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~core).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)
