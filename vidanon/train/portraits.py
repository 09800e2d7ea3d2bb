"""Portraits for the detector's scenes: the crops of a face set, and the same heads turned.

In: a folder of `images-*.zip` (NNNNN.webp, 256 px) and `labels.npz`. Out: `FaceCrop`s.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from vidanon.train.faces import face_points, set_points
from vidanon.train.turning import turned
from vidanon.types import FIVE_POINTS, FloatArray, ImageArray

SMALLEST_PX = 32
"""Side of the coarsest level."""
FIVE_IN_IBUG = ([*range(36, 42)], [*range(42, 48)], [30], [48], [54])
"""The five points among the 70 marks."""
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
    with np.load(folder / "labels.npz") as stored:
        labels = {name: stored[name] for name in stored.files}
    boxes, rows = labels["box"].astype(np.float32), np.flatnonzero(labels["split"] == part)[:limit]
    points = set_points(labels, np.arange(len(boxes)))
    wanted = set(rows.tolist())
    rng = np.random.default_rng((seed, 7))
    crops: list[FaceCrop] = []
    for row, image in _pictures(folder, wanted):
        crops.append(FaceCrop(halved(image, least=SMALLEST_PX), boxes[row], points[row], np.ones(5, np.float32)))
        if "z" in labels and rng.random() < turns:
            crops += _turned(image, labels, row, rng)
    return crops


def _pictures(folder: Path, wanted: set[int]) -> Iterator[tuple[int, ImageArray]]:
    for archive in sorted(folder.glob("images-*.zip")):
        with zipfile.ZipFile(archive) as z:
            for name in sorted(z.namelist()):
                row = int(Path(name).stem)
                if row in wanted:
                    yield row, np.asarray(Image.open(io.BytesIO(z.read(name))).convert("RGB"))


def _turned(image: ImageArray, labels: dict[str, NDArray[Any]], row: int, rng: Generator) -> Sequence[FaceCrop]:
    """The head turned by some way; none where too little of it is left."""
    kp, z, pose, flat = (np.asarray(labels[name][row], np.float32) for name in ("kp", "z", "pose", "box"))
    yaw = float(rng.uniform(*YAW)) * float(rng.choice([-1, 1]))
    pitch = float(rng.uniform(-PITCH, PITCH))
    head = turned(image, kp, z * image.shape[0], pose, flat, yaw=yaw, pitch=pitch, rng=rng)
    x0, y0, x1, y1 = (int(v) for v in np.clip(np.round(head.box), 0, image.shape[0]))
    inner = head.known[y0:y1, x0:x1]
    if not inner.size or inner.mean() < LEAST_KNOWN:
        return ()
    known = cv2.erode(head.known.astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
    filled = np.asarray(cv2.inpaint(head.image, 255 - known, 3, cv2.INPAINT_TELEA), np.uint8)
    seen = np.array([head.visible[marks].mean() > 0.5 for marks in FIVE_IN_IBUG], np.float32)
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
