"""Boxes and similarity transforms, as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vidanon import geometry

quick = settings(max_examples=50, deadline=None, derandomize=True)
coordinate = st.floats(-1000, 1000)
point = arrays(np.float64, 2, elements=coordinate)
points = arrays(np.float64, (5, 2), elements=coordinate)
angle = st.floats(-3.1, 3.1)
scale = st.floats(0.05, 20)


@st.composite
def boxes(draw: st.DrawFn) -> np.ndarray:
    corner = draw(arrays(np.float64, 2, elements=coordinate))
    side = draw(arrays(np.float64, 2, elements=st.floats(0.5, 500)))
    return np.concatenate([corner, corner + side])


@quick
@given(boxes(), boxes())
def test_iou_is_symmetric_and_between_0_and_1(a: np.ndarray, b: np.ndarray) -> None:
    """Overlap does not depend on who is asked."""
    there, back = geometry.iou(a, b)[0, 0], geometry.iou(b, a)[0, 0]
    assert there == pytest.approx(back)
    assert 0 <= there <= 1 + 1e-9


@quick
@given(boxes())
def test_a_box_overlaps_itself_wholly(a: np.ndarray) -> None:
    """IoU with itself is 1, with a box beside it 0."""
    assert geometry.iou(a, a)[0, 0] == pytest.approx(1)
    assert geometry.iou(a, a + np.array([1, 0, 1, 0]) * (a[2] - a[0]))[0, 0] == pytest.approx(0, abs=1e-9)


def test_empty_boxes_overlap_nothing() -> None:
    """Neither empty nor inverted boxes divide by zero."""
    assert geometry.iou([[5, 5, 5, 5]], [[5, 5, 5, 5]])[0, 0] == 0
    assert geometry.area([3, 3, 1, 9]) == 0
    assert geometry.iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


@quick
@given(boxes())
def test_centre_and_size_lead_back_to_the_box(a: np.ndarray) -> None:
    """The two ways to write a box hold the same."""
    assert geometry.from_centre_size(geometry.centre_size(a)) == pytest.approx(a, abs=1e-9)
    _, _, w, h = geometry.centre_size(a)
    assert geometry.area(a) == pytest.approx(w * h)


@quick
@given(scale, angle, point, point, points)
def test_a_transform_and_its_inverse_cancel_out(
    s: float, turn: float, a: np.ndarray, b: np.ndarray, some: np.ndarray
) -> None:
    """Into the crop and back is where one was; the anchor goes where it was told."""
    m = geometry.similarity(s, turn, a, b)
    assert geometry.apply(m, a) == pytest.approx(b, abs=1e-6)
    assert geometry.apply(geometry.invert(m), geometry.apply(m, some)) == pytest.approx(some, abs=1e-5)


@quick
@given(scale, angle, point, point, st.integers(0, 3))
def test_a_fitted_similarity_finds_the_one_that_was_applied(
    s: float, turn: float, a: np.ndarray, b: np.ndarray, unknown: int
) -> None:
    """From exact points the transform comes back, whichever of them are unknown."""
    square = np.array([[0, 0], [40, 0], [40, 50], [0, 50], [20, 20]], float)
    m = geometry.similarity(s, turn, a, b)
    target = geometry.apply(m, square)
    target[:unknown] = np.nan
    assert geometry.fit_similarity(square, target) == pytest.approx(m, abs=1e-4)


@quick
@given(angle)
def test_a_fitted_similarity_never_mirrors(turn: float) -> None:
    """A mirrored face is matched by a turn at most: the determinant stays positive."""
    square = np.array([[0, 0], [40, 0], [40, 50], [0, 60]], float)
    mirrored = geometry.apply(geometry.similarity(1, turn, [0, 0], [3, 4]), square * [-1, 1])
    assert np.linalg.det(geometry.fit_similarity(square, mirrored)[:, :2]) > 0


def test_a_similarity_of_too_few_points_is_refused() -> None:
    """One known point, or the same one twice, says nothing about size and turn."""
    nan = np.nan
    with pytest.raises(ValueError, match="two known points"):
        geometry.fit_similarity([[1, 2], [nan, nan]], [[3, 4], [5, 6]])
    with pytest.raises(ValueError, match="coincide"):
        geometry.fit_similarity([[1, 2], [1, 2]], [[3, 4], [5, 6]])


def test_an_unknown_point_stays_unknown() -> None:
    """NaN in, NaN out, and only there."""
    m = geometry.similarity(2, 0.3, [0, 0], [5, 5])
    got = geometry.apply(m, [[np.nan, np.nan], [1, 1]])
    assert np.isnan(got[0]).all()
    assert np.isfinite(got[1]).all()
