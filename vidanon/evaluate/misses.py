"""Faces that somebody else's detector sees and a plan does not cover: a second opinion on a finished scan.

In: a clip, its plan, teachers (ONNX detectors). Out: every face of at least so many px, seen by any teacher at any
scale with at least such a score, of which no planned box covers the greater part; and, so that each can be named, how
many looks agree on it and what the scan itself saw there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon import geometry
from vidanon.detect.base import Network, join, suppress
from vidanon.detect.plain import seen_at
from vidanon.media.probe import fingerprint
from vidanon.media.reader import Reader
from vidanon.plan.store import Plan
from vidanon.types import Detections, FloatArray, ImageArray

SCALES = (0.5, 1.0, 2.0)
LONGEST_PX = 2600
"""scales that would make a picture longer than this are left out"""
SHARE = 0.6
"""of a teacher's box that one planned box must cover"""
SAME = 0.4
"""overlap from which two boxes are taken for one face"""
CROP_PX = 160
"""longer side, at least, of the picture of a miss, so that the line around it is thin"""
MARK = (255, 230, 0)


@dataclass(frozen=True, slots=True)
class Miss:
    """A face that only a teacher sees."""

    frame: int
    """index"""
    box: tuple[float, float, float, float]
    """xyxy px"""
    score: float
    """of the surest teacher"""
    looks: int
    """how many looks, each a teacher at a scale, see it with a score that counts: one of many is often a false alarm"""
    scanned: float
    """score of the best detection of the plan's own scan over it, 0 = none: the detector saw it, tracking let it go"""


@dataclass(frozen=True, slots=True)
class MissReport:
    """A clip's second opinion."""

    clip: str
    """its file name"""
    frames: int
    """frames looked at"""
    faces: int
    """faces the teachers see in them"""
    misses: tuple[Miss, ...]
    """those the plan does not cover"""

    @property
    def frames_with_misses(self) -> float:
        """Share of the frames looked at, 0..1."""
        return len({miss.frame for miss in self.misses}) / max(self.frames, 1)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What teachers see in a picture."""

    found: Detections
    """one detection a face, px of the picture"""
    looks: NDArray[np.int64]
    """[N] how many looks, each a teacher at a scale, see it with a score that counts"""


def second_opinion(
    image: ImageArray, teachers: Sequence[Network], *, least: float, min_px: float, looks: int = 1
) -> Opinion:
    """What `looks` looks, each a teacher at a scale, see in a picture [h, w, 3], in its px."""
    parts = []
    height, width = image.shape[:2]
    for scale in SCALES:
        if scale > 1 and max(height, width) * scale > LONGEST_PX:
            continue
        parts += [seen_at(teacher, image, scale) for teacher in teachers]
    found = suppress(join(parts), iou=SAME)
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    agree = np.zeros(len(found), np.int64)
    for part in parts:
        agree += (geometry.iou(found.boxes, part.boxes[part.scores >= least]) > SAME).any(axis=1)
    keep = (found.scores >= least) & (sides >= min_px) & (agree >= looks)
    return Opinion(found.take(keep), agree[keep])


def uncovered(found: Detections, planned: FloatArray) -> list[int]:
    """Rows of `found` of which no planned box [N, 4] covers the share SHARE."""
    share = geometry.within(found.boxes, planned).max(axis=1, initial=0)
    return [int(i) for i in np.flatnonzero(share < SHARE)]


def find_misses(
    clip: Path,
    plan_path: Path,
    teachers: Sequence[Network],
    *,
    least: float = 0.6,
    min_px: float = 16,
    looks: int = 1,
    every: int = 1,
) -> tuple[MissReport, list[ImageArray]]:
    """The report, and a crop of three face sides around every miss, the box drawn.

    Looks at every `every`-th frame; a face is one that at least `looks` looks see. Raises InputError for a clip that
    cannot be read, PlanError for a plan that is not finished or not the clip's.
    """
    misses, crops, frames, faces = [], [], 0, 0
    with Plan.open(plan_path) as plan, Reader(clip) as reader:
        plan.require_source(fingerprint(clip))
        plan.require_settled()
        covered = {track.number for track in plan.tracks() if track.action == "anonymize"}
        with closing(plan.planned()) as frames_planned:
            for frame, (_, _, items), scanned in zip(reader, frames_planned, plan.scanned(), strict=False):
                if frame.index % every:
                    continue
                planned = [item.box for item in items if item.track in covered]
                image = frame.rgb()
                opinion = second_opinion(image, teachers, least=least, min_px=min_px, looks=looks)
                frames, faces = frames + 1, faces + len(opinion.found)
                for i in uncovered(opinion.found, np.array(planned, np.float32).reshape(-1, 4)):
                    box = opinion.found.boxes[i]
                    x0, y0, x1, y1 = (float(v) for v in box)
                    own = max((face.score for face in scanned.faces if _meet(face.box, box)), default=0.0)
                    score, agree = float(opinion.found.scores[i]), int(opinion.looks[i])
                    misses.append(Miss(frame.index, (x0, y0, x1, y1), score, agree, own))
                    crops.append(_surroundings(image, box))
    return MissReport(clip.name, frames, faces, tuple(misses)), crops


def _meet(own: FloatArray, other: FloatArray) -> bool:
    return bool(max(geometry.within(own, other)[0, 0], geometry.within(other, own)[0, 0]) > SAME)


def _surroundings(image: ImageArray, box: FloatArray) -> ImageArray:
    """A crop of three face sides around a box, with the box drawn."""
    x, y, w, h = (float(v) for v in geometry.centre_size(box))
    half = 1.5 * max(w, h)
    height, width = image.shape[:2]
    x0, x1 = (int(np.clip(v, 0, width)) for v in (x - half, x + half))
    y0, y1 = (int(np.clip(v, 0, height)) for v in (y - half, y + half))
    crop = image[y0:y1, x0:x1]
    scale = max(1, math.ceil(CROP_PX / max(crop.shape)))
    enlarged = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    corners = np.round((box.reshape(2, 2) - (x0, y0)) * scale).astype(int).tolist()
    return np.asarray(cv2.rectangle(enlarged, corners[0], corners[1], MARK, 1), np.uint8)
