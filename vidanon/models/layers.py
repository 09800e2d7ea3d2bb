"""The few layers the GAN is built of: equalized convolutions, style modulation, keypoint maps.

Equalized learning rate: Karras et al. 2017, https://arxiv.org/abs/1710.10196
Modulation and demodulation: Karras et al. 2019, https://arxiv.org/abs/1912.04958
Shape comments: B batch, C channels, H, W px, P points, L latent.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAIN, SLOPE = math.sqrt(2), 0.2
"""of the leaky ReLUs, which keep the variance"""
EPSILON = 1e-8
"""Added to a variance before its root is divided by."""


def act(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, SLOPE) * GAIN


class Linear(nn.Module):
    """Equalized linear layer: weights are N(0, 1) and scaled when used, so all learn at one speed."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale = rate / math.sqrt(inputs)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] -> [B, outputs]"""
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Conv(nn.Module):
    """Equalized convolution with 'same' padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel * kernel)
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]"""
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class StyledConv(nn.Module):
    """Convolution whose input channels are scaled by a style, output renormalized (StyleGAN2), then bias and act.

    Scaling activations instead of weights is the same sum and keeps one dense convolution for the batch.
    """

    def __init__(self, inputs: int, outputs: int, style: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, bias=False)
        self.style = Linear(style, inputs, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[B, inputs, H, W] and styles [B, L] -> [B, outputs, H, W]"""
        s = self.style(w)
        norm = torch.rsqrt(s.square() @ power(self).T + EPSILON)  # B, outputs
        x = self.conv(x * s[:, :, None, None]) * norm[:, :, None, None]
        return act(x + self.bias)


def power(layer: StyledConv) -> Tensor:
    """[outputs, inputs] what each input adds to the variance of each output."""
    return (layer.conv.weight * layer.conv.scale).square().sum((2, 3))


class PointMaps(nn.Module):
    """Keypoints as Gaussian bumps about one pixel wide; an unknown point (NaN) is an empty map."""

    def __init__(self, sigma_px: float = 0.8) -> None:
        super().__init__()
        self.sigma_px = sigma_px

    def forward(self, points: Tensor, size: int) -> Tensor:
        """[B, P, 2] in 0..1 -> [B, P, size, size]"""
        known = torch.isfinite(points).all(-1)  # B, P
        at = torch.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0).clamp(-4, 5) * size
        centres = torch.arange(size, device=points.device, dtype=points.dtype) + 0.5
        bump = torch.exp(-0.5 * ((at[..., None] - centres) / self.sigma_px) ** 2)  # B, P, 2, size
        bump = bump * known[:, :, None, None]
        return bump[:, :, 1, :, None] * bump[:, :, 0, None, :]


def up(x: Tensor) -> Tensor:
    """Twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def down(x: Tensor) -> Tensor:
    """Half the size, 2x2 mean."""
    return F.avg_pool2d(x, 2)
