"""Who gets which new face: what surroundings tell, who suits, which tone, and that no pixel of a face has a say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from card_painter import CardPainter, request
from drawn_faces import write_faces
from faulty import GAN, stand_ins, street_clip

from vidanon.models.appearance import FINER
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.layout import CANONICAL
from vidanon.models.surroundings import KIND, Surroundings, colour_of, skin_colour, tone_of
from vidanon.pipeline import render as render_stage
from vidanon.pipeline import run as run_stage
from vidanon.pipeline.casting import LOOKS, Person, _poses
from vidanon.pipeline.events import Event, StageDone
from vidanon.plan.store import Plan
from vidanon.render.blend import toned
from vidanon.render.casting import AS_DRAWN, Look, choose, look
from vidanon.render.compose import FaceRenderer
from vidanon.render.generate import FacePainter
from vidanon.render.identity import latent, person, unnamed
from vidanon.render.jobs import FaceJob, PaintedFace
from vidanon.settings import RenderSettings
from vidanon.train.batches import CropSampler
from vidanon.train.faces import load_faces
from vidanon.train.surroundings import fit_surroundings, kinds_of_patterns, looked_at, measured, vectors
from vidanon.types import FACE_POINT_INDEX, FloatArray, ImageArray, Observation

TINY = GeneratorConfig(resolution=32, latent_dim=6, appearance_px=24, width=128, max_channels=16)
KEY = bytes(range(32))


def world(count: int = 2000, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Facts and truths of a world in which the first facts tell skin and some of what kind of person somebody is."""
    random = torch.Generator().manual_seed(seed)
    facts = torch.randn(count, facts_of_tiny(), generator=random)
    truth = 0.1 * torch.randn(count, 3 + KIND, generator=random)
    truth[:, :3] = torch.tensor([-0.6, 0.3, -0.2]) + 0.1 * facts[:, :3] + 0.1 * truth[:, :3]
    truth[:, 3:6] += facts[:, 3:6]
    return facts, truth


def facts_of_tiny() -> int:
    """How many facts the tiny generator has."""
    return int(Generator(TINY).surroundings.readout.shape[1])


@pytest.fixture(scope="module")
def fitted() -> Generator:
    """A generator that knows the world, with five patterns."""
    torch.manual_seed(0)
    generator = Generator(TINY).eval()
    side = FINER * TINY.appearance_px
    pictures = [cv2.imencode(".webp", np.full((side, side, 3), 100 + 10 * i, np.uint8))[1].ravel() for i in range(5)]
    model = generator.appearance
    model.cover.fill_(1)
    model.pictures = torch.from_numpy(np.concatenate(pictures))
    model.ends = torch.tensor([len(picture) for picture in pictures]).cumsum(0)
    model.patterns = torch.zeros(5, TINY.latent_dim)
    kinds = torch.zeros(5, KIND)
    kinds[:, :3] = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 0]])
    fit_surroundings(generator, *world(), kinds)
    return generator


def test_what_surroundings_tell_is_expected_of_people_nothing_was_fitted_to(fitted: Generator) -> None:
    """Skin and kind of strangers; whose kind is expected suits best."""
    facts, truth = world(100, seed=1)
    own = fitted.surroundings
    told = own(facts)
    assert own.known
    assert (tone_of(told.colour) - truth[:, :3]).abs().mean() < 0.04  # 0.08 from the mean tone
    assert np.corrcoef(told.kind[:, 0].numpy(), truth[:, 3].numpy())[0, 1] > 0.9
    for kind in torch.eye(3)[:2]:
        expected = torch.cat([kind, torch.zeros(KIND - 3)])
        assert int(own.suits(torch.arange(5), expected).argmax()) == (0 if kind[0] else 2)
        assert int(own.suits(torch.arange(5), -expected).argmax()) == (1 if kind[0] else 3)
    found = measured(fitted, facts, truth)
    assert found["skin_colour_off_dE"] < found["skin_colour_off_dE_of_the_mean"] / 2
    assert found["share_of_faces_nearer_than_the_real_one"] < 0.1


def test_nobody_is_expected_to_have_a_colour_that_nobody_has(fitted: Generator) -> None:
    """Facts far beyond all that were seen stay within the colours of the faces that were."""
    far = 50 * torch.ones(1, facts_of_tiny())
    tone = tone_of(fitted.surroundings(far).colour)
    assert (tone >= fitted.surroundings.range[0] - 1e-4).all()
    assert (tone <= fitted.surroundings.range[1] + 1e-4).all()


