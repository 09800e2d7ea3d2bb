"""Tracks made whole: no hole, no lag, no jitter, padded ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from test_track_link import crowd_hiding_for_15_frames, face, frames, walk, wander, wild_scans
from track_scene import HEIGHT, STRONG, TIME_BASE, WIDTH, Person, Scene, joined

from vidanon.geometry import area, centre_size, iou, within
from vidanon.plan import Plan
from vidanon.render.align import face_pose
from vidanon.settings import DetectSettings, TrackSettings
from vidanon.track import link as link_module
from vidanon.track.settle import settle_all
from vidanon.track.smooth import smooth
from vidanon.types import FACE_POINT_INDEX, Observation, ScannedFace, ScannedFrame, Track


def settled(scan: list[ScannedFrame], **options: float) -> dict[int, tuple[Track, list[Observation]]]:
    how = TrackSettings(**options)  # type: ignore[arg-type]
    size = {"width": WIDTH, "height": HEIGHT}
    return joined(settle_all(lambda: scan, **size, time_base=TIME_BASE, settings=how, detect=DetectSettings()))


def only(tracks: dict[int, tuple[Track, list[Observation]]]) -> tuple[Track, list[Observation]]:
    (one,) = tracks.values()
    return one


@settings(max_examples=60, deadline=None, derandomize=True)
@given(wild_scans())
def test_every_frame_of_a_track_has_a_finite_observation_and_every_strong_detection_is_covered(
    scan: list[ScannedFrame],
) -> None:
    """Fail closed, whatever the detector says: no hole, no NaN, no sure face left uncovered."""
    tracks = settled(scan, drop_parts=1)
    found = {(o.frame, n): o for n, (_, items) in tracks.items() for o in items}
    for track, items in tracks.values():
        assert [o.frame for o in items] == list(range(track.first, track.last + 1))
        assert (track.identity, track.action) == (f"track-{track.number}", "anonymize")
        assert all(np.isfinite(o.box).all() and (o.box[2:] > o.box[:2]).all() for o in items)
        assert 0 <= track.first <= track.last < len(scan)
    for frame in scan:
        here = [o.box for (f, _), o in found.items() if f == frame.index]
        for one in frame.faces:
            if one.score >= STRONG:
                assert any(covers(box, one.box) for box in here)


def covers(box: np.ndarray, detected: np.ndarray) -> bool:
    inside = area(np.concatenate([np.maximum(box[:2], detected[:2]), np.minimum(box[2:], detected[2:])]))
    return bool(iou(box, detected)[0, 0] >= 0.7 or inside >= 0.99 * area(detected))


@pytest.mark.parametrize("fps", [10, 30, 100])
def test_a_face_seen_once_is_covered_before_and_after(fps: int) -> None:
    """One detection makes a track of 0.4 s on both sides, at any frame rate."""
    scan = frames(*[[face(600, 300)] if i == fps else [] for i in range(2 * fps)], step=90000 // fps)
    track, items = only(settled(scan))
    assert (track.first, track.last) == (round(0.6 * fps), round(1.4 * fps))
    assert {o.source for o in items if o.frame != fps} == {"padded"}
    assert items[(len(items) - 1) // 2].box == pytest.approx([600, 300, 640, 340])
    assert all(within([600, 300, 640, 340], o.box)[0, 0] == pytest.approx(1) for o in items)


def test_a_face_seen_once_is_padded_along_its_flow() -> None:
    """With one box there is no speed but that of the picture."""
    scan = frames(*[[face(600, 300, flow=4)] if i == 15 else [] for i in range(30)])
    _, items = only(settled(scan))
    steps = np.diff([centre_size(o.box)[0] for o in items])
    assert (steps > 2).all()
    assert (steps <= 4.01).all()


def test_padding_follows_the_motion_and_covers_the_face_the_detector_lost() -> None:
    """A walker whose first and last 0.4 s are missed is covered there all the same."""
    for speed in (0, 100, 300):
        missed = Person(walk(300, 300, speed, 20), hidden=lambda frame: frame < 12 or frame >= 78)
        scene = Scene([missed], 3, drop=0.1)
        track, items = only(scene.settle())
        assert (track.first, track.last) == (0, 89)
        assert min(within(scene.truth(o.frame)[0][1], o.box)[0, 0] for o in items) > 0.7


def test_padding_stops_at_a_cut_at_the_clips_ends_and_where_the_face_has_left() -> None:
    """It covers nothing of the next shot, and no frame that is not there."""
    scan = [
        ScannedFrame(i, i * 3000, (face(300, 300),) if i in (8, 12) else (), 0.9 if i == 10 else 0.0, cut, (0.0, 0.0))
        for i, cut in enumerate([0.9 if 10 <= i <= 18 else 0.0 for i in range(20)])
    ]
    assert [(t.first, t.last) for t, _ in settled(scan).values()] == [(0, 9), (10, 19)]
    leaving = Scene([Person(walk(900, 300, 400))], 3)
    track, items = only(leaving.settle())
    assert track.last < 89
    assert items[-1].box[0] < WIDTH
    # Its centre left at 380 px / 400 px/s; the last of its cheek some frames later.
    assert 28 < track.last <= 45


def test_a_gap_is_filled_in_a_curve_not_a_jump() -> None:
    """Fifteen lost frames of a wandering face are interpolated within a fifth of its size."""
    person = Person(wander(500, 300, 90, 0.4), hidden=lambda frame: 40 <= frame < 55)
    scene = Scene([person], 4, jitter=0.005)
    _, items = only(scene.settle())
    gap = [o for o in items if 40 <= o.frame < 55]
    assert {o.source for o in gap} == {"interpolated"}
    for o in gap:
        off = centre_size(o.box)[:2] - centre_size(scene.truth(o.frame)[0][1])[:2]
        assert np.linalg.norm(off) < 18
        assert np.isfinite(o.points[:5]).all()
        assert o.score == pytest.approx(0.9)


def test_a_gap_under_a_shaking_camera_follows_the_shake() -> None:
    """The camera's own motion is known in every frame, so it is not interpolated away."""
    person = Person(walk(500, 300, 30), hidden=lambda frame: 40 <= frame < 60)
    scene = Scene([person], 4, jitter=0.0, camera=lambda t: (25 * np.sin(25 * t), 0.0))
    _, items = only(scene.settle())
    off = [abs(centre_size(o.box)[0] - centre_size(scene.truth(o.frame)[0][1])[0]) for o in items if 40 <= o.frame < 60]
    assert max(off) < 10


