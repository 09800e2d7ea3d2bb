"""Where a new face ends, and what lies beside it.

In: keypoints, the skin of a new face, and the pixels that may be seen around it. Out: the face with an outline as
narrow as in a picture, passing over into a neck or a forehead where there is one, and beside it the picture continued.
A net that cannot see where a face ends paints a mean of all the places where it may, and its rim fades over a tenth of
the crop; keypoints tell where a jaw is. Blind: of the source only pixels outside core and guard band have influence.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidanon.geometry import Array, apply, invert
from vidanon.models.layout import CANONICAL, settled
from vidanon.render.align import CROP_SCALE, FacePose, crop_matrix
from vidanon.render.blend import away, carried, clipped, eased
from vidanon.render.mask import SUBPIXEL_BITS, facial, fixed_point
from vidanon.types import FACE_POINT_INDEX, LUMA, FloatArray, Region

FOREHEAD = 1.35
"""How far up skin goes, of the way from the brows to where hair may begin at the most: to the edge of the mask, so that
what hair is seen is the picture's."""
LEAST_POINTS = 8
"""Of a face's points and hairline, without which there is no outline."""
CUTS = 3
"""How often the corners of an outline are cut (Chaikin 1974), until it is a curve."""
SOFT, SOFTER = (0.8, 0.006), 0.025
"""Width (sigma) of the passage from skin to what is beside it, in px and for each face size; and to other skin."""
A_NECK = (0.4, 0.55), (1.15, 1.3), (0.06, 0.13), (0.15, 0.3)
"""What is skin beside a face: its luma, for that of the face's skin, from which on and up to which; by how much it
may be greyer (less red, more blue, for its luma), as walls are, and by how much redder. A neck lies in shade ..."""
A_FOREHEAD = (0.55, 0.75), (1.5, 1.9), (0.1, 0.2), (0.4, 0.7)
"""... a forehead above the mask is all lighter and redder than dark hair, for what hair is as light does no harm."""
MOSTLY = (0.4, 0.8)
"""Which part of what is nearby must be skin for a face to pass over into it hardly, and wholly."""
BESIDE = 0.03
"""How far outside (1/e) the surroundings are asked, in sides of the crop."""
PASSAGE, DEEP = 1 / 14, (0.03, 0.16)
"""Width (sigma) of the Gaussian that carries what other skin differs by into a face, and how far in it goes."""
ABOVE, BELOW = (0.02, 0.08), (0.2, 0.7)
"""How far above the brows, in sides of the crop, and on the way from the mouth to the chin, there may be skin beside a
face; between them there are ears and walls."""
FOREHEAD_WIDE, NECK_WIDE = (-1.1, -0.8), (-1.0, -0.7)
"""How far from their middle, in half widths of brows and of jaw, foreheads and necks end wholly, and begin to."""
HAIR = 0.3, 0.3, 0.7, 0.02
"""How much light hair takes from skin beside it; its luma, for the skin's, up to which it does wholly, and no more; and
how far in (1/e), in sides of the crop."""
NEAR, BLURRED = (0.04, 0.09), 0.07
"""How far from what is seen, in face sizes, it goes on as sharp as it is, and from where on so blurred (sigma)."""

_BROWS = [i for name, i in FACE_POINT_INDEX.items() if "_brow_" in name]
_CORNERS = [FACE_POINT_INDEX[name] for name in ("mouth_right", "mouth_left")]
_TEMPLES = [FACE_POINT_INDEX[name] for name in ("right_brow_outer", "left_brow_outer")]
_JAWS = [FACE_POINT_INDEX[name] for name in ("jaw_2", "jaw_6")]
_CHIN = FACE_POINT_INDEX["jaw_4"]


def made_whole(points: FloatArray) -> FloatArray:
    """Keypoints [30, 2] in 0..1 of the upright crop, those that are unknown (NaN) where the others put them."""
    whole = settled(torch.from_numpy(np.asarray(points, np.float32))[None])[0]
    return np.asarray(whole.numpy(), np.float32)


