"""How faces are built, on average and in their variety: the statistics that `render.shape` exchanges builds with.

In: a face set's labels. Out: means of the traits, and how they vary together from person to person.

One photo does not tell a long nose from a lowered head. So what nodding, smiling, speaking and blinking explain of the
traits is regressed out first: how high the ends of the jaw, at the ears, lie above the eyes; how high the corners
of the mouth lie; how open mouth and lids are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidanon.errors import InputError
from vidanon.geometry import apply
from vidanon.render.align import crop_matrix, face_pose
from vidanon.render.shape import traits_of
from vidanon.train.faces import labels_of, set_points
from vidanon.types import FACE_POINT_INDEX, FloatArray

LEAST_FACES = 100
"""fewer say nothing about how faces vary"""


@dataclass(frozen=True, slots=True)
class Builds:
    """Everything a measurement of builds is told."""

    data: Path
    """folder of a face data set; the faces of its `train` split that look ahead are measured"""
    target: Path
    """JSON file to be written"""


def variety(traits: FloatArray, moods: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(means [T], Cholesky factor [T, T] of the covariance) of traits [N, T], what `moods` [N, M] explain taken out.

    `weights` [N] is how much a face counts. Raises numpy.linalg.LinAlgError for traits that depend on each other.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    mean = share @ traits
    away, root = traits - mean, np.sqrt(share)[:, None]
    causes = np.asarray(moods - share @ moods, np.float64)
    explained, *_ = np.linalg.lstsq(root * causes, root * away, rcond=None)
    rest = away - causes @ explained
    factor = np.linalg.cholesky((share[:, None] * rest).T @ rest)
    return np.asarray(mean, np.float32), np.asarray(factor, np.float32)


def moods_of(points: FloatArray) -> FloatArray:
    """[4] what a face does, of keypoints [30, 2] in 0..1 of the upright crop: nodding, smiling, speaking, blinking."""

    def height(*names: str) -> float:
        return float(np.mean([points[FACE_POINT_INDEX[name], 1] for name in names]))

    return np.array(
        [
            height("jaw_0", "jaw_8") - height("right_eye", "left_eye"),
            height("mouth_right", "mouth_left") - height("lip_upper_inner", "lip_lower_inner"),
            height("lip_lower_inner") - height("lip_upper_inner"),
            height("right_lid_lower", "left_lid_lower") - height("right_lid_upper", "left_lid_upper"),
        ],
        np.float32,
    )


def measure(options: Builds) -> Path:
    """Writes `usual` [T], `variety` [T, T] (both in crops, see `render.shape`) and `faces`; returns the file.

    Raises InputError where the folder is no face set, or one with too few faces.
    """
    labels = labels_of(options.data)
    rows = np.flatnonzero(labels["split"] == "train")
    traits, moods, weights = [], [], []
    for box, points in zip(labels["box"][rows].astype(np.float32), set_points(labels, rows), strict=True):
        try:
            upright = np.asarray(apply(crop_matrix(face_pose(box, points), 1), points), np.float32)
        except ValueError:
            continue
        (shape, weight), mood = traits_of(upright), moods_of(upright)
        if weight > 0 and np.isfinite(mood).all():
            traits.append(shape)
            moods.append(mood)
            weights.append(weight)
    if len(traits) < LEAST_FACES:
        raise InputError(f"{options.data} has {len(traits)} faces that look ahead", hint=f"{LEAST_FACES} are needed")
    mean, factor = variety(*(np.array(part, np.float32) for part in (traits, moods, weights)))
    found = {
        "usual": mean.round(4).astype(float).tolist(),
        "variety": factor.round(5).astype(float).tolist(),
        "faces": len(traits),
    }
    options.target.parent.mkdir(parents=True, exist_ok=True)
    options.target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return options.target
