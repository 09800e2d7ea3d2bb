"""The discriminator: does this face fit its surroundings and its keypoints, could it be real?

Residual, with an RGB input at every resolution (so that it grows along with the generator), a minibatch standard
deviation (Karras et al. 2017, https://arxiv.org/abs/1710.10196) against collapse, and keypoint maps at every scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidanon.models.generator import GeneratorConfig
from vidanon.models.layers import Conv, Linear, PointMaps, act, down
from vidanon.types import FACE_POINT_INDEX


class Discriminator(nn.Module):
    """Mirrors a generator's config."""

    BASE = 4

    def __init__(self, config: GeneratorConfig, *, group: int = 4) -> None:
        super().__init__()
        self.config = config
        self.group = group
        c, p = config.channels, len(config.point_names)
        self.sizes = [self.BASE << i for i in range((config.resolution // self.BASE).bit_length())]
        keyed = [str(s) for s in self.sizes]
        self.rows = [FACE_POINT_INDEX[name] for name in config.point_names]
        self.maps = PointMaps()
        self.from_rgb = nn.ModuleDict({k: Conv(4, c(int(k)), 1) for k in keyed})
        self.points = nn.ModuleDict({k: Conv(p, c(int(k)), 1, bias=False) for k in keyed})
        self.one = nn.ModuleDict({k: Conv(c(int(k)), c(int(k))) for k in keyed[1:]})
        self.two = nn.ModuleDict({k: Conv(c(int(k)), c(int(k) // 2)) for k in keyed[1:]})
        self.residual = nn.ModuleDict({k: Conv(c(int(k)), c(int(k) // 2), 1, bias=False) for k in keyed[1:]})
        base = c(self.BASE)
        self.last = Conv(base + 1, base)
        self.head = nn.ModuleList([Linear(base * self.BASE**2, base), Linear(base, 1)])

    def spread(self, x: Tensor) -> Tensor:
        """The mean standard deviation over groups of the batch, as one more channel."""
        b, _, h, w = x.shape
        group = self.group if b % self.group == 0 else b
        y = x.reshape(group, b // group, *x.shape[1:])
        deviation = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # b // group
        return torch.cat([x, deviation.repeat(group)[:, None, None, None].expand(b, 1, h, w)], 1)

    def forward(self, image: Tensor, hidden: Tensor, points: Tensor, fade: float = 1.0) -> Tensor:
        """Logits [B] of crops that may be painted.

        `image` [B, 3, S, S] in [-1, 1]; `hidden` [B, 1, S, S], 1 = the part in question; `points` [B, 30, 2].
        """
        return self.look(image, hidden, points, fade)[0]

    def look(
        self, image: Tensor, hidden: Tensor, points: Tensor, fade: float = 1.0
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """`forward`, and what it saw at each size below the crop's: features [B, C, s, s] by s."""
        seen: dict[int, Tensor] = {}
        size = image.shape[-1]
        points = points[:, self.rows]
        x = torch.cat([image, hidden], 1)
        h: Tensor | None = None
        for s in [s for s in reversed(self.sizes) if s <= size]:
            k = str(s)
            entry = self.from_rgb[k](x) + self.points[k](self.maps(points, s))
            if h is not None:
                entry = (entry + h * (fade if s == size // 2 else 1.0)) * 0.7071
            h = act(entry)
            if s > self.BASE:
                h = (act(self.two[k](down(act(self.one[k](h))))) + self.residual[k](down(h))) * 0.7071
                x = down(x)
                seen[s // 2] = h
        assert h is not None
        h = act(self.last(self.spread(h))).flatten(1)
        logit: Tensor = self.head[1](act(self.head[0](h)))
        return logit[:, 0].float(), seen
