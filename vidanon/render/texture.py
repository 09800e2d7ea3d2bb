"""Skin, lashes, brows and wrinkles as photographs have them, in the light that the generator painted.

In: a painted crop, and the features of the person it shows, laid out by keypoints. Out: the crop with these features
in place of its own. Retouchers call it frequency separation: what a net paints is right in what is broad (light, tone)
and a blurred mean in what is fine; a person's features (models/appearance.py) are crisp and have no light. The light is
asked where a net is sure, in the middle of the face, and goes on to its outline as it does round a head. Features lie
where the keypoints are, so they hold still with them. Blind: keypoints, the painted crop and what is seen decide.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import Array
from vidanon.render.blend import clipped, eased
from vidanon.types import LUMA, FloatArray

BROAD = 0.094
"""Width (sigma) of the Gaussian that tells light from features, in sides of the crop: that by which the appearance
model tells them (train/appearance.py), laid out on a face."""
CONTRAST = 0.14
"""R'G'B' of one contrast of a face: so that features deviate from light by 0.11 of luma (400 portraits: 0.13, with the
shadows of hard light; 417 news photos: 0.105), on light skin as on dark ..."""
DIM = 0.25
"""... down to this luma of the light, from where on it is in proportion ..."""
RANGE, FLATTEST = 0.8, 0.4
"""... and where darkest and lightest of the scene differ by so much luma or more; in haze less, down to this part (news
photos: 0.9, so nothing to tell; of 12 faces in clips 0.14 at 0.7, 0.06 at 0.5, 0.04 at 0.3), as of all that is dark or
light in a face."""
COLOUR, WARM = 0.6, (-0.3, 0.3)
"""How much of the features' colour is kept where it is not warmer, red for blue, than the skin, and from which
difference on all of it is: lips are red, and which shadow is blue hangs on the light."""
ROUND, LENGTHWISE = (0.62, 0.65, 0.72), 0.7
"""How much light (R', G', B'; natural logarithm, for the square of how far skin looks away) a head loses towards its
outline (1,200 faces: 0.1 at 0.8 of the way from the middle, 0.3 at 0.95); how much less it does so downwards. Upwards
it does not: a skull goes on, and light comes from above (900 faces: 0.2 lighter where hair begins, 0.3 darker at the
chin)."""
UNTOLD = 1e-3
"""Weight of light that is not to be told, for where no other is."""


def clearness(context: FloatArray, visible: NDArray[np.bool_]) -> float:
    """FLATTEST..1 which part of a clear picture's contrast a scene has, by what is `visible` [S, S] around a face.

    `context` [S, S, 3] is the crop that shows it.
    """
    if not visible.any():
        return 1.0
    dark, light = np.quantile(context[visible] @ LUMA, (0.01, 0.99))
    return float(np.clip((light - dark) / RANGE, FLATTEST, 1))


def roundness(outline: Array, side: int) -> FloatArray:
    """[side, side, 3] which part of its light a head in an `outline` [N, 2] (0..1 of the crop) has where it bends."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = ((at - (low[i] + high[i]) / 2) / ((high[i] - low[i]) / 2) for i in (0, 1))
    towards = np.sqrt(np.clip(1 - np.square(x)[None] - LENGTHWISE * np.square(np.maximum(y, 0))[:, None], 0, 1))
    return np.asarray(np.exp(-np.square(1 - towards)[..., None] * np.array(ROUND)), np.float32)


def textured(
    painted: FloatArray, person: FloatArray, inner: FloatArray, shape: FloatArray, clear: float = 1.0
) -> FloatArray:
    """The crop [S, S, 3] at the resolution of its `person` [D, D, 4], D = S or more, as skin with their features.

    `person` is the features' R', G' and B' in contrasts of a face, and how far they cover each pixel, 0..1; `inner`
    [S, S], 0..1, is where the light can be told, `shape` [S, S, 3] what the shape of a head makes of it (`roundness`).
    """
    side, size = len(painted), len(person)
    small = max(16, side // 4)  # light is smooth: a quarter of the resolution holds it
    weight = inner + np.float32(UNTOLD)
    both = np.dstack([painted / shape * weight[..., None], weight])
    both = np.asarray(cv2.resize(both, (small, small), interpolation=cv2.INTER_AREA), np.float32)
    both = np.asarray(cv2.GaussianBlur(both, (0, 0), BROAD * small, borderType=cv2.BORDER_CONSTANT), np.float32)
    even = both[..., :3] / both[..., 3:]
    light = np.asarray(cv2.resize(even, (side, side), interpolation=cv2.INTER_CUBIC), np.float32) * shape
    # where a person has no features to show (a far cheek in profile), the net's are kept
    rest = inner[..., None] * (painted - light)
    if size != side:
        light, rest = (
            np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
            for plane in (light, rest)
        )
    features, cover = person[..., :3], person[..., 3:]
    grey = (features @ LUMA)[..., None]
    hue = features - grey
    warm = eased(hue[..., 0] - hue[..., 2], *WARM)[..., None]
    strength = np.float32(CONTRAST * clear) * np.clip((light @ LUMA)[..., None] / np.float32(DIM), 0, 1)
    own = strength * (grey + (np.float32(COLOUR) + (1 - np.float32(COLOUR)) * warm) * hue)
    return clipped(light + rest + cover * (own - rest))
