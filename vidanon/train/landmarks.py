"""Training the landmarker on labelled faces, with the damage that video does to them.

In: a labelled face set (train/faces.py). Out: a run folder, a checkpoint that resumes, EMA weights with their record.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.errors import UsageError
from vidanon.models.allocator import keep_freed_memory
from vidanon.models.landmarks import Landmarker, LandmarkerConfig
from vidanon.models.weights import read_weights, save_weights
from vidanon.train.batches import CropBatch, CropSampler
from vidanon.train.covering import some_covered
from vidanon.train.faces import Faces, load_faces
from vidanon.train.runs import (
    EMA,
    RunFolder,
    check_budget,
    load_checkpoint,
    pack,
    pack_optimizer,
    unpack,
    unpack_optimizer,
)
from vidanon.train.sets import announce, provenance
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, ON_FACE, OPENINGS

FINE_ROWS = [row for opening in OPENINGS for row in opening]
"""speech and blinks hang on these few pixels, so they weigh more; upper and lower take turns"""
OPENING_WEIGHT = 20.0
"""an opening wrong by a twentieth of the crop costs 1"""
OUR_FACES = {
    "licence": "Apache-2.0",
    "data": "the training split of the generator's faces (see generator), labels of a face-mesh model",
}
"""what the record says where the set has no dataset.json: the weights that ship"""
MOST = 10_000
"""more heads than any set holds out"""
STORED_PX = 192
"""side at which the pictures are kept in memory: a little more than the crops have"""


@dataclass(frozen=True, slots=True)
class LandmarksTraining:
    """Everything that decides a run."""

    data: Path
    """folder of the face set"""
    run: Path
    """run folder, made if missing"""
    images: int = 200_000
    """images shown"""
    minutes: float | None = None
    """stop after so many minutes even if `images` are not reached"""
    batch: int = 32
    """images a step"""
    rate: float = 1.5e-3
    """peak learning rate; falls to nil along a cosine"""
    device: str = "cpu"
    """"cpu" or "cuda\""""
    threads: int = 0
    """CPU threads, 0 = all"""
    seed: int = 0
    """of everything random"""
    resume: Path | None = None
    """a run's checkpoint.safetensors to go on from"""
    weights: Path | None = None
    """published landmarker weights to begin with, where there is no checkpoint"""
    share: float = 1.0
    """how far towards the trained weights the published ones lie from `weights`, where these were given: short of 1
    keeps more of what they knew (Wortsman et al. 2022, https://arxiv.org/abs/2109.01903)"""
    turned_heads: int = 2400
    """so many of the heads are shown again, turned in depth (a set with depth only)"""
    covered_heads: int = 1600
    """so many are shown again with a mask, a cap, glasses, a hand before them"""
    limit: int | None = None
    """use only so many faces (for tests)"""
    publish: Path | None = None
    """folder to write the EMA weights and manifest record to at the end"""


def damage(image: Tensor, random: torch.Generator) -> Tensor:
    """[B, 3, S, S] with low resolution and occluders in some of them: masks, hands, microphones are blobs to a net."""
    b, _, size, _ = image.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(b, 1, 1, 1, generator=random, device=image.device) * (high - low) + low

    for factor, chance in ((2, 0.2), (4, 0.12)):
        coarse = F.interpolate(F.avg_pool2d(image, factor), size=(size, size), mode="bilinear", align_corners=False)
        image = torch.where(uniform(0, 1) < chance, coarse, image)
    axis = (torch.arange(size, device=image.device) + 0.5) / size
    y, x = axis[None, None, :, None], axis[None, None, None, :]
    blob = ((x - uniform(0.1, 0.9)) / uniform(0.05, 0.3)) ** 4 + (
        (y - uniform(0.1, 1.0)) / uniform(0.05, 0.25)
    ) ** 4 < 1
    colour = torch.rand(b, 3, 1, 1, generator=random, device=image.device) * 2 - 1
    return torch.where(blob & (uniform(0, 1) < 0.25), colour, image)


