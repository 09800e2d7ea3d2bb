"""The detector's loss: who is responsible for which face, and how wrong they are.

In: raw cells [B, A, 15 or 20] of `models.detector.DetectorNet`, the cells' places [A, 3] and padded labels. Out: scalar
losses. Assignment is SimOTA (YOLOX, https://arxiv.org/abs/2107.08430) with a mild prior on the stride, batched over
pictures; the score is trained varifocally (https://arxiv.org/abs/2008.13367) towards the root of the overlap
reached, boxes with EIoU (https://arxiv.org/abs/2101.08158), keypoints with smooth L1 in parts of the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.models.detector import FACE_CELLS, decode
from vidanon.train.labelled import Labelled

FAR = 1e5
"""Cost that keeps a cell from ever being chosen."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Labels of a batch, padded to the most faces any picture has."""

    boxes: Tensor
    """[B, M, 4] xyxy px"""
    points: Tensor
    """[B, M, 5, 2] px, NaN where unknown"""
    visible: Tensor
    """[B, M, 5] 1 = seen, 0 = covered or turned away, NaN = unknown"""
    real: Tensor
    """[B, M] bool: a face to be found"""
    ignore: Tensor
    """[B, M] bool: a region to look away from"""


def collate(scenes: Sequence[Labelled]) -> tuple[Tensor, Targets]:
    """Scenes of one size -> pictures [B, 3, S, S] in [-1, 1], channels last, and their targets."""
    most = max(1, *(len(s.boxes) for s in scenes))
    boxes, points = torch.zeros(len(scenes), most, 4), torch.full((len(scenes), most, 5, 2), torch.nan)
    visible = torch.full((len(scenes), most, 5), torch.nan)
    real, ignore = (torch.zeros(len(scenes), most, dtype=torch.bool) for _ in range(2))
    for i, scene in enumerate(scenes):
        n = len(scene.boxes)
        boxes[i, :n], points[i, :n] = torch.from_numpy(scene.boxes), torch.from_numpy(scene.points)
        visible[i, :n] = torch.from_numpy(scene.visible)
        ignore[i, :n] = torch.from_numpy(scene.ignore)
        real[i, :n] = ~ignore[i, :n]
    pictures = torch.from_numpy(np.stack([s.image for s in scenes])).permute(0, 3, 1, 2)
    pictures = pictures.to(torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)
    return pictures, Targets(boxes, points, visible, real, ignore)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes [..., 4] and [..., 4], broadcast."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    return inter / ((a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter).clamp(min=1e-6)


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, where: Tensor, targets: Targets) -> Tensor:
    """SimOTA: index of the face each cell answers for [B, A], -1 for none, -2 for "not your business".

    `scores` [B, A] logits, `boxes` [B, A, 4] as predicted now. Works on the list of the batch's G faces rather than
    on the padded table, which is mostly padding.
    """
    pictures, cells = scores.shape
    centre, stride = where[:, :2], where[:, 2]
    picture, face = targets.real.nonzero(as_tuple=True)
    gt = targets.boxes[picture, face][:, None]  # [G, 1, 4]
    middle, size = (gt[..., :2] + gt[..., 2:]) / 2, (gt[..., 2:] - gt[..., :2]).amax(-1)
    near = ((centre - middle).abs() < 1.5 * stride[:, None]).all(-1)  # [G, A]
    inside = ((centre > gt[..., :2]) & (centre < gt[..., 2:])).all(-1)
    iou = overlap(boxes[picture], gt)
    octaves = (size.clamp(min=1) / (FACE_CELLS * stride)).log2().abs()
    cost = -F.logsigmoid(scores)[picture] - 3 * (iou + 1e-4).log() + 3 * (octaves - 1).clamp(min=0)
    cost = cost + torch.where(near & inside, 0.0, 3.0)
    cost = cost.masked_fill(~(near | inside), FAR)
    wanted = iou.masked_fill(cost >= FAR, 0).topk(10, dim=-1).values.sum(-1).int().clamp(min=1)  # [G]
    cheapest, cell = cost.topk(10, dim=-1, largest=False)
    taken = (torch.arange(10, device=cost.device) < wanted[:, None]) & (cheapest < FAR)
    # A cell that several faces want answers for the cheapest of them.
    key = (picture[:, None] * cells + cell)[taken]
    price, owner = cheapest[taken], face[:, None].expand_as(cell)[taken]
    best = torch.full((pictures * cells,), FAR, device=cost.device).scatter_reduce(0, key, price, "amin")
    wins = price <= best[key]
    answer = torch.full((pictures * cells,), -1, dtype=torch.long, device=cost.device)
    answer[key[wins]] = owner[wins]
    answer = answer.view(pictures, cells)
    # A cell that looks at an ignored face is neither right nor wrong.
    picture, face = targets.ignore.nonzero(as_tuple=True)
    gt, half = targets.boxes[picture, face][:, None], stride[:, None] / 2
    looks = ((centre > gt[..., :2] - half) & (centre < gt[..., 2:] + half)).all(-1)
    shy = torch.zeros(scores.shape, device=cost.device).index_add_(0, picture, looks.float()) > 0
    return answer.masked_fill((answer < 0) & shy, -2)


