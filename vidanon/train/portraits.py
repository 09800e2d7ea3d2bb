"""Portraits for the detector's scenes: the crops of a face set, and the same heads turned.

In: a set's folder (train/faces.py), its pictures 256 px wide. Out: `FaceCrop`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vidanon.train.faces import IBUG, face_points, has_depth, in_depth, labels_of, pictures, set_points
from vidanon.train.turning import turned
from vidanon.types import FIVE_POINTS, FloatArray, ImageArray

SMALLEST_PX = 32
"""Side of the coarsest level."""
YAW, PITCH = (15.0, 60.0), 20.0
"""Degrees by which heads are turned, to either side, and up or down at most."""
LEAST_KNOWN = 0.6
"""A turned head of which less of the box is defined is of no use."""


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """One portrait crop at 256, 128, 64 and 32 px, so that shrinking it never aliases."""

    levels: tuple[ImageArray, ...]
    box: FloatArray
    """[4] px of the 256 px level"""
    points: FloatArray
    """[30, 2] px of the 256 px level, in the order of FACE_POINTS, NaN where unknown"""
    visible: FloatArray
    """[5] of each of FIVE_POINTS, 1 = seen, 0 = turned away"""
    known: tuple[ImageArray, ...] = ()
    """[S, S] of each level, 255 = its pixels are defined; empty = all are"""

    def tone(self) -> FloatArray:
        """[3] RGB, about the colour of the skin: the median of the middle of the face."""
        small = self.levels[-1]
        x0, y0, x1, y1 = self.box * (small.shape[0] / 256)
        inset = (x1 - x0) / 4
        middle = small[int(max(y0 + inset, 0)) : int(y1 - inset) + 1, int(max(x0 + inset, 0)) : int(x1 - inset) + 1]
        return np.asarray(np.median(middle.reshape(-1, 3), axis=0), np.float32)

    def head(self, level: int) -> FloatArray:
        """[S, S] alpha 0..1 of a level: a soft oval around the head that leaves out the neck."""
        side = self.levels[level].shape[0]
        x0, y0, x1, y1 = self.box / 256
        centre, reach = ((x0 + x1) / 2, (1.1 * y0 + 0.9 * y1) / 2), (0.64 * (x1 - x0), 0.62 * (y1 - y0))
        x, y = ((np.arange(side) + 0.5) / side - c for c in centre)
        away = np.hypot(x[None] / reach[0], y[:, None] / reach[1])
        return np.asarray(np.clip((1.05 - away) * 7, 0, 1), np.float32)


def halved(image: ImageArray, *, least: int) -> tuple[ImageArray, ...]:
    """The picture, half of it, a quarter of it ... while the shorter side is at least `least` px."""
    levels = [image]
    while min(levels[-1].shape[:2]) >= 2 * least:
        h, w = levels[-1].shape[:2]
        small = cv2.resize(levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(small, np.uint8))
    return tuple(levels)


def read_faces(
    folder: Path, *, limit: int | None = None, part: str = "train", turns: float = 0.5, seed: int = 0
) -> list[FaceCrop]:
    """The face crops of `faces/` whose split is `part`, at most `limit` of them, and turned ones: `turns` for each.

    Only a set whose labels have depth (`z`) has heads that can be turned.
    """
    labels = labels_of(folder)
    rows = np.flatnonzero(labels["split"] == part)[:limit]
    boxes, points = labels["box"][rows].astype(np.float32), set_points(labels, rows)
    rng = np.random.default_rng((seed, 7))
    crops: list[FaceCrop] = []
    for i, image in enumerate(pictures(folder, rows)):
        crops.append(FaceCrop(halved(image, least=SMALLEST_PX), boxes[i], points[i], np.ones(5, np.float32)))
        if has_depth(labels) and rng.random() < turns:
            crops += _turned(image, labels, int(rows[i]), rng)
    return crops


def _turned(image: ImageArray, labels: dict[str, NDArray[Any]], row: int, rng: Generator) -> Sequence[FaceCrop]:
    """The head turned by some way; none where too little of it is left."""
    kp, z, pose, flat = in_depth(labels, row, image.shape[0])
    yaw = float(rng.uniform(*YAW)) * float(rng.choice([-1, 1]))
    pitch = float(rng.uniform(-PITCH, PITCH))
    head = turned(image, kp, z, pose, flat, yaw=yaw, pitch=pitch, rng=rng)
    x0, y0, x1, y1 = (int(v) for v in np.clip(np.round(head.box), 0, image.shape[0]))
    inner = head.known[y0:y1, x0:x1]
    if not inner.size or inner.mean() < LEAST_KNOWN:
        return ()
    known = cv2.erode(head.known.astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
    filled = np.asarray(cv2.inpaint(head.image, 255 - known, 3, cv2.INPAINT_TELEA), np.uint8)
    seen = np.array([head.visible[list(IBUG[name])].mean() > 0.5 for name in FIVE_POINTS], np.float32)
    marks = face_points(head.kp[None], head.pose[None])[0]
    # the far corner of a mouth can lie beyond the outline of the face
    five = marks[: len(FIVE_POINTS)]
    box = np.concatenate([np.minimum(head.box[:2], five.min(0) - 1), np.maximum(head.box[2:], five.max(0) + 1)])
    levels = halved(filled, least=SMALLEST_PX)
    return (
        FaceCrop(
            levels, np.asarray(box, np.float32), marks, seen, halved(np.asarray(known, np.uint8), least=SMALLEST_PX)
        ),
    )
