"""Crops blended with those before them: less flicker, no trail, and the same bits wherever a render begins."""

from __future__ import annotations

import numpy as np
from test_render_compose import W, face, job, picture, renderer, same

from vidanon.render.compose import FaceRenderer, RenderedFace
from vidanon.render.reuse import Reuse
from vidanon.types import FACE_POINT_INDEX, N_FACE_POINTS, FloatArray

SIDE = 64


def points(*, roll: float = 0.0, lip: float = 0.0, dx: float = 0.0) -> FloatArray:
    """Eyes, nose and a lower lip that hangs `lip` lower, in 0..1 of the crop."""
    out = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    places = {
        "right_eye": (0.4, 0.42),
        "left_eye": (0.6, 0.42),
        "nose": (0.5, 0.55),
        "lip_lower_inner": (0.5, 0.66 + lip),
    }
    c, s = np.cos(roll), np.sin(roll)
    for name, (x, y) in places.items():
        out[FACE_POINT_INDEX[name]] = (0.5 + dx + c * (x - 0.5) - s * (y - 0.5), 0.5 + s * (x - 0.5) + c * (y - 0.5))
    return out


def noise(seed: int) -> FloatArray:
    return np.random.default_rng(seed).random((SIDE, SIDE, 3), dtype=np.float32)


def test_flicker_is_averaged_away_and_a_still_face_unchanged() -> None:
    """Frames that differ by noise alone differ a fifth as much afterwards; equal ones stay equal."""
    reuse = Reuse(4)
    raw = [0.5 + 0.1 * (noise(i) - 0.5) for i in range(12)]
    out = [reuse.blended(1, i, crop, points()) for i, crop in enumerate(raw)]
    before = np.std(np.diff(raw[5:], axis=0))
    assert np.std(np.diff(out[5:], axis=0)) < 0.3 * before
    still = Reuse(4)
    for i in range(6):
        np.testing.assert_allclose(still.blended(1, i, raw[0], points()), raw[0], atol=1e-6)


def test_lips_that_move_leave_no_trail_and_the_rest_is_reused() -> None:
    """Around a keypoint that moved against the head only the new frame counts; far from it the old ones do."""
    reuse = Reuse(4)
    for i in range(4):
        reuse.blended(1, i, np.zeros((SIDE, SIDE, 3), np.float32), points())
    out = reuse.blended(1, 4, np.ones((SIDE, SIDE, 3), np.float32), points(lip=0.04))
    assert out[round(0.7 * SIDE), SIDE // 2].min() > 0.9
    assert out[round(0.3 * SIDE), 4].max() < 0.35


def test_earlier_crops_turn_and_shift_with_the_head() -> None:
    """A dot painted on the nose is found on the nose where the head is now."""
    reuse = Reuse(1)
    dot = np.zeros((SIDE, SIDE, 3), np.float32)
    at = points()[FACE_POINT_INDEX["nose"]] * SIDE
    dot[int(at[1]), int(at[0])] = 1
    reuse.blended(1, 0, dot, points())
    out = reuse.blended(1, 1, np.zeros_like(dot), points(roll=0.3, dx=0.1))
    y, x = np.unravel_index(int(out[..., 0].argmax()), (SIDE, SIDE))
    assert np.hypot(*(points(roll=0.3, dx=0.1)[FACE_POINT_INDEX["nose"]] * SIDE - (x + 0.5, y + 0.5))) < 1.5


def test_after_a_gap_a_face_begins_anew_and_tracks_do_not_mix() -> None:
    """What was painted before a missing frame, or on somebody else, has no influence; nor has a crop without points."""
    reuse = Reuse(4)
    reuse.blended(1, 0, noise(0), points())
    assert np.array_equal(reuse.blended(1, 2, noise(1), points()), noise(1))
    assert np.array_equal(reuse.blended(2, 3, noise(2), points()), noise(2))
    unknown = np.full_like(points(), np.nan)
    assert np.array_equal(reuse.blended(1, 3, noise(3), unknown), noise(3))
    assert np.array_equal(Reuse(0).blended(1, 1, noise(4), points()), noise(4))


def rendered(r: FaceRenderer, frames: range, batch: int) -> list[RenderedFace]:
    jobs = [
        job(
            r,
            face(80 + frame + 100 * (track - 1), 80, 150 + frame + 100 * (track - 1), 170, track=track, frame=frame),
            rgb,
        )
        for frame in frames
        for rgb in [picture(frame % 3, width=W)]
        for track in (1, 2)
    ]
    return [face for start in range(0, len(jobs), batch) for face in r.render(jobs[start : start + batch])]


def test_every_batch_size_gives_the_same_bits() -> None:
    """Memory runs along the frames, not along the calls."""
    whole = rendered(renderer(reuse_frames=4), range(12), 24)
    assert not any(face.fallback for face in whole)
    for batch in (1, 2, 7):
        assert all(map(same, whole, rendered(renderer(reuse_frames=4), range(12), batch)))


def test_a_render_that_begins_in_the_middle_gives_the_same_bits() -> None:
    """It paints the `memory_frames` before its first frame again; nothing further back has influence."""
    whole = rendered(renderer(reuse_frames=4), range(14), 4)
    r = renderer(reuse_frames=4)
    rest = rendered(r, range(8 - r.memory_frames, 14), 4)[2 * r.memory_frames :]
    assert all(map(same, whole[16:], rest))
    assert not all(map(same, whole[16:], rendered(renderer(reuse_frames=4), range(8, 14), 4)))
    r.begin()
    assert all(map(same, whole, rendered(r, range(14), 4)))
    assert renderer("solid", reuse_frames=4).memory_frames == 0
    assert renderer().memory_frames == 0
