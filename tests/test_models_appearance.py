"""The appearance model: keypoints made whole, warps that land where they should, people that stay themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import write_faces

from vidanon import geometry
from vidanon.errors import InputError
from vidanon.models.appearance import FINER, Appearance, Person, bare, features, scaled
from vidanon.models.layout import CANONICAL, SHUT, controls, grid, kept, laid_out, parted, settled, unfolded, warp_field
from vidanon.train.appearance import Gathered, codes, cover_of, details, fit, gather, independent, shape_free, unlit
from vidanon.train.batches import CropSampler
from vidanon.train.faces import load_faces
from vidanon.train.patterns import CLOSED, add_patterns, plainest, portable, rows_of
from vidanon.types import FACE_POINT_INDEX

FACIAL = [i for name, i in FACE_POINT_INDEX.items() if not name.endswith(("_ear", "_shoulder"))]


def moved(zoom: float, angle: float, shift: tuple[float, float]) -> torch.Tensor:
    """[1, 30, 2] the canonical face somewhere else."""
    matrix = geometry.similarity(zoom, angle, (0.5, 0.5), (0.5 + shift[0], 0.5 + shift[1]))
    return torch.from_numpy(geometry.apply(matrix, CANONICAL.numpy())).float()[None]


def test_unknown_points_lie_where_the_known_ones_put_them() -> None:
    """Half of the points of a turned, moved, smaller face give the other half."""
    whole = moved(0.8, 0.3, (0.05, -0.03))
    some = whole.clone()
    some[:, FACIAL[::2]] = torch.nan
    torch.testing.assert_close(settled(some)[:, FACIAL], whole[:, FACIAL], atol=2e-3, rtol=0)


def test_without_points_the_face_is_the_canonical_one_and_one_point_moves_it() -> None:
    """Nothing known is no error, and a single point says where, not how large."""
    nothing = torch.full((1, 30, 2), torch.nan)
    torch.testing.assert_close(settled(nothing), CANONICAL[None], atol=1e-5, rtol=0)
    one = nothing.clone()
    one[:, FACE_POINT_INDEX["nose"]] = CANONICAL[FACE_POINT_INDEX["nose"]] + 0.1
    torch.testing.assert_close(settled(one), CANONICAL[None] + 0.1, atol=1e-4, rtol=0)


def test_a_stray_point_does_not_tear_the_face() -> None:
    """One eye reported in the corner of the crop is pulled back, its neighbours hardly move."""
    points = CANONICAL[None].clone()
    points[:, FACE_POINT_INDEX["left_eye"]] = torch.tensor([-3.0, 4.0])
    back = settled(points)
    assert (back[0, FACE_POINT_INDEX["left_eye"]] - CANONICAL[FACE_POINT_INDEX["left_eye"]]).norm() < 1.2
    points[:, FACE_POINT_INDEX["left_eye"]] = CANONICAL[FACE_POINT_INDEX["left_eye"]] + torch.tensor([0.0, 0.35])
    back = settled(points)
    assert (back - CANONICAL)[0, FACIAL].norm(dim=-1).max() < 0.35


def test_the_warp_takes_every_point_to_its_goal() -> None:
    """At the pins the thin plate is where it is asked to be, but for its stiffness; between them it is smooth."""
    pins = controls(moved(0.9, -0.2, (0.02, 0.03)))
    goals = controls(CANONICAL[None])
    landed = warp_field(pins, goals, pins[0])
    assert (landed - goals).norm(dim=-1).max() < 0.03
    same = warp_field(goals, goals, grid(16, like=goals))
    torch.testing.assert_close(same[0], grid(16, like=goals), atol=1e-4, rtol=0)


DEPTH = {"nose": 0.0, "_eye": 0.14, "_pupil": 0.14, "_lid": 0.14, "brow_inner": 0.07, "brow_outer": 0.17,
         "mouth_": 0.14, "lip_": 0.08, "jaw_4": 0.15, "jaw_3": 0.2, "jaw_5": 0.2, "jaw_": 0.31}  # fmt: skip
"""depth of the canonical face, in crops, first name that fits"""


def turned(degrees: float) -> torch.Tensor:
    """[1, 30, 2] the canonical face, its head turned towards the right of the picture."""
    points = CANONICAL[None].clone()
    angle = torch.deg2rad(torch.tensor(degrees))
    for name, i in FACE_POINT_INDEX.items():
        depth = next((value for part, value in DEPTH.items() if part in name), 0.3) - 0.2
        points[0, i, 0] = 0.5 + (points[0, i, 0] - 0.5) * angle.cos() - depth * angle.sin()
    return points


@pytest.mark.parametrize("crossed", [0.0, 0.01])
def test_a_shut_eye_stays_shut(crossed: float) -> None:
    """Lids that meet, or cross by a landmarker's error, squeeze the eye between them instead of letting go of it."""
    upper, lower = FACE_POINT_INDEX["right_lid_upper"], FACE_POINT_INDEX["right_lid_lower"]
    shut = CANONICAL[None].clone()
    shut[:, [upper, lower], 1] = shut[:, [upper, lower], 1].mean()
    shut[:, upper, 1] += crossed / 2
    shut[:, lower, 1] -= crossed / 2
    apart = parted(shut)
    home = CANONICAL[lower, 1] - CANONICAL[upper, 1]
    assert float(apart[0, lower, 1] - apart[0, upper, 1]) == pytest.approx(SHUT * float(home), rel=0.01)
    others = [i for i in FACIAL if i not in {upper, lower}]
    torch.testing.assert_close(parted(shut)[:, others], shut[:, others])
    torch.testing.assert_close(parted(CANONICAL[None])[:, FACIAL], CANONICAL[None, FACIAL])

    def passed(points: torch.Tensor) -> float:
        """Rows of the canonical face that one px of the crop shows between the lids."""
        x, y = points[0, [upper, lower]].mean(0)
        field = laid_out(points, 256)[0][0, :, int(x * 256), 1]
        return float(field[int(y * 256) + 2] - field[int(y * 256) - 2]) * 64

    assert passed(shut) > 1.3 * passed(CANONICAL[None])


