"""How good a detector is on labelled pictures.

In: a folder of labelled pictures (detect/labelled.py) and `Detector`s.
Out: a `DetectorReport` of each: average precision, recall at a given rate of false positives, recall by size, time.
Every detection the detector returns counts, so give it a low weak threshold.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidanon.detect.base import Detector
from vidanon.detect.labelled import read_labelled
from vidanon.detect.matching import Matches, match
from vidanon.types import Detections, FloatArray, ImageArray

SIZES_PX = (0.0, 12.0, 24.0, 48.0, float("inf"))
"""Edges of the size classes: the longer side of the labelled box."""
SCORES = (0.1, 0.15, 0.25, 0.35, 0.5, 0.65, 0.8)
"""At which it is told what a threshold there finds and costs."""


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """The figures of one detector on one folder."""

    detector: str
    """its name"""
    pictures: int
    """pictures looked at"""
    faces: int
    """labelled faces"""
    ap: float
    """average precision, 0..1 (area under the interpolated precision-recall curve)"""
    recall: float
    """share of the faces found at the threshold below"""
    threshold: float
    """lowest score that keeps false positives at or under `false_positives` a picture"""
    false_positives: float
    """asked-for rate of false positives a picture"""
    recall_by_size: tuple[tuple[float, float, float, int], ...]
    """(from px, to px, recall at that threshold, faces) of each size class"""
    by_score: tuple[tuple[float, float, float], ...]
    """(score, recall, false positives a picture) with that score as the threshold"""
    ms: float
    """mean wall time a picture"""


def average_precision(matches: Matches) -> float:
    """Area under the precision-recall curve, precision made monotone; 0 without labels or detections."""
    if not len(matches.sizes) or not len(matches.scores):
        return 0.0
    order = np.argsort(-matches.scores, kind="stable")
    right = np.cumsum(matches.hits[order])
    precision = right / np.arange(1, len(order) + 1)
    recall = right / len(matches.sizes)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * monotone))


def threshold_at(matches: Matches, *, pictures: int, false_positives: float) -> float:
    """The lowest score at which false positives stay at or under `false_positives` a picture (0 if always so)."""
    wrong = np.sort(matches.scores[matches.hits == 0])[::-1]
    allowed = int(false_positives * pictures)
    return float(np.nextafter(wrong[allowed], np.float32(2))) if len(wrong) > allowed else 0.0


def compare_detectors(
    images: Sequence[ImageArray],
    labels: Sequence[FloatArray],
    detectors: Sequence[Detector],
    *,
    iou: float = 0.4,
    false_positives: float = 0.5,
) -> list[DetectorReport]:
    """A report for each detector. They take turns picture by picture, so that a busy machine slows all alike."""
    found: list[list[Detections]] = [[] for _ in detectors]
    seconds = [0.0] * len(detectors)
    for image in images[:1]:
        for detector in detectors:
            detector.detect([image])  # the first call pays for allocation; it is not timed
    for image in images:
        for i, detector in enumerate(detectors):
            start = time.perf_counter()
            found[i] += detector.detect([image])
            seconds[i] += time.perf_counter() - start
    return [
        _report(detector.name, each, labels, ms=1000 * spent / max(len(images), 1), iou=iou, allowed=false_positives)
        for detector, each, spent in zip(detectors, found, seconds, strict=True)
    ]


def _report(
    name: str, found: Sequence[Detections], labels: Sequence[FloatArray], *, ms: float, iou: float, allowed: float
) -> DetectorReport:
    matches = match(found, labels, iou=iou)
    threshold = threshold_at(matches, pictures=len(labels), false_positives=allowed)
    got = matches.found_at >= max(threshold, 0.0)
    by_size = []
    for low, high in itertools.pairwise(SIZES_PX):
        among = (matches.sizes >= low) & (matches.sizes < high)
        by_size.append((low, high, float(got[among].mean()) if among.any() else float("nan"), int(among.sum())))
    wrong = matches.scores[matches.hits == 0]
    by_score = [
        (score, float((matches.found_at >= score).mean()), float((wrong >= score).sum() / max(len(labels), 1)))
        for score in SCORES
        if len(matches.sizes)
    ]
    return DetectorReport(
        detector=name,
        pictures=len(labels),
        faces=len(matches.sizes),
        ap=average_precision(matches),
        recall=float(got.mean()) if len(got) else float("nan"),
        threshold=threshold,
        false_positives=allowed,
        recall_by_size=tuple(by_size),
        by_score=tuple(by_score),
        ms=ms,
    )


def evaluate(
    folder: Path,
    detectors: Sequence[Detector],
    *,
    names: Sequence[str] | None = None,
    iou: float = 0.4,
    false_positives: float = 0.5,
) -> list[DetectorReport]:
    """Measures detectors side by side on a labelled folder; a hit is an overlap of at least `iou`.

    Raises InputError where `boxes.json` or a picture is missing or damaged.
    """
    images, labels = read_labelled(folder, names=names)
    return compare_detectors(images, labels, detectors, iou=iou, false_positives=false_positives)
