"""From a photo to face crops for training: found, looked at a second time upright, measured, cut.

In: an RGB photo. Out: for every face either a crop of CROP_PX with its 30 points and box, or why it is of no use.
A face is found twice: in the photo at the scale of the smallest wanted face, and again in its own upright crop, which
makes box and points equally good at every size and tilt, and lets false alarms drop out.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from io import BytesIO

import cv2
import msgspec
import numpy as np
from PIL import Image

from vidanon import geometry
from vidanon.detect.base import Detector
from vidanon.detect.factory import build_detector
from vidanon.detect.landmarks import FaceLandmarker
from vidanon.geometry import Array, apply, fit_similarity, invert, similarity
from vidanon.render.align import FacePose, face_pose, warp
from vidanon.settings import DetectSettings
from vidanon.train.alike import difference_hash
from vidanon.types import FACE_POINT_INDEX, ON_FACE, FloatArray, ImageArray

CROP_PX = 256
"""side of a crop"""
WIDEST, TIGHTEST = 2.2, 1.5
"""side of a crop in face sizes: as much as the photo has around the face, between these"""
SECOND_LOOK_FACE_PX = 24.0
"""smallest face of the second look, in which the face is CROP_PX / WIDEST = 116 px: shows the crop as it is"""
AGAIN = 0.4
"""least overlap of the second look's box with where the first one puts the face"""
FACE_OUTSIDE = 0.05
"""share of the face itself that may lie outside the photo"""
WEBP = {"quality": 90, "method": 4}

_CANON_PX = 128
_ANCHORS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
_CANON = np.array([[49, 55], [79, 55], [64, 72], [52.5, 89], [75.5, 89]])
"""where eyes, nose and mouth corners lie in a face laid over all others, px of _CANON_PX"""
_CANON_FACE = slice(36, 100)
_CANON_ROWS = [FACE_POINT_INDEX[name] for name in _ANCHORS]


class Limits(msgspec.Struct, frozen=True):
    """What a face must be to be kept."""

    face_px: float
    """least longer side of its box in the photo"""
    score: float
    """least score of the detector"""
    sharpness: float
    """least `sharpness`"""
    confidence: float
    """least confidence of the worst point on the face"""
    roll: float
    """most degrees the head is turned in the picture"""
    outside: float
    """largest share of the crop that lies outside the photo"""


class Face(msgspec.Struct, frozen=True):
    """One face of a photo, kept or refused. Empty fields are those that were not reached."""

    box: tuple[float, float, float, float]
    """xyxy px of the photo, as first found"""
    refused: str = ""
    """why it is of no use, "" if it is"""
    value: float = 0.0
    """the measure it was refused for"""
    limit: float = 0.0
    """what that should have been, at least or at most"""
    crop: bytes = b""
    """WebP, CROP_PX x CROP_PX"""
    digest: str = ""
    """sha256 (hex) of the crop's pixels"""
    crop_box: tuple[float, ...] = ()
    """xyxy px of the crop"""
    points: tuple[float, ...] = ()
    """[30, 2] px of the crop, row by row; NaN = unknown"""
    confidence: tuple[float, ...] = ()
    """[30]"""
    native_px: float = 0.0
    """side of the crop in the photo"""
    sharpness: float = 0.0
    """see `sharpness`"""
    hash: bytes = b""
    """see `alike.difference_hash`"""
    mirrored: bytes = b""
    """the same of the mirrored face"""


@dataclass(frozen=True, slots=True)
class _Upright:
    """A face in its upright crop of the second look."""

    matrix: Array
    """[2, 3] photo px -> crop px"""
    pose: FacePose
    """in the crop; its roll is what the first look missed"""
    box: FloatArray
    """[4] px of the crop"""
    points: FloatArray
    """[30, 2] px of the crop"""
    confidence: FloatArray
    """[30]"""
    roll: float
    """radians the face is turned in the photo"""


