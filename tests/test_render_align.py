"""Poses, crops, windows and the warp between them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vidanon.geometry import apply, invert
from vidanon.render.align import CROP_SCALE, FacePose, crop_matrix, face_pose, region_of, warp
from vidanon.types import FACE_POINT_INDEX, FloatArray

UNKNOWN = np.full((30, 2), np.nan, np.float32)


def five_points(*, cx: float, cy: float, size: float, roll: float) -> FloatArray:
    """Eyes, nose and mouth corners of a frontal face, turned by `roll`."""
    points = UNKNOWN.copy()
    at = np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.08], [-0.15, 0.25], [0.15, 0.25]]) * size
    c, s = math.cos(roll), math.sin(roll)
    points[:5] = at @ np.array([[c, s], [-s, c]]) + (cx, cy)
    return points


def ramp(width: int, height: int) -> FloatArray:
    """A picture whose red is x / width and whose green is y / height, at pixel centres."""
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    return np.stack(np.broadcast_arrays(x[None], y[:, None], np.float32(0.5)), -1).astype(np.float32)


@pytest.mark.parametrize("roll", [0.0, 0.4, -1.2, math.pi / 2, 3.0])
def test_roll_is_read_from_the_points(roll: float) -> None:
    """A face turned by any angle, upside down too, has that roll."""
    pose = face_pose([100, 100, 200, 200], five_points(cx=150, cy=150, size=100, roll=roll))
    assert abs(math.remainder(pose.roll - roll, 2 * math.pi)) < 0.02


def test_without_points_a_face_stands_upright() -> None:
    """A box alone gives centre and size, and roll 0."""
    pose = face_pose([10, 20, 50, 120], UNKNOWN)
    assert (pose.cx, pose.cy, pose.size, pose.roll) == (30, 70, 100, 0)
    assert (pose.box_w, pose.box_h) == (0.4, 1.0)


def test_one_stray_point_does_not_turn_the_face() -> None:
    """An eye found half a face too low moves the roll by less than 15 degrees."""
    points = five_points(cx=150, cy=150, size=100, roll=0)
    points[FACE_POINT_INDEX["right_pupil"]] = points[FACE_POINT_INDEX["right_eye"]]
    points[FACE_POINT_INDEX["left_pupil"]] = (165, 195)
    assert abs(face_pose([100, 100, 200, 200], points).roll) < math.radians(15)


def test_a_box_that_is_no_number_is_refused() -> None:
    """NaN in a box raises ValueError: nothing could be covered by it."""
    with pytest.raises(ValueError, match="finite"):
        face_pose([0, 0, np.nan, 10], UNKNOWN)


def test_the_crop_is_upright_and_holds_crop_scale_sizes() -> None:
    """Centre goes to the middle, the face's own up to the crop's up, 1.7 sizes to the crop's side."""
    pose = FacePose(70, 50, 40, 0.5)
    up = np.array([70 + math.sin(0.5) * 20, 50 - math.cos(0.5) * 20])
    matrix = crop_matrix(pose, 128)
    assert np.allclose(apply(matrix, [70, 50]), [64, 64])
    assert np.allclose(apply(matrix, up), [64, 64 - 20 * 128 / (CROP_SCALE * 40)])


@pytest.mark.parametrize(("size", "roll"), [(8, 0.0), (20, 0.7), (60, 0.0), (90, math.pi / 2), (110, -0.3)])
def test_the_warp_is_exact_on_a_ramp_at_every_scale(size: float, roll: float) -> None:
    """Enlarged, shrunken, in blocks or turned: a linear picture is resampled to its own values, to 1/1000."""
    side = 32
    image = ramp(400, 380)
    matrix = crop_matrix(FacePose(200.3, 190.7, size, roll), side)
    colour, weight = warp(image, matrix, side)
    centres = np.stack(np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), -1)
    source = apply(invert(matrix), centres) / (400, 380)
    assert weight.min() > 0.999
    assert np.abs(colour[..., :2] - source).max() < 1e-3


def test_the_warp_does_not_depend_on_the_window_it_is_given() -> None:
    """A crop cut from the whole picture and one cut from a window of it agree, so a moving window does not shimmer."""
    rng = np.random.default_rng(1)
    image = rng.random((400, 420, 3), dtype=np.float32)
    matrix = crop_matrix(FacePose(200.3, 190.7, 100, 0.2), 16)
    whole, _ = warp(image, matrix, 16)
    part, _ = warp(image[61:331, 53:347], matrix, 16, origin=(53, 61))
    assert np.allclose(whole, part, atol=1e-5)


def test_invalid_pixels_never_bleed_into_the_crop() -> None:
    """Pixels not valid, whatever they hold (NaN too), leave colour and weight bit-identical."""
    rng = np.random.default_rng(2)
    image = rng.random((200, 200, 3), dtype=np.float32)
    valid = np.ones((200, 200), np.bool_)
    valid[60:140, 70:130] = False
    other = image.copy()
    other[~valid] = np.nan
    for size in (20, 60, 110):
        matrix = crop_matrix(FacePose(100, 100, size, 0.3), 24)
        one, two = warp(image, matrix, 24, valid=valid), warp(other, matrix, 24, valid=valid)
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_outside_the_picture_weighs_nothing() -> None:
    """A crop half beyond the edge has weight 0 there and true colours up to the edge."""
    image = np.full((100, 100, 3), 0.7, np.float32)
    colour, weight = warp(image, crop_matrix(FacePose(0, 50, 40, 0), 64), 64)
    assert weight[:, :30].max() == 0
    assert weight[:, 34:].min() > 0.999
    assert np.allclose(colour[weight > 0.01], 0.7, atol=1e-3)


def test_a_window_holds_the_crop_and_stays_in_the_picture() -> None:
    """All four corners of the crop are in the window unless the picture ends first; far outside there is none."""
    pose = FacePose(300, 200, 100, 0.6)
    region = region_of(pose, width=640, height=400, feather=0.12)
    assert region is not None
    corners = apply(invert(crop_matrix(pose, 64)), [[0, 0], [64, 0], [0, 64], [64, 64]])
    assert (corners >= (region.x0, region.y0)).all()
    assert (corners <= (region.x1, region.y1)).all()
    edge = region_of(FacePose(5, 5, 100, 0), width=640, height=400, feather=0.12)
    assert edge is not None
    assert (edge.x0, edge.y0) == (0, 0)
    assert region_of(FacePose(-500, 200, 100, 0), width=640, height=400, feather=0.12) is None
