"""Training the generator: progressive growing, non-saturating GAN with lazy R1, EMA.

In: a labelled face set (train/faces.py). Out: a run folder with stats, fixed-seed grids, a checkpoint that resumes,
and EMA weights with their manifest record. The phases are data: one line per resolution.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vidanon.models.discriminator import Discriminator
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.weights import read_weights, save_weights
from vidanon.train import losses
from vidanon.train.faces import CropBatch, CropSampler, Faces, load_faces
from vidanon.train.grids import save_grid
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
from vidanon.types import FACE_POINT_INDEX


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of the progressive growing."""

    size: int
    """px of the crops"""
    share: float
    """part of the run's images"""
    fade: float
    """part of this phase over which the new level fades in"""


PHASES = (Phase(16, 0.15, 0.0), Phase(32, 0.35, 0.2), Phase(64, 0.5, 0.15))
"""The CPU recipe, up to 64 px; other resolutions get theirs from `phases_for`."""


def phases_for(resolution: int) -> tuple[Phase, ...]:
    """Phases up to a resolution: the finest gets half of the images, each coarser one half of the rest."""
    if resolution == 64:
        return PHASES
    sizes = [s for s in (16, 32, 64, 128, 256) if s <= resolution] or [resolution]
    shares = [0.5 ** (len(sizes) - i) for i in range(len(sizes))]
    total = sum(shares)
    return tuple(
        Phase(size, share / total, 0.0 if i == 0 else 0.2)
        for i, (size, share) in enumerate(zip(sizes, shares, strict=True))
    )


@dataclass(frozen=True, slots=True)
class GeneratorTraining:
    """Everything that decides a run."""

    data: Path
    """folder of the face set"""
    run: Path
    """run folder, made if missing"""
    images: int = 90_000
    """real images shown, over all phases (by it the phases are laid out)"""
    minutes: float | None = None
    """stop after so many minutes even if `images` are not reached (the checkpoint resumes)"""
    resolution: int = 64
    """px of the finest level"""
    width: int = 1536
    """see GeneratorConfig.width"""
    max_channels: int = 192
    """see GeneratorConfig.max_channels"""
    batch: int = 8
    """images a step"""
    rate: float = 0.004
    """Adam's peak learning rate; it falls to a tenth over the last third (0.002 suits runs of millions of images)"""
    d_rate: float = 0.003
    """the discriminator's"""
    gamma: float = 0.5
    """weight of R1"""
    r1_every: int = 8
    """steps between two R1 terms"""
    colour: float = 20.0
    """weight of the low-frequency term"""
    reconstruction: float = 30.0
    """weight of the L1 term: 0 for a long run on a GPU, where it only costs variety"""
    seam: float = 10.0
    """weight of the seam term"""
    diversity: float = 10.0
    """weight of the two-latents term"""
    diversity_limit: float = 0.05
    """distance of two latents' faces beyond which the term is content"""
    augment: float = 0.2
    """probability of each discriminator augmentation"""
    ema_images: int = 2_500
    """half-life of the averaged weights, in images"""
    device: str = "cpu"
    """"cpu" or "cuda\""""
    threads: int = 0
    """CPU threads, 0 = all"""
    seed: int = 0
    """of everything random"""
    resume: Path | None = None
    """a run's checkpoint.safetensors to go on from"""
    weights: Path | None = None
    """published generator weights to begin with, where there is no checkpoint (the discriminator begins anew)"""
    limit: int | None = None
    """use only so many faces (for tests)"""
    publish: Path | None = None
    """folder to write the EMA weights and manifest record to at the end"""


