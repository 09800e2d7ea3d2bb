"""The landmarker: from a face crop to 30 keypoints, each with how sure it is.

Points on the face are read off heatmaps by their centre of mass (integral regression, Sun et al. 2018,
https://arxiv.org/abs/1711.08229): precise to a fraction of a cell, and learned from few pictures because the same
convolutions look everywhere. Ears and shoulders may lie outside the crop, where no heatmap reaches, so a small dense
head regresses them; it also says the spread of every point. Places and spreads share a Laplace likelihood, |error| /
spread + log spread (Kendall & Gal 2017, https://arxiv.org/abs/1703.04977), so doubt is learned, not tuned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidanon.types import N_FACE_POINTS, ON_FACE

AROUND = tuple(i for i in range(N_FACE_POINTS) if i not in ON_FACE)
"""rows of FACE_POINTS that the dense head places; the heatmaps place the others"""


@dataclass(frozen=True, slots=True)
class LandmarkerConfig:
    """Size and shape; travels with the weights."""

    size: int = 96
    """px of the input crop, a multiple of 16"""
    scale: float = 1.5
    """side of the crop in sides of the face box"""
    channels: tuple[int, int, int, int] = (24, 48, 96, 128)
    """at 1/2, 1/4, 1/8 and 1/16 of the crop; heatmaps are at 1/4"""
    hidden: int = 128
    """width of the dense head"""

    def to_dict(self) -> dict[str, Any]:
        """For a weight file's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LandmarkerConfig:
        """The inverse of `to_dict`."""
        return cls(**{**data, "channels": tuple(data["channels"])})


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Block(nn.Module):
    """Two plain convolutions around a skip: at this size they run faster on a CPU than separable ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width), _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] -> the same."""
        y: Tensor = self.second(self.first(x))
        return x + y


class Landmarker(nn.Module):
    """An hourglass with heatmaps at a quarter of the crop and a dense head at its waist."""

    def __init__(self, config: LandmarkerConfig) -> None:
        super().__init__()
        self.config = config
        c2, c4, c8, c16 = config.channels
        self.stem = nn.Sequential(_conv(3, c2, 2), _conv(c2, c4, 2), Block(c4))
        self.eighth = nn.Sequential(_conv(c4, c8, 2), Block(c8))
        self.sixteenth = nn.Sequential(_conv(c8, c16, 2), Block(c16), Block(c16))
        self.up8 = nn.Sequential(_conv(c16 + c8, c8, kernel=1), Block(c8))
        self.up4 = nn.Sequential(_conv(c8 + c4, c4, kernel=1), Block(c4))
        self.heat = nn.Conv2d(c4, len(ON_FACE), 1)
        side = config.size // 16
        self.dense = nn.Sequential(
            _conv(c16, 32, kernel=1),
            nn.Flatten(),
            nn.Linear(32 * side * side, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, N_FACE_POINTS + 2 * len(AROUND)),
        )
        cells = (torch.arange(config.size // 4) + 0.5) / (config.size // 4)
        self.register_buffer("cells", cells, persistent=False)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Points [B, 30, 2] in 0..1 of the crop and spreads [B, 30] (same unit) of crops [B, 3, S, S] in [-1, 1]."""
        fine = self.stem(crops)
        middle = self.eighth(fine)
        waist = self.sixteenth(middle)
        middle = self.up8(torch.cat([F.interpolate(waist, scale_factor=2.0), middle], 1))
        fine = self.up4(torch.cat([F.interpolate(middle, scale_factor=2.0), fine], 1))
        heat = self.heat(fine).float().flatten(2).softmax(-1).unflatten(-1, fine.shape[2:])
        cells: Tensor = self.cells  # type: ignore[assignment]
        on_face = torch.stack([heat.sum(2) @ cells, heat.sum(3) @ cells], -1)
        out = self.dense(waist).float()
        points = crops.new_empty(len(crops), N_FACE_POINTS, 2, dtype=torch.float32)
        points[:, ON_FACE] = on_face
        points[:, AROUND] = out[:, N_FACE_POINTS:].unflatten(1, (-1, 2)) * 0.5 + 0.5
        return points, torch.exp(out[:, :N_FACE_POINTS].clamp(-5, 5) - 3)