def eiou_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - EIoU [N] of boxes [N, 4]: overlap, distance of the centres, difference of the sides."""
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=1e-6)
    shift = ((a[:, :2] + a[:, 2:]) - (b[:, :2] + b[:, 2:])) / 2
    sides = (a[:, 2:] - a[:, :2]) - (b[:, 2:] - b[:, :2])
    diagonal = hull.square().sum(-1)
    return 1 - overlap(a, b) + shift.square().sum(-1) / diagonal + (sides / hull).square().sum(-1)


def detector_loss(raw: Tensor, where: Tensor, targets: Targets) -> dict[str, Tensor]:
    """Scalar losses "score", "box", "points", "visible", their weighted sum "total"; "faces", "iou" for the record."""
    scores, boxes, points = decode(raw, where)
    answer = assign(scores.detach(), boxes.detach(), where, targets)
    picture, cell = (answer >= 0).nonzero(as_tuple=True)
    face = answer[picture, cell]
    gt = targets.boxes[picture, face]
    mine = boxes[picture, cell]
    iou = overlap(mine.detach(), gt)
    count = max(len(cell), 1)

    aim = torch.zeros_like(scores)
    aim[picture, cell] = iou.sqrt()
    weight = 0.75 * scores.detach().sigmoid().square()
    weight[picture, cell] = 1.0
    weight = weight.masked_fill(answer == -2, 0.0)
    score = F.binary_cross_entropy_with_logits(scores, aim, weight, reduction="sum") / count

    box = eiou_loss(mine, gt).sum() / count
    marks = targets.points[picture, face]
    known = marks.isfinite().all(-1)
    side = (gt[:, 2:] - gt[:, :2]).amax(-1)[:, None, None].clamp(min=1)
    off = (points[picture, cell] - marks.nan_to_num()) / side
    miss = F.smooth_l1_loss(off, torch.zeros_like(off), beta=0.05, reduction="none").sum(-1)
    mark = (miss * known).sum() / known.sum().clamp(min=1)
    sight = raw.new_zeros(())
    if raw.shape[-1] > 15:
        seen = targets.visible[picture, face]
        told = seen.isfinite()
        unlike = F.binary_cross_entropy_with_logits(raw[picture, cell, 15:], seen.nan_to_num(), reduction="none")
        sight = (unlike * told).sum() / told.sum().clamp(min=1)
    return {
        "total": score + 2.5 * box + 5 * mark + 0.3 * sight,
        "score": score.detach(),
        "box": box.detach(),
        "points": mark.detach(),
        "visible": sight.detach(),
        "faces": torch.tensor(float(len(cell))),
        "iou": iou.mean() if len(cell) else torch.tensor(0.0),
    }
