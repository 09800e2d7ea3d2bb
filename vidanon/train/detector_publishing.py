"""From a detector's checkpoint to weights that can be used: the averaged network, its scores made certainties.

In: `DetectorPublishing`. Out: a weight file and its record in the manifest.

A network is surer of small faces than it should be, and of all of them after much training on few pictures. So the
score's logit is fitted anew on labelled pictures it was not trained on: logistic regression (Platt 1999) on the logit
and the size of the face in the network's input. A score of 0.5 then means that half of such detections are labelled
faces, whatever their size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from vidanon.detect.labelled import names_of, split
from vidanon.detect.matching import match
from vidanon.detect.ours import WEIGHTS, OurNetwork
from vidanon.detect.plain import seen_at
from vidanon.errors import InputError, WeightsError
from vidanon.models.detector import DetectorConfig, Size, size_terms
from vidanon.models.weights import read_weights, save_weights
from vidanon.train.labelled import Labelled, read_pictures
from vidanon.train.runs import load_checkpoint, unpack
from vidanon.types import FloatArray

SCALES = (0.5, 1.0, 2.0)
"""At which the labelled pictures are shown, so that faces of all sizes are among them."""
LONGEST_PX = 2200
"""Scales that would make a picture longer are left out."""
LEAST = 0.01
"""Detections of which the uncalibrated network is less sure tell nothing."""
PRIOR = 1e-3
"""Weight of the squared size terms: few pictures hold few faces of some sizes."""


@dataclass(frozen=True, slots=True)
class DetectorPublishing:
    """Everything a publication is told."""

    checkpoint: Path
    """a training run's checkpoint, or weights that are to be calibrated anew"""
    labels: Path
    """folder with pictures and boxes.json; every fifth by name, which our training leaves out, calibrates the scores"""
    folder: Path
    """weights folder to write to"""
    size: Size = "strong"
    """under which name"""
    record: Path | None = None
    """JSON file with what else the manifest should say: licence, data, hardware, measured figures"""
    all_labels: bool = False
    """calibrate on all pictures of the folder, where it is not one the training has seen"""


def fit_calibration(network: OurNetwork, pictures: Sequence[Labelled]) -> tuple[float, float, float, float]:
    """`DetectorConfig.calibration` for a network without one; a hit is an overlap of 0.4.

    Raises InputError where the pictures hold too few faces that are found.
    """
    terms: list[FloatArray] = []
    hits: list[FloatArray] = []
    for picture in pictures:
        for scale in SCALES:
            if max(picture.image.shape) * scale > LONGEST_PX:
                continue
            found = seen_at(network, picture.image, scale)
            smaller, larger = size_terms(
                (found.boxes[:, 2:] - found.boxes[:, :2]).max(1, initial=0) * np.float32(scale)
            )
            logit = np.log(found.scores) - np.log1p(-np.minimum(found.scores, np.float32(1 - 1e-6)))
            terms.append(np.stack([logit, np.ones_like(logit), smaller, larger], 1))
            hits.append(match([found], [picture.boxes], iou=0.4).hits)
    x, y = np.concatenate(terms).astype(np.float64), np.concatenate(hits).astype(np.float64)
    if min(y.sum(), len(y) - y.sum()) < 20:
        raise InputError(f"{int(y.sum())} faces found in {len(pictures)} pictures calibrate nothing", hint="label more")

    def unlikely(weights: FloatArray) -> float:
        logits = x @ weights
        return float(np.mean(np.logaddexp(0, logits) - y * logits) + PRIOR * np.square(weights[2:]).sum())

    fitted = minimize(unlikely, np.array([1.0, 0, 0, 0]), method="BFGS").x
    scale, shift, below, above = (round(float(v), 4) for v in fitted)
    return scale, shift, below, above


def publish_detector(options: DetectorPublishing) -> Path:
    """Calibrates a checkpoint's averaged network and writes it to the weights folder; returns the file.

    Raises InputError for a checkpoint, record or pictures that cannot be read.
    """
    state, shape, spent = _read(options.checkpoint)
    config = dataclasses.replace(DetectorConfig.from_dict(shape), calibration=(1.0, 0.0, 0.0, 0.0))
    names = names_of(options.labels)
    held_out = read_pictures(options.labels, names if options.all_labels else split(names)[1])
    plain = OurNetwork(state, config.to_dict(), device="cpu", least=LEAST, nms_iou=0.4, threads=torch.get_num_threads())
    config = dataclasses.replace(config, calibration=fit_calibration(plain, held_out))
    calibrated = {"scores_calibrated_on": f"{len(held_out)} pictures the training left out"}
    return save_weights(
        WEIGHTS[options.size],
        state,
        config=config.to_dict(),
        record={**spent, **calibrated, **_told(options.record)},
        folder=options.folder,
    )


def _read(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Any], Mapping[str, Any]]:
    """State, config and what the training took, of a checkpoint or a weight file (which does not say the last)."""
    try:
        tensors, numbers = load_checkpoint(path)
    except InputError:
        try:
            return *read_weights(path), {}
        except WeightsError:
            pass  # what is wrong with it as a checkpoint says more
        raise
    spent = {"steps": numbers["step"], "images": numbers["images"], "hours": round(numbers["seconds"] / 3600, 2)}
    return unpack("average", tensors), numbers["config"], spent


def _told(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as e:
        raise InputError(f"record {path} cannot be read: {e}", hint="it is one JSON object") from e
