"""Faces followed by their own pixels: what moves is followed to the frame, what trembles is held still."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from test_track_pictures import room
from test_track_settle import only, settled
from track_scene import TIME_BASE

from vidanon.geometry import Array, apply, centre_size, similarity
from vidanon.track.pointflow import PointFlow
from vidanon.types import (
    FACE_POINT_INDEX,
    FACE_POINTS,
    N_FACE_POINTS,
    FloatArray,
    ImageArray,
    ScannedFace,
    ScannedFrame,
)

BOX: FloatArray = np.array([180, 60, 280, 190], np.float32)
ON_FACE = np.array([not name.endswith(("_ear", "_shoulder")) for name in FACE_POINTS])
UNKNOWN: FloatArray = np.full((N_FACE_POINTS, 2), np.nan, np.float32)


def marks(box: FloatArray = BOX) -> FloatArray:
    """Keypoints spread over a face as they are in life."""
    places = {
        "right_eye": (0.3, 0.38),
        "left_eye": (0.7, 0.38),
        "nose": (0.5, 0.58),
        "mouth_right": (0.36, 0.76),
        "mouth_left": (0.64, 0.76),
        "lip_upper_inner": (0.5, 0.75),
        "lip_lower_inner": (0.5, 0.77),
    }
    rng = np.random.default_rng(4)
    out = rng.uniform(0.15, 0.85, (N_FACE_POINTS, 2))
    for name, at in places.items():
        out[FACE_POINT_INDEX[name]] = at
    return np.asarray(box[:2] + out * (box[2:] - box[:2]), np.float32)


def warped(picture: ImageArray, matrix: Array) -> ImageArray:
    """The picture moved by a matrix of geometry.py, whose pixel centres lie at half-integers."""
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, local, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def told(before: ImageArray, after: ImageArray, *, box: FloatArray = BOX, shift: tuple[float, float]) -> FloatArray:
    meter = PointFlow()
    assert np.isnan(meter.step(before, box[None], marks(box)[None], [shift])).all()
    (moved,) = meter.step(after, box[None], marks(box)[None], [shift])
    return moved


@pytest.mark.parametrize("zoom", [0.25, 1.0, 4.0])
def test_the_keypoints_of_a_head_that_turns_and_nears_are_followed(zoom: float) -> None:
    """To 0.2 % of a face, at any size: shifted, rolled and zoomed at once. Ears and shoulders are not told."""
    picture = cv2.resize(room(8), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    box = BOX * np.float32(zoom)
    turn = similarity(1.02, 0.03, np.array([230.0, 125.0]) * zoom, np.array([233.4, 124.2]) * zoom)
    moved = told(np.asarray(picture, np.uint8), warped(picture, turn), box=box, shift=(3 * zoom, 0))
    expected = apply(turn, marks(box)) - marks(box)
    assert np.isnan(moved[~ON_FACE]).all()
    off = np.linalg.norm(moved[ON_FACE] - expected[ON_FACE], axis=1)
    # a keypoint on the jaw, lip or lid moves as the skin beside it, which a roll moves a little differently
    assert np.nanmedian(off) < 0.002 * 114 * zoom + 0.03
    assert np.nanmax(off) < 0.012 * 114 * zoom


def test_a_fast_face_is_followed_from_where_its_flow_says_it_is() -> None:
    """Half a face in one frame."""
    moved = told(room(8), warped(room(8), np.array([[1.0, 0, 52.3], [0, 1.0, -11.6]])), shift=(50, -10))
    np.testing.assert_allclose(moved[ON_FACE], np.tile((52.3, -11.6), (int(ON_FACE.sum()), 1)), atol=0.15)


def test_where_the_flow_there_does_not_lead_back_nothing_is_told() -> None:
    """Half the face behind something that was not there before: unknown, rather than anything."""
    after = room(8).copy()
    after[:, 230:] = room(9)[:, 230:]
    moved = told(room(8), after, shift=(0, 0))
    left = ON_FACE & (marks()[:, 0] < 215)
    right = ON_FACE & (marks()[:, 0] > 245)
    assert np.isnan(moved[right]).any(axis=1).mean() > 0.5
    np.testing.assert_allclose(moved[left & np.isfinite(moved[:, 0])], 0, atol=0.3)
    assert np.isfinite(moved[left]).all(axis=1).mean() > 0.7


def test_faces_side_by_side_are_measured_as_one_after_the_other() -> None:
    """The same bits, whatever the threads."""
    boxes = np.array([[180, 60, 280, 180], [20, 20, 120, 140], [300, 90, 380, 190], [60, 150, 140, 250]], np.float32)
    points, still = np.stack([marks(box) for box in boxes]), np.zeros((4, 2))
    after = warped(room(8), np.array([[1.0, 0, 2.3], [0, 1.0, -1.6]]))
    told = []
    for threads in (1, 3):
        meter = PointFlow(threads)
        meter.step(room(8), boxes, points, still)
        told.append(meter.step(after, boxes, points, still))
    assert np.isfinite(told[0]).any(axis=(1, 2)).sum() >= 3
    assert told[0].tobytes() == told[1].tobytes()


def test_faces_at_the_edge_outside_or_tiny_are_no_error() -> None:
    """What cannot be measured is unknown."""
    meter = PointFlow()
    boxes = np.array([[-300, -300, -200, -200], [440, 200, 560, 330], [10, 10, 13, 14], [-40, 20, 40, 120]], np.float32)
    points = np.stack([marks(box) for box in boxes])
    points[3, 5] = np.nan
    meter.step(room(8), boxes, points, np.zeros((4, 2)))
    out = meter.step(room(8), boxes, points, np.array([[0, 0], [3, 2], [0, 0], [900, 0]], np.float64))
    assert np.isnan(out[0]).all()
    assert np.isnan(out[2]).all()
    assert np.isnan(out[3]).all()
    assert np.isfinite(out[1]).any()
    assert np.isnan(meter.step(room(8)[:100], boxes, points, np.zeros((4, 2)))).all()


class Head:
    """A head on a path, as a scan sees it: box and keypoints tremble, flow hardly."""

    def __init__(self, path: Array, *, tremble: float = 1.5, drift: float = 0.05, flow: bool = True) -> None:
        """`path` [N, 2] px of the face's corner; `tremble` of detections and `drift` of flow in px, one sigma."""
        rng = np.random.default_rng(11)
        self.truth = path
        scan = []
        for i, at in enumerate(path):
            box = np.concatenate([at, at + np.array((100, 130))]).astype(np.float32)
            points = marks(box) + rng.normal(0, tremble, (N_FACE_POINTS, 2)).astype(np.float32)
            step = path[i + 1] - at if i + 1 < len(path) else np.zeros(2)
            moved = step + rng.normal(0, drift, (N_FACE_POINTS, 2)) if flow else UNKNOWN
            seen = ScannedFace(
                (box + rng.normal(0, tremble, 4)).astype(np.float32),
                0.9,
                points,
                np.full(N_FACE_POINTS, 0.9, np.float32),
                (float(step[0]), float(step[1])) if flow else (0.0, 0.0),
                moved=np.asarray(moved, np.float32),
            )
            scan.append(seen)
        self.faces = scan

    def settled(self) -> tuple[Array, Array]:
        """How far the settled box's centre [N, 2] and nose [N, 2] are from the truth."""
        pts = int(1 / 30 / TIME_BASE)
        scan = [ScannedFrame(i, i * pts, (one,), 0.02, 0.02, (0.0, 0.0)) for i, one in enumerate(self.faces)]
        _, items = only(settled(scan))
        items = items[: len(self.faces)]
        nose = FACE_POINT_INDEX["nose"]
        centre = np.array([centre_size(o.box)[:2] for o in items]) - (self.truth + np.array((50, 65)))
        return centre, np.array([o.points[nose] for o in items]) - (self.truth + np.array((50, 0.58 * 130)))


