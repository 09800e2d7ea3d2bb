"""What a run of the generator's training shows and gives away: fixed-seed pictures, weights and their account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidanon.models.weights import save_weights
from vidanon.train.batches import CropSampler
from vidanon.train.faces import Faces
from vidanon.train.sets import provenance

if TYPE_CHECKING:
    from vidanon.train.trainer import Trainer

OUR_FACES = {
    "licence": "Apache-2.0",
    "data": "4,050 training faces: SFHQ-T2I and SFHQ (MIT), US Congress portraits (public domain), "
    "UK Parliament portraits (CC BY 3.0, credit: UK Parliament)",
}


def sample_rows(trainer: Trainer, faces: Faces, *, size: int, columns: int = 8) -> Iterator[Tensor]:
    """Rows [columns, 3, S, S] of a fixed-seed grid: source, what the net sees, then four latents."""
    sampler = CropSampler(faces, device=trainer.device, seed=1)
    index = torch.arange(columns, device=trainer.device) % len(faces)
    crops = sampler.batch(index, size, jitter=0.0, photometric=False)
    yield crops.image
    yield crops.context
    fixed = torch.Generator().manual_seed(7)
    for _ in range(4):
        latent = torch.randn(1, trainer.config.latent_dim, generator=fixed).expand(columns, -1).to(trainer.device)
        with torch.inference_mode():
            yield crops.composite(trainer.ema.network(crops.context, crops.hidden, crops.points, latent))


def publish(trainer: Trainer, *, folder: Path) -> Path:
    """Writes the EMA weights as the shipped generator, with an account of the run."""
    size, _ = trainer.now()
    record = {
        **provenance(trainer.options.data, otherwise=OUR_FACES),
        "run": {
            "images": trainer.images,
            "last_size_px": size,
            "batch": trainer.options.batch,
            "device": trainer.options.device,
            "seed": trainer.options.seed,
            "hours": round(trainer.minutes / 60, 2),
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
