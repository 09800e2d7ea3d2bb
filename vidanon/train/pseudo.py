"""Pseudo-labels: what two independent detectors agree on in pictures nobody labelled.

In: clips or pictures and two ONNX teachers given by path. Out: one `.npz` that `train.labelled.read_pseudo`
reads: JPEG pictures, boxes, keypoints and ignore flags. What every teacher is sure of, at any scale, is a face;
what only one sees, or sees faintly, is a region to look away from; the rest is background.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon import geometry
from vidanon.detect.base import join, suppress
from vidanon.detect.onnx import OnnxNetwork
from vidanon.detect.plain import seen_at
from vidanon.errors import InputError
from vidanon.media.probe import MEDIA_SUFFIXES, probe
from vidanon.media.reader import Reader
from vidanon.media.sample import evenly, sample_frames
from vidanon.train.labelled import Labelled, unknown_points
from vidanon.types import Detections, FloatArray, ImageArray


class Vicinity(NamedTuple):
    """A place about a face, in sizes of the face: of the middle of a box to that of the face, and how large the box."""

    aside: float
    above: float
    below: float
    smallest: float
    largest: float


CHEST = Vicinity(aside=0.6, above=0.7, below=1.7, smallest=0, largest=1.25)
BESIDE = Vicinity(aside=2, above=-2, below=2, smallest=0.35, largest=1.5)
ON = Vicinity(aside=0.75, above=-0.9, below=0.9, smallest=0, largest=1)
"""ears and what hangs on them, glasses, hair, hats"""


@dataclass(frozen=True, slots=True)
class PseudoOptions:
    """How sure is sure."""

    scales: tuple[float, ...] = (0.5, 1.0, 2.0)
    """every teacher looks at the picture at each of these"""
    longest_px: int = 2200
    """scales that would make a picture longer are left out"""
    sure: float = 0.6
    """a teacher at or above this says: a face"""
    doubt: float = 0.25
    """a teacher at or above this says: perhaps"""
    agree_iou: float = 0.35
    """overlap at which two teachers mean the same face; their box conventions differ a little"""
    alone: float = 0.85
    """a teacher with keypoints this sure needs no second"""
    chest_px: float = 40.0
    """right below a sure face with a longer side of this or more, what is doubted is a chest: background"""
    closeup_px: float = 120.0
    """beside and in a sure face with a longer side of this or more, what is doubted is background or a part of it"""


def look(network: OnnxNetwork, image: ImageArray, options: PseudoOptions) -> Detections:
    """A teacher's faces over all scales, in px of the picture."""
    parts = []
    for scale in options.scales:
        h, w = (round(v * scale) for v in image.shape[:2])
        if max(h, w) > options.longest_px or min(h, w) < 32:
            continue
        parts.append(seen_at(network, image, scale))
    return suppress(join(parts), iou=0.3)


