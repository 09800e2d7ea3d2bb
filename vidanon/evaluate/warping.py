"""How well a painted face moves with the head it is painted on: warping error and flow difference.

E_warp: Lai et al. 2018, https://arxiv.org/abs/1808.00449: the mean squared difference between a frame and the next one
warped back onto it along the source's optical flow, where nothing is occluded (Ruder et al. 2016,
https://arxiv.org/abs/1604.08610, equations 5 and 6). tOF: Chu et al. 2020, https://arxiv.org/abs/1811.09393: the mean
difference between the flow of the output and that of the source. Flow: DIS, Kroeger et al. 2016,
https://arxiv.org/abs/1603.03590.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.evaluate.crops import Crop, Mask
from vidanon.types import FloatArray, ImageArray

LEAST_PIXELS = 200
"""a pair of frames with fewer pixels to compare says nothing"""


@dataclass(frozen=True, slots=True)
class SourceMotion:
    """What moves from one frame of the source to the next, inside one face."""

    flow: FloatArray
    """[S, S, 2] px of the crop, from the first frame to the second"""
    valid: Mask
    """[S, S] face in both frames, seen in both, not occluded"""


class WarpMeter:
    """Measures pairs of crops; both crops of a pair are cut with the first one's transform."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)

    def flow(self, first: ImageArray, second: ImageArray) -> FloatArray:
        """Flow [S, S, 2] px between two grey crops [S, S]."""
        # OpenCV's DIS depends on its thread count
        cv2.setNumThreads(1)
        return np.asarray(self._dis.calc(first, second, np.zeros((*first.shape, 2), np.float32)), np.float32)

    def source(self, first: Crop, second: Crop, *, face: Mask, face_next: Mask) -> SourceMotion:
        """Motion of the source; `face` and `face_next` [S, S] say where the face is in either frame."""
        ahead, back = self.flow(first.grey(), second.grey()), self.flow(second.grey(), first.grey())
        arrived = _warped((face_next & second.seen).astype(np.float32), ahead) > 0.99
        return SourceMotion(ahead, face & first.seen & arrived & visible(ahead, back))

    def difference(self, first: Crop, second: Crop, motion: SourceMotion) -> float | None:
        """tOF in px of the crop; None where too little is comparable."""
        if motion.valid.sum() < LEAST_PIXELS:
            return None
        own = self.flow(first.grey(), second.grey())
        return float(np.abs(own - motion.flow)[motion.valid].sum(axis=1).mean())


def warping_error(first: Crop, second: Crop, motion: SourceMotion) -> float | None:
    """E_warp of a pair, mean over pixels and channels, values 0..1; None where too little is comparable."""
    if motion.valid.sum() < LEAST_PIXELS:
        return None
    moved = _warped(second.rgb, motion.flow)
    return float(np.square(first.rgb - moved)[motion.valid].mean())


def visible(ahead: FloatArray, back: FloatArray) -> Mask:
    """Pixels [H, W] that flow [H, W, 2] there and back finds again, away from the edges of motions."""
    returned = _warped(back, ahead)
    lost = np.square(ahead + returned).sum(2) > 0.01 * (np.square(ahead).sum(2) + np.square(returned).sum(2)) + 0.5
    dy, dx = np.gradient(ahead, axis=(0, 1))
    edge = np.square(dx).sum(2) + np.square(dy).sum(2) > 0.01 * np.square(ahead).sum(2) + 0.002
    return np.asarray(~lost & ~edge, np.bool_)


def _warped(image: FloatArray, flow: FloatArray) -> FloatArray:
    """`image` [H, W(, C)] at the place each pixel flows to; 0 beyond the edge."""
    y, x = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
    moved = cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(moved, np.float32)
