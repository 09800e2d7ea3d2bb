"""The measures behind `evaluate temporal`, each on pictures and paths of which the truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidanon.evaluate.bareness import bare_share
from vidanon.evaluate.crops import FACE_PX, Crop, Place
from vidanon.evaluate.series import NAN, Series, pooled, separation
from vidanon.evaluate.speech import correlation, gain, openings
from vidanon.evaluate.steadiness import high_pass, jitter
from vidanon.evaluate.warping import WarpMeter, visible, warping_error
from vidanon.models.embeddings import SIDE
from vidanon.types import FACE_POINT_INDEX, N_FACE_POINTS

SEEN = np.ones((SIDE, SIDE), bool)
UNKNOWN = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
FACE = Place.of(np.array([0, 0, 100, 130], np.float32), UNKNOWN).core()


def texture(seed: int, *, dx: int = 0, grain: float = 3.0) -> Crop:
    """A random picture, moved to the right."""
    noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE + 64, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    smooth = np.clip(0.5 + 0.15 * smooth / smooth.std(), 0, 1)
    return Crop(np.ascontiguousarray(smooth[:, 32 - dx : 32 - dx + SIDE]), SEEN)


def test_a_face_that_moves_with_the_head_has_next_to_no_warping_error() -> None:
    """Another texture, moved as the source moves, warps onto itself; one that stays, or is drawn anew, does not."""
    meter = WarpMeter()
    motion = meter.source(texture(1), texture(1, dx=4), face=FACE, face_next=FACE)
    assert np.median(motion.flow[motion.valid], axis=0) == pytest.approx([4, 0], abs=0.1)
    follows = warping_error(texture(2), texture(2, dx=4), motion)
    stays = warping_error(texture(2), texture(2), motion)
    new = warping_error(texture(2), texture(3, dx=4), motion)
    assert follows is not None
    assert stays is not None
    assert new is not None
    assert follows < 1e-4
    assert 0.01 < stays < new


def test_flow_difference_is_the_motion_that_was_not_followed() -> None:
    """Nothing where the face moves with the head, the head's own motion where it stays."""
    meter = WarpMeter()
    motion = meter.source(texture(1), texture(1, dx=4), face=FACE, face_next=FACE)
    assert meter.difference(texture(2), texture(2, dx=4), motion) == pytest.approx(0, abs=0.1)
    assert meter.difference(texture(2), texture(2), motion) == pytest.approx(4, abs=0.2)


def test_too_few_pixels_say_nothing() -> None:
    """A pair of which hardly anything is comparable has no error rather than a wild one."""
    motion = WarpMeter().source(texture(1), texture(1), face=FACE & False, face_next=FACE)
    assert warping_error(texture(1), texture(2), motion) is None
    assert WarpMeter().difference(texture(1), texture(2), motion) is None


def test_occluded_pixels_and_edges_of_motion_do_not_count() -> None:
    """Where the way back does not lead home, or motion changes abruptly, nothing can be compared."""
    ahead = np.zeros((40, 40, 2), np.float32)
    back = np.zeros((40, 40, 2), np.float32)
    back[10:20, 10:20] = 5
    ahead[:, 30:, 0] = 3
    seen = visible(ahead, back - ahead)
    assert not seen[12:18, 12:18].any()
    assert not seen[:, 30].any()
    assert seen[25:35, 5:25].all()


def test_what_was_left_alone_or_only_coded_again_is_bare() -> None:
    """Neither an encoder's noise nor a cast over the whole picture hides a face."""
    source = texture(1)
    noise = np.random.default_rng(5).normal(0, 0.01, source.rgb.shape).astype(np.float32)
    assert bare_share(source, source, FACE) == 1
    assert bare_share(source, Crop(source.rgb + noise + 0.05, SEEN), FACE) == 1


def test_a_dark_flat_face_that_was_left_alone_is_bare() -> None:
    """Where there is no detail to find again, no more change than elsewhere in the picture tells."""
    flat = Crop(np.full((SIDE, SIDE, 3), 0.1, np.float32), SEEN)
    noise = np.random.default_rng(5).normal(0, 0.01, flat.rgb.shape).astype(np.float32)
    assert bare_share(flat, Crop(flat.rgb + noise, SEEN), FACE) == 1


@pytest.mark.parametrize("cover", ["another", "blurred", "solid"])
def test_what_was_covered_is_not_bare(cover: str) -> None:
    """Another face, a blurred one and a plain patch hide a face, and the noise around does not matter."""
    source, painted = texture(1), texture(1).rgb.copy()
    new = {
        "another": texture(2).rgb,
        "blurred": cv2.GaussianBlur(source.rgb, (0, 0), FACE_PX / 8),
        "solid": np.full_like(painted, 0.4),
    }[cover]
    painted[FACE] = new[FACE]
    assert bare_share(source, Crop(painted, SEEN), FACE) == 0