def test_weights_of_before_expect_nothing() -> None:
    """A file without the readouts loads, and says so; with them it comes back as it was."""
    torch.manual_seed(0)
    state = Generator(TINY).state_dict()
    old = {name: value for name, value in state.items() if not name.startswith("surroundings.")}
    generator = Generator(TINY)
    generator.load_state_dict(old)
    assert not generator.surroundings.known
    painter = FacePainter(generator, "cpu")
    assert not painter.expects
    assert not FaceRenderer(RenderSettings(), KEY, "cpu", painter).casts


def test_skin_is_looked_at_on_cheeks_and_nose_as_far_as_they_are_shown() -> None:
    """Eyes, lips and all that is not face have no say; where nothing is shown there is no colour."""
    size = 64
    image = torch.zeros(1, 3, size, size)
    x0, x1 = (int(size * float(CANONICAL[FACE_POINT_INDEX[n], 0])) for n in ("right_eye", "left_eye"))
    y0, y1 = (int(size * float(CANONICAL[FACE_POINT_INDEX[n], 1])) for n in ("right_eye", "mouth_right"))
    image[:, 0, y0 + 2 : y1 - 1, x0 - 6 : x1 + 7] = 0.8
    face = torch.zeros(1, 1, size, size)
    face[:, :, 10:-10, 10:-10] = 1
    colour = skin_colour(image, CANONICAL[None], face)[0]
    assert float(colour[0]) == pytest.approx(0.8, abs=0.08)
    assert float(colour[1]) == 0
    assert torch.isnan(skin_colour(image, CANONICAL[None], face * 0)).all()


def test_another_tone_leaves_black_and_the_edge_alone_and_never_burns_out() -> None:
    """In the middle colours are multiplied, what would be too light bends; at the mask's edge nothing jumps."""
    side = 48
    visible = np.ones((side, side), np.bool_)
    visible[8:-8, 8:-8] = False
    crop = np.full((side, side, 3), 0.4, np.float32)
    crop[20, 20], crop[21, 21], crop[22, 22] = 0, 0.8, 0.9
    out = toned(crop, visible, np.array([0.7, 1.0, 1.5], np.float32))
    np.testing.assert_allclose(out[24, 24], [0.28, 0.4, 0.6], atol=1e-5)
    assert (out[20, 20] == 0).all()
    assert 0.85 < out[21, 21, 2] < out[22, 22, 2] < 1
    assert np.array_equal(out[visible], crop[visible])
    assert np.abs(np.diff(out[24, :, 0])).max() < 0.07
    assert toned(crop, visible, np.ones(3, np.float32)) is crop


def test_who_suits_is_of_the_same_kind_and_no_likeness() -> None:
    """What differs most among people is to be as expected, the rest of it is not: a likeness would be recognized."""
    own = Surroundings({4: 2, 8: 2, 16: 2})
    kinds = torch.zeros(8, KIND)
    for axis, size in enumerate((4.0, 3.0, 2.0, 0.5)):  # pairs, at either end of an axis
        kinds[2 * axis, axis], kinds[2 * axis + 1, axis] = size, -size
    own.kinds = kinds
    expected = torch.zeros(KIND)
    for axis, size in ((0, 4.0), (1, 3.0), (2, 2.0)):
        same = expected.clone()
        same[axis] = size
        assert int(own.suits(torch.arange(8), same).argmax()) == 2 * axis
    peculiar = expected.clone()
    peculiar[3] = 0.5
    like, unlike = own.suits(torch.tensor([6, 7]), peculiar).tolist()
    assert like < unlike


def test_who_suits_best_is_taken_unless_somebody_else_has_that_face() -> None:
    """The nearest candidate; the next one of another pattern once that is taken; the nearest again if all are."""
    painter = CardPainter()
    seen = look(painter, request(0.6))  # type: ignore[arg-type]
    assert seen is not None
    latents = np.array([[0.9] * 6, [0.61] * 6, [0.4] * 6], np.float32)
    assert choose(painter, [seen], latents, ()) == 1  # type: ignore[arg-type]
    assert choose(painter, [seen], latents, {1}) == 2  # type: ignore[arg-type]
    assert choose(painter, [seen], latents, {0, 1}) == 1  # type: ignore[arg-type]
    assert choose(painter, [], latents, ()) == 0  # type: ignore[arg-type]
    assert choose(painter, [], latents, {1}) == 2  # type: ignore[arg-type]


def test_too_little_around_a_face_tells_nothing() -> None:
    """A crop that is hidden but for a corner is no look."""
    seen = request(0.6)
    hidden = np.ones((32, 32), np.bool_)
    hidden[:4, :4] = False
    assert look(CardPainter(), replace(seen, hidden=hidden)) is None  # type: ignore[arg-type]


def renderer(generator: Generator, **options: object) -> FaceRenderer:
    """A renderer with a generator that knows something."""
    return FaceRenderer(RenderSettings(**options), KEY, "cpu", FacePainter(generator, "cpu"))  # type: ignore[arg-type]


