"""Where a face ends: hair and background pass over narrowly into skin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidanon.models.layout import CANONICAL
from vidanon.render.blend import away
from vidanon.render.hairline import RIM, told_apart
from vidanon.types import FACE_POINT_INDEX, JAW, LUMA, N_FACE_POINTS, FloatArray

SIDE = 128
SKIN = np.array([0.75, 0.58, 0.5], np.float32)
HAIR = np.array([0.2, 0.14, 0.1], np.float32)
WALL = np.array([0.95, 0.95, 0.96], np.float32)
POINTS: FloatArray = CANONICAL.numpy().astype(np.float32)


def seen(side: int = SIDE) -> NDArray[np.bool_]:
    """[side, side] what lies outside the ellipse around the canonical face, from hairline to chin."""
    jaw, brow = POINTS[JAW], POINTS[FACE_POINT_INDEX["right_brow_inner"]]
    (left, right), bottom, top = (jaw[0, 0], jaw[-1, 0]), jaw[:, 1].max(), brow[1] - 0.13
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    across, down = (x - (left + right) / 2) / (right - left), (y - (top + bottom) / 2) / (bottom - top)
    return np.asarray(np.hypot(across, down) > 0.5)


def painted(around: FloatArray, visible: NDArray[np.bool_], *, width: float = 0.1) -> FloatArray:
    """A crop as a net paints it: skin that fades into what is around it over `width` of the crop."""
    inside = away(~visible) / np.float32(len(visible))
    share = np.clip(inside / width, 0, 1)[..., None]
    return np.asarray(around + share * (SKIN - around), np.float32)


def passage(crop: FloatArray, around: FloatArray, *, row: int) -> float:
    """Share of a column from the top of the hidden area down that is neither skin nor surroundings."""
    column = crop[:row, len(crop) // 2] @ LUMA
    share = (column - SKIN @ LUMA) / float((around - SKIN) @ LUMA)
    return float(((share > 0.15) & (share < 0.85)).mean())


def test_hair_that_fades_into_a_forehead_ends() -> None:
    """The passage is at most half as wide, and lies where it was."""
    visible = seen()
    context = np.where(visible[..., None], HAIR, 0).astype(np.float32)
    before = painted(HAIR, visible)
    after = told_apart(before, context, visible, POINTS)
    row = int(POINTS[FACE_POINT_INDEX["right_brow_inner"], 1] * SIDE) - 4
    assert passage(before, HAIR, row=row) > 0.05
    assert passage(after, HAIR, row=row) < 0.5 * passage(before, HAIR, row=row)
    middle = float((HAIR + SKIN) @ LUMA / 2)
    ends = [int(np.argmax(crop[:row, SIDE // 2] @ LUMA > middle)) for crop in (before, after)]
    assert abs(ends[0] - ends[1]) <= 1


@pytest.mark.parametrize("around", [HAIR, WALL])
def test_the_middle_of_a_face_and_what_is_seen_stay(around: FloatArray) -> None:
    """Only the rim of what is hidden changes; brows, eyes, mouth and, beside what is darker, the chin do not."""
    visible = seen()
    before = painted(around, visible)
    after = told_apart(before, np.where(visible[..., None], around, 0).astype(np.float32), visible, POINTS)
    changed = np.abs(after - before).max(-1) > 1e-3
    assert changed.any()
    assert not changed[visible].any()
    assert not changed[away(~visible) > RIM[1] * SIDE].any()
    for name in ("right_eye", "left_eye", "right_brow_inner", "left_brow_inner", "right_brow_outer", "left_brow_outer"):
        x, y = (POINTS[FACE_POINT_INDEX[name]] * SIDE).astype(int)
        assert not changed[y, x]
    if around is HAIR:
        mouth = int(POINTS[FACE_POINT_INDEX["mouth_left"], 1] * SIDE)
        assert not changed[mouth + 1 :].any()


def test_skin_beside_skin_is_left_as_it_is_painted() -> None:
    """Nothing is told apart where a neck or a bald head is as light as the face."""
    visible = seen()
    light = np.linspace(0.97, 1.03, SIDE, dtype=np.float32)[:, None, None]
    before = SKIN * light * np.ones((SIDE, SIDE, 1), np.float32)
    after = told_apart(before, np.where(visible[..., None], before, 0), visible, POINTS)
    assert np.abs(after - before).max() < 0.01


@given(st.integers(0, 10))
def test_what_is_hidden_is_not_looked_at(seed: int) -> None:
    """Blind: the context's hidden pixels may be anything."""
    rng = np.random.default_rng(seed)
    visible = seen()
    before = painted(HAIR, visible)
    context = np.where(visible[..., None], HAIR, rng.random((SIDE, SIDE, 3))).astype(np.float32)
    nothing = np.where(visible[..., None], HAIR, 0).astype(np.float32)
    assert np.array_equal(told_apart(before, context, visible, POINTS), told_apart(before, nothing, visible, POINTS))


def test_nothing_is_asked_of_what_is_not_known() -> None:
    """Unknown keypoints, a crop all hidden or all seen, and a face of a few pixels: no harm is done."""
    unknown = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    crop = painted(HAIR, seen())
    for visible in (seen(), np.zeros((SIDE, SIDE), bool), np.ones((SIDE, SIDE), bool), away(seen()) < 0):
        for points in (POINTS, unknown):
            assert np.isfinite(told_apart(crop, crop, visible, points)).all()
    assert told_apart(crop, crop, seen(), POINTS, 0.0) is crop
