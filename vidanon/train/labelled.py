"""Labelled pictures for the detector's training, read into memory.

In: a folder of pictures and `boxes.json`, and files of pseudo-labels by `vidanon.train.pseudo`. Out: `Labelled`.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidanon.errors import InputError
from vidanon.types import UNSAID, FloatArray, ImageArray

HELD_OUT_EVERY = 5
"""Every fifth labelled picture, in the order of the names, is never trained on."""


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


def split(names: list[str]) -> tuple[list[str], list[str]]:
    """The labelled pictures to train on, and the held-out ones."""
    names = sorted(names)
    return [n for i, n in enumerate(names) if i % HELD_OUT_EVERY], names[::HELD_OUT_EVERY]


def unknown_points(n: int) -> FloatArray:
    """[n, 5, 2] of NaN."""
    return np.full((n, 5, 2), np.nan, np.float32)


def names_of(folder: Path) -> list[str]:
    """The pictures that a folder's `boxes.json` lists. Raises InputError where there is none."""
    return list(_listed(folder))


def _listed(folder: Path) -> dict[str, Any]:
    try:
        listed: dict[str, Any] = json.loads((folder / "boxes.json").read_text())
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no boxes.json", hint="it maps picture names to {'boxes': [[x0, y0, x1, y1]]}"
        ) from None
    return listed


def read_pictures(folder: Path, names: list[str] | None = None) -> dict[str, Labelled]:
    """Pictures of a folder with `boxes.json` ({name: {"boxes": [[x0, y0, x1, y1]...]}}), all or the named ones.

    Raises InputError where the folder has no such file.
    """
    listed = _listed(folder)
    out = {}
    for name in sorted(listed) if names is None else names:
        path = folder / name if (folder / name).exists() else folder / f"{name}.jpg"
        boxes = np.array(listed[name]["boxes"], np.float32).reshape(-1, 4)
        image = np.asarray(Image.open(path).convert("RGB"))
        out[name] = Labelled(image, boxes, unknown_points(len(boxes)), np.zeros(len(boxes), bool))
    return out


def read_pseudo(path: Path) -> list[Labelled]:
    """Pictures written by `vidanon.train.pseudo`."""
    data = np.load(path)
    out = []
    for i in range(int(data["count"])):
        image = np.asarray(Image.open(io.BytesIO(data[f"jpeg_{i}"].tobytes())).convert("RGB"))
        out.append(Labelled(image, data[f"boxes_{i}"], data[f"points_{i}"], data[f"ignore_{i}"]))
    return out
