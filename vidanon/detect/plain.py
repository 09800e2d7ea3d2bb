"""A network at scales one names, and nothing else: how other people run their detectors, to compare with.

In: pictures. Out: `Detections` in px of each picture; no passes, no tiles, no merging.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidanon.detect.base import Network, moved
from vidanon.types import Detections, ImageArray


def seen_at(network: Network, image: ImageArray, scale: float, *, enlarging: int = cv2.INTER_CUBIC) -> Detections:
    """What a network sees in a picture [h, w, 3] enlarged or reduced by `scale`, in px of the picture as it is."""
    if scale != 1:
        size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
        kind = cv2.INTER_AREA if scale < 1 else enlarging
        image = np.asarray(cv2.resize(image, size, interpolation=kind), np.uint8)
    return moved(network.faces([image])[0], scale=1 / scale)


class PlainDetector:
    """A `Detector` that shows a network every picture once, enlarged or reduced by `scale`."""

    device = "cpu"

    def __init__(self, network: Network, *, name: str, scale: float) -> None:
        self.name = f"{name}, once at {scale:g}x"
        self._network, self._scale = network, scale

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Detector.detect`."""
        return [seen_at(self._network, image, self._scale, enlarging=cv2.INTER_LINEAR) for image in images]
