"""The pass policy: which scales, which tiles."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidanon.detect.scales import FACE_SHARE, MAX_UPSCALE, SizeRange, plan_passes, scales, spans, tiles

SIZES = SizeRange()
sides = st.integers(16, 8192)


@given(length=st.integers(1, 9000), tile=st.integers(64, 2048), share=st.floats(0, 0.5))
def test_spans_cover_everything_and_share_the_overlap(length: int, tile: int, share: float) -> None:
    """No pixel is left out, no window is larger than a tile or reaches outside, neighbours share enough."""
    overlap = int(tile * share)
    found = spans(length, tile=tile, overlap=overlap)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(0 <= a < b <= length and b - a <= tile for a, b in found)
    for (_, end), (start, _) in itertools.pairwise(found):
        assert end - start >= overlap


@given(width=sides, height=sides, x=st.floats(0, 1), y=st.floats(0, 1))
def test_every_face_of_the_range_lies_whole_in_a_tile(width: int, height: int, x: float, y: float) -> None:
    """A face as large as the overlap promises is never cut in every tile that sees it."""
    face = SIZES.largest
    if min(width, height) < face:
        return
    x0, y0 = x * (width - face), y * (height - face)
    windows = tiles(width, height, tile_px=640, overlap=round(face * 1.1))
    assert any(t.x0 <= x0 and t.y0 <= y0 and x0 + face <= t.x1 and y0 + face <= t.y1 for t in windows)


@given(width=sides, height=sides, smallest=st.floats(6, 64))
def test_the_passes_leave_no_size_of_face_out(width: int, height: int, smallest: float) -> None:
    """From the smallest face asked for to one that fills the picture, every size suits some pass."""
    found = scales(width, height, min_face_px=smallest, sizes=SIZES)
    assert found == sorted(found, reverse=True)
    assert found[0] <= MAX_UPSCALE
    biggest = min(FACE_SHARE * min(width, height), max(width, height))
    assert biggest * found[-1] <= 1.15 * SIZES.largest + 1e-6
    for fine, coarse in itertools.pairwise(found):
        assert SIZES.smallest / coarse <= SIZES.largest / fine, "the ranges of neighbouring passes overlap"
    small_enough = SIZES.smallest / found[0] <= smallest * 1.3
    assert small_enough or found[0] == MAX_UPSCALE, "only the limit on enlargement may leave the smallest faces out"


def test_full_hd_costs_one_full_look_and_a_cheap_one() -> None:
    """1080p with 12 px faces: full resolution in one tile, and coarser passes for under a tenth of it."""
    full, *coarse = plan_passes(1920, 1080, min_face_px=12, tile_px=2048)
    assert (full.scale, full.width, full.height, len(full.tiles)) == (1.0, 1920, 1080, 1)
    assert sum(one.width * one.height for one in coarse) < 0.1 * full.width * full.height


def test_four_k_is_tiled_and_its_coarse_passes_are_not() -> None:
    """2160p exceeds the tile in width only at the finest scale."""
    passes = plan_passes(3840, 2160, min_face_px=12, tile_px=2048)
    assert len(passes[0].tiles) == 6
    assert all(len(one.tiles) == 1 for one in passes[1:])


def test_large_faces_alone_are_looked_for_at_a_reduced_scale() -> None:
    """Asking for 48 px faces and more never looks at the full resolution."""
    passes = plan_passes(1920, 1080, min_face_px=48, tile_px=2048)
    assert passes[0].scale < 0.5


def pixels(width: int, height: int, smallest: float) -> float:
    """Pixels looked at, in pixels of the picture."""
    return sum(scale**2 for scale in scales(width, height, min_face_px=smallest, sizes=SIZES))


@given(width=sides, height=sides, smallest=st.floats(4, 64), more=st.floats(1, 3))
def test_who_asks_for_less_pays_no_more(width: int, height: int, smallest: float, more: float) -> None:
    """The cost of a picture never grows with the smallest face asked for."""
    assert pixels(width, height, smallest * more) <= pixels(width, height, smallest) + 1e-9


def test_the_price_of_a_small_picture_follows_the_smallest_face() -> None:
    """400 x 300: faces of 20 px cost half of those of 12 px, those of 6 px less than half as much again."""
    tiny, small, medium = (pixels(400, 300, smallest) for smallest in (6, 12, 20))
    assert medium < 0.5 * small
    assert tiny < 1.5 * small


def test_small_pictures_are_enlarged_because_it_is_cheap_and_large_ones_are_not() -> None:
    """12 px faces are shown at a reliable size in a 400 px GIF and at a possible one in a 1080p frame."""
    assert scales(400, 300, min_face_px=12, sizes=SIZES)[0] == pytest.approx(SIZES.reliable / 12)
    assert scales(1920, 1080, min_face_px=12, sizes=SIZES)[0] == 1.0


def test_who_asks_for_tiny_faces_gets_the_enlargement_whatever_it_costs() -> None:
    """6 px faces in 1080p mean a look at twice the size."""
    assert scales(1920, 1080, min_face_px=6, sizes=SIZES)[0] == 2.0


def test_a_picture_is_not_enlarged_by_a_hair() -> None:
    """720p could afford 1.09 times: it stays as it is."""
    assert scales(1280, 720, min_face_px=12, sizes=SIZES)[0] == 1.0


def test_an_empty_picture_is_refused() -> None:
    """No picture has no pixels."""
    with pytest.raises(ValueError, match="at least one px"):
        plan_passes(0, 10, min_face_px=12, tile_px=2048)
