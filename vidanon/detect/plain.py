"""A network at one scale and nothing else: how other people run their detectors, to compare with.

In: pictures. Out: `Detections` in px of each picture; no passes, no tiles, no merging.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidanon.detect.base import Network, moved
from vidanon.types import Detections, ImageArray


class PlainDetector:
    """A `Detector` that shows a network every picture once, enlarged or reduced by `scale`."""

    device = "cpu"

    def __init__(self, network: Network, *, name: str, scale: float) -> None:
        self.name = f"{name}, once at {scale:g}x"
        self._network, self._scale = network, scale

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Detector.detect`."""
        return [moved(self._network.faces([self._resized(image)])[0], scale=1 / self._scale) for image in images]

    def _resized(self, image: ImageArray) -> ImageArray:
        if self._scale == 1:
            return image
        kind = cv2.INTER_AREA if self._scale < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, None, fx=self._scale, fy=self._scale, interpolation=kind), np.uint8)
