"""What a temporal measurement says: the classes that become tables and JSON."""

from __future__ import annotations

from dataclasses import dataclass

from vidanon.errors import UsageError
from vidanon.evaluate.series import Figures, Series


@dataclass(frozen=True, slots=True)
class TrackFigures:
    """One track in one clip."""

    track: int
    """its number"""
    identity: str
    """whose face it gets"""
    size_px: float
    """median size of the face"""
    figures: Figures
    """what was measured"""


@dataclass(frozen=True, slots=True)
class ClipFigures:
    """One clip: the source itself, or an output."""

    name: str
    """"source", or the output's"""
    whole: Figures
    """over all tracks, and the sure detections that no track holds"""
    tracks: tuple[TrackFigures, ...]
    """track by track"""
    separation_least: float | None
    """least dlib distance between the mean faces of two tracks that are to be different people"""
    separation_median: float | None
    """median of these distances"""


@dataclass(frozen=True, slots=True)
class TemporalReport:
    """What was measured."""

    original: str
    """file name of the source"""
    frames: int
    """frames compared"""
    mouth_settled: float | None
    """correlation of mouth opening, as scanned against as settled: what smoothing leaves of the speech"""
    lids_settled: float | None
    """the same of lid opening"""
    clips: tuple[ClipFigures, ...]
    """the source first, then the outputs in their order"""


@dataclass(frozen=True, slots=True)
class Measured:
    """A report and the series behind it, which a plot draws."""

    report: TemporalReport
    """the figures"""
    times: tuple[float, ...]
    """seconds of every frame"""
    series: dict[int, list[Series]]
    """of each track: the source's, then the outputs'"""

    def track(self, number: int | None = None) -> int:
        """The number of a track that was measured: the asked-for one, or the longest. Raises UsageError without one."""
        if number is None and self.series:
            return max(self.series, key=lambda n: len(self.series[n][0].frames))
        if number is None or number not in self.series:
            raise UsageError("there is no such track to draw", hint="`vidanon plan show` lists them")
        return number
