"""Eyes that look and mouths that speak: where the keypoints have them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidanon.models.layout import CANONICAL
from vidanon.render.features import blinking, looking, speaking
from vidanon.types import FACE_POINT_INDEX, LUMA, OPENINGS, FloatArray

SIDE = 128
SKIN = np.array([0.7, 0.55, 0.5], np.float32)
POINTS: FloatArray = CANONICAL.numpy().astype(np.float32)


def lively(painted: FloatArray, points: FloatArray, amount: float = 1.0) -> FloatArray:
    """Eyes and mouth."""
    return speaking(looking(painted, points, amount), points, amount)


def skin(side: int = SIDE) -> FloatArray:
    """A crop of nothing but skin."""
    return np.full((side, side, 3), SKIN, np.float32)


def posed(**moved: tuple[float, float]) -> FloatArray:
    """The canonical keypoints, some of them moved (in crops)."""
    points = POINTS.copy()
    for name, by in moved.items():
        points[FACE_POINT_INDEX[name]] += by
    return points


def luma(crop: FloatArray, x: float, y: float) -> float:
    """Of one pixel."""
    return float(crop[int(y * len(crop)), int(x * len(crop))] @ LUMA)


def changed(crop: FloatArray) -> FloatArray:
    """[N, 2] where, in 0..1, a crop is no longer skin."""
    rows, columns = np.nonzero(np.abs(crop - SKIN).max(-1) > 0.02)
    return np.stack([columns, rows], 1).astype(np.float32) / len(crop)


@pytest.mark.parametrize("side", [64, 128, 256])
def test_an_eye_looks_where_its_pupil_is(side: int) -> None:
    """The darkest of an open eye is at the pupil, at any resolution, and moves with it."""
    for dx in (-0.015, 0.0, 0.015):
        points = posed(right_pupil=(dx, 0), left_pupil=(dx, 0))
        drawn = lively(skin(side), points)
        for name in ("right", "left"):
            x, y = points[FACE_POINT_INDEX[f"{name}_pupil"]]
            row = drawn[int(y * side)] @ LUMA
            near = slice(int((x - 0.06) * side), int((x + 0.06) * side))
            darkest = (near.start + np.argmin(row[near]) + 0.5) / side
            assert abs(darkest - x) < 0.02
            assert row[near].min() < 0.5 * (SKIN @ LUMA)


def test_shut_lids_hide_the_eye_and_leave_a_line() -> None:
    """What is drawn of a shut eye is the lashes: less than of an open one, and along the lids."""
    shut = posed(
        right_lid_upper=(0, 0.012), right_lid_lower=(0, -0.012), left_lid_upper=(0, 0.012), left_lid_lower=(0, -0.012)
    )
    open_, closed = lively(skin(), POINTS), lively(skin(), shut)
    was, at = (c[c[:, 1] < 0.5] for c in (changed(open_), changed(closed)))
    assert 0 < len(at) < 0.7 * len(was)
    assert (np.abs(at[:, 1] - 0.392) < 0.03).all()
    x, y = POINTS[FACE_POINT_INDEX["right_pupil"]]
    assert luma(closed, x, y) > luma(open_, x, y)


def test_a_mouth_opens_as_far_as_its_lips_are_apart() -> None:
    """Closed lips are left as they are; of an open mouth teeth lie above, and what is dark or tongue below them."""
    mouth = {}
    for opening in (0.0, 0.03, 0.06, 0.1):
        points = posed(lip_lower_inner=(0, opening - 0.017))
        at = changed(lively(skin(), points))
        mouth[opening] = np.ptp(at[at[:, 1] > 0.55, 1]) if (at[:, 1] > 0.55).any() else 0.0
    assert mouth[0.0] == 0
    assert mouth[0.03] == pytest.approx(0.03, abs=0.012)
    assert mouth[0.06] == pytest.approx(0.06, abs=0.012)
    assert mouth[0.1] == pytest.approx(0.1, abs=0.012)
    wide = lively(skin(), posed(lip_lower_inner=(0, 0.08)))
    assert luma(wide, 0.5, 0.65) > 1.5 * luma(wide, 0.5, 0.685)


def test_who_smiles_shows_more_teeth() -> None:
    """The wider the mouth for its opening, the more of it is light."""

    def light(dx: float) -> float:
        wide = lively(skin(), posed(lip_lower_inner=(0, 0.03), mouth_right=(-dx, 0), mouth_left=(dx, 0)))
        return float((wide[int(0.625 * SIDE) : int(0.68 * SIDE), SIDE // 2] @ LUMA).mean())

    assert light(0.04) > 1.05 * light(0.0)


def test_what_a_turned_head_hides_is_not_drawn() -> None:
    """An eye behind the bridge of the nose gets no iris; the other keeps its own."""
    points = POINTS.copy()
    far = [i for name, i in FACE_POINT_INDEX.items() if name.startswith("right_") and ("lid" in name or "eye" in name)]
    far.append(FACE_POINT_INDEX["right_pupil"])
    points[far, 0] += 0.49 - points[FACE_POINT_INDEX["right_eye"], 0]
    at = changed(lively(skin(), points))
    eyes = at[at[:, 1] < 0.5]
    assert len(eyes)
    assert (eyes[:, 0] > 0.53).all()


def test_what_is_not_known_is_left_as_it_was_painted() -> None:
    """No keypoints, no amount, a face of few px: the very crop. Without pupils the mouth still speaks."""
    crop = skin()
    unknown = np.full((30, 2), np.nan, np.float32)
    assert lively(crop, unknown) is crop
    assert lively(crop, POINTS, 0.0) is crop
    assert lively(skin(8), POINTS).shape == (8, 8, 3)
    points = posed(lip_lower_inner=(0, 0.05))
    points[[FACE_POINT_INDEX["right_pupil"], FACE_POINT_INDEX["left_pupil"]]] = np.nan
    at = changed(lively(crop, points))
    assert len(at)
    assert (at[:, 1] > 0.55).all()


def test_a_face_in_the_dark_has_dark_teeth() -> None:
    """What is drawn follows the light of the skin beside it: nothing shines."""
    points = posed(lip_lower_inner=(0, 0.06))
    dim, bright = lively(skin() * 0.2, points), lively(skin(), points)
    assert dim.max() < 1.3 * 0.2 * bright.max()


@given(
    st.lists(st.one_of(st.floats(-0.5, 1.5), st.just(float("nan"))), min_size=60, max_size=60),
    st.sampled_from([8, 32, 64]),
)
def test_whatever_the_keypoints_say_there_is_a_picture(values: list[float], side: int) -> None:
    """Crossed lips, eyes outside the crop, lids upside down: finite colours, nothing raised."""
    points = np.array(values, np.float32).reshape(30, 2)
    drawn = lively(skin(side), points)
    assert np.isfinite(drawn).all()
    assert 0 <= drawn.min() <= drawn.max() <= 1


def lids(points: FloatArray) -> list[float]:
    """How far the lids of either eye are apart, in crops."""
    return [float(np.hypot(*(points[upper] - points[lower]))) for upper, lower in OPENINGS[1:]]


@pytest.mark.parametrize("by", [0.0, 0.006, 0.0085, 0.011])
def test_lids_that_nearly_meet_do(by: float) -> None:
    """Open eyes stay as open; the nearer lids come the more they shut, both eyes together, and they never cross."""
    points = posed(
        right_lid_upper=(0, by), right_lid_lower=(0, -by), left_lid_upper=(0, by), left_lid_lower=(0, -0.9 * by)
    )
    before, after = lids(points), lids(blinking(points))
    if by == 0:
        assert np.array_equal(blinking(points), points)
    else:
        assert all(0 <= new < old for new, old in zip(after, before, strict=True))
        assert after[0] / before[0] == pytest.approx(after[1] / before[1], abs=1e-3)
    if by == 0.011:
        assert max(after) < 1e-6
    moved = np.abs(blinking(points) - points).max(1) > 0
    assert not moved[[i for name, i in FACE_POINT_INDEX.items() if "_lid_" not in name]].any()


def test_a_blink_asks_nothing_of_what_is_unknown() -> None:
    """One eye shuts alone where the other is not seen; without a face nothing happens."""
    points = posed(left_lid_upper=(0, 0.011), left_lid_lower=(0, -0.011))
    points[[FACE_POINT_INDEX["right_lid_upper"], FACE_POINT_INDEX["right_lid_lower"]]] = np.nan
    assert lids(blinking(points))[1] < 1e-6
    unknown = np.full_like(points, np.nan)
    assert np.array_equal(blinking(unknown), unknown, equal_nan=True)


def test_in_haze_nothing_is_as_dark_or_as_light() -> None:
    """Eyes and mouth are half as far from the skin in half of the contrast, and where they were."""
    points = posed(lip_lower_inner=(0, 0.03))
    whole, half = (
        speaking(looking(skin(), points, clear=share), points, clear=share) @ LUMA - SKIN @ LUMA for share in (1.0, 0.5)
    )
    for end in (np.min, np.max):
        assert end(half) == pytest.approx(0.5 * end(whole), rel=0.25)
    assert np.corrcoef(whole.ravel(), half.ravel())[0, 1] > 0.95


def test_teeth_stand_side_by_side() -> None:
    """Along the upper row of an open mouth the light goes up and down: between two teeth there is less."""
    points = posed(lip_lower_inner=(0, 0.05), mouth_right=(-0.02, 0), mouth_left=(0.02, 0))
    side = 256
    drawn = speaking(skin(side), points)
    row = int((points[FACE_POINT_INDEX["lip_upper_inner"], 1] + 0.02) * side)
    teeth = drawn[row, int(0.45 * side) : int(0.55 * side)] @ LUMA
    dips = (teeth[1:-1] < teeth[:-2]) & (teeth[1:-1] <= teeth[2:]) & (teeth[1:-1] < teeth.max() - 0.02)
    assert 2 <= dips.sum() <= 5
