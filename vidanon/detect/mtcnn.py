"""MTCNN (https://arxiv.org/abs/1604.02878) through facenet-pytorch (extra), for comparison.

It makes its own pyramid of scales, so the pass policy is not used. In: pictures. Out: `Detections`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidanon.detect.base import best_first
from vidanon.errors import UsageError
from vidanon.types import Detections, ImageArray


class MtcnnDetector:
    """A `Detector`. Raises UsageError where facenet-pytorch is not installed."""

    name = "MTCNN (facenet-pytorch)"

    def __init__(self, *, device: str, min_face_px: float, least: float) -> None:
        try:
            from facenet_pytorch import MTCNN
        except ImportError:
            raise UsageError(
                "the detector mtcnn needs facenet-pytorch, which is not installed", hint="pip install 'vidanon[mtcnn]'"
            ) from None
        self.device = device
        self._least = least
        self._network: Any = MTCNN(
            keep_all=True, device=device, min_face_size=max(int(min_face_px), 10), post_process=False
        )

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Detector.detect`."""
        return [self._one(image) for image in images]

    def _one(self, image: ImageArray) -> Detections:
        boxes, scores, points = self._network.detect(image, landmarks=True)
        if boxes is None:
            return Detections.empty()
        # Its points are named from the viewer's side; the viewer's left eye is the subject's right: our order already.
        arrays = (np.asarray(a, np.float32) for a in (boxes, scores, points))
        return best_first(Detections(*arrays), least=self._least)
