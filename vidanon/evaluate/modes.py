"""What each part of the pipeline is worth: the same scan, rendered without it.

In: a settled plan. Out: plans of the same clip for the renderer as it is, which knows nothing of modes: a new face in
every frame is a plan in which every frame of a track is a person of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from vidanon.plan import Plan
from vidanon.settings import Settings
from vidanon.track.settle import settle_all
from vidanon.types import Observation, Track


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to render a plan."""

    name: str
    """of its column and its output"""
    smooth: bool
    """boxes and keypoints settled as they ship; else as detected, gaps filled"""
    one_face: bool
    """one latent a track; else a new one in every frame"""
    blend: bool
    """crops of neighbouring frames blended, as the settings say; else every frame is painted for itself"""

    def settings(self, settings: Settings) -> Settings:
        """What to render the mode with."""
        if self.blend:
            return settings
        return msgspec.structs.replace(settings, render=msgspec.structs.replace(settings.render, blend_frames=0))


MODES = (
    Mode("per-frame", smooth=False, one_face=False, blend=False),
    Mode("unsettled", smooth=False, one_face=True, blend=False),
    Mode("per-track", smooth=True, one_face=True, blend=False),
    Mode("full", smooth=True, one_face=True, blend=True),
)
"""from what others do to what we do"""


def mode_plan(plan: Path, mode: Mode, target: Path, *, settings: Settings) -> Path:
    """The plan to render a mode with: `plan` itself, or a changed copy at `target`, edits carried over.

    Raises PlanError if the plan is unfinished or the target cannot be written.
    """
    with Plan.open(plan) as opened:
        opened.require_settled()
    if mode.smooth and mode.one_face:
        return plan
    rough = target if mode.one_face else target.with_name(target.name + ".rough")
    shutil.copy(plan, rough)
    if not mode.smooth:
        _settle_again(rough, settings)
    if not mode.one_face:
        shutil.copy(rough, target)
        with Plan.open(rough) as whole, Plan.open(target) as pieces:
            pieces.write_tracks(_apart(whole))
        rough.unlink()
    return target


def _settle_again(path: Path, settings: Settings) -> None:
    with Plan.open(path) as plan:
        header = plan.header
        plan.write_tracks(
            settle_all(
                plan.scanned,
                width=header.width,
                height=header.height,
                time_base=header.time_base,
                settings=msgspec.structs.replace(settings.track, smooth_seconds=0.0),
                detect=settings.detect,
            )
        )


def _apart(plan: Plan) -> Iterator[tuple[Track, Sequence[Observation]]]:
    """Every observation as a track of its own, with an identity of its own."""
    tracks = {track.number: track for track in plan.tracks()}
    number = 0
    for frame, observations in plan.observations():
        for item in observations:
            number += 1
            owner = tracks[item.track]
            name = f"{owner.identity}, frame {frame}"
            alone = Track(number, first=frame, last=frame, identity=name, action=owner.action)
            yield alone, [replace(item, track=number)]