def outline_of(points: FloatArray, *, forehead: float = FOREHEAD) -> Array:
    """[N, 2] outline of a face's skin, of its keypoints [30, 2], both in 0..1 of the upright crop.

    Where these lie so far out that they are of something else, it is that of the mean face.
    """
    known = facial((points.astype(np.float64) - 0.5) * CROP_SCALE, forehead=forehead)
    if len(known) < LEAST_POINTS:
        known = facial((CANONICAL.numpy().astype(np.float64) - 0.5) * CROP_SCALE, forehead=forehead)
    curve = np.asarray(cv2.convexHull(known.astype(np.float32)), np.float64).reshape(-1, 2)
    for _ in range(CUTS):
        after = np.roll(curve, -1, axis=0)
        curve = np.stack([0.75 * curve + 0.25 * after, 0.25 * curve + 0.75 * after], axis=1).reshape(-1, 2)
    outline: Array = curve / CROP_SCALE + 0.5
    return outline


def depth(outline: Array, side: int) -> FloatArray:
    """[side, side] how far inside an outline [N, 2] (0..1 of a crop) each pixel lies, in sides; 0 outside."""
    drawn = np.zeros((side, side), np.uint8)
    cv2.fillPoly(drawn, [fixed_point(outline * side).astype(np.int32)], 1, shift=SUBPIXEL_BITS)
    return away(drawn > 0) / np.float32(side)


