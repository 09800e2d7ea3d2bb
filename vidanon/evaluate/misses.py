"""Faces that somebody else's detector sees and a plan does not cover: a second opinion on a finished scan.

In: a clip, its plan, teachers (ONNX detectors). Out: every face of at least so many px, seen by any teacher at any
scale with at least such a score, of which no planned box covers the greater part.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


@dataclass(frozen=True, slots=True)
class Miss:
    """A face that only a teacher sees."""

    frame: int
    """index"""
    box: tuple[float, float, float, float]
    """xyxy px"""
    score: float
    """of the surest teacher"""


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


def second_opinion(image: ImageArray, teachers: Sequence[Network], *, least: float, min_px: float) -> Detections:
    """What any teacher sees at any scale, in px of the picture [h, w, 3]; one detection a face."""
    parts = []
    height, width = image.shape[:2]
    for scale in SCALES:
        if scale > 1 and max(height, width) * scale > LONGEST_PX:
            continue
        parts += [seen_at(teacher, image, scale) for teacher in teachers]
    found = suppress(join(parts), iou=0.4)
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    keep = (found.scores >= least) & (sides >= min_px)
    return Detections(found.boxes[keep], found.scores[keep], found.keypoints[keep])


def uncovered(found: Detections, planned: FloatArray) -> list[int]:
    """Rows of `found` of which no planned box [N, 4] covers the share SHARE."""
    share = geometry.within(found.boxes, planned).max(axis=1, initial=0)
    return [int(i) for i in np.flatnonzero(share < SHARE)]


def find_misses(
    clip: Path, plan_path: Path, teachers: Sequence[Network], *, least: float = 0.6, min_px: float = 16, every: int = 1
) -> tuple[MissReport, list[ImageArray]]:
    """The report, and a crop of three face sides around every miss.

    Looks at every `every`-th frame. Raises InputError for a clip that cannot be read, PlanError for a plan that is not
    finished or not the clip's.
    """
    misses, crops, frames, faces = [], [], 0, 0
    with Plan.open(plan_path) as plan, Reader(clip) as reader:
        plan.require_source(fingerprint(clip))
        plan.require_settled()
        covered = {track.number for track in plan.tracks() if track.action == "anonymize"}
        with closing(plan.planned()) as frames_planned:
            for frame, (_, _, items) in zip(reader, frames_planned, strict=False):
                if frame.index % every:
                    continue
                planned = [item.box for item in items if item.track in covered]
                image = frame.rgb()
                found = second_opinion(image, teachers, least=least, min_px=min_px)
                frames, faces = frames + 1, faces + len(found)
                for i in uncovered(found, np.array(planned, np.float32).reshape(-1, 4)):
                    x0, y0, x1, y1 = (float(v) for v in found.boxes[i])
                    misses.append(Miss(frame.index, (x0, y0, x1, y1), float(found.scores[i])))
                    crops.append(_surroundings(image, found.boxes[i]))
    return MissReport(clip.name, frames, faces, tuple(misses)), crops


def _surroundings(image: ImageArray, box: FloatArray) -> ImageArray:
    x, y, w, h = (float(v) for v in geometry.centre_size(box))
    half = 1.5 * max(w, h)
    height, width = image.shape[:2]
    x0, x1 = (int(np.clip(v, 0, width)) for v in (x - half, x + half))
    y0, y1 = (int(np.clip(v, 0, height)) for v in (y - half, y + half))
    return image[y0:y1, x0:x1]
