"""The numbers `plan show` prints: how many frames, faces and tracks, and one line for every track.

In comes a plan, out come plain dataclasses; SQLite does the counting, so a two-hour clip takes a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vidanon.plan.certainty import median_scores
from vidanon.plan.store import Plan
from vidanon.types import SOURCES, Action, Source


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """One track in numbers."""

    number: int
    """from 1"""
    first: int
    """frame index"""
    last: int
    """frame index, inclusive"""
    first_seconds: float
    """time of the first frame, from the clip's first"""
    last_seconds: float
    """time of the last frame, from the clip's first"""
    mean_size: float
    """mean of the larger box side, px"""
    lowest_score: float
    """of its observations, 0..1"""
    certainty: float
    """that somebody is there, 0..1"""
    identity: str
    """whose face it gets"""
    action: Action
    """what the renderer does"""
    observations: dict[Source, int] = field(default_factory=dict)
    """observations by where they come from; only sources that occur"""


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """A plan in numbers."""

    frames: int
    """scanned"""
    seconds: float
    """from the first frame's time to the last one's"""
    detections: int
    """faces the scan saw, weak ones included"""
    faces: int
    """observations: faces times frames that will be painted or kept"""
    frames_with_faces: int
    """frames with at least one observation"""
    tracks: tuple[TrackSummary, ...]
    """by number"""


def summary(plan: Plan, certainties: Mapping[int, float] | None = None) -> PlanSummary:
    """The plan in numbers. Raises PlanError if it is damaged.

    `certainties` by track; default: `median_scores`.
    """
    base = plan.header.time_base
    start, end = next(plan.query("SELECT coalesce(min(pts), 0), coalesce(max(pts), 0) FROM frames"))
    counts: dict[int, dict[Source, int]] = {}
    sure = median_scores(plan) if certainties is None else certainties
    for track, source, n in plan.query(
        "SELECT track, source, count(*) FROM observations GROUP BY track, source ORDER BY track, source"
    ):
        counts.setdefault(track, {})[SOURCES[source]] = n
    rows = plan.query(
        "SELECT t.number, t.first, t.last, a.pts, b.pts, avg(max(o.x1 - o.x0, o.y1 - o.y0)), min(o.score), "
        "t.identity, t.action FROM tracks t JOIN observations o ON o.track = t.number "
        "JOIN frames a ON a.idx = t.first JOIN frames b ON b.idx = t.last GROUP BY t.number ORDER BY t.number"
    )
    return PlanSummary(
        frames=plan.header.frames,
        seconds=float((end - start) * base),
        detections=next(plan.query("SELECT count(*) FROM faces"))[0],
        faces=sum(n for of_track in counts.values() for n in of_track.values()),
        frames_with_faces=next(plan.query("SELECT count(DISTINCT frame) FROM observations"))[0],
        tracks=tuple(
            TrackSummary(
                number=number,
                first=first,
                last=last,
                first_seconds=float((first_pts - start) * base),
                last_seconds=float((last_pts - start) * base),
                mean_size=size,
                lowest_score=score,
                certainty=sure[number],
                identity=identity,
                action=action,
                observations=counts[number],
            )
            for number, first, last, first_pts, last_pts, size, score, identity, action in rows
        ),
    )