def neighbours(
    crop: FloatArray, inner: FloatArray, context: FloatArray, visible: NDArray[np.bool_], points: FloatArray
) -> FloatArray:
    """[s, s, 6] what lies beside a face, carried smoothly into it: as `passed_over` wants it, and fit to be averaged.

    R', G', B' of skin there times how much of it there is, that, luma of all there is times how much is seen, and that.
    `crop` [S, S, 3] has its skin where `inner` [S, S]; `context` [S, S, 3] counts where it is `visible` [S, S];
    `points` [30, 2] are whole, in 0..1 of the crop.
    """
    side = len(context)
    own = carried(crop, inner > 0.5)
    luma, other = (np.maximum(colour @ LUMA, np.float32(0.01)) for colour in (own, context))
    hue = context / other[..., None] - own / luma[..., None]
    redder = np.maximum(hue[..., 0], -hue[..., 2])
    greyer = np.maximum(-hue[..., 0], hue[..., 2])
    ratio = other / luma
    like = np.zeros_like(ratio)
    for part, (low, high, grey, red) in zip(_bare(points, side), (A_FOREHEAD, A_NECK), strict=True):
        alike = eased(ratio, *low) * (1 - eased(ratio, *high)) * (1 - eased(greyer, *grey)) * (1 - eased(redder, *red))
        np.maximum(like, alike, where=part > 0, out=like)
    ring = np.where(visible, np.exp(-away(visible) / np.float32(BESIDE * side)), np.float32(0))
    weight = ring * like
    sums = np.dstack([context * weight[..., None], weight, other * ring, ring])
    small = max(8, side // 4)  # it will be smooth: a quarter of the resolution holds it
    sums = np.asarray(cv2.resize(sums, (small, small), interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(cv2.GaussianBlur(sums, (0, 0), PASSAGE * small, borderType=cv2.BORDER_CONSTANT), np.float32)


def passed_over(
    skin: FloatArray, sums: FloatArray, visible: NDArray[np.bool_], points: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A face's skin [D, D, 3] meeting its `neighbours`, and where these are skin as well, [S, S] 0..1.

    It passes over into a neck, and what of a forehead is seen above the mask; hair casts a shadow on it. `visible`
    [S, S] and `points` [30, 2] as there.
    """
    side, size = len(visible), len(skin)
    sums = np.asarray(cv2.resize(sums, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
    of_skin, of_all = (np.maximum(sums[..., i], np.float32(1e-3)) for i in (3, 5))
    where = eased(sums[..., 3] / of_all, *MOSTLY) * np.maximum(*_bare(points, side))
    small = np.asarray(cv2.resize(skin, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    broad = np.asarray(cv2.GaussianBlur(small, (0, 0), PASSAGE * side, borderType=cv2.BORDER_REPLICATE), np.float32)
    inside = away(~visible) / np.float32(side)
    off = (sums[..., :3] / of_skin[..., None] - broad) * (where * (1 - eased(inside, *DEEP)))[..., None]
    most, dark, light, deep = HAIR
    darker = 1 - eased(sums[..., 4] / of_all / np.maximum(broad @ LUMA, np.float32(0.01)), dark, light)
    off -= small * (most * darker * (1 - where) * np.exp(-inside / np.float32(deep)))[..., None]
    return clipped(skin + cv2.resize(off, (size, size), interpolation=cv2.INTER_LINEAR)), where


def rimmed(rgb: FloatArray, skin: FloatArray, pixels: FloatArray, depths: FloatArray, *, size: float) -> FloatArray:
    """The pixels of a face [h, w, 3] as far as they are its `skin` [h, w], and beside it what is seen, `continued`.

    `pixels` [h, w, 3] and `depths` [h, w] are of that; the farther in, the softer. `size` of the face in px.
    """
    far = eased(depths / np.float32(size), *NEAR)[..., None]
    height, width = skin.shape
    small = (max(1, width // 4), max(1, height // 4))  # it is smooth: a quarter of the resolution holds it
    soft = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(soft, (0, 0), max(0.5, BLURRED * size / 4), borderType=cv2.BORDER_REPLICATE)
    soft = np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    other = pixels + far * (soft - pixels)
    return other + skin[..., None] * (rgb - other)


def placed(outline: Array, passing: FloatArray, pose: FacePose, window: Region) -> FloatArray:
    """[h, w] of a window: 1 inside an outline [N, 2] (0..1 of the crop), 0 outside, softly where `passing` [h, w]."""
    at = apply(invert(crop_matrix(pose, 1)), outline) - (window.x0, window.y0)
    drawn = np.zeros((window.height, window.width), np.float32)
    cv2.fillPoly(drawn, [fixed_point(at).astype(np.int32)], 1.0, shift=SUBPIXEL_BITS)
    least = SOFT[0] + SOFT[1] * pose.size
    narrow, wide = (cv2.GaussianBlur(drawn, (0, 0), sigma) for sigma in (least, max(least, SOFTER * pose.size)))
    return np.asarray(narrow + passing * (wide - narrow), np.float32)


def continued(rgb: FloatArray, hidden: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Pixels [h, w, 3], the `hidden` [h, w] as the nearest that is not (grey without one); how far in px each is in."""
    if hidden.all():
        return np.full_like(rgb, 0.5), np.full(hidden.shape, np.inf, np.float32)
    if not hidden.any():
        return rgb, np.zeros(hidden.shape, np.float32)
    mask = hidden.astype(np.uint8)
    depths, labels = cv2.distanceTransformWithLabels(mask, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    edge = ~hidden & (cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0)
    colours = np.zeros((int(labels.max()) + 1, 3), np.float32)
    colours[labels[edge]] = rgb[edge]
    out = rgb.copy()
    out[hidden] = colours[labels[hidden]]
    out[hidden] = cv2.GaussianBlur(out, (0, 0), 1.0)[hidden]
    return out, np.asarray(depths, np.float32)


def _bare(points: FloatArray, side: int) -> tuple[FloatArray, FloatArray]:
    """[side, side] each, 1 where there may be forehead above a face, and neck below it, by its keypoints [30, 2]."""
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    brows, mouth, chin = points[_BROWS, 1].mean(), points[_CORNERS, 1].mean(), points[_CHIN, 1]

    def across(names: list[int], reach: tuple[float, float]) -> FloatArray:
        right, left = points[names, 0]
        return eased(-np.abs(at - (right + left) / 2) / max(float(left - right) / 2, 1e-3), *reach)

    above = eased(brows - at, *ABOVE)[:, None] * across(_TEMPLES, FOREHEAD_WIDE)
    below = eased((at - mouth) / max(float(chin - mouth), 1e-3), *BELOW)[:, None] * across(_JAWS, NECK_WIDE)
    return np.asarray(above, np.float32), np.asarray(below, np.float32)
