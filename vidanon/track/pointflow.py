"""How far each keypoint of a face moves from one picture to the next, by dense optical flow of the face itself.

A landmarker looks at every frame anew, so its points tremble by a hundredth of the face; flow sees a hundredth of that,
but only from one frame to the next. Settling needs both (points.py). In come successive upright RGB pictures and the
faces found in the earlier one, out come displacements in px of the source. Flow: DIS, Kroeger et al. 2016,
https://arxiv.org/abs/1603.03590, in OpenCV, checked forwards and backwards.
"""

from __future__ import annotations

import math
import threading

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vidanon.geometry import Array
from vidanon.threads import Threads
from vidanon.types import (
    FACE_POINT_INDEX,
    FIVE_POINTS,
    JAW,
    N_FACE_POINTS,
    ON_FACE,
    FloatArray,
    ImageArray,
)

ROOM = 1.5
"""side of the window that flow is measured in, in face sizes"""
MOST_PX = 160
"""px of that window's longer side, at most: larger faces are shrunk. Smaller ones are not enlarged: at twice the side
flow costs four times as much"""
LEAST_PX = 16
"""px of a window's shorter side below which nothing is said to move"""
AROUND = 0.05
"""side of the square around a point whose mean flow counts, in face sizes"""
ON_JAW = 0.12
"""how far towards the face's middle the flow of a point on the jaw is looked up: behind the jaw is the background"""
ON_LIP = 0.05
"""how far from the mouth's opening that of a lip is, down or up the face: between the lips are teeth"""
ON_LID = 0.02
"""how far from the eye's opening that of a lid is: below it is the eyeball"""
RETURN = 0.02
"""how far from where it began the flow there and back may end, in face sizes"""

_ON_FACE = np.isin(np.arange(N_FACE_POINTS), ON_FACE)
_EYES, _MOUTH = ([FACE_POINT_INDEX[n] for n in names] for names in (FIVE_POINTS[:2], FIVE_POINTS[3:]))
_DOWN = {
    FACE_POINT_INDEX[name]: step
    for name, step in (
        ("lip_upper_inner", -ON_LIP),
        ("lip_lower_inner", ON_LIP),
        ("right_lid_upper", -ON_LID),
        ("right_lid_lower", ON_LID),
        ("left_lid_upper", -ON_LID),
        ("left_lid_lower", ON_LID),
    )
}


class PointFlow:
    """Fed with every picture of a clip in turn; keeps the one before.

    What `step` returns is a function of the two pictures and the faces alone, so a scan resumed after feeding the
    picture before gives the same numbers. OpenCV's DIS depends on its thread count, hence one thread a face; as many
    faces as there are `threads` (0 = one per core) are measured side by side.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = Threads(threads)
        self._own = threading.local()
        self._before: ImageArray | None = None

    def step(self, rgb: ImageArray, boxes: FloatArray, points: FloatArray, shifts: ArrayLike) -> FloatArray:
        """Displacements [N, 30, 2] px from the picture of the last call to this one, NaN where flow cannot tell.

        `rgb` [h, w, 3]; `boxes` [N, 4] xyxy px and `points` [N, 30, 2] px were found in the picture of the last call,
        and `shifts` [N, 2] px are about how far the faces have moved since.
        """
        before, self._before = self._before, rgb
        out = np.full((len(boxes), N_FACE_POINTS, 2), np.nan, np.float32)
        if before is not None and before.shape == rgb.shape:
            cv2.setNumThreads(1)
            faces = zip(
                np.asarray(boxes, np.float64),
                np.asarray(points, np.float64),
                np.asarray(shifts, np.float64).reshape(-1, 2),
                strict=True,
            )
            for i, moved in enumerate(self._threads.map(lambda face: self._face(before, rgb, *face), faces)):
                out[i] = moved
        return out

    def _face(self, before: ImageArray, after: ImageArray, box: Array, points: Array, shift: Array) -> FloatArray:
        nothing = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
        size = math.sqrt(max(float((box[2] - box[0]) * (box[3] - box[1])), 1.0))
        centre, step = (box[:2] + box[2:]) / 2, np.rint(shift)
        # the window and the one it has moved to must both lie in their picture
        low = np.maximum(np.floor(centre - ROOM * size / 2), np.maximum(-step, 0))
        picture = np.array([before.shape[1], before.shape[0]])
        sides = np.minimum(np.ceil(centre + ROOM * size / 2), picture - np.maximum(step, 0)) - low
        if sides.min() < LEAST_PX:
            return nothing
        scaled = np.maximum(np.rint(sides * min(1.0, MOST_PX / sides.max())), 1)
        if scaled.min() < LEAST_PX:
            return nothing
        one, two = _window(before, low, sides, scaled), _window(after, low + step, sides, scaled)
        ahead, back = self._flow(one, two), self._flow(two, one)
        zoom = scaled / sides
        here = (_on_skin(points, centre, size) - low) * zoom
        known = _ON_FACE & np.isfinite(here).all(axis=1)
        here[~known] = 1.0
        known &= ((here >= 1) & (here <= scaled - 1)).all(axis=1)
        px = size * float(zoom.mean())
        wide = max(1, round(AROUND * px))
        moved = _sampled(cv2.blur(ahead, (wide, wide)), here)
        returned = _sampled(cv2.blur(back, (wide, wide)), here + moved)
        known &= np.linalg.norm(moved + returned, axis=1) <= max(0.5, RETURN * px)
        return np.where(known[:, None], moved / zoom + step, np.nan).astype(np.float32)

    def _flow(self, one: ImageArray, two: ImageArray) -> FloatArray:
        if not hasattr(self._own, "dis"):  # one each: it keeps what it works with
            self._own.dis = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)
        return np.asarray(self._own.dis.calc(one, two, np.zeros((*one.shape, 2), np.float32)), np.float32)


def _on_skin(points: Array, centre: Array, size: float) -> Array:
    """Where the flow of keypoints [30, 2] px is looked up: beside those that lie on an edge."""
    out = points.copy()
    out[JAW] += ON_JAW * (centre - points[JAW])
    down = points[_MOUTH].mean(axis=0) - points[_EYES].mean(axis=0)
    length = float(np.hypot(*down))
    if np.isfinite(length) and length > 0:
        for i, step in _DOWN.items():
            out[i] += step * size / length * down
    return out


def _window(rgb: ImageArray, low: Array, sides: Array, scaled: Array) -> ImageArray:
    """The window of a picture that begins at `low` [2] and has `sides` [2] px, grey, resized to `scaled` [2] px."""
    x0, y0, width, height = (int(v) for v in (*low, *sides))
    grey = cv2.cvtColor(rgb[y0 : y0 + height, x0 : x0 + width], cv2.COLOR_RGB2GRAY)
    how = cv2.INTER_AREA if scaled[0] < width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (int(scaled[0]), int(scaled[1])), interpolation=how), np.uint8)


def _sampled(flow: ArrayLike, at: Array) -> Array:
    """Flow [h, w, 2] at places [P, 2] px; beyond the edge that of the edge."""
    # OpenCV puts pixel centres at integers
    x, y = (np.ascontiguousarray(at[None, :, axis] - 0.5, np.float32) for axis in (0, 1))
    found = cv2.remap(np.asarray(flow, np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64).reshape(-1, 2)
