"""The generator and discriminator at their borders, and the losses."""

from __future__ import annotations

import pytest
import torch

from vidanon.models.discriminator import Discriminator
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.layers import PointMaps
from vidanon.models.layout import CANONICAL
from vidanon.train import losses
from vidanon.types import FACE_POINT_INDEX

TINY = GeneratorConfig(resolution=32, latent_dim=16, appearance_px=24, width=128, max_channels=16)


def inputs(batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    context = torch.rand(batch, 3, size, size, generator=random) * 2 - 1
    hidden = torch.zeros(batch, 1, size, size)
    hidden[:, :, size // 4 : -size // 4, size // 4 : -size // 4] = 1
    points = CANONICAL + 0.05 * torch.rand(batch, 30, 2, generator=random)
    return context * (1 - hidden), hidden, points, torch.randn(batch, TINY.latent_dim, generator=random)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_one_generator_runs_at_every_size_it_grew_through(size: int) -> None:
    """The output has the crop's shape at each power of two, and is finite."""
    torch.manual_seed(0)
    out = Generator(TINY)(*inputs(2, size))
    assert out.shape == (2, 3, size, size)
    assert torch.isfinite(out).all()


def test_a_size_it_does_not_know_is_refused_with_what_was_given() -> None:
    """Shapes are checked at the border, not deep inside a convolution."""
    with pytest.raises(ValueError, match="do not fit"):
        Generator(TINY)(*inputs(2, 64))


def test_unknown_keypoints_leave_an_empty_map_and_a_finite_face() -> None:
    """NaN means unknown: no face is refused for it."""
    torch.manual_seed(0)
    context, hidden, points, latent = inputs(2, 32)
    points[:, 3:] = torch.nan
    assert torch.isfinite(Generator(TINY)(context, hidden, points, latent)).all()
    assert torch.isfinite(Generator(TINY)(context, hidden, points * torch.nan, latent)).all()
    maps = PointMaps()(points, 16)
    assert maps[:, 3:].abs().max() == 0
    assert maps[:, :3].amax((2, 3)).min() > 0.3


def test_a_keypoint_map_peaks_where_the_point_is() -> None:
    """x runs along the last axis, y along the one before."""
    peak = PointMaps()(torch.tensor([[[0.25, 0.75]]]), 32)[0, 0]
    assert divmod(int(peak.argmax()), 32) in {(23, 7), (23, 8), (24, 7), (24, 8)}


def test_the_latent_and_the_points_reach_the_output() -> None:
    """Another latent, or an open mouth, changes the face."""
    torch.manual_seed(0)
    generator = Generator(TINY)
    context, hidden, points, latent = inputs(1, 32)
    first = generator(context, hidden, points, latent)
    assert (generator(context, hidden, points, -latent) - first).abs().max() > 1e-3
    moved = points.clone()
    moved[:, FACE_POINT_INDEX["lip_lower_inner"]] += 0.1
    assert (generator(context, hidden, moved, latent) - first).abs().max() > 1e-4


def test_the_discriminator_judges_each_size_and_passes_gradients() -> None:
    """Logits are one a crop; R1 can differentiate them twice."""
    torch.manual_seed(0)
    discriminator = Discriminator(TINY)
    context, hidden, points, _ = inputs(4, 32)
    context.requires_grad_()
    logits = discriminator(context, hidden, points)
    assert logits.shape == (4,)
    losses.r1(logits, context).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())


def test_matching_compares_what_the_discriminator_sees_at_each_size() -> None:
    """The same picture costs nothing, a soft one less than another one; all sizes below the crop are looked at."""
    torch.manual_seed(0)
    discriminator = Discriminator(TINY)
    _, hidden, points, _ = inputs(4, 32)
    sharp = torch.rand(4, 3, 32, 32) * 2 - 1
    soft = sharp + (torch.nn.functional.avg_pool2d(sharp, 3, 1, 1) - sharp) * 0.3
    (_, one), (_, two), (logits, other) = (discriminator.look(x, hidden, points) for x in (sharp, soft, -sharp))
    assert sorted(one) == [4, 8, 16]
    assert torch.equal(logits, discriminator(-sharp, hidden, points))
    assert losses.matching(one, one) == 0
    assert 0 < losses.matching(two, one) < losses.matching(other, one)


def test_likeness_asks_for_features_and_not_for_tone_or_contrast() -> None:
    """The person asked for, in another light, is that person; somebody else, or nobody, is not."""
    random = torch.Generator().manual_seed(1)
    face, cover = torch.ones(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    one, other = torch.rand(2, 1, 3, 32, 32, generator=random)
    asked = torch.cat([one, cover], 1)
    assert losses.likeness(0.4 * one - 0.3, asked, face) < 0.02
    assert losses.likeness(other, asked, face) > 0.8
    assert losses.likeness(torch.zeros_like(one), asked, face).item() == pytest.approx(1)


def test_the_terms_look_only_where_they_should() -> None:
    """Reconstruction and colour see the hidden part, the seam term the ring around it."""
    _, hidden, _, _ = inputs(1, 32)
    image = torch.zeros(1, 3, 32, 32)
    outside = torch.zeros_like(hidden)
    far = torch.ones_like(image) * (hidden == 0)
    assert losses.reconstruction(far, image, hidden) == 0
    assert losses.low_frequency(far, image, hidden) == 0
    assert losses.seam(far, image, hidden, outside) > 0.9
    inside = torch.ones_like(image) * hidden
    assert losses.seam(inside, image, hidden, outside) == 0
    assert losses.reconstruction(inside, image, hidden) > 0.9


def test_detail_is_missed_however_wrong_the_tone_is() -> None:
    """A soft face costs clearly more than a crisp one where both are too light, as nearly every guess is."""
    hidden = torch.ones(1, 1, 32, 32)
    image = 0.1 * torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    soft = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    crisp, faint = (losses.reconstruction(face + 0.3, image, hidden) for face in (image, soft))
    assert faint > 1.5 * crisp
    assert losses.reconstruction(image, image, hidden) == 0


def test_a_face_that_moves_with_its_crop_is_steady_and_one_that_stays_is_not() -> None:
    """The term compares through the grid: the warped picture itself costs nothing."""
    random = torch.Generator().manual_seed(0)
    painted = torch.rand(2, 3, 32, 32, generator=random)
    shift = torch.tensor([[1.0, 0, 0.25], [0, 1, 0]]).expand(2, 2, 3)
    grid = torch.nn.functional.affine_grid(shift, [2, 3, 32, 32], align_corners=False)
    moved = torch.nn.functional.grid_sample(painted, grid, padding_mode="border", align_corners=False)
    face = torch.ones(2, 1, 32, 32)
    assert losses.equivariance(painted, moved, grid, face).item() == pytest.approx(0, abs=1e-6)
    assert losses.equivariance(painted, painted, grid, face) > 0.1
