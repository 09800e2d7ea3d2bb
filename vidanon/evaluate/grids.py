"""Where a detector goes blind: recall by face size and tilt, by blur and by noise.

In: a folder of portraits, each with one face in its middle (the layout of LFW), and a `Detector`. Each portrait is
scaled, turned and damaged as a cell of the grid says, and set on a canvas whose edges continue it. Out: recall of every
cell, and how often what is below the chin is taken for a face. A hit is a detection whose centre is within 0.35 face
sides of the middle and whose side is between half and twice the face's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vidanon import geometry
from vidanon.detect.base import Detector
from vidanon.errors import InputError
from vidanon.types import Detections, ImageArray

FACE_SHARE = 0.44
"""side of the face in sides of its portrait"""
CANVAS_PX = 384
"""side of the canvas, unless the face is so large that it needs more"""
NEAR, SMALLEST, LARGEST = 0.35, 0.5, 2.0
ASIDE, BELOW = 0.6, (0.7, 1.7)
"""Where a neck and a chest are, in face sides from the middle of the face."""
SIZES_PX = (8.0, 12.0, 16.0, 24.0, 48.0, 100.0, 200.0, 400.0, 600.0)
TILTS_DEG = (0.0, 30.0, 60.0, 90.0)
BLURS = (0.0, 0.05, 0.1, 0.2, 0.4)
"""lengths of motion blur, in face sides"""
NOISES = (0.0, 10.0, 20.0, 40.0)
"""standard deviations of grey noise, in levels of 255"""
DAMAGED_PX = (16.0, 48.0, 200.0)
"""face sizes at which blur and noise are tried"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of a grid."""

    face_px: float
    """longer side of the face"""
    tilt: float = 0.0
    """degrees; half of the pictures are turned the other way"""
    blur: float = 0.0
    """length of motion blur in face sides"""
    noise: float = 0.0
    """standard deviation, levels of 255"""


@dataclass(frozen=True, slots=True)
class GridReport:
    """Recall of every cell, 0..1."""

    detector: str
    """its name"""
    pictures: int
    """portraits in every cell"""
    main_faces: float
    """recall on the portraits as they are"""
    chests: float
    """share of them in which a neck or chest is taken for a face"""
    cells: tuple[tuple[Cell, float], ...]
    """every cell with its recall"""

    def recall(self, cell: Cell) -> float:
        """Of one cell. Raises KeyError for one that was not measured."""
        return dict(self.cells)[cell]


def plan_cells() -> Iterator[Cell]:
    """Sizes by tilts, then blurs and noises at three sizes."""
    for tilt in TILTS_DEG:
        for size in SIZES_PX:
            yield Cell(size, tilt=tilt)
    for size in DAMAGED_PX:
        yield from (Cell(size, blur=blur) for blur in BLURS[1:])
        yield from (Cell(size, noise=noise) for noise in NOISES[1:])


def canvas_of(portrait: ImageArray, cell: Cell, *, clockwise: bool, seed: int) -> ImageArray:
    """The portrait [h, w, 3] as the cell wants it, its face in the middle of a square [S, S, 3]."""
    height, width = portrait.shape[:2]
    scale = cell.face_px / (FACE_SHARE * min(height, width))
    side = max(CANVAS_PX, round(1.3 * cell.face_px))
    while scale < 0.5:
        portrait = np.asarray(cv2.resize(portrait, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        scale *= 2
    height, width = portrait.shape[:2]
    angle = math.radians(cell.tilt if clockwise else -cell.tilt)
    # OpenCV puts the centres of pixels at whole numbers
    matrix = geometry.similarity(scale, angle, ((width - 1) / 2, (height - 1) / 2), ((side - 1) / 2, (side - 1) / 2))
    image = cv2.warpAffine(portrait, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    length = round(cell.blur * cell.face_px)
    if length > 1:
        image = cv2.blur(image, (length, 1), borderType=cv2.BORDER_REPLICATE)
    if cell.noise:
        grain = np.random.default_rng(seed).normal(0, cell.noise, (side, side, 1))
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return np.asarray(image, np.uint8)


def is_hit(found: Detections, *, centre: tuple[float, float], face_px: float, threshold: float) -> bool:
    """True where a detection of at least `threshold` is the face of `face_px` around `centre`."""
    x, y, w, h = geometry.centre_size(found.boxes).T
    sides = np.maximum(w, h)
    near = np.hypot(x - centre[0], y - centre[1]) < NEAR * face_px
    alike = (sides > SMALLEST * face_px) & (sides < LARGEST * face_px)
    return bool((near & alike & (found.scores >= threshold)).any())


def read_portraits(folder: Path, count: int | None) -> list[ImageArray]:
    """Evenly spread pictures of a folder, all with None. Raises InputError for an empty folder or a damaged picture."""
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not paths:
        raise InputError(f"no pictures in {folder}", hint="name a folder of portraits")
    if count is not None and count < len(paths):
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]
    portraits = []
    for path in paths:
        try:
            with Image.open(path) as picture:
                portraits.append(np.asarray(picture.convert("RGB")))
        except OSError as e:
            raise InputError(f"picture {path} cannot be read: {e}") from e
    return portraits


def measure_cell(portraits: Sequence[ImageArray], detector: Detector, cell: Cell, *, threshold: float) -> float:
    """Recall in one cell."""
    hits = 0
    for i, portrait in enumerate(portraits):
        canvas = canvas_of(portrait, cell, clockwise=bool(i % 2), seed=i)
        (found,) = detector.detect([canvas])
        middle = canvas.shape[1] / 2
        hits += is_hit(found, centre=(middle, middle), face_px=cell.face_px, threshold=threshold)
    return hits / len(portraits)


def has_face_below(found: Detections, *, centre: tuple[float, float], face_px: float, threshold: float) -> bool:
    """True where a detection of at least `threshold` is on the chest below the face of `face_px` around `centre`."""
    x, y, _, _ = geometry.centre_size(found.boxes).T
    aside, down = np.abs(x - centre[0]) / face_px, (y - centre[1]) / face_px
    there = (aside < ASIDE) & (down > BELOW[0]) & (down < BELOW[1])
    return bool((there & (found.scores >= threshold)).any())


def as_they_are(portraits: Sequence[ImageArray], detector: Detector, *, threshold: float) -> tuple[float, float]:
    """Shares of portraits whose face in the middle is found, and with a face found on the chest."""
    hits = chests = 0
    for portrait in portraits:
        height, width = portrait.shape[:2]
        (found,) = detector.detect([portrait])
        size, middle = FACE_SHARE * min(height, width), (width / 2, height / 2)
        hits += is_hit(found, centre=middle, face_px=size, threshold=threshold)
        chests += has_face_below(found, centre=middle, face_px=size, threshold=threshold)
    return hits / len(portraits), chests / len(portraits)


def evaluate_grids(folder: Path, detector: Detector, *, threshold: float, count: int = 100) -> GridReport:
    """Measures every cell on `count` portraits, all portraits as they are. Raises InputError as `read_portraits`."""
    everyone = read_portraits(folder, None)
    few = read_portraits(folder, count)
    cells = tuple((cell, measure_cell(few, detector, cell, threshold=threshold)) for cell in plan_cells())
    return GridReport(detector.name, len(few), *as_they_are(everyone, detector, threshold=threshold), cells)
