"""The renderer as a whole: blind, closed, and the same for every grouping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vidanon.render.compose as compose_module
from vidanon.errors import RenderError
from vidanon.models.memory import Portions
from vidanon.render.align import face_pose
from vidanon.render.compose import FaceRenderer
from vidanon.render.generate import FacePainter, PaintRequest
from vidanon.render.jobs import FaceJob, RenderedFace
from vidanon.render.mask import face_mask
from vidanon.settings import RenderSettings
from vidanon.types import N_FACE_POINTS, FloatArray, Method, Observation, Region

KEY = bytes(range(32))
W, H = 320, 280


class TinyGenerator(nn.Module):
    """The generator's signature in two convolutions; `trouble` may look at the inputs and raise or spoil the output."""

    def __init__(self, trouble: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(resolution=32, latent_dim=16)
        self.one = nn.Conv2d(4 + N_FACE_POINTS, 16, 5, padding=2)
        self.two = nn.Conv2d(16, 3, 5, padding=2)
        self.style = nn.Linear(16, 16)
        self.trouble = trouble
        self.sizes: list[int] = []

    def forward(self, context: Tensor, hidden: Tensor, points: Tensor, latent: Tensor) -> Tensor:
        """A crop [B, 3, 32, 32]."""
        assert context.shape[2:] == (32, 32)
        assert ((context * hidden) == 0).all()
        self.sizes.append(len(context))
        maps = torch.nan_to_num(points).mean(-1)[:, :, None, None].expand(-1, -1, 32, 32)
        x = torch.cat([context, hidden, maps], 1)
        out = torch.tanh(self.two(torch.relu(self.one(x) + self.style(latent)[:, :, None, None])))
        return out if self.trouble is None else self.trouble(out, latent)


def renderer(
    method: Method = "gan", trouble: Callable[[Tensor, Tensor], Tensor] | None = None, **options: object
) -> FaceRenderer:
    """A renderer with the tiny generator."""
    settings = RenderSettings(method=method, **options)  # type: ignore[arg-type]
    return FaceRenderer(settings, KEY, "cpu", FacePainter(TinyGenerator(trouble), "cpu"))


def face(x0: float, y0: float, x1: float, y1: float, *, track: int = 1, frame: int = 0) -> Observation:
    """An observation with eyes, nose and chin somewhere plausible."""
    points = np.full((30, 2), np.nan, np.float32)
    w, h = x1 - x0, y1 - y0
    for i, (u, v) in enumerate([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]):
        points[i] = (x0 + u * w, y0 + v * h)
    return Observation(frame, track, np.array([x0, y0, x1, y1], np.float32), points, 0.9, "detected")


def picture(seed: int = 0, width: int = W, height: int = H) -> FloatArray:
    """Coarse patches with fine noise on them, more of it the higher the seed."""
    rng = np.random.default_rng(seed)
    coarse = 0.1 + 0.8 * rng.random((height // 10 + 1, width // 10 + 1, 3), dtype=np.float32)
    fine = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(0.01 + 0.01 * seed)
    return coarse.repeat(10, 0).repeat(10, 1)[:height, :width] + fine


def job(r: FaceRenderer, o: Observation, rgb: FloatArray, *others: Observation) -> FaceJob:
    """The job of a face in a picture."""
    height, width = rgb.shape[:2]
    region = r.region(o, width, height) or Region(0, 0, 1, 1)
    pixels = rgb[region.y0 : region.y1, region.x0 : region.x1]
    return FaceJob(o, f"track-{o.track}", pixels, region, width, height, others)


def same(a: RenderedFace, b: RenderedFace) -> bool:
    """Bit for bit."""
    return (
        a.patch.region == b.patch.region
        and np.array_equal(a.patch.rgb, b.patch.rgb)
        and np.array_equal(a.patch.alpha, b.patch.alpha)
        and (a.method, a.fallback) == (b.method, b.fallback)
    )


def core_of(o: Observation, *, hidden: bool = False) -> FloatArray:
    """Core, or all that is hidden, over the whole picture."""
    s = RenderSettings()
    mask = face_mask(face_pose(o.box, o.points), o.points, Region(0, 0, W, H), margin=s.mask_margin, feather=s.feather)
    return mask.hidden if hidden else mask.core


@pytest.mark.parametrize("method", ["gan", "solid"])
@pytest.mark.parametrize("box", [(100, 80, 180, 180), (150, 100, 164, 118), (-20, 60, 70, 170), (20, 5, 300, 275)])
def test_the_patch_is_blind_to_the_face(method: Method, box: tuple[float, float, float, float]) -> None:
    """Other pixels, or none that are numbers, in core and guard band leave the patch bit-identical."""
    o, r = face(*box), renderer(method)
    rgb = picture()
    hidden = core_of(o, hidden=True)
    before = r.render([job(r, o, rgb)])[0]
    assert not before.fallback
    for other in (picture(1), np.zeros_like(rgb), np.full_like(rgb, np.nan)):
        changed = np.where(hidden[..., None], other, rgb)
        assert same(before, r.render([job(r, o, changed)])[0])


def test_a_face_dissolves_into_what_is_around_it_and_never_into_itself() -> None:
    """Gone, it is what is seen beside it, whoever it was; half-way it is half of it; what lies under it never shows."""
    o, r = face(100, 80, 180, 180), renderer()
    rgb = np.zeros((H, W, 3), np.float32)
    rgb[:, : W // 2], rgb[:, W // 2 :] = (0.8, 0.2, 0.2), (0.2, 0.2, 0.8)
    whole = job(r, o, rgb)
    there, half, gone = (r.render([replace(whole, fade=fade)])[0] for fade in (0.0, 0.5, 1.0))
    assert not gone.fallback
    assert same(gone, r.render([replace(whole, fade=1.0, identity="somebody else")])[0])
    assert half.patch.rgb == pytest.approx((there.patch.rgb + gone.patch.rgb) / 2, abs=0.01)
    middle = gone.patch.rgb[gone.patch.rgb.shape[0] // 2]
    assert middle[2, 0] > 0.7
    assert middle[-3, 2] > 0.7
    assert np.abs(np.diff(middle, axis=0)).max() < 0.1
    hidden = core_of(o, hidden=True)
    for fade, before in ((0.5, half), (1.0, gone)):
        changed = np.where(hidden[..., None], picture(1), rgb)
        assert same(before, r.render([replace(job(r, o, changed), fade=fade)])[0])


def test_the_patch_does_see_the_surroundings() -> None:
    """The counter-test: other pixels just outside the guard band do change a generated patch."""
    o, r = face(100, 80, 180, 180), renderer()
    rgb = picture()
    changed = np.where(core_of(o, hidden=True)[..., None], rgb, picture(1))
    assert not same(r.render([job(r, o, rgb)])[0], r.render([job(r, o, changed)])[0])


def test_neither_of_two_overlapping_faces_is_seen_by_the_other() -> None:
    """With both cores and guard bands changed, both patches stay bit-identical."""
    a, b, r = face(80, 80, 160, 180, track=1), face(140, 90, 220, 190, track=2), renderer()
    rgb = picture()
    hidden = core_of(a, hidden=True) | core_of(b, hidden=True)
    changed = np.where(hidden[..., None], picture(1), rgb)
    before = r.render([job(r, a, rgb, b), job(r, b, rgb, a)])
    after = r.render([job(r, a, changed, b), job(r, b, changed, a)])
    assert all(same(p, q) for p, q in zip(before, after, strict=True))


@pytest.mark.parametrize("method", ["gan", "blur", "mosaic", "solid"])
def test_results_do_not_depend_on_the_grouping(method: Method) -> None:
    """Eleven faces alone, in pairs, all at once and backwards: the same bits."""
    r, rgb = renderer(method), picture()
    jobs = [job(r, face(10 + 20 * i, 20 + 15 * i, 60 + 23 * i, 80 + 17 * i, track=i + 1), rgb) for i in range(11)]
    alone = [r.render([j])[0] for j in jobs]
    pairs = [f for i in range(0, 11, 2) for f in r.render(jobs[i : i + 2])]
    backwards = r.render(jobs[::-1])[::-1]
    for other in (r.render(jobs), pairs, backwards):
        assert all(same(a, b) for a, b in zip(alone, other, strict=True))


def test_a_padded_batch_gives_each_face_its_own_result() -> None:
    """Calls of eight, as on a GPU: every call has eight faces and the blanks stay out of the answer."""
    generator = TinyGenerator()
    painter = FacePainter(generator, "cpu")
    rng = np.random.default_rng(0)
    requests = [
        PaintRequest(
            rng.random((32, 32, 3), dtype=np.float32),
            rng.random((32, 32)) > 0.5,
            rng.random((30, 2), dtype=np.float32),
            rng.standard_normal(16).astype(np.float32),
        )
        for _ in range(11)
    ]
    single = painter.paint(requests)
    painter._portions = Portions("generator", torch.device("cpu"), 8)
    generator.sizes.clear()
    batched = painter.paint(requests)
    assert generator.sizes == [8, 8]
    assert len(batched) == 11
    for a, b in zip(single, batched, strict=True):
        assert a is not None
        assert b is not None
        assert np.allclose(a, b, atol=1e-5)


def raises(out: Tensor, latent: Tensor) -> Tensor:
    """A generator that always fails."""
    raise RuntimeError("out of memory")


def gives_nan(out: Tensor, latent: Tensor) -> Tensor:
    """A generator with one NaN in each crop."""
    out = out.clone()
    out[:, 1, 3, 4] = torch.nan
    return out


def gives_too_little(out: Tensor, latent: Tensor) -> Tensor:
    """A generator of the wrong size."""
    return out[:, :, ::2]


@pytest.mark.parametrize("trouble", [raises, gives_nan, gives_too_little])
@pytest.mark.parametrize("fallback", ["solid", "blur", "mosaic"])
def test_a_generator_in_trouble_never_leaves_a_face(
    trouble: Callable[[Tensor, Tensor], Tensor], fallback: Method
) -> None:
    """Exception, NaN or a wrong shape: the face is covered by the fallback, just as if that had been asked for."""
    o, rgb = face(100, 80, 180, 180), picture()
    r, plain = renderer(trouble=trouble, fallback=fallback), renderer(fallback)
    got, wanted = r.render([job(r, o, rgb)])[0], plain.render([job(plain, o, rgb)])[0]
    assert (got.method, got.fallback) == (fallback, True)
    assert not wanted.fallback
    assert np.array_equal(got.patch.rgb, wanted.patch.rgb)
    assert np.array_equal(got.patch.alpha, wanted.patch.alpha)


@pytest.mark.parametrize("batch", [1, 8])
def test_one_bad_face_does_not_spoil_the_others(batch: int) -> None:
    """Of three faces the one the generator fails on is covered, the other two are painted as ever."""
    bad = renderer()._latent("track-2", 16)

    def trouble(out: Tensor, latent: Tensor) -> Tensor:
        if (latent == torch.from_numpy(bad)).all(1).any():
            raise RuntimeError("no")
        return out

    rgb, good, r = picture(), renderer(), renderer(trouble=trouble)
    for each in (good, r):
        assert each._painter is not None
        each._painter._portions = Portions("generator", torch.device("cpu"), batch)
    faces = [face(20 + 80 * i, 60, 80 + 80 * i, 140, track=i + 1) for i in range(3)]
    got, wanted = r.render([job(r, o, rgb) for o in faces]), good.render([job(good, o, rgb) for o in faces])
    assert [f.fallback for f in got] == [False, True, False]
    assert same(got[0], wanted[0])
    assert same(got[2], wanted[2])


def test_a_fault_while_blending_is_covered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the network may fail: an exception after it leads to the fallback as well."""

    def fault(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(compose_module, "place", fault)
    r = renderer()
    got = r.render([job(r, face(100, 80, 180, 180), picture())])[0]
    assert (got.method, got.fallback) == ("solid", True)


def test_a_face_that_cannot_be_covered_stops_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the fallback fails as well, RenderError names frame and track."""

    def fault(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(compose_module, "cover", fault)
    r = renderer(trouble=raises)
    with pytest.raises(RenderError, match="frame 7, track 3"):
        r.render([job(r, face(100, 80, 180, 180, track=3, frame=7), picture())])


def test_a_face_that_cannot_be_placed_stops_the_output() -> None:
    """A box that is no number, or pixels of too small a window, raise RenderError instead of leaving a face."""
    r, rgb, o = renderer(), picture(), face(100, 80, 180, 180)
    nowhere = Observation(0, 1, np.array([0, 0, np.nan, 9], np.float32), o.points, 0.9, "edited")
    with pytest.raises(RenderError, match="finite"):
        r.render([FaceJob(nowhere, "a", rgb, Region(0, 0, W, H), W, H)])
    with pytest.raises(RenderError, match="finite"):
        r.region(nowhere, W, H)
    with pytest.raises(RenderError, match="the job has"):
        r.render([FaceJob(o, "a", rgb[80:180, 100:180], Region(100, 80, 180, 180), W, H)])
    with pytest.raises(RenderError, match="do not fit"):
        r.render([FaceJob(o, "a", rgb[:100], Region(0, 0, W, H), W, H)])


BOXES = {
    "6 px": (100, 100, 106, 106),
    "900 px": (-300, -300, 600, 600),
    "half outside": (-40, 100, 40, 190),
    "a corner": (300, 260, 380, 350),
    "wide": (50, 100, 250, 130),
    "beyond the picture": (-300, -300, -200, -200),
}


@pytest.mark.parametrize("method", ["gan", "blur", "mosaic", "solid"])
@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("points", ["known", "unknown", "turned 90", "turned 180"])
def test_odd_faces_are_rendered(method: Method, name: str, points: str) -> None:
    """Any size and place, with and without keypoints, on the side and upside down: covered, with no fallback."""
    o, rgb, r = face(*BOXES[name]), picture(), renderer(method)
    centre = (o.box[:2] + o.box[2:]) / 2
    offset = o.points - centre
    moved = {
        "known": o.points,
        "unknown": o.points * np.nan,
        "turned 90": centre + np.stack([-offset[:, 1], offset[:, 0]], 1),
        "turned 180": centre - offset,
    }[points]
    o = Observation(0, 1, o.box, moved.astype(np.float32), 0.9, "detected")
    got = r.render([job(r, o, rgb)])[0]
    assert (got.method, got.fallback) == (method, False)
    region, alpha = got.patch.region, got.patch.alpha
    assert got.patch.rgb.shape == (region.height, region.width, 3)
    assert np.isfinite(got.patch.rgb).all()
    assert got.patch.rgb.min() >= 0
    assert got.patch.rgb.max() <= 1
    painted = np.zeros((H, W), np.float32)
    painted[region.y0 : region.y1, region.x0 : region.x1] = alpha
    x0, y0, x1, y1 = (max(0, int(v)) for v in o.box)
    assert (painted[y0:y1, x0:x1] == 1).all()
    for edge, ends in (
        (alpha[0], region.y0 == 0), (alpha[-1], region.y1 == H),
        (alpha[:, 0], region.x0 == 0), (alpha[:, -1], region.x1 == W),
    ):  # fmt: skip
        assert ends or edge.max() == 0


def test_one_identity_has_one_face_and_another_has_another() -> None:
    """The same name in two jobs gives the same latent; another name or another key another patch."""
    o, rgb, r = face(100, 80, 180, 180), picture(), renderer()
    base = job(r, o, rgb)
    other_name = FaceJob(o, "somebody else", base.rgb, base.region, W, H)
    other_key = FaceRenderer(r.settings, bytes(32), "cpu", FacePainter(TinyGenerator(), "cpu"))
    faces = r.render([base, base, other_name]) + other_key.render([base])
    assert same(faces[0], faces[1])
    assert not same(faces[0], faces[2])
    assert not same(faces[0], faces[3])
