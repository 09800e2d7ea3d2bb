"""Colours that meet, crops that land where they came from, grain like the picture's."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon.render.align import FacePose, crop_matrix, warp
from vidanon.render.blend import (
    add_grain,
    grain_of,
    joined,
    match_colour,
    place,
)
from vidanon.types import FloatArray, Region


def smooth(side: int, *, seed: int = 0) -> FloatArray:
    """A smooth picture [side, side, 3] in 0.2..0.8."""
    y, x = np.mgrid[:side, :side] / side * 2 * np.pi
    phase = np.random.default_rng(seed).random(3) * 6
    return np.stack([0.5 + 0.15 * np.sin(x + p) + 0.15 * np.cos(y - p) for p in phase], -1).astype(np.float32)


def hole(side: int) -> np.ndarray:
    """Visible everywhere but in a disc in the middle."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return np.hypot(x, y) > 0.3 * side


@pytest.mark.parametrize("cast", [(0.12, -0.08, 0.05), (-0.2, -0.2, -0.2)])
def test_a_colour_cast_of_the_generator_leaves_no_seam(cast: tuple[float, float, float]) -> None:
    """A crop that is right but for a cast comes out right, at the seam to 1/100 and in the middle to 1/50."""
    true, visible = smooth(64), hole(64)
    fitted = match_colour(true + np.float32(cast), np.where(visible[..., None], true, 0), visible)
    assert np.abs(fitted - true)[~visible].max() < 0.02
    y, x = np.mgrid[:64, :64] + 0.5 - 32
    rim = ~visible & (np.hypot(x, y) > 17)
    assert np.abs(fitted - true)[rim].max() < 0.01


def test_light_from_one_side_is_taken_up() -> None:
    """An offset that runs from left to right is followed on both sides of the face."""
    true, visible = smooth(64), hole(64)
    slope = (np.linspace(-0.15, 0.15, 64, dtype=np.float32)[None, :, None]) * np.ones((64, 1, 3), np.float32)
    fitted = match_colour(true + slope, true, visible)
    assert np.abs(fitted - true)[~visible].max() < 0.06
    assert np.abs(slope)[~visible].max() > 0.08


def test_what_is_hidden_of_the_context_has_no_influence() -> None:
    """Any number in the context's hidden pixels gives the same bits."""
    true, visible = smooth(64), hole(64)
    painted = smooth(64, seed=1)
    one = match_colour(painted, true, visible)
    two = match_colour(painted, np.where(visible[..., None], true, np.float32(7)), visible)
    assert np.array_equal(one, two)


def test_a_face_too_small_to_have_a_ring_takes_the_colour_around_it() -> None:
    """With nothing visible the mean moves to the surroundings'; without these the crop stays as it is."""
    painted, nothing = smooth(32), np.zeros((32, 32), np.bool_)
    moved = match_colour(painted, painted * 0, nothing, surroundings=np.array([0.4, 0.5, 0.6], np.float32))
    assert np.allclose(moved.mean((0, 1)), (0.4, 0.5, 0.6), atol=1e-3)
    assert np.array_equal(match_colour(painted, painted * 0, nothing), painted)


def test_a_line_along_the_edge_of_the_visible_fades() -> None:
    """Where painted and seen meet a line is blurred away; the middle of the face, and what is seen, are left alone."""
    at = np.linspace(-1, 1, 128, dtype=np.float32)
    away = np.hypot(at[:, None], at[None])
    visible = away > 0.6
    line = np.abs(away - 0.6) < 0.01
    context = np.full((128, 128, 3), 0.5, np.float32)
    painted = context + 0.1 * (away < 0.3)[..., None]
    drawn = painted - 0.3 * line[..., None]
    out = joined(drawn.astype(np.float32), context, visible)
    assert np.abs(out - 0.5)[line].mean() < 0.12
    np.testing.assert_allclose(out[away < 0.4], painted[away < 0.4], atol=2e-3)
    np.testing.assert_allclose(out[away > 0.75], context[away > 0.75], atol=1e-6)


@pytest.mark.parametrize(("size", "roll"), [(12, 0.2), (40, 0.0), (90, 1.0), (200, -2.5)])
def test_a_crop_goes_back_to_where_it_was_cut(size: float, roll: float) -> None:
    """Cut and placed again, shrunken or enlarged, turned or not, a smooth picture is itself to 1/50."""
    image = smooth(400)
    pose = FacePose(203.4, 195.8, size, roll)
    crop, _ = warp(image, crop_matrix(pose, 64), 64)
    half = int(0.55 * size)
    window = Region(203 - half, 196 - half, 203 + half, 196 + half)
    again = place(crop, pose, window)
    assert np.abs(again - image[window.y0 : window.y1, window.x0 : window.x1]).max() < 0.02


def test_beyond_the_crop_its_edge_is_repeated() -> None:
    """A window wider than the crop is filled to its corners, so that no black shows at the mask's rim."""
    crop = np.full((32, 32, 3), 0.6, np.float32)
    for size in (10, 50):
        wide = place(crop, FacePose(100, 100, size, 0.8), Region(100 - 3 * size, 100 - 3 * size, 100 + 3 * size, 100))
        assert np.allclose(wide, 0.6, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.02])
def test_grain_is_measured_outside_the_face_only(sigma: float) -> None:
    """The estimate is within a third of the truth, and bit-identical whatever is hidden."""
    rng = np.random.default_rng(0)
    rgb = smooth(120) + (rng.standard_normal((120, 120, 1)) * sigma).astype(np.float32)
    hidden = ~hole(120)
    found = grain_of(rgb, hidden)
    assert abs(found - sigma) <= sigma / 3 + 0.001
    assert grain_of(np.where(hidden[..., None], np.float32(np.nan), rgb), hidden) == found


def test_grain_is_the_same_for_the_same_seed_and_none_where_there_is_none() -> None:
    """Deviation as asked, bits by the seed; a clean picture gets nothing."""
    flat = np.full((200, 200, 3), 0.5, np.float32)
    noisy = add_grain(flat, 0.02, seed=5)
    assert abs(float(noisy.std()) - 0.02) < 0.002
    assert np.array_equal(noisy, add_grain(flat, 0.02, seed=5))
    assert not np.array_equal(noisy, add_grain(flat, 0.02, seed=6))
    assert add_grain(flat, 0.001, seed=5) is flat
    assert float(add_grain(flat, 0.5, seed=5).std()) < 0.04
