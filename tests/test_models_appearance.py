"""The appearance model: keypoints made whole, warps that land where they should, people that stay themselves."""

from __future__ import annotations

import pytest
import torch
from drawn_faces import write_faces

from vidanon import geometry
from vidanon.models.appearance import Appearance, features
from vidanon.models.layout import CANONICAL, controls, grid, kept, settled, unfolded, warp_field
from vidanon.train.appearance import codes, cover_of, fit, gather, independent, shape_free, unlit
from vidanon.train.batches import CropSampler
from vidanon.train.faces import load_faces
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
    shown = model(points, torch.zeros(1, 8), 64)[0, 3]
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
    """Painted at two places and brought back, the same features; another latent, others; beyond the face, nothing."""
    model, _, _ = met
    latent = torch.randn(1, 40, generator=torch.Generator().manual_seed(2))
    here, there = CANONICAL[None], moved(1.2, 0.25, (0.04, 0.02))
    back = [shape_free(model(p, model.person(latent), 96), p, 32) for p in (here, there)]
    other = shape_free(model(here, model.person(-latent), 96), here, 32)
    assert (back[0] - back[1]).abs().mean() < 0.25 * (back[0] - other).abs().mean()
    assert model(here, latent, 96)[:, :, 0].abs().max() == 0


def test_people_nobody_is_have_traits_as_the_people_met_have_them(
    met: tuple[Appearance, torch.Tensor, CropSampler],
) -> None:
    """Codes drawn spread like the known ones, without their extremes; what sets a face's halves apart is damped."""
    model, known, _ = met
    drawn = model.person(torch.randn(2000, 40, generator=torch.Generator().manual_seed(3)))
    image = model.axes.unflatten(1, (3, 32, 32))
    used = model.axes.abs().sum(1) > 0
    even = ((image * image.flip(-1)).sum((1, 2, 3)) > 0) & used
    odd = ~even & used
    assert even.any()
    assert odd.any()
    assert 0.4 < drawn[:, even].std(0).mean() / known[:, even].std(0).mean() < 1.05
    assert drawn[:, odd].std(0).max() < 0.3
    assert torch.equal(model.person(torch.full((1, 40), 9.0)), model.person(torch.full((1, 40), 5.5)))


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
    assert model(CANONICAL[None], torch.ones(1, 8), 64).abs().max() == 0
