"""Faces as recognition vectors, for measuring and training only: dlib's 128 numbers, 0.6 apart is another person.

In: an upright crop with the face in its middle. Out: a vector. Needs the extra `vidanon[evaluate]`; nothing is
downloaded, and no vector of a face that was measured is ever written to disk.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vidanon.errors import UsageError, WeightsError
from vidanon.types import FloatArray, ImageArray

SIDE = 256
"""px of a crop's side"""
HINT = "pip install 'vidanon[evaluate]'"
RECTANGLE = 0.85
"""side of dlib's own face rectangle in sides of ours (median over 48 frames of three clips; centres agree)"""
_RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"
_POINTS = "shape_predictor_5_face_landmarks.dat"


class Embedder(Protocol):
    """Makes recognition vectors, such as `FaceEmbedder`."""

    def embed(self, crop: ImageArray) -> FloatArray:
        """The vector [128] of the face in the middle of a crop [SIDE, SIDE, 3] RGB."""
        ...


class FaceEmbedder:
    """dlib's recognition network. Raises UsageError without the extra, WeightsError if one of its files is missing."""

    def __init__(self, *, scale: float) -> None:
        """`scale` is the side of a crop in sides of its face."""
        reach = RECTANGLE * SIDE / scale / 2
        self._span = round(SIDE / 2 - reach), round(SIDE / 2 + reach)
        try:
            self._dlib: Any = importlib.import_module("dlib")
        except ImportError as e:
            raise UsageError("recognition distances want dlib, which is not installed", hint=HINT) from e
        self._detector: Any = None
        folder = models_folder()
        try:
            self._points = self._dlib.shape_predictor(str(folder / _POINTS))
            self._network = self._dlib.face_recognition_model_v1(str(folder / _RECOGNITION))
        except RuntimeError as e:
            raise WeightsError(f"dlib's models in {folder} cannot be read: {e}", hint=HINT) from e

    def embed(self, crop: ImageArray) -> FloatArray:
        """The vector [128] of the face in the middle of a crop [SIDE, SIDE, 3] RGB.

        The rectangle is always the same one, as a detector's would tremble and that would be measured too; dlib's five
        points then align the face.
        """
        if crop.shape != (SIDE, SIDE, 3) or crop.dtype != np.uint8:
            raise ValueError(f"a crop to embed is uint8 [{SIDE}, {SIDE}, 3], got {crop.dtype} {crop.shape}")
        low, high = self._span
        shape = self._points(crop, self._dlib.rectangle(low, low, high, high))
        return np.array(self._network.compute_face_descriptor(crop, shape), np.float32)

    def sees(self, crop: ImageArray) -> bool:
        """Whether dlib's own detector finds a face in a crop [h, w, 3] RGB: without one, its users compare nothing."""
        if self._detector is None:
            self._detector = self._dlib.get_frontal_face_detector()
        return len(self._detector(crop, 0)) > 0


def models_folder() -> Path:
    """Where face_recognition_models keeps its files. Raises UsageError if it is not installed.

    Its own import wants pkg_resources, which setuptools no longer ships, so it is found but not imported.
    """
    found = importlib.util.find_spec("face_recognition_models")
    places = list(found.submodule_search_locations or []) if found else []
    if not places:
        raise UsageError("recognition distances want face_recognition_models, which is not installed", hint=HINT)
    return Path(places[0]) / "models"
