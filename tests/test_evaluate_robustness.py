"""Detections taken away, and what of the cover is left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from track_scene import HEIGHT, TIME_BASE, WIDTH, Person, Scene

from vidanon.evaluate.robustness import GapsReport, simulate_gaps
from vidanon.settings import Settings, TrackSettings


def people() -> list[Person]:
    def path(i: int) -> Callable[[float], tuple[float, float, float]]:
        return lambda t: (200 + 350 * i + 20 * np.sin(2 * t + i), 300 + 10 * np.cos(3 * t), 70 + 10 * i)

    return [Person(path(i)) for i in range(3)]


def simulated(scene: Scene, settings: Settings | None = None, **options: float) -> GapsReport:
    return simulate_gaps(
        scene.scan,
        width=WIDTH,
        height=HEIGHT,
        time_base=TIME_BASE,
        settings=settings or Settings(),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("fps", [12, 25])
def test_with_a_third_of_the_detections_and_three_gaps_a_track_gone_nobody_is_naked(fps: float) -> None:
    """30 % dropped at random and three holes of 15 frames: at least 99.9 % covered, nobody changes identity."""
    report = simulated(Scene(people(), 180 / fps, fps=fps), seed=1)
    assert len(report.gaps) == 9
    assert all(gap.last - gap.first == 14 for gap in report.gaps)
    assert report.dropped > 0.45 * report.detections
    assert (report.naked, report.split, report.lost) == (0, 0, 0)
    assert report.coverage == 1
    assert report.face_frames == 3 * 180


def test_the_measure_sees_a_naked_face() -> None:
    """Where tracking fills no gap, the frames of the gaps are counted as naked."""
    blind = Settings(track=TrackSettings(max_gap_seconds=0.1, join_seconds=0, pad_seconds=0, carry_seconds=0))
    report = simulated(Scene(people(), 6), blind, drop=0, gaps=1)
    assert report.naked >= 2 * 15
    assert report.coverage == pytest.approx(1 - report.naked / report.face_frames)
    assert report.worst[0].face == 0


def test_a_track_too_short_for_its_gaps_gets_those_that_fit() -> None:
    """No gap touches a track's end, where there is nothing on the other side to fill it from."""
    short = simulated(Scene(people()[:1], 1), drop=0)
    (gap,) = short.gaps
    assert gap.first >= 5
    assert gap.last <= 24
    assert simulated(Scene(people()[:1], 0.5), drop=0).gaps == ()


def test_nothing_taken_away_is_everything_covered() -> None:
    """With no gap and no drop the two runs are one."""
    report = simulated(Scene(people(), 2), drop=0, gaps=0)
    assert (report.dropped, report.naked, report.padded_coverage, report.mean_face) == (0, 0, 1, 1)
