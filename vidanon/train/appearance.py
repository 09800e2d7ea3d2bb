"""Fitting the appearance model (models/appearance.py) to a labelled face set.

In: a sampler over the faces. Out: the model, and every face's own code in it, mirrored faces included. The
generator learns to paint faces from codes that stand for a training person, and paints people from codes nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.models.appearance import HIGH, KNOTS, LOW, RAREST, Appearance, ellipse, features, scaled
from vidanon.models.layout import CANONICAL, controls, grid, settled, warp_field
from vidanon.train.batches import CropSampler

SHADING = 0.13
"""Standard deviation, in textures, of the blur that takes tone and shading off: they are the surroundings' to say."""
RIDGE = 20.0
"""of the regression on pose and expression"""
LOPSIDED = 0.25
"""How lively axes are that change the halves of a face against each other: hardly anybody is, but light often falls
from one side, and that is not the person's."""
LEAST = 0.2
"""Least weight that is divided by: at the rim of the cover nothing is known well."""
SLIT = (0.5, 0.637, 0.1, 0.016)
"""Between the lips: middle and radii of an ellipse, in 0..1 of the canonical crop. What was there says what somebody
did, not who it is: teeth of one mouth, the line where another is shut."""
CHUNK = 50
_FACIAL = 30
"""the first controls are facial points and hairline, the rest the crop's border"""


def cover_of(px: int) -> tuple[Tensor, Tensor]:
    """(soft cover, hard core) [px, px] of the canonical face in its texture."""
    hull = (controls(CANONICAL[None])[0, :_FACIAL].numpy() - LOW) / (HIGH - LOW) * px
    hard = np.zeros((px, px), np.uint8)
    cv2.fillConvexPoly(hard, np.round(cv2.convexHull(hull.astype(np.float32))).astype(np.int32), 1)
    reach = max(1, px // 24)
    core = cv2.erode(hard, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8), borderValue=0)
    soft = cv2.GaussianBlur(core.astype(np.float32), (0, 0), px / 40) * hard
    return torch.from_numpy(np.asarray(soft, np.float32)), torch.from_numpy(core.astype(np.float32))


def shape_free(image: Tensor, points: Tensor, px: int) -> Tensor:
    """Crops [B, 3, S, S] warped until their settled keypoints [B, 30, 2] are canonical: textures [B, 3, px, px]."""
    goals = controls(points)
    pins = controls(CANONICAL[None].to(points)).expand_as(goals)
    field = warp_field(pins, goals, grid(px, low=LOW, high=HIGH, like=points)).unflatten(1, (px, px))
    return F.grid_sample(image, field * 2 - 1, padding_mode="border", align_corners=False)


def unlit(texture: Tensor, core: Tensor) -> Tensor:
    """Textures [B, 3, T, T] without tone and shading, in units of their contrast within `core` [T, T]."""
    px = texture.shape[-1]
    sigma = SHADING * px
    reach = int(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square()).to(texture)

    def blur(x: Tensor) -> Tensor:
        c = x.shape[1]
        x = F.conv2d(x, taps.expand(c, 1, 1, -1), padding=(0, reach), groups=c)
        return F.conv2d(x, taps[:, None].expand(c, 1, -1, 1), padding=(reach, 0), groups=c)

    weight = core.expand(len(texture), 1, px, px) + 1e-3
    detail = texture - blur(texture * weight) / blur(weight)
    share = core.sum() * 3
    middle = (texture * core).sum((2, 3), keepdim=True) / core.sum()
    contrast = (((texture - middle) * core).square().sum((1, 2, 3), keepdim=True) / share).sqrt()
    return detail / contrast.clamp(min=0.05)


@dataclass(frozen=True, slots=True)
class Gathered:
    """A face set as the model sees it; the N faces as they are, then mirrored."""

    data: Tensor
    """[2 N, 3 T T] float32: unlit textures, weighed by the root of the cover"""
    facts: Tensor
    """[2 N, 14] pose and expression"""


def gather(sampler: CropSampler, *, px: int, rows: Tensor | None = None) -> Gathered:
    """Every face of the set as an unlit texture of `px`; a matter of minutes for thousands.

    With `rows` [N] only these, as they are.
    """
    cover, core = (t.to(sampler.device) for t in cover_of(px))
    wanted = torch.arange(sampler.count) if rows is None else rows
    data, facts = [], []
    for flip in (False, True) if rows is None else (False,):
        for start in range(0, len(wanted), CHUNK):
            index = wanted[start : start + CHUNK].to(sampler.device)
            crops = sampler.batch(index, 2 * px, jitter=0.0, photometric=False, flip=flip)
            points = settled(crops.points)
            textures = unlit(shape_free(crops.image, points, px), core) * cover.sqrt()
            data.append(textures.flatten(1).cpu())
            facts.append(features(points).cpu())
    return Gathered(torch.cat(data), torch.cat(facts))


