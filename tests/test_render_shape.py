"""How faces are built: what is peculiar to a person goes, nobody's peculiarities come, and what a face does stays."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon.render.shape import OPEN, PECULIARITIES, SHAPE_TRAITS, USUAL, VARIETY, Build, builds, own_shape, traits_of
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS, FloatArray, Observation

AT = FACE_POINT_INDEX
ZERO = np.zeros(PECULIARITIES, np.float32)
USUAL_FACE = {
    "nose": (0.5, 0.517), "right_eye": (0.387, 0.393), "right_pupil": (0.387, 0.393), "right_lid_upper": (0.385, 0.38),
    "right_lid_lower": (0.39, 0.405), "mouth_right": (0.4, 0.624), "lip_upper_inner": (0.5, 0.62),
    "lip_lower_inner": (0.5, 0.64), "right_brow_outer": (0.29, 0.327), "right_brow_inner": (0.45, 0.325),
    "jaw_0": (0.26, 0.36), "jaw_1": (0.27, 0.5), "jaw_2": (0.3, 0.66), "jaw_3": (0.39, 0.75), "jaw_4": (0.5, 0.795),
    "right_ear": (0.25, 0.45), "right_shoulder": (0.1, 1.0),
}  # fmt: skip


def face() -> FloatArray:
    """[30, 2] a usual face that looks ahead, in 0..1 of its crop."""
    points = np.full((len(FACE_POINTS), 2), np.nan, np.float32)
    for name, (x, y) in USUAL_FACE.items():
        other = f"jaw_{8 - int(name[4:])}" if name.startswith("jaw_") else name.replace("right", "left")
        points[AT[name]] = x, y
        if x != 0.5:
            points[AT[other]] = 1 - x, y
    return points


def seen(points: FloatArray, *, shift: float = 0.0, source: str = "detected") -> Observation:
    """The face somewhere in a picture, its crop 340 px wide."""
    px = points * 340 + shift
    box = np.array([0.25, 0.2, 0.75, 0.8], np.float32) * 340 + shift  # the side of the box is a crop's 1/1.7
    box[[0, 1]], box[[2, 3]] = 170 - 100 + shift, 170 + 100 + shift
    return Observation(0, 1, box, px.astype(np.float32), 0.9, source)  # type: ignore[arg-type]


def test_a_usual_face_has_usual_traits() -> None:
    """The traits are read where the constants say the mean face has them."""
    traits, weight = traits_of(face())
    np.testing.assert_allclose(traits, USUAL, atol=0.004)
    assert weight == 1


def test_what_is_peculiar_to_somebody_is_gone() -> None:
    """With all of it exchanged, people who are built differently become the same nobody; with nothing, they stay."""
    rng = np.random.default_rng(5)
    nobody = rng.standard_normal(SHAPE_TRAITS).astype(np.float32) / 2  # within the reach of FURTHEST
    traits = rng.standard_normal((4, SHAPE_TRAITS)).astype(np.float32) / 2
    people = [own_shape(face(), each, None, amount=1) for each in traits]
    own = [builds([("a", seen(points))])["a"] for points in people]
    apart = [np.linalg.norm(traits_of(points)[0] - traits_of(people[0])[0]) for points in people[1:]]
    made = [traits_of(own_shape(p, nobody, o, amount=1))[0] for p, o in zip(people, own, strict=True)]
    left = [np.linalg.norm(traits - made[0]) for traits in made[1:]]
    assert min(apart) > 0.008
    assert max(left) < 0.35 * min(apart)
    for points, o in zip(people, own, strict=True):
        assert np.array_equal(own_shape(points, nobody, o, amount=0), points, equal_nan=True)


def test_a_head_built_differently_still_does_what_the_person_does() -> None:
    """Features move, openings and gaze stay, two people differ, and unknown points stay unknown."""
    rng = np.random.default_rng(1)
    points = rng.uniform(0.3, 0.7, (30, 2)).astype(np.float32)
    one, other = (
        own_shape(
            points, rng.standard_normal(SHAPE_TRAITS).astype(np.float32), np.append(ZERO[:-1] + 0.004, 0), amount=1
        )
        for _ in "ab"
    )
    for a, b in (
        ("lip_upper_inner", "lip_lower_inner"),
        ("left_lid_upper", "left_lid_lower"),
        ("right_eye", "right_pupil"),
    ):
        np.testing.assert_allclose(one[AT[a]] - one[AT[b]], points[AT[a]] - points[AT[b]], atol=1e-6)
    assert 0.002 < np.abs(one - points).max() < 0.08
    assert np.abs(one - other).max() > 0.005
    points[AT["left_eye"]] = np.nan
    known = np.isfinite(points)
    assert np.array_equal(np.isfinite(own_shape(points, np.ones(SHAPE_TRAITS, np.float32), None, amount=1)), known)


def test_new_faces_vary_as_people_do() -> None:
    """Over many draws each trait has the deviation that the training faces have."""
    rng = np.random.default_rng(2)
    drawn = [traits_of(own_shape(face(), z, None, amount=1))[0] for z in rng.standard_normal((400, 8)).astype("f4")]
    expected = np.linalg.norm(VARIETY, axis=1)
    np.testing.assert_allclose(np.std(drawn, axis=0), expected, rtol=0.25)


def test_shape_is_read_from_all_of_a_clip_and_where_it_is_no_guess() -> None:
    """Turned heads, hidden ones and boxes that are no numbers do not count; with nothing else, nothing is said."""
    wide = own_shape(face(), np.array([2, 0, 0, 0, 0, 0, 0, 0], np.float32), None, amount=1)
    aside = face()
    aside[AT["nose"], 0] += 0.06
    lost = seen(face())
    lost.box[:] = np.nan
    own = builds([("a", seen(wide)), ("a", seen(aside)), ("a", seen(face(), source="hidden")), ("a", lost)])
    np.testing.assert_allclose(own["a"], builds([("a", seen(wide))])["a"], atol=1e-6)
    assert builds([("b", seen(aside))]) == {}
    build = Build()
    for _ in range(3):
        build.add(seen(wide))
        build.add(seen(face()))
    both = build.peculiarities()
    assert both is not None
    assert both[:-1] == pytest.approx((own["a"] + builds([("c", seen(face()))])["c"])[:-1] / 2, abs=1e-5)


def test_a_face_is_built_alike_wherever_it_is() -> None:
    """The same head elsewhere in the picture has the same peculiarities."""
    one, two = (builds([("a", seen(face(), shift=s))])["a"] for s in (0.0, 57.0))
    np.testing.assert_allclose(one, two, atol=1e-5)


def opening(points: FloatArray) -> float:
    """How far the right eye's lids are apart, in crops."""
    return float(np.hypot(*(points[AT["right_lid_lower"]] - points[AT["right_lid_upper"]])))