def still(n: int = 90) -> Array:
    return np.tile((300.0, 200.0), (n, 1))


def nodding(n: int = 90) -> Array:
    """Five times a second, by a twentieth of the face."""
    return still(n) + np.outer(np.sin(2 * np.pi * 5 * np.arange(n) / 30), (2.0, 5.0))


def test_a_nod_is_followed_and_a_still_head_is_still() -> None:
    """A head that shakes five times a second is followed to half a px, where smoothing alone loses most of it."""
    inner = slice(10, -10)
    for head in (Head(nodding()), Head(still())):
        for off in head.settled():
            assert np.std(off[inner], axis=0).max() < 0.8
            assert np.std(np.diff(off[inner], axis=0), axis=0).max() < 0.35
    lost, _ = Head(nodding(), flow=False).settled()
    assert np.std(lost[inner, 1]) > 1.5


def test_flow_that_followed_something_else_takes_no_face_along() -> None:
    """A hand passes before half of the keypoints for some frames, or flow jumps as a whole: the head stays its own."""
    head = Head(still())
    for i in (40, 41, 42, 43):
        moved = head.faces[i].moved.copy()
        moved[::2] += (25, 0)
        head.faces[i] = with_motion(head.faces[i], moved, head.faces[i].flow)
    head.faces[60] = with_motion(head.faces[60], head.faces[60].moved + np.float32(70), (70.0, 70.0))
    for off in head.settled():
        assert np.abs(off[5:-5]).max() < 3.5


def with_motion(face: ScannedFace, moved: FloatArray, flow: tuple[float, float]) -> ScannedFace:
    return ScannedFace(face.box, face.score, face.points, face.confidence, flow, moved=moved)


def test_lips_open_as_far_as_they_were_seen_to_though_flow_says_nothing_of_them() -> None:
    """What flow does not see (teeth, a dark mouth) the landmarker does: speech keeps nine tenths of its range."""
    head = Head(still(), tremble=0.3)
    lip = FACE_POINT_INDEX["lip_lower_inner"]
    said = 4 * np.sin(2 * np.pi * 4 * np.arange(90) / 30)
    for one, y in zip(head.faces, said, strict=True):
        one.points[lip, 1] += np.float32(y)
    pts = int(1 / 30 / TIME_BASE)
    _, items = only(settled([ScannedFrame(i, i * pts, (f,), 0.02, 0.02, (0.0, 0.0)) for i, f in enumerate(head.faces)]))
    upper = FACE_POINT_INDEX["lip_upper_inner"]
    open_px = np.array([o.points[lip, 1] - o.points[upper, 1] for o in items[:90]])
    assert np.corrcoef(open_px[10:-10], said[10:-10])[0, 1] > 0.97
    assert np.std(open_px[10:-10]) > 0.9 * np.std(said[10:-10])
