"""Which detections are labelled faces: what measuring and calibrating begin with.

In: `Detections` and labelled boxes of the same pictures. Out: `Matches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidanon import geometry
from vidanon.types import Detections, FloatArray


@dataclass(frozen=True, slots=True)
class Matches:
    """Detections of a whole folder, each matched with at most one label."""

    scores: FloatArray
    """[D]"""
    hits: FloatArray
    """[D] 1 = a labelled face no better detection claimed, 0 = a false positive"""
    sizes: FloatArray
    """[N] longer side of every label, px"""
    found_at: FloatArray
    """[N] score at which the label is found, -1 = never"""


def match(found: Sequence[Detections], labels: Sequence[FloatArray], *, iou: float) -> Matches:
    """Greedy matching, best score first, each label once, as PASCAL VOC does it."""
    scores: list[float] = []
    hits: list[float] = []
    sizes: list[float] = []
    found_at: list[float] = []
    for detections, boxes in zip(found, labels, strict=True):
        free = np.ones(len(boxes), bool)
        at = np.full(len(boxes), -1.0)
        overlaps = geometry.iou(detections.boxes, boxes)
        for i in np.argsort(-detections.scores, kind="stable"):
            row = np.where(free, overlaps[i], 0.0) if len(boxes) else np.zeros(1)
            best = int(row.argmax())
            hit = bool(row[best] >= iou)
            if hit:
                free[best], at[best] = False, detections.scores[i]
            scores.append(float(detections.scores[i]))
            hits.append(float(hit))
        sizes.extend((boxes[:, 2:] - boxes[:, :2]).max(axis=1) if len(boxes) else [])
        found_at.extend(at)
    return Matches(*(np.array(v, np.float32) for v in (scores, hits, sizes, found_at)))