@pytest.mark.parametrize("fps", [10, 30, 100])
def test_smoothing_takes_jitter_away_and_does_not_lag(fps: int) -> None:
    """The settled box is nearer the truth than the detection was, and neither early nor late."""
    scene = Scene([Person(wander(400, 300, 90, 0.4))], 6, fps=fps, jitter=0.02)
    _, items = only(scene.settle())
    seen = scene.seen()
    items = [o for o in items if o.source == "detected"]
    true = np.array([centre_size(scene.truth(o.frame)[0][1]) for o in items])
    raw = np.array([centre_size(seen[o.frame][0][1].box) for o in items])
    ours = np.array([centre_size(o.box) for o in items])
    assert np.square(ours - true).mean() < 0.5 * np.square(raw - true).mean()
    assert np.square(np.diff(ours, 2, axis=0)).mean() < 0.25 * np.square(np.diff(raw, 2, axis=0)).mean()
    speed = np.gradient(true[:, 0])
    lag_frames = ((ours - true)[:, 0] @ speed) / (speed @ speed)
    assert abs(lag_frames) < 0.1


def test_a_sudden_turn_is_followed() -> None:
    """A head thrown about is never smoothed out of its own box."""

    def zigzag(t: float) -> tuple[float, float, float]:
        return 500 + 120 * abs((3 * t) % 2 - 1), 300, 80

    scene = Scene([Person(zigzag)], 4, jitter=0.01)
    _, items = only(scene.settle())
    seen = scene.seen()
    assert min(iou(o.box, seen[o.frame][0][1].box)[0, 0] for o in items if o.source == "detected") >= 0.7


def test_a_single_box_elsewhere_bends_no_path() -> None:
    """An outlier is covered in its own frame and moves no other."""
    scan = frames(*[[face(600, 300)] for _ in range(40)])
    odd = face(600, 300 + 25)
    scan[20] = ScannedFrame(20, 60000, (odd,), 0.02, 0.02, (0.0, 0.0))
    _, items = only(settled(scan))
    assert covers(items[20].box, odd.box)
    for i in (18, 19, 21, 22):
        assert items[i].box == pytest.approx([600, 300, 640, 340], abs=0.5)


