"""What a run of the generator's training can be told, and how its sizes follow each other.

The defaults are the CPU recipe: small, short, and leaning on its reconstruction term (README, "Training").
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


def phases_for(resolution: int, first: int = 32) -> tuple[Phase, ...]:
    """Phases from `first` px to a resolution: the finest gets half of the images, each coarser one half of the rest."""
    sizes = [s for s in (32, 64, 128, 256) if min(first, resolution) <= s <= resolution] or [resolution]
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
    """real images shown, over all phases"""
    minutes: float | None = None
    """time for all phases, earlier sittings included: whichever of the two is spent sooner lays them out"""
    resolution: int = 128
    """px of the finest level"""
    first: int = 32
    """px of the coarsest level the run begins at; the resolution itself where it goes on from published weights"""
    turned: int = 1_500
    """so many of the faces are shown a second time with their heads turned in depth (train/turning.py)"""
    patterns: int = 128
    """so many synthetic faces of the set, the plainest, lend new people their detail (train/patterns.py)"""
    listed: Path | None = None
    """text file with the faces to take for that instead, "source/key" of the set's labels, one a line"""
    width: int = 1536
    """channels x px is held at this product: the price of a face"""
    max_channels: int = 192
    """... up to so many channels"""
    batch: int = 8
    """images a step"""
    rate: float = 0.003
    """Adam's peak learning rate; it falls to a tenth over the last third (0.002 suits runs of millions of images)"""
    d_rate: float = 0.002
    """the discriminator's"""
    gamma: float = 1.0
    """weight of R1"""
    r1_every: int = 8
    """steps between two R1 terms"""
    adversarial: float = 0.3
    """weight of looking real: with more, a small net draws outlines around faces whose edge it cannot tell"""
    colour: float = 30.0
    """weight of the low-frequency term"""
    reconstruction: float = 30.0
    """weight of the L1 term, on people whose codes are known: it teaches how the model's features look in this light"""
    matching: float = 1.0
    """weight of what the discriminator sees being the same, on people whose codes are known"""
    expression: float = 60.0
    """weight of doing what the keypoints ask for, as the landmarker sees it"""
    seam: float = 15.0
    """weight of the seam term"""
    likeness: float = 3.0
    """weight of people nobody is looking like their code says"""
    steadiness: float = 16.0
    """weight of the same face in a crop cut a little differently, with its surroundings disturbed"""
    blinks: float = 0.4
    """share of the people nobody is looking like whose lids are more or less shut: photos hardly show that"""
    elsewhere: float = 0.5
    """share of the crops in front of somebody else's background"""
    augment: float = 0.6
    """probability of each discriminator augmentation"""
    warm_up: int = 2_000
    """images over which looking real gains its weight: a discriminator that begins anew has nothing to say at first"""
    ema_images: int = 2_500
    """half-life of the averaged weights, in images"""
    log_seconds: float = 30.0
    """between two lines of statistics"""
    save_seconds: float = 300.0
    """between two checkpoints with their grids"""
    device: str = "cpu"
    """"cpu", "cuda:N" or "auto\""""
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
