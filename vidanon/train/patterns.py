"""Patterns: faces of invented people that lend the appearance model what a mean of faces cannot have.

In: the faces a model was fitted to, and maybe a list of whom somebody chose by eye. Out: the model with these faces in
it, at twice its resolution and lit from both sides alike. Without a list the plainest of the synthetic faces are taken:
looking ahead, lips closed, eyes open, evenly lit, without glasses, hair or a hat over the face, none of which would sit
right on somebody else's head. How plain a face is, each of its parts says by its distance from the median face, as a
rank among all; the least plain part counts. That finds most oddities, not all: looking through them is worth the hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vidanon.errors import InputError
from vidanon.models.appearance import FINER, HIGH, LOW, STEP, Appearance, ellipse, scaled
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.layout import grid
from vidanon.models.weights import read_weights, record_beside, save_weights
from vidanon.train.appearance import CHUNK, LEAST, LOPSIDED, Gathered, codes, cover_of, details, gather
from vidanon.train.batches import CropSampler
from vidanon.train.faces import labels_of, load_faces
from vidanon.types import LUMA

CLOSED = 0.03
"""Most opening of the lips, as `features` has it."""
BLINK = 0.15
"""Share of the faces whose eyes are least open, that are left out."""
AHEAD = 0.75
"""Share of the faces that are turned least, that are looked at."""
QUALITY = 95
"""of the WebP"""
LIGHT = 1 / 16
"""Standard deviation of the Gaussian, in textures, that tells light from one side from crooked features."""
HIGHLIGHT = (1.2, 0.6)
"""Where highlights begin, in contrasts of a face, and how far above it they end: oily skin is lit, and not a trait."""
LIPS = (0.5, 0.648, 0.13, 0.055)
"""Where lips are: middle and radii of an ellipse, in 0..1 of the canonical crop. They are nobody's in particular: wet
ones shine, and where a mouth opens between them that looks like a tongue."""
_YAW, _LIPS, _LIDS = 0, 5, (9, 10)


@dataclass(frozen=True, slots=True)
class PatternChoice:
    """What the patterns of finished weights are chosen by."""

    data: Path
    """folder of the face set"""
    weights: Path
    """generator weights whose appearance model gets them"""
    publish: Path
    """folder to write weights and manifest record to"""
    listed: Path | None = None
    """text file with the faces to take, "source/key" of the set's labels, one a line; without it the plainest"""
    patterns: int = 128
    """so many synthetic faces of the set, the plainest, where none are listed"""
    threads: int = 0
    """CPU threads, 0 = all"""


def choose(options: PatternChoice) -> Path:
    """Gives generator weights new patterns, without training; returns the file."""
    if options.threads:
        torch.set_num_threads(options.threads)
    state, config = read_weights(options.weights)
    generator = Generator(GeneratorConfig.from_dict(config))
    generator.load_state_dict(state)
    faces = load_faces(options.data, px=min(256, 2 * generator.config.resolution), split="train")
    sampler = CropSampler(faces, device=torch.device("cpu"), seed=0)
    model = generator.appearance
    gathered = gather(sampler, px=model.px)
    rows = chosen(model, sampler, gathered, most=options.patterns, listed=options.listed, data=options.data)
    add_patterns(model, sampler, gathered, rows)
    record = record_beside(options.weights, "generator") | {"patterns": len(rows)}
    generator.surroundings.kinds = generator.surroundings.kinds[:0]  # those of patterns that are gone
    made = generator.state_dict()
    return save_weights("generator", made, config=config, record=record, folder=options.publish, dtype=torch.float16)


def chosen(
    model: Appearance, sampler: CropSampler, gathered: Gathered, *, most: int, listed: Path | None, data: Path
) -> Tensor:
    """[R] rows of the faces that are `listed`, or else of the plainest synthetic ones, R <= `most`."""
    if listed is not None:
        return rows_of(listed, data, count=sampler.count)
    return plainest(model, gathered, sampler.patterns.cpu(), most=most)


def rows_of(listed: Path, data: Path, *, count: int) -> Tensor:
    """[R] rows, among the first `count` training faces of a set, of the "source/key" lines of a text file.

    Raises InputError if the file cannot be read, or one of them is not there.
    """
    labels = labels_of(data)
    rows = np.flatnonzero(labels["split"] == "train")[:count]
    try:
        names = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as e:
        raise InputError(f"list of patterns {listed} cannot be read: {e}") from e
    place = {f"{labels['source'][row]}/{labels['key'][row]}": i for i, row in enumerate(rows)}
    unknown = [name for name in names if name not in place]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {listed} are no training faces of {data}, such as {unknown[0]}",
            hint='write "source/key" as labels.npz has them, one a line',
        )
    return torch.tensor([place[name] for name in names], dtype=torch.int64)