def with_points(one: ScannedFace, marks: dict[str, tuple[float, float]]) -> ScannedFace:
    points, confidence = one.points.copy(), one.confidence.copy()
    for name, at in marks.items():
        points[FACE_POINT_INDEX[name]] = at
        confidence[FACE_POINT_INDEX[name]] = 0.9
    return ScannedFace(one.box, one.score, points, confidence, one.flow)


def test_lips_keep_moving_while_the_box_is_held_still() -> None:
    """Speech at four syllables a second keeps at least 85 % of its range through smoothing."""
    rng = np.random.default_rng(5)
    lips = 4 * np.sin(2 * np.pi * 4 * np.arange(90) / 30)
    scan = frames(
        *[
            [with_points(face(600 + rng.normal(), 300 + rng.normal(), side=80), {"lip_lower_inner": (640, 365 + y)})]
            for y in lips
        ]
    )
    _, items = only(settled(scan))
    got = np.array([o.points[FACE_POINT_INDEX["lip_lower_inner"]] for o in items])
    assert np.std(got[10:-10, 1]) > 0.85 * np.std(lips[10:-10])
    assert np.corrcoef(got[10:-10, 1], lips[10:-10])[0, 1] > 0.98
    assert np.std(np.diff([o.box[0] for o in items[10:-10]])) < 0.35


FIRM = {"right_eye": (-18, -10), "left_eye": (18, -10), "nose": (0, 5), "right_brow_outer": (-25, -20)}


def test_a_still_head_is_held_still_in_place_and_roll() -> None:
    """Points that jitter by a px or two do not turn the crop: above 5 Hz it moves less than a third of a px."""
    rng = np.random.default_rng(7)
    scan = []
    for _ in range(90):
        marks = {n: (640 + x + rng.normal(), 340 + y + rng.normal()) for n, (x, y) in FIRM.items()}
        scan.append([with_points(face(600 + rng.normal(), 300 + rng.normal(), side=80), marks)])
    _, items = only(settled(frames(*scan)))
    poses = [face_pose(o.box, o.points) for o in items]
    corner = np.array([(p.cx + 68 * np.cos(p.roll + 0.7), p.cy + 68 * np.sin(p.roll + 0.7)) for p in poses])
    spectrum = np.fft.rfft(corner - corner.mean(axis=0), axis=0)
    spectrum[np.fft.rfftfreq(len(corner), 1 / 30) < 5] = 0
    assert np.std(np.fft.irfft(spectrum, len(corner), axis=0)) < 0.33


def test_a_head_that_nods_quickly_is_followed() -> None:
    """Holding still is for heads that are: a roll of 0.4 rad within 0.2 s lags by less than 0.06 rad."""
    scan, truth = [], []
    for i in range(60):
        roll = 0.4 / (1 + np.exp(-(i - 30) / 1.5))
        c, s = np.cos(roll), np.sin(roll)
        marks = {n: (640 + c * x - s * y, 340 + s * x + c * y) for n, (x, y) in FIRM.items()}
        scan.append([with_points(face(600, 300, side=80), marks)])
        truth.append(roll)
    _, items = only(settled(frames(*scan)))
    eyes = np.array([o.points[1] - o.points[0] for o in items])
    assert np.abs(np.arctan2(eyes[:, 1], eyes[:, 0]) - truth).max() < 0.06


def test_a_stray_keypoint_moves_no_other_frame() -> None:
    """An eye found on the ear for one frame is an outlier, a blink of two frames is none."""
    scan = []
    for i in range(40):
        marks = {n: (640.0 + x, 340.0 + y) for n, (x, y) in FIRM.items()}
        marks["left_lid_upper"] = (658, 322 + (6 if i in (30, 31) else 0))
        if i == 15:
            marks["nose"] = (680, 360)
        scan.append([with_points(face(600, 300, side=80), marks)])
    _, items = only(settled(frames(*scan)))
    nose, lid = (np.array([o.points[FACE_POINT_INDEX[n]] for o in items]) for n in ("nose", "left_lid_upper"))
    assert np.abs(nose - (640, 345)).max() < 0.5
    assert lid[30:32, 1].min() > 325


