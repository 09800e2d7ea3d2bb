"""Detections become tracks: nobody is lost, nobody is swapped, nothing crosses a cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from track_scene import STRONG, TIME_BASE, Path, Person, Scene

from vidanon.settings import DetectSettings, TrackSettings
from vidanon.track import link as link_module
from vidanon.track.link import RawTrack, link
from vidanon.types import N_FACE_POINTS, ScannedFace, ScannedFrame


def walk(x: float, y: float, vx: float, vy: float = 0.0, *, side: float = 80.0) -> Path:
    return lambda t: (x + vx * t, y + vy * t, side)


def wander(x: float, y: float, side: float, rate: float) -> Path:
    def path(t: float) -> tuple[float, float, float]:
        return x + 60 * np.sin(6.28 * rate * t), y + 18 * np.cos(8 * rate * t), side * (1 + 0.1 * np.sin(t))

    return path


def crowd() -> list[Person]:
    return [Person(wander(200 + 250 * i, 200 + 100 * (i % 2), 60 + 20 * i, 0.3 + 0.1 * i)) for i in range(4)]


def crowd_hiding_for_15_frames() -> list[Person]:
    people = crowd()
    for i, person in enumerate(people):
        person.hidden = lambda frame, i=i: (frame + 20 * i) % 90 < 15  # type: ignore[misc]
    return people


SCENES = {
    "as it comes": Scene(crowd(), 6),
    "30 % dropped": Scene(crowd(), 6, drop=0.3),
    "30 % dropped, 30 % weak": Scene(crowd(), 6, drop=0.3, weak=0.3),
    "30 % dropped, no keypoints, no flow": Scene(crowd(), 6, drop=0.3, keypoints=False, flow=False),
    "30 % dropped, false positives": Scene(crowd(), 6, drop=0.3, false=0.3),
    "30 % dropped, variable frame rate": Scene(crowd(), 6, drop=0.3, uneven=True),
    "30 % dropped, 10 frames a second": Scene(crowd(), 6, drop=0.3, fps=10),
    "30 % dropped, 100 frames a second": Scene(crowd(), 3, drop=0.3, fps=100),
    "gaps of 15 frames": Scene(crowd_hiding_for_15_frames(), 6),
    "gaps of 15 frames, 30 % dropped": Scene(crowd_hiding_for_15_frames(), 6, drop=0.3),
    "gaps of 15 frames, shaken camera": Scene(
        crowd_hiding_for_15_frames(), 6, drop=0.3, camera=lambda t: (30 * np.sin(5 * t), 10 * np.sin(9 * t))
    ),
    "gaps of 15 frames, panning camera": Scene(
        crowd_hiding_for_15_frames(), 5, drop=0.2, camera=lambda t: (-60 * t, 0)
    ),
    "flashes": Scene(crowd(), 4, drop=0.1, flashes=[30, 61]),
}


@pytest.mark.parametrize("name", SCENES)
def test_everybody_is_covered_from_first_to_last_and_by_one_track(name: str) -> None:
    """At least 99.9 % of the true frames are covered, each person by a track of their own."""
    verdict = SCENES[name].judge(SCENES[name].settle())
    assert verdict.coverage >= 0.999, verdict.naked
    assert verdict.identity == 1.0, verdict.numbers


@pytest.mark.parametrize("speed", [150, 250, 350, 500])
@pytest.mark.parametrize(
    "faults", [{}, {"drop": 0.3}, {"drop": 0.3, "keypoints": False, "flow": False}, {"fps": 10.0}, {"jitter": 0.03}]
)
def test_walkers_who_cross_keep_their_identities(speed: float, faults: dict[str, float]) -> None:
    """Two people pass, one hiding the other for a moment, and neither takes the other's track."""
    people = [Person(walk(100, 360, speed), pose=1), Person(walk(1180, 370, -speed, side=76), pose=-1)]
    scene = Scene(people, 1080 / speed, **faults)  # type: ignore[arg-type]
    tracks = scene.settle()
    verdict = scene.judge(tracks)
    assert verdict.coverage >= 0.999, verdict.naked
    assert verdict.identity == 1.0
    assert len(tracks) == 2


