"""A painter that paints a dark card for anybody, and what it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidanon.models.layout import CANONICAL
from vidanon.render.generate import PaintRequest
from vidanon.types import FloatArray


@dataclass
class CardPainter:
    """Paints cards of one colour a latent; kinds are the latents; patterns go by their first coordinate."""

    latent_dim: int = 6
    resolution: int = 32
    fails: bool = False
    usual_lightness: float = -0.625

    def expected(self, request: PaintRequest) -> tuple[FloatArray, FloatArray]:
        """The mean of what is visible, as skin and as kind."""
        mean = float(request.context[~request.hidden].mean())
        return np.full(3, mean, np.float32), np.full(6, mean, np.float32)

    def suits(self, latents: FloatArray, kind: FloatArray) -> FloatArray:
        """The nearer the better."""
        return np.asarray(-np.abs(latents - kind).sum(1), np.float32)

    def pattern(self, latent: FloatArray) -> int:
        """Two patterns."""
        return int(latent[0] > 0.5)

    def paint(self, requests: Sequence[PaintRequest]) -> list[FloatArray | None]:
        """A dark card for anybody."""
        shape = (self.resolution, self.resolution, 3)
        return [None if self.fails else np.full(shape, 0.3, np.float32) for _ in requests]

    def skin_colour(self, crop: FloatArray, request: PaintRequest) -> FloatArray:
        """The middle."""
        return np.asarray(crop[len(crop) // 2, len(crop) // 2], np.float32)


def request(shade: float, *, under: float = 0.0) -> PaintRequest:
    """A crop of a shade, its middle hidden, with something `under` the mask."""
    hidden = np.zeros((32, 32), np.bool_)
    hidden[8:24, 8:24] = True
    context = np.full((32, 32, 3), shade, np.float32)
    context[hidden] = under
    return PaintRequest(context, hidden, CANONICAL.numpy(), np.zeros(6, np.float32))