@pytest.mark.parametrize("share", [0.7, 1.3])
def test_eyes_that_are_always_narrow_or_wide_are_the_persons_and_blinks_are_not(share: float) -> None:
    """Over a clip new eyes are as open as most are, a single photo changes little, and shut is shut."""
    own, blink, nobody = face(), face(), np.zeros(SHAPE_TRAITS, np.float32)
    for points, apart in ((own, share * OPEN * 0.231), (blink, 0.0)):
        for side in ("right", "left"):
            upper, lower = AT[f"{side}_lid_upper"], AT[f"{side}_lid_lower"]
            at = points[[upper, lower]].mean(axis=0)
            points[upper] = points[lower] = at
            points[upper, 1] -= apart / 2
            points[lower, 1] += apart / 2
    clip = [*[("a", seen(own))] * 400, *[("a", seen(blink))] * 20]
    (known,), (once,) = builds(clip).values(), builds(clip[:1]).values()
    assert known.shape == (PECULIARITIES,)
    made = opening(own_shape(own, nobody, known, amount=1))
    assert made == pytest.approx(OPEN * 0.231, rel=0.06)
    assert opening(own_shape(own, nobody, once, amount=1)) == pytest.approx(opening(own), rel=0.02)
    assert opening(own_shape(blink, nobody, known, amount=1)) == 0