def loss_of(points: Tensor, spread: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """How wrong places and spreads are; all in crop units.

    Laplace negative log-likelihood of the known points, and the error of the openings between lips and lids, which
    two points that are wrong alike would hide.
    """
    known = torch.isfinite(truth).all(-1)
    error = torch.where(known[..., None], points - torch.nan_to_num(truth), 0.0)
    nll = error.abs().sum(-1) / spread + 2 * torch.log(spread)
    upper, lower = FINE_ROWS[::2], FINE_ROWS[1::2]
    opening = (error[:, lower] - error[:, upper]).abs().sum(-1).mean()
    return (nll * known * weight).sum() / (known * weight).sum() + OPENING_WEIGHT * opening


@torch.inference_mode()
def measure(network: Landmarker, sampler: CropSampler, rows: range) -> dict[str, float]:
    """On fixed crops of faces `rows`: mean error of the facial points, correlation of the openings.

    The error is in inter-ocular distances, and in face sizes too: in profile the eyes are close together.
    """
    sampler.generator.manual_seed(11)
    errors, shares, openings = [], [], []
    index = FACE_POINT_INDEX
    for start in range(rows.start, rows.stop, 50):
        some = torch.arange(start, min(start + 50, rows.stop), device=sampler.device)
        crops = sampler.batch(some, network.config.size, scale=network.config.scale, jitter=1.0, photometric=False)
        points, _ = network(crops.image)
        truth = crops.points
        eyes = (truth[:, index["left_eye"]] - truth[:, index["right_eye"]]).norm(dim=-1, keepdim=True)
        off = (points - truth)[:, ON_FACE].norm(dim=-1)
        errors.append((off / eyes).mean(1))
        shares.append((off * network.config.scale).mean(1))
        pair = []
        for p in (points, truth):
            mouth = (p[:, index["lip_lower_inner"]] - p[:, index["lip_upper_inner"]]).norm(dim=-1)
            lids = sum(
                (p[:, index[f"{s}_lid_lower"]] - p[:, index[f"{s}_lid_upper"]]).norm(dim=-1) for s in ("left", "right")
            )
            pair.append(torch.stack([mouth, lids / 2], 1) / eyes)
        openings.append(torch.stack(pair))
    both = torch.cat(openings, 1)
    correlation = [torch.corrcoef(both[:, :, i])[0, 1].item() for i in range(2)]
    return {
        "mean_error_interocular": torch.cat(errors).mean().item(),
        "mean_error_face_sizes": torch.cat(shares).mean().item(),
        "mouth_opening_correlation": correlation[0],
        "eyelid_opening_correlation": correlation[1],
    }


def begin(options: LandmarksTraining) -> Landmarker:
    """A network, fresh or the published one. Raises UsageError for weights of something else."""
    torch.manual_seed(options.seed)
    if options.weights is None:
        return Landmarker(LandmarkerConfig())
    state, shape = read_weights(options.weights)
    try:
        network = Landmarker(LandmarkerConfig.from_dict(shape))
        network.load_state_dict(state)
    except (RuntimeError, TypeError, KeyError) as e:
        raise UsageError(f"{options.weights} holds no landmarker", hint="name a landmarks.safetensors") from e
    return network


def between(first: Landmarker, last: Landmarker, share: float) -> dict[str, Tensor]:
    """A state `share` of the way from one network to another that was trained from it."""
    ends = zip(first.state_dict().items(), last.state_dict().values(), strict=True)
    return {name: a.lerp(b.to(a), share) if a.is_floating_point() else b for (name, a), b in ends}


def taught(options: LandmarksTraining) -> Faces:
    """The faces to learn from: as they are, turned, covered."""
    faces = load_faces(
        options.data,
        px=STORED_PX,
        split="train",
        limit=options.limit,
        turned_heads=options.turned_heads,
        seed=options.seed,
    )
    return some_covered(faces, options.covered_heads, np.random.default_rng(options.seed))


class Examination:
    """The held-out faces: as they are, turned, covered."""

    def __init__(self, options: LandmarksTraining, device: torch.device) -> None:
        held_out = load_faces(options.data, px=STORED_PX, split="val", limit=options.limit, turned_heads=MOST, seed=11)
        straight = int(held_out.people.max()) + 1
        everyone = some_covered(held_out, straight, np.random.default_rng(11), of=straight)
        self._sampler = CropSampler(everyone, device=device, seed=11)
        ends = (0, straight, len(held_out), len(everyone))
        parts = zip(("", "turned_", "covered_"), itertools.pairwise(ends), strict=True)
        self._parts = {name: range(*part) for name, part in parts if part[0] < part[1]}

    def __call__(self, network: Landmarker) -> dict[str, float]:
        """`measure` of each part, its names led by the part's."""
        return {
            f"{part}{name}": round(value, 4)
            for part, rows in self._parts.items()
            for name, value in measure(network, self._sampler, rows).items()
        }


def train(options: LandmarksTraining) -> Path:
    """Runs the training and returns the path of its last checkpoint."""
    check_budget(minutes=options.minutes, steps=options.images)
    announce(options.data)
    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    network = begin(options)
    config = network.config
    network = network.to(device).to(memory_format=torch.channels_last)
    ema = EMA(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=1e-4)
    images = 0
    random = torch.Generator(device).manual_seed(options.seed)
    if options.resume is not None:
        tensors, numbers = load_checkpoint(options.resume)
        network.load_state_dict(unpack("net", tensors))
        ema.network.load_state_dict(unpack("ema", tensors))
        unpack_optimizer("opt", tensors, optimizer)
        random.set_state(tensors["random"])
        images = int(numbers["images"])
    sampler = CropSampler(taught(options), device=device, seed=images)
    examine = Examination(options, device)
    weight = torch.ones(len(FACE_POINTS), device=device)
    weight[FINE_ROWS] = 2.0
    start = last = time.monotonic()

    with RunFolder(options.run, options) as run:

        def checkpoint() -> Path:
            score = examine(ema.network)
            run.log(images=images, **score)
            tensors = {
                **pack("net", network.state_dict()),
                **pack("ema", ema.network.state_dict()),
                **pack_optimizer("opt", optimizer),
                "random": random.get_state(),
            }
            return run.save("checkpoint", tensors, {"images": images})

        try:
            while images < options.images:
                done = images / options.images
                if options.minutes is not None:
                    done = max(done, (time.monotonic() - start) / (options.minutes * 60))
                if done >= 1:
                    break
                for group in optimizer.param_groups:
                    group["lr"] = options.rate * min(1.0, images / 3000 + 0.05) * 0.5 * (1 + math.cos(math.pi * done))
                crops: CropBatch = sampler.batch(
                    sampler.draw(options.batch), config.size, scale=config.scale, jitter=2.2
                )
                points, spread = network(damage(crops.image, random))
                loss = loss_of(points, spread, crops.points, weight)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                images += options.batch
                ema.update(network, decay=min(0.998, images / (images + 20 * options.batch)))
                if time.monotonic() - last > 120:
                    run.log(images=images, loss=round(loss.item(), 4))
                    checkpoint()
                    last = time.monotonic()
        finally:
            path = checkpoint()
        if options.publish is not None:
            _publish(ema.network, options, examine, images)
    return path


def _publish(network: Landmarker, options: LandmarksTraining, examine: Examination, images: int) -> None:
    assert options.publish is not None
    if options.weights is not None and options.share < 1:
        network.load_state_dict(between(begin(options), network, options.share))
    record = {
        **provenance(options.data, otherwise=OUR_FACES),
        "run": {"images": images, "device": options.device, "seed": options.seed, "share": options.share},
        "measured": {f"val_{name}": value for name, value in examine(network).items()},
    }
    save_weights(
        "landmarks",
        network.state_dict(),
        config=network.config.to_dict(),
        record=record,
        folder=options.publish,
        dtype=torch.float16,
    )
