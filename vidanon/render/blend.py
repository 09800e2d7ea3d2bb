"""From a painted crop to a patch of the picture: colour fitted to the surroundings, warped back, grain put on.

In: the generator's crop, what it was shown, and the face's masks. Out: R'G'B' pixels for a window. Blind: of the
source only pixels outside core and guard band have any influence, and they only set a smooth offset and a grain size.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidanon.geometry import Array, invert
from vidanon.render.align import CROP_SCALE, FacePose, crop_matrix, warp
from vidanon.types import LUMA, FloatArray, Region

RING = 0.14
"""Width of the band around the hidden area whose colours are fitted, in sides of the crop."""

LARGEST_OFFSET = 0.25
"""No residual counts for more: what differs more than that is another thing, not another light."""

NEAR = 1 / 14
"""Width (sigma) of the Gaussian that carries the residual inwards, in sides of the crop."""

SEAM = 1 / 60
"""Width of the passage from painted to seen pixels, in sides of the crop: the net learns to continue the picture
only so far outside the hidden area."""

EDGE = 1 / 64
"""Width (sigma) of what is blurred along the edge of the visible, and of the Gaussian, in sides of the crop."""

TONED = 1 / 12
"""How far inside the hidden area skin has its own tone in full, in sides of the crop ..."""
BRIGHT = 0.85
"""... and from where on what is lighter bends towards white."""

CARRYING = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Widths (sigma) of the Gaussians that carry light to where it is not known, in sides of the crop, nearest first."""
ENOUGH = 1 / 6
"""share of a Gaussian's weight that is known, from which no wider one is asked"""

GRAIN = (0.004, 0.03)
"""Noise below the first is not worth imitating (1/255), above the second it is texture."""


