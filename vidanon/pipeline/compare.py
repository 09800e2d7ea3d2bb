"""A source, its copy and the plan between them: everything `media.compare` measures, and the pixels outside the faces.

In: two clips and a plan. Out: a `Comparison` with its `fidelity`.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from vidanon.types import Observation


def compare_outside(source: Path, output: Path, plan_path: Path, *, settings: RenderSettings) -> Comparison:
    """Compares a copy with its source; the plan says where faces were painted, `settings` how widely.

    Raises PlanError if the plan is unfinished or of another clip, and what `media.compare.compare` raises.
    """
    with Plan.open(plan_path) as plan:
        plan.require_source(Camera(probe(source), plan_path).mark())
        plan.require_settled()
        tracks = {track.number for track in plan.tracks() if track.action == "anonymize"}
        with closing(plan.observations()) as groups:
            outside = _Outside(groups, tracks, settings)
            return compare(source, output, painted=outside.painted)


class _Outside:
    """The painted area of each frame, asked for in order."""

    def __init__(
        self, groups: Iterator[tuple[int, list[Observation]]], tracks: set[int], settings: RenderSettings
    ) -> None:
        self._groups = groups
        self._tracks = tracks
        self._settings = settings
        self._next = next(groups, None)

    def painted(self, frame: Frame) -> NDArray[np.bool_] | None:
        """[height, width] of the upright picture; None where no face is."""
        while self._next is not None and self._next[0] < frame.index:
            self._next = next(self._groups, None)
        if self._next is None or self._next[0] != frame.index:
            return None
        faces = [item for item in self._next[1] if item.track in self._tracks]
        return painted_area(faces, width=frame.width, height=frame.height, settings=self._settings)
