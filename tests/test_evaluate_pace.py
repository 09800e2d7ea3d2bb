"""Timing of detectors: who is asked what, and what comes out of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from vidanon.cli.app import build
from vidanon.cli.pacing import frame_size
from vidanon.errors import UsageError
from vidanon.evaluate.pace import Entrant, clouds, measure
from vidanon.types import Detections, ImageArray


class Sleeper:
    """Takes so long for every frame, and remembers what it was shown."""

    device = "cpu"

    def __init__(self, seconds: float) -> None:
        self.name, self.seconds, self.shown = f"sleeps {seconds}", seconds, list[int]()

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """See `Detector.detect`."""
        self.shown.append(len(images))
        time.sleep(self.seconds * len(images))
        return [Detections.empty() for _ in images]


def test_time_is_told_by_frame_whatever_the_batch() -> None:
    """A detector that takes 4 ms a frame takes 4 ms a frame in a batch of three; the first call is not counted."""
    slow = Sleeper(0.004)
    (one, three) = measure([Entrant(slow, 12, 1), Entrant(slow, 12, 3)], width=64, height=36, calls=3)
    assert slow.shown == [1, 3, 1, 3, 1, 3, 1, 3]
    assert 4 <= three.fastest <= three.ms <= three.slowest
    assert (one.batch, three.batch, one.detector) == (1, 3, "sleeps 0.004")
    assert (clouds(64, 36, seed=0) != clouds(64, 36, seed=1)).any()


def test_the_command_times_what_ships() -> None:
    """Both of the family, at each smallest face and batch that was asked for."""
    asked = ["evaluate", "speed", "--size", "320x180", "--min-face", "20", "--batch", "1", "--batch", "2"]
    result = CliRunner().invoke(build(), [*asked, "--calls", "1", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(r["detector"], r["batch"]) for r in rows] == [
        ("vidanon", 1),
        ("vidanon", 2),
        ("vidanon-fast", 1),
        ("vidanon-fast", 2),
    ]
    assert all(r["ms"] > 0 for r in rows)
    for wrong in ("1080", "0x10", "axb", ""):
        with pytest.raises(UsageError, match="frame size"):
            frame_size(wrong)
