"""Labelled face pictures for training: read once, cropped and augmented in batches on the training device.

In: a folder with `images-*.zip` (or loose pictures) of `NNNNN.webp` and `labels.npz` (70 keypoints, ears and
shoulders, or our 30 points; face box, source, split). Out: batches of aligned crops with mask and keypoints, cut as
the renderer cuts them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vidanon.errors import InputError
from vidanon.geometry import Array
from vidanon.render.align import CROP_SCALE, face_pose
from vidanon.render.mask import outline_px
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, FloatArray, ImageArray

IBUG: dict[str, tuple[int, ...]] = {
    "right_eye": tuple(range(36, 42)),
    "left_eye": tuple(range(42, 48)),
    "nose": (30,),
    "mouth_right": (48,),
    "mouth_left": (54,),
    "right_pupil": (68,),
    "left_pupil": (69,),
    "right_lid_upper": (37, 38),
    "right_lid_lower": (40, 41),
    "left_lid_upper": (43, 44),
    "left_lid_lower": (46, 47),
    "lip_upper_inner": (62,),
    "lip_lower_inner": (66,),
    "right_brow_outer": (17,),
    "right_brow_inner": (21,),
    "left_brow_inner": (22,),
    "left_brow_outer": (26,),
    **{f"jaw_{i}": (2 * i,) for i in range(9)},
}
"""FACE_POINTS as means of the iBUG-68 mark-up plus two pupils; ears and shoulders come from the `pose` labels."""
POSE = ("right_ear", "left_ear", "right_shoulder", "left_shoulder")
SYNTHETIC = ("t2i", "sfhq")
TIGHT = 0.06
"""Margin of the smallest mask that is trained on, in face sizes ..."""
WIDEST = 0.24
"""... and how much may come on top: `RenderSettings.mask_margin` and the guard band of small faces."""


def _mirror_name(name: str) -> str:
    if name.startswith("jaw_"):
        return f"jaw_{8 - int(name[4:])}"
    swap = {"right": "left", "left": "right"}
    return "_".join(swap.get(part, part) for part in name.split("_"))


MIRROR = [FACE_POINT_INDEX[_mirror_name(name)] for name in FACE_POINTS]
"""Index of each point's counterpart in a mirrored picture."""


@dataclass(frozen=True, slots=True)
class Faces:
    """A labelled set in memory."""

    images: ImageArray
    """[N, S, S, 4] uint8: RGB, and how far each pixel lies outside the tight mask (255 = WIDEST face sizes or more)"""
    points: FloatArray
    """[N, 30, 2] in 0..1 of the picture, NaN where unknown"""
    boxes: FloatArray
    """[N, 4] xyxy in 0..1 of the picture"""
    poses: FloatArray
    """[N, 4] cx, cy, size (0..1 of the picture), roll (radians)"""
    weights: FloatArray
    """[N] sampling weight: both halves, synthetic and portraits, count alike"""

    def __len__(self) -> int:
        return len(self.images)


def face_points(kp: NDArray[np.floating], pose: NDArray[np.floating]) -> FloatArray:
    """[N, 30, 2] px in the order of FACE_POINTS from labels kp [N, 70, 2] and pose [N, 4, 3]."""
    out = np.full((len(kp), len(FACE_POINTS), 2), np.nan, np.float32)
    for name, rows in IBUG.items():
        out[:, FACE_POINT_INDEX[name]] = kp[:, list(rows)].mean(1)
    for row, name in enumerate(POSE):
        visible = pose[:, row, 2] > 0.3
        out[visible, FACE_POINT_INDEX[name]] = pose[visible, row, :2]
    return out


def set_points(labels: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> FloatArray:
    """[N, 30, 2] px of some rows of a set's labels: its `points` where it has them, else from `kp` and `pose`."""
    if "points" in labels:
        return np.asarray(labels["points"][rows], np.float32)
    kp, pose = (labels[name][rows].astype(np.float32) for name in ("kp", "pose"))
    return face_points(kp, pose)


def load_faces(folder: Path, *, px: int, split: str, limit: int | None = None) -> Faces:
    """The faces of one split ("train" or "val"), resized to `px`. Raises InputError if the folder is not such a set."""
    labels_path = folder / "labels.npz"
    if not labels_path.is_file():
        raise InputError(f"no labels.npz in {folder}", hint="name the folder of a face data set")
    with np.load(labels_path, allow_pickle=False) as labels:
        rows = np.flatnonzero(labels["split"] == split)[:limit]
        points, box = set_points(labels, rows), labels["box"][rows].astype(np.float32)
        synthetic = np.isin(labels["source"][rows], SYNTHETIC)
    archives = [zipfile.ZipFile(p) for p in sorted(folder.glob("images-*.zip"))]
    where = {Path(n).name: (a, n) for a in archives for n in a.namelist()}
    images = np.empty((len(rows), px, px, 4), np.uint8)
    side = 0
    for i, row in enumerate(rows):
        name = f"{row:05d}.webp"
        try:
            data = where[name][0].read(where[name][1]) if name in where else (folder / name).read_bytes()
            picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        except OSError as e:
            raise InputError(f"picture {name} of {folder} cannot be read: {e}") from e
        side = picture.shape[0]
        images[i, ..., :3] = picture if side == px else cv2.resize(picture, (px, px), interpolation=cv2.INTER_AREA)
    for archive in archives:
        archive.close()
    poses = np.empty((len(rows), 4), np.float32)
    for i in range(len(rows)):
        p = face_pose(box[i], points[i])
        poses[i] = (p.cx / side, p.cy / side, p.size / side, p.roll)
        images[i, ..., 3] = _mask_distance(outline_px(p, points[i], margin=TIGHT) * px / side, px, p.size * px / side)
    share = np.clip(synthetic.mean(), 0.05, 0.95)
    weights = np.where(synthetic, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
    return Faces(images, points / np.float32(side), box / np.float32(side), poses, weights / weights.sum())


def _mask_distance(outline: Array, px: int, size: float) -> ImageArray:
    """[px, px] distance to a convex outline [N, 2] px, as stored in `Faces.images`."""
    canvas = np.ones((px, px), np.uint8)
    cv2.fillConvexPoly(canvas, np.round((outline - 0.5) * 256).astype(np.int32), 0, shift=8)
    away = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / (size * WIDEST)
    return np.asarray(np.clip(away * 255, 0, 255), np.uint8)


@dataclass(frozen=True, slots=True)
class CropBatch:
    """Aligned crops, ready for the networks."""

    image: Tensor
    """[B, 3, S, S] in [-1, 1], 0 outside the picture"""
    hidden: Tensor
    """[B, 1, S, S], 1 = face area or outside the picture"""
    outside: Tensor
    """[B, 1, S, S], 1 = outside the picture"""
    points: Tensor
    """[B, 30, 2] in 0..1 of the crop, NaN = unknown"""
    rows: Tensor
    """[B] which faces these are: the index, plus the number of faces where mirrored"""

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


class CropSampler:
    """Draws batches of crops. Everything random comes from `generator`, everything heavy runs on `device`."""

    def __init__(self, faces: Faces, *, device: torch.device, seed: int) -> None:
        self.images = torch.from_numpy(faces.images).permute(0, 3, 1, 2).contiguous().to(device)
        self.points = torch.from_numpy(faces.points).to(device)
        self.poses = torch.from_numpy(faces.poses).to(device)
        self.weights = torch.from_numpy(faces.weights).to(device)
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
        image, away = sampled[:, :3], (sampled[:, 3:] + 1) / 2
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
        return CropBatch(image * (1 - outside), hidden, outside, points, index + mirrored * len(self.poses))

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