def test_who_comes_in_where_another_went_out_is_someone_else() -> None:
    """A face that moves against the motion of the lost one is not the lost one."""
    people = [Person(walk(300, 360, 500)), Person(walk(1280 + 500 * 2.05, 370, -500))]
    scene = Scene(people, 4)
    verdict = scene.judge(scene.settle())
    assert verdict.identity == 1.0


def test_a_cut_ends_every_track() -> None:
    """A new shot means new tracks, even where a new face sits exactly on the old one."""
    scene = Scene([Person(walk(600, 300, 0))], 4, cuts=[60])
    tracks = scene.settle()
    assert sorted((t.first, t.last) for t, _ in tracks.values()) == [(0, 59), (60, 119)]


def test_a_flash_ends_no_track() -> None:
    """A photographer's flash, with the faces lost in it, leaves one track with no hole."""
    flashed = Person(walk(300, 300, 100), hidden=lambda frame: frame == 40)
    tracks = Scene([flashed], 3, flashes=[40]).settle()
    assert [(t.first, t.last) for t, _ in tracks.values()] == [(0, 89)]


def face(x: float, y: float, *, score: float = 0.9, side: float = 40.0, flow: float = 0.0) -> ScannedFace:
    points = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    box = np.array([x, y, x + side, y + side], np.float32)
    return ScannedFace(box, score, points, np.zeros(N_FACE_POINTS, np.float32), (flow, 0.0))


def frames(*found: list[ScannedFace], step: int = 3000, change: float = 0.02) -> list[ScannedFrame]:
    return [ScannedFrame(i, i * step, tuple(faces), change, change, (0.0, 0.0)) for i, faces in enumerate(found)]


def linked(scan: list[ScannedFrame], **options: float) -> list[RawTrack]:
    how = TrackSettings(**options)  # type: ignore[arg-type]
    return list(link(scan, time_base=TIME_BASE, settings=how, detect=DetectSettings()))


def test_a_weak_detection_continues_a_track_but_never_starts_one() -> None:
    """A faint face is believed only where a sure one was."""
    (track,) = linked(frames([face(100, 100)], [face(102, 100, score=0.3)], [face(500, 300, score=0.3)]))
    assert [(p.frame, p.source) for p in track.points] == [(0, "detected"), (1, "weak")]


def test_weak_detections_that_lead_up_to_a_face_are_its_beginning() -> None:
    """Someone who comes out of the dark is covered from the first faint frame on."""
    scan = frames(*[[face(100 + 5 * i, 100, score=0.3, flow=5)] for i in range(8)], [face(140, 100)])
    (track,) = linked(scan)
    assert [p.frame for p in track.points] == list(range(9))
    assert track.first == 0


def test_a_weak_detection_long_before_a_face_is_not_its_beginning() -> None:
    """Noise at the same place half a second earlier is noise."""
    scan = frames([face(100, 100, score=0.3)], *[[] for _ in range(15)], [face(100, 100)])
    (track,) = linked(scan)
    assert [p.frame for p in track.points] == [16]


