"""When a new face dissolves: where nothing says that there is one, by time, and never where it was seen."""

from __future__ import annotations

import pytest

from vidanon.pipeline.people import GUESSED, Somebody
from vidanon.types import Track

GAP = (100, 149)


def somebody(*, interval: float = 0.04) -> Somebody:
    """Seen in frames 10 to 200 but for a gap, padded by ten frames on either side."""
    return Somebody("who", Track(1, 0, 210, "who", "anonymize"), (10, 200), (GAP,), interval)


@pytest.mark.parametrize("interval", [0.02, 0.04])
def test_a_guessed_face_dissolves_away_from_where_it_was_seen(interval: float) -> None:
    """At both ends of a gap it is there in full for as long, then it goes, and it comes back as it went."""
    who = somebody(interval=interval)
    fades = [who.fade(frame, "interpolated") for frame in range(GAP[0], GAP[1] + 1)]
    assert fades == fades[::-1]
    for frames, fade in enumerate(fades[:25], start=1):
        seconds = frames * interval
        if seconds <= GUESSED[0]:
            assert fade == 0
        elif seconds >= GUESSED[1]:
            assert fade == 1
        else:
            assert 0 < fade < 1
    assert fades[:25] == sorted(fades[:25])


def test_a_short_gap_is_filled_and_a_still_has_none() -> None:
    """Half a second of a hand before the face changes nothing, nor does a plan of one frame."""
    short = Somebody("who", Track(1, 0, 99, "who", "anonymize"), (0, 99), ((40, 52),), 0.04)
    assert all(short.fade(frame, "interpolated") == 0 for frame in range(100))
    still = Somebody("who", Track(1, 0, 0, "who", "anonymize"), (0, 0), (), 0.0)
    assert still.fade(0, "detected") == 0


def test_a_seen_a_padded_and_a_hidden_face() -> None:
    """In full where it is seen; in the padding soon not any more; behind somebody not at all."""
    who = somebody()
    assert [who.fade(frame, "detected") for frame in (10, 99, 150, 200)] == [0, 0, 0, 0]
    before = [who.fade(frame, "padded") for frame in range(10)]
    assert before == sorted(before, reverse=True)
    assert before[6:] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert [who.fade(frame, "padded") for frame in (201, 210)] == [0.25, 1]
    assert who.fade(120, "hidden") == 1
