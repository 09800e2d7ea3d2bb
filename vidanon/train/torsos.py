"""What is below a face: neck, shoulders, clothes, for training scenes.

In: uint8 RGB pictures, where a face is, a random generator. Out: the same pictures, drawn upon.

The crops of a face set end at the chin or a little below, so a detector trained on them alone has never seen what
follows, and takes a neckline for a jaw and the knot of a tie for a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from vidanon import geometry
from vidanon.geometry import Array
from vidanon.train.covering import outlined, paint, stroke
from vidanon.train.damage import colour
from vidanon.types import FloatArray, ImageArray

LONGEST = 3.0
"""Face sizes that a torso reaches down from the chin."""
Tone = FloatArray
"""[3] RGB, 0..255"""


class Torso:
    """Draws in the frame of a face: origin at the chin, y down the body, unit the longer side of the face's box."""

    def __init__(self, image: ImageArray, matrix: Array, rng: Generator) -> None:
        self.image, self.matrix, self.rng = image, matrix, rng
        self.unit = float(np.hypot(*matrix[:, 0]))

    def at(self, points: Sequence[tuple[float, float]] | FloatArray) -> FloatArray:
        """[N, 2] px of points in the frame of the face."""
        return geometry.apply(self.matrix, np.asarray(points, np.float64)).astype(np.float32)

    def area(self, points: Sequence[tuple[float, float]] | FloatArray, tone: Tone, *, rough: float = 0.0) -> None:
        """Fills a polygon, `rough` grey levels of folds in it."""
        shape = outlined(self.image, self.at(points))
        if shape is None:
            return
        alpha, x0, y0 = shape
        h, w = alpha.shape
        fill: FloatArray = np.broadcast_to(tone, (h, w, 3)).astype(np.float32)
        if rough:
            cells = (max(2, int(w / self.unit * 5)), max(2, int(h / self.unit * 5)))
            folds = self.rng.normal(0, rough, (cells[1], cells[0])).astype(np.float32)
            fill = fill + cv2.resize(folds, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
        paint(self.image, alpha, fill, x0, y0)

    def both(self, points: Sequence[tuple[float, float]], tone: Tone, *, rough: float = 0.0) -> None:
        """Fills a polygon and its mirror image."""
        self.area(points, tone, rough=rough)
        self.area([(-x, y) for x, y in points], tone, rough=rough)

    def line(self, points: Sequence[tuple[float, float]], tone: Tone, width: float) -> None:
        """Draws a line through points, `width` face sizes wide."""
        ends = self.at(points)
        for a, b in pairwise(ends):
            stroke(self.image, a, b, tuple(int(v) for v in tone), max(width * self.unit, 0.6))


def dress(image: ImageArray, matrix: Array, tone: Tone, rng: Generator) -> FloatArray:
    """Draws neck, shoulders and clothes below a face in place, before the face itself is drawn.

    `matrix` [2, 3] takes the frame of the face (see `Torso`) to px; `tone` [3] is its skin. Returns where was drawn,
    [h, w] 0..1.
    """
    torso, before = Torso(image, matrix, rng), image.copy()
    cloth, neck = garment(rng), float(rng.uniform(0.24, 0.4))
    collar, drop, broad = rng.uniform(0.25, 0.5), rng.uniform(0.15, 0.55), rng.uniform(0.9, 1.6)
    side = [(0.0, collar), (neck, collar - 0.1), (broad, collar + drop), (broad * 1.1, LONGEST), (0.0, LONGEST)]
    torso.both(side, cloth, rough=float(rng.uniform(0, 14)))
    if rng.random() < 0.25:
        patterned(torso, collar + drop, broad)
    throat(torso, neck, collar, tone)
    kind = rng.random()
    if kind < 0.3:
        open_neck(torso, neck, collar, tone)
    elif kind < 0.75:
        shirt(torso, neck, collar)
    elif kind < 0.85:
        high = [(-neck, -0.1), (neck, -0.1), (neck * 1.2, collar + 0.1), (-neck * 1.2, collar + 0.1)]
        torso.area(high, cloth, rough=9)
    if rng.random() < 0.25:
        pendant(torso, neck, collar)
    return np.asarray((image != before).any(2), np.float32)


def garment(rng: Generator) -> Tone:
    """[3] what clothes are: dark, white, or anything."""
    kind = rng.random()
    if kind < 0.45:
        tone = rng.uniform(10, 80) + rng.normal(0, 8, 3)
    elif kind < 0.65:
        tone = rng.uniform(180, 250) + rng.normal(0, 6, 3)
    else:
        tone = np.array(colour(rng), np.float64)
    return np.asarray(np.clip(tone, 0, 255), np.float32)


def patterned(torso: Torso, top: float, broad: float) -> None:
    """Stripes, lengthwise or across."""
    rng, tone = torso.rng, garment(torso.rng)
    step, width = float(rng.uniform(0.06, 0.3)), float(rng.uniform(0.01, 0.08))
    if rng.random() < 0.5:
        for y in np.arange(top, 2.5, step):
            torso.line([(-broad, y), (broad, y)], tone, width)
    else:
        for x in np.arange(-broad, broad, step):
            torso.line([(x, top), (x, LONGEST)], tone, width)


def throat(torso: Torso, neck: float, collar: float, tone: Tone) -> None:
    """The neck, in the shadow of the chin, with its sinews."""
    rng, low = torso.rng, collar + 0.12
    torso.area([(-neck, -0.4), (neck, -0.4), (neck, low), (0, low + 0.15), (-neck, low)], tone * rng.uniform(0.7, 1.05))
    for part in np.linspace(1, 0.2, 4):
        shade = tone * float(1 - rng.uniform(0.1, 0.4) * part)
        deep = -0.05 + (1.1 - part) * rng.uniform(0.1, 0.3)
        torso.area([(-neck, -0.4), (neck, -0.4), (neck, deep - 0.08), (0, deep), (-neck, deep - 0.08)], shade)
    if rng.random() < 0.4:
        torso.line([(neck * 0.8, -0.05), (0.06, low)], tone * 0.75, 0.015)
        torso.line([(-neck * 0.8, -0.05), (-0.06, low)], tone * 0.75, 0.015)


def open_neck(torso: Torso, neck: float, collar: float, tone: Tone) -> None:
    """A V or a round neckline, skin in it, with a hem and the collar bones."""
    rng, deep = torso.rng, collar + float(torso.rng.uniform(0.15, 0.9))
    wide = neck * float(rng.uniform(1.0, 1.7))
    if rng.random() < 0.6:
        hem = [(-wide, collar - 0.05), (0.0, deep), (wide, collar - 0.05)]
    else:
        turn = np.linspace(np.pi, 0, 13)
        hem = [(wide * float(np.cos(t)), collar - 0.05 + (deep - collar) * 0.7 * float(np.sin(t))) for t in turn]
    torso.area([*hem, (neck, collar - 0.2), (-neck, collar - 0.2)], tone * float(rng.uniform(0.75, 1.1)), rough=4)
    torso.line(hem, garment(rng), float(rng.uniform(0.01, 0.06)))
    if rng.random() < 0.5:
        for x in (-1, 1):
            torso.line([(x * 0.05, collar + 0.08), (x * wide * 0.8, collar)], tone * 0.8, 0.025)


def shirt(torso: Torso, neck: float, collar: float) -> None:
    """Collar, and most often a tie, a bow or buttons, and lapels."""
    rng, white = torso.rng, garment(torso.rng)
    if rng.random() < 0.6:
        white = np.asarray(rng.uniform(170, 250) * np.array([0.97, 0.99, 1.0]), np.float32)
    deep, meet = collar + float(rng.uniform(0.5, 1.6)), collar + float(rng.uniform(0.0, 0.2))
    torso.area([(-neck, collar - 0.12), (neck, collar - 0.12), (0, deep)], white, rough=5)
    kind, tone = rng.random(), garment(rng)
    if kind < 0.55:
        tie(torso, meet, tone)
    elif kind < 0.65:
        torso.both([(0, meet + 0.03), (0.25, meet - 0.07), (0.25, meet + 0.15), (0, meet + 0.08)], tone)
    elif kind < 0.85:
        for y in np.arange(meet + 0.15, meet + 1.2, 0.22):
            torso.line([(0.0, y), (0.01, y)], tone, 0.05)
    spread = float(rng.uniform(0.05, 0.3))
    edge = [(neck * 1.05, collar - 0.2), (0.03, meet), (spread, meet + 0.2)]
    torso.both([*edge, (neck * 1.25, collar)], white * float(rng.uniform(0.85, 1.0)), rough=3)
    for side in (1, -1):
        torso.line([(side * x, y) for x, y in edge], white * 0.7, 0.015)
    if rng.random() < 0.5:
        lapel = [(neck, collar - 0.05), (0.04, deep), (0.3, collar + 0.7), (neck * 1.7, collar + 0.1)]
        torso.both(lapel, garment(rng) * 0.9, rough=5)


def tie(torso: Torso, top: float, tone: Tone) -> None:
    """A knot and a blade, plain or striped."""
    rng = torso.rng
    knot, long = float(rng.uniform(0.06, 0.13)), float(rng.uniform(0.6, 2.0))
    low = top + 2 * knot
    blade = [(-knot * 0.6, low), (knot * 0.6, low), (knot * 1.6, low + long), (-knot * 1.6, low + long)]
    torso.area(blade, tone, rough=9)
    for y in np.arange(low, low + long, 0.14) if rng.random() < 0.4 else ():
        torso.line([(-knot, y + 0.1), (knot, y)], garment(rng), 0.03)
    torso.area([(-knot * 1.3, top), (knot * 1.3, top), (knot * 0.8, low), (-knot * 0.8, low)], tone * 0.85, rough=9)


def pendant(torso: Torso, neck: float, collar: float) -> None:
    """A chain or a lanyard with something on it."""
    rng, deep = torso.rng, collar + float(torso.rng.uniform(0.1, 1.2))
    tone = np.asarray(rng.uniform(60, 255, 3), np.float32)
    torso.line([(-neck, collar - 0.1), (0, deep), (neck, collar - 0.1)], tone, float(rng.uniform(0.01, 0.05)))
    half, long = float(rng.uniform(0.02, 0.2)), float(rng.uniform(0.04, 0.3))
    torso.area([(-half, deep), (half, deep), (half, deep + long), (-half, deep + long)], garment(rng))
