"""What a detector is, and what the plug-ins share.

A `Detector` turns upright uint8 RGB pictures into `Detections` in px of each picture. A `Network` is the smaller
thing inside one: it sees a single picture at a single scale and knows nothing of tiles, passes or merging.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torchvision  # type: ignore[import-untyped]

from vidanon.errors import DeviceError
from vidanon.types import Detections, ImageArray


class Detector(Protocol):
    """Finds faces."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    @property
    def device(self) -> str:
        """The device it really runs on."""
        ...

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Faces of each upright picture [H, W, 3], in px of that picture, everything at or above the weak threshold.

        What is found in a picture never depends on the others of the sequence.
        """
        ...


class Network(Protocol):
    """One picture, one scale."""

    def faces(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Faces of pictures that share one size, before any merging across passes; lower scores already dropped."""
        ...


def best_first(found: Detections, *, least: float) -> Detections:
    """Sorted by falling score, those below `least` and boxes without area dropped.

    Raises DeviceError if a score is NaN, or a box of a face is: no comparison would keep it, and the face were lost.
    """
    if np.isnan(found.scores).any() or not np.isfinite(found.boxes[found.scores >= least]).all():
        raise no_numbers("the detector")
    keep = (found.scores >= least) & (found.boxes[:, 2] > found.boxes[:, 0]) & (found.boxes[:, 3] > found.boxes[:, 1])
    order = np.flatnonzero(keep)
    order = order[np.argsort(-found.scores[order], kind="stable")]
    return found.take(order)


def no_numbers(network: str, device: str = "") -> DeviceError:
    """The error for a network whose results are NaN: a broken device or model, never "no face"."""
    on = f" on {device}" if device else ""
    return DeviceError(f"{network}{on} gave results that are no numbers", hint="try --device cpu or another detector")


def exact(found: Detections) -> Detections:
    """Coordinates on a grid of 1/64 px, so that the last bits of a network's sum do not reach the plan.

    Raises DeviceError if a box or score is no number.
    """
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise no_numbers("the detector")
    boxes, keypoints = (np.asarray(np.round(a * 64) / 64, np.float32) for a in (found.boxes, found.keypoints))
    scores, visibility = (np.asarray(np.round(a, 4), np.float32) for a in (found.scores, found.visibility))
    return Detections(boxes, scores, keypoints, visibility)


def suppress(found: Detections, *, iou: float) -> Detections:
    """Non-maximum suppression: of detections that overlap more than `iou`, the best. Keeps the order of scores."""
    if len(found) == 0:
        return found
    kept = torchvision.ops.nms(torch.from_numpy(found.boxes), torch.from_numpy(found.scores), iou).numpy()
    return found.take(kept)


def join(parts: Sequence[Detections]) -> Detections:
    """All detections of several lists, best first."""
    if not parts:
        return Detections.empty()
    every = Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.scores for p in parts]),
        np.concatenate([p.keypoints for p in parts]),
        np.concatenate([p.visibility for p in parts]),
    )
    return best_first(every, least=0.0)


def moved(found: Detections, *, scale: float, x: float = 0.0, y: float = 0.0) -> Detections:
    """Coordinates multiplied by `scale`, then shifted by (x, y)."""
    shift = np.array([x, y], np.float32)
    boxes = found.boxes * np.float32(scale) + np.tile(shift, 2)
    return Detections(boxes, found.scores, found.keypoints * np.float32(scale) + shift, found.visibility)