def test_where_a_lid_goes_no_brow_follows() -> None:
    """An eye that shuts pulls at the skin below the brow, not at the brow."""
    shut = CANONICAL[None].clone()
    lids = [FACE_POINT_INDEX["right_lid_upper"], FACE_POINT_INDEX["right_lid_lower"]]
    shut[:, lids, 1] = shut[:, lids, 1].mean() + 0.01
    brow = CANONICAL[[FACE_POINT_INDEX["right_brow_outer"], FACE_POINT_INDEX["right_brow_inner"]]].mean(0)
    x, y = (int(v * 256) for v in brow)
    pulled = (laid_out(shut, 256)[0] - laid_out(CANONICAL[None], 256)[0])[0, :, x, 1]
    assert pulled[y - 4 : y + 3].abs().max() < 0.003
    assert pulled[int(float(shut[0, lids[0], 1]) * 256)].abs() > 0.01


def test_where_a_lip_goes_no_nostril_follows() -> None:
    """A mouth that opens pulls at the skin below the nose, hardly at the nose."""
    open_ = CANONICAL[None].clone()
    open_[:, FACE_POINT_INDEX["lip_upper_inner"], 1] -= 0.012
    open_[:, FACE_POINT_INDEX["lip_lower_inner"], 1] += 0.04
    pulled = (laid_out(open_, 256)[0] - laid_out(CANONICAL[None], 256)[0])[0, :, 128, 1]
    assert pulled[int(0.545 * 256)].abs() < 0.003
    assert pulled[int(0.6 * 256)].abs() > 0.006


def test_a_face_that_looks_ahead_hides_nothing() -> None:
    """Pins are where the keypoints are, and all of them hold; also with closed eyes and an open mouth."""
    points = CANONICAL[None].clone()
    for side in ("right", "left"):
        points[:, FACE_POINT_INDEX[f"{side}_lid_upper"]] = points[:, FACE_POINT_INDEX[f"{side}_lid_lower"]]
    points[:, FACE_POINT_INDEX["lip_lower_inner"], 1] += 0.08
    open_, hidden = unfolded(points)
    torch.testing.assert_close(open_[:, FACIAL], points[:, FACIAL])
    assert hidden[:, FACIAL].max() < 1e-3
    field = warp_field(controls(open_), controls(CANONICAL[None]), grid(64, like=points)).unflatten(1, (64, 64))
    assert kept(field)[0, 0, 5:12, 5:12].min() > 0.9