def add_patterns(model: Appearance, sampler: CropSampler, gathered: Gathered, rows: Tensor) -> None:
    """Makes the faces `rows` [R] of a set the patterns of a model fitted to it."""
    pictures = [torch.zeros(0, dtype=torch.uint8)]
    found = [torch.zeros(0, model.patterns.shape[1])]
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        known = codes(model, Gathered(gathered.data[part], gathered.facts[part]))
        large = gather(sampler, px=FINER * model.px, rows=part)
        for face in portable(model, details(model, large, known).float(), known):
            levels = (face / STEP + 128).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
            _, data = cv2.imencode(".webp", levels[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
            pictures.append(torch.from_numpy(data.ravel()))
        found.append(known)
    model.pictures = torch.cat(pictures)
    model.ends = torch.tensor([len(data) for data in pictures[1:]], dtype=torch.int64).cumsum(0)
    model.patterns = torch.cat(found)


def portable(model: Appearance, detail: Tensor, known: Tensor) -> Tensor:
    """Details [R, 3, D, D] of faces with codes `known` [R, K], made fit for other heads in other light.

    They take back highlights, most of the light from one side, and all that the lips have of their own.
    """
    px = detail.shape[-1]
    told = scaled((known @ model.axes).unflatten(1, (3, model.px, model.px)), px)
    mean = scaled(model.mean[None], px)
    face = mean + told + detail
    odd = ((face - face.flip(-1)) / 2).permute(0, 2, 3, 1).numpy()
    light = np.stack([cv2.GaussianBlur(each, (0, 0), LIGHT * px, borderType=cv2.BORDER_REPLICATE) for each in odd])
    face = face - (1 - LOPSIDED) * torch.from_numpy(light).permute(0, 3, 1, 2)
    luma = (face * face.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    over = (luma - HIGHLIGHT[0]).clamp(min=0)
    face = face - (over - HIGHLIGHT[1] * torch.tanh(over / HIGHLIGHT[1]))
    return torch.lerp(face, mean, ellipse(LIPS, px, like=face)) - mean - told


def plainest(model: Appearance, gathered: Gathered, synthetic: Tensor, *, most: int) -> Tensor:
    """[R] rows of the plainest of the `synthetic` [N], plainest first, R <= `most`."""
    count = len(synthetic)
    doing = gathered.facts[:count]
    ahead, lids = doing[:, _YAW].abs(), torch.stack([doing[:, i] for i in _LIDS]).amin(0)
    fit = synthetic & (doing[:, _LIPS] <= CLOSED)
    if not fit.any():
        return torch.zeros(0, dtype=torch.int64)
    fit &= (ahead <= ahead[fit].quantile(AHEAD)) & (lids >= lids[fit].quantile(BLINK))
    rows = fit.nonzero()[:, 0]
    weigh = model.cover[0].sqrt().clamp(min=LEAST)
    faces = gathered.data[rows].unflatten(1, (3, model.px, model.px)) / weigh
    return rows[oddity(faces).argsort(stable=True)[:most]]


def oddity(faces: Tensor) -> Tensor:
    """[N] how odd the oddest part of unlit textures [N, 3, T, T] is among all of them: 0 the plainest."""
    px = faces.shape[-1]
    _, core = cover_of(px)
    x, y = grid(px, low=LOW, high=HIGH, like=core).unflatten(0, (px, px)).unbind(-1)
    side = (x - 0.5).abs()
    forehead, eyes = y < 0.3, ((side - 0.11).abs().maximum(((y - 0.39) * 1.6).abs())) < 0.06
    luma = (faces * faces.new_tensor(LUMA)[:, None, None]).sum(1)
    off, lopsided = (luma - luma.median(0).values).square(), (luma - luma.flip(-1)).square()
    tint = faces - faces.mean(1, keepdim=True)
    tint = (tint - tint.median(0).values).square().sum(1)
    across, down = (torch.gradient(luma, dim=dim)[0].square() for dim in (2, 1))
    measures = [  # what, where, and how much more than others it counts
        (off, forehead, 1.5),
        (across, forehead, 1.4),  # strands of hair run down it, wrinkles do not
        (off, (y > 0.425) & (y < 0.52) & (side > 0.06), 1.0),  # cheeks, where rims and lenses end
        (across + down, (y > 0.43) & (y < 0.5) & (side > 0.05), 1.2),
        (off, (side > 0.16) & (y > 0.33) & (y < 0.45), 1.0),  # temples
        (across + down, (side > 0.17) & (y > 0.3) & (y < 0.45), 1.2),
        (off, (y > 0.345) & (y < 0.44) & (side < 0.035), 1.0),  # the bridge of the nose
        (off, eyes, 1.0),
        (tint, eyes, 1.2),  # make-up
        (lopsided, eyes, 1.25),
        (off, (y > 0.47) & (y < 0.56) & (side < 0.05), 1.0),  # tip of the nose
        (off, (y > 0.58) & (y < 0.69) & (side < 0.1), 1.0),  # moustaches
        (tint, y < 1, 1.0),
        (lopsided, y < 1, 1.2),
    ]
    ranks = [share * _rank((what * (where * core)).sum((1, 2))) for what, where, share in measures]
    return torch.stack(ranks).amax(0)


def _rank(values: Tensor) -> Tensor:
    """[N] 0 for the least of them, 1 for the greatest."""
    return values.argsort(stable=True).argsort(stable=True).float() / max(1, len(values) - 1)
