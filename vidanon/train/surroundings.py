"""Fitting what the surroundings of a face tell of it (models/surroundings.py): ridge regression, in closed form.

In: a finished generator and a face set. Out: the generator with its readouts. Whose face it is, for the machine, says
dlib's recognition network (extra `vidanon[evaluate]`): of the set's faces, and of the patterns as the generator paints
them. Its numbers of people who were measured are never kept; those of the patterns are of nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidanon.models.embeddings import SIDE, Embedder, FaceEmbedder
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.surroundings import ODDEST, colour_of, skin_colour, tone_of
from vidanon.models.weights import read_weights, record_beside, save_weights
from vidanon.render.align import CROP_SCALE
from vidanon.train.batches import CropSampler
from vidanon.train.faces import load_faces
from vidanon.types import FloatArray, ImageArray

PASSES = 3
"""times every face is looked at, cut, masked, lit and mirrored anew each time"""
RIDGE = 0.2
"""of the regression, for each look, in variances of a fact"""
RAREST = 0.03
"""share of the faces, at each end, whose tone is not expected of anybody"""
HEADS = 12
"""on which a pattern is painted to see what kind of person it looks like"""
CHUNK = 25


@dataclass(frozen=True, slots=True)
class SurroundingsFit:
    """What the readouts of finished weights are fitted to."""

    data: Path
    """folder of the face set"""
    weights: Path
    """generator weights"""
    publish: Path
    """folder to write weights and manifest record to"""
    threads: int = 0
    """CPU threads, 0 = all"""
    seed: int = 0
    """of the looks"""


def read_surroundings(options: SurroundingsFit) -> Path:
    """Fits the readouts of generator weights, without training; returns the file.

    The manifest says how well they do on the held-out faces. Raises UsageError without the extra `evaluate`.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    embedder = FaceEmbedder(scale=CROP_SCALE)
    state, config = read_weights(options.weights)
    generator = Generator(GeneratorConfig.from_dict(config)).eval()
    generator.load_state_dict(state)
    samplers = []
    for split in ("train", "val"):
        faces = load_faces(options.data, px=max(SIDE, generator.config.resolution), split=split)
        samplers.append(CropSampler(faces, device=torch.device("cpu"), seed=options.seed))
    looks, held_out = (
        looked_at(generator, sampler, vectors(sampler, embedder), passes=passes)
        for sampler, passes in zip(samplers, (PASSES, 1), strict=True)
    )
    fit_surroundings(generator, *looks, kinds_of_patterns(generator, samplers[0], embedder))
    record = record_beside(options.weights, "generator")
    teacher = "dlib_face_recognition_resnet_model_v1 (public domain) said what kind of person each face is"
    record["surroundings"] = {"looks": len(looks[0]), "teacher": teacher, "held_out": measured(generator, *held_out)}
    made = generator.state_dict()
    return save_weights("generator", made, config=config, record=record, folder=options.publish, dtype=torch.float16)


@torch.no_grad()
def vectors(sampler: CropSampler, embedder: Embedder) -> Tensor:
    """[P, 128] recognition vectors of a sampler's people."""
    found: list[FloatArray] = []
    for index in _chunks(sampler.count):
        crops = sampler.batch(index.to(sampler.device), SIDE, jitter=0.0, photometric=False, flip=False)
        found += [embedder.embed(picture) for picture in _pictures(crops.image)]
    return torch.from_numpy(np.array(found))


@torch.no_grad()
def looked_at(
    generator: Generator, sampler: CropSampler, known: Tensor, *, passes: int = PASSES
) -> tuple[Tensor, Tensor]:
    """(facts [N, F], tones and vectors [N, 3 + 128]) of `passes` looks at every picture.

    `known` [P, 128] are the vectors of the sampler's people.
    """
    facts, truths = [], []
    for _ in range(passes):
        for index in _chunks(len(sampler.images)):
            crops = sampler.batch(index.to(sampler.device), generator.config.resolution)
            colour = (skin_colour(crops.image, crops.points, crops.hidden - crops.outside) + 1) / 2
            facts.append(generator.facts(crops.context, crops.hidden, crops.points).cpu())
            truths.append(torch.cat([tone_of(colour).cpu(), known[crops.rows.cpu() % sampler.count]], 1))
    seen, truth = torch.cat(facts), torch.cat(truths)
    whole = torch.isfinite(truth).all(1)
    return seen[whole], truth[whole]


