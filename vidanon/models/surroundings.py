"""What the surroundings of a face let expect of it: the colour of its skin, and what kind of person it may be.

The coarse levels of the generator's encoder know hair, ears, neck, clothes and light of a crop without its face. Two
linear readouts of them (fitted in closed form, `train/surroundings.py`) say more than the generator itself makes of
them: which colour the skin would have, and what a recognition network would make of such a person: man or woman, young
or old. The first corrects the tone of what is painted, the second tells which of the patterns suits best (in the manner
of CLEANIR, Cho et al. 2020, https://doi.org/10.3390/electronics9122013). No pixel of a face has a say in either.

Shape comments: B batch, F facts, S crop px, N patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidanon.models.appearance import N_FEATURES, features
from vidanon.models.layout import settled
from vidanon.types import FACE_POINT_INDEX, N_FACE_POINTS

WHOLE, MEANS = 4, (8, 16)
"""Px of the encoder's level that is read cell by cell, and of those of which the channels' means are."""
_SPOTS = ((("right_eye", "mouth_right"), 0.5), (("left_eye", "mouth_left"), 0.5), (("nose", "nose"), 0.6))
"""Where skin is looked at, half-way between two keypoints, and how much each spot counts: cheeks, nose."""
SPOT = 0.03
"""Width (sigma) of such a spot, in crops."""
KIND = 128
"""Numbers that tell what kind of person somebody is: dlib's recognition vector, from that of the mean face."""
SHARED, OWN = 3, 3.0
"""Axes in which kinds differ most, which many people share (how old, man or woman, from where); and how much more than
a difference in these a likeness in the others counts, against somebody."""
ODDEST = 3.0
"""Facts count as if at most so many standard deviations from the usual."""
DARKEST = 0.02
"""Colours count as at least so light."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the surroundings of faces let expect."""

    colour: Tensor
    """[B, 3] R'G'B' 0..1 of the skin"""
    kind: Tensor
    """[B, KIND]"""


def skin_colour(image: Tensor, points: Tensor, shown: Tensor) -> Tensor:
    """[B, 3] mean colour of cheeks and nose of crops [B, 3, S, S] with keypoints [B, 30, 2] in 0..1, NaN = unknown.

    Only what is `shown` [B, 1, S, S] (1 = the face) counts; NaN where nothing of them is.
    """
    at = settled(points.float())
    size = image.shape[-1]
    centres = (torch.arange(size, device=image.device, dtype=image.dtype) + 0.5) / size
    weight = torch.zeros_like(image[:, :1])
    for (one, other), share in _SPOTS:
        middle = (at[:, FACE_POINT_INDEX[one]] + at[:, FACE_POINT_INDEX[other]]) / 2
        x, y = (torch.exp(-0.5 * ((centres - middle[:, k, None]) / SPOT).square()) for k in (0, 1))
        weight = weight + share * (y[:, :, None] * x[:, None, :])[:, None]
    weight = weight * shown
    colour: Tensor = (image * weight).sum((2, 3)) / weight.sum((2, 3))
    return colour


def tone_of(colour: Tensor) -> Tensor:
    """[B, 3] how light colours [B, 3] (R'G'B' 0..1) are, and how red and how blue for that: logarithms."""
    red, green, blue = colour.clamp(min=DARKEST).log().unbind(1)
    return torch.stack([(red + green + blue) / 3, red - green, blue - green], 1)


def colour_of(tone: Tensor) -> Tensor:
    """[B, 3] the inverse of `tone_of`."""
    light, red, blue = tone.unbind(1)
    green = light - (red + blue) / 3
    return torch.stack([green + red, green, green + blue], 1).exp().clamp(0, 1)


class Surroundings(nn.Module):
    """Knows nothing until it is fitted or loaded."""

    def __init__(self, channels: Mapping[int, int]) -> None:
        """`channels` are those of the encoder's levels, by px."""
        super().__init__()
        self.levels = [s for s in MEANS if s in channels]
        facts = channels[WHOLE] * WHOLE * WHOLE + sum(channels[s] for s in self.levels)
        facts += N_FEATURES + 2 * N_FACE_POINTS
        self.usual: Tensor
        self.readout: Tensor
        self.tone: Tensor
        self.range: Tensor
        self.kinds: Tensor
        self.register_buffer("usual", torch.stack([torch.zeros(facts), torch.ones(facts)]))
        """mean and standard deviation of the facts"""
        self.register_buffer("readout", torch.zeros(3 + KIND, facts))
        """tone and kind by facts in standard deviations"""
        self.register_buffer("tone", torch.zeros(3))
        """the usual one"""
        self.register_buffer("range", torch.tensor([[-2.0] * 3, [0.0] * 3]))
        """lowest and highest tone that is expected of anybody"""
        self.register_buffer("kinds", torch.zeros(0, KIND))
        """[N, KIND] of the appearance model's patterns; none: nobody suits better than others"""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, own in self.named_buffers():  # older weights have none
            state_dict.setdefault(prefix + name, own)
        self.kinds = torch.empty_like(state_dict[prefix + "kinds"], device=self.usual.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def known(self) -> bool:
        """Whether it was fitted."""
        return bool(self.readout.any())

    def facts(self, kept: Mapping[int, Tensor], points: Tensor) -> Tensor:
        """[B, F] of the encoder's levels, by px, and keypoints [B, 30, 2] in 0..1 of the crop, NaN = unknown."""
        at = settled(points.float())
        parts = [kept[WHOLE].flatten(1), *(kept[s].mean((2, 3)) for s in self.levels), features(at), at.flatten(1)]
        return torch.cat([part.float() for part in parts], 1)

    def forward(self, facts: Tensor) -> Expected:
        """What facts [B, F] let expect."""
        told = ((facts - self.usual[0]) / self.usual[1]).clamp(-ODDEST, ODDEST) @ self.readout.T
        tone = (self.tone + told[:, :3]).clamp(self.range[0], self.range[1])
        return Expected(colour_of(tone), told[:, 3:])

    def suits(self, patterns: Tensor, kind: Tensor) -> Tensor:
        """[C] how well patterns [C] suit where a kind [KIND] is expected: the higher the better; 0 if unknown.

        They should have what many people have in common with who is expected, and as little as may be of the rest: that
        would be a likeness.
        """
        if not len(self.kinds):
            return torch.zeros(len(patterns), device=kind.device)
        _, _, axes = torch.linalg.svd(self.kinds.float(), full_matrices=False)
        shared = axes[:SHARED].T @ axes[:SHARED]
        kinds, kind = self.kinds[patterns].float(), kind.float()
        own = kind - kind @ shared
        alike = (kinds - kinds @ shared) @ own / own.norm().clamp(min=1e-6)
        off: Tensor = ((kinds - kind) @ shared).norm(dim=1) + OWN * alike
        return -off
