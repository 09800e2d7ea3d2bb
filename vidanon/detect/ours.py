"""Our own detector at work: weights, decoding, suppression within one tile.

In: uint8 RGB pictures of one size. Out: `Detections` in px of that picture. Only cells that are sure enough are
decoded; `vidanon.detect.engines` runs the network.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms  # type: ignore[import-untyped]

from vidanon import geometry
from vidanon.detect.base import best_first, no_numbers
from vidanon.detect.engines import CpuEngine, Engine, TorchEngine, padded
from vidanon.errors import WeightsError
from vidanon.models.detector import FACE_CELLS, DetectorConfig, DetectorNet, Size, cells, size_terms
from vidanon.models.memory import Portions
from vidanon.models.weights import load_weights
from vidanon.types import Detections, FloatArray, ImageArray

VOTE_IOU = 0.65
"""Boxes that overlap the best one this much are averaged into it, by score: it calms the box from frame to frame."""
BATCH_PX = 24_000_000
"""Pixels of one CUDA batch."""
MOST, MOST_PX = 600, 600
"""Cells kept before suppression, the surest ones: so many, or one for so many px where that is more."""


WEIGHTS: Mapping[Size, str] = {"strong": "detector", "fast": "detector-fast"}
"""names in the manifest"""


class OurNetwork:
    """The network with its BatchNorm folded. Detections below `least` are dropped.

    `threads` are the CPU's, 0 = as many as torch uses. Raises WeightsError for weights of something else. A call that
    runs out of memory is made again with fewer pictures.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        config: Mapping[str, Any],
        *,
        device: str,
        least: float,
        nms_iou: float,
        threads: int = 0,
    ) -> None:
        try:
            network = DetectorNet(DetectorConfig.from_dict(config))
            network.load_state_dict(state)
        except (RuntimeError, TypeError, KeyError) as e:
            hint = "name a detector's weight file, or reinstall vidanon"
            raise WeightsError(f"the detector's weights do not fit it: {e}", hint=hint) from e
        self._device = torch.device(device)
        on_cpu = self._device.type == "cpu"
        self._engine: Engine = CpuEngine(network, threads=threads) if on_cpu else TorchEngine(network, self._device)
        self._least, self._nms_iou = least, nms_iou
        self._logit = math.log(least / (1 - least)) if 0 < least < 1 else math.copysign(math.inf, least - 0.5)
        # Passes and tiles of a clip come in few sizes.
        self._cells = functools.lru_cache(maxsize=16)(functools.partial(_cells, strides=network.config.strides))
        self._calibration = network.config.calibration
        self._portions = Portions("detector", self._device, 1 if on_cpu else BATCH_PX)

    @classmethod
    def shipped(
        cls, size: Size = "strong", *, device: str, least: float, nms_iou: float, threads: int = 0
    ) -> OurNetwork:
        """With the weights that came with vidanon. Raises WeightsError where they are missing or damaged."""
        state, config = load_weights(WEIGHTS[size])
        return cls(state, config, device=device, least=least, nms_iou=nms_iou, threads=threads)

    @torch.inference_mode()
    def faces(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Network.faces`. Raises DeviceError where one picture is too much, or the network gives no numbers."""
        if not images:
            return []
        height, width = images[0].shape[:2]

        def some(part: Sequence[ImageArray]) -> list[Detections]:
            return [self._one(raw, width=width, height=height) for raw in self._engine(part)]

        return self._portions.run(some, images, cost=padded(height) * padded(width))

    def _one(self, raw: Tensor, *, width: int, height: int) -> Detections:
        where = self._cells(padded(height), padded(width))
        logits = calibrated(raw[:, [0, 3, 4]].float().cpu().numpy(), where[:, 2], self._calibration)
        keep = np.flatnonzero(logits >= self._logit)
        keep = keep[np.argsort(-logits[keep], kind="stable")[: max(MOST, width * height // MOST_PX)]]
        sure = raw.numpy()[keep] if raw.device.type == "cpu" else raw[torch.from_numpy(keep)].float().cpu().numpy()
        found = decoded(sure, where[keep], logits[keep])
        if np.isnan(logits).any() or not np.isfinite(found.boxes).all():
            raise no_numbers("the detector", str(self._device))  # no comparison would keep it: the face were lost
        # A face at the picture's edge may be thought of beyond it, but no box lies wholly outside.
        inside = np.flatnonzero((found.boxes[:, :2] < (width, height)).all(1) & (found.boxes[:, 2:] > 0).all(1))
        return vote(best_first(found.take(inside), least=self._least), iou=self._nms_iou)


def _cells(height: int, width: int, *, strides: tuple[int, ...]) -> FloatArray:
    return np.asarray(cells(height, width, strides).numpy(), np.float32)


def calibrated(raw: FloatArray, stride: FloatArray, calibration: Sequence[float]) -> FloatArray:
    """[A] logits as `DetectorConfig.calibration` wants them; [A, 3] score logit, log width, log height; [A] strides."""
    scale, shift, below, above = (np.float32(v) for v in calibration)
    logits = scale * raw[:, 0] + shift
    if below or above:
        smaller, larger = size_terms(np.exp(np.clip(raw[:, 1:], -4, 4)).max(1) * stride * np.float32(FACE_CELLS))
        logits += below * smaller + above * larger
    return np.asarray(logits, np.float32)


def decoded(raw: FloatArray, where: FloatArray, logits: FloatArray) -> Detections:
    """What raw cells [N, 15 or 20] at `where` [N, 3] with scores of these logits stand for, in their order.

    `models.detector.decode` in numpy.

    Numpy, because torch wakes all its threads even for a hundred cells, and waits for them where the cores are busy.
    """
    place, stride = where[:, :2], where[:, 2:]
    centre = place + raw[:, 1:3] * stride
    half = np.exp(np.clip(raw[:, 3:5], -4, 4)) * (stride * np.float32(FACE_CELLS / 2))
    points = place[:, None] + raw[:, 5:15].reshape(-1, 5, 2) * stride[:, None]
    seen = [_share(raw[:, 15:20])] if raw.shape[1] > 15 else []
    return Detections(np.concatenate([centre - half, centre + half], axis=1), _share(logits), points, *seen)


def _share(logits: FloatArray) -> FloatArray:
    """The logistic function."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


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
    rows, voters = np.nonzero(agree)
    starts = np.searchsorted(rows, np.arange(len(kept)))
    weight = found.scores[voters]
    weight /= np.add.reduceat(weight, starts)[rows]
    boxes = np.add.reduceat(found.boxes[voters] * weight[:, None], starts)
    points = np.add.reduceat(found.keypoints[voters] * weight[:, None, None], starts)
    return Detections(boxes, found.scores[kept], points, found.visibility[kept])
