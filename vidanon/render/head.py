"""The head around a face, for who wants more hidden than the face: ears, hairline, and what frames a face.

In: a face's pose and keypoints, and the pixels that may be seen around it. Out: a patch that holds the new face and,
around it, no more of the head than a grid of cell means. Blind like the face itself: under its mask it sees nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vidanon.render.align import FacePose
from vidanon.render.cover import cell_means
from vidanon.render.mask import core_mask, distance, in_picture, outline_px, painted_window, slices, softened
from vidanon.types import FACE_POINT_INDEX, FloatArray, Patch, Region

ACROSS, UP, DOWN = 0.62, 0.88, 0.55
"""From the middle of a face to the sides, the top and the bottom of its head, in face sizes: of an ellipse ..."""
EAR = 0.12
"""... which is drawn around the ears, where these are known, and the mask of the face, so much farther out."""
FEATHER = 0.1
"""Width of its soft edge, in face sizes."""
REACH = UP + FEATHER
"""How far from the middle of the face it goes, in face sizes."""
CELLS = 14
"""At most so many means of it are kept, across and down."""

_EARS = [FACE_POINT_INDEX[name] for name in ("right_ear", "left_ear")]
_ANGLE = 2 * np.pi * np.arange(64) / 64
_ELLIPSE = np.stack([ACROSS * np.cos(_ANGLE), (UP + DOWN) / 2 * np.sin(_ANGLE) + (DOWN - UP) / 2], axis=1)


def head_alpha(pose: FacePose, points: ArrayLike, region: Region, *, margin: float) -> FloatArray:
    """[h, w] of a window: 1 on the head, falling smoothly to 0 outside it.

    `points` [30, 2] are px, NaN = unknown; the face's mask with its `margin`, in face sizes, lies inside.
    """
    ellipse = in_picture(pose, _ELLIPSE)
    ears = np.asarray(points, np.float64)[_EARS]
    with np.errstate(invalid="ignore"):
        known = np.hypot(*(ears - (pose.cx, pose.cy)).T) < REACH * pose.size
    ring = EAR * pose.size * np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1)
    rings = (ears[known, None] + ring).reshape(-1, 2)
    face = outline_px(pose, points, margin=max(EAR, margin))
    hull = cv2.convexHull(np.concatenate([ellipse, rings, face]).astype(np.float32))
    away = distance(core_mask(np.asarray(hull, np.float64).reshape(-1, 2), region))
    return softened(away, FEATHER * pose.size)


def with_head(face: Patch, skin: FloatArray, head: FloatArray, pixels: FloatArray, region: Region) -> Patch:
    """A face's patch as far as it is `skin` [h, w], and around it its head as a smooth surface through cell means.

    `head` [H, W] says how much of each pixel of `region` it covers; `pixels` [H, W, 3] are what is seen, continued
    under the mask.
    """
    part = painted_window(np.maximum(head, _spread(face.alpha, face.region, region)), region)
    inside = slices(part, region)
    means = cell_means(pixels[inside], head[inside] + np.float32(1e-4), most=CELLS)
    smooth = np.clip(cv2.resize(means, (part.width, part.height), interpolation=cv2.INTER_CUBIC), 0, 1)
    mask, own = (_spread(alpha, face.region, part) for alpha in (face.alpha, face.alpha * skin))
    alpha = np.maximum(own + head[inside] * (1 - own), mask)
    new = np.zeros((part.height, part.width, 3), np.float32)
    new[slices(face.region, part)] = face.rgb
    share = (own / np.maximum(alpha, 1e-6))[..., None]
    return Patch(part, np.asarray(smooth + share * (new - smooth), np.float32), alpha)


def _spread(alpha: FloatArray, region: Region, whole: Region) -> FloatArray:
    """[h, w] of a larger window, 0 outside of the smaller one's."""
    out = np.zeros((whole.height, whole.width), np.float32)
    out[slices(region, whole)] = alpha
    return out
