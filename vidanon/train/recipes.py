"""What a run of the generator's training can be told, and how its sizes follow each other.

The defaults are the CPU recipe: small, short, and leaning on a reconstruction term that a long run on a GPU does
without (README, "Training").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    identity: float = 0.0
    """weight of telling the latent from the face: 1 for a long run, where nothing else keeps people apart"""
    steadiness: float = 0.0
    """weight of the same face in a crop cut a little differently: 10 for a long run"""
    diversity_limit: float = 0.05
    """distance of two latents' faces beyond which the term is content"""
    augment: float = 0.2
    """probability of each discriminator augmentation"""
    ema_images: int = 2_500
    """half-life of the averaged weights, in images"""
    log_seconds: float = 30.0
    """between two lines of statistics"""
    save_seconds: float = 300.0
    """between two checkpoints with their grids"""
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
