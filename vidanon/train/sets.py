"""A finished face set: what it says of itself, whether it is whole, what is in it, how it looks.

In: a folder with `labels.npz`, pictures `NNNNN.webp` (zipped as `images-*.zip`, or loose) and, if we
built it, `dataset.json`. Out: its record, a summary, a sheet of crops with their points. No torch.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vidanon.errors import InputError
from vidanon.types import FACE_POINTS

RECORD_NAME = "dataset.json"
LABELS_NAME = "labels.npz"
LABELS = ("box", "native_px", "source", "key", "split")
"""arrays that every set has, besides `points`, or `kp` and `pose`"""
NATIVE_EDGES = (0, 128, 192, 256, 384, 512, 768)
"""where the classes of crop sizes begin, px"""
CELL_PX = 192


class DatasetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """dataset.json: where a set is from and what was done."""

    format: int = 1
    """version of this layout"""
    licence: str
    """under which the photos may be used, in the builder's words"""
    source: str
    """where the photos are from, in the builder's words"""
    vidanon: str
    """version that built the set"""
    weights: dict[str, str]
    """sha256 of the networks that found and measured the faces"""
    options: dict[str, Any]
    """what was asked for"""
    photos: int
    """pictures looked at"""
    faces: int
    """faces kept"""
    train: int
    """of these to train on"""
    val: int
    """of these held out"""
    refused: dict[str, int]
    """photos and faces that were not taken, by reason; each of them is in refused.csv"""
    other_files: dict[str, int]
    """files that were not looked at, by ending"""


class SetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a set."""

    folder: str
    """where it is"""
    record: DatasetRecord | None
    """None for a set that vidanon did not build"""
    splits: dict[str, int]
    """faces of each split"""
    sources: dict[str, int]
    """faces of each source"""
    native_px: dict[str, int]
    """faces by the side of their crop in the photo"""

    @property
    def faces(self) -> int:
        """all of them"""
        return sum(self.splits.values())

    def line(self) -> str:
        """The set in one line, its licence included."""
        licence = self.record.licence if self.record else "not stated"
        source = self.record.source if self.record else ", ".join(self.sources)
        return (
            f"{self.faces} faces ({self.splits.get('train', 0)} to train on, {self.splits.get('val', 0)} held out); "
            f"licence: {licence}; source: {source}"
        )


def read_record(folder: Path) -> DatasetRecord | None:
    """The dataset.json of a set, None where there is none. Raises InputError if it is damaged."""
    path = folder / RECORD_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=DatasetRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as e:
        raise InputError(f"{path} cannot be read: {e}", hint="build the set anew: vidanon dataset build") from e


def provenance(folder: Path, otherwise: Mapping[str, str]) -> dict[str, str]:
    """The "licence" and "data" of the manifest record of weights that were trained on a set.

    From its dataset.json; `otherwise` for a set without one. Raises InputError if that file is damaged.
    """
    record = read_record(folder)
    if record is None:
        return dict(otherwise)
    return {
        "licence": f"to be chosen within that of the data: {record.licence}",
        "data": f"{record.train} training faces: {record.source} ({record.licence})",
    }


def pictures_of(folder: Path) -> dict[str, Path]:
    """Which zip file, or which loose file, holds each picture. Raises InputError for a damaged zip file."""
    found = {path.name: path for path in sorted(folder.glob("*.webp"))}
    for path in sorted(folder.glob("images-*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                found.update({Path(name).name: path for name in archive.namelist()})
        except (OSError, zipfile.BadZipFile) as e:
            raise InputError(f"{path} cannot be read: {e}", hint="copy or build the set anew") from e
    return found


def read_labels(folder: Path) -> dict[str, NDArray[Any]]:
    """All arrays of labels.npz. Raises InputError if it is missing or damaged."""
    path = folder / LABELS_NAME
    if not path.is_file():
        raise InputError(
            f"no {LABELS_NAME} in {folder}", hint="name the folder of a face set; see vidanon dataset build"
        )
    try:
        with np.load(path, allow_pickle=False) as labels:
            return {name: labels[name] for name in labels.files}
    except (OSError, ValueError, zipfile.BadZipFile) as e:
        raise InputError(f"{path} cannot be read: {e}", hint="copy or build the set anew") from e


def check_set(folder: Path) -> SetSummary:
    """What is in a set, after checking that a training can use it.

    Raises InputError: no labels, labels that do not match, a side of the split without faces, a missing picture.
    """
    labels = read_labels(folder)
    missing = [name for name in ("box", "source", "split") if name not in labels]
    missing += [name for name in ("kp", "pose") if name not in labels and "points" not in labels]
    if missing:
        raise InputError(
            f"{folder / LABELS_NAME} has no {', '.join(missing)}", hint="is it the label file of a face set?"
        )
    rows = len(labels["split"])
    uneven = sorted(name for name, array in labels.items() if len(array) != rows)
    if uneven:
        raise InputError(f"{folder / LABELS_NAME}: {', '.join(uneven)} has not {rows} rows", hint="build the set anew")
    splits = Counter(labels["split"].tolist())
    for side in ("train", "val"):
        if not splits[side]:
            raise InputError(f"{folder} has no {side} faces", hint="a training needs both: see --val-share")
    there = pictures_of(folder)
    lost = next((name for name in (f"{row:05d}.webp" for row in range(rows)) if name not in there), None)
    if lost is not None:
        raise InputError(f"{folder} has no picture {lost}", hint="copy or build the set anew")
    native = labels.get("native_px", np.zeros(0))
    classes = np.searchsorted(NATIVE_EDGES, native.astype(np.float64), side="right") - 1
    edges = [*(str(edge) for edge in NATIVE_EDGES), ""]
    return SetSummary(
        folder=str(folder),
        record=read_record(folder),
        splits=dict(sorted(splits.items())),
        sources=dict(sorted(Counter(labels["source"].tolist()).items())),
        native_px={
            f"{edges[i]}-{edges[i + 1]}" if edges[i + 1] else f"{edges[i]} and more": int((classes == i).sum())
            for i in range(len(NATIVE_EDGES))
        },
    )


def announce(folder: Path) -> SetSummary:
    """What a training does first: `check_set`, and a line on stderr with the set's licence.

    Raises InputError as `check_set`.
    """
    summary = check_set(folder)
    print(f"{folder}: {summary.line()}", file=sys.stderr, flush=True)
    return summary


def look_sheet(folder: Path, count: int, *, seed: int = 0) -> Image.Image:
    """`count` crops of a set at random, at most all, with points and box drawn: for a person to check.

    Points on the face are green, ears and shoulders orange, the box is white; a held-out face has a blue frame.
    Raises InputError for a set that cannot be read.
    """
    labels, there = read_labels(folder), pictures_of(folder)
    rows = np.sort(np.random.default_rng(seed).permutation(len(labels["box"]))[:count])
    columns = min(8, max(1, len(rows)))
    sheet = Image.new("RGB", (columns * CELL_PX, -(-len(rows) // columns) * CELL_PX))
    for i, row in enumerate(rows):
        crop = _picture(there, f"{row:05d}.webp", folder)
        scale = CELL_PX / crop.width
        cell = crop.resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(cell)
        draw.rectangle((labels["box"][row].astype(float) * scale).tolist(), outline=(255, 255, 255))
        marks = labels["points"][row] if "points" in labels else labels["kp"][row]
        for k, (x, y) in enumerate((marks.astype(float) * scale).tolist()):
            around = "points" in labels and FACE_POINTS[k].endswith(("ear", "shoulder"))
            if np.isfinite((x, y)).all():
                draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(255, 150, 0) if around else (0, 255, 80))
        if labels["split"][row] == "val":
            draw.rectangle((0, 0, CELL_PX - 1, CELL_PX - 1), outline=(60, 120, 255), width=4)
        sheet.paste(cell, (i % columns * CELL_PX, i // columns * CELL_PX))
    return sheet


def _picture(there: Mapping[str, Path], name: str, folder: Path) -> Image.Image:
    try:
        path = there[name]
        if path.suffix != ".zip":
            return Image.open(path).convert("RGB")
        with zipfile.ZipFile(path) as archive:
            inside = next(n for n in archive.namelist() if Path(n).name == name)
            return Image.open(io.BytesIO(archive.read(inside))).convert("RGB")
    except (KeyError, OSError, zipfile.BadZipFile) as e:
        raise InputError(f"picture {name} of {folder} cannot be read: {e}", hint="build the set anew") from e
