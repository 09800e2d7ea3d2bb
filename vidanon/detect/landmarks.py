"""From detected boxes to the 30 keypoints rendering needs, each with a confidence.

In: an upright picture, face boxes and whatever keypoints the detector gave. Out: points in px of the picture, NaN where
the landmarker does not trust itself, with the detector's own points as a second choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidanon.errors import WeightsError
from vidanon.geometry import apply, invert, similarity
from vidanon.models.landmarks import Landmarker, LandmarkerConfig
from vidanon.models.memory import Portions
from vidanon.models.weights import load_weights
from vidanon.types import FIVE_POINTS, N_FACE_POINTS, Detections, FloatArray, ImageArray

SPREAD_AT_HALF = 0.08
"""Spread, in parts of the face box, at which the confidence is one half."""
TRUSTED = 0.3
"""Confidence below which a point counts as unknown."""
BATCH = 64
"""Crops a call, fewer where memory runs out.

Calls never span frames, so a face depends on its own frame alone, whatever frames are batched.
"""

Matrix = NDArray[np.float64]


class FaceLandmarker:
    """The shipped landmarker on a device."""

    def __init__(self, network: Landmarker, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.network = (
            network.to(self.device).to(memory_format=torch.channels_last).eval().requires_grad_(requires_grad=False)
        )
        self.config = network.config
        self._portions = Portions("landmarker", self.device, BATCH)

    @classmethod
    def shipped(cls, device: torch.device | str) -> FaceLandmarker:
        """With the weights that ship. Raises WeightsError if they are missing or damaged."""
        state, config = load_weights("landmarks")
        try:
            network = Landmarker(LandmarkerConfig.from_dict(config))
            network.load_state_dict(state)
        except (RuntimeError, TypeError, KeyError) as e:
            raise WeightsError(f"the landmarker's weights do not fit it: {e}", hint="reinstall vidanon") from e
        return cls(network, device)

    def locate(self, image: ImageArray, found: Detections) -> tuple[FloatArray, FloatArray]:
        """Points [N, 30, 2] px (NaN = unknown) and confidences [N, 30] (0..1) of the faces of one picture [h, w, 3]."""
        n = len(found)
        points = np.full((n, N_FACE_POINTS, 2), np.nan, np.float32)
        confidence = np.zeros((n, N_FACE_POINTS), np.float32)
        size = self.config.size
        matrices = [self._matrix(box, five) for box, five in zip(found.boxes, found.keypoints, strict=True)]

        def some(group: Sequence[Matrix]) -> list[tuple[FloatArray, FloatArray]]:
            crops = np.stack([_crop(image, m, size) for m in group])
            tensor = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.inference_mode():
                place, spread = self.network(tensor.to(memory_format=torch.channels_last))
            return list(zip(place.float().cpu().numpy(), spread.float().cpu().numpy(), strict=True))

        for i, (place, spread) in enumerate(self._portions.run(some, matrices)):
            points[i] = apply(invert(matrices[i]), place * size)
            confidence[i] = 1 / (1 + (spread * self.config.scale / SPREAD_AT_HALF) ** 2)
        unsure = ~(confidence >= TRUSTED) | ~np.isfinite(points).all(2)  # NaN is never sure
        points[unsure] = np.nan
        confidence[unsure] = 0
        five = len(FIVE_POINTS)
        second = unsure[:, :five] & np.isfinite(found.keypoints).all(2)
        points[:, :five][second] = found.keypoints[second]
        confidence[:, :five][second] = (found.scores[:, None] * found.visibility * TRUSTED)[second]
        return points, confidence

    def _matrix(self, box: FloatArray, five: FloatArray) -> Matrix:
        """Picture px -> crop px: the box with some surroundings, turned upright as far as the detector knows."""
        side = max(float(box[2] - box[0]), float(box[3] - box[1]), 2.0) * self.config.scale
        across = np.array([five[1] - five[0], five[4] - five[3]], np.float64)
        across = across[np.isfinite(across).all(1)].sum(0)
        roll = math.atan2(across[1], across[0]) if np.hypot(*across) > 0.05 * side else 0.0
        size = self.config.size
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        return similarity(size / side, -roll, centre, (size / 2, size / 2))


def _crop(image: ImageArray, matrix: Matrix, size: int) -> ImageArray:
    """Crop [size, size, 3] through a picture-to-crop transform; large faces are averaged down first."""
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    corners = apply(invert(matrix), [[0, 0], [size, 0], [0, size], [size, size]])
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, (width - 1, height - 1))
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 2, (x0 + 1, y0 + 1), (width, height))
    window = image[y0:y1, x0:x1]
    fx = fy = 1.0
    if scale < 0.75:
        target = max(1, round(window.shape[1] * scale)), max(1, round(window.shape[0] * scale))
        fx, fy = target[0] / window.shape[1], target[1] / window.shape[0]
        window = np.asarray(cv2.resize(window, target, interpolation=cv2.INTER_AREA), np.uint8)
    # window px -> picture px -> crop px; OpenCV puts pixel centres at integers, geometry.py at half-integers
    linear = matrix[:, :2] @ np.diag([1 / fx, 1 / fy])
    shift = matrix[:, :2] @ np.array([x0, y0], np.float64) + matrix[:, 2]
    shift = shift + linear @ np.array([0.5, 0.5]) - 0.5
    moved = np.hstack([linear, shift[:, None]])
    crop = cv2.warpAffine(window, moved, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)
