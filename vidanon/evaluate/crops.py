"""Faces cut out upright for measuring: the crop the renderer paints, in full sight.

In: a frame and a settled face. Out: SIDE x SIDE pixels in which the face is FACE_PX wide, sub-pixel exact, so that
figures of a large and of a small face mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import Array, apply
from vidanon.media.frames import Frame
from vidanon.media.pixels import read_region
from vidanon.models.embeddings import SIDE
from vidanon.render.align import CROP_SCALE, FacePose, crop_matrix, face_pose, region_of, warp
from vidanon.render.mask import core_mask, face_px
from vidanon.types import LUMA, FloatArray, ImageArray, Region

FACE_PX = SIDE / CROP_SCALE
"""px of the face in the crop"""
SQUARE: Array = (SIDE + FACE_PX * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])) / 2
"""[4, 2] px corners of the face's square in the crop"""
HALF_SEEN = 0.5
"""a pixel of the crop with less of its weight from inside the picture is not seen"""

Mask = NDArray[np.bool_]
_CROP = Region(0, 0, SIDE, SIDE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face stands in a frame, and how to get from there to its crop."""

    pose: FacePose
    """of the face"""
    matrix: Array
    """[2, 3] picture px -> crop px"""
    outline: Array
    """[N, 2] picture px: the face without a margin"""
    points: FloatArray
    """[30, 2] picture px"""

    @classmethod
    def of(cls, box: FloatArray, points: FloatArray) -> Place:
        """The place of a face with `box` [4] and `points` [30, 2]. Raises ValueError if the box is not finite."""
        pose = face_pose(box, points)
        return cls(pose, crop_matrix(pose, SIDE), face_px(pose, points), points)

    def core(self, matrix: Array | None = None) -> Mask:
        """The face [SIDE, SIDE] in its own crop, or in the crop of another place's `matrix`."""
        return core_mask(apply(self.matrix if matrix is None else matrix, self.outline), _CROP)


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels of one crop."""

    rgb: FloatArray
    """[SIDE, SIDE, 3] R'G'B' 0..1"""
    seen: Mask
    """[SIDE, SIDE] inside the picture"""

    def image(self) -> ImageArray:
        """[SIDE, SIDE, 3] uint8 RGB."""
        return np.asarray(np.rint(self.rgb * 255), np.uint8)

    def luma(self) -> FloatArray:
        """[SIDE, SIDE] 0..1"""
        return np.asarray(self.rgb @ LUMA, np.float32)

    def grey(self) -> ImageArray:
        """[SIDE, SIDE] uint8, as optical flow takes it."""
        return np.asarray(cv2.cvtColor(self.image(), cv2.COLOR_RGB2GRAY), np.uint8)


def cut(frame: Frame, place: Place) -> Crop:
    """The crop of one frame at a place, which may be that of a face in another frame."""
    region = region_of(place.pose, width=frame.width, height=frame.height, feather=0.0)
    if region is None:
        return Crop(np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.bool_))
    rgb, weight = warp(read_region(frame, region), place.matrix, SIDE, origin=(region.x0, region.y0))
    return Crop(np.asarray(np.clip(rgb, 0, 1), np.float32), weight >= HALF_SEEN)