@pytest.mark.parametrize("degrees", [-75.0, -60.0, 60.0, 75.0])
def test_in_profile_the_hidden_half_lets_go_and_nothing_is_painted_beyond_the_face(degrees: float) -> None:
    """The far eye and jaw are hidden, the near ones are not; where the model shows itself its warp does not fold."""
    points = turned(degrees)
    open_, hidden = unfolded(points)
    near, far = ("right", "left") if degrees > 0 else ("left", "right")
    assert hidden[0, FACE_POINT_INDEX[f"{far}_eye"]] > 0.9
    assert hidden[0, FACE_POINT_INDEX["jaw_7" if degrees > 0 else "jaw_1"]] > 0.9
    assert hidden[0, FACE_POINT_INDEX[f"{near}_eye"]] == 0
    assert hidden[0, FACE_POINT_INDEX["jaw_1" if degrees > 0 else "jaw_7"]] == 0
    model = Appearance(8, 24)
    model.cover.fill_(1)
    shown = model(points, model.person(torch.zeros(1, 8)), 64)[0, 3]
    assert shown.max() > 0.9
    front = points[0, FACIAL, 0].max() if degrees > 0 else 1 - points[0, FACIAL, 0].min()
    beyond = shown if degrees > 0 else shown.flip(1)
    assert beyond[:, int((front + 0.04) * 64) :].max() < 0.05
    assert (open_[0, :, 1] == points[0, :, 1]).all()


def test_what_folds_is_not_kept() -> None:
    """A mirrored half and a squeezed one fade, what lies open stays."""
    at = grid(64, like=CANONICAL).unflatten(0, (64, 64))[None].clone()
    assert kept(at).min() == 1
    folded = at.clone()
    folded[..., 0] = (folded[..., 0] - 0.5).abs()
    assert kept(folded)[0, 0, 8, 2] == 0
    assert kept(folded)[0, 0, 8, 13] == 1
    squeezed = at.clone()
    squeezed[..., 0] *= 6
    assert kept(squeezed).max() == 0


def test_features_see_the_mouth_open_and_the_head_turn() -> None:
    """An open mouth is not a turned head."""
    still = features(CANONICAL[None])
    open_mouth = CANONICAL[None].clone()
    open_mouth[:, FACE_POINT_INDEX["lip_lower_inner"], 1] += 0.05
    turned = CANONICAL[None].clone()
    turned[:, FACE_POINT_INDEX["nose"], 0] += 0.05
    assert (features(open_mouth) - still).abs()[0].argmax() == 5
    assert (features(turned) - still)[0, [0, 2]].min() > 0.1
    assert (features(turned) - still)[0, 5] == 0


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> tuple[Appearance, torch.Tensor, CropSampler]:
    """A model of a dozen drawn people, their codes, and the people."""
    torch.set_num_threads(1)
    faces = load_faces(write_faces(tmp_path_factory.mktemp("faces")), px=128, split="train")
    sampler = CropSampler(faces, device=torch.device("cpu"), seed=1)
    gathered = gather(sampler, px=32)
    model = fit(gathered, latent_dim=40, px=32)
    return model, codes(model, gathered), sampler


def test_a_code_paints_its_own_face_best(met: tuple[Appearance, torch.Tensor, CropSampler]) -> None:
    """Asked for a training face's code, the model shows what is peculiar to that face and not to the others."""
    model, known, sampler = met
    count = sampler.count
    crops = sampler.batch(torch.arange(count), 64, jitter=0.0, photometric=False)
    _, core = cover_of(32)
    points = settled(crops.points)
    real = unlit(shape_free(crops.image, points, 32), core) * model.cover
    made = model.texture(known[:count], features(points)) * model.cover
    distance = (made[:, None] - real[None]).flatten(2).norm(dim=-1)
    assert (distance.argmin(1) == torch.arange(count)).float().mean() > 0.9


