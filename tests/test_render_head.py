"""The head around a face: ears and hair become a coarse blur, the new face stays crisp, and nothing new is seen."""

from __future__ import annotations

import numpy as np
import pytest
from test_render_compose import H, W, core_of, face, job, picture, renderer, same

from vidanon.render.align import face_pose
from vidanon.render.area import painted_area
from vidanon.render.compose import FaceRenderer
from vidanon.render.head import CELLS, head_alpha, with_head
from vidanon.render.mask import core_mask, outline_px
from vidanon.settings import RenderSettings, load
from vidanon.types import FACE_POINT_INDEX, FloatArray, Method, Observation, Patch, Region

BOX = (100.0, 80.0, 180.0, 180.0)
WHOLE = Region(0, 0, W, H)


def covered(r: FaceRenderer, rgb: FloatArray, box: tuple[float, float, float, float] = BOX) -> tuple[FloatArray, Patch]:
    """A picture with its one face covered, and the patch."""
    made = r.render([job(r, face(*box), rgb)])[0].patch
    out, at = rgb.copy(), made.region
    part = out[at.y0 : at.y1, at.x0 : at.x1]
    part += made.alpha[..., None] * (made.rgb - part)
    return out, made


@pytest.mark.parametrize("roll", [0.0, 0.5, -1.4])
def test_the_head_holds_the_face_the_ears_and_what_is_above_them(roll: float) -> None:
    """Whatever the roll: the face's mask, and the crown, a third of a face above the box; far off there is nothing."""
    o = face(*BOX)
    middle = np.array([140.0, 130.0])
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    points = ((o.points - middle) @ turn + middle).astype(np.float32)
    ear = (middle + np.array([68.0, -5.0]) @ turn).astype(np.float32)
    points[FACE_POINT_INDEX["left_ear"]] = ear
    pose = face_pose(o.box, points)
    alpha = head_alpha(pose, points, WHOLE, margin=0.2)
    assert alpha[core_mask(outline_px(pose, points, margin=0.2), WHOLE)].min() > 0.95  # two hulls, rounded
    crown = middle + np.array([0.0, -0.8 * pose.size]) @ turn
    for x, y in (crown, ear):
        if 0 <= x < W and 0 <= y < H:
            assert alpha[int(y), int(x)] == 1
    assert alpha[5, 5] == 0


@pytest.mark.parametrize("method", ["gan", "blur", "solid"])
def test_of_a_head_no_more_than_cells_are_left(method: Method) -> None:
    """A fine pattern around the face is gone with region head, and stays with region face, whatever the method."""
    y, x = np.mgrid[:H, :W]
    rgb = np.repeat(((x // 2 + y // 2) % 2).astype(np.float32)[..., None], 3, axis=2) * 0.6 + 0.2
    hair = np.s_[52:70, 125:155]
    for region, least, most in (("face", 0.25, 0.35), ("head", 0.0, 0.06)):
        out, _ = covered(renderer(method, region=region), rgb)
        assert least <= float(out[hair].std()) <= most


def test_the_new_face_is_the_same_and_the_picture_outside_of_the_head_too() -> None:
    """In the middle of the face nothing changes, and nothing beyond the area that `compare` leaves out."""
    rgb = picture()
    plain, _ = covered(renderer(), rgb)
    out, _ = covered(renderer(region="head"), rgb)
    np.testing.assert_allclose(
        out[120:140, 130:150], plain[120:140, 130:150], atol=0.003
    )  # grain is measured on a larger part
    outside = ~painted_area([face(*BOX)], width=W, height=H, settings=RenderSettings(region="head"))
    np.testing.assert_array_equal(out[outside], rgb[outside])
    inside = ~painted_area([face(*BOX)], width=W, height=H, settings=RenderSettings())
    assert np.abs(out - rgb)[inside].max() > 0.05


@pytest.mark.parametrize(
    "box", [BOX, (-20.0, 60.0, 70.0, 170.0), (20.0, 5.0, 300.0, 275.0), (150.0, 100.0, 160.0, 112.0)]
)
def test_a_head_is_blind_to_the_face(box: tuple[float, float, float, float]) -> None:
    """What lies under the mask of the face has no influence on the blur around it either."""
    r, o, rgb = renderer(region="head"), face(*box), picture()
    hidden = core_of(o, hidden=True)
    before = r.render([job(r, o, rgb)])[0]
    assert not before.fallback
    for other in (picture(1), np.full_like(rgb, np.nan)):
        assert same(before, r.render([job(r, o, np.where(hidden[..., None], other, rgb))])[0])


def test_the_head_of_one_leaves_the_face_of_another() -> None:
    """Two who stand close: over the mask of the one, the other's head is not painted."""
    r, rgb = renderer(region="head"), picture()
    one, other = face(60, 80, 120, 160, track=1), face(140, 80, 200, 160, track=2)

    def most(*others: Observation) -> float:
        patch = r.render([job(r, one, rgb, *others)])[0].patch
        at = patch.region
        return float(patch.alpha[core_of(other)[at.y0 : at.y1, at.x0 : at.x1]].max(initial=0))

    assert most() > 0
    assert most(other) == 0


def test_where_no_skin_is_the_head_is_and_the_mask_is_always_covered() -> None:
    """A face patch that is skin only on its left has head on its right; alpha is never less than the mask's."""
    patch = Patch(Region(40, 40, 80, 80), np.full((40, 40, 3), 0.9, np.float32), np.ones((40, 40), np.float32))
    skin = np.repeat((np.arange(40) < 20).astype(np.float32)[None], 40, axis=0)
    head = np.zeros((120, 120), np.float32)
    head[20:70, 30:90] = 1
    out = with_head(patch, skin, head, np.full((120, 120, 3), 0.2, np.float32), Region(0, 0, 120, 120))
    at = out.region
    assert out.alpha[40 - at.y0 : 80 - at.y0, 40 - at.x0 : 80 - at.x0].min() == 1
    row = out.rgb[50 - at.y0, :, 0]
    assert row[45 - at.x0] == pytest.approx(0.9)
    assert row[75 - at.x0] == pytest.approx(0.2, abs=0.02)
    assert out.alpha.max() == 1
    assert CELLS <= 16


def test_strict_hides_the_head_and_broadcast_does_not() -> None:
    """Whom hair and ears could give away has neither."""
    assert load("strict")[0].render.region == "head"
    assert load("broadcast")[0].render.region == "face"
