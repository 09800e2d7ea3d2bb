"""Training of the detector.

In: `DetectorTraining`. Out: a run folder (options, statistics, checkpoints) and, from `train`, the averaged
network. The schedule is a warm-up and a cosine over the budget, which is minutes or steps; every step draws its
scenes from a generator seeded by (seed, step), so that a resumed run sees what an unbroken one would have.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from vidanon.errors import UsageError
from vidanon.models.allocator import keep_freed_memory
from vidanon.models.detector import CONFIGS, DetectorConfig, DetectorNet, Size, cells, grown
from vidanon.models.weights import read_weights
from vidanon.train.detector_loss import collate, detector_loss
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
from vidanon.train.scenes import Composer, composer

EMA_DECAY = 0.998
CALM_SHARE = 0.6
"""of the scenes at the end of a run"""


@dataclass(frozen=True, slots=True)
class DetectorTraining:
    """Everything a training run is told."""

    data: Path
    """folder with `faces/` and `crowd-dev/`"""
    run: Path
    """folder of the run's record"""
    pseudo: Path | None = None
    """file of pseudo-labelled pictures, see `vidanon.train.pseudo`"""
    minutes: float | None = None
    """wall-clock budget, resumed time included; None = by `steps`"""
    steps: int | None = None
    """step budget; None = by `minutes`"""
    batch: int = 16
    """scenes a step"""
    image_px: int = 320
    """side of a middling scene; steps vary it by a fifth"""
    rate: float = 3e-3
    """highest learning rate"""
    warmup_steps: int = 150
    """steps of linear warm-up"""
    calm: float = 0.35
    """share of the run, at its end, in which most scenes are plain windows of the labelled pictures: what training on
    composed and damaged scenes alone ends with fits them less (Ge et al. 2021, https://arxiv.org/abs/2107.08430)"""
    device: str = "cpu"
    """torch device"""
    threads: int = 1
    """CPU threads"""
    seed: int = 0
    """of weights and scenes"""
    save_minutes: float = 3.0
    """between checkpoints"""
    log_steps: int = 20
    """between lines of statistics"""
    resume: Path | None = None
    """checkpoint to go on from"""
    weights: Path | None = None
    """published detector weights to begin with, where there is no checkpoint"""
    stop_after: int | None = None
    """step at which to stop early, as a kill would; the schedule does not know of it"""
    size: Size = "strong"
    """which of the family; a strong one may begin with a fast one's weights"""
    config: DetectorConfig | None = None
    """the network's shape, None = that of `size`"""


@dataclass
class State:
    """What a checkpoint holds."""

    network: DetectorNet
    average: EMA[DetectorNet]
    optimizer: torch.optim.Optimizer
    step: int = 0
    images: int = 0
    seconds: float = 0.0

    def save(self, folder: RunFolder, name: str) -> Path:
        """Writes checkpoint `name`."""
        tensors = {
            **pack("network", self.network.state_dict()),
            **pack("average", self.average.network.state_dict()),
            **pack_optimizer("optimizer", self.optimizer),
        }
        config = self.network.config.to_dict()
        return folder.save(
            name, tensors, {"step": self.step, "images": self.images, "seconds": self.seconds, "config": config}
        )

    def load(self, path: Path) -> None:
        """Goes back to a checkpoint. Raises InputError, or UsageError if it is of another shape of network."""
        tensors, numbers = load_checkpoint(path)
        try:
            self.network.load_state_dict(unpack("network", tensors))
            self.average.network.load_state_dict(unpack("average", tensors))
        except RuntimeError as e:
            raise UsageError(f"{path} is a checkpoint of another network", hint="resume with the run's config") from e
        unpack_optimizer("optimizer", tensors, self.optimizer)
        self.step, self.images, self.seconds = int(numbers["step"]), int(numbers["images"]), float(numbers["seconds"])


def begin(options: DetectorTraining) -> State:
    """A network (fresh, or the published one), average and optimizer; norms and biases are not decayed."""
    torch.manual_seed(options.seed)
    config = options.config or CONFIGS[options.size]
    if options.weights is None:
        network = DetectorNet(config)
    else:
        state, shape = read_weights(options.weights)
        try:
            network = grown(config, state)
        except RuntimeError as e:
            raise UsageError(
                f"{options.weights} ({shape}) cannot begin a network of {config}", hint="name the --size it has"
            ) from e
    network = network.to(options.device).to(memory_format=torch.channels_last)
    plain = [p for p in network.parameters() if p.ndim <= 1]
    matrices = [p for p in network.parameters() if p.ndim > 1]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
    return State(network, EMA(network), torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.99)))


def learning_rate(options: DetectorTraining, *, step: int, progress: float) -> float:
    """Linear warm-up, then a cosine over `progress` 0..1 down to a hundredth."""
    warm = min(1.0, (step + 1) / options.warmup_steps)
    return options.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def one_step(state: State, scenes: Composer, options: DetectorTraining, rate: float) -> dict[str, float]:
    """Composes a batch, learns from it; returns the losses."""
    scenes.rng = np.random.default_rng((options.seed, state.step))
    side = int(scenes.rng.choice([0.8, 1.0, 1.2], p=[0.65, 0.25, 0.1]) * options.image_px / 32) * 32
    pictures, targets = collate([scenes.scene(side) for _ in range(options.batch)])
    device = torch.device(options.device)
    targets = dataclasses.replace(
        targets, **{f.name: getattr(targets, f.name).to(device) for f in dataclasses.fields(targets)}
    )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.network.train()
    where = cells(side, side, state.network.config.strides, device)
    losses = detector_loss(state.network(pictures.to(device)), where, targets)
    state.optimizer.zero_grad(set_to_none=True)
    losses["total"].backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), 10.0)
    state.optimizer.step()
    state.step += 1
    state.images += options.batch
    state.average.update(state.network, decay=min(EMA_DECAY, (1 + state.step) / (10 + state.step)))
    return {**{k: float(v.detach()) for k, v in losses.items()}, "norm": float(norm)}


def train(options: DetectorTraining, *, scenes: Composer | None = None) -> DetectorNet:
    """Trains until the budget is spent; returns the averaged network.

    `scenes` replaces the composer over `options.data`. Raises UsageError without a budget, InputError for data or a
    checkpoint that cannot be read.
    """
    check_budget(minutes=options.minutes, steps=options.steps)
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    scenes = scenes or composer(options.data, pseudo=options.pseudo, seed=options.seed)
    state = begin(options)
    if options.resume is not None:
        state.load(options.resume)
    with RunFolder(options.run, options) as folder:
        started, saved = time.monotonic() - state.seconds, time.monotonic()
        sums: dict[str, float] = {}
        while True:
            state.seconds = time.monotonic() - started
            spent = [state.step / options.steps] if options.steps is not None else []
            spent += [state.seconds / (60 * options.minutes)] if options.minutes is not None else []
            if max(spent) >= 1 or (options.stop_after is not None and state.step >= options.stop_after):
                break
            rate = learning_rate(options, step=state.step, progress=max(spent))
            scenes.calm = CALM_SHARE if max(spent) > 1 - options.calm else 0.0
            for key, value in one_step(state, scenes, options, rate).items():
                sums[key] = sums.get(key, 0.0) + value / options.log_steps
            if state.step % options.log_steps == 0:
                folder.log(step=state.step, images=state.images, rate=rate, **{k: round(v, 4) for k, v in sums.items()})
                sums = {}
            if time.monotonic() - saved > 60 * options.save_minutes:
                state.save(folder, "latest")
                saved = time.monotonic()
        state.save(folder, "latest")
    return state.average.network
