"""How far faces and the camera move from one picture to the next, by dense optical flow.

In come successive upright RGB pictures of one clip and the boxes found in the earlier one, out come displacements in px
of the source. Flow: DIS, Kroeger et al. 2016, https://arxiv.org/abs/1603.03590, in OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.types import FloatArray, ImageArray

INNER = 0.6
"""part of a box's side whose flow counts: its rim shows the background"""
EVERY = 8
"""of how many rows and columns one is asked how the camera moves"""
LEAST_POINTS = 40
"""points that must lie outside the faces for that"""
AGREED = 0.4
"""share of them that must agree on one motion"""
TURN_PX = 0.15
"""px of the small picture that a zoom or a roll must shift the corners of its middle half, or it is noise"""
MIN_SIDE = 16
"""px below which a picture is too small for DIS, and nothing is said to move"""


@dataclass(frozen=True, slots=True)
class Motion:
    """What moved between two pictures, in px of the source."""

    faces: tuple[tuple[float, float], ...]
    """(dx, dy) of each box given, from the earlier picture to the later"""
    camera: tuple[float, float]
    """(dx, dy) of the background: of the picture's corner (0, 0)"""
    turn: tuple[float, float] = (1.0, 0.0)
    """zoom and roll of the background about that corner: zoom * cos, zoom * sin of the roll (x towards y)"""


class FlowMeter:
    """Fed with every picture of a clip in turn; keeps only the one before, at most `max_side` px, grey.

    What `step` returns is a function of the two pictures and the boxes alone, so a scan resumed after feeding the
    picture before gives the same numbers. OpenCV's DIS depends on its thread count, hence one thread.
    """

    def __init__(self, max_side: int = 480) -> None:
        self.max_side = max_side
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_FAST)
        self._before: ImageArray | None = None

    def step(self, rgb: ImageArray, boxes: FloatArray, *, scale: float = 1.0) -> Motion:
        """Motion from the picture of the last call to this one.

        `rgb` [h, w, 3]; `boxes` [N, 4] xyxy px of the source, found in the picture of the last call; `scale` is px of
        the source per px of `rgb`. The first call, and one after the picture's size has changed, find no motion.
        """
        height, width = rgb.shape[:2]
        shrink = min(1.0, self.max_side / max(height, width))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if shrink < 1 else grey
        before, self._before = self._before, np.asarray(grey, np.uint8)
        still = Motion(((0.0, 0.0),) * len(boxes), (0.0, 0.0))
        if before is None or before.shape != grey.shape or min(size) < MIN_SIDE:
            return still
        cv2.setNumThreads(1)
        flow = np.asarray(self._dis.calc(before, self._before, np.zeros((*grey.shape, 2), np.float32)), np.float32)
        per_px = np.array([scale * width / size[0], scale * height / size[1]])
        return _motion(flow, np.asarray(boxes, np.float64).reshape(-1, 4), per_px)


def _motion(flow: FloatArray, boxes: NDArray[np.float64], per_px: NDArray[np.float64]) -> Motion:
    height, width = flow.shape[:2]
    outside = np.ones((height, width), bool)
    windows = []
    for box in boxes / np.tile(per_px, 2):
        outside[_window(box, 1.2, width, height)] = False
        windows.append(_window(box, INNER, width, height))
    if outside.mean() < 0.1:
        # Faces fill the picture: their own motion is all there is to see.
        outside[:] = True
    # Every fourth row and column is plenty for the whole picture and four times four as fast.
    sparse = outside[::4, ::4]
    still = np.median(flow[::4, ::4][sparse], axis=0) if sparse.any() else np.zeros(2)
    faces = [np.median(flow[w].reshape(-1, 2), axis=0) if flow[w].size else still for w in windows]
    camera, turn = _camera(flow, outside, np.asarray(still, np.float64))
    # The flow's picture may be shrunk a little differently in x and y; a turn of it is one of the source all the same.
    x, y = (float(v) for v in camera * per_px)
    moved = tuple((float(f[0] * per_px[0]), float(f[1] * per_px[1])) for f in faces)
    return Motion(moved, (x, y), turn)


def _camera(
    flow: FloatArray, outside: NDArray[np.bool_], still: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """How the background moves: `still`, the median, unless most of it zooms or rolls by more than noise would."""
    y, x = np.mgrid[EVERY // 2 : flow.shape[0] : EVERY, EVERY // 2 : flow.shape[1] : EVERY]
    y, x = y[outside[y, x]], x[outside[y, x]]
    if len(x) < LEAST_POINTS:
        return still, (1.0, 0.0)
    # A pixel's centre lies half a px from its corner.
    points = np.stack([x, y], axis=1) + np.float32(0.5)
    there = points + flow[y, x]
    cv2.setRNGSeed(0)
    matrix, inliers = cv2.estimateAffinePartial2D(points, there, method=cv2.RANSAC, ransacReprojThreshold=0.7)
    if matrix is None or inliers.mean() < AGREED:
        return still, (1.0, 0.0)
    a, b = float(matrix[0, 0]), float(matrix[1, 0])
    # What the corners of the picture's middle half gain on its centre.
    if np.hypot(a - 1, b) * np.hypot(*flow.shape[:2]) / 4 < TURN_PX:
        return still, (1.0, 0.0)
    return np.asarray(matrix[:, 2], np.float64), (a, b)


def _window(box: NDArray[np.float64], part: float, width: int, height: int) -> tuple[slice, slice]:
    """The middle `part` of a box, at least 3 px wide, cut to the picture; empty where it lies outside."""
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_w, half_h = max(1.5, part * (box[2] - box[0]) / 2), max(1.5, part * (box[3] - box[1]) / 2)
    x0, x1 = np.clip([np.floor(cx - half_w), np.ceil(cx + half_w)], 0, width).astype(int)
    y0, y1 = np.clip([np.floor(cy - half_h), np.ceil(cy + half_h)], 0, height).astype(int)
    return slice(y0, y1), slice(x0, x1)