class Trainer:
    """The networks, optimizers and counters of one run; `train` below drives it."""

    def __init__(self, options: GeneratorTraining) -> None:
        self.options = options
        self.device = torch.device(options.device)
        torch.manual_seed(options.seed)
        self.config = GeneratorConfig(
            resolution=options.resolution, width=options.width, max_channels=options.max_channels
        )
        self.g = Generator(self.config).to(self.device).to(memory_format=torch.channels_last)
        self.d = Discriminator(self.config).to(self.device).to(memory_format=torch.channels_last)
        if options.weights is not None:
            self.g.load_state_dict(read_weights(options.weights)[0])
        self.ema = EMA(self.g)
        lazy = options.r1_every / (options.r1_every + 1)
        self.g_opt = torch.optim.Adam(self.g.parameters(), lr=options.rate, betas=(0.5, 0.99))
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=options.d_rate, betas=(0.0, 0.99**lazy))
        self.images = 0
        self.steps = 0
        self.random = torch.Generator().manual_seed(options.seed)
        self.names = torch.tensor([FACE_POINT_INDEX[n] for n in self.config.point_names], device=self.device)
        self.phases = phases_for(options.resolution)

    def now(self) -> tuple[int, float]:
        """(size, fade) at the present number of images."""
        done = self.images / self.options.images
        for phase in self.phases:
            if done < phase.share or phase is self.phases[-1]:
                within = done / phase.share
                return phase.size, min(1.0, within / phase.fade) if phase.fade else 1.0
            done -= phase.share
        raise AssertionError("phases are never empty")

    def points(self, crops: CropBatch) -> Tensor:
        """[B, P, 2] the conditioning points, a little off, some of them withheld, as detection has it."""
        points = crops.points[:, self.names]
        b, p, _ = points.shape
        noise = torch.randn(b, p, 2, generator=self.random) * 0.006
        drop = torch.rand(b, p, generator=self.random) < 0.03
        drop |= (torch.rand(b, 1, generator=self.random) < 0.1) & (torch.arange(p) >= 7)  # expression unknown
        drop |= (torch.rand(b, 1, generator=self.random) < 0.5) & torch.isin(torch.arange(p), torch.tensor([5, 6]))
        drop |= torch.rand(b, 1, generator=self.random) < 0.03  # nothing known at all
        return torch.where(drop[..., None].to(self.device), torch.nan, points + noise.to(self.device))

    def latent(self, batch: int) -> Tensor:
        """[B, L] standard normal"""
        return torch.randn(batch, self.config.latent_dim, generator=self.random).to(self.device)

    def step(self, sampler: CropSampler) -> dict[str, float]:
        """One step of both networks; the terms' values."""
        o = self.options
        size, fade = self.now()
        calm = min(1.0, 0.1 + 2.7 * max(0.0, 1 - self.images / o.images))
        self.g_opt.param_groups[0]["lr"] = o.rate * calm
        self.d_opt.param_groups[0]["lr"] = o.d_rate * calm
        stats: dict[str, float] = {}

        # the generator paints the first half of the crops twice, under two latents
        crops = sampler.batch(sampler.draw(o.batch), size)
        points = self.points(crops)
        half = o.batch // 2
        twice = CropBatch(
            *(torch.cat([t[:half]] * 2) for t in (crops.image, crops.hidden, crops.outside, crops.points))
        )
        twice_points = torch.cat([points[:half]] * 2)
        painted = self.g(twice.context, twice.hidden, twice_points, self.latent(2 * half), fade)
        shown = twice.composite(painted)

        fake = losses.augment(shown.detach(), strength=o.augment, generator=self.random)
        real = losses.augment(crops.image, strength=o.augment, generator=self.random)
        penalize = self.steps % o.r1_every == 0
        if penalize:
            real = real.detach().requires_grad_()
        self.d.requires_grad_(requires_grad=True)
        real_logits = self.d(real, crops.hidden, points, fade)
        fake_logits = self.d(fake, twice.hidden, twice_points, fade)
        loss = losses.discriminator_loss(real_logits, fake_logits)
        stats |= {"d": loss.item(), "real": real_logits.mean().item(), "fake": fake_logits.mean().item()}
        if penalize:
            penalty = losses.r1(real_logits, real)
            stats["r1"] = penalty.item()
            loss = loss + 0.5 * o.gamma * o.r1_every * penalty
        self.d_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.d_opt.step()

        self.d.requires_grad_(requires_grad=False)
        fake = losses.augment(shown, strength=o.augment, generator=self.random)
        adversarial = losses.generator_loss(self.d(fake, twice.hidden, twice_points, fade))
        face = twice.hidden - twice.outside
        terms = {
            "g": adversarial,
            "colour": o.colour * losses.low_frequency(painted, twice.image, face),
            "reconstruction": o.reconstruction * losses.reconstruction(painted, twice.image, face),
            "seam": o.seam * losses.seam(painted, twice.image, twice.hidden, twice.outside),
            "diversity": o.diversity * losses.diversity(painted, face, limit=o.diversity_limit),
        }
        stats |= {name: term.item() for name, term in terms.items()}
        total = torch.stack(list(terms.values())).sum()
        self.g_opt.zero_grad(set_to_none=True)
        total.backward()
        self.g_opt.step()

        self.images += o.batch
        self.steps += 1
        half_life = min(o.ema_images, self.images / 10 + o.batch)
        self.ema.update(self.g, decay=0.5 ** (o.batch / half_life))
        if not math.isfinite(stats["d"] + stats["g"]):
            raise FloatingPointError(f"training diverged at {self.images} images: {stats}")
        return stats

    def state(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint."""
        return {
            **pack("g", self.g.state_dict()),
            **pack("d", self.d.state_dict()),
            **pack("ema", self.ema.network.state_dict()),
            **pack_optimizer("g_opt", self.g_opt),
            **pack_optimizer("d_opt", self.d_opt),
            "random": self.random.get_state(),
        }

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint. Raises InputError if there is none."""
        tensors, numbers = load_checkpoint(path)
        self.g.load_state_dict(unpack("g", tensors))
        self.d.load_state_dict(unpack("d", tensors))
        self.ema.network.load_state_dict(unpack("ema", tensors))
        unpack_optimizer("g_opt", tensors, self.g_opt)
        unpack_optimizer("d_opt", tensors, self.d_opt)
        self.random.set_state(tensors["random"])
        self.images, self.steps = int(numbers["images"]), int(numbers["steps"])


def sample_rows(trainer: Trainer, faces: Faces, *, size: int, columns: int = 8) -> Iterator[Tensor]:
    """Rows [columns, 3, S, S] of a fixed-seed grid: source, what the net sees, then three latents."""
    sampler = CropSampler(faces, device=trainer.device, seed=1)
    index = torch.arange(columns, device=trainer.device) % len(faces)
    crops = sampler.batch(index, size, jitter=0.0, photometric=False)
    points = crops.points[:, trainer.names]
    yield crops.image
    yield crops.context
    fixed = torch.Generator().manual_seed(7)
    for _ in range(3):
        latent = torch.randn(1, trainer.config.latent_dim, generator=fixed).expand(columns, -1).to(trainer.device)
        with torch.inference_mode():
            yield crops.composite(trainer.ema.network(crops.context, crops.hidden, points, latent))


def train(options: GeneratorTraining) -> Path:
    """Runs the training and returns the path of its last checkpoint. Ctrl-C leaves a checkpoint."""
    check_budget(minutes=options.minutes, steps=options.images)
    if options.threads:
        torch.set_num_threads(options.threads)
    trainer = Trainer(options)
    if options.resume is not None:
        trainer.load(options.resume)
    store = min(256, 2 * options.resolution)
    faces = load_faces(options.data, px=store, split="train", limit=options.limit)
    held_out = load_faces(options.data, px=store, split="val", limit=16)
    sampler = CropSampler(faces, device=trainer.device, seed=options.seed + trainer.images)
    start = last_log = last_save = time.monotonic()
    sums: dict[str, list[float]] = {}

    with RunFolder(options.run, options) as run:

        def checkpoint() -> Path:
            size, _ = trainer.now()
            save_grid(sample_rows(trainer, held_out, size=size), run.path / f"grid-{trainer.images:07d}.png")
            return run.save("checkpoint", trainer.state(), {"images": trainer.images, "steps": trainer.steps})

        first = trainer.images
        try:
            while trainer.images < options.images:
                for name, value in trainer.step(sampler).items():
                    sums.setdefault(name, []).append(value)
                now = time.monotonic()
                if now - last_log > 30:
                    means = {name: round(sum(v) / len(v), 4) for name, v in sums.items()}
                    size, fade = trainer.now()
                    pace = round((trainer.images - first) / (now - start), 1)
                    run.log(images=trainer.images, size=size, fade=round(fade, 2), pace=pace, **means)
                    sums.clear()
                    last_log = now
                if now - last_save > 300:
                    checkpoint()
                    last_save = now
                if options.minutes is not None and now - start > options.minutes * 60:
                    break
        finally:
            path = checkpoint()
        if options.publish is not None:
            publish(trainer, folder=options.publish, seconds=time.monotonic() - start)
    return path


def publish(trainer: Trainer, *, folder: Path, seconds: float) -> Path:
    """Writes the EMA weights as the shipped generator, with an account of the run."""
    size, _ = trainer.now()
    record = {
        "licence": "Apache-2.0",
        "data": "4,050 training faces: SFHQ-T2I and SFHQ (MIT), US Congress portraits (public domain), "
        "UK Parliament portraits (CC BY 3.0, credit: UK Parliament)",
        "run": {
            "images": trainer.images,
            "last_size_px": size,
            "batch": trainer.options.batch,
            "device": trainer.options.device,
            "seed": trainer.options.seed,
            "hours_of_this_sitting": round(seconds / 3600, 2),
        },
    }
    return save_weights(
        "generator",
        trainer.ema.network.state_dict(),
        config=trainer.config.to_dict(),
        record=record,
        folder=folder,
        dtype=torch.float16,
    )
