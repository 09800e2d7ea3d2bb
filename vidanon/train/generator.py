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

from vidanon.models.allocator import keep_freed_memory
from vidanon.models.discriminator import Discriminator
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.weights import read_weights, save_weights
from vidanon.train import losses
from vidanon.train.faces import CropBatch, CropSampler, Faces, load_faces, nudged
from vidanon.train.grids import save_grid
from vidanon.train.recipes import GeneratorTraining, phases_for
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
class Seen:
    """What the generator is given."""

    crops: CropBatch
    """[B, ...]"""
    points: Tensor
    """[B, P, 2] as detection would have them"""
    latents: Tensor
    """[B, L]"""


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
        fused = self.device.type == "cuda"
        self.g_opt = torch.optim.Adam(self.g.parameters(), lr=options.rate, betas=(0.5, 0.99), fused=fused)
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=options.d_rate, betas=(0.0, 0.99**lazy), fused=fused)
        self.images = 0
        self.steps = 0
        self.random = torch.Generator(self.device).manual_seed(options.seed)
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
        row = torch.arange(p, device=self.device)

        def chance(share: float, columns: int = 1) -> Tensor:
            return torch.rand(b, columns, generator=self.random, device=self.device) < share

        noise = torch.randn(b, p, 2, generator=self.random, device=self.device) * 0.006
        drop = chance(0.03, p)
        drop = drop | (chance(0.1) & (row >= 7))  # expression unknown
        drop = drop | (chance(0.5) & ((row == 5) | (row == 6)))  # shoulders
        drop = drop | chance(0.03)  # nothing known at all
        return torch.where(drop[..., None], torch.nan, points + noise)

    def latent(self, batch: int) -> Tensor:
        """[B, L] standard normal"""
        return torch.randn(batch, self.config.latent_dim, generator=self.random, device=self.device)

    def step(self, sampler: CropSampler) -> dict[str, Tensor]:
        """One step of both networks; the terms' values."""
        o = self.options
        size, fade = self.now()
        calm = min(1.0, 0.1 + 2.7 * max(0.0, 1 - self.images / o.images))
        self.g_opt.param_groups[0]["lr"] = o.rate * calm
        self.d_opt.param_groups[0]["lr"] = o.d_rate * calm

        # the generator paints the first half of the crops twice; every latent serves two crops
        crops = sampler.batch(sampler.draw(o.batch), size)
        points = self.points(crops)
        half = o.batch // 2
        latents = self.latent(half)
        seen = Seen(crops[:half].twice(), torch.cat([points[:half]] * 2), torch.cat([latents, latents.roll(1, 0)]))
        painted = self.paint(seen, fade)
        shown = seen.crops.composite(painted)
        stats = self._discriminate(Seen(crops, points, latents), seen, shown.detach(), fade)
        stats |= self._generate(seen, painted, shown, fade)

        self.images += o.batch
        self.steps += 1
        half_life = min(o.ema_images, self.images / 10 + o.batch)
        self.ema.update(self.g, decay=0.5 ** (o.batch / half_life))
        return {name: value.detach() for name, value in stats.items()}

    def paint(self, seen: Seen, fade: float) -> Tensor:
        """[B, 3, S, S] faces, float32."""
        with self.mixed():
            painted: Tensor = self.g(seen.crops.context, seen.crops.hidden, seen.points, seen.latents, fade)
        return painted.float()

    def _discriminate(self, real: Seen, fake: Seen, shown: Tensor, fade: float) -> dict[str, Tensor]:
        """A step of the discriminator."""
        o = self.options
        shown = losses.augment(shown, strength=o.augment, generator=self.random)
        image = losses.augment(real.crops.image, strength=o.augment, generator=self.random)
        penalize = self.steps % o.r1_every == 0
        if penalize:
            image = image.detach().requires_grad_()
        self.d.requires_grad_(requires_grad=True)
        with self.mixed(wanted=not penalize):  # the penalty's second derivatives are too small for bfloat16
            real_logits, _ = self.d(image, real.crops.hidden, real.points, fade)
        with self.mixed():
            fake_logits, codes = self.d(shown, fake.crops.hidden, fake.points, fade)
        loss = losses.discriminator_loss(real_logits, fake_logits)
        stats = {"d": loss, "real": real_logits.mean(), "fake": fake_logits.mean()}
        if o.identity:
            loss = loss + losses.identity(codes, fake.latents)
        if penalize:
            stats["r1"] = losses.r1(real_logits, image)
            loss = loss + 0.5 * o.gamma * o.r1_every * stats["r1"]
        self.d_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.d_opt.step()
        return stats

    def _generate(self, seen: Seen, painted: Tensor, shown: Tensor, fade: float) -> dict[str, Tensor]:
        """A step of the generator on what it has painted."""
        o, crops = self.options, seen.crops
        self.d.requires_grad_(requires_grad=False)
        with self.mixed():
            augmented = losses.augment(shown, strength=o.augment, generator=self.random)
            logits, codes = self.d(augmented, crops.hidden, seen.points, fade)
        face = crops.hidden - crops.outside
        terms = {"g": losses.generator_loss(logits)}
        if o.colour:
            terms["colour"] = o.colour * losses.low_frequency(painted, crops.image, face)
        if o.reconstruction:
            terms["reconstruction"] = o.reconstruction * losses.reconstruction(painted, crops.image, face)
        if o.seam:
            terms["seam"] = o.seam * losses.seam(painted, crops.image, crops.hidden, crops.outside)
        if o.diversity:
            terms["diversity"] = o.diversity * losses.diversity(painted, face, limit=o.diversity_limit)
        if o.identity:
            terms["identity"] = o.identity * losses.identity(codes, seen.latents)
        if o.steadiness:
            few = slice(0, max(1, o.batch // 4))
            first = Seen(crops[few], seen.points[few], seen.latents[few])
            terms["steadiness"] = o.steadiness * self._steadiness(first, painted[few], fade)
        total = torch.stack(list(terms.values())).sum()
        self.g_opt.zero_grad(set_to_none=True)
        total.backward()
        self.g_opt.step()
        return terms

    def _steadiness(self, seen: Seen, painted: Tensor, fade: float) -> Tensor:
        """The equivariance term: the same faces again, in crops cut a little differently."""
        crops, grid = nudged(seen.crops, self.random)
        # what the detector knew of the crop, it knows of the nudged one
        points = torch.where(torch.isfinite(seen.points), crops.points[:, self.names], torch.nan)
        again = self.paint(Seen(crops, points, seen.latents), fade)
        return losses.equivariance(painted, again, grid, crops.hidden - crops.outside)

    def mixed(self, *, wanted: bool = True) -> torch.autocast:
        """bfloat16 where it helps: in convolutions and products, on a GPU."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted and self.device.type == "cuda")

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
    keep_freed_memory()
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
    sums: dict[str, list[Tensor]] = {}
    if trainer.device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")

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
                if now - last_log > options.log_seconds:
                    means = {name: round(torch.stack(v).mean().item(), 4) for name, v in sums.items()}
                    if not math.isfinite(means["d"] + means["g"]):
                        raise FloatingPointError(f"training diverged at {trainer.images} images: {means}")
                    size, fade = trainer.now()
                    pace = round((trainer.images - first) / (now - start), 1)
                    run.log(images=trainer.images, size=size, fade=round(fade, 2), pace=pace, **means)
                    sums.clear()
                    last_log = now
                if now - last_save > options.save_seconds:
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