def job(r: FaceRenderer, identity: str, *, seed: int = 0, under: int | None = None) -> FaceJob:
    """A face in the middle of a noisy picture; `under` seeds what lies under its mask."""
    width = height = 160
    points = np.asarray(CANONICAL.numpy() * 96 + 32, np.float32)
    o = Observation(0, 1, np.array([50, 45, 110, 120], np.float32), points, 0.9, "detected")
    rgb = np.random.default_rng(seed).random((height, width, 3), np.float32)
    if under is not None:
        rgb[50:115, 55:105] = np.random.default_rng(under).random((65, 50, 3), np.float32)
    region = r.region(o, width, height)
    assert region is not None
    pixels = rgb[region.y0 : region.y1, region.x0 : region.x1]
    return FaceJob(o, identity, pixels, region, width, height)


def test_no_pixel_of_the_face_has_a_say(fitted: Generator) -> None:
    """Looks and casts are the same bits whatever lies under the mask, and others for other surroundings."""
    r = renderer(fitted, candidates=16)
    who = person("track-1", "clip.mp4")

    def seen(**options: int) -> Look:
        found = r.look(job(r, who, **options))
        assert found is not None
        return found

    one, two, three = seen(under=1), seen(under=2), seen(seed=5)
    assert np.array_equal(one.colour, two.colour)
    assert np.array_equal(one.kind, two.kind)
    assert not np.array_equal(one.kind, three.kind)
    a, b = (r.cast([r.draw(who, [found], set())])[0] for found in (one, two))
    assert a.draw == b.draw
    assert np.array_equal(a.tone, b.tone)


def test_a_name_is_one_face_in_every_clip_and_a_track_number_is_not(fitted: Generator) -> None:
    """Whoever has a name has the first latent, whatever is around them; tracks get one of theirs; the key decides."""
    r = renderer(fitted, candidates=16)
    assert unnamed(person("track-1", "clip.mp4"))
    assert not unnamed(person("anna", "clip.mp4"))
    one = r.look(job(r, "x"))
    assert one is not None
    random = np.random.default_rng(0)
    seen = [replace(one, kind=random.standard_normal(KIND).astype(np.float32)) for _ in range(8)]
    assert {r.draw(person("anna", "clip.mp4"), [one], set()).number for one in seen} == {0}
    drawn = {r.draw(person("track-1", "clip.mp4"), [one], set()).number for one in seen}
    assert len(drawn) > 1
    assert max(drawn) < 16
    assert {r.draw(person("track-1", "clip.mp4"), [], set()).number} == {0}
    alone = renderer(fitted, candidates=1, tone=0.0)
    assert not alone.casts
    assert renderer(fitted, method="blur").casts is False


def test_the_cast_reaches_the_picture(fitted: Generator) -> None:
    """Another draw is another face, another tone another colour; what is darker than usual is not as dark."""
    r = renderer(fitted)
    plain = job(r, "somebody")
    first = r.render([plain])[0]
    drawn = r.render([replace(plain, cast=replace(AS_DRAWN, draw=3))])[0]
    lit = r.render([replace(plain, cast=replace(AS_DRAWN, tone=np.full(3, 1.4, np.float32)))])[0]
    usual = r.render([replace(plain, cast=replace(AS_DRAWN, lightness=0.0))])[0]
    assert first.method == drawn.method == lit.method == usual.method == "gan"
    assert usual.patch.rgb.mean() > first.patch.rgb.mean()
    assert not np.array_equal(first.patch.rgb, drawn.patch.rgb)
    assert (lit.patch.rgb * lit.patch.alpha[..., None]).mean() > (first.patch.rgb * first.patch.alpha[..., None]).mean()


def test_surroundings_without_a_coarse_level_are_read_all_the_same() -> None:
    """A net of 8 px has no level of 16; its means are left out."""
    small = Surroundings({4: 8, 8: 8})
    kept = {4: torch.ones(2, 8, 4, 4), 8: torch.ones(2, 8, 8, 8)}
    facts = small.facts(kept, CANONICAL.expand(2, -1, -1))
    assert facts.shape == (2, small.readout.shape[1])


class LightEmbedder:
    """Says of a face how light it is, and nothing else."""

    def embed(self, crop: ImageArray) -> FloatArray:
        """[128]"""
        out = np.zeros(KIND, np.float32)
        out[0] = crop[96:160, 96:160].mean() / 255
        return out