def agree(votes: Sequence[Detections], options: PseudoOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(boxes [N, 4], points [N, 5, 2], ignore [N]) from every teacher's detections in one picture.

    The first teacher is the one whose boxes and keypoints are kept.
    """
    lead, others = votes[0], votes[1:]
    boxes, points, ignore = list(lead.boxes), list(lead.keypoints), []
    for i, score in enumerate(lead.scores):
        seconds = [
            float((geometry.iou(lead.boxes[i], o.boxes)[0] * (o.scores >= options.sure)).max(initial=0)) for o in others
        ]
        backed = all(s >= options.agree_iou for s in seconds)
        ignore.append(not ((score >= options.sure and backed) or score >= options.alone))
    for o in others:
        for box, mark in zip(o.boxes, o.keypoints, strict=True):
            if geometry.iou(box, np.array(boxes).reshape(-1, 4)).max(initial=0) < options.agree_iou:
                boxes.append(box)
                points.append(mark)
                ignore.append(True)
    n = len(boxes)
    marks = np.array(points, np.float32).reshape(-1, 5, 2) if n else unknown_points(0)
    found, doubted = np.array(boxes, np.float32).reshape(-1, 4), np.array(ignore, bool)
    size = (found[:, 2:] - found[:, :2]).max(1, initial=0)
    faces = found[~doubted & (size >= options.chest_px)]
    closeups = found[~doubted & (size >= options.closeup_px)]
    nothing = near(found, faces, CHEST) | near(found, closeups, BESIDE) | near(found, closeups, ON)
    kept = ~(doubted & nothing)
    return found[kept], marks[kept], doubted[kept]


def near(boxes: FloatArray, faces: FloatArray, where: Vicinity) -> NDArray[np.bool_]:
    """[N] which of the boxes [N, 4] are in that place about one of the faces [K, 4], xyxy px.

    Teachers take a neckline for a jaw, or half of a close-up for a face, in frame after frame; a net that is told to
    look away from there never learns.
    """
    centre, size = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)
    middle, span = (faces[None, :, :2] + faces[None, :, 2:]) / 2, (faces[:, 2:] - faces[:, :2]).max(1, initial=0)
    off = (centre - middle) / np.maximum(span, 1e-6)[None, :, None]
    there = (np.abs(off[..., 0]) < where.aside) & (off[..., 1] > where.above) & (off[..., 1] < where.below)
    alike = (size[:, None] > where.smallest * span) & (size[:, None] < where.largest * span)
    return np.asarray((there & alike).any(1))


def build(
    pictures: Mapping[str, ImageArray],
    teachers: Sequence[Path],
    target: Path,
    *,
    trusted: Collection[str] = (),
    options: PseudoOptions | None = None,
) -> list[Labelled]:
    """Labels `pictures` with `teachers` (the one with keypoints first), writes `target`, returns the labels.

    In the pictures named in `trusted` a person has seen that what the teachers agree on is all there is: nothing is
    ignored there, so what only one of them sees becomes background to learn from.
    """
    options = options or PseudoOptions()
    networks = [OnnxNetwork(t, least=options.doubt, nms_iou=0.4, threads=1) for t in teachers]
    record: dict[str, np.ndarray] = {"count": np.array(len(pictures)), "names": np.array(list(pictures))}
    labels = []
    for i, (name, image) in enumerate(pictures.items()):
        boxes, points, ignore = agree([look(network, image, options) for network in networks], options)
        if name in trusted:
            boxes, points, ignore = boxes[~ignore], points[~ignore], ignore[~ignore]
        _, packed = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
        record |= {f"jpeg_{i}": packed, f"boxes_{i}": boxes, f"points_{i}": points, f"ignore_{i}": ignore}
        labels.append(Labelled(image, boxes, points, ignore))
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        np.savez(stream, **record)  # type: ignore[arg-type]
    return labels


@dataclass(frozen=True, slots=True)
class PseudoLabelling:
    """Everything a labelling run is told."""

    clips: Path
    """folder of clips and stills"""
    teacher: Path
    """ONNX detector whose boxes and keypoints are kept (YuNet)"""
    second: Path
    """ONNX detector that must agree (Ultra-Light)"""
    target: Path
    """.npz to be written"""
    frames: int = 12
    """frames of each clip, evenly spread"""
    max_side: int = 1280
    """larger frames are reduced to this longer side, px"""


def frames_of(clip: Path, *, frames: int, max_side: int) -> dict[str, ImageArray]:
    """Evenly spread frames of a clip, upright, by name. Raises InputError for a clip that cannot be read."""
    count = probe(clip).frames_estimate
    if count is None:
        with Reader(clip) as reader:
            count = sum(1 for _ in reader)
    chosen = evenly(count, min(frames, count))
    pictures = sample_frames(clip, chosen, max_side=max_side)
    return {f"{clip.name}:{i}": picture for i, picture in zip(chosen, pictures, strict=True)}


def label(options: PseudoLabelling) -> Path:
    """Labels evenly spread frames of every clip in a folder; returns the file.

    Raises InputError where the folder holds no clip, or for one that cannot be read.
    """
    clips = sorted(p for p in options.clips.glob("*") if p.suffix.lower() in MEDIA_SUFFIXES)
    if not clips:
        raise InputError(f"no clips in {options.clips}", hint="name a folder of videos or pictures")
    pictures: dict[str, ImageArray] = {}
    for clip in clips:
        pictures |= frames_of(clip, frames=options.frames, max_side=options.max_side)
    build(pictures, [options.teacher, options.second], options.target)
    return options.target
