"""Losses of the generator's training, each a few lines with its source."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.models.landmarks import Landmarker
from vidanon.models.layers import down, up
from vidanon.types import FACE_POINT_INDEX

FINEST_FIRST = (2.0, 2.0, 1.5)
"""Weight of each band of the pyramid, beside 1 for what is left of the picture."""
_TELLING = [i for name, i in FACE_POINT_INDEX.items() if "_lid_" in name or "lip_" in name or name.startswith("mouth_")]
_GESTURES = [
    (FACE_POINT_INDEX[one], FACE_POINT_INDEX[other], weight)
    for one, other, weight in (
        ("lip_lower_inner", "lip_upper_inner", 1.0),
        ("mouth_left", "mouth_right", 1.0),
        ("right_lid_lower", "right_lid_upper", 3.0),
        ("left_lid_lower", "left_lid_upper", 3.0),
        ("right_pupil", "right_eye", 1.0),
        ("left_pupil", "left_eye", 1.0),
    )
]
"""Pairs of keypoints whose distance says what a face does, and what it counts: a lid's whole way is a short one."""


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Non-saturating logistic loss (Goodfellow et al. 2014) of logits [B] each."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """The other side of it."""
    return F.softplus(-fake).mean()


def r1(logits: Tensor, image: Tensor) -> Tensor:
    """Squared gradient of the logits by the real image (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406)."""
    (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def low_frequency(painted: Tensor, image: Tensor, hidden: Tensor, *, cells: int = 8) -> Tensor:
    """L1 of cell means over the hidden part: right light and colour, with identity left free."""
    kernel = max(1, image.shape[-1] // cells)
    weight = F.avg_pool2d(hidden, kernel)
    difference = F.avg_pool2d((painted - image) * hidden, kernel).abs()
    return difference.sum() / (weight.sum() * image.shape[1] + 1e-6)


def reconstruction(painted: Tensor, image: Tensor, weight: Tensor) -> Tensor:
    """L1 between Laplacian pyramids by `weight` [B, 1, S, S], the hidden part and where in it much is said with little.

    Where the person's code and detail are given, it teaches how these look in this light. L1 of the pictures themselves
    would answer to nothing but tone as long as that is off, and tone can only be guessed (Lap1 loss, Bojanowski et al.
    2018, https://arxiv.org/abs/1707.05776).
    """
    off, total = (painted - image) * (weight > 0), painted.new_zeros(())
    for share in FINEST_FIRST:
        coarse = down(off)
        band = off - up(coarse)
        total = total + share * (band.abs() * weight).sum() / (weight.sum() * image.shape[1] + 1e-6)
        off, weight = coarse, down(weight)
    return total + (off.abs() * weight).sum() / (weight.sum() * image.shape[1] + 1e-6)


def matching(painted: Mapping[int, Tensor], real: Mapping[int, Tensor]) -> Tensor:
    """L1 between what the discriminator sees in painted and in real pictures of the same people, layer by layer.

    Where a mean of pixels would be soft, a mean of features has edges (pix2pixHD, https://arxiv.org/abs/1711.11585).
    """
    return torch.stack([(painted[s] - real[s]).abs().mean() for s in painted]).mean()


def telling(points: Tensor, size: int, *, weight: float = 3.0, sigma: float = 0.03) -> Tensor:
    """[B, 1, S, S]: 1, and up to 1 + `weight` around lids and lips, a small part of a face that says what it does.

    `points` [B, 30, 2] in 0..1 of the crop, NaN = unknown; `sigma` in crops.
    """
    at = torch.nan_to_num(points[:, _TELLING], nan=-9.0)
    centres = (torch.arange(size, device=points.device, dtype=points.dtype) + 0.5) / size
    bump = torch.exp(-0.5 * ((at[..., None] - centres) / sigma) ** 2)  # B, P, 2, S
    return 1 + weight * (bump[:, :, 1, :, None] * bump[:, :, 0, None, :]).amax(1, keepdim=True)


def seam(painted: Tensor, image: Tensor, hidden: Tensor, outside: Tensor) -> Tensor:
    """L1 over the visible ring next to the mask: what is painted must continue what is there."""
    size = image.shape[-1]
    reach = max(1, size // 16)
    ring = F.max_pool2d(hidden, 2 * reach + 1, 1, reach) * (1 - hidden) * (1 - outside)
    return ((painted - image).abs() * ring).sum() / (ring.sum() * image.shape[1] + 1e-6)


def likeness(painted: Tensor, person: Tensor, face: Tensor) -> Tensor:
    """One minus the correlation of the painted details with the features asked for, over the hidden part.

    `painted` [B, 3, S, S]; `person` [B, 4, S, S] of the appearance model; `face` [B, 1, S, S]. Blind to tone, shading
    and contrast, which the surroundings decide: it only says who is to be painted.
    """
    kernel = max(3, painted.shape[-1] // 6 | 1)
    weight = person[:, 3:] * face

    def detail(image: Tensor) -> Tensor:
        for _ in range(2):  # twice: a box would ring
            blurred = F.avg_pool2d(image * weight, kernel, 1, kernel // 2)
            image = image - blurred / F.avg_pool2d(weight, kernel, 1, kernel // 2).clamp(min=1e-3)
        return image * weight

    one, two = detail(painted), detail(person[:, :3])
    power = one.square().sum((1, 2, 3)) * two.square().sum((1, 2, 3))
    return 1 - ((one * two).sum((1, 2, 3)) * torch.rsqrt(power + 1e-6)).mean()


def equivariance(painted: Tensor, nudged: Tensor, grid: Tensor, face: Tensor) -> Tensor:
    """L1 between a face and the face painted into the same crop cut a little differently, brought into line.

    `painted` and `nudged` [B, 3, S, S]; `grid` [B, S, S, 2] says where the nudged crop's pixels lie in the other;
    `face` [B, 1, S, S] is the hidden part of the nudged crop. What a face does when its crop moves by a hair is what it
    does from frame to frame.
    """
    moved = F.grid_sample(painted, grid.to(painted.dtype), padding_mode="border", align_corners=False)
    seen = face * (grid.abs() < 1).all(-1)[:, None]
    return ((moved - nudged).abs() * seen).sum() / (seen.sum() * painted.shape[1] + 1e-6)


def gestures(points: Tensor) -> Tensor:
    """[B, 12] of keypoints [B, 30, 2]: how far lips and lids are open, how wide the mouth is, where the eyes look.

    In units of `points`, times what each counts; NaN where one of two is unknown.
    """
    return torch.cat([(points[:, one] - points[:, other]) * weight for one, other, weight in _GESTURES], 1)


def expression(
    shown: Tensor, asked: Tensor, landmarker: Landmarker, generator: torch.Generator, *, scale: float
) -> Tensor:
    """L1, in crops, between the gestures of painted faces and those asked for.

    `shown` [B, 3, S, S] crops with their faces; `asked` [B, 30, 2] in 0..1 of the crop, NaN = unknown. A landmarker
    that is not trained along looks at the middle of each crop, 1 / `scale` of its side, cut a little differently every
    time.
    """
    b, size = len(shown), landmarker.config.size
    draw = torch.rand(3, b, generator=generator, device=shown.device) * 2 - 1
    zoom = (1 + 0.08 * draw[0]) / scale
    matrix = torch.zeros(b, 2, 3, device=shown.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom
    matrix[:, :, 2] = 0.04 * draw[1:].T
    grid = F.affine_grid(matrix, [b, 3, size, size], align_corners=False)
    points, _ = landmarker(F.grid_sample(shown, grid, padding_mode="border", align_corners=False))
    wanted = gestures(asked)
    known = torch.isfinite(wanted)
    off = (gestures(points * zoom[:, None, None]) - torch.nan_to_num(wanted)).abs() * known
    return off.sum() / known.sum().clamp(min=1)


def augment(image: Tensor, *, strength: float, generator: torch.Generator) -> Tensor:
    """Differentiable brightness, contrast, saturation and cut-out for what the discriminator sees.

    DiffAugment (Zhao et al. 2020, https://arxiv.org/abs/2006.10738), each applied with probability `strength`.
    """
    if strength <= 0:
        return image
    b, _, h, w = image.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(b, 1, 1, 1, generator=generator, device=image.device) * (high - low) + low

    def chosen() -> Tensor:
        return (uniform(0, 1) < strength).to(image.dtype)

    image = image + chosen() * uniform(-0.3, 0.3)
    mean = image.mean((1, 2, 3), keepdim=True)
    image = mean + (image - mean) * (1 + chosen() * uniform(-0.3, 0.3))
    grey = image.mean(1, keepdim=True)
    image = grey + (image - grey) * (1 + chosen() * uniform(-0.6, 0.6))
    y = torch.arange(h, device=image.device)[None, None, :, None]
    x = torch.arange(w, device=image.device)[None, None, None, :]
    cut = ((y - uniform(0, h)).abs() < h / 6) & ((x - uniform(0, w)).abs() < w / 6)
    return image * (1 - cut.to(image.dtype) * chosen())