def test_a_person_is_the_same_wherever_the_points_say(met: tuple[Appearance, torch.Tensor, CropSampler]) -> None:
    """Painted at two places and brought back, the same features; another code, others; beyond the face, nothing."""
    model, known, _ = met
    people = Person(known[:8], known.new_zeros(8, 3, 32, 32))
    here, there = (p.expand(8, -1, -1) for p in (CANONICAL[None], moved(1.2, 0.25, (0.04, 0.02))))
    back = [shape_free(model(p, people, 96), p, 32) for p in (here, there)]
    assert (back[0] - back[1]).abs().mean() < 0.25 * (back[0] - back[0].roll(1, 0)).abs().mean()
    assert model(here, people, 96)[:, :, 0].abs().max() == 0


def test_people_nobody_is_have_traits_as_the_people_met_have_them(
    met: tuple[Appearance, torch.Tensor, CropSampler],
) -> None:
    """Codes drawn spread like the known ones, without their extremes; what sets a face's halves apart is damped."""
    model, known, _ = met
    drawn = model.traits_of(torch.randn(2000, 40, generator=torch.Generator().manual_seed(3)))
    image = model.axes.unflatten(1, (3, 32, 32))
    used = model.axes.abs().sum(1) > 0
    even = ((image * image.flip(-1)).sum((1, 2, 3)) > 0) & used
    odd = ~even & used
    assert even.any()
    assert odd.any()
    assert 0.35 < drawn[:, even].std(0).mean() / known[:, even].std(0).mean() < 1.05
    assert drawn[:, odd].std(0).max() < 0.3
    assert torch.equal(model.traits_of(torch.full((1, 40), 9.0)), model.traits_of(torch.full((1, 40), 5.5)))


def test_independent_traits_are_found_in_a_mixture() -> None:
    """Sparse causes, mixed at random, come back one by one."""
    random = torch.Generator().manual_seed(4)
    causes = torch.randn(4000, 5, generator=random) ** 3 / 15**0.5
    mixed = causes @ torch.linalg.qr(torch.randn(5, 5, generator=random))[0]
    found = mixed @ torch.linalg.pinv(independent(mixed))
    likeness = torch.corrcoef(torch.cat([causes, found], 1).T)[:5, 5:].abs()
    assert likeness.max(1).values.min() > 0.95


def test_a_fresh_model_is_nobody() -> None:
    """Before it is fitted, every latent gives the same blank."""
    model = Appearance(8, 24)
    assert model(CANONICAL[None], model.person(torch.ones(1, 8)), 64).abs().max() == 0


def calm(gathered: Gathered) -> Gathered:
    """The same faces as if they looked ahead, with open eyes and closed lips: those drawn for tests mostly speak."""
    facts = gathered.facts.clone()
    facts[:, [0, 5]], facts[:, 9:11] = 0.0, 0.1
    return Gathered(gathered.data, facts)


@pytest.fixture(scope="module")
def patterned(met: tuple[Appearance, torch.Tensor, CropSampler]) -> Appearance:
    """The model of the drawn people with whom of them may be a pattern."""
    model, _, sampler = met
    made = Appearance(40, 32)
    made.load_state_dict(model.state_dict())
    gathered = calm(gather(sampler, px=32))
    add_patterns(made, sampler, gathered, plainest(made, gathered, sampler.patterns, most=3))
    return made


def test_only_synthetic_people_with_closed_lips_are_patterns(met: tuple[Appearance, torch.Tensor, CropSampler]) -> None:
    """Whoever may live, speaks or blinks is none; with nobody synthetic there are none, and no error."""
    model, _, sampler = met
    gathered, count = calm(gather(sampler, px=32)), sampler.count
    speaks, blinks = sampler.patterns.nonzero()[:2, 0]
    gathered.facts[speaks, 5], gathered.facts[blinks, 9] = 2 * CLOSED, 0.01
    rows = plainest(model, gathered, sampler.patterns, most=99)
    assert 1 <= len(rows) < count
    assert sampler.patterns[rows].all()
    assert not sampler.patterns.all()
    assert not {int(speaks), int(blinks)} & set(rows.tolist())
    assert len(plainest(model, gathered, torch.zeros(count, dtype=torch.bool), most=99)) == 0
    assert len(plainest(model, gathered, sampler.patterns, most=1)) == 1


