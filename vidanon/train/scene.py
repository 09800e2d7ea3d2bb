"""A training scene while it is being composed: the picture, and what is known of the faces in it so far.

In: faces as they are put in, and things that cover them. Out: `Labelled`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vidanon import geometry
from vidanon.train.labelled import Labelled, unknown_points
from vidanon.types import FloatArray, ImageArray

MIN_BOX_PX = 6.0
"""Boxes with a smaller longer side are ignored in the loss: nobody can say where they end."""


@dataclass
class Scene:
    """A scene while it is being composed."""

    image: ImageArray
    boxes: list[FloatArray] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    ignore: list[bool] = field(default_factory=list)
    visible: list[FloatArray] = field(default_factory=list)

    def add(
        self,
        box: FloatArray,
        points: FloatArray,
        visible: FloatArray,
        *,
        ignore: bool,
        window: tuple[int, int, int, int],
    ) -> None:
        """Adds a face seen through `window` (x0, y0, x1, y1): clipped, ignored or dropped by what is left of it."""
        x0, y0, x1, y1 = window
        seen = np.array([max(box[0], x0), max(box[1], y0), min(box[2], x1), min(box[3], y1)], np.float32)
        left = float(geometry.area(seen) / max(float(geometry.area(box)), 1e-6))
        if left < 0.1:
            return
        tiny = max(seen[2] - seen[0], seen[3] - seen[1]) < MIN_BOX_PX
        self.boxes.append(seen)
        self.points.append(points)
        outside = (points < (x0, y0)).any(1) | (points >= (x1, y1)).any(1)
        self.visible.append(np.where(outside & np.isfinite(visible), np.float32(0), visible))
        self.ignore.append(bool(ignore or tiny or left < 0.45))

    def cover(self, alpha: FloatArray, x0: int, y0: int) -> None:
        """Something opaque was drawn at (x0, y0): faces mostly under it are gone, half-covered ones ignored."""
        h, w = alpha.shape
        keep = []
        for i, box in enumerate(self.boxes):
            a, b, c, d = (int(v) for v in np.round(box))
            part = alpha[max(b - y0, 0) : max(min(d - y0, h), 0), max(a - x0, 0) : max(min(c - x0, w), 0)]
            share = float(part.sum()) / max((c - a) * (d - b), 1)
            self.ignore[i] = self.ignore[i] or share > 0.3
            column, row = np.floor(np.nan_to_num(self.points[i], nan=-1e6)).astype(int).T
            under = (column >= x0) & (column < x0 + w) & (row >= y0) & (row < y0 + h)
            hidden = under & (alpha[np.clip(row - y0, 0, h - 1), np.clip(column - x0, 0, w - 1)] > 0.5)
            self.visible[i] = np.where(hidden, np.float32(0), self.visible[i])
            if share < 0.75:
                keep.append(i)
        self.boxes, self.points = [self.boxes[i] for i in keep], [self.points[i] for i in keep]
        self.ignore, self.visible = [self.ignore[i] for i in keep], [self.visible[i] for i in keep]

    def free(self, box: FloatArray) -> bool:
        """True where `box` overlaps no face so far."""
        if not self.boxes:
            return True
        others = np.stack(self.boxes)
        low, high = np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])
        inter = np.prod(np.clip(high - low, 0, None), axis=1)
        smaller = np.minimum(geometry.area(others), float(geometry.area(box)))
        return bool((inter < 0.1 * np.maximum(smaller, 1)).all())

    def labelled(self) -> Labelled:
        """The finished scene."""
        if not self.boxes:
            return Labelled(self.image, np.zeros((0, 4), np.float32), unknown_points(0), np.zeros(0, bool))
        flags = np.array(self.ignore)
        return Labelled(self.image, np.stack(self.boxes), np.stack(self.points), flags, np.stack(self.visible))
