"""What runs our detector's network: torch on a GPU, ONNX Runtime on the CPU, the same numbers to a thousandth.

In: uint8 RGB pictures of one size. Out: raw cells float32 [B, A, 15] of the pictures padded with black to multiples
of 32 px. On the CPU pictures go one by one, because the order of a sum may depend on the batch and a result must not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from vidanon.models.detector import DetectorNet
from vidanon.models.runtime import CpuNetwork
from vidanon.types import FloatArray, ImageArray

MULTIPLE = 32
LEVELS: FloatArray = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)
"""what each value of a pixel is to the network, -1..1"""


class Engine(Protocol):
    """Runs the network."""

    def __call__(self, pictures: Sequence[ImageArray]) -> Tensor:
        """Raw cells [B, A, 15] of pictures [h, w, 3], on whatever device they were made."""
        ...


def padded(side: int) -> int:
    """The side in px that the network sees of a picture with `side` px."""
    return -(-side // MULTIPLE) * MULTIPLE


class TorchEngine:
    """In batches, on any device of torch."""

    def __init__(self, network: DetectorNet, device: torch.device) -> None:
        self._network = network.fused().to(device).to(memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[ImageArray]) -> Tensor:
        """See `Engine`."""
        h, w = pictures[0].shape[:2]
        canvas = np.zeros((len(pictures), padded(h), padded(w), 3), np.uint8)
        for i, picture in enumerate(pictures):
            canvas[i, :h, :w] = picture
        values = torch.from_numpy(canvas).to(self._device).permute(0, 3, 1, 2)
        raw: Tensor = self._network(values.float().div_(127.5).sub_(1))
        return raw


class CpuEngine:
    """One picture after the other, through ONNX Runtime on `threads` threads (0 = as many as torch uses)."""

    def __init__(self, network: DetectorNet, *, threads: int = 0) -> None:
        self._network = CpuNetwork(network.fused(), threads=threads)

    def __call__(self, pictures: Sequence[ImageArray]) -> Tensor:
        """See `Engine`."""
        return torch.from_numpy(np.concatenate([self._network(planes(picture)) for picture in pictures]))


def planes(picture: ImageArray) -> FloatArray:
    """uint8 [h, w, 3] -> float32 [1, 3, H, W] in -1..1, H and W padded with black."""
    h, w = picture.shape[:2]
    height, width = padded(h), padded(w)
    channels = np.zeros((3, height, width), np.uint8)
    for i, channel in enumerate(channels):
        channel[:h, :w] = cv2.extractChannel(picture, i)
    values = cv2.LUT(channels.reshape(3 * height, width), LEVELS)
    return np.asarray(values.reshape(1, 3, height, width), np.float32)