def fit(gathered: Gathered, *, latent_dim: int, px: int, seed: int = 0) -> Appearance:
    """The model of a gathered face set."""
    facts = gathered.facts
    cover, _ = cover_of(px)
    usual = torch.stack([facts.mean(0), facts.std(0).clamp(min=1e-4)])
    mood = ((facts - usual[0]) / usual[1]).clamp(-3, 3)
    mean = gathered.data.mean(0)
    data = gathered.data - mean
    moods = torch.linalg.solve(mood.T @ mood + RIDGE * torch.eye(mood.shape[1]), mood.T @ data)
    data -= mood @ moods
    rank = min(latent_dim, *data.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, spread, axes = torch.svd_lowrank(data, q=min(rank + 40, *data.shape), niter=3)
    spread, axes = spread[:rank] / len(data) ** 0.5, axes[:, :rank].T
    undo = (1 / cover.sqrt().clamp(min=LEAST)).expand(3, px, px).flatten()
    model = Appearance(latent_dim, px)
    model.mean.copy_((mean * undo).unflatten(0, (3, px, px)))
    model.axes[:rank] = axes * spread[:, None] * undo
    model.moods.copy_(moods * undo)
    model.usual.copy_(usual)
    model.cover.copy_(cover[None])
    # Mirrored faces are half of the data, so an axis is its own mirror image or its negative.
    image = axes.unflatten(1, (3, px, px))
    even = ((image * image.flip(-1)).sum((1, 2, 3)) > 0).nonzero()[:, 0]
    known = (data @ axes.T) / spread
    model.traits.mul_(LOPSIDED)
    mix = independent(known[:, even])
    traits = known[:, even] @ torch.linalg.pinv(mix)
    at = torch.linspace(RAREST, 1 - RAREST, KNOTS)
    model.traits[even] = torch.quantile(traits, at, dim=0).T
    model.mix[even[:, None], even] = mix
    return model


def independent(known: Tensor, *, steps: int = 200) -> Tensor:
    """[E, E] mixing matrix of the independent components of codes [N, E], each of variance 1: codes = traits @ mix.

    Symmetric FastICA with tanh (Hyvärinen 1999, https://doi.org/10.1109/72.761722), from the axes themselves.
    """
    spread, turn = torch.linalg.eigh(known.T @ known / len(known))
    spread = spread.clamp(min=1e-6)
    white = known @ (turn * spread.rsqrt()) @ turn.T
    unmix = torch.eye(known.shape[1])
    for _ in range(steps):
        bent = torch.tanh(white @ unmix.T)
        step = bent.T @ white / len(white) - (1 - bent.square()).mean(0)[:, None] * unmix
        left, _, right = torch.linalg.svd(step)
        before, unmix = unmix, left @ right
        if ((before * unmix).sum(1).abs() > 1 - 1e-4).all():
            break
    mixing: Tensor = unmix @ (turn * spread.sqrt()) @ turn.T
    return mixing


def codes(model: Appearance, gathered: Gathered) -> Tensor:
    """[2 N, K] codes of the faces gathered: projections, standard deviation 1."""
    weigh = model.cover[0].sqrt().clamp(min=LEAST).expand(3, model.px, model.px).flatten()
    mood = ((gathered.facts - model.usual[0]) / model.usual[1]).clamp(-3, 3)
    axes = model.axes * weigh
    power = axes.square().sum(1).clamp(min=1e-12)
    known = (model.mean.flatten() * weigh) @ axes.T + mood @ ((model.moods * weigh) @ axes.T)
    return (gathered.data @ axes.T - known) / power


def details(model: Appearance, gathered: Gathered, known: Tensor) -> Tensor:
    """[N, 3, D, D] float16: of N faces gathered at D px what neither codes `known` [N, K] nor mood tell.

    Nothing between the lips: a mouth that opens there shows what pose and expression make of it.
    """
    px = round((gathered.data.shape[1] / 3) ** 0.5)
    cover, _ = cover_of(px)
    weigh = cover.sqrt() / cover.sqrt().clamp(min=LEAST)
    outside = 1 - ellipse(SLIT, px, like=cover)
    found = []
    for start in range(0, len(known), CHUNK):
        rows = slice(start, start + CHUNK)
        seen = gathered.data[rows].unflatten(1, (3, px, px)) / cover.sqrt().clamp(min=LEAST)
        told = scaled(model.texture(known[rows], gathered.facts[rows]), px) * weigh
        found.append(((seen - told) * outside).half())
    return torch.cat(found)
