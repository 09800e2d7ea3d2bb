"""Batches of aligned crops, cut from labelled faces as the renderer cuts them, and augmented on the training device.

In: `Faces` (train/faces.py). Out: crops with mask and keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.render.align import CROP_SCALE
from vidanon.train.faces import MIRROR, Faces


@dataclass(frozen=True, slots=True)
class CropBatch:
    """Aligned crops, ready for the networks."""

    image: Tensor
    """[B, 3, S, S] in [-1, 1], 0 outside the picture"""
    hidden: Tensor
    """[B, 1, S, S], 1 = face area or outside the picture"""
    outside: Tensor
    """[B, 1, S, S], 1 = outside the picture, or not known of a turned head"""
    points: Tensor
    """[B, 30, 2] in 0..1 of the crop, NaN = unknown"""
    rows: Tensor
    """[B] who these are: `Faces.people`, plus the number of people where mirrored"""

    @property
    def context(self) -> Tensor:
        """[B, 3, S, S], the crop without the face"""
        return self.image * (1 - self.hidden)

    def composite(self, painted: Tensor) -> Tensor:
        """The crop with the painted face in it, as the viewer (and the discriminator) sees it."""
        return self.context + painted * (self.hidden - self.outside)

    def __getitem__(self, rows: slice) -> CropBatch:
        """Some of the crops."""
        return CropBatch(self.image[rows], self.hidden[rows], self.outside[rows], self.points[rows], self.rows[rows])

    def twice(self) -> CropBatch:
        """Every crop, and every crop again."""
        return CropBatch(*(torch.cat([t, t]) for t in (self.image, self.hidden, self.outside, self.points, self.rows)))


class CropSampler:
    """Draws batches of crops. Everything random comes from `generator`, everything heavy runs on `device`."""

    def __init__(self, faces: Faces, *, device: torch.device, seed: int) -> None:
        self.images = torch.from_numpy(faces.images).permute(0, 3, 1, 2).contiguous().to(device)
        self.points = torch.from_numpy(faces.points).to(device)
        self.poses = torch.from_numpy(faces.poses).to(device)
        self.weights = torch.from_numpy(faces.weights).to(device)
        self.people = torch.from_numpy(faces.people).to(device)
        self.count = int(faces.people.max()) + 1
        """people: the first so many pictures are theirs as they were taken"""
        self.patterns = torch.from_numpy(faces.patterns).to(device)
        self.mirror = torch.tensor(MIRROR, device=device)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.device = device

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.device) * (high - low) + low

    def _normal(self, *shape: int, std: float) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device) * std

    def draw(self, batch: int) -> Tensor:
        """[B] indices of faces, by weight."""
        return torch.multinomial(self.weights, batch, replacement=True, generator=self.generator)

    def batch(
        self,
        index: Tensor,
        size: int,
        *,
        jitter: float = 1.0,
        scale: float = CROP_SCALE,
        photometric: bool = True,
        flip: bool | None = None,
    ) -> CropBatch:
        """Crops of the faces `index` [B] at `size` px, moved, turned, scaled at random (`jitter` 0 = not).

        `flip` says whether they are mirrored; None: at random, if there is jitter.
        """
        b = len(index)
        cx, cy, side, roll = self.poses[index].unbind(1)
        share = 0.5 * (jitter > 0) if flip is None else float(flip)
        mirrored = self._uniform(b) < share
        turned = torch.where(mirrored, -1.0, 1.0)
        dx, dy = (self._normal(2, b, std=0.04 * jitter) * side).unbind(0)
        crop = scale * side * torch.exp(self._normal(b, std=0.08 * jitter))
        turn = roll + self._normal(b, std=0.1 * jitter)
        cos, sin = torch.cos(turn), torch.sin(turn)

        # crop coordinates (-0.5..0.5, x mirrored by `flip`) -> picture (0..1): sampled at twice the size, then averaged
        line = (torch.arange(2 * size, device=self.device) + 0.5) / (2 * size) - 0.5
        v, u = torch.meshgrid(line, line, indexing="ij")
        u = u[None] * turned[:, None, None]
        v = v[None].expand_as(u)
        sx, sy = crop[:, None, None] * u, crop[:, None, None] * v
        x = (cx + dx)[:, None, None] + cos[:, None, None] * sx - sin[:, None, None] * sy
        y = (cy + dy)[:, None, None] + sin[:, None, None] * sx + cos[:, None, None] * sy
        picture = self.images[index].float() / 127.5 - 1
        sampled = F.grid_sample(picture, torch.stack([x, y], -1) * 2 - 1, padding_mode="border", align_corners=False)
        sampled = F.avg_pool2d(sampled, 2)
        outside = F.max_pool2d(((x < 0) | (x > 1) | (y < 0) | (y > 1))[:, None].float(), 2)
        image, away = sampled[:, :3], (sampled[:, 3:4] + 1) / 2
        outside = torch.maximum(outside, (sampled[:, 4:] > -0.99).float())
        # masks of many margins, so that one net serves them all
        hidden = (away <= self._uniform(b, 1, 1, 1, low=0.01, high=0.99) ** 2).float()
        hidden = torch.maximum(hidden, outside)
        if photometric:
            image = self._photometric(image)
        points = self.points[index] - torch.stack([cx + dx, cy + dy], 1)[:, None]
        px = (cos[:, None] * points[..., 0] + sin[:, None] * points[..., 1]) / crop[:, None]
        py = (-sin[:, None] * points[..., 0] + cos[:, None] * points[..., 1]) / crop[:, None]
        other = torch.stack([-px, py], -1)[:, self.mirror]
        points = torch.where(mirrored[:, None, None], other, torch.stack([px, py], -1)) + 0.5
        return CropBatch(image * (1 - outside), hidden, outside, points, self.people[index] + mirrored * self.count)

    def _photometric(self, image: Tensor) -> Tensor:
        """Exposure, contrast, saturation, colour cast, softness and noise as videos have them."""
        b = len(image)
        shape = (b, 1, 1, 1)
        gain = torch.exp(self._normal(b, 3, 1, 1, std=0.06) + self._normal(*shape, std=0.15))
        mean = image.mean((2, 3), keepdim=True)
        image = (image - mean) * torch.exp(self._normal(*shape, std=0.12)) + mean
        grey = image.mean(1, keepdim=True)
        image = grey + (image - grey) * self._uniform(*shape, low=0.5, high=1.25)
        image = (image + 1) * gain - 1
        soft = F.interpolate(F.avg_pool2d(image, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
        blend = torch.where(self._uniform(*shape) < 0.25, self._uniform(*shape), torch.zeros(shape, device=self.device))
        image = image + (soft - image) * blend
        noise = torch.where(self._uniform(*shape) < 0.25, 0.04, 0.0) * self._normal(*image.shape, std=1.0)
        return (image + noise).clamp(-1, 1)