@pytest.mark.parametrize("fps", [10, 30, 100])
def test_a_gap_counts_in_seconds_whatever_the_frame_rate(fps: int) -> None:
    """A face away for 1.3 s comes back to its track, one away for 1.8 s gets a new one unless tracks are joined."""
    for away, join, expected in ((1.3, 0, 1), (1.8, 0, 2), (1.8, 2, 1), (2.5, 2, 2)):
        hidden = [[] if 1 <= i / fps < 1 + away else [face(100, 100)] for i in range(4 * fps)]
        assert len(linked(frames(*hidden, step=90000 // fps), join_seconds=join)) == expected


def test_the_next_frame_of_a_slow_clip_is_no_gap() -> None:
    """One frame every two seconds: the face seen in each of them is one track."""
    (track,) = linked(frames(*[[face(100, 100)] for _ in range(5)], step=180000))
    assert len(track.points) == 5


def test_tracks_are_numbered_in_order_of_appearance() -> None:
    """Numbers start at 1 in every clip and have no holes."""
    scan = frames([face(100, 100)], [face(100, 100), face(400, 100)], [face(700, 100), face(100, 100)])
    for _ in range(2):
        found = sorted(linked(scan), key=lambda t: t.number)
        assert [(t.number, t.first) for t in found] == [(1, 0), (2, 1), (3, 2)]


def test_two_who_vanish_behind_a_bus_come_out_as_themselves() -> None:
    """Joined after the scan: each of two lost for two seconds is where it was going, though both are alike."""

    def at(x: float, v: float, i: int) -> list[ScannedFace]:
        return [] if 30 <= i < 90 else [face(x + v * i, 100, flow=v)]

    scan = frames(*[at(100, 3, i) + at(700, -3, i) for i in range(130)])
    found = linked(scan, max_gap_seconds=0.5)
    assert [(t.number, t.first, t.last) for t in found] == [(1, 0, 129), (2, 0, 129)]
    for track in found:
        assert len({p.face.flow for p in track.points}) == 1


def test_who_is_elsewhere_or_of_another_size_is_not_joined() -> None:
    """A new face two seconds later is the old one only where and as large as that could be."""
    before, nobody = [[face(100, 100)]] * 30, [[]] * 60
    for later in (face(400, 100), face(100, 100, side=90.0)):
        assert len(linked(frames(*before, *nobody, *[[later]] * 30))) == 2


def test_who_goes_out_and_who_comes_in_are_not_joined() -> None:
    """Nothing but the face could tell that they are one, and that is never looked at."""
    out = [[face(60 - 4 * i, 100, flow=-4)] for i in range(20)]
    back = [[face(-20 + 4 * i, 100, flow=4)] for i in range(20)]
    assert len(linked(frames(*out, *[[]] * 50, *back))) == 2


def test_joined_tracks_leave_no_hole_in_the_numbers() -> None:
    """A number is given when it is known who is who."""
    away = [[face(100, 100)] if i < 20 or i > 80 else [] for i in range(120)]
    scan = frames(*[faces + ([face(500, 100)] if i > 90 else []) for i, faces in enumerate(away)])
    assert [(t.number, t.first, t.last) for t in sorted(linked(scan), key=lambda t: t.number)] == [
        (1, 0, 119),
        (2, 91, 119),
    ]


def test_a_mouth_taken_for_a_face_starts_no_track_and_takes_none() -> None:
    """A part of a surer face is covered with it, also where the whole was missed for a moment."""
    whole, mouth = face(100, 100, side=100), face(125, 140, side=55, score=0.7)
    scan = frames(*[[mouth] if i in (10, 11, 12) else [whole, mouth] for i in range(40)])
    (track,) = linked(scan)
    assert [p.frame for p in track.points] == [i for i in range(40) if i not in (10, 11, 12)]
    assert all(p.face.box[2] - p.face.box[0] == 100 for p in track.points)
    assert len(linked(scan, drop_parts=1)) == 2


def test_an_earring_is_no_face_and_a_face_beside_a_head_is() -> None:
    """Small and on the head of a surer face: a part. Further out, not so small, or surer: somebody."""
    head = face(300, 300, side=200)
    for other, count in (
        (face(295, 400, side=20, score=0.8), 1),
        (face(505, 420, side=18, score=0.8), 1),
        (face(390, 215, side=20, score=0.8), 1),
        (face(235, 400, side=20, score=0.8), 2),
        (face(300, 530, side=20, score=0.8), 2),
        (face(280, 400, side=60, score=0.8), 2),
        (face(295, 400, side=20, score=0.95), 2),
    ):
        scan = frames(*[sorted((head, other), key=lambda one: -one.score)] * 20)
        assert len(linked(scan)) == count
        assert len(linked(scan, drop_parts=1)) == 2


def test_a_single_doubtful_detection_is_dropped_only_on_request() -> None:
    """The veto is the preset's: without it one detection is a face; two are one in any case."""
    unsure = face(500, 300)
    scan = frames(*[[face(100, 100)] + ([unsure] if i == 5 else []) for i in range(10)])
    assert len(linked(scan)) == 2
    (left,) = linked(scan, veto_confidence=0.3)
    assert left.points[0].face.box[0] == 100
    twice = frames(*[[face(100, 100)] + ([unsure] if i in (5, 6) else []) for i in range(10)])
    assert len(linked(twice, veto_confidence=0.3)) == 2
    sure = ScannedFace(unsure.box, 0.9, unsure.points, np.full(N_FACE_POINTS, 0.8, np.float32), (0.0, 0.0))
    assert len(linked(frames([sure]), veto_confidence=0.3)) == 1


def test_tracks_with_too_few_detections_are_dropped_on_request() -> None:
    """min_detections removes false alarms of a frame or two and leaves no hole in the numbers."""
    scan = frames([face(700, 100)], *[[face(100, 100)] for _ in range(5)])
    (track,) = linked(scan, min_detections=3)
    assert (track.number, len(track.points)) == (1, 5)


@st.composite
def wild_scans(draw: st.DrawFn) -> list[ScannedFrame]:
    n = draw(st.integers(1, 12))
    one = st.builds(
        face,
        st.integers(0, 300).map(float),
        st.integers(0, 60).map(float),
        score=st.sampled_from([0.2, 0.35, STRONG - 0.01, STRONG, 0.9]),
        side=st.sampled_from([1.0, 20.0, 50.0]),
        flow=st.sampled_from([0.0, 15.0, -40.0]),
    )
    steps = draw(st.lists(st.integers(1, 100000), min_size=n, max_size=n))
    changes = draw(st.lists(st.sampled_from([0.0, 0.1, 0.9]), min_size=n, max_size=n))
    return [
        ScannedFrame(i, sum(steps[: i + 1]), tuple(draw(st.lists(one, max_size=4))), change, change, (3.0, 0.0))
        for i, change in enumerate(changes)
    ]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(wild_scans())
def test_every_strong_detection_ends_in_exactly_one_track(scan: list[ScannedFrame]) -> None:
    """Whatever the detector says, no sure face is lost or doubled, and no track holds two faces of one frame."""
    tracks = linked(scan, drop_parts=1)
    held = Counter(id(p.face) for t in tracks for p in t.points)
    for frame in scan:
        for one in frame.faces:
            assert held[id(one)] == 1 if one.score >= STRONG else held[id(one)] <= 1
    for track in tracks:
        order = [p.frame for p in track.points]
        assert order == sorted(set(order))
        assert track.shot_start <= track.first <= track.last < track.shot_stop


def test_linking_reads_only_as_far_ahead_as_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face that stays for hours is handed on piece by piece, and only a piece is ever held."""
    monkeypatch.setattr(link_module, "PIECE_SECONDS", 4.0)
    read = 0

    def endless() -> Iterator[ScannedFrame]:
        nonlocal read
        for read in range(3000):
            yield ScannedFrame(read, read * 3000, (face(100, 100),), 0.02, 0.02, (0.0, 0.0))

    owned = []
    for piece in link(endless(), time_base=TIME_BASE, settings=TrackSettings(), detect=DetectSettings()):
        assert len(piece.points) <= 30 * 14
        assert piece.ends or read - piece.last <= 30 * 7
        owned += range(piece.first, piece.last + 1)
    assert owned == list(range(3000))
