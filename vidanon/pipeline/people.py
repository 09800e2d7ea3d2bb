"""Who is in a clip, as it is painted: what of a track holds for all of its frames, and when a new face has gone.

In: a settled plan. Out: somebody for each of its tracks.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from vidanon.plan.store import Plan
from vidanon.render.casting import AS_DRAWN, Cast
from vidanon.render.identity import person
from vidanon.types import FloatArray, Method, Source, Track

GUESSED = (0.3, 0.6)
"""Seconds from where a face was last, or is next, seen (by the detector, or its pixels by flow) from which on a guessed
one dissolves, and is gone."""
PADDED = 0.16
"""Seconds over which it does so in its padding: of who walks behind a column nothing is to be seen there."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """A track that is to be covered."""

    identity: str
    """whose latent it gets"""
    track: Track
    """its first and last frame"""
    seen: tuple[int, int]
    """the first and the last frame in which it is more than padded"""
    guessed: Sequence[tuple[int, int]] = ()
    """the first and last frames of runs, in order, in which nothing saw it"""
    interval: float = 0.04
    """seconds from frame to frame, on average"""
    build: FloatArray | None = None
    """what is peculiar to the face in all of the clip"""
    cast: Cast = AS_DRAWN
    """which new face it gets, how toned"""
    method: Method | None = None
    """what covers them, if not what the settings say"""

    def fade(self, frame: int, source: Source) -> float:
        """0..1 how far a new face has dissolved into the colours around it, where little says that there is a face.

        In its padding it does at once, as neither detector nor flow saw it any more, in a gap away from where it was
        seen. 1 where it is thought to be behind somebody: nobody gets a second face on their chest. If it is there
        after all, it is covered.
        """
        if source == "hidden":
            return 1.0
        first, last = self.seen
        if first <= frame <= last:
            away = self._unseen(frame) * self.interval
            return min(max((away - GUESSED[0]) / (GUESSED[1] - GUESSED[0]), 0.0), 1.0)
        return min(max(first - frame, frame - last) * self.interval / PADDED, 1.0)

    def _unseen(self, frame: int) -> int:
        """Frames to the nearest one in which it was seen."""
        run = bisect.bisect_right(self.guessed, frame, key=lambda run: run[0]) - 1
        if run < 0 or frame > self.guessed[run][1]:
            return 0
        first, last = self.guessed[run]
        return min(frame - first, last - frame) + 1


def all_of(plan: Plan) -> dict[int, Somebody]:
    """Everybody in a settled plan, by the number of their tracks; builds and casts are not known yet."""
    seen, guessed, interval = plan.seen_spans(), plan.guessed_runs(), plan.interval()
    return {
        track.number: Somebody(
            person(track.identity, plan.header.source_name),
            track,
            seen.get(track.number, (track.first, track.last)),
            guessed.get(track.number, ()),
            interval,
        )
        for track in plan.tracks()
    }
