"""The threshold for a wanted recall, against lists worked out by hand, and the preset it is written to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidanon import settings
from vidanon.detect.matching import Matches
from vidanon.errors import InputError, UsageError
from vidanon.evaluate.calibrate import choose, preset_text, wilson


def matches(found_at: list[float], sizes: list[float], false: list[float]) -> Matches:
    """Faces found at these scores (-1 never), and false alarms."""
    scores = [s for s in found_at if s >= 0] + false
    hits = [1.0] * (len(scores) - len(false)) + [0.0] * len(false)
    return Matches(*(np.array(v, np.float32) for v in (scores, hits, sizes, found_at)))


FACES = matches([0.9, 0.8, 0.7, 0.3, -1.0], [30, 30, 30, 30, 8], [0.75, 0.5, 0.1])


def test_the_highest_threshold_that_reaches_the_recall_is_chosen() -> None:
    """Three of four faces of 10 px or more are found at 0.7; one false alarm passes there, on two pictures."""
    chosen = choose(FACES, recall=0.75, min_face_px=10, pictures=2)
    assert chosen.threshold == pytest.approx(0.7, abs=0.0011)
    assert chosen.threshold <= 0.7
    assert (chosen.recall, chosen.faces, chosen.false_positives) == (0.75, 4, 0.5)


def test_small_faces_count_only_if_they_are_asked_for() -> None:
    """With the face of 8 px, which nobody finds, a recall of 0.75 needs the face found at 0.3."""
    assert choose(FACES, recall=0.75, min_face_px=0, pictures=2).threshold == pytest.approx(0.3, abs=0.0011)


def test_a_recall_out_of_reach_says_what_can_be_reached() -> None:
    """Four of five faces are all there is."""
    with pytest.raises(UsageError) as refused:
        choose(FACES, recall=0.9, min_face_px=0, pictures=2)
    assert "4 of 5" in str(refused.value)
    assert "0.800" in str(refused.value.hint)
    with pytest.raises(InputError):
        choose(FACES, recall=0.9, min_face_px=50, pictures=2)


def test_the_interval_is_wilsons() -> None:
    """9 of 10: 0.596 to 0.982, as in the textbooks."""
    assert wilson(9, 10) == (pytest.approx(0.596, abs=0.001), pytest.approx(0.982, abs=0.001))
    assert wilson(5, 5)[1] == 1.0


@pytest.mark.parametrize("base", ["broadcast", "fast", "strict", "street"])
def test_the_preset_is_the_base_with_other_detection(tmp_path: Path, base: str) -> None:
    """It loads, with the chosen threshold, and everything else as in the base."""
    chosen = choose(FACES, recall=0.75, min_face_px=10, pictures=2)
    text = settings.find_preset(base).read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(preset_text(text, chosen, detector="vidanon", min_face_px=10), encoding="utf-8")
    mine, _ = settings.load(path, environ={})
    theirs, _ = settings.load(base, environ={})
    assert (mine.detect.threshold, mine.detect.min_face_px) == (chosen.threshold, 10)
    assert mine.detect.weak_threshold == chosen.weak_threshold
    assert (mine.track, mine.render, mine.output) == (theirs.track, theirs.render, theirs.output)


def test_a_base_without_detection_gets_a_section(tmp_path: Path) -> None:
    """As an empty preset has none."""
    chosen = choose(FACES, recall=0.5, min_face_px=10, pictures=2)
    path = tmp_path / "mine.toml"
    path.write_text(preset_text("[run]\nthreads = 1\n", chosen, detector="vidanon", min_face_px=9), encoding="utf-8")
    assert settings.load(path, environ={})[0].detect.threshold == chosen.threshold
