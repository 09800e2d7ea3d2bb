"""Boxes in frames without a detection, from where optical flow took the face's own pixels during the scan.

In come a track's detections with the chains of boxes behind and ahead of them, out come boxes for the frames between
two detections, and past the first and the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vidanon.geometry import Array
from vidanon.track.live import RawPoint
from vidanon.track.path import logs, unlogs
from vidanon.types import FloatArray

ASTRAY = 0.5
"""how far off the detection at its end, in face sizes or of log size, a chain may be that went the right way"""
SWIFT = 0.3
"""face sizes that a face may move from a frame to the next"""
BELIEVED = 2
"""confident detections from which a track is carried past its ends: what was seen once is more often nothing"""

BEFORE = (3, 12)
"""frames from a track's end in which it is looked where it came from: at the end itself a box may be half another's"""
WALKS = 0.02
"""face sizes a frame from which on somebody walks"""
OPPOSITE = 0.5
"""cosine of the angle from which on two ways are opposite"""


def between(points: Sequence[RawPoint]) -> dict[int, Array]:
    """Boxes [4] xyxy px by frame, between detections: from either side, each nearer its own more.

    What a chain has drifted when it reaches the next detection is taken out of it, spread over its frames.
    """
    found: dict[int, Array] = {}
    for one, two in pairwise(points):
        n = two.frame - one.frame
        if n < 2:
            continue
        first, last = logs(np.array([one.face.box, two.face.box], np.float64))
        forth = _straightened(one.face.ahead[:n], n, last)
        back = _straightened(two.face.behind[:n], n, first)
        forth, back = (path if _arrives(path, n, end) else path[:0] for path, end in ((forth, last), (back, first)))
        for i in range(1, n):
            there = [(n - i, forth[i - 1])] if i <= len(forth) else []
            there += [(i, back[n - i - 1])] if n - i <= len(back) else []
            if there:
                weights = np.array([w for w, _ in there], np.float64)
                path = np.average([row for _, row in there], axis=0, weights=weights)
                found[one.frame + i] = unlogs(path[None])[0]
    return found


def _straightened(chain: FloatArray, n: int, end: Array) -> Array:
    """A chain's first n boxes [K, 4] as a path that meets `end` [4] after n frames, if it comes so far."""
    path = logs(np.asarray(chain, np.float64).reshape(-1, 4))
    if len(path) < n:
        return path
    drift = end - path[-1]
    off = max(float(np.hypot(*drift[:2]) / np.exp(end[2:].mean())), float(np.abs(drift[2:]).max()))
    if off > ASTRAY:
        return path[:0]
    return np.asarray(path + drift * (np.arange(1, n + 1) / n)[:, None], np.float64)


def _arrives(path: Array, n: int, end: Array) -> bool:
    """Whether a face at the end of a `path` [K, 4] can still be at `end` [4] after n frames."""
    if not len(path):
        return False
    off = float(np.hypot(*(end - path[-1])[:2]) / np.exp(end[2:].mean()))
    return off <= ASTRAY + SWIFT * (n - len(path))


def past(point: RawPoint, points: Sequence[RawPoint], *, backwards: bool) -> Array:
    """Boxes [K, 4] xyxy px in the frames after a track's last detection, or before its first, nearest first.

    None where the chain turns back: who is lost on the way behind somebody goes on, and pixels that go the other way
    are of who steps in front.
    """
    chain = np.asarray(point.face.behind if backwards else point.face.ahead, np.float64).reshape(-1, 4)
    if sum(p.source == "detected" for p in points) < BELIEVED or _turns_back(point, points, chain):
        chain = chain[:0]
    return chain


def _turns_back(point: RawPoint, points: Sequence[RawPoint], chain: Array) -> bool:
    """Whether a chain from a track's end goes back where the track, a few frames further in, had come from."""
    near = [p for p in points if BEFORE[0] <= abs(p.frame - point.frame) <= BEFORE[1] and p.source == "detected"]
    if len(near) < 2 or not len(chain):
        return False
    one, two = sorted((near[0], near[-1]), key=lambda p: -abs(p.frame - point.frame))
    place = logs(np.array([one.face.box, two.face.box, point.face.box, chain[-1]], np.float64))
    size = float(np.exp(place[2, 2:].mean()))
    came = (place[1] - place[0])[:2] / abs(two.frame - one.frame) / size
    goes = (place[3] - place[2])[:2] / len(chain) / size
    speeds = float(np.hypot(*came)), float(np.hypot(*goes))
    return min(speeds) > WALKS and float(came @ goes) < -OPPOSITE * speeds[0] * speeds[1]