def test_a_box_is_wider_the_longer_nobody_saw_the_face() -> None:
    """In the middle of a gap a face may be off the curve; the box there holds the places beside it."""
    scan = frames(*[[face(100 + 2.0 * i, 300)] if not 20 <= i < 35 else [] for i in range(60)])
    _, items = only(settled(scan))
    sides = np.array([o.box[2] - o.box[0] for o in items])[:60]
    assert sides[5:18] == pytest.approx(sides[5], rel=0.02)
    assert sides[27] > 1.2 * sides[5]
    assert (np.diff(sides[20:27]) > 0).all()
    assert (np.diff(sides[28:34]) < 0).all()


def test_missing_points_come_from_other_frames_through_the_box() -> None:
    """A point known at times is known always, at its place in the moving face; one never known stays unknown."""
    scan = frames(
        *[
            [with_points(face(100.0 + 3 * i, 300), {"nose": (120.0 + 3 * i, 320)} if i % 10 == 0 else {})]
            for i in range(40)
        ]
    )
    _, items = only(settled(scan))
    for o in items:
        centre = centre_size(o.box)[:2]
        assert o.points[FACE_POINT_INDEX["nose"]] == pytest.approx(centre, abs=1.0)
        assert np.isnan(o.points[FACE_POINT_INDEX["left_eye"]]).all()


def test_an_unknown_score_is_that_of_the_weaker_neighbour() -> None:
    """Doubt is never averaged away."""
    scan = frames([face(100, 100, score=0.9)], [], [face(100, 100, score=0.7)], [])
    _, items = only(settled(scan))
    assert [(o.source, round(o.score, 3)) for o in items] == [
        ("detected", 0.9),
        ("interpolated", 0.7),
        ("detected", 0.7),
        ("padded", 0.7),
    ]


def test_a_track_settled_in_pieces_is_the_track_settled_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a long track was cut for memory's sake cannot be seen in the result."""
    scene = Scene(crowd_hiding_for_15_frames(), 20, drop=0.3)
    whole = scene.settle()
    monkeypatch.setattr(link_module, "PIECE_SECONDS", 4.0)
    pieces = scene.settle()
    assert whole.keys() == pieces.keys()
    for number, (track, items) in whole.items():
        assert pieces[number][0] == track
        for a, b in zip(items, pieces[number][1], strict=True):
            assert a.source == b.source
            assert a.box == pytest.approx(b.box, abs=0.05)
            assert a.points == pytest.approx(b.points, abs=0.1, nan_ok=True)


def test_a_scan_written_down_settles_like_one_in_memory(tmp_path: Path) -> None:
    """Through a plan and out of it again, not a number changes."""
    scene = Scene(crowd_hiding_for_15_frames(), 3, drop=0.3, cuts=[50])
    with Plan.create(
        tmp_path / "clip.plan",
        source_name="clip.mp4",
        fingerprint="f00d",
        width=WIDTH,
        height=HEIGHT,
        time_base=TIME_BASE,
        settings_json="{}",
    ) as plan:
        plan.append(scene.scan())
        plan.finish_scan()
        size = {"width": WIDTH, "height": HEIGHT}
        how = {"settings": TrackSettings(), "detect": DetectSettings()}
        plan.write_tracks(settle_all(plan.scanned, **size, time_base=TIME_BASE, **how))  # type: ignore[arg-type]
        read = {(o.track, o.frame): o for _, found in plan.observations(0, None) for o in found}
        tracks = plan.tracks()
    expected = scene.settle()
    assert tracks == [expected[n][0] for n in sorted(expected)]
    for n, (_, items) in expected.items():
        for item in items:
            got = read.pop((n, item.frame))
            assert (got.score, got.source) == (item.score, item.source)
            assert np.array_equal(got.box, item.box)
            assert np.array_equal(got.points, item.points, equal_nan=True)
    assert read == {}


def test_smoothing_leaves_constant_acceleration_alone() -> None:
    """On uneven time stamps, a parabola passes through; so does a single value."""
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(0.01, 0.06, 80))
    values = np.column_stack([3 * times**2 - times + 5, np.full(80, 7.0)])
    got = smooth(times, values, np.ones(80), 0.15)
    assert got[10:-10] == pytest.approx(values[10:-10], abs=0.005)
    assert got[:, 1] == pytest.approx(values[:, 1])
    assert smooth(times[:1], values[:1], np.ones(1), 0.15) == pytest.approx(values[:1])
