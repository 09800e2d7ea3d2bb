"""How sure it is that a plan's tracks are people: what is doubted on the whole is covered without a face.

In: a settled plan. Out: a certainty a track. Nothing is left uncovered for it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from vidanon.geometry import within
from vidanon.plan.certainty import median_scores
from vidanon.plan.store import Plan
from vidanon.track.company import below_closeup
from vidanon.types import FloatArray

CERTAIN, OWNER = 0.8, 0.9
"""a track from this certainty on is no part of anybody; whose part it may be is as certain as this at least"""
ALWAYS = 0.9
"""share of the frames in which it was seen where it lay there"""
ON_FACE = 0.4
"""part of a box that lies on a face, from which it is on it"""
PART = 0.5
"""what of its certainty is left of such a track"""


def certainties(plan: Plan) -> dict[int, float]:
    """0..1 of every track: `median_scores`, and half of that for a part of one and the same surer person.

    That is what always lies on their face, or below the chin of a close-up: detectors are sure of a neck for seconds.
    Who is found for certain is a face, wherever it is. Raises PlanError for a damaged plan.
    """
    sure = median_scores(plan)
    doubted = {number for number, value in sure.items() if value < CERTAIN}
    owners = {number for number, value in sure.items() if value >= OWNER}
    if not doubted or not owners:
        return sure
    seen, on = Counter[int](), Counter[tuple[int, int]]()
    with closing(plan.observations()) as frames:
        for _, faces in frames:
            found = [face for face in faces if face.source in {"detected", "weak"}]
            seen.update(one.track for one in found)
            on.update(
                (one.track, owner.track)
                for one in found
                for owner in found
                if one.track in doubted and owner.track in owners and _is_part(one.box, owner.box)
            )
    parts = {number for (number, _), n in on.items() if n >= ALWAYS * seen[number]}
    return {number: value * PART if number in parts else value for number, value in sure.items()}


def _is_part(box: FloatArray, face: FloatArray) -> bool:
    return below_closeup(box, face) or float(within(box, face)[0, 0]) >= ON_FACE
