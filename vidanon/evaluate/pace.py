"""How long a detector takes for a frame, by smallest face and batch.

In: a frame size and named detectors. Out: a `Pace` each. What is in a picture hardly matters, so pictures are drawn:
clouds of colour, all different, none of them in a cache.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.detect.base import Detector
from vidanon.types import ImageArray


@dataclass(frozen=True, slots=True)
class Entrant:
    """A detector as it is asked."""

    detector: Detector
    """what looks"""
    min_face_px: float
    """the smallest face it was built to find"""
    batch: int
    """frames it is given together"""


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured of an entrant."""

    detector: str
    """its name"""
    device: str
    """what it ran on"""
    min_face_px: float
    """smallest face, px of the frame"""
    batch: int
    """frames a call"""
    ms: float
    """wall time a frame, median of the calls"""
    fastest: float
    """the quickest call's, ms a frame"""
    slowest: float
    """the slowest call's, ms a frame"""


def clouds(width: int, height: int, *, seed: int) -> ImageArray:
    """A picture [height, width, 3] without a face."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def measure(entrants: Sequence[Entrant], *, width: int, height: int, calls: int) -> list[Pace]:
    """`calls` timed calls of every entrant on frames of width x height px.

    They take turns, so that a busy machine slows all alike.
    """
    frames = [clouds(width, height, seed=i) for i in range(max(e.batch for e in entrants))]
    taken: list[list[float]] = [[] for _ in entrants]
    for entrant in entrants:
        entrant.detector.detect(frames[: entrant.batch])  # the first call pays for allocation; it is not timed
    for _ in range(calls):
        for entrant, times in zip(entrants, taken, strict=True):
            begin = time.perf_counter()
            entrant.detector.detect(frames[: entrant.batch])
            times.append(1000 * (time.perf_counter() - begin) / entrant.batch)
    return [
        Pace(e.detector.name, e.detector.device, e.min_face_px, e.batch, statistics.median(t), min(t), max(t))
        for e, t in zip(entrants, taken, strict=True)
    ]
