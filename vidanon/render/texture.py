"""Skin, lashes, brows and wrinkles as photographs have them, in the light that the generator painted.

In: a painted crop, and the features of the person it shows, laid out by keypoints. Out: the crop with these features
in place of its own. Retouchers call it frequency separation: what a net paints is right in what is broad (light, tone,
shadow) and a blurred mean in what is fine; a person's features (models/appearance.py) are crisp and have no light.
They lie where the keypoints are, so they hold still with them. Blind: keypoints and the painted crop decide.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.render.blend import away, clipped, eased
from vidanon.types import LUMA, FloatArray

BROAD = 0.094
"""Width (sigma) of the Gaussian that tells light from features, in sides of the crop: that by which the appearance
model tells them (train/appearance.py), laid out on a face."""
CONTRAST = 0.13
"""R'G'B' of one contrast of a face (of 300 portraits 0.155 in the median, in hard light as in soft), on skin of ..."""
USUAL = 0.52
"""... the luma that skin usually has."""
LIT = (0.35, 1.15)
"""Dark skin shows less of it, and bright skin more: in proportion, within these."""
COLOUR, WARM = 0.6, (-0.3, 0.3)
"""How much of the features' colour is kept where it is not warmer, red for blue, than the skin, and from which
difference on all of it is: lips are red, and which shadow is blue hangs on the light."""
FRINGE = 1 / 24
"""How far inside the hidden area features are there in full, in sides of the crop."""


def textured(painted: FloatArray, person: FloatArray, visible: NDArray[np.bool_], amount: float = 1.0) -> FloatArray:
    """The crop [S, S, 3] at the resolution of its `person` [D, D, 4], D = S or more, with that person's features.

    `person` is the features' R', G' and B' in contrasts of a face, and how far they cover each pixel, 0..1; `visible`
    [S, S]: what is seen of the picture stays. `amount` 0..1.
    """
    side, size = len(painted), len(person)
    inside = eased(away(~visible) / np.float32(FRINGE * side))
    if size != side:
        painted = np.asarray(cv2.resize(painted, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
        inside = np.asarray(cv2.resize(inside, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    features, cover = person[..., :3], person[..., 3] * inside
    if amount <= 0 or not (cover > 0).any():
        return clipped(painted)
    small = max(16, side // 4)  # light is smooth: a quarter of the resolution holds it
    both = np.dstack([painted * cover[..., None], cover])
    both = np.asarray(cv2.resize(both, (small, small), interpolation=cv2.INTER_AREA), np.float32)
    both = np.asarray(cv2.GaussianBlur(both, (0, 0), BROAD * small, borderType=cv2.BORDER_CONSTANT), np.float32)
    light = both[..., :3] / np.maximum(both[..., 3:], 1e-3)
    light = np.asarray(cv2.resize(light, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
    grey = (features @ LUMA)[..., None]
    strength = np.clip((light @ LUMA)[..., None] / np.float32(USUAL), *LIT) * np.float32(CONTRAST)
    hue = features - grey
    warm = eased(hue[..., 0] - hue[..., 2], *WARM)[..., None]
    made = light + strength * (grey + (np.float32(COLOUR) + (1 - np.float32(COLOUR)) * warm) * hue)
    return clipped(painted + np.float32(amount) * cover[..., None] * (made - painted))
