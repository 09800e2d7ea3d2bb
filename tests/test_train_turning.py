"""Turned heads: the photo of a drawn head on an ellipsoid, turned in depth."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon.train.turning import Turned, some_yaw, turned, yaw_of
from vidanon.types import FloatArray, ImageArray

SIDE = 256
CENTRE = (128.0, 120.0)
WIDE, TALL, DEEP = 52.0, 72.0, 60.0


def _on_head(x: FloatArray, y: FloatArray, out: float = 0.0) -> FloatArray:
    """[N, 3] points of the head's front (px, z away) at offsets from its centre."""
    inside = np.clip(1 - (x / (WIDE + 1)) ** 2 - (y / (TALL + 1)) ** 2, 0, None)
    return np.stack([x + CENTRE[0], y + CENTRE[1], -DEEP * np.sqrt(inside) - out], -1).astype(np.float32)


def _marks() -> FloatArray:
    """[70, 3] in the order of iBUG-68 and two pupils."""
    arc = np.linspace(np.pi, 0, 17)
    jaw = _on_head(WIDE * np.cos(arc), 5 + (TALL - 6) * np.sin(arc))
    brows = _on_head(np.array([-38, -32, -25, -18, -10, 10, 18, 25, 32, 38.0]), np.full(10, -30.0))
    ridge = _on_head(np.zeros(4), np.linspace(-14, 10, 4), out=8)
    under = _on_head(np.linspace(-9, 9, 5), np.full(5, 16.0))
    lid = np.array([-9, -4, 4, 9, 4, -4.0])
    eyes = [_on_head(lid + at, np.array([0, -4, -4, 0, 4, 4]) - 16.0) for at in (-24.0, 24.0)]
    turn = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    mouth = _on_head(19 * np.cos(turn), 35 - 8 * np.sin(turn))
    turn = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    inner = _on_head(13 * np.cos(turn), 35 - 3 * np.sin(turn))
    pupils = _on_head(np.array([-24.0, 24.0]), np.full(2, -16.0))
    return np.concatenate([jaw, brows, ridge, under, *eyes, mouth, inner, pupils])


def _photo() -> ImageArray:
    rng = np.random.default_rng(0)
    soft = np.kron(rng.integers(60, 200, (32, 32, 3)), np.ones((8, 8, 1)))
    return soft.astype(np.uint8)


def _turn(yaw: float, pitch: float = 0.0, *, image: ImageArray | None = None) -> Turned:
    marks = _marks()
    ears = [[CENTRE[0] - WIDE - 4, 125, 1], [CENTRE[0] + WIDE + 4, 125, 1], [40, 250, 1], [216, 250, 1]]
    box = [CENTRE[0] - WIDE, CENTRE[1] - TALL, CENTRE[0] + WIDE, CENTRE[1] + TALL]
    return turned(
        _photo() if image is None else image,
        marks[:, :2],
        marks[:, 2],
        np.array(ears, np.float32),
        np.array(box, np.float32),
        yaw=yaw,
        pitch=pitch,
        rng=np.random.default_rng(1),
    )


def test_a_turn_by_nothing_is_the_photo_itself() -> None:
    """Nothing moves and nothing is lost when there is nothing to turn."""
    t = _turn(0)
    assert t.known.mean() > 0.99
    difference = np.abs(t.image.astype(int) - _photo())[t.known]
    assert np.percentile(difference, 99) <= 2
    np.testing.assert_allclose(t.kp, _marks()[:, :2], atol=1e-3)
    np.testing.assert_allclose(t.z, _marks()[:, 2], atol=1e-2)


@pytest.mark.parametrize("yaw", [-40.0, -20.0, 20.0, 40.0])
def test_pixels_go_where_their_marks_go(yaw: float) -> None:
    """A spot painted on a mark is found where the turned mark is said to lie."""
    marks = _marks()
    for mark in (30, 36, 45, 48, 54, 8):
        image = np.full((SIDE, SIDE, 3), 30, np.uint8)
        x, y = marks[mark, :2]
        yy, xx = np.mgrid[:SIDE, :SIDE] + 0.5
        image[(xx - x) ** 2 + (yy - y) ** 2 < 9] = 255
        t = _turn(yaw, image=image)
        if not t.visible[mark]:
            continue
        bright = np.argwhere(t.image[..., 0] > 140) + 0.5
        assert len(bright), f"mark {mark} is said to be seen and is not"
        assert np.hypot(*(bright.mean(0)[::-1] - t.kp[mark])) < 3, mark


def test_a_turned_head_shows_one_side_and_hides_the_other() -> None:
    """Turned to the picture's right, the nose goes right, the eyes come together, the left ear goes behind."""
    front, side = _turn(0), _turn(45)
    assert side.kp[30, 0] > front.kp[30, 0] + 20
    assert np.ptp(side.kp[[36, 45], 0]) < 0.85 * np.ptp(front.kp[[36, 45], 0])
    assert side.pose[0, 2] > 0.5 > side.pose[1, 2]
    assert side.visible[:8].all()
    assert not side.visible[16]
    assert yaw_of(side.kp, side.z) > 35
    assert yaw_of(_turn(-45).kp, _turn(-45).z) < -35


def test_pitch_lifts_the_nose() -> None:
    """A head that looks up has its nose nearer to its eyes."""
    gap = [t.kp[30, 1] - t.kp[[36, 45], 1].mean() for t in (_turn(0, -20), _turn(0), _turn(0, 20))]
    assert gap[0] > gap[1] > gap[2]


def test_what_is_not_known_is_black_and_said() -> None:
    """Pixels the turned head uncovers are not made up."""
    t = _turn(45)
    assert (t.image[~t.known] == 0).all()


def test_heads_are_turned_on_and_not_back() -> None:
    """A head that already looks aside is never turned back to show a cheek that is not in its photo."""
    rng = np.random.default_rng(3)
    aside = _turn(40)
    drawn = [some_yaw(aside.kp, aside.z, rng) for _ in range(200)]
    assert min(drawn) >= -5
    assert max(drawn) <= 75 - yaw_of(aside.kp, aside.z) + 1e-6
    front = [some_yaw(_marks()[:, :2], _marks()[:, 2], rng) for _ in range(200)]
    assert min(front) < -30
    assert max(front) > 30


def test_marks_in_one_place_are_refused() -> None:
    """No face, no turning."""
    nowhere = np.zeros((70, 2), np.float32)
    with pytest.raises(ValueError, match="span no face"):
        turned(
            _photo(),
            nowhere,
            np.zeros(70, np.float32),
            np.zeros((4, 3), np.float32),
            np.array([0, 0, 50, 50], np.float32),
            yaw=10,
            rng=np.random.default_rng(0),
        )
