"""A source, its copy and the plan between them: everything `media.compare` measures, and the pixels outside the faces.

In: two clips and a plan. Out: a `Comparison` with its `fidelity`.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidanon.media.compare import Comparison, compare
from vidanon.media.frames import Frame
from vidanon.media.probe import probe
from vidanon.pipeline.cameras import Camera
from vidanon.plan.store import Plan
from vidanon.render.area import painted_area
from vidanon.settings import RenderSettings


def compare_outside(source: Path, output: Path, plan_path: Path, *, settings: RenderSettings) -> Comparison:
    """Compares a copy with its source; the plan says where faces were painted, `settings` how widely.

    Raises PlanError if the plan is unfinished or of another clip, and what `media.compare.compare` raises.
    """
    with Plan.open(plan_path) as plan:
        plan.require_source(Camera(probe(source), plan_path).mark())
        plan.require_settled()
        tracks = {track.number for track in plan.tracks() if track.action == "anonymize"}
        with closing(plan.planned()) as planned:

            def painted(frame: Frame) -> NDArray[np.bool_] | None:
                items = next((items for index, _, items in planned if index == frame.index), [])
                faces = [item for item in items if item.track in tracks]
                if not faces:
                    return None
                return painted_area(faces, width=frame.width, height=frame.height, settings=settings)

            return compare(source, output, painted=painted)