def match_colour(
    painted: FloatArray, context: FloatArray, visible: NDArray[np.bool_], *, surroundings: FloatArray | None = None
) -> FloatArray:
    """The painted crop [S, S, 3] plus a smooth offset that makes its ring meet the context's; 0..1.

    `context` [S, S, 3] counts where `visible` [S, S]. The offset is the ring's residual carried inwards by normalized
    convolution with a narrow Gaussian, resting on what the whole ring agrees on. Where nothing of the crop is visible,
    as with a face of ten px, the mean is moved to `surroundings` [3] instead.
    """
    side = len(painted)
    if not visible.any():
        shift = 0.0 if surroundings is None else surroundings - painted.mean(axis=(0, 1))
        return clipped(painted + shift)
    weight = np.where(visible, np.exp(-away(visible) / np.float32(RING * side / 2)), np.float32(0))
    residual = np.clip(context - painted, -LARGEST_OFFSET, LARGEST_OFFSET) * weight[..., None]
    small = max(8, side // 4)  # the offset is smooth: a quarter of the resolution holds it
    num = np.asarray(cv2.resize(residual, (small, small), interpolation=cv2.INTER_AREA), np.float32)
    den = np.asarray(cv2.resize(weight, (small, small), interpolation=cv2.INTER_AREA), np.float32)[..., None]
    # far from the ring only what the whole of it agrees on counts: a cast is taken out, a wrong collar is not
    ring = weight > 0.5
    off = (context - painted)[ring if ring.any() else visible]
    typical = np.median(off, axis=0)
    discord = np.median(np.abs(off - typical), axis=0)
    typical = typical * np.abs(typical) / (np.abs(typical) + 3 * discord + 1e-6)
    typical = np.clip(typical, -LARGEST_OFFSET, LARGEST_OFFSET)
    offset = (_spread(num, NEAR * small) + 0.02 * typical) / (_spread(den, NEAR * small) + 0.02)
    full = cv2.resize(np.asarray(offset, np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return clipped(painted + full)


def joined(painted: FloatArray, context: FloatArray, visible: NDArray[np.bool_]) -> FloatArray:
    """The crop [S, S, 3], colour matched, passing over into the context [S, S, 3] where that is `visible` [S, S].

    Along the edge of what is visible it is blurred: nets draw a line there.
    """
    if not visible.any():
        return painted
    side, out = len(painted), away(visible)
    off = np.where(visible, out, away(~visible)) / np.float32(EDGE * side)
    soft = _spread(painted, EDGE * side, border=cv2.BORDER_REPLICATE)
    painted = painted + (soft - painted) * np.exp(-0.5 * np.square(off))[..., None]
    return clipped(painted + (context - painted) * eased(out / np.float32(SEAM * side))[..., None])


def away(visible: NDArray[np.bool_]) -> FloatArray:
    """Px [S, S] from each pixel to the nearest that is not visible."""
    return np.asarray(cv2.distanceTransform(visible.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def eased(value: ArrayLike, low: float = 0, high: float = 1) -> FloatArray:
    """From 0 to 1 as `value` goes from `low` to `high`, without a corner at either end."""
    t = np.clip((np.asarray(value, np.float32) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def clipped(colour: ArrayLike) -> FloatArray:
    """Colours within 0..1."""
    return np.asarray(np.clip(colour, 0, 1), np.float32)


def _spread(plane: FloatArray, sigma: float, *, border: int = cv2.BORDER_CONSTANT) -> FloatArray:
    blurred = cv2.GaussianBlur(plane, (0, 0), sigma, borderType=border)
    return np.asarray(blurred, np.float32).reshape(plane.shape)


def toned(painted: FloatArray, visible: NDArray[np.bool_], gains: FloatArray) -> FloatArray:
    """The crop [S, S, 3], its R', G' and B' times `gains` [3] where it is hidden: lighter or darker skin.

    What would be too light bends towards white; at the edge of what is `visible` [S, S] the colour stays what it is.
    """
    if visible.all() or (gains == 1).all():
        return painted
    weight = eased(away(~visible) / np.float32(TONED * len(painted)))[..., None]
    lit = painted * gains
    lit = np.where(lit > BRIGHT, BRIGHT + (1 - BRIGHT) * np.tanh((lit - BRIGHT) / np.float32(1 - BRIGHT)), lit)
    return clipped(painted + weight * (lit - painted))


def carried(values: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """Luma [S, S] or colours [S, S, 3] continued smoothly from where they are `known` [S, S], by the nearest."""
    side = len(values)
    small = max(8, side // 4)  # it is smooth: a quarter of the resolution holds it
    both = np.dstack([values * known.reshape(known.shape + (1,) * (values.ndim - 2)), known.astype(np.float32)])
    both = np.asarray(cv2.resize(both, (small, small), interpolation=cv2.INTER_AREA), np.float32)
    total = np.zeros((small, small, both.shape[2] - 1), np.float32)
    have = np.zeros((small, small, 1), np.float32)
    for sigma in CARRYING:
        spread = _spread(both, sigma * small)
        value, weight = spread[..., :-1], spread[..., -1:]
        share = np.minimum(weight / ENOUGH, 1) * (1 - have)
        total += share * value / np.maximum(weight, 1e-6)
        have += share
    full = cv2.resize(total / np.maximum(have, 1e-6), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full, np.float32).reshape(values.shape)


def place(painted: FloatArray, pose: FacePose, window: Region) -> FloatArray:
    """The crop [S, S, 3] warped to the pixels [h, w, 3] of `window`, 0..1; beyond the crop its edge is repeated."""
    side = len(painted)
    back: Array = invert(crop_matrix(pose, side))
    back[:, 2] -= (window.x0, window.y0)
    if CROP_SCALE * pose.size < side:
        border = side // 2
        wide = cv2.copyMakeBorder(painted, border, border, border, border, cv2.BORDER_REPLICATE)
        colour, weight = warp(
            np.asarray(wide, np.float32), back, (window.width, window.height), origin=(-border, -border)
        )
        if (weight < 0.5).any():  # a corner further out than the border reaches
            colour[weight < 0.5] = painted.mean(axis=(0, 1))
        return clipped(colour)
    back[:, 2] += back[:, :2] @ np.array([0.5, 0.5]) - 0.5  # OpenCV puts pixel centres at integers
    size = (window.width, window.height)
    large = cv2.warpAffine(painted, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return clipped(large)


def grain_of(rgb: FloatArray, hidden: NDArray[np.bool_]) -> float:
    """Standard deviation of the noise in the pixels [h, w, 3] of a window that are not hidden; 0 if too few.

    From the second differences of luma (Immerkaer 1996), by their lower quartile, so that texture hardly counts.
    """
    seen = (~hidden).astype(np.uint8)
    luma = cv2.copyTo(rgb, seen) @ LUMA
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    inside = cv2.erode(seen, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    values = np.abs(cv2.filter2D(luma, -1, kernel)[inside.astype(np.bool_)])
    if len(values) < 64:
        return 0.0
    values = values[:: math.ceil(len(values) / 20_000)]
    return float(np.quantile(values, 0.25)) / (0.3186 * 6)


def add_grain(rgb: FloatArray, sigma: float, *, seed: int) -> FloatArray:
    """The pixels [h, w, 3] with grey noise of `sigma` on them, about a px and a half wide as video noise is."""
    if not sigma >= GRAIN[0]:
        return rgb
    noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(rgb.shape[:2], dtype=np.float32)
    noise = np.asarray(cv2.GaussianBlur(noise, (3, 3), 0.6), np.float32)
    noise *= min(sigma, GRAIN[1]) / 0.51  # what that filter leaves of a deviation of 1
    grainy = rgb + noise[..., None]
    return np.asarray(np.clip(grainy, 0, 1, out=grainy), np.float32)
