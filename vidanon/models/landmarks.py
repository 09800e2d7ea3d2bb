"""The landmarker: from a face crop to 30 keypoints, each with how sure it is.

Coordinates are regressed with a Laplace likelihood: the net says a place and a spread for each point, and the loss is
|error| / spread + log spread (Kendall & Gal 2017, https://arxiv.org/abs/1703.04977), so doubt is learned, not tuned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidanon.types import N_FACE_POINTS


@dataclass(frozen=True, slots=True)
class LandmarkerConfig:
    """Size and shape; travels with the weights."""

    size: int = 96
    """px of the input crop"""
    scale: float = 1.5
    """side of the crop in sides of the face box"""
    channels: tuple[int, ...] = (24, 48, 96, 128)
    """of each stage; every stage halves the picture"""
    hidden: int = 160
    """width of the head"""

    def to_dict(self) -> dict[str, Any]:
        """For a weight file's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LandmarkerConfig:
        """The inverse of `to_dict`."""
        return cls(**{**data, "channels": tuple(data["channels"])})


def _conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Landmarker(nn.Module):
    """Plain convolutions: at this size they train and run faster on a CPU than separable ones."""

    def __init__(self, config: LandmarkerConfig) -> None:
        super().__init__()
        self.config = config
        stages: list[nn.Module] = []
        last = 3
        for i, width in enumerate(config.channels):
            stages.append(_conv(last, width, 2))
            if i:
                stages.append(_conv(width, width, 1))
            last = width
        side = config.size >> len(config.channels)
        self.body = nn.Sequential(*stages)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(last * side * side, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 3 * N_FACE_POINTS),
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Points [B, 30, 2] in 0..1 of the crop and spreads [B, 30] (same unit) of crops [B, 3, S, S] in [-1, 1]."""
        out = self.head(self.body(crops)).reshape(len(crops), N_FACE_POINTS, 3)
        return out[..., :2] * 0.5 + 0.5, torch.exp(out[..., 2].clamp(-5, 5) - 3)
