"""Other people's detectors as ONNX files.

In: the path of a YuNet, SCRFD, CenterFace or Ultra-Light style model. Out: a `Network` that looks at pictures at
the scale it is given; `vidanon.detect.passes` does the rest, as for our own network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidanon.detect.base import best_first, moved, suppress
from vidanon.detect.families import Family, recognize
from vidanon.errors import UsageError, WeightsError
from vidanon.models.runtime import open_session
from vidanon.types import Detections, ImageArray


class OnnxNetwork:
    """One ONNX face detector on the CPU. Detections below `least` are dropped.

    `threads` are the CPU's, 0 = as many as torch uses. Raises UsageError for a model of no known family, WeightsError
    for an unreadable file.
    """

    device = "cpu"

    def __init__(self, path: Path, *, least: float, nms_iou: float, threads: int = 0) -> None:
        if not path.is_file():
            raise WeightsError(f"there is no detector at {path}", hint="name an ONNX file, or use --detector vidanon")
        try:
            self._session = open_session(path, threads=threads)
        except Exception as e:  # onnxruntime has no public base class for its errors
            raise WeightsError(
                f"{path} is not an ONNX model: {str(e).splitlines()[0]}", hint="name an ONNX file"
            ) from e
        outputs = [(o.name, o.shape) for o in self._session.get_outputs()]
        family = recognize(outputs)
        if family is None:
            shapes = ", ".join(f"{name} {shape}" for name, shape in outputs)
            raise UsageError(
                f"{path} is no face detector vidanon knows; its outputs are {shapes}",
                hint="YuNet, SCRFD, CenterFace and Ultra-Light style models are read",
            )
        self.family: Family = family
        self.name = f"{family.name} ({path.name})"
        self._least, self._nms_iou = least, nms_iou
        self._outputs = [name for name, _ in outputs]
        given = self._session.get_inputs()[0]
        self._input = given.name
        fixed: Sequence[Any] = given.shape[2:]
        self._fixed = (fixed[0], fixed[1]) if all(isinstance(v, int) and v > 0 for v in fixed) else None

    def faces(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Network.faces`."""
        return [self._one(image) for image in images]

    def _one(self, image: ImageArray) -> Detections:
        h, w = image.shape[:2]
        scale = 1.0
        if self._fixed is not None:
            height, width = self._fixed
            scale = min(height / h, width / w)
            size = (max(1, round(w * scale)), max(1, round(h * scale)))
            kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, size, interpolation=kind), np.uint8)
        else:
            m = self.family.multiple
            height, width = -(-h // m) * m, -(-w // m) * m
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[: image.shape[0], : image.shape[1]] = image
        values = self._session.run(self._outputs, {self._input: self.family.prepare(canvas)})
        found = self.family.decode(dict(zip(self._outputs, values, strict=True)), height, width)
        return moved(suppress(best_first(found, least=self._least), iou=self._nms_iou), scale=1 / scale)
