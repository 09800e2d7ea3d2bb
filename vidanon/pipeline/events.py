"""What the pipeline tells its listener while it runs.

The pipeline calls one `Listener` with these, in its own thread, in order, for every file:

    Started → (Progress* → StageDone) for scan, settle, cast (new faces only), render → Finished | Failed

`Note` may come anywhere. A listener must return quickly and must not raise; a front end that draws copies
what it needs and draws elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidanon.errors import VidanonError
from vidanon.pipeline.reports import FileReport, ScanReport

Stage = Literal["scan", "settle", "cast", "render"]
STAGES: tuple[Stage, ...] = ("scan", "settle", "cast", "render")


@dataclass(frozen=True, slots=True)
class Started:
    """Work on one input begins."""

    path: Path
    """the input"""
    target: Path | None
    """where its output will be; None when only a plan is made"""
    number: int = 1
    """which of the inputs, from 1"""
    total: int = 1
    """how many inputs there are"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage of one input has come; sent a few times a second at most."""

    stage: Stage
    """which stage"""
    path: Path
    """the input"""
    frame: int
    """frames done in this stage, those of an earlier, interrupted run included"""
    frames_total: int | None
    """frames in the clip, None where nobody knows yet (an estimate during the scan)"""
    fps: float
    """frames a second, lately"""
    speed: float | None
    """clip seconds a wall-clock second: 1 is real time; None where the clip does not say"""
    eta_seconds: float | None
    """wall-clock seconds to the end of this stage; None where it cannot be told"""
    faces: int
    """faces seen (scan) or covered (render) so far, frame by frame"""


@dataclass(frozen=True, slots=True)
class StageDone:
    """One stage of one input is complete."""

    stage: Stage
    """which stage"""
    path: Path
    """the input"""
    frames: int
    """frames it went through"""
    faces: int
    """faces found, settled or covered, frame by frame"""
    seconds: float
    """wall clock of this stage"""


@dataclass(frozen=True, slots=True)
class Finished:
    """One input is done: its output (or, for a scan alone, its plan) is in place."""

    path: Path
    """the input"""
    report: FileReport | ScanReport
    """what was done"""


@dataclass(frozen=True, slots=True)
class Failed:
    """One input has no output; the others go on."""

    path: Path
    """the input"""
    error: VidanonError
    """why"""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing that stops nothing: a doubtful file, a resumed scan, a stream left behind."""

    path: Path | None
    """the input, or None where it concerns the whole run"""
    message: str
    """one line"""


Event = Started | Progress | StageDone | Finished | Failed | Note
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener of a caller that does not listen."""
