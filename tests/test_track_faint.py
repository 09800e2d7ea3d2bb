"""Lines of weak detections, faces found again, boxes that jump, echoes of a face: what is believed, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_track_link import face, frames, linked
from track_scene import STRONG

from vidanon.settings import DetectSettings
from vidanon.track.company import chests
from vidanon.types import N_FACE_POINTS, ScannedFace

HALFWAY = (STRONG + DetectSettings().weak_threshold) / 2
FAINT_FRAMES = 12
"""0.4 seconds of 30 frames a second"""


def marked(
    x: float, y: float, *, of: tuple[float, float, float] | None = None, trust: float = 0.9, **how: float
) -> ScannedFace:
    """A face whose landmarks are known: those of `of` = (x, y, side), by default of its own box."""
    one = face(x, y, **how)
    left, top, side = of or (x, y, float(one.box[2] - one.box[0]))
    spread = np.random.default_rng(3).uniform(0.2, 0.8, (N_FACE_POINTS, 2)) * side
    points = np.add(spread, (left, top)).astype(np.float32)
    return ScannedFace(one.box, one.score, points, np.full(N_FACE_POINTS, trust, np.float32), one.flow)


@pytest.mark.parametrize(
    ("score", "count", "every", "tracks"),
    [
        (HALFWAY + 0.02, FAINT_FRAMES, 1, 1),
        (HALFWAY + 0.02, FAINT_FRAMES - 1, 1, 0),
        (HALFWAY - 0.02, 5 * FAINT_FRAMES, 1, 0),
        (STRONG - 0.01, FAINT_FRAMES, 4, 1),
        (STRONG - 0.01, 3 * FAINT_FRAMES, 6, 0),
    ],
    ids=["long and halfway sure", "too short", "too weak", "seen now and then", "flickering"],
)
def test_a_line_of_weak_detections_is_a_face_if_it_lasts(score: float, count: int, every: int, tracks: int) -> None:
    """Twelve of them at 30 frames a second, halfway from weak to strong, none longer than 0.15 s after another."""
    one = face(100, 100, score=score)
    scan = frames(*[[one] if i % every == 0 else [] for i in range(count * every)])
    assert len(linked(scan)) == tracks
    assert linked(scan, faint_seconds=0) == []


def test_a_line_of_weak_detections_follows_a_face_that_moves_and_is_not_made_of_several() -> None:
    """A walker is one; as many detections that jump about are none."""
    walker = [[face(100 + 6 * i, 100, score=0.55, flow=6)] for i in range(20)]
    (track,) = linked(frames(*walker))
    assert [p.frame for p in track.points] == list(range(20))
    assert {p.source for p in track.points} == {"weak"}
    places = np.random.default_rng(0).uniform(0, 1000, (40, 2))
    assert linked(frames(*[[face(x, y, score=0.55)] for x, y in places])) == []


def test_a_weak_line_on_somebody_is_no_second_face() -> None:
    """Half on a face that is seen: a part of it. Beside it: somebody, however faint."""
    for x, count in ((155, 1), (215, 2)):
        scan = frames(*[[face(100, 100, side=100), face(x, 100, side=80, score=0.55)] for _ in range(30)])
        assert len(linked(scan)) == count


def test_a_track_found_again_takes_in_what_was_seen_of_it_meanwhile() -> None:
    """Weak detections off its place are a line of their own until it is found there; who stands elsewhere is not it."""
    gone, back = [[face(100, 100, side=100)]] * 30, [[face(160, 100, side=100)]] * 5

    def meanwhile(x: float) -> list[list[ScannedFace]]:
        return [[face(x, 100, side=100, score=0.4)] if 38 <= i < 46 else [] for i in range(30, 47)]

    (track,) = linked(frames(*gone, *meanwhile(160), *back))
    assert set(range(38, 46)) <= {p.frame for p in track.points}
    assert track.last == 51
    (other,) = linked(frames(*gone, *meanwhile(420), *back))
    assert not set(range(38, 46)) & {p.frame for p in other.points}


def test_a_box_that_jumps_off_its_face_is_told_by_the_keypoints() -> None:
    """The same eyes and mouth in a box of another size go on with the track; other ones begin another."""
    small, grown = (100.0, 100.0, 100.0), {"side": 165.0}

    def scan(of: tuple[float, float, float] | None) -> Callable[[], int]:
        jumped = marked(70, 40, of=of, **grown)
        return lambda: len(linked(frames(*[[marked(100, 100, side=100)]] * 20, *[[jumped]] * 20), join_seconds=0))

    assert scan(small)() == 1
    assert scan(None)() == 2


@pytest.mark.parametrize(
    ("x", "trust", "count"),
    [(175, 0.4, 1), (175, 0.65, 2), (205, 0.4, 2)],
    ids=["doubtful and overlapping", "trusted", "beside it"],
)
def test_a_doubtful_detection_that_overlaps_a_surer_face_is_an_echo(x: float, trust: float, count: int) -> None:
    """Hair or a neck, as long as its keypoints say so; somebody in a mask beside a face is not."""
    pair = [marked(100, 100, side=100), marked(x, 100, side=100, score=0.8, trust=trust)]
    scan = frames(*[pair] * 20)
    assert len(linked(scan)) == count
    assert len(linked(scan, drop_parts=1)) == 2


def test_what_is_seen_now_and_then_on_a_face_that_is_always_there_is_its_echo() -> None:
    """Two of sixty frames are a collar; every third one is somebody close behind, and so is what is not on the face."""
    host, other = face(100, 100, side=100), face(100, 155, side=90, score=0.7)

    def tracks(seen: set[int], with_it: ScannedFace = other, **options: float) -> int:
        return len(linked(frames(*[[host, with_it] if i in seen else [host] for i in range(60)]), **options))

    assert tracks({20, 40}) == 1
    assert tracks(set(range(0, 60, 2))) == 2
    assert tracks({20, 40}, face(100, 205, side=90, score=0.7)) == 2
    assert tracks({20, 40}, drop_parts=1) == 2


@pytest.mark.parametrize(
    ("trust", "away", "count"),
    [(0.65, 2, 1), (0.75, 2, 2), (0.65, 3, 2)],
    ids=["nearly always on it", "its own eyes are as sure", "often elsewhere"],
)
def test_hair_that_slips_off_its_face_now_and_then_is_still_its_echo(trust: float, away: int, count: int) -> None:
    """All but two of eight sure detections lie on a face that is always seen, and only its eyes are certain."""
    host = marked(100, 100, side=100)
    on, off = (marked(100, y, side=80, score=0.7, trust=trust) for y in (60, 30))
    seen = {8 * k: off if k < away else on for k in range(8)}
    scan = frames(*[[host, seen[i]] if i in seen else [host] for i in range(64)])
    assert len(linked(scan, max_gap_seconds=1.0)) == count


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 1),
        ({"strong": 2}, 2),
        ({"trust": 0.78}, 2),
        ({"scale": 0.5}, 2),
        ({"aside": 160.0}, 2),
        ({"frames": 6}, 2),
        ({"leaves": 30}, 2),
    ],
    ids=["a chest", "found surely", "eyes and all", "in a crowd", "beside", "too short to tell", "without its owner"],
)
def test_a_chest_in_a_close_up_is_no_face(change: dict[str, float], count: int) -> None:
    """Doubted most of the time, never trusted, always below one face that is sure. Anything else is somebody."""
    how = {"strong": 5, "trust": 0.5, "scale": 1.0, "aside": 0.0, "frames": 60, "leaves": 1000, **change}
    scale, found = how["scale"], []
    for i in range(int(how["frames"])):
        score = 0.75 if i % how["strong"] == 0 else 0.5
        x = 400 + 3.0 * i
        owner = marked(x, 100, side=150 * scale, trust=0.99)
        chest = marked(
            x + (25 + how["aside"]) * scale, 100 + 170 * scale, side=105 * scale, score=score, trust=how["trust"]
        )
        found.append([owner, chest] if i < how["leaves"] else [chest])
    scan = frames(*found)
    assert len(linked(scan, join_seconds=0)) == count
    assert len(linked(scan, join_seconds=0, drop_parts=1)) == 2


def test_the_chests_of_a_frame_are_told_as_those_of_a_track() -> None:
    """Below the chin of a close-up, and its eyes doubted where the face's are certain: no naked face is lost there."""
    owner = marked(400, 100, side=150, trust=0.99)
    chest = marked(425, 270, side=105, trust=0.5)
    child = marked(425, 270, side=105, trust=0.9)
    beside = marked(585, 270, side=105, trust=0.5)
    assert chests([owner, chest]) == [False, True]
    assert chests([chest, owner]) == [True, False]
    assert chests([owner, child, beside]) == [False, False, False]
    assert chests([chest]) == [False]