class FaceCutter:
    """The shipped detector and landmarker, looking for faces to train on."""

    def __init__(self, limits: Limits, *, device: str, threads: int = 0) -> None:
        def detector(face_px: float) -> Detector:
            settings = DetectSettings(min_face_px=face_px, threshold=limits.score, weak_threshold=limits.score)
            return build_detector(settings, device=device, threads=threads)

        self._limits = limits
        self._first, self._second = detector(limits.face_px), detector(SECOND_LOOK_FACE_PX)
        self._landmarker = FaceLandmarker.shipped(device)

    def cut(self, photo: ImageArray, *, scale: float = 1.0) -> list[Face]:
        """The faces of a photo [H, W, 3], best first. `scale`: its px for each px of the file."""
        (found,) = self._first.detect([photo])
        points, _ = self._landmarker.locate(photo, found)
        return [
            self._one(photo, face_pose(found.boxes[i], points[i]), found.boxes[i], scale) for i in range(len(found))
        ]

    def _one(self, photo: ImageArray, pose: FacePose, box: FloatArray, scale: float) -> Face:
        limits = self._limits
        x0, y0, x1, y1 = (round(float(v) / scale, 1) for v in box)
        where = (x0, y0, x1, y1)
        if pose.size / scale < limits.face_px:
            return Face(where, "too small", round(pose.size / scale, 1), limits.face_px)
        seen = self._again(photo, pose)
        if seen is None:
            return Face(where, "not found again", 0.0, limits.score)
        size = seen.pose.size / _zoom(seen.matrix)
        worst = float(seen.confidence[ON_FACE].min())
        tilt = abs(math.degrees(math.remainder(seen.roll, math.tau)))
        matrix = crop_of(seen.matrix, seen.pose, seen.roll, photo.shape[1], photo.shape[0])
        side = CROP_PX / _zoom(matrix)
        inner = seen.pose.size * _zoom(matrix) / _zoom(seen.matrix)
        face_out, crop_out = (outside(matrix, part, photo.shape[1], photo.shape[0]) for part in (inner, CROP_PX))
        for reason, value, limit, wrong in (
            ("too small", size / scale, limits.face_px, size / scale < limits.face_px),
            ("points uncertain", worst, limits.confidence, not worst >= limits.confidence),
            ("head tilted", tilt, limits.roll, tilt > limits.roll),
            ("face cut off", face_out, FACE_OUTSIDE, face_out > FACE_OUTSIDE),
            ("too near the edge", crop_out, limits.outside, crop_out > limits.outside),
        ):
            if wrong:
                return Face(where, reason, round(value, 3), limit)
        to_crop = _compose(matrix, invert(seen.matrix))
        marks = apply(to_crop, seen.points).astype(np.float32)
        grey = canonical(photo, invert(matrix), marks)
        sharp = sharpness(grey)
        if sharp < limits.sharpness:
            return Face(where, "not sharp", round(sharp, 3), limits.sharpness)
        own, other = difference_hash(grey)
        crop = resampled(photo, matrix, CROP_PX)
        stream = BytesIO()
        Image.fromarray(crop).save(stream, "WEBP", **WEBP)
        centre = apply(to_crop, [(seen.pose.cx, seen.pose.cy)])[0]
        half = np.array([seen.pose.box_w, seen.pose.box_h]) * inner / 2
        return Face(
            where,
            crop=stream.getvalue(),
            digest=hashlib.sha256(crop.tobytes()).hexdigest(),
            crop_box=tuple(np.concatenate([centre - half, centre + half]).tolist()),
            points=tuple(marks.ravel().tolist()),
            confidence=tuple(seen.confidence.tolist()),
            native_px=side / scale,
            sharpness=sharp,
            hash=own,
            mirrored=other,
        )

    def _again(self, photo: ImageArray, pose: FacePose) -> _Upright | None:
        """The second look, in the upright crop; None if there is no face."""
        middle = CROP_PX / 2
        matrix = similarity(CROP_PX / (WIDEST * pose.size), -pose.roll, (pose.cx, pose.cy), (middle, middle))
        crop = resampled(photo, matrix, CROP_PX)
        (found,) = self._second.detect([crop])
        expected = geometry.from_centre_size([middle, middle, CROP_PX / WIDEST, CROP_PX / WIDEST])
        overlap = geometry.iou(expected, found.boxes)[0]
        if not len(found) or overlap.max() < AGAIN:
            return None
        best = slice(int(overlap.argmax()), int(overlap.argmax()) + 1)
        points, confidence = self._landmarker.locate(crop, found.take(best))
        again = face_pose(found.boxes[best][0], points[0])
        return _Upright(matrix, again, found.boxes[best][0], points[0], confidence[0], pose.roll + again.roll)


