"""The same faces seen a little differently, as from frame to frame of a video: what is painted must not answer.

In: crops. Out: crops cut a little differently; crops whose surroundings are disturbed and whose mask breathes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.train.batches import CropBatch
from vidanon.types import FACE_POINT_INDEX

LOWER = 0.2
"""how much of a blink's way is the lower lid's"""


def nudged(crops: CropBatch, generator: torch.Generator, *, amount: float = 0.04) -> tuple[CropBatch, Tensor]:
    """The same crops cut a little differently, and where each of their pixels lies in the old ones.

    Shifted, scaled and turned by up to `amount` (of the side, as a factor, in radians), resampled as a tracked face is
    from frame to frame. Returns the crops and a grid [B, S, S, 2] for `grid_sample`.
    """
    b, _, size, _ = crops.image.shape
    device = crops.image.device

    def draw() -> Tensor:
        return (torch.rand(b, generator=generator, device=device) * 2 - 1) * amount

    zoom, angle, dx, dy = 1 + draw(), draw(), draw(), draw()
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    # new (-1..1) -> old (-1..1); the shift is in sides, of which that range has two
    matrix = torch.stack([torch.stack([cos, -sin, 2 * dx], 1), torch.stack([sin, cos, 2 * dy], 1)], 1)
    grid = F.affine_grid(matrix, [b, 1, size, size], align_corners=False)
    image = F.grid_sample(crops.image, grid, padding_mode="border", align_corners=False)
    flags = torch.cat([crops.hidden, crops.outside], 1)
    flags = F.grid_sample(flags, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    beyond = (grid.abs() > 1).any(-1)[:, None].to(image.dtype)
    outside = torch.maximum(flags[:, 1:], beyond)
    hidden = torch.maximum(flags[:, :1], outside)
    old = crops.points * 2 - 1 - matrix[:, None, :, 2]
    scale = zoom.square()[:, None]
    x = (cos[:, None] * old[..., 0] + sin[:, None] * old[..., 1]) / scale
    y = (-sin[:, None] * old[..., 0] + cos[:, None] * old[..., 1]) / scale
    return CropBatch(image * (1 - outside), hidden, outside, torch.stack([x, y], -1) / 2 + 0.5, crops.rows), grid


def elsewhere(crops: CropBatch, generator: torch.Generator, *, share: float) -> CropBatch:
    """The same people, a `share` of them in front of somebody else's background, where it is far from the face.

    What is behind somebody says nothing of how light she is, or how lit: portraits from studios would have it so.
    """
    size = crops.image.shape[-1]
    reach = size // 8 * 2 + 1
    face = crops.hidden * (1 - crops.outside)
    near = F.avg_pool2d(F.max_pool2d(face, reach, 1, reach // 2), reach, 1, reach // 2)
    chosen = torch.rand(len(face), 1, 1, 1, generator=generator, device=face.device) < share
    far = (1 - 2 * near).clamp(0, 1) * chosen
    image = crops.image + (crops.image.roll(1, 0) - crops.image) * far
    return replace(crops, image=image * (1 - crops.outside))


def disturbed(crops: CropBatch, generator: torch.Generator) -> CropBatch:
    """The same crops as another frame has them: grain, blocks, softness, light, another background, another mask.

    The person, her pose and where the picture ends are the same. Each disturbance is small, and left out now and then.
    """
    b, _, size, _ = crops.image.shape
    device, image = crops.image.device, crops.image

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(b, 1, 1, 1, generator=generator, device=device) * (high - low) + low

    def sometimes(share: float) -> Tensor:
        return (uniform(0, 1) < share).to(image.dtype)

    image = elsewhere(crops, generator, share=0.5).image

    # of what can be seen only: no pixel of a face may seep out
    visible = 1 - crops.hidden

    def means(cell: int, mode: str) -> Tensor:
        share = F.avg_pool2d(visible, cell)
        mean = F.avg_pool2d(image * visible, cell) / share.clamp(min=1e-3)
        big = F.interpolate(mean, size=(size, size), mode=mode)
        known = F.interpolate(share, size=(size, size), mode="nearest") > 0.5
        return torch.where(known, big, image)

    image = image + (means(2, "nearest") - image) * uniform(0, 0.6) * sometimes(0.5)
    # a coder keeps the mean of a block and loses some of its detail
    image = image + (means(max(2, size // 16), "nearest") - image) * uniform(0, 0.3) * sometimes(0.4)
    image = image * (1 + uniform(-0.03, 0.03)) + uniform(-0.02, 0.02)
    image = image + torch.randn(image.shape, generator=generator, device=device) * uniform(0, 0.05) * sometimes(0.7)

    grown = F.max_pool2d(crops.hidden, 3, 1, 1)
    grow = sometimes(0.5)
    hidden = torch.maximum(crops.hidden * (1 - grow) + grown * grow, crops.outside)
    return CropBatch(image.clamp(-1, 1) * (1 - crops.outside), hidden, crops.outside, crops.points, crops.rows)


def blinking(points: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """Keypoints [B, 30, 2] of which a `share` blinks: both eyes as far shut as the other, from not at all to wholly.

    Photos are taken with open eyes, videos are not.
    """
    b, device = len(points), points.device
    blinks = torch.rand(b, 1, generator=generator, device=device) < share
    open_ = torch.where(blinks, torch.rand(b, 1, generator=generator, device=device), 1.0)
    points = points.clone()
    for side in ("right", "left"):
        upper, lower, pupil = (FACE_POINT_INDEX[f"{side}_{part}"] for part in ("lid_upper", "lid_lower", "pupil"))
        way = points[:, upper] - points[:, lower]
        meet = points[:, lower] + LOWER * way
        for point in (upper, lower, pupil):
            points[:, point] = meet + open_ * (points[:, point] - meet)
    return points
