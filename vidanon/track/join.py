"""Tracks that ended, joined with tracks that began later: what linking frame by frame gave up too soon.

In come tracks some seconds after one of them was last seen, so that what followed is known; out comes which of the
later ones is the same person. Both are asked: where the first was going, and where the second came from. Who leaves
the picture and comes back in is not joined, as nothing but the face itself could tell; `vidanon plan merge` does that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidanon.track.fit import IMPOSSIBLE, elsewhere, followed, pose_distance
from vidanon.track.live import LiveTrack, coasted, sizes_of

REACH = 0.85
"""how far, in face sizes, a track may begin from where another was going, at once ..."""
REACH_PER_SECOND = 0.35
"""... and how much farther for every second in between"""
SIZE_GATE = 0.35
"""largest difference of their log sizes"""
TURN = 2.5
"""face sizes a second: who went one way at this speed and comes the other way at this speed is someone else"""
PASSING_SECONDS = 0.8
"""how long somebody who walks past hides a face, whose box he shrinks before and after"""
ELSEWHERE = 1.0
"""cost, at most, of joining a track with one that began where its pixels were not followed to: another one
that fits is better, but a detector that was wrong for a moment is no reason to give somebody two faces"""
ALONE = 1.5
"""cost of joining a track with none: a bad match must not take a good one's partner"""


def successor(ended: LiveTrack, tracks: Sequence[LiveTrack], *, seconds: float) -> LiveTrack | None:
    """The track of `tracks` that goes on with `ended` after at most `seconds`, None if none does.

    The others that have ended bid for the same successors, so the best pairs win, whoever is asked about first.
    """
    others = [t for t in tracks if t is not ended]
    bidders, later = [*others, ended], others
    if not others:
        return None
    cost = np.array([[_cost(a, b, seconds) for b in later] for a in bidders])
    alone = np.full((len(bidders), len(bidders)), ALONE)
    rows, columns = linear_sum_assignment(np.hstack([cost, alone]))
    column = int(columns[list(rows).index(len(bidders) - 1)])
    return later[column] if column < len(later) and cost[-1, column] < IMPOSSIBLE else None


def _cost(ended: LiveTrack, begun: LiveTrack, longest: float) -> float:
    """0 (surely the same) to about 1.5, IMPOSSIBLE where they cannot be one."""
    gap = begun.opening[0][0] - ended.seconds
    if ended is begun or not 0 < gap <= longest or begun.points[0].frame <= ended.frame:
        return IMPOSSIBLE
    last = ended.in_world()
    start, stop = last[:2], np.array(begun.opening[0][1:])
    sizes = sizes_of(np.stack([last, begun.opening_box]))
    growth = abs(float(np.log(sizes[0] / sizes[1])))
    if gap <= PASSING_SECONDS:
        whole = sizes * (ended.shrunk(), begun.grown())
        growth = min(growth, abs(float(np.log(whole[0] / whole[1]))))
    coasting = coasted(gap)
    before, after = ended.velocity, begun.opening_velocity()
    # Gone on slowing down, come from there, stayed where it was, or moved on as evenly as its two ends say.
    way = stop - start
    guesses = (before * coasting, after * coasting, np.zeros(2), (before + after) / 2 * gap)
    miss = min(float(np.linalg.norm(way - guess)) for guess in guesses) / sizes.mean()
    reach = REACH + REACH_PER_SECOND * gap
    turned = float(before @ after) < 0 and min(np.linalg.norm(before), np.linalg.norm(after)) > TURN * sizes.mean()
    if miss > reach or growth > SIZE_GATE or turned:
        return IMPOSSIBLE
    led = followed(ended, [begun.points[0].face], begun.points[0].frame)
    astray = ELSEWHERE * float(1 - led[0]) if elsewhere(led)[0] else 0.0
    pose = float(pose_distance(ended.pose[None], begun.pose[None])[0, 0])
    return float(astray + 0.6 * miss / reach + growth + 0.4 * pose)
