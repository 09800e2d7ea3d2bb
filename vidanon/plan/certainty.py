"""How sure the detector was that there is somebody, over all of a plan.

In: a settled plan. Out: a median score a track.
"""

from __future__ import annotations

from vidanon.plan.store import Plan
from vidanon.types import SOURCES, UNNAMED

_MEDIANS = (
    "WITH ranked AS (SELECT identity, score,"
    " row_number() OVER (PARTITION BY identity ORDER BY score) AS place,"
    " count(*) OVER (PARTITION BY identity) AS n"
    " FROM observations JOIN tracks ON track = number WHERE source IN (?, ?))"
    " SELECT identity, avg(score) FROM ranked WHERE place IN ((n + 1) / 2, n / 2 + 1) GROUP BY identity"
)
_EDITED = "SELECT DISTINCT identity FROM observations JOIN tracks ON track = number WHERE source = ?"


def median_scores(plan: Plan) -> dict[int, float]:
    """The median of each person's detections' scores, 0..1, by track. Raises PlanError for a damaged plan.

    Tracks of one identity are one person. Who was named, or corrected by hand, is there for certain: 1.
    """
    detected, weak, edited = (SOURCES.index(source) for source in ("detected", "weak", "edited"))
    sure = dict(plan.query(_MEDIANS, detected, weak))
    told = {identity for (identity,) in plan.query(_EDITED, edited)}
    return {
        t.number: 1.0 if t.identity in told or not UNNAMED.fullmatch(t.identity) else sure.get(t.identity, 1.0)
        for t in plan.tracks()
    }
