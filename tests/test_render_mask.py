"""What is face, what is edge, what stays hidden."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidanon.geometry import apply, invert
from vidanon.render.align import CROP_SCALE, FacePose, crop_matrix, face_pose, region_of
from vidanon.render.mask import (
    GUARD_PX,
    core_mask,
    crop_masks,
    face_mask,
    outline_px,
    painted_window,
    unit_outline,
)
from vidanon.types import FACE_POINT_INDEX, Region

UNKNOWN = np.full((30, 2), np.nan, np.float32)


def pixels_of(box: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """The pixels a box touches."""
    mask = np.zeros((height, width), np.bool_)
    x0, y0, x1, y1 = box
    x0, y0, x1, y1 = (max(0, v) for v in (math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)))
    mask[y0:y1, x0:x1] = True
    return mask


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    at=st.tuples(st.floats(-20, 180), st.floats(-20, 180)),
    sides=st.tuples(st.floats(3, 120), st.floats(3, 120)),
    roll=st.floats(-3.2, 3.2),
    margin=st.sampled_from([0.0, 0.05, 0.1, 0.4]),
)
def test_no_pixel_of_the_box_is_left_uncovered(
    at: tuple[float, float], sides: tuple[float, float], roll: float, margin: float
) -> None:
    """Whatever shape, place, roll and margin: each pixel the box touches is core (an inscribed ellipse leaves 1/5)."""
    (x, y), (w, h), size = at, sides, max(sides)
    pose = FacePose(x + w / 2, y + h / 2, size, roll, w / size, h / size)
    core = core_mask(outline_px(pose, UNKNOWN, margin=margin), Region(0, 0, 200, 200))
    box = pixels_of(np.array([x, y, x + w, y + h]), 200, 200)
    assert not (box & ~core).any()


def test_the_mask_goes_where_the_chin_goes() -> None:
    """A jaw point below the box and brows near its top are covered, with hairline and margin."""
    points = UNKNOWN.copy()
    points[FACE_POINT_INDEX["jaw_4"]] = (100, 155)
    points[FACE_POINT_INDEX["left_brow_inner"]] = (105, 60)
    pose = face_pose([60, 50, 140, 150], points)
    core = core_mask(outline_px(pose, points, margin=0.1), Region(0, 0, 200, 200))
    assert core[164, 100]
    assert core[36, 105]


def test_a_head_thrown_back_shows_less_of_its_forehead() -> None:
    """The higher the nose lies between eyes and mouth the lower the mask ends above; level, or unknown, as ever."""
    pose = face_pose(np.array([20.0, 65.0, 180.0, 210.0]), UNKNOWN)

    def top(nose: float) -> float:
        points = UNKNOWN.copy()
        places = {"right_eye": 70, "left_eye": 130, "mouth_right": 75, "mouth_left": 125, "nose": 100}
        for name, x in places.items():
            points[FACE_POINT_INDEX[name]] = (x, nose if name == "nose" else 90 if "eye" in name else 150)
        for side, x in (("right", 80), ("left", 120)):
            points[FACE_POINT_INDEX[f"{side}_brow_inner"]] = (x, 70)
        return float(outline_px(pose, points, margin=0.0)[:, 1].min())

    level, back = top(120), top(108)
    assert top(130) == level
    assert top(math.nan) == level
    assert 0.02 < (back - level) / pose.size < 0.06
    assert (top(91) - level) / pose.size < 0.08


def test_a_stray_point_leaves_the_generator_a_ring_to_see() -> None:
    """However far off a keypoint lies, the outline stays inside the crop."""
    for stray in ((190, 100), (160, 160), (1e6, -1e6)):
        points = UNKNOWN.copy()
        points[FACE_POINT_INDEX["jaw_8"]] = stray
        outline = unit_outline(face_pose([50, 50, 150, 150], points), points, margin=0.1)
        assert np.abs(outline).max() < CROP_SCALE / 2 - 0.05


@pytest.mark.parametrize("roll", [0.0, 0.5, -2.0])
def test_crop_and_picture_are_masked_alike(roll: float) -> None:
    """The mask drawn over the crop (training) and the one over the picture (rendering) are one shape."""
    pose = FacePose(150, 140, 80, roll, 0.75, 1.0)
    over_crop = crop_masks(pose, UNKNOWN, crop_px=64, margin=0.1) > 0
    over_picture = core_mask(outline_px(pose, UNKNOWN, margin=0.1), Region(0, 0, 300, 300))
    centres = np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5), -1)
    x, y = np.floor(apply(invert(crop_matrix(pose, 64)), centres)).astype(int).transpose(2, 0, 1)
    assert (over_crop != over_picture[y, x]).mean() < 0.02
    assert 0.2 < over_crop.mean() < 0.6


@pytest.mark.parametrize("feather", [0.0, 0.12, 1.0])
def test_the_soft_edge_lies_wholly_outside_the_core(feather: float) -> None:
    """Alpha is 1 on all of the core, falls without a step, and is 0 at the window's border."""
    pose = FacePose(200, 200, 60, 0.3)
    region = region_of(pose, width=400, height=400, feather=feather)
    assert region is not None
    mask = face_mask(pose, UNKNOWN, region, margin=0.1, feather=feather)
    assert mask.core.any()
    assert (mask.alpha[mask.core] == 1).all()
    assert (mask.alpha[~mask.core] < 1).all()
    border = np.concatenate([mask.alpha[0], mask.alpha[-1], mask.alpha[:, 0], mask.alpha[:, -1]])
    assert border.max() == 0
    if feather:
        steps = np.abs(np.diff(mask.alpha, axis=1))
        assert steps.max() < 2.2 / (1 + feather * pose.size)


def test_the_guard_band_is_hidden_too() -> None:
    """Every pixel within GUARD_PX of the core is hidden, and not much more."""
    pose = FacePose(100, 100, 60, 0)
    mask = face_mask(pose, UNKNOWN, Region(0, 0, 200, 200), margin=0.1, feather=0.1)
    grown = np.zeros_like(mask.core)
    for y, x in np.ndindex(2 * GUARD_PX + 1, 2 * GUARD_PX + 1):
        if math.hypot(y - GUARD_PX, x - GUARD_PX) <= GUARD_PX:
            grown |= np.roll(mask.core, (y - GUARD_PX, x - GUARD_PX), (0, 1))
    assert (mask.hidden >= grown).all()
    assert mask.hidden.sum() < 1.03 * grown.sum()


def test_another_face_is_hidden_even_when_it_lies_just_beyond_the_window() -> None:
    """The guard band of a core outside the window reaches into it."""
    pose, other = FacePose(100, 100, 40, 0), FacePose(220, 100, 100, 0)
    left = outline_px(other, UNKNOWN, margin=0.1)[:, 0].min()
    region = Region(60, 60, math.floor(left) - 1, 140)
    mask = face_mask(pose, UNKNOWN, region, margin=0.1, feather=0.1, others=[outline_px(other, UNKNOWN, margin=0.1)])
    assert mask.hidden[:, -1].any()
    assert not mask.core[:, -1].any()


def test_the_painted_window_holds_every_painted_pixel() -> None:
    """It is the bounding box of alpha with a border of zeros, cut where the region ends."""
    alpha = np.zeros((20, 30), np.float32)
    alpha[0:5, 10:14] = 0.5
    assert painted_window(alpha, Region(100, 50, 130, 70)) == Region(109, 50, 115, 56)
    assert painted_window(alpha * 0, Region(100, 50, 130, 70)) == Region(100, 50, 101, 51)
