"""The face detector: a small anchor-free single-shot network.

In the family of YuNet (Wu, Peng, Yu, 2023, https://doi.org/10.1007/s11633-023-1423-y) and SCRFD
(https://arxiv.org/abs/2105.04714): dense 3x3 convolutions down to stride 4, where they are cheapest per
weight, depthwise-separable ones below, a top-down neck, and one light decoupled head shared by the strides
8, 16 and 32. Every cell predicts a score, a box and five keypoints, a strong network also how visible each is.

In: float32 [B, 3, H, W] RGB in [-1, 1], H and W multiples of 32. Out: `Raw` maps, or with `decode` scores
[B, A], boxes [B, A, 4] xyxy px and points [B, A, 5, 2] px, where A = sum of H/s * W/s over the strides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.fx
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """The network's shape."""

    stem: int = 16
    """channels at stride 2"""
    widths: tuple[int, int, int, int] = (32, 64, 96, 128)
    """channels at strides 4, 8, 16, 32"""
    depths: tuple[int, int, int, int] = (1, 3, 3, 2)
    """residual blocks at strides 4, 8, 16, 32"""
    neck: int = 64
    """channels of the neck and the head"""
    towers: int = 1
    """blocks before each of the head's two outputs"""
    visibility: bool = False
    """whether it says of each keypoint if it is seen"""
    calibration: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """scale and shift of the score's logit, and shift for each octave that the face is smaller and larger than
    `CALIBRATED_PX`, so that one score means the same certainty at every size; fitted after training"""

    @property
    def numbers(self) -> int:
        """How many numbers a cell has."""
        return 20 if self.visibility else 15

    strides: tuple[int, int, int] = (8, 16, 32)
    """px between the cells of the three output maps"""

    def to_dict(self) -> dict[str, Any]:
        """For a weight file's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DetectorConfig:
        """The inverse of `to_dict`, also after a trip through JSON."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**plain)


Size = Literal["fast", "strong"]
CONFIGS: Mapping[Size, DetectorConfig] = {
    "fast": DetectorConfig(),
    "strong": DetectorConfig(depths=(2, 6, 6, 4), towers=2, visibility=True),
}
"""The family. Strong is fast with more blocks, so that training can begin it with what fast has learned (`grown`)."""


