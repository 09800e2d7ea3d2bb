"""Labelled pictures for the detector's training, read into memory.

In: a data folder with `faces/` (zipped 256 px crops and `labels.npz`) and `crowd-dev/` (pictures and `boxes.json`), and
files of pseudo-labels by `vidanon.train.pseudo`. Out: `FaceCrop` and `Labelled`.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidanon.errors import InputError
from vidanon.types import FIVE_POINTS, FloatArray, ImageArray

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


def split(names: list[str]) -> tuple[list[str], list[str]]:
    """The labelled pictures to train on, and the held-out ones."""
    names = sorted(names)
    return [n for i, n in enumerate(names) if i % HELD_OUT_EVERY], names[::HELD_OUT_EVERY]


def unknown_points(n: int) -> FloatArray:
    """[n, 5, 2] of NaN."""
    return np.full((n, 5, 2), np.nan, np.float32)


def read_pictures(folder: Path, names: list[str] | None = None) -> dict[str, Labelled]:
    """Pictures of a folder with `boxes.json` ({name: {"boxes": [[x0, y0, x1, y1]...]}}), all or the named ones.

    Raises InputError where the folder has no such file.
    """
    try:
        listed = json.loads((folder / "boxes.json").read_text())
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no boxes.json", hint="it maps picture names to {'boxes': [[x0, y0, x1, y1]]}"
        ) from None
    out = {}
    for name in sorted(listed) if names is None else names:
        path = folder / name if (folder / name).exists() else folder / f"{name}.jpg"
        boxes = np.array(listed[name]["boxes"], np.float32).reshape(-1, 4)
        image = np.asarray(Image.open(path).convert("RGB"))
        out[name] = Labelled(image, boxes, unknown_points(len(boxes)), np.zeros(len(boxes), bool))
    return out


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """One portrait crop at 256, 128, 64 and 32 px, so that shrinking it never aliases."""

    levels: tuple[ImageArray, ...]
    box: FloatArray
    """[4] px of the 256 px level"""
    points: FloatArray
    """[5, 2] px of the 256 px level"""


def five_points(kp: FloatArray) -> FloatArray:
    """The five points [5, 2] of 70 face marks [70, 2] (iBUG 68 and the pupils)."""
    return np.stack([kp[36:42].mean(0), kp[42:48].mean(0), kp[30], kp[48], kp[54]]).astype(np.float32)


def halved(image: ImageArray, *, least: int) -> tuple[ImageArray, ...]:
    """The picture, half of it, a quarter of it ... while the shorter side is at least `least` px."""
    levels = [image]
    while min(levels[-1].shape[:2]) >= 2 * least:
        h, w = levels[-1].shape[:2]
        small = cv2.resize(levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(small, np.uint8))
    return tuple(levels)


def read_faces(folder: Path, *, limit: int | None = None, part: str = "train") -> list[FaceCrop]:
    """The face crops of `faces/` whose split is `part`, at most `limit` of them."""
    with np.load(folder / "labels.npz") as labels:
        boxes, parts = labels["box"].astype(np.float32), labels["split"]
        if "points" in labels:
            points = labels["points"][:, : len(FIVE_POINTS)].astype(np.float32)
        else:
            points = np.stack([five_points(kp) for kp in labels["kp"].astype(np.float32)])
    crops: list[FaceCrop] = []
    for archive in sorted(folder.glob("images-*.zip")):
        with zipfile.ZipFile(archive) as z:
            for name in sorted(z.namelist()):
                row = int(Path(name).stem)
                if str(parts[row]) != part or (limit is not None and len(crops) >= limit):
                    continue
                image = np.asarray(Image.open(io.BytesIO(z.read(name))).convert("RGB"))
                crops.append(FaceCrop(halved(image, least=32), boxes[row], points[row]))
    return crops


def read_pseudo(path: Path) -> list[Labelled]:
    """Pictures written by `vidanon.train.pseudo`."""
    data = np.load(path)
    out = []
    for i in range(int(data["count"])):
        image = np.asarray(Image.open(io.BytesIO(data[f"jpeg_{i}"].tobytes())).convert("RGB"))
        out.append(Labelled(image, data[f"boxes_{i}"], data[f"points_{i}"], data[f"ignore_{i}"]))
    return out
