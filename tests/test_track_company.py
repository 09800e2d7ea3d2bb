"""Nobody gets a second face, nobody's chest gets one, and a camera that zooms loses nobody."""

from __future__ import annotations

import numpy as np
import pytest
from track_scene import HEIGHT, TIME_BASE, WIDTH, Person, Scene, joined

from vidanon.settings import DetectSettings, TrackSettings
from vidanon.track.settle import settle_all
from vidanon.track.view import View, drift
from vidanon.types import FACE_POINTS, N_FACE_POINTS, Observation, ScannedFace, ScannedFrame, Track

FACE = np.random.default_rng(4).uniform(-0.4, 0.4, (N_FACE_POINTS, 2))


def face(
    cx: float, cy: float, side: float, *, score: float = 0.9, trust: float = 0.9, at: tuple[float, float] | None = None
) -> ScannedFace:
    """A detection; its keypoints are those of a face at `at`, where that is not its own place."""
    x, y = at or (cx, cy)
    box = np.array([cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2], np.float32)
    points = (FACE * side + (x, y)).astype(np.float32)
    return ScannedFace(box, score, points, np.full(len(FACE_POINTS), trust, np.float32), (0.0, 0.0))


def settled(frames: list[list[ScannedFace]], **options: float) -> dict[int, tuple[Track, dict[int, Observation]]]:
    """Tracks by number, with their observations by frame; 30 frames a second."""
    scan = [ScannedFrame(k, 3000 * k, tuple(found), 0.02, 0.02, (0.0, 0.0)) for k, found in enumerate(frames)]
    tracks = joined(
        settle_all(
            lambda: scan,
            width=WIDTH,
            height=HEIGHT,
            time_base=TIME_BASE,
            settings=TrackSettings(**options),  # type: ignore[arg-type]
            detect=DetectSettings(),
        )
    )
    return {number: (track, {o.frame: o for o in items}) for number, (track, items) in tracks.items()}


def test_two_boxes_on_the_keypoints_of_one_face_are_one_person() -> None:
    """A detector that sees hair and brow as a face of its own, now and then, starts no second track."""
    frames = [
        [face(400, 300, 80), *([face(408, 262, 84, score=0.7, at=(400, 300))] if k % 3 == 0 else [])] for k in range(40)
    ]
    assert len(settled(frames)) == 1


def test_two_faces_side_by_side_stay_two() -> None:
    """Cheek to cheek, their boxes overlapping as much: the keypoints are elsewhere."""
    frames = [[face(400, 300, 80), face(455, 310, 80, score=0.8)] for _ in range(30)]
    tracks = settled(frames)
    assert len(tracks) == 2
    assert all(o.source == "detected" for _, items in tracks.values() for k, o in items.items() if k < 30)


def test_hair_beside_a_face_starts_no_track_unless_nothing_is_to_be_dropped() -> None:
    """A doubtful detection whose neighbour is sure to be a face; the strict preset keeps even that."""
    frames = [[face(400, 300, 80), face(405, 245, 84, score=0.7, trust=0.4)] for _ in range(30)]
    assert len(settled(frames)) == 1
    assert len(settled(frames, drop_parts=1.0)) == 2


def test_who_walks_behind_somebody_is_hidden_and_not_painted_on_them() -> None:
    """Across the other's body the track is there, but as one that gets no face; before and after it does."""
    frames = []
    for k in range(90):
        found = [face(640, 250, 120)]
        x = 300 + 8.0 * k
        if not 30 <= k < 56:  # behind the broad man, whose body is below his face
            found.append(face(x, 400, 60, score=0.8))
        frames.append(found)
    tracks = settled(frames)
    assert len(tracks) == 2
    (_, walker) = next(t for t in tracks.values() if t[1][0].box[3] > 400)
    sources = [walker[k].source for k in range(90)]
    assert set(sources[34:50]) == {"hidden"}
    assert set(sources[:30]) == set(sources[56:]) == {"detected"}


def test_a_gap_before_an_empty_wall_is_filled_as_ever() -> None:
    """In doubt the face is there: the same hole without anybody in front."""
    frames = [[face(300 + 8.0 * k, 400, 60)] if not 30 <= k < 56 else [] for k in range(90)]
    ((_, items),) = settled(frames).values()
    assert {items[k].source for k in range(30, 56)} == {"interpolated"}


def test_a_smaller_face_in_front_of_nobody_hides_no_larger_one() -> None:
    """A child below a man's face does not stand in front of him for being there."""
    frames = [[face(640, 420, 50), *([face(640, 300, 120, score=0.8)] if not 20 <= k < 40 else [])] for k in range(60)]
    assert {o.source for _, items in settled(frames).values() for k, o in items.items() if 20 <= k < 40} == {
        "detected",
        "interpolated",
    }