def conv(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and BatchNorm, no activation."""
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(cout),
    )


class Separable(nn.Module):
    """Depthwise then pointwise convolution; residual where the shapes allow it."""

    def __init__(self, cin: int, cout: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.depthwise = conv(cin, cin, kernel, stride, groups=cin)
        self.pointwise = conv(cin, cout, 1)
        self.residual = cin == cout and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """[B, cin, H, W] -> [B, cout, H/stride, W/stride]."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return torch.relu(y + x if self.residual else y)


class Backbone(nn.Module):
    """Picture to feature maps at strides 8, 16, 32."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        w4, *deeper = config.widths
        self.stem = nn.Sequential(conv(3, config.stem, 3, 2), nn.ReLU(), conv(config.stem, w4, 3, 2), nn.ReLU())
        self.stage4 = nn.Sequential(*(Separable(w4, w4) for _ in range(config.depths[0])))
        stages: list[nn.Module] = []
        width = w4
        for cout, depth in zip(deeper, config.depths[1:], strict=True):
            # 5x5 is what gives a stride-32 cell sight of a whole 250 px face within so few layers.
            blocks = [
                Separable(width, cout, stride=2, kernel=5),
                *(Separable(cout, cout, kernel=5) for _ in range(depth)),
            ]
            stages.append(nn.Sequential(*blocks))
            width = cout
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> maps [B, widths[1..3], H/s, W/s] for s in 8, 16, 32."""
        x = self.stage4(self.stem(x))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Neck(nn.Module):
    """Top-down pathway: every map learns what the coarser ones saw."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(conv(c, config.neck, 1) for c in config.widths[1:])
        self.smooth = nn.ModuleList(Separable(config.neck, config.neck) for _ in config.widths[1:])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of the backbone -> maps [B, neck, H/s, W/s]."""
        sides = [torch.relu(lateral(m)) for lateral, m in zip(self.lateral, maps, strict=True)]
        for i in range(len(sides) - 2, -1, -1):
            sides[i] = sides[i] + nn.functional.interpolate(sides[i + 1], scale_factor=2.0, mode="nearest")
        return [smooth(s) for smooth, s in zip(self.smooth, sides, strict=True)]


class Head(nn.Module):
    """Score on one branch, box and keypoints on the other; the weights serve all strides."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        c = config.neck
        self.score_tower, self.place_tower = Separable(c, c), Separable(c, c)
        self.score_more = nn.Sequential(*(Separable(c, c) for _ in range(config.towers - 1)))
        self.place_more = nn.Sequential(*(Separable(c, c) for _ in range(config.towers - 1)))
        self.score = nn.Conv2d(c, 1, 1)
        self.place = nn.Conv2d(c, config.numbers - 1, 1)
        # One cell in a hundred is a face at first, and a face is about four cells wide: no first-step shock.
        nn.init.constant_(self.score.bias, -4.6)  # type: ignore[arg-type]
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.normal_(self.place.weight, std=0.01)
        nn.init.zeros_(self.place.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """[B, neck, h, w] -> [B, h*w, 15 or 20].

        Score logit, dx, dy, log w, log h, five (x, y), in cells; five logits of being seen.
        """
        score, place = self.score_more(self.score_tower(x)), self.place_more(self.place_tower(x))
        y = torch.cat([self.score(score), self.place(place)], dim=1)
        return y.flatten(2).transpose(1, 2)


@torch.fx.wrap  # one step to a tracer, which cannot look at shapes
def _require_fit(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 32 or x.shape[3] % 32:
        raise ValueError(f"DetectorNet wants [B, 3, H, W] with H and W multiples of 32, got {tuple(x.shape)}")


class DetectorNet(nn.Module):
    """Backbone, neck, head. See the module's docstring for shapes."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DetectorConfig()
        self.backbone = Backbone(self.config)
        self.neck = Neck(self.config)
        self.head = Head(self.config)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, A, 15 or 20] raw cells, finest stride first, row by row."""
        _require_fit(x)
        return torch.cat([self.head(m) for m in self.neck(self.backbone(x))], dim=1)

    def fused(self) -> DetectorNet:
        """This network with every BatchNorm folded into its convolution, for inference: same numbers, fewer passes."""
        self.eval()
        for module in self.modules():
            if isinstance(module, nn.Sequential) and len(module) == 2:
                first, second = module
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    module[0], module[1] = fuse_conv_bn_eval(first, second), nn.Identity()
        return self


def grown(config: DetectorConfig, state: Mapping[str, Tensor]) -> DetectorNet:
    """A network of `config` that computes what one with fewer blocks and the weights `state` does.

    What `state` does not say of visibility begins as a half, the blocks it does not have as identities (Chen,
    Goodfellow, Shlens 2016, Net2Net, https://arxiv.org/abs/1511.05641). Raises RuntimeError where `state` is of another
    width or has more blocks.
    """
    network = DetectorNet(config)
    state = dict(state)
    for name, value in network.state_dict().items():
        if name.startswith("head.place.") and name in state and len(state[name]) < len(value):
            state[name] = torch.cat([state[name], torch.zeros_like(value[len(state[name]) :])])
    missing, unexpected = network.load_state_dict(state, strict=False)
    new = {key.rsplit(".", 3)[0] for key in missing}
    blocks = {name: m for name, m in network.named_modules() if isinstance(m, Separable) and name in new}
    whole = {f"{name}.{key}" for name, m in blocks.items() for key, _ in m.named_parameters()}
    if unexpected or set(blocks) != new or not whole <= set(missing) or not all(m.residual for m in blocks.values()):
        raise RuntimeError(f"these weights do not fit: {sorted({*unexpected, *missing})[:3]}")
    for block in blocks.values():
        nn.init.zeros_(block.pointwise[1].weight)  # type: ignore[arg-type]
    return network


def cells(height: int, width: int, strides: tuple[int, ...], device: torch.device | None = None) -> Tensor:
    """Cell centres and strides [A, 3] (x px, y px, stride px) in the order of `DetectorNet.forward`."""
    rows = []
    for s in strides:
        y, x = torch.meshgrid(
            torch.arange(height // s, device=device), torch.arange(width // s, device=device), indexing="ij"
        )
        centre = (torch.stack([x, y], dim=-1).reshape(-1, 2).float() + 0.5) * s
        rows.append(torch.cat([centre, torch.full_like(centre[:, :1], s)], dim=1))
    return torch.cat(rows)


CALIBRATED_PX, OCTAVES = 24.0, (-2.0, 3.0)
"""Longer side of a face, in px of the network's input, that a calibration is about, and how far from it size counts."""


def size_terms(sides: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Octaves by which faces with these longer sides [N] are smaller (<= 0) and larger (>= 0) than CALIBRATED_PX."""
    octaves = np.log2(np.maximum(sides, 1e-3) / np.float32(CALIBRATED_PX))
    return np.clip(octaves, OCTAVES[0], 0), np.clip(octaves, 0, OCTAVES[1])


FACE_CELLS = 4.0
"""Width of a face, in cells, that a zero log-size output stands for."""


def decode(raw: Tensor, where: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Raw cells [..., A, 15+] at `where` [A, 3] -> logits [..., A], boxes [..., A, 4], points [..., A, 5, 2], px."""
    stride = where[:, 2:3]
    centre = where[:, :2] + raw[..., 1:3] * stride
    half = raw[..., 3:5].clamp(-4, 4).exp() * (stride * FACE_CELLS / 2)
    boxes = torch.cat([centre - half, centre + half], dim=-1)
    points = where[:, None, :2] + raw[..., 5:15].unflatten(-1, (5, 2)) * stride[:, None]
    return raw[..., 0], boxes, points
