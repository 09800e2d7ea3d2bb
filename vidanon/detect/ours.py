"""Our own detector at work: weights, padding, decoding, suppression within one tile.

In: uint8 RGB pictures of one size. Out: `Detections` in px of that picture. On the CPU every picture is evaluated by
itself, because the order of a sum may depend on the batch and a result must not; on CUDA pictures go in batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms  # type: ignore[import-untyped]

from vidanon import geometry
from vidanon.detect.base import best_first, no_numbers
from vidanon.models.detector import DetectorConfig, DetectorNet, cells, decode
from vidanon.models.memory import Portions
from vidanon.models.weights import load_weights
from vidanon.types import Detections, ImageArray

VOTE_IOU = 0.65
"""Boxes that overlap the best one this much are averaged into it, by score: it calms the box from frame to frame."""
BATCH_PX = 24_000_000
"""Pixels of one CUDA batch."""
MOST = 600
"""Cells kept before suppression, the surest ones; a tile with more faces does not exist."""


class OurNetwork:
    """The network with its BatchNorm folded. Detections below `least` are dropped.

    Raises WeightsError (from `load_weights`) without weights. A call that runs out of memory is made again with fewer
    pictures.
    """

    def __init__(
        self, state: Mapping[str, Tensor], config: Mapping[str, Any], *, device: str, least: float, nms_iou: float
    ) -> None:
        network = DetectorNet(DetectorConfig.from_dict(config))
        network.load_state_dict(state)
        self._device = torch.device(device)
        self._network = network.fused().to(self._device).to(memory_format=torch.channels_last)
        self._least, self._nms_iou = least, nms_iou
        self._where: dict[tuple[int, int], Tensor] = {}
        self._portions = Portions("detector", self._device, 1 if self._device.type == "cpu" else BATCH_PX)

    @classmethod
    def shipped(cls, *, device: str, least: float, nms_iou: float) -> OurNetwork:
        """With the weights that came with vidanon."""
        state, config = load_weights("detector")
        return cls(state, config, device=device, least=least, nms_iou=nms_iou)

    @torch.inference_mode()
    def faces(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Network.faces`. Raises DeviceError where one picture is too much, or the network gives no numbers."""
        if not images:
            return []
        h, w = images[0].shape[:2]
        height, width = -(-h // 32) * 32, -(-w // 32) * 32

        def some(part: Sequence[ImageArray]) -> list[Detections]:
            canvas = np.zeros((len(part), height, width, 3), np.uint8)
            for i, image in enumerate(part):
                canvas[i, :h, :w] = image
            pictures = torch.from_numpy(canvas).to(self._device).permute(0, 3, 1, 2)
            raw = self._network(pictures.float().div_(127.5).sub_(1))
            logits, boxes, points = decode(raw, self._cells(height, width))
            return [self._one(*each, width=w, height=h) for each in zip(logits, boxes, points, strict=True)]

        return self._portions.run(some, images, cost=height * width)

    def _cells(self, height: int, width: int) -> Tensor:
        if (height, width) not in self._where:
            self._where = {(height, width): cells(height, width, self._network.config.strides, self._device)}
        return self._where[height, width]

    def _one(self, logits: Tensor, boxes: Tensor, points: Tensor, *, width: int, height: int) -> Detections:
        scores = logits.sigmoid()
        keep = (scores >= self._least).nonzero()[:, 0]
        if scores.isnan().any() or not boxes[keep].isfinite().all():
            raise no_numbers("the detector", str(self._device))  # no comparison would keep it: the face were lost
        if len(keep) > MOST:
            keep = keep[scores[keep].topk(MOST).indices]
        found = Detections(*(t[keep].float().cpu().numpy() for t in (boxes, scores, points)))
        # A face at the picture's edge may be thought of beyond it, but no box lies wholly outside.
        inside = (found.boxes[:, :2] < (width, height)).all(1) & (found.boxes[:, 2:] > 0).all(1)
        found = Detections(found.boxes[inside], found.scores[inside], found.keypoints[inside])
        return vote(best_first(found, least=self._least), iou=self._nms_iou)


def vote(found: Detections, *, iou: float) -> Detections:
    """Non-maximum suppression in which the suppressed neighbours still have a say in where the box is.

    `found` is sorted, best first. Scores are those of the winners.
    """
    if not len(found):
        return found
    kept = nms(torch.from_numpy(found.boxes), torch.from_numpy(found.scores), iou).numpy()
    agree = geometry.iou(found.boxes[kept], found.boxes) >= VOTE_IOU
    # A winner may listen to nobody who won a place of its own.
    agree[:, kept] = np.eye(len(kept), dtype=bool)
    weight = agree * found.scores
    weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    boxes, points = weight @ found.boxes, np.tensordot(weight, found.keypoints, axes=1)
    return Detections(boxes.astype(np.float32), found.scores[kept], points.astype(np.float32))
