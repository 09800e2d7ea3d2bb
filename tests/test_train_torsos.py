"""Neck and clothes below a pasted face: where a body is, nowhere else, and never labelled."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon import geometry
from vidanon.train.labelled import Labelled
from vidanon.train.portraits import FaceCrop, halved
from vidanon.train.scene import Scene
from vidanon.train.scenes import Composer
from vidanon.train.torsos import dress
from vidanon.types import N_FACE_POINTS, ImageArray

GREY = 120
SKIN = np.array([200, 150, 120], np.float32)


def _plain() -> ImageArray:
    return np.full((320, 320, 3), GREY, np.uint8)


@pytest.mark.parametrize("degrees", [0, 90, -40])
def test_a_body_is_below_the_chin_however_the_head_leans(degrees: float) -> None:
    """What is drawn lies on the chin's side, the neck has the skin's hue, and the alpha says where it was."""
    chin = geometry.similarity(60, np.radians(degrees), (0, 0), (160, 160))
    for seed in range(12):
        image = _plain()
        alpha = dress(image, chin, SKIN, np.random.default_rng(seed))
        changed = (image != GREY).any(2)
        assert changed.sum() > 2000
        assert not changed[alpha == 0].any()
        y, x = np.nonzero(changed)
        down = geometry.apply(geometry.invert(chin), np.stack([x, y], 1))[:, 1]
        assert down.min() > -0.5, "nothing above the middle of the face"
        assert np.median(down) > 0.3
        u, v = (int(c) for c in geometry.apply(chin, (0.0, -0.2)))
        red, green, blue = image[v, u].astype(int)
        assert red > green > blue or (red, green, blue) == (GREY,) * 3


def test_bodies_differ() -> None:
    """No two seeds draw the same clothes."""
    chin = geometry.similarity(60, 0.0, (0, 0), (160, 100))
    drawn = []
    for seed in range(8):
        image = _plain()
        dress(image, chin, SKIN, np.random.default_rng(seed))
        drawn.append(image.astype(int))
    assert all(np.abs(a - b).mean() > 3 for i, a in enumerate(drawn) for b in drawn[:i])


def _face() -> FaceCrop:
    image = np.full((256, 256, 3), (20, 90, 200), np.uint8)
    image[60:200, 70:190] = SKIN
    box = np.array([70, 60, 190, 200], np.float32)
    points = np.tile(np.array([130, 130], np.float32), (N_FACE_POINTS, 1))
    return FaceCrop(halved(image, least=32), box, points, np.ones(5, np.float32))


def test_a_dressed_face_keeps_its_box_and_loses_its_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The face is there, labelled once; its own background, which would cover the neck, is not."""
    monkeypatch.setattr("vidanon.train.scenes.DRESSED", 1.0)
    monkeypatch.setattr("vidanon.train.scenes.tilt", lambda _: 0.0)
    monkeypatch.setattr("vidanon.train.scenes.occlude", lambda *_: None)
    blank = Labelled(_plain(), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, bool))
    scenes = Composer([_face()], [blank], rng=np.random.default_rng(0))
    for _ in range(10):
        scene = Scene(_plain())
        scenes.paste(scene, 80.0)
        (box,) = scene.boxes
        if box.min() < 1 or box.max() > 319:
            continue
        assert max(box[2:] - box[:2]) == pytest.approx(80, abs=1)
        x, y = (int(v) for v in (box[:2] + box[2:]) / 2)
        assert scene.image[y, x, 0] > 1.3 * scene.image[y, x, 2], "skin"
        blue = (scene.image[..., 2] > 1.8 * scene.image[..., 0]) & (scene.image[..., 2] > 60)
        beside = blue[int(box[1]) : int(box[3]), : int(box[0]) - 12]
        assert not beside.any()


def test_the_tone_of_a_face_is_that_of_its_middle() -> None:
    """Not of what is around it."""
    np.testing.assert_allclose(_face().tone(), SKIN, atol=2)
