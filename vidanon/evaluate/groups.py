"""Rough groups of people and pictures, for asking whether a measure holds for all of them alike.

In: the original's crop and keypoints, or a table somebody made. Out: names of groups. Tone and pose are estimates from
one photo: light changes the first, and neither says who somebody is.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from vidanon.errors import InputError
from vidanon.evaluate.crops import FACE_PX, Crop, Place
from vidanon.geometry import apply
from vidanon.types import FACE_POINT_INDEX, FloatArray

TONES = ((41.0, "light"), (10.0, "medium"), (-180.0, "dark"))
"""least individual typology angle of each group, degrees: the six of Chardon et al. 1991, two and two together"""
TURNED = (0.25, 0.55)
"""how far the nose is off the middle between the eyes, in half distances of the eyes: facing, turned, far turned"""
POSES = ("facing", "turned", "far turned")
UNKNOWN = "unknown"
CHEEK = 0.06
"""half the side of a patch of cheek, in face sizes"""


def skin(crop: Crop, place: Place) -> FloatArray | None:
    """CIE L*a*b* [3] of the skin: the median of two patches of cheek, halfway from each eye to its corner of the mouth,
    a bit outwards. None where they cannot be found.
    """
    points = apply(place.matrix, place.points)
    patches = []
    for side in ("right", "left"):
        eye, mouth = points[FACE_POINT_INDEX[f"{side}_eye"]], points[FACE_POINT_INDEX[f"mouth_{side}"]]
        middle = 0.5 * (eye + mouth) + 0.25 * (eye - mouth) * (1, 0)
        if not np.isfinite(middle).all():
            continue
        low, high = (np.rint(middle + k * CHEEK * FACE_PX).astype(int) for k in (-1, 1))
        if (low < 0).any() or (high > len(crop.rgb)).any():
            continue
        patches.append(crop.rgb[low[1] : high[1], low[0] : high[0]].reshape(-1, 3))
    if not patches:
        return None
    colour = np.median(np.concatenate(patches), axis=0).astype(np.float32)
    return np.asarray(cv2.cvtColor(colour.reshape(1, 1, 3), cv2.COLOR_RGB2Lab)[0, 0], np.float32)


def tone(colour: FloatArray | None) -> str:
    """Group of a skin's L*a*b* colour [3] by the individual typology angle atan((L* - 50) / b*)."""
    if colour is None:
        return UNKNOWN
    lightness, _, yellow = (float(v) for v in colour)
    angle = float(np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-3))))
    return next(name for least, name in TONES if angle >= least)


def pose(points: FloatArray) -> str:
    """How far a face is turned, by how far its nose is off the middle between the eyes; `points` [30, 2]."""
    right, left, nose = (
        points[FACE_POINT_INDEX[name]].astype(np.float64) for name in ("right_eye", "left_eye", "nose")
    )
    across = left - right
    length = float(np.hypot(*across))
    if not np.isfinite(length) or not np.isfinite(nose).all() or length < 1e-6:
        return UNKNOWN
    off = abs(float((nose - (right + left) / 2) @ across)) / length / (length / 2)
    return POSES[int(np.searchsorted(TURNED, off, side="right"))]


Kinds = Mapping[str, Mapping[str, str]]
"""the group of each photo, by its file's name, for every kind of group"""


def read_groups(path: Path) -> Kinds:
    """Groups of photos from a table (CSV, UTF-8): a column `file`, and one for every kind (age, glasses, ...).

    Photos that are not listed, and empty cells, are in no group. Raises InputError for what is no such table.
    """
    hint = "its first line names the columns: file,age,glasses; each other line is a photo: jane__0.jpg,old,no"
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{path}: is no table of groups: {e}", hint=hint) from e
    if not rows or "file" not in rows[0] or len(rows[0]) < 2:
        raise InputError(f"{path}: is no table of groups: it wants a column file and at least one more", hint=hint)
    found: dict[str, dict[str, str]] = {kind: {} for kind in rows[0] if kind != "file"}
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"{path}: line {line} has another number of columns than the first", hint=hint)
        for kind, groups in found.items():
            if row["file"] in groups:
                raise InputError(f"{path}: line {line} lists {row['file']} again", hint=hint)
            if row[kind].strip():
                groups[row["file"]] = row[kind].strip()
    return found
