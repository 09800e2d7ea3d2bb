"""The mask follows the head: face pixels left uncovered are counted, on a drawn head and on labelled faces."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidanon.geometry import Array
from vidanon.render.align import face_pose
from vidanon.render.mask import core_mask, outline_px
from vidanon.settings import load
from vidanon.types import FACE_POINT_INDEX, N_FACE_POINTS, FloatArray, Region

LABELS = Path(__file__).parents[2] / "shared" / "data" / "faces" / "labels.npz"

HEAD = np.array([0.76, 1.0, 0.9])
"""half-axes of the head: across, up, deep"""
FACE_ACROSS = math.radians(92)
"""azimuth of the ears, seen from straight ahead"""
CHIN, HAIRLINE = math.radians(-62), math.radians(42)
"""elevations of chin and hairline"""
PLACES = {
    "right_eye": (-24, 0),
    "left_eye": (24, 0),
    "nose": (0, -18),
    "mouth_right": (-17, -38),
    "mouth_left": (17, -38),
    "right_brow_outer": (-42, 12),
    "right_brow_inner": (-10, 13),
    "left_brow_inner": (10, 13),
    "left_brow_outer": (42, 12),
    "right_ear": (-92, -4),
    "left_ear": (92, -4),
    **{f"jaw_{i}": (-88 + 22 * i, -62 + 58 * abs(i - 4) / 4) for i in range(9)},
}
"""azimuth and elevation of keypoints, degrees"""
CANVAS = Region(0, 0, 400, 400)
SHIPPED = load("broadcast")[0].render.mask_margin


def on_head(azimuth: Array, elevation: Array) -> Array:
    """Places [..., 3] on the ellipsoid: x to the picture's right, y down, z towards the camera."""
    around = np.stack(
        [np.cos(elevation) * np.sin(azimuth), -np.sin(elevation), np.cos(elevation) * np.cos(azimuth)], axis=-1
    )
    return np.asarray(around * HEAD, np.float64)


def turned(places: Array, yaw: float, pitch: float, roll: float) -> Array:
    """The head turned; angles in degrees."""
    (cy, cp, cr), (sy, sp, sr) = ([f(math.radians(a)) for a in (yaw, pitch, roll)] for f in (math.cos, math.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(places @ (about_z @ about_x @ about_y).T, np.float64)


def drawn(yaw: float, pitch: float, roll: float) -> tuple[NDArray[np.bool_], Array, FloatArray]:
    """The face's pixels [400, 400], its tight box [4] and its keypoints [30, 2] (hidden ones as well)."""
    azimuth, elevation = np.meshgrid(np.linspace(-FACE_ACROSS, FACE_ACROSS, 181), np.linspace(CHIN, HAIRLINE, 121))
    places = on_head(azimuth, elevation)
    view = turned(places, yaw, pitch, roll)
    facing = turned(places / HEAD**2, yaw, pitch, roll)[..., 2] > 0
    px = 200 + 80 * view[..., :2]
    seen = np.zeros((400, 400), np.uint8)
    for row, column in np.argwhere(facing):
        x, y = np.floor(px[row, column]).astype(int)
        seen[y, x] = 1
    # the samples lie closer than a px wherever the head faces the camera; closing fills what rounding left
    seen = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    box = np.concatenate([px[facing].min(axis=0), px[facing].max(axis=0)])
    points = np.full((N_FACE_POINTS, 2), np.nan)
    for name, (a, e) in PLACES.items():
        at = turned(on_head(np.array(math.radians(a)), np.array(math.radians(e))), yaw, pitch, roll)
        points[FACE_POINT_INDEX[name]] = 200 + 80 * at[:2]
    return seen.astype(np.bool_), box, points.astype(np.float32)


def uncovered(face: NDArray[np.bool_], box: Array, points: FloatArray, *, margin: float = SHIPPED) -> int:
    """Face pixels outside the core mask."""
    core = core_mask(outline_px(face_pose(box, points), points, margin=margin), CANVAS)
    return int((face & ~core).sum())


@pytest.mark.parametrize("yaw", [0, 30, -60, 90])
def test_no_face_pixel_is_left_uncovered_at_any_pose(yaw: float) -> None:
    """Ear to ear, chin to hairline: with all keypoints, with the detector's five, and with none."""
    for pitch, roll in itertools.product((-35, 0, 35), (0, 25, -50, 90, 180)):
        face, box, points = drawn(yaw, pitch, roll)
        assert face.sum() > 5000
        five = points.copy()
        five[5:] = np.nan
        for known in (points, five, np.full_like(points, np.nan)):
            assert uncovered(face, box, known) == 0, (yaw, pitch, roll)


@pytest.mark.parametrize("yaw", [0, 45, 90])
def test_a_box_too_small_is_made_up_for_by_the_keypoints(yaw: float) -> None:
    """A detector that finds eyes to mouth only, or cuts a twelfth off any side, leaves hardly a hair bare."""
    for roll, side in itertools.product((0, 40), range(4)):
        face, box, points = drawn(yaw, 0, roll)
        cut = box.copy()
        cut[side] += (1 if side < 2 else -1) * (box[2 + side % 2] - box[side % 2]) / 12
        assert uncovered(face, cut, points) <= 0.01 * face.sum(), (yaw, roll, side)


def test_the_count_sees_what_a_mask_inside_the_box_leaves() -> None:
    """The measure can fail: an ellipse inscribed in the box leaves a good part of the face bare."""
    face, box, _ = drawn(0, 0, 0)
    inscribed = np.zeros((400, 400), np.uint8)
    centre, axes = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    cv2.ellipse(inscribed, tuple(np.round(centre).astype(int)), tuple(np.round(axes).astype(int)), 0, 0, 360, 1, -1)
    assert (face & ~inscribed.astype(np.bool_)).sum() > 0.02 * face.sum()


@pytest.mark.skipif(not LABELS.exists(), reason="the labelled faces are not here")
def test_labelled_faces_lie_under_their_masks() -> None:
    """Jaw, brows and ears of real faces: no pixel of their hull outside the mask, whatever keypoints are known."""
    from vidanon.train.faces import face_points

    data = np.load(LABELS)
    window = Region(-128, -128, 384, 384)
    rows = np.arange(0, len(data["kp"]), 25)
    marks, around = data["kp"][rows].astype(np.float32), data["pose"][rows].astype(np.float32)
    points = face_points(marks, around)
    for i, row in enumerate(rows):
        ears = around[i, :2][around[i, :2, 2] > 0.3, :2]
        hull = cv2.convexHull(np.round((np.concatenate([marks[i, :27], ears]) + 128) * 256).astype(np.int32))
        face = cv2.fillConvexPoly(np.zeros((512, 512), np.uint8), hull, 1, shift=8).astype(np.bool_)
        for known in (points[i], np.full_like(points[i], np.nan)):
            box = data["box"][row].astype(np.float64)
            core = core_mask(outline_px(face_pose(box, known), known, margin=SHIPPED), window)
            assert (face & ~core).sum() <= 0.004 * face.sum(), row
