"""The generator's convolutions as a network of plain layers, for ONNX Runtime on a CPU.

In: a `Generator`. Out: `CpuPainter`, which paints one crop a call, within a thousandth of what the generator says.

What depends on weights alone (equalized scales, gains, the power that renormalizes a styled convolution) is folded into
them. What depends on the latent and on which keypoints are known comes in as scales before and behind every styled
convolution. Leaky ReLUs are linear in positive factors, so gains pass through them.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidanon.models.generator import BLEND, HALF, PAINT, SHOWN, Generator
from vidanon.models.layers import EPSILON, GAIN, SLOPE, Conv, StyledConv, down, power, up
from vidanon.models.onnx_graph import Shape
from vidanon.models.runtime import CpuNetwork

L = TypeVar("L", bound=nn.Module)


def _each(layers: nn.ModuleDict, kind: type[L]) -> dict[str, L]:
    return {key: layer for key, layer in layers.items() if isinstance(layer, kind)}


def folded(convs: list[Conv], gain: float = 1.0) -> nn.Conv2d:
    """One convolution for the sum of several, over their inputs one behind the other, times `gain`."""
    weight = torch.cat([conv.weight.detach() * conv.scale for conv in convs], 1) * gain
    biases = [conv.bias.detach() for conv in convs if conv.bias is not None]
    outputs, inputs, kernel, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bool(biases))
    made.weight.data = weight
    if made.bias is not None:
        made.bias.data = torch.stack(biases).sum(0) * gain
    return made


class Styled(nn.Module):
    """A styled convolution whose style is two scales."""

    def __init__(self, layer: StyledConv) -> None:
        super().__init__()
        self.conv = folded([layer.conv])
        self.bias = nn.Parameter(layer.bias.detach() * GAIN)

    def forward(self, x: Tensor, before: Tensor, behind: Tensor) -> Tensor:
        """[1, inputs, H, W], scales [1, inputs, 1, 1] and [1, outputs, 1, 1] -> [1, outputs, H, W]"""
        return F.leaky_relu(self.conv(x * before) * behind + self.bias, SLOPE)


class Trunk(nn.Module):
    """The U-Net from the maps of one crop to its picture, at the generator's own resolution."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        rgb, points = _each(generator.from_rgb, Conv), _each(generator.enc_points, Conv)
        skip, marks = _each(generator.skip, Conv), _each(generator.dec_points, Conv)
        self.keys = [str(s) for s in generator.sizes]
        gains = {k: GAIN if k == self.keys[-1] else GAIN * HALF for k in self.keys}
        self.entry = nn.ModuleDict({k: folded([rgb[k], points[k]], gains[k]) for k in self.keys})
        # What a finer level hands down is gained by itself, and then as all it is added to.
        enc = _each(generator.enc, Conv)
        self.enc = nn.ModuleDict({k: folded([conv], GAIN * GAIN * HALF) for k, conv in enc.items()})
        self.bottom = folded([generator.bottom], GAIN)
        self.dec_in = nn.ModuleDict({k: Styled(layer) for k, layer in _each(generator.dec_in, StyledConv).items()})
        self.dec_out = nn.ModuleDict({k: Styled(layer) for k, layer in _each(generator.dec_out, StyledConv).items()})
        self.beside = nn.ModuleDict({k: folded([skip[k], marks[k]]) for k in self.keys})
        self.to_rgb = nn.ModuleDict({k: folded([conv], PAINT) for k, conv in _each(generator.to_rgb, Conv).items()})

    def forward(self, shown: Tensor, maps: list[Tensor], before: list[Tensor], behind: list[Tensor]) -> Tensor:
        """[1, 3, S, S] of what is shown [1, 8, S, S], point maps and scales from the coarsest level up, in pairs."""
        x, kept = shown, list[Tensor]()
        feature: Tensor | None = None
        for i in reversed(range(len(self.keys))):
            k = self.keys[i]
            entry = self.entry[k](torch.cat((x, maps[i]), dim=1))
            h = F.leaky_relu(entry if feature is None else entry + feature, SLOPE)
            kept.insert(0, h)
            if i:
                feature = F.leaky_relu(self.enc[k](down(h)), SLOPE)
                x = down(x)
        h = F.leaky_relu(self.bottom(kept[0]), SLOPE)
        rgb: Tensor | None = None
        for i, k in enumerate(self.keys):
            h = self.dec_in[k](h, before[2 * i], behind[2 * i])
            h = (up(h) if i else h) + self.beside[k](torch.cat((kept[i], maps[i]), dim=1))
            h = self.dec_out[k](h, before[2 * i + 1], behind[2 * i + 1])
            paint = self.to_rgb[k](h)
            rgb = paint if rgb is None else up(rgb) + paint
        assert rgb is not None
        return rgb


class CpuPainter:
    """A generator on `threads` CPU threads (0 = as many as torch uses), one crop a call, whatever came before it."""

    def __init__(self, generator: Generator, *, threads: int = 0) -> None:
        self._generator = generator
        first, second = (_each(layers, StyledConv) for layers in (generator.dec_in, generator.dec_out))
        self._styles = [
            (layer[str(s)], power(layer[str(s)]).detach(), gain)
            for s in generator.sizes
            for layer, gain in ((first, 1.0), (second, BLEND))
        ]
        side, points = generator.config.resolution, len(generator.rows)
        inputs: dict[str, Shape] = {"shown": (1, SHOWN, side, side)}
        inputs |= {f"maps_{i}": (1, points, s, s) for i, s in enumerate(generator.sizes)}
        inputs |= {f"before_{i}": (1, each.shape[1], 1, 1) for i, (_, each, _) in enumerate(self._styles)}
        inputs |= {f"behind_{i}": (1, each.shape[0], 1, 1) for i, (_, each, _) in enumerate(self._styles)}
        self._trunk = CpuNetwork(Trunk(generator), inputs, threads=threads)

    @torch.inference_mode()
    def __call__(self, context: Tensor, hidden: Tensor, points: Tensor, latent: Tensor) -> Tensor:
        """As `Generator.forward`, of one crop at the generator's resolution; MemoryError where that does not fit."""
        made = self._generator
        who = made.appearance.person(latent)
        person = made.appearance(points, who, context.shape[-1])
        points = points[:, made.rows]
        style = made.style(who.code, points)
        before, behind = [], []
        for layer, squared, gain in self._styles:
            scale = layer.style(style)
            norm = torch.rsqrt(scale.square() @ squared.T + EPSILON)
            before.append((scale * gain)[:, :, None, None].numpy())
            behind.append((norm * GAIN)[:, :, None, None].numpy())
        maps = [made.maps(points, s).numpy() for s in made.sizes]
        shown = torch.cat([context, hidden, person], 1).numpy()
        rgb = torch.from_numpy(self._trunk(shown, *maps, *before, *behind))
        painted: Tensor = rgb + made.contrast * person[:, :3]
        return painted