def test_half_a_cover_leaves_half_a_face_bare() -> None:
    """The share is that of the face's area."""
    source, painted = texture(1), texture(1).rgb.copy()
    painted[:, : SIDE // 2] = texture(2).rgb[:, : SIDE // 2]
    assert bare_share(source, Crop(painted, SEEN), FACE) == pytest.approx(0.5, abs=0.1)


def test_a_tiny_face_is_looked_at_as_a_whole() -> None:
    """Of a face of seven px a painted half is half of one cell, not two bare cells of four."""
    source, painted = texture(1), texture(1).rgb.copy()
    painted[: SIDE // 2] = texture(2).rgb[: SIDE // 2]
    assert bare_share(source, Crop(painted, SEEN), FACE, size_px=7) == 0
    assert bare_share(source, source, FACE, size_px=7) == 1


def test_a_face_within_a_painted_one_is_not_bare() -> None:
    """A detection on an ear ring, all of whose surroundings were painted with the ear, is covered."""
    assert bare_share(texture(1), texture(2), FACE) == 0


def test_a_face_outside_the_picture_is_neither_bare_nor_covered() -> None:
    """There is nothing to look at."""
    assert bare_share(Crop(texture(1).rgb, ~SEEN), texture(1), FACE) is None


def test_jitter_is_what_lies_above_five_hertz() -> None:
    """A tremble of 8 Hz is measured in full, a turn of 1 Hz is none."""
    times = np.arange(100) / 25
    slow, quick = 40 * np.sin(2 * np.pi * times), 2 * np.sin(2 * np.pi * 8 * times)
    square = np.array([[-50, -50], [50, -50], [50, 50], [-50, 50]])

    def path(x: np.ndarray) -> np.ndarray:
        return square + np.stack([x, np.zeros_like(x)], axis=1)[:, None]

    turning = jitter(times, path(slow), np.full(100, 100.0))
    both = jitter(times, path(slow + quick), np.full(100, 100.0))
    still = jitter(times, path(quick), np.full(100, 100.0))
    assert turning is not None
    assert both is not None
    assert still is not None
    assert turning.px < 0.2
    assert both.px == pytest.approx(np.sqrt(2), abs=0.2)
    assert both.still_share < 0.3
    assert (still.still_share, still.still_px) == (1, pytest.approx(np.sqrt(2), abs=0.15))


def test_uneven_frames_do_not_make_jitter() -> None:
    """A steady walk filmed at uneven times is steady."""
    times = np.cumsum(np.random.default_rng(1).uniform(0.02, 0.06, 120))
    quick = high_pass(times, 300 * times)
    assert quick is not None
    assert np.abs(quick).max() < 0.01


def test_short_paths_and_slow_cameras_have_no_jitter_to_tell() -> None:
    """Ten frames, or ten frames a second, cannot hold what is above 5 Hz."""
    assert high_pass(np.arange(10) / 25, np.zeros(10)) is None
    assert high_pass(np.arange(50) / 10, np.zeros(50)) is None


def test_openings_are_in_face_sizes_and_one_eye_is_enough() -> None:
    """The mouth's is told by the inner lips; the lids' by the eyes that are known."""
    points = UNKNOWN.copy()
    for name, at in {
        "lip_upper_inner": (50, 70),
        "lip_lower_inner": (50, 80),
        "left_lid_upper": (60, 30),
        "left_lid_lower": (60, 34),
    }.items():
        points[FACE_POINT_INDEX[name]] = at
    found = openings(points, 100)
    assert (found.mouth, found.lids) == pytest.approx((0.1, 0.04))
    assert np.isnan(openings(UNKNOWN, 100).mouth)


def test_a_mouth_that_never_opens_has_no_correlation_and_one_that_does_not_follow_has_none_to_show() -> None:
    """Silence in the source cannot be followed; silence in the output is a failure, not a gap in the data."""
    speech = 0.03 * (1 + np.sin(np.arange(60)))
    assert correlation(np.zeros(60), speech) is None
    assert correlation(speech, np.full(60, 0.01)) == 0
    assert gain(speech, np.full(60, 0.01)) == pytest.approx(0, abs=1e-9)
    assert correlation(speech, 0.5 * speech + 0.2) == pytest.approx(1)
    assert gain(speech, 0.5 * speech + 0.2) == pytest.approx(0.5)
    assert gain(np.zeros(60), speech) is None
    holes = np.where(np.arange(60) % 3 == 0, np.nan, speech)
    assert correlation(speech, holes) == pytest.approx(1)
    assert correlation(speech[:10], speech[:10]) is None


def test_steps_are_between_adjacent_frames_only() -> None:
    """A hole in a track, or a frame that was not looked at, is no step."""
    series = Series()
    for value, adjacent in [(0.0, False), (0.3, True), (None, True), (0.4, True), (1.0, False), (1.5, True)]:
        series.add_vector(None if value is None else np.array([value], np.float32), adjacent=adjacent)
    np.testing.assert_allclose(series.step, [NAN, 0.3, NAN, NAN, NAN, 0.5], rtol=1e-6)
    np.testing.assert_allclose(series.mean_vector(), [0.64], rtol=1e-6)


def test_figures_count_every_face_the_same() -> None:
    """Two tracks are pooled by their frames; a face of which half is bare is naked."""
    long = Series(bare=[0.0, 0.0, 0.25], error=[NAN, 2e-3, 2e-3], own_error=[NAN, 1e-3, 1e-3], step=[NAN, 0.1, 0.1])
    short = Series(bare=[0.75], error=[5e-3], own_error=[1e-3], step=[0.4])
    found = pooled([(long, long), (short, short)])
    assert (found.faces, found.naked, found.coverage) == (4, 1, 0.75)
    assert (found.e_warp, found.e_warp_ratio) == (pytest.approx(3e-3), pytest.approx(3))
    assert found.step_median == pytest.approx(0.1)
    assert (found.jitter, found.mouth) == (None, None)
    assert pooled([]).coverage is None


def test_only_different_people_are_to_be_told_apart() -> None:
    """Two tracks of one identity are one person."""
    means = [(name, np.array([at], np.float32)) for name, at in [("a", 0.0), ("a", 0.1), ("b", 1.0)]]
    assert separation(means) == pytest.approx([1.0, 0.9])
