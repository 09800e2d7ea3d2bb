"""What was painted a moment ago, painted again: the flicker of a network that sees every frame for the first time.

In: a track's crops as the generator painted them, frame by frame, and their keypoints. Out: each crop blended with the
few before it, moved along with the keypoints (never with what is under the mask), where they have not moved apart.
The result depends on the last few frames alone, so a render that begins in the middle only has to paint these again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.geometry import Array, fit_similarity
from vidanon.types import FACE_POINTS, FloatArray

FADE = 0.85
"""how much an earlier frame counts, for every frame it lies back"""
APART = 0.012
"""how far a keypoint may have moved against the head, in sides of the crop, for what is around it to be of use"""
AROUND = 0.08
"""how far around a keypoint that is, in sides of the crop"""
LEAST_POINTS = 3
"""known in both frames, or nothing is known of how the head has moved"""
FORGOTTEN = 64
"""frames after which a track that was not seen is no longer remembered"""

_ON_FACE = np.array([i for i, name in enumerate(FACE_POINTS) if not name.endswith(("_ear", "_shoulder"))])


@dataclass(frozen=True, slots=True)
class _Painted:
    frame: int
    crop: FloatArray
    points: FloatArray


class Reuse:
    """Remembers the last `frames` crops of every track; fed in the order of frames."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._tracks: dict[int, deque[_Painted]] = {}

    def blended(self, track: int, frame: int, crop: FloatArray, points: FloatArray) -> FloatArray:
        """The crop [S, S, 3] of a track's frame with those before it; `points` [30, 2] are in 0..1 of the crop.

        Frames before a gap do not count: a face not painted for a moment begins anew.
        """
        if not self.frames:
            return crop
        for other in [t for t, past in self._tracks.items() if not frame - FORGOTTEN <= past[-1].frame <= frame]:
            del self._tracks[other]
        past = self._tracks.setdefault(track, deque(maxlen=self.frames))
        if past and past[-1].frame != frame - 1:
            past.clear()
        total, weight = crop.copy(), np.ones(crop.shape[:2], np.float32)
        for back, earlier in enumerate(reversed(past), 1):
            moved = _moved(earlier, points)
            if moved is not None:
                share = np.float32(FADE**back) * moved[1]
                total += moved[0] * share[..., None]
                weight += share
        past.append(_Painted(frame, crop, points))
        return np.asarray(total / weight[..., None], np.float32)


def _moved(earlier: _Painted, points: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """An earlier crop where the head is now, and how far each of its pixels [S, S] may be used, 0..1."""
    side = len(earlier.crop)
    before, after = earlier.points[_ON_FACE].astype(np.float64), points[_ON_FACE].astype(np.float64)
    known = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    if known.sum() < LEAST_POINTS:
        return None
    before, after = before[known], after[known]
    try:
        matrix = fit_similarity(before, after)
    except ValueError:
        return None  # all in one place
    apart = np.linalg.norm(before @ matrix[:, :2].T + matrix[:, 2] - after, axis=1)
    shift = matrix[:, 2] * side + matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5  # OpenCV puts pixel centres at integers
    local = np.hstack([matrix[:, :2], shift[:, None]])
    crop = cv2.warpAffine(earlier.crop, local, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.float32), 1 - _changed(after, np.minimum(apart / APART, 1), side)


def _changed(points: Array, amounts: Array, side: int) -> FloatArray:
    """[S, S] the largest of `amounts` [N], each fading with the distance from its point [N, 2]."""
    at = (np.arange(side) + 0.5) / side
    x = np.exp(-0.5 * np.square((at[None] - points[:, :1]) / AROUND))
    y = np.exp(-0.5 * np.square((at[None] - points[:, 1:]) / AROUND))
    return np.asarray((amounts[:, None, None] * y[:, :, None] * x[:, None, :]).max(axis=0), np.float32)