def carried(k: int, path: list[float], *, ahead: int = 0, behind: int = 0) -> ScannedFace:
    """A detection with the boxes of the frames around it."""
    own = face(path[k], 300, 80)
    boxes = [face(x, 300, 80).box for x in path]
    after = np.array(boxes[k + 1 : k + 1 + ahead], np.float32).reshape(-1, 4)
    before = np.array(boxes[max(0, k - behind) : k][::-1], np.float32).reshape(-1, 4)
    return ScannedFace(own.box, own.score, own.points, own.confidence, own.flow, after, before)


def test_a_gap_is_filled_with_where_the_pixels_were() -> None:
    """Somebody who stops and runs on while nobody detects him is covered where he was, not on the line between."""
    path = [200.0 + 2 * min(k, 30) + 14 * max(0, k - 50) for k in range(80)]
    seen = [k for k in range(80) if not 25 <= k < 60]
    frames = [[carried(k, path, ahead=36 if k == 24 else 0)] if k in seen else [] for k in range(80)]
    ((_, items),) = settled(frames).values()
    assert {items[k].source for k in range(25, 60)} == {"carried"}
    for k in range(25, 60):
        x0, _, x1, _ = items[k].box
        assert x0 <= path[k] - 36
        assert x1 >= path[k] + 36


def test_a_doubtful_detection_beside_where_the_pixels_went_takes_no_track_along() -> None:
    """The detector misses a face for four frames and doubts the neck below it in two: the cover stays on the face."""
    path = [300.0] * 60
    frames = [[carried(k, path, ahead=5 if k == 29 else 0)] for k in range(60)]
    for k in range(30, 34):
        frames[k] = [face(300, 300 + 42, 80, score=0.5)] if k in {31, 32} else []
    items = next(items for _, items in settled(frames).values() if 0 in items)
    for k in range(30, 34):
        assert abs(float(items[k].box[1] + items[k].box[3]) / 2 - 300) < 8, (k, items[k])


def test_a_sure_detection_of_the_hair_takes_no_track_along_either() -> None:
    """What is found where the face's own pixels have not gone is something else, however surely it is found."""
    path = [300.0] * 60
    frames = [[carried(k, path, ahead=5 if k == 29 else 0)] for k in range(60)]
    for k in range(30, 34):
        frames[k] = [face(300, 300 - 42, 80, score=0.9)] if k in {31, 32} else []
    items = next(items for _, items in settled(frames).values() if 0 in items)
    for k in range(30, 34):
        assert abs(float(items[k].box[1] + items[k].box[3]) / 2 - 300) < 8, (k, items[k])


def test_who_steps_before_a_face_is_not_that_face() -> None:
    """Half below it, found from the frame on in which it is lost: its pixels were followed, and it comes back."""
    path = [300.0] * 100
    frames = [[carried(k, path, ahead=4 if k == 40 else 0)] if not 41 <= k < 60 else [] for k in range(100)]
    for k in range(41, 100):
        frames[k].append(face(310 + (k - 41) * 0.5, 340, 84, score=0.9 if k > 44 else 0.5))
    behind, before = sorted(settled(frames).values(), key=lambda item: item[0].first)
    assert {0, 40, 60, 99} <= set(behind[1])
    for k in range(100):
        assert abs(float(behind[1][k].box[1] + behind[1][k].box[3]) / 2 - 300) < 15, k
    assert all(float(before[1][k].box[1] + before[1][k].box[3]) / 2 > 325 for k in range(45, 100))


def test_a_face_that_comes_out_half_hidden_is_the_one_that_went() -> None:
    """Somebody walks past: the detector's boxes of the face shrink as he comes, and grow as he goes."""
    sides = {57: 40.0, 58: 41.0, 59: 43.0, 60: 47.0, 61: 52.0, 62: 60.0, 63: 70.0}
    frames = [[face(300, 300, sides.get(k, 80.0))] if not 45 <= k < 57 else [] for k in range(100)]
    assert len(settled(frames)) == 1
    other = [[face(300, 300, 30.0)] if k >= 57 else frames[k] for k in range(100)]
    assert len(settled(other)) == 2


def test_a_chain_that_went_off_with_who_walked_past_is_not_believed() -> None:
    """Followed backwards from where it comes out, a face's pixels are soon those of whoever hid it."""
    with_him = [300.0 + 24 * max(0, 55 - k) for k in range(100)]
    still = [300.0] * 100
    frames = [[carried(k, still)] if not 41 <= k < 56 else [] for k in range(100)]
    frames[56] = [carried(56, with_him, behind=13)]
    ((_, items),) = settled(frames).values()
    for k in range(41, 56):
        assert abs(float(items[k].box[0] + items[k].box[2]) / 2 - 300) < 8, (k, items[k])


