"""The generator: a conditional U-Net that paints a face it has never seen.

After DeepPrivacy (Hukkelås et al. 2019, https://arxiv.org/abs/1909.04538) and StyleGAN2 (https://arxiv.org/abs/1912.04958).
Who is painted is not left to the net to invent from noise: an appearance model (models/appearance.py) turns the latent
into a person's features, laid out by the keypoints, and the net gives them skin, hair, light and a place.

In: the aligned crop with the face removed, a map of what was removed, keypoints, and a latent.
Out: the whole crop with a face. Every resolution has its own RGB input and output ("skips"), so that the net can
be run, and grown, at any power of two from 8 px to its own resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidanon.models.appearance import Appearance
from vidanon.models.layers import Conv, Linear, PointMaps, StyledConv, act, down, up
from vidanon.models.surroundings import Expected, Surroundings
from vidanon.types import FACE_POINT_INDEX, N_FACE_POINTS

POINT_NAMES = (
    "nose",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "right_shoulder",
    "left_shoulder",
    "mouth_right",
    "mouth_left",
    "lip_upper_inner",
    "lip_lower_inner",
    "right_lid_upper",
    "right_lid_lower",
    "left_lid_upper",
    "left_lid_lower",
    "right_pupil",
    "left_pupil",
)
"""DeepPrivacy's seven keypoints, then the ten that carry speech, blinks and gaze."""


