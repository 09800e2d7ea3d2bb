"""Labelled pictures for the detector's training, read into memory.

In: a folder of pictures and `boxes.json`, and files of pseudo-labels by `vidanon.train.pseudo`. Out: `Labelled`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidanon.detect.labelled import read_labelled
from vidanon.types import UNSAID, FloatArray, ImageArray


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and what is known of its faces."""

    image: ImageArray
    """[H, W, 3] RGB"""
    boxes: FloatArray
    """[N, 4] xyxy px"""
    points: FloatArray
    """[N, 5, 2] px, NaN where unknown"""
    ignore: NDArray[np.bool_]
    """[N] True where the loss must look away"""
    visible: FloatArray = field(default_factory=lambda: UNSAID)
    """[N, 5] of each point, 1 = seen, 0 = covered or turned away, NaN = unknown; left out: all unknown"""

    def __post_init__(self) -> None:
        if self.visible is UNSAID:
            object.__setattr__(self, "visible", np.full((len(self.boxes), 5), np.nan, np.float32))


def unknown_points(n: int) -> FloatArray:
    """[n, 5, 2] of NaN."""
    return np.full((n, 5, 2), np.nan, np.float32)


def read_pictures(folder: Path, names: Sequence[str]) -> list[Labelled]:
    """The named pictures of a folder with `boxes.json` (detect/labelled.py). Raises InputError as that does."""
    images, boxes = read_labelled(folder, names=names)
    return [
        Labelled(image, each, unknown_points(len(each)), np.zeros(len(each), bool))
        for image, each in zip(images, boxes, strict=True)
    ]


def read_pseudo(path: Path) -> list[Labelled]:
    """Pictures written by `vidanon.train.pseudo`."""
    data = np.load(path)
    out = []
    for i in range(int(data["count"])):
        image = np.asarray(Image.open(io.BytesIO(data[f"jpeg_{i}"].tobytes())).convert("RGB"))
        out.append(Labelled(image, data[f"boxes_{i}"], data[f"points_{i}"], data[f"ignore_{i}"]))
    return out
