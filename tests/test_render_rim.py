"""Where a new face ends: as narrow as in a picture, along its keypoints, over what the picture shows beside it."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon.models.layout import CANONICAL
from vidanon.render.align import CROP_SCALE, FacePose
from vidanon.render.rim import continued, depth, made_whole, outline_of, placed, rimmed
from vidanon.render.skin import Skin, beside, skin_of
from vidanon.render.texture import clearness
from vidanon.types import FACE_POINT_INDEX, JAW, LUMA, FloatArray, Region

SIDE = 128
SKIN = np.array([0.68, 0.52, 0.44], np.float32)
POINTS: FloatArray = CANONICAL.numpy().astype(np.float32)
NOBODY = np.zeros((SIDE, SIDE, 4), np.float32)


def crop_of(colour: FloatArray | list[float]) -> FloatArray:
    return np.broadcast_to(np.asarray(colour, np.float32), (SIDE, SIDE, 3)).astype(np.float32)


def scene(*, above: list[float], below: list[float]) -> tuple[FloatArray, np.ndarray]:
    """What is seen around a canonical face, of one colour above its mouth and one below, and which of it is visible."""
    context = crop_of(above)
    context[int(POINTS[FACE_POINT_INDEX["mouth_left"], 1] * SIDE) :] = below
    visible = depth(outline_of(POINTS, forehead=1.1), SIDE) == 0
    return context * visible[..., None], visible


def dressed(context: FloatArray, visible: np.ndarray) -> Skin:
    """A face painted in one colour of skin, in a scene."""
    near = beside(crop_of(SKIN), context, visible, POINTS)
    return skin_of(crop_of(SKIN), NOBODY, near, visible=visible, points=POINTS, clear=clearness(context, visible))


def test_the_outline_runs_along_the_jaw_and_to_the_edge_of_the_mask_above() -> None:
    """Every point of the jaw lies within 0.02 of it; it is convex, and has no corners."""
    outline = outline_of(POINTS)
    off = np.hypot(*(POINTS[JAW][:, None] - outline[None]).transpose(2, 0, 1)).min(axis=1)
    assert off.max() < 0.02
    edges = np.roll(outline, -1, axis=0) - outline
    turn = np.arctan2(edges[:, 1], edges[:, 0])
    bend = np.angle(np.exp(1j * (np.roll(turn, -1) - turn)))
    assert (bend * np.sign(bend.sum()) > -1e-6).all()
    assert np.abs(bend).max() < 0.35
    brows = POINTS[FACE_POINT_INDEX["left_brow_inner"], 1]
    assert brows - outline[:, 1].min() > 0.25 / CROP_SCALE


@pytest.mark.parametrize("known", [0, 1, 5, 30])
def test_a_face_has_an_outline_whatever_is_known_of_it(known: int) -> None:
    """Without keypoints it is that of the canonical face, with some it lies where these put it."""
    moved = POINTS + np.float32(0.05)
    moved[known:] = np.nan
    outline = outline_of(made_whole(moved))
    assert np.isfinite(outline).all()
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    home = outline_of(POINTS)
    shift = middle - (home.min(axis=0) + home.max(axis=0)) / 2
    np.testing.assert_allclose(shift, 0.05 if known else 0.0, atol=0.02)


@pytest.mark.parametrize("far", [3.0, -3.0, 40.0])
def test_keypoints_that_are_elsewhere_draw_no_outline(far: float) -> None:
    """A box and keypoints that do not fit: the face gets the mean outline, not none, and not one outside the crop."""
    np.testing.assert_allclose(outline_of(made_whole(POINTS + np.float32(far))), outline_of(POINTS), atol=1e-6)


def test_a_cheek_before_a_wall_is_as_narrow_as_in_a_picture() -> None:
    """Skin is skin up to its outline, and what lies beyond is the wall; between them there are a few px."""
    size, centre = 200.0, 150.0
    pose = FacePose(centre, centre, size, 0.0)
    window = Region(20, 20, 280, 280)
    outline = outline_of(POINTS)
    seen = placed(outline, np.zeros((260, 260), np.float32), pose, window)
    row = seen[130]
    assert row.max() == pytest.approx(1)
    assert row.min() == pytest.approx(0)
    assert ((row > 0.05) & (row < 0.95)).sum() <= 2 * 7
    soft = placed(outline, np.ones((260, 260), np.float32), pose, window)[130]
    assert ((soft > 0.05) & (soft < 0.95)).sum() > 2 * 12


def test_beside_the_outline_is_what_the_picture_shows_there() -> None:
    """Stripes go on into the mask to the outline, deep inside they are blurred, and no hidden px matters."""
    stripes = np.zeros((120, 120, 3), np.float32)
    stripes[::8] = stripes[1::8] = stripes[2::8] = stripes[3::8] = 0.8
    y, x = np.mgrid[:120, :120]
    hidden = np.hypot(x - 60, y - 60) < 40
    face, nothing = np.full((120, 120, 3), 0.5, np.float32), np.zeros((120, 120), np.float32)

    def made(source: FloatArray, skin: FloatArray = nothing, under: np.ndarray = hidden) -> FloatArray:
        return rimmed(face, skin, *continued(source, under), size=100.0)

    out = made(stripes)
    np.testing.assert_array_equal(out[~hidden], stripes[~hidden])
    assert np.ptp(out[50:60, 60 - 38, 0]) > 0.3
    assert np.ptp(out[50:60, 60 - 20, 0]) < 0.1
    noise = np.where(hidden[..., None], np.random.default_rng(0).random((120, 120, 3), np.float32), stripes)
    np.testing.assert_array_equal(made(noise.astype(np.float32)), out)
    np.testing.assert_array_equal(made(stripes, nothing + 1), face)
    np.testing.assert_array_equal(made(stripes, under=np.ones_like(hidden)), np.full_like(face, 0.5))
    np.testing.assert_array_equal(made(stripes, under=np.zeros_like(hidden)), stripes)


def test_a_chin_passes_over_into_a_neck_and_not_into_a_wall() -> None:
    """A neck in the shade is met: near it skin is as dark; a blue wall and a white collar change nothing."""
    chin = int(POINTS[FACE_POINT_INDEX["jaw_4"], 1] * SIDE) - 2
    plain = dressed(*scene(above=[0.2, 0.3, 0.6], below=[0.2, 0.3, 0.6]))
    neck = dressed(*scene(above=[0.2, 0.3, 0.6], below=(0.75 * SKIN).tolist()))
    white = dressed(*scene(above=[0.2, 0.3, 0.6], below=[0.97, 0.97, 0.95]))
    assert plain.passing.max() < 0.05
    assert white.passing.max() < 0.05
    assert neck.passing[chin + 4, 64] > 0.8
    off = (neck.crop - plain.crop) @ LUMA / float(SKIN @ LUMA)
    assert off[chin, 64] < -0.05
    assert abs(off[64, 64]) < 0.02


def test_a_bald_head_goes_on_above_the_mask() -> None:
    """What is seen of a forehead, lighter than the new skin, is met; hair there casts a shadow instead."""
    top = int(outline_of(POINTS, forehead=1.1)[:, 1].min() * SIDE) + 2
    wall = [0.2, 0.3, 0.6]
    bald = dressed(*scene(above=(1.3 * SKIN).tolist(), below=wall))
    hair = dressed(*scene(above=[0.1, 0.08, 0.06], below=wall))
    plain = dressed(*scene(above=[0.4, 0.6, 0.9], below=wall))
    luma = [float(skin.crop[top, 64] @ LUMA) for skin in (bald, plain, hair)]
    assert luma[0] > luma[1] + 0.05
    assert luma[2] < luma[1] - 0.03
    eyes = int(POINTS[FACE_POINT_INDEX["left_eye"], 1] * SIDE)
    assert abs(float((bald.crop - plain.crop)[eyes, 64] @ LUMA)) < 0.03


def test_ears_and_walls_of_the_hue_of_skin_are_no_skin_beside_a_cheek() -> None:
    """Between brows and mouth a face ends at its outline, whatever is beside it."""
    alike = dressed(*scene(above=SKIN.tolist(), below=SKIN.tolist()))
    nose = int(POINTS[FACE_POINT_INDEX["nose"], 1] * SIDE)
    assert alike.passing[nose - 6 : nose + 3].max() == 0
    assert alike.passing[-20:, 64].max() > 0.5
    assert alike.passing[:, 8].max() < 0.05


def test_how_much_of_it_is_there() -> None:
    """With an amount of 0 it is as painted, with 1 all skin."""
    skin = dressed(*scene(above=[0.2, 0.3, 0.6], below=[0.2, 0.3, 0.6]))
    painted = crop_of([0.3, 0.3, 0.3])
    np.testing.assert_allclose(skin.over(painted, 0.0), painted, atol=1e-6)
    np.testing.assert_allclose(skin.over(painted, 1.0), skin.crop, atol=1e-6)
    seen = skin.seen(FacePose(100, 100, 120, 0.3), Region(0, 0, 200, 200))
    assert seen[100, 100] == pytest.approx(1)
    assert seen[0, 0] == 0