SHOWN = 8
"""Channels the net is shown: context, hidden, and the appearance model's RGB and cover."""
HALF, BLEND, PAINT = 0.7071, 0.577, 0.25
"""Gains of the sum of two levels, of the three things a level is decoded from, and of its picture."""


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Size and shape of a generator; travels with its weights."""

    resolution: int = 128
    """px of the crop's side, a power of two from 8"""
    latent_dim: int = 128
    """size of the latent: axes of the appearance model"""
    appearance_px: int = 96
    """px of the appearance model's texture"""
    width: int = 2048
    """channels x px is held at this product ..."""
    max_channels: int = 256
    """... up to so many channels"""
    point_names: tuple[str, ...] = POINT_NAMES
    """which of FACE_POINTS have a map of their own, in order"""

    def channels(self, size: int) -> int:
        """Channels at a resolution of `size` px."""
        return max(8, min(self.max_channels, self.width // size))

    def to_dict(self) -> dict[str, Any]:
        """For a weight file's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GeneratorConfig:
        """The inverse of `to_dict`."""
        return cls(**{**data, "point_names": tuple(data["point_names"])})


class Generator(nn.Module):
    """See the module's docstring. A run at 32 px trains the part of the net that 64 px builds on."""

    BASE = 4

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        p, latent = len(config.point_names), config.latent_dim
        self.sizes = [
            self.BASE << i for i in range((config.resolution // self.BASE).bit_length())
        ]  # 4, 8 .. resolution
        self.appearance = Appearance(latent, config.appearance_px)
        self.surroundings = Surroundings({s: c(s) for s in self.sizes})
        self.rows = [FACE_POINT_INDEX[name] for name in config.point_names]
        self.maps = PointMaps()
        self.mapping = nn.ModuleList([Linear(latent + p, latent, rate=0.1), Linear(latent, latent, rate=0.1)])
        keyed = [str(s) for s in self.sizes]
        self.from_rgb = nn.ModuleDict({k: Conv(SHOWN, c(int(k)), 1) for k in keyed})
        self.enc_points = nn.ModuleDict({k: Conv(p, c(int(k)), 1, bias=False) for k in keyed})
        self.enc = nn.ModuleDict({k: Conv(c(int(k)), c(int(k) // 2)) for k in keyed[1:]})
        self.bottom = Conv(c(self.BASE), c(self.BASE))
        self.dec_points = nn.ModuleDict({k: Conv(p, c(int(k)), 1, bias=False) for k in keyed})
        self.dec_in = nn.ModuleDict({k: StyledConv(c(max(int(k) // 2, self.BASE)), c(int(k)), latent) for k in keyed})
        self.dec_out = nn.ModuleDict({k: StyledConv(c(int(k)), c(int(k)), latent) for k in keyed})
        self.skip = nn.ModuleDict({k: Conv(c(int(k)), c(int(k)), 1) for k in keyed})
        self.to_rgb = nn.ModuleDict({k: Conv(c(int(k)), 3, 1) for k in keyed})
        self.contrast = nn.Parameter(torch.tensor(0.3))
        """of the appearance model's features in the picture, before the net has its say"""

    def style(self, code: Tensor, points: Tensor) -> Tensor:
        """[B, L] of code [B, L] and the pattern of known points [B, P, 2]."""
        known = torch.isfinite(points).all(-1).to(code.dtype)
        z = code * torch.rsqrt(code.square().mean(1, keepdim=True) + 1e-8).clamp(max=1.0)
        w = torch.cat([z, known], 1)
        for layer in self.mapping:
            w = act(layer(w))
        return w

    def forward(self, context: Tensor, hidden: Tensor, points: Tensor, latent: Tensor) -> Tensor:
        """A crop with a face, [B, 3, S, S] in about [-1, 1].

        context [B, 3, S, S] in [-1, 1], 0 where hidden; hidden [B, 1, S, S], 1 = removed; points [B, 30, 2] in 0..1 of
        the crop in the order of FACE_POINTS, NaN = unknown; latent [B, L], standard normal. S is any of the net's sizes
        from 8 up. Raises ValueError on other shapes.
        """
        b, size = len(context), context.shape[-1]
        if size not in self.sizes[1:] or context.shape != (b, 3, size, size) or hidden.shape != (b, 1, size, size):
            raise ValueError(
                f"context {tuple(context.shape)} and hidden {tuple(hidden.shape)} do not fit {self.sizes[1:]}"
            )
        if points.shape != (b, N_FACE_POINTS, 2) or latent.shape != (b, self.config.latent_dim):
            raise ValueError(f"points {tuple(points.shape)} or latent {tuple(latent.shape)} do not fit the config")
        who = self.appearance.person(latent)
        return self.paint(context, hidden, points, who.code, self.appearance(points, who, size))

    def paint(
        self, context: Tensor, hidden: Tensor, points: Tensor, code: Tensor, person: Tensor, *, fade: float = 1.0
    ) -> Tensor:
        """`forward` for a `code` [B, L] of the appearance model and what the model makes of it, `person` [B, 4, S, S].

        `fade` in 0..1 weighs the finest level while the net grows.
        """
        size = context.shape[-1]
        points = points[:, self.rows]
        sizes = [s for s in self.sizes if s <= size]
        maps = {s: self.maps(points, s) for s in sizes}
        w = self.style(code, points)

        kept = self._encoded(torch.cat([context, hidden, person], 1), maps, fade)
        h = act(self.bottom(kept[self.BASE]))
        rgb: Tensor | None = None
        for s in sizes:
            k = str(s)
            h = self.dec_in[k](h, w)
            h = (h if s == self.BASE else up(h)) + self.skip[k](kept[s]) + self.dec_points[k](maps[s])
            h = self.dec_out[k](h * BLEND, w)
            paint = self.to_rgb[k](h) * PAINT
            rgb = paint if rgb is None else up(rgb) + paint * (fade if s == size else 1.0)
        assert rgb is not None
        return rgb + self.contrast * person[:, :3]

    def expected(self, context: Tensor, hidden: Tensor, points: Tensor) -> Expected:
        """What the surroundings let expect of faces; arguments as of `forward`."""
        told: Expected = self.surroundings(self.facts(context, hidden, points))
        return told

    def facts(self, context: Tensor, hidden: Tensor, points: Tensor) -> Tensor:
        """[B, F] what the encoder knows of crops in which nobody is to be painted yet; arguments as of `forward`."""
        size = context.shape[-1]
        maps = {s: self.maps(points[:, self.rows], s) for s in self.sizes if s <= size}
        nobody = context.new_zeros(len(context), SHOWN - 4, size, size)
        kept = self._encoded(torch.cat([context, hidden, nobody], 1), maps, 1.0)
        return self.surroundings.facts(kept, points)

    def _encoded(self, x: Tensor, maps: Mapping[int, Tensor], fade: float) -> dict[int, Tensor]:
        """The encoder's levels, by px, of what is shown [B, 8, S, S], with the keypoints' maps of each level."""
        size = x.shape[-1]
        feature: Tensor | None = None
        kept: dict[int, Tensor] = {}
        for s in reversed(list(maps)):
            k = str(s)
            entry = self.from_rgb[k](x) + self.enc_points[k](maps[s])
            if feature is not None:
                entry = (entry + feature * (fade if s == size // 2 else 1.0)) * HALF
            kept[s] = h = act(entry)
            if s > self.BASE:
                feature = act(self.enc[k](down(h)))
                x = down(x)
        return kept