def test_the_plainest_faces_come_first() -> None:
    """Of like faces one with a hat, one with glasses and one lit from a side are among the last."""
    random = torch.Generator().manual_seed(5)
    px, count = 48, 30
    model = Appearance(8, px)
    cover, _ = cover_of(px)
    model.cover.copy_(cover[None])
    faces = 0.3 * torch.randn(count, 3, px, px, generator=random)
    x, y = grid(px, low=0.14, high=0.86, like=faces).unflatten(0, (px, px)).unbind(-1)
    odd = {4: y < 0.29, 11: (((x - 0.5).abs() - 0.11).square() + (y - 0.43).square()).sqrt() < 0.08, 23: x < 0.5}
    for row, where in odd.items():
        faces[row] += 2.0 * where
    facts = torch.zeros(count, 14)
    facts[:, 9:11] = 0.1
    gathered = Gathered((faces * cover.sqrt()).flatten(1).repeat(2, 1), facts.repeat(2, 1))
    rows = plainest(model, gathered, torch.ones(count, dtype=torch.bool), most=count)
    assert not set(rows[: count // 2].tolist()) & set(odd), "each part has its least plain face"


def test_a_pattern_keeps_its_features_and_loses_light_from_one_side(patterned: Appearance) -> None:
    """A quarter of a shadow is left, all of a crooked line, of a highlight what skin may have, of lips nothing."""
    known = torch.zeros(1, 40)
    told = scaled(patterned.mean[None], 64)
    shadow = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    line = torch.zeros(1, 3, 64, 64)
    line[..., 20:22] = 1.0
    lit, drawn = (portable(patterned, face - told, known) + told for face in (shadow, line))
    torch.testing.assert_close(lit[..., :30, 16:48], 0.25 * shadow[..., :30, 16:48], atol=0.05, rtol=0)
    assert drawn[..., :30, 20:22].min() > 0.8
    shine = torch.zeros(1, 3, 64, 64)
    shine[..., 20:44] = 4.0
    dull = portable(patterned, shine - told, known) + told
    forehead, lips = dull[..., :20, 24:40], dull[..., 44:46, 30:34]
    assert 1.6 < forehead.min() <= forehead.max() < 1.81
    torch.testing.assert_close(lips, told[..., 44:46, 30:34], atol=0.1, rtol=0)


def test_patterns_are_listed_as_the_labels_name_them(tmp_path: Path) -> None:
    """Rows of the training faces in the list's order; a name that is not there, and no file at all, are told."""
    folder = write_faces(tmp_path / "faces")
    with np.load(folder / "labels.npz") as stored:
        labels = dict(stored)
    labels["key"] = np.array([f"sheet {i}" for i in range(len(labels["source"]))])
    np.savez(folder / "labels.npz", **labels)
    listed = tmp_path / "patterns.txt"
    listed.write_text("voteview/sheet 7\n\n t2i/sheet 4\n")
    assert rows_of(listed, folder, count=12).tolist() == [3, 0]
    with pytest.raises(InputError, match="such as voteview/sheet 7"):
        rows_of(listed, folder, count=2)
    with pytest.raises(InputError, match="cannot be read"):
        rows_of(tmp_path / "none.txt", folder, count=2)


def test_a_pattern_is_whole_where_codes_alone_are_not(
    met: tuple[Appearance, torch.Tensor, CropSampler], patterned: Appearance
) -> None:
    """Code and detail together show the face they were taken from, to the last level; a code of few axes does not."""
    _, _, sampler = met
    gathered = gather(sampler, px=32)
    few = fit(gathered, latent_dim=2, px=32)
    known = codes(few, gathered)
    rest = details(few, gathered, known)
    points = CANONICAL[None].expand(len(known), -1, -1)
    whole = scaled(few.texture(known, gathered.facts), 32) + rest
    real = gathered.data.unflatten(1, (3, 32, 32)) / few.cover.sqrt().clamp(min=0.2)
    inside = few.cover[0] > 0.5
    x, y = grid(32, low=0.14, high=0.86, like=real).unflatten(0, (32, 32)).unbind(-1)
    slit = ((x - 0.5).abs() < 0.04) & ((y - 0.637).abs() < 0.012)
    mouth = ((x - 0.5).abs() < 0.2) & ((y - 0.637).abs() < 0.05)
    assert (whole - real)[..., inside & ~mouth].abs().max() < 0.01
    assert rest[..., slit].abs().max() < 0.2 * rest[..., inside & ~mouth].abs().max(), "nothing between the lips"
    assert rest[..., inside].abs().mean() > 0.02
    shown = few(points[:2], Person(known[:2], rest[:2]), 64)
    assert (shown - few(points[:2], Person(known[:2], rest[:2] * 0), 64)).abs().max() > 0.2
    stored, first = patterned.detail(0), plainest(patterned, calm(gathered), sampler.patterns, most=1)
    large, facts = gather(sampler, px=32 * FINER, rows=first), calm(gathered).facts[first]
    true = details(patterned, large, codes(patterned, Gathered(gathered.data[first], facts))).float()
    true = portable(patterned, true, codes(patterned, Gathered(gathered.data[first], facts)))
    assert (stored - true[0]).abs().mean() < 0.06


def test_the_first_coordinate_picks_a_pattern_and_the_others_change_it(patterned: Appearance) -> None:
    """Three patterns share the axis evenly; traits differ by little from the pattern's."""
    count = len(patterned.ends)
    latent = torch.randn(300, 40, generator=torch.Generator().manual_seed(6))
    who = patterned.person(latent)
    picked = [next(i for i in range(count) if torch.equal(d, patterned.detail(i))) for d in who.detail]
    assert count == 3
    assert min(picked.count(i) for i in range(count)) > 60
    order = latent[:, 0].argsort()
    assert [picked[i] for i in order] == sorted(picked)
    off = who.code - patterned.patterns[torch.tensor(picked)]
    assert 0 < off.std() < 0.5 * patterned.traits_of(latent).std()
    assert patterned.person(torch.full((1, 40), 40.0)).code.isfinite().all()


def test_an_open_eye_is_not_laid_over_shut_lids(patterned: Appearance) -> None:
    """As the lids of one eye meet, the pattern's eye fades there, and nothing else of it."""
    detail = torch.ones(1, 3, 64, 64)
    open_, winking = torch.full((1, 14), 0.15), torch.full((1, 14), 0.15)
    winking[:, 9] = 0.02
    x, y = grid(64, low=0.14, high=0.86, like=detail).unflatten(0, (64, 64)).unbind(-1)
    eye = ((x - 0.389).abs() < 0.03) & ((y - 0.391).abs() < 0.01)
    assert (patterned.seen(detail, open_) == 1).all()
    assert patterned.seen(detail, winking)[..., eye].max() < 0.3
    assert patterned.seen(detail, winking)[..., (x > 0.5) | (y > 0.45)].min() > 0.99


def test_hair_at_a_temple_is_not_handed_on(patterned: Appearance) -> None:
    """Near the outline above the cheeks nothing is somebody's but a brow; the middle, and jaws, are kept."""
    share = bare(96, like=CANONICAL)
    x, y = grid(96, low=0.14, high=0.86, like=CANONICAL).unflatten(0, (96, 96)).unbind(-1)

    def at(column: float, row: float) -> float:
        return float(share[(y - row).abs() + (x - column).abs() == ((y - row).abs() + (x - column).abs()).min()][0])

    assert at(0.28, 0.27) < 0.3
    assert at(0.27, 0.42) < 0.3
    assert at(0.5, 0.19) < 0.3
    for column, row in ((0.5, 0.4), (0.5, 0.28), (0.39, 0.39), (0.33, 0.33), (0.3, 0.65), (0.5, 0.78)):
        assert at(column, row) > 0.9, (column, row)


def test_as_many_patterns_are_loaded_as_there_are(patterned: Appearance) -> None:
    """Into a model with other patterns or none; weights that know of none give none."""
    other = Appearance(40, 32)
    other.load_state_dict(patterned.state_dict())
    latent = torch.randn(2, 40, generator=torch.Generator().manual_seed(7))
    assert torch.equal(other.person(latent).detail, patterned.person(latent).detail)
    older = {k: v for k, v in patterned.state_dict().items() if k not in {"pictures", "ends", "patterns"}}
    other.load_state_dict(older)
    assert len(other.ends) == 0
    assert torch.equal(other.person(latent).code, other.traits_of(latent))
    broken = Appearance(40, 32)
    broken.load_state_dict({**patterned.state_dict(), "pictures": patterned.pictures * 0})
    with pytest.raises(ValueError, match="pattern 0"):
        broken.person(latent[:1] * 0 - 9)
