"""Training the generator: progressive growing, non-saturating GAN with lazy R1, EMA.

In: a labelled face set (train/faces.py). Out: a run folder with stats, fixed-seed grids, a checkpoint that resumes,
and EMA weights with their manifest record. The phases are data: one line per resolution.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from torch import Tensor

from vidanon.models.allocator import keep_freed_memory
from vidanon.train.batches import CropSampler
from vidanon.train.faces import load_faces
from vidanon.train.grids import save_grid
from vidanon.train.publishing import publish, sample_rows
from vidanon.train.recipes import GeneratorTraining
from vidanon.train.runs import RunFolder, check_budget
from vidanon.train.sets import announce
from vidanon.train.trainer import Trainer


def train(options: GeneratorTraining) -> Path:
    """Runs the training and returns the path of its last checkpoint. Ctrl-C leaves a checkpoint."""
    check_budget(minutes=options.minutes, steps=options.images)
    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    trainer = Trainer(options)
    if options.resume is not None:
        trainer.load(options.resume)
    announce(options.data)
    store = min(256, 2 * options.resolution)
    faces = load_faces(
        options.data, px=store, split="train", limit=options.limit, turned_heads=options.turned, seed=options.seed
    )
    held_out = load_faces(options.data, px=store, split="val", limit=64)
    others = CropSampler(held_out, device=trainer.device, seed=options.seed)
    sampler = CropSampler(faces, device=trainer.device, seed=options.seed + trainer.images)
    trainer.meet(sampler)
    start = last_log = last_save = time.monotonic()
    sums: dict[str, list[Tensor]] = {}
    if trainer.device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")

    with RunFolder(options.run, options) as run:

        def checkpoint() -> Path:
            size, _ = trainer.now()
            save_grid(sample_rows(trainer, held_out, size=size), run.path / f"grid-{trainer.images:07d}.png")
            numbers = {"images": trainer.images, "steps": trainer.steps, "minutes": trainer.minutes}
            return run.save("checkpoint", trainer.state(), numbers)

        first, earlier = trainer.images, trainer.minutes
        try:
            while trainer.progress < 1:
                for name, value in trainer.step(sampler).items():
                    sums.setdefault(name, []).append(value)
                now = time.monotonic()
                trainer.minutes = earlier + (now - start) / 60
                if now - last_log > options.log_seconds:
                    means = {name: round(torch.stack(v).mean().item(), 4) for name, v in sums.items()}
                    if not math.isfinite(means["d"] + means["g"]):
                        raise FloatingPointError(f"training diverged at {trainer.images} images: {means}")
                    size, fade = trainer.now()
                    means |= trainer.memory(others, means)
                    pace = round((trainer.images - first) / (now - start), 1)
                    run.log(images=trainer.images, size=size, fade=round(fade, 2), pace=pace, **means)
                    sums.clear()
                    last_log = now
                if now - last_save > options.save_seconds:
                    checkpoint()
                    last_save = now
        finally:
            path = checkpoint()
        if options.publish is not None:
            publish(trainer, folder=options.publish)
    return path
