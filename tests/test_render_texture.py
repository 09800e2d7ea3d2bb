"""A person's own features in the light that was painted: crisp, as strong as the scene is, up to the outline."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon.render.texture import CONTRAST, DIM, FLATTEST, RANGE, clearness, roundness, textured
from vidanon.types import LUMA, FloatArray

SIDE = 64
SKIN = np.array([0.62, 0.49, 0.42], np.float32)
EVEN = np.ones((SIDE, SIDE, 3), np.float32)
"""a head that is flat"""


def disc(side: int = SIDE, radius: float = 0.3) -> FloatArray:
    """[side, side] 1 in a disc in the middle."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return np.asarray(np.hypot(x, y) < radius * side, np.float32)


def somebody(size: int = 2 * SIDE, *, seed: int = 0) -> FloatArray:
    """[size, size, 4] grey noise a px wide, known in a disc."""
    known = disc(size)[..., None]
    grey = np.random.default_rng(seed).normal(0, 1, (size, size, 1)).repeat(3, axis=2)
    return np.dstack([grey * known, known]).astype(np.float32)


def flat(colour: FloatArray = SKIN) -> FloatArray:
    """A painted crop of one colour."""
    return np.broadcast_to(colour, (SIDE, SIDE, 3)).astype(np.float32)


def test_features_are_the_persons_where_they_are_known_and_the_crop_is_as_large() -> None:
    """In the middle the crop is light plus what the person has there; outside of what is known it is light alone."""
    person, middle = somebody(), np.s_[50:78, 50:78]
    out = textured(flat(), person, disc(), EVEN)
    assert out.shape == (128, 128, 3)
    expected = SKIN + CONTRAST * person[middle][..., :3]
    np.testing.assert_allclose(out[middle], np.clip(expected, 0, 1), atol=0.01)
    bare = out[person[..., 3] == 0]
    np.testing.assert_allclose(bare, np.broadcast_to(SKIN, bare.shape), atol=1e-3)
    assert textured(flat(), somebody(SIDE), disc(), EVEN).shape == (SIDE, SIDE, 3)


def test_what_is_painted_gives_way_and_its_light_stays() -> None:
    """A ripple as fine as features is gone; a face lit from one side still is."""
    at = np.linspace(-1, 1, SIDE, dtype=np.float32)
    nobody = somebody() * np.array([0, 0, 0, 1], np.float32)
    ripple = 0.1 * np.sin(np.arange(SIDE, dtype=np.float32) * 2)[None, :, None]
    lit = np.asarray(flat() + 0.12 * at[None, :, None] + ripple, np.float32)
    row = textured(lit, nobody, disc(), EVEN)[64, 40:88] @ LUMA
    assert np.diff(row).min() > -0.004
    assert row[-1] - row[0] > 0.6 * 0.12 * (48 / 64)


def test_light_is_told_in_the_middle_and_goes_on_to_the_outline() -> None:
    """What a net paints at the rim, hair it only guesses at, is not taken for light there."""
    hedged = np.where(disc(radius=0.25)[..., None] > 0, SKIN, np.float32(0.1)).astype(np.float32)
    nobody = np.zeros((SIDE, SIDE, 4), np.float32)
    out = textured(hedged, nobody, disc(radius=0.2), EVEN)
    np.testing.assert_allclose(out[32, 8:56], np.broadcast_to(SKIN, (48, 3)), atol=0.02)


def test_a_person_without_features_somewhere_keeps_what_was_painted_there() -> None:
    """As in profile, where the far half of a face is folded away."""
    painted = np.asarray(flat() + 0.1 * np.random.default_rng(1).normal(0, 1, (SIDE, SIDE, 3)), np.float32).clip(0, 1)
    nobody = np.zeros((SIDE, SIDE, 4), np.float32)
    out = textured(painted, nobody, disc(), EVEN)
    np.testing.assert_allclose(out[28:36, 28:36], painted[28:36, 28:36], atol=1e-5)


def test_light_and_dark_skin_have_the_same_contrast_down_to_the_dark() -> None:
    """Contrast hardly hangs on how light skin is, until there is no light to take away."""

    def contrast(luma: float) -> float:
        colour = np.full(3, luma, np.float32)
        return float(textured(flat(colour), somebody(), disc(), EVEN)[56:72, 56:72].std())

    assert contrast(0.5) == pytest.approx(contrast(0.3), rel=0.1)
    assert contrast(DIM / 4) < 0.4 * contrast(0.5)


def test_haze_takes_contrast_and_a_scene_that_is_not_seen_takes_none() -> None:
    """By the darkest and the lightest that is seen; black and white have all, one grey has the least there is."""
    seen = np.ones((SIDE, SIDE), np.bool_)
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)[None, :, None] * EVEN
    assert clearness(ramp, seen) == 1
    assert clearness(np.float32(0.4) + np.float32(RANGE / 2) * ramp, seen) == pytest.approx(0.5, rel=0.05)
    assert clearness(flat(), seen) == FLATTEST
    assert clearness(flat(), ~seen) == 1
    clear, hazy = (textured(flat(), somebody(), disc(), EVEN, share)[56:72, 56:72, 0].std() for share in (0.5, 0.25))
    assert hazy == pytest.approx(clear / 2, rel=0.05)


def test_a_head_is_round() -> None:
    """Light falls off towards the sides, steeper the nearer; in the middle nothing is lost, and red the least.

    At the chin it does so too, on the forehead not.
    """
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = np.stack([0.5 + 0.25 * np.cos(angle), 0.5 + 0.35 * np.sin(angle)], axis=1)
    head = roundness(outline, 128)
    row = head[64]
    assert row[64] == pytest.approx(1, abs=0.01)
    inside = row[64 : 64 + 31, 1]
    assert (np.diff(np.diff(inside)) < 1e-4).all()
    assert 0.6 < inside[-1] < 0.85
    assert row[90, 0] > row[90, 1]
    assert row[90, 1] > row[90, 2]
    assert head[int(0.84 * 128), 64, 1] < 0.92
    np.testing.assert_allclose(head[int(0.2 * 128), 40:88], row[40:88], atol=1e-3)


def test_red_is_kept_and_blue_is_not() -> None:
    """Lips of a person are as red as the pattern has them, shadows less blue."""
    red, blue = somebody(), somebody()
    for person, sign in ((red, 1), (blue, -1)):
        person[..., :3] = np.array([sign, 0, -sign]) * (person[..., 3:] > 0)
    for person, least, most in ((red, 0.9, 1.1), (blue, 0.4, 0.7)):
        out = textured(flat(), person, disc(), EVEN)[64, 64] - SKIN
        assert least < abs(out[0] - out[2]) / (2 * CONTRAST) < most