def crop_of(upright: Array, pose: FacePose, roll: float, width: int, height: int) -> Array:
    """Photo px -> crop px [2, 3] of the final crop: as wide as the photo allows around the face, WIDEST at most.

    `upright` is photo px -> px of the second look, `pose` the face in there, `roll` (radians) its turn in the photo.
    """
    zoom = _zoom(upright)
    cx, cy = apply(invert(upright), [(pose.cx, pose.cy)])[0]
    size = pose.size / zoom
    room = 2 * min(cx, cy, width - cx, height - cy) / (abs(math.cos(roll)) + abs(math.sin(roll)))
    wide = min(max(room / size, TIGHTEST), WIDEST)
    return similarity(CROP_PX / (wide * size), -roll, (cx, cy), (CROP_PX / 2, CROP_PX / 2))


def outside(matrix: Array, side: float, width: int, height: int) -> float:
    """Share of the middle `side` x `side` px of a crop that lies outside the photo, on a grid of 32 x 32."""
    line = ((np.arange(32) + 0.5) / 32 - 0.5) * side + CROP_PX / 2
    x, y = apply(invert(matrix), np.stack(np.meshgrid(line, line), -1)).transpose(2, 0, 1)
    return float(((x < 0) | (y < 0) | (x > width) | (y > height)).mean())


def resampled(photo: ImageArray, matrix: Array, side: int) -> ImageArray:
    """The crop [side, side, 3] through photo px -> crop px; beyond the photo its edge goes on."""
    corners = apply(invert(matrix), [[0, 0], [side, 0], [0, side], [side, side]])
    reach = 4 / _zoom(matrix) + 4
    low, high = np.floor(corners.min(0) - reach).astype(int), np.ceil(corners.max(0) + reach).astype(int)
    height, width = photo.shape[:2]
    # The window's edges run along the whole crop, so that something of the photo is in every window.
    x0, x1 = min(max(low[0], 0), width - 1), max(min(high[0], width), 1)
    y0, y1 = min(max(low[1], 0), height - 1), max(min(high[1], height), 1)
    top, bottom = max(0, int(y0 - low[1])), max(0, int(high[1] - y1))
    left, right = max(0, int(x0 - low[0])), max(0, int(high[0] - x1))
    window = cv2.copyMakeBorder(photo[y0:y1, x0:x1], top, bottom, left, right, cv2.BORDER_REPLICATE)
    colour, _ = warp(np.asarray(window, np.uint8), matrix, side, origin=(int(x0) - left, int(y0) - top))
    return np.asarray(np.clip(np.rint(colour), 0, 255), np.uint8)


def canonical(photo: ImageArray, crop_to_photo: Array, points: FloatArray) -> ImageArray:
    """The face [_CANON_PX, _CANON_PX], grey, with eyes, nose and mouth where every face has them.

    `points` [30, 2] are px of the crop, `crop_to_photo` leads back.
    """
    onto = fit_similarity(apply(crop_to_photo, points[_CANON_ROWS]), _CANON)
    return np.asarray(cv2.cvtColor(resampled(photo, onto, _CANON_PX), cv2.COLOR_RGB2GRAY), np.uint8)


def sharpness(face: ImageArray) -> float:
    """How much of a face's detail is fine: that finer than 1 px over that finer than 4 px of a `canonical` face.

    Contrast cancels out. Portraits from a studio reach 0.32 to 0.45, news photos of 100 px faces 0.22 to 0.34; blurred
    by a fortieth of the face's width those fall below 0.16.
    """
    grey = face.astype(np.float32)
    fine, coarse = ((grey - cv2.GaussianBlur(grey, (0, 0), s))[_CANON_FACE, _CANON_FACE].std() for s in (1.0, 4.0))
    return float(fine / max(float(coarse), 2.0))


def _zoom(matrix: Array) -> float:
    """Scale of a similarity."""
    return math.hypot(float(matrix[0, 0]), float(matrix[1, 0]))


def _compose(second: Array, first: Array) -> Array:
    """The transform [2, 3] that does `first`, then `second`."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]), np.float64)