def test_a_chain_that_went_elsewhere_is_not_believed() -> None:
    """One that ends beside the next detection followed somebody else."""
    path = [200.0 + 4 * k for k in range(60)]
    wrong = [200.0 + 4 * min(k, 20) - 10 * max(0, k - 20) for k in range(60)]
    frames = [[carried(k, wrong if k == 20 else path, ahead=20 if k == 20 else 0)] for k in range(60)]
    for k in range(21, 40):
        frames[k] = []
    ((_, items),) = settled(frames).values()
    assert {items[k].source for k in range(21, 40)} == {"interpolated"}


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 30), (0.5, 15), (0.0, 0)])
def test_both_ends_are_carried_as_long_as_the_setting_says(seconds: float, frames: int) -> None:
    """Then comes what is left of the padding, at least half of it."""
    path = [400.0 + k for k in range(120)]
    scan: list[list[ScannedFace]] = [[] for _ in range(120)]
    for k in range(50, 70):
        scan[k] = [carried(k, path, ahead=40 if k == 69 else 0, behind=40 if k == 50 else 0)]
    ((track, items),) = settled(scan, carry_seconds=seconds).values()
    assert sum(o.source == "carried" for k, o in items.items() if k > 69) == frames
    assert sum(o.source == "carried" for k, o in items.items() if k < 50) == frames
    padding = 12 if not frames else 6
    assert (track.first, track.last) == (50 - frames - padding, 69 + frames + padding)
    for k, o in items.items():
        assert (o.box[0] + o.box[2]) / 2 == pytest.approx(path[k], abs=8)


def test_one_detection_alone_is_padded_but_not_carried() -> None:
    """What was seen once and never again is more often a poster than a face."""
    path = [400.0] * 80
    scan: list[list[ScannedFace]] = [[] for _ in range(80)]
    scan[40] = [carried(40, path, ahead=30, behind=30)]
    ((_, items),) = settled(scan).values()
    assert {o.source for o in items.values()} == {"detected", "padded"}


def zoomed(scene: Scene, rate: float) -> list[ScannedFrame]:
    """The scene's scan as a camera sees it that zooms in by `rate` a second on the picture's corner."""
    out = []
    for frame in scene.scan():
        zoom = float(np.exp(rate * scene.times[frame.index]))
        more = float(np.exp(rate / scene.fps))
        faces = []
        for one in frame.faces:
            centre = (one.box[:2] + one.box[2:]) / 2
            flow = more * zoom * (centre + one.flow) - zoom * centre
            faces.append(
                ScannedFace(
                    (one.box * zoom).astype(np.float32),
                    one.score,
                    (one.points * zoom).astype(np.float32),
                    one.confidence,
                    (float(flow[0]), float(flow[1])),
                )
            )
        out.append(
            ScannedFrame(frame.index, frame.pts, tuple(faces), frame.change, frame.change_skip, (0.0, 0.0), (more, 0.0))
        )
    return out


def test_a_zooming_camera_loses_nobody_in_a_gap() -> None:
    """Two still people, hidden for half a second while the picture grows by half: each comes back as themselves."""
    hidden = lambda frame: 20 <= frame < 35  # noqa: E731
    people = [Person(lambda _, x=x: (x, 120.0, 40.0), hidden=hidden) for x in (150.0, 210.0)]  # type: ignore[misc]
    scan = zoomed(Scene(people, 2.0), 0.9)
    how = {"width": WIDTH, "height": HEIGHT, "time_base": TIME_BASE}
    tracks = joined(settle_all(lambda: scan, **how, settings=TrackSettings(), detect=DetectSettings()))  # type: ignore[arg-type]
    assert len(tracks) == 2
    for _, items in tracks.values():
        boxes = {o.frame: (o.box[:2] + o.box[2:]) / 2 / np.exp(0.9 * o.frame / 30) for o in items}
        assert np.ptp([boxes[k] for k in range(60)], axis=0).max() < 6


def test_a_view_leads_to_the_world_and_back() -> None:
    """Shift, zoom and roll of many frames, one after the other."""
    view, point = View(), np.array([200.0, 100.0])
    place = point.copy()
    for _ in range(20):
        place = place + drift(place, (3.0, -1.0), (1.01 * np.cos(0.02), 1.01 * np.sin(0.02)))
        view = view.after((3.0, -1.0), (1.01 * np.cos(0.02), 1.01 * np.sin(0.02)))
    assert view.picture(point) == pytest.approx(place)
    assert view.world(place) == pytest.approx(point)
    assert view.scale == pytest.approx(1.01**20)
    assert view.unseen(view.seen(point)) == pytest.approx(point)


def test_who_is_hidden_takes_no_more_of_the_picture_than_a_face() -> None:
    """Nothing of it is seen there: boxes grow in gaps, but not behind somebody else."""
    far = [face(300, 300, 60)]
    near = face(300, 310, 110)
    frames = [[near, *([] if 30 <= k < 45 else far)] if 28 <= k < 47 else far for k in range(80)]
    items = next(items for track, items in settled(frames).values() if track.first == 0)
    behind = [items[k] for k in range(30, 45) if items[k].source == "hidden"]
    assert behind
    assert max(float(o.box[2] - o.box[0]) for o in behind) < 63
