"""Blur, mosaic and solid: same area, same edge, no way back."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon.render.align import FacePose, region_of
from vidanon.render.cover import LEVELS, cover
from vidanon.render.mask import FaceMask, face_mask
from vidanon.types import FloatArray, Method, Region

UNKNOWN = np.full((30, 2), np.nan, np.float32)
COVERS: tuple[Method, ...] = ("blur", "mosaic", "solid")


def scene(size: float = 60) -> tuple[FloatArray, FaceMask, Region]:
    """Noise, and the masks of a face in it."""
    pose = FacePose(150, 150, size, 0.2)
    region = region_of(pose, width=300, height=300, feather=0.12)
    assert region is not None
    rgb = np.random.default_rng(0).random((region.height, region.width, 3), dtype=np.float32)
    return rgb, face_mask(pose, UNKNOWN, region, margin=0.1, feather=0.12), region


def test_all_methods_cover_the_same_pixels_with_the_same_edge() -> None:
    """Region and alpha of the three patches are equal, and alpha is 1 on the whole core."""
    rgb, mask, region = scene()
    first, *rest = [cover(m, rgb, mask, region) for m in COVERS]
    for patch in rest:
        assert patch.region == first.region
        assert np.array_equal(patch.alpha, first.alpha)
    assert (first.alpha == 1).sum() == mask.core.sum()


@pytest.mark.parametrize("cells", [1, 4, 6, 50])
@pytest.mark.parametrize("size", [6, 30, 100])
def test_a_mosaic_holds_no_more_than_its_cells(cells: int, size: float) -> None:
    """At most cells x cells different colours, none of them finer than the steps, and no cell under 8 px."""
    rgb, mask, region = scene(size)
    patch = cover("mosaic", rgb, mask, region, mosaic_cells=cells)
    colours = np.unique(patch.rgb.reshape(-1, 3), axis=0)
    assert len(colours) <= min(cells, max(1, max(patch.region.width, patch.region.height) // 8)) ** 2
    assert np.allclose(colours * LEVELS, np.round(colours * LEVELS), atol=1e-4)


def test_a_blur_is_made_from_no_more_than_36_quantised_numbers_a_channel() -> None:
    """Changing the face so that its cell means stay the same leaves the blurred face bit-identical."""
    rgb, mask, region = scene(100)
    grey = np.full_like(rgb, 30 / LEVELS)
    checks = grey.copy()
    checks[::2, ::2] += 0.004
    checks[1::2, 1::2] -= 0.004
    assert np.array_equal(cover("blur", grey, mask, region).rgb, cover("blur", checks, mask, region).rgb)
    blurred = cover("blur", rgb, mask, region).rgb
    power = np.square(np.abs(np.fft.fft2(blurred[..., 0] - blurred[..., 0].mean())))
    low = np.minimum(np.arange(len(power)), len(power) - np.arange(len(power))) <= 8
    assert power[np.ix_(low, low)].sum() > 0.9 * power.sum()
    assert np.ptp(blurred) > 0.01


def test_a_blur_follows_the_light_of_the_scene() -> None:
    """A face half dark, half bright is still so when blurred."""
    rgb, mask, region = scene(100)
    rgb[:, : region.width // 2] = 0.1
    rgb[:, region.width // 2 :] = 0.9
    patch = cover("blur", rgb, mask, region)
    assert patch.rgb[:, :20].mean() < 0.3
    assert patch.rgb[:, -20:].mean() > 0.7


def test_solid_never_looks_at_the_face() -> None:
    """Whatever the hidden pixels hold, NaN too, the patch is one colour: the mean of what is around."""
    rgb, mask, region = scene()
    rgb[~mask.hidden] = (0.2, 0.4, 0.6)
    rgb[mask.hidden] = np.nan
    patch = cover("solid", rgb, mask, region)
    assert np.allclose(patch.rgb, (0.2, 0.4, 0.6), atol=1e-6)


def test_a_picture_that_is_all_face_is_covered_grey() -> None:
    """With nothing visible around it, solid is mid grey."""
    pose, region = FacePose(20, 20, 60, 0), Region(0, 0, 40, 40)
    mask = face_mask(pose, UNKNOWN, region, margin=0.1, feather=0.1)
    patch = cover("solid", np.ones((40, 40, 3), np.float32), mask, region)
    assert (patch.rgb == 0.5).all()
    assert (patch.alpha == 1).all()


def test_pixels_that_are_no_numbers_are_still_covered() -> None:
    """NaN and infinity in the source come out as numbers with every method."""
    rgb, mask, region = scene()
    rgb[::3], rgb[1::7] = np.nan, np.inf
    for method in COVERS:
        patch = cover(method, rgb, mask, region)
        assert np.isfinite(patch.rgb).all()
        assert patch.rgb.min() >= 0
        assert patch.rgb.max() <= 1


def test_an_unknown_method_covers_nothing_silently() -> None:
    """A method that is no cover raises ValueError."""
    rgb, mask, region = scene()
    with pytest.raises(ValueError, match="gan"):
        cover("gan", rgb, mask, region)