@torch.no_grad()
def kinds_of_patterns(generator: Generator, sampler: CropSampler, embedder: Embedder) -> Tensor:
    """[N, 128] mean recognition vectors of the patterns, painted on the heads of some training faces."""
    count = len(generator.appearance.ends)
    heads = sampler.batch(sampler.draw(HEADS), generator.config.resolution, jitter=0.0, photometric=False, flip=False)
    kinds = []
    for pattern in range(count):
        latent = torch.zeros(HEADS, generator.config.latent_dim)
        latent[:, 0] = torch.special.ndtri(torch.tensor((pattern + 0.5) / count))
        painted = heads.composite(generator(heads.context, heads.hidden, heads.points, latent))
        large = F.interpolate(painted, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
        kinds.append(np.mean([embedder.embed(picture) for picture in _pictures(large)], axis=0))
    return torch.from_numpy(np.array(kinds, np.float32).reshape(count, -1))


def fit_surroundings(generator: Generator, facts: Tensor, truths: Tensor, kinds: Tensor) -> None:
    """Fits `generator.surroundings` to what `looked_at` returned; `kinds` [N, 128] are those of the patterns."""
    mean, deviation, usual = facts.mean(0), facts.std(0).clamp(min=1e-4), truths.mean(0)
    x, y = ((facts - mean) / deviation).clamp(-ODDEST, ODDEST), truths - usual
    power = x.T @ x + RIDGE * max(1, len(x)) * torch.eye(x.shape[1])
    state = {
        "usual": torch.stack([mean, deviation]),
        "readout": torch.linalg.solve(power, x.T @ y).T,
        "tone": usual[:3],
        "range": torch.quantile(truths[:, :3], torch.tensor([RAREST, 1 - RAREST]), dim=0),
        # from their own mean, not the set's: more of a set's people are men, or old, than of the patterns
        "kinds": kinds - kinds.mean(0) if len(kinds) else generator.surroundings.kinds[:0],
    }
    generator.surroundings.load_state_dict(state)


@torch.no_grad()
def measured(generator: Generator, facts: Tensor, truths: Tensor) -> dict[str, float]:
    """What is expected of faces, against `truths` [N, 3 + 128] of people nothing was fitted to."""
    own = generator.surroundings
    told = own(facts)
    known, truth, usual = _lab(told.colour), _lab(colour_of(truths[:, :3])), _lab(colour_of(own.tone[None]))
    kind = truths[:, 3:] - truths[:, 3:].mean(0)
    nearer = torch.cdist(told.kind, kind)
    better = (nearer < nearer.diag()[:, None]).float().mean(1)
    return {
        "faces": len(facts),
        "skin_colour_off_dE": round(float(np.median(np.linalg.norm(known - truth, axis=1))), 2),
        "skin_colour_off_dE_of_the_mean": round(float(np.median(np.linalg.norm(usual - truth, axis=1))), 2),
        "share_of_faces_nearer_than_the_real_one": round(float(better.mean()), 4),
    }


def _chunks(count: int) -> Iterator[Tensor]:
    for start in range(0, count, CHUNK):
        yield torch.arange(start, min(count, start + CHUNK))


def _pictures(crops: Tensor) -> Iterator[ImageArray]:
    """[S, S, 3] uint8 of crops [B, 3, S, S] in [-1, 1]."""
    levels = ((crops + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    yield from (np.ascontiguousarray(picture) for picture in levels)


def _lab(colours: Tensor) -> FloatArray:
    """[N, 3] L*a*b* of R'G'B' [N, 3] in 0..1."""
    rgb = colours.numpy().astype(np.float32).clip(0, 1)[:, None]
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[:, 0], np.float32)
