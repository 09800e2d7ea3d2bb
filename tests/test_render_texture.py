"""A person's own features in the light that was painted: crisp, as bright as the skin, where they are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidanon.render.texture import CONTRAST, USUAL, textured
from vidanon.types import LUMA, FloatArray

SIDE = 64
SKIN = np.array([0.62, 0.49, 0.42], np.float32)


def hidden_disc(side: int = SIDE) -> NDArray[np.bool_]:
    """Visible everywhere but in a disc in the middle."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return np.asarray(np.hypot(x, y) > 0.4 * side)


def somebody(size: int = 2 * SIDE, *, seed: int = 0, cover: float = 1.0) -> FloatArray:
    """[size, size, 4] grey noise a px wide, known in a disc."""
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    known = np.hypot(x, y) < 0.3 * size
    grey = np.random.default_rng(seed).normal(0, 1, (size, size, 1)).repeat(3, axis=2)
    return np.dstack([grey * known[..., None], cover * known]).astype(np.float32)


def flat(colour: FloatArray = SKIN) -> FloatArray:
    """A painted crop of one colour."""
    return np.broadcast_to(colour, (SIDE, SIDE, 3)).astype(np.float32)


def test_features_are_the_persons_where_they_are_known_and_the_crop_is_as_large() -> None:
    """In the middle the crop is light plus what the person has there; outside of what is known it is as painted."""
    person, middle = somebody(), np.s_[50:78, 50:78]
    out = textured(flat(), person, hidden_disc())
    assert out.shape == (128, 128, 3)
    expected = SKIN + CONTRAST * float(SKIN @ LUMA) / USUAL * person[middle][..., :3]
    np.testing.assert_allclose(out[middle], np.clip(expected, 0, 1), atol=0.01)
    np.testing.assert_allclose(
        out[person[..., 3] == 0], np.broadcast_to(SKIN, out.shape)[person[..., 3] == 0], atol=1e-3
    )
    same = textured(flat(), somebody(SIDE), hidden_disc())
    assert same.shape == (SIDE, SIDE, 3)


def test_what_is_painted_gives_way_and_its_light_stays() -> None:
    """A ripple as fine as features is gone; a face lit from one side still is, and dark skin has fainter features."""
    at = np.linspace(-1, 1, SIDE, dtype=np.float32)
    nobody = somebody() * np.array([0, 0, 0, 1], np.float32)
    ripple = 0.1 * np.sin(np.arange(SIDE, dtype=np.float32) * 2)[None, :, None]
    lit = np.asarray(flat() + 0.12 * at[None, :, None] + ripple, np.float32)
    out = textured(lit, nobody, hidden_disc())
    row = out[64, 40:88] @ LUMA
    assert np.diff(row).min() > -0.004
    assert row[-1] - row[0] > 0.6 * 0.12 * (48 / 64)
    dark, bright = (textured(flat(share * SKIN), somebody(), hidden_disc())[56:72, 56:72].std() for share in (0.5, 1.0))
    assert 0.35 < dark / bright < 0.75


def test_red_is_kept_and_blue_is_not() -> None:
    """Lips of a person are as red as the pattern has them, shadows less blue."""
    red, blue = somebody(), somebody()
    for person, sign in ((red, 1), (blue, -1)):
        person[..., :3] = np.array([sign, 0, -sign]) * (person[..., 3:] > 0)
    for person, least, most in ((red, 0.9, 1.1), (blue, 0.4, 0.7)):
        out = textured(flat(), person, hidden_disc())[64, 64] - SKIN
        asked = CONTRAST * float(SKIN @ LUMA) / USUAL
        assert least < abs(out[0] - out[2]) / (2 * asked) < most


@pytest.mark.parametrize("seen", [hidden_disc(), np.ones((SIDE, SIDE), bool)])
def test_what_is_seen_of_the_picture_stays(seen: NDArray[np.bool_]) -> None:
    """Nothing is laid over visible pixels; an amount of 0, or a person nothing is known of, changes nothing."""
    out = textured(flat(), somebody(SIDE), seen)
    np.testing.assert_allclose(out[seen], flat()[seen], atol=1e-6)
    for person, amount in ((somebody(SIDE), 0.0), (somebody(SIDE, cover=0.0), 1.0)):
        np.testing.assert_allclose(textured(flat(), person, seen, amount), flat(), atol=1e-6)