def test_patterns_are_told_apart_as_they_are_painted(fitted: Generator, tmp_path: Path) -> None:
    """Vectors are of people as they are, kinds of patterns as they come out on somebody's head."""
    faces = load_faces(write_faces(tmp_path), px=64, split="train")
    sampler = CropSampler(faces, device=torch.device("cpu"), seed=0)
    known = vectors(sampler, LightEmbedder())
    assert known.shape == (sampler.count, KIND)
    assert known[:, 0].std() > 0
    facts, truths = looked_at(fitted, sampler, known, passes=2)
    assert len(facts) == len(truths) <= 2 * len(sampler.images)
    assert facts.shape[1] == facts_of_tiny()
    colours = colour_of(truths[:, :3])
    assert ((colours > 0) & (colours < 1)).all()
    torch.testing.assert_close(tone_of(colours), truths[:, :3])
    kinds = kinds_of_patterns(fitted, sampler, LightEmbedder())
    assert kinds.shape == (5, KIND)
    assert (kinds[1:, 0] > kinds[:-1, 0]).all()  # the drawn patterns get lighter


@pytest.fixture
def street(fitted: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A street of two cards and its plan, to be painted by the generator that knows something."""
    stand_ins(monkeypatch)
    monkeypatch.setattr(FacePainter, "shipped", classmethod(lambda cls, device: cls(fitted, device)))
    source = street_clip(tmp_path / "in.mp4")
    assert run_stage.anonymize([source], tmp_path / "first.mp4", settings=GAN).ok
    return source, tmp_path / "first.mp4.vidanon"


def casts_of(street: tuple[Path, Path], target: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, bytes]]:
    """(draw, tone) by track, of a render of the street."""
    seen: dict[int, tuple[int, bytes]] = {}
    real = FaceRenderer.paint

    def watched(self: FaceRenderer, jobs: Sequence[FaceJob]) -> list[PaintedFace]:
        for one in jobs:
            cast = (one.cast.draw, one.cast.tone.tobytes())
            assert seen.setdefault(one.observation.track, cast) == cast
        return real(self, jobs)

    monkeypatch.setattr(FaceRenderer, "paint", watched)
    told: list[Event] = []
    render_stage.render(*street, target, settings=GAN, key=KEY, listen=told.append)
    monkeypatch.setattr(FaceRenderer, "paint", real)
    assert [event.stage for event in told if isinstance(event, StageDone)] == ["cast", "render"]
    return seen


def test_everybody_in_a_clip_is_cast_once_and_staying_visible_changes_nobody_elses_face(
    fitted: Generator, street: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cast a track in every frame, of different patterns; with one of them kept, the other's is as before."""
    both = casts_of(street, tmp_path / "both.mp4", monkeypatch)
    assert len(both) == 2
    painter = FacePainter(fitted, "cpu")
    patterns = set()
    for number, (draw, _) in both.items():
        z = latent(KEY, person(f"track-{number}", "in.mp4"), painter.latent_dim, truncation=0.9, draw=draw)
        patterns.add(painter.pattern(z))
    assert len(patterns) == 2
    with Plan.open(street[1]) as plan:
        plan.set_action(1, "keep")
    assert casts_of(street, tmp_path / "one.mp4", monkeypatch) == {2: both[2]}


def test_who_has_a_name_is_cast_first(
    fitted: Generator, street: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name's face is given, so the others' are chosen around it, whatever their tracks' numbers."""
    painter = FacePainter(fitted, "cpu")

    def face_of(identity: str, draw: int) -> int | None:
        return painter.pattern(latent(KEY, identity, painter.latent_dim, truncation=0.9, draw=draw))

    first = face_of(person("track-1", "in.mp4"), casts_of(street, tmp_path / "a.mp4", monkeypatch)[1][0])
    name = next(name for name in (f"anna {i}" for i in range(100)) if face_of(name, 0) == first)
    with Plan.open(street[1]) as plan:
        plan.set_name(2, name)
    casts = casts_of(street, tmp_path / "b.mp4", monkeypatch)
    assert casts[2][0] == 0
    assert face_of(person("track-1", "in.mp4"), casts[1][0]) != first


def test_a_kept_face_is_no_part_of_what_is_looked_at_next_to_it(street: tuple[Path, Path]) -> None:
    """Looks hide every face that is covered, and take place where a face was surely seen, spread over its time."""
    with Plan.open(street[1]) as plan:
        people = {track.number: Person(f"clip\0{track.identity}", None) for track in plan.tracks()}
        poses = _poses(plan, people, frozenset(people))
        alone = _poses(plan, people, frozenset())
    assert {number for number, _ in poses} == set(people)
    for (number, _), pose in poses.items():
        assert pose.face.track == number
        assert pose.face.source == "detected"
        assert all(other.track != number for other in pose.others)
    assert len({pose.face.frame for (number, _), pose in poses.items() if number == 1}) == LOOKS
    assert any(pose.others for pose in poses.values())
    assert not any(pose.others for pose in alone.values())
