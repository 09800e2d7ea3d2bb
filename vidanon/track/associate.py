"""Which detection of a frame goes on with which track.

In come tracks, the detections of a frame and how sure one must be, out come pairs. Two rounds: the first may leave a
track alone at a price, the second gives what is left to whoever can take it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vidanon.track.fit import FOLLOWED, IMPOSSIBLE, Now, fit
from vidanon.track.live import Array, LiveTrack
from vidanon.types import ScannedFace

UNMATCHED = 1.2
"""cost of leaving a track without a detection, in the first round: a doubtful match must not displace a good one"""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a doubtful detection must show to continue a track."""

    overlap: float
    """least IoU with the place where the track is expected"""
    seconds: float
    """how long the track may have been unseen, unless its pixels were followed to the detection"""


def matched(
    tracks: Sequence[LiveTrack],
    faces: Sequence[ScannedFace],
    *,
    now: Now,
    min_iou: float,
    twins: Mapping[int, set[int]],
    barred: NDArray[np.bool_],
    gate: Gate | None = None,
) -> list[tuple[LiveTrack, ScannedFace]]:
    """Pairs of least total cost, none impossible or `barred` [T, D]; of `twins` the surer one alone goes to a track."""
    if not tracks or not faces:
        return []
    how = fit(tracks, faces, now=now, min_iou=min_iou)
    cost = np.where(barred, IMPOSSIBLE, how.cost)
    if gate is not None:
        fresh = np.array([t.frame == now.frame - 1 or now.seconds - t.seconds <= gate.seconds for t in tracks])
        good = (how.overlap >= max(gate.overlap, min_iou)) & (fresh[:, None] | (how.followed >= FOLLOWED))
        cost = np.where(good, cost, IMPOSSIBLE)
    kept: list[tuple[LiveTrack, ScannedFace]] = []
    # Of two tracks that found one face in two boxes, the surer track has it.
    for i, k in sorted(_assign(cost), key=lambda pair: (-tracks[pair[0]].strong, pair)):
        if not any(id(face) in twins.get(id(faces[k]), ()) for _, face in kept):
            kept.append((tracks[i], faces[k]))
    return kept


def _assign(cost: Array) -> list[tuple[int, int]]:
    """Pairs (track, detection) of least total cost, none impossible.

    The first round may leave a track alone at a price, so that one good match beats two bad ones; the second gives what
    is left to whoever can take it.
    """
    pairs: list[tuple[int, int]] = []
    n, m = cost.shape
    alone = np.full((n, n), UNMATCHED)
    for i, k in zip(*linear_sum_assignment(np.hstack([cost, alone])), strict=True):
        if k < m and cost[i, k] < IMPOSSIBLE:
            pairs.append((int(i), int(k)))
    rest = cost.copy()
    rest[[i for i, _ in pairs]] = IMPOSSIBLE
    rest[:, [k for _, k in pairs]] = IMPOSSIBLE
    if (rest < IMPOSSIBLE).any():
        pairs += [
            (int(i), int(k)) for i, k in zip(*linear_sum_assignment(rest), strict=True) if rest[i, k] < IMPOSSIBLE
        ]
    return pairs
