"""A face blended with its neighbours in time: less flicker, no lag, no trail, the same bits wherever one begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from test_render_compose import W, face, job, picture, renderer, same

from vidanon.geometry import apply, fit_similarity
from vidanon.pipeline.stages import surrounded
from vidanon.render.compose import FaceRenderer
from vidanon.render.jobs import PaintedFace, RenderedFace
from vidanon.render.steady import Canvas, averaged, blended, held, thin_plate
from vidanon.types import FACE_POINT_INDEX, JAW, N_FACE_POINTS, ON_FACE, FloatArray

SIDE = 64
REACH = 4


def points(*, roll: float = 0.0, lip: float = 0.0, dx: float = 0.0, turn: float = 1.0) -> FloatArray:
    """A face in 0..1 of the crop: its lower lip hangs `lip` lower, `turn` under 1 is a head that looks aside."""
    out = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    places = {
        "right_eye": (0.4, 0.42),
        "left_eye": (0.6, 0.42),
        "nose": (0.5, 0.55),
        "mouth_right": (0.42, 0.65),
        "mouth_left": (0.58, 0.65),
        "lip_upper_inner": (0.5, 0.64),
        "lip_lower_inner": (0.5, 0.645 + lip),
        "jaw_4": (0.5, 0.8),
    }
    c, s = np.cos(roll), np.sin(roll)
    for name, (x, y) in places.items():
        across, down = turn * (x - 0.5), y - 0.5
        out[FACE_POINT_INDEX[name]] = (0.5 + dx + c * across - s * down, 0.5 + s * across + c * down)
    return out


def canvas(frame: int, crop: FloatArray | float, *, track: int = 1, at: FloatArray | None = None) -> Canvas:
    whole = np.broadcast_to(np.float32(crop), (SIDE, SIDE, 3)).astype(np.float32)
    beside = np.full((8, 8, 2), whole.mean(), np.float32)
    return Canvas(track, frame, whole, points() if at is None else at, beside)


def noise(seed: int) -> FloatArray:
    return np.random.default_rng(seed).random((SIDE, SIDE, 3), dtype=np.float32)


def all_blended(canvases: Sequence[Canvas], *, reach: int = REACH) -> list[FloatArray]:
    return [blended(c, [o for o in canvases if o is not c], reach=reach) for c in canvases]


def test_what_lies_beside_a_face_is_averaged_as_far_as_there_is_no_gap() -> None:
    """A flicker of the surroundings is a fifth of it; another track, and what lies beyond a gap, have no say."""
    flicker = [canvas(i, 0.5 + 0.2 * (i % 2)) for i in range(12)]
    out = [averaged(c, [o for o in flicker if o is not c], reach=REACH).mean() for c in flicker[4:-4]]
    assert np.ptp(out) < 0.2 * 0.2
    strange = [canvas(5, 0.9, track=2), canvas(8, 0.9)]
    assert averaged(canvas(6, 0.5), strange, reach=REACH).mean() == 0.5


def test_flicker_is_averaged_away_and_a_still_face_unchanged() -> None:
    """Frames that differ by noise alone differ a fifth as much afterwards; equal ones stay equal."""
    raw = [0.5 + 0.1 * (noise(i) - 0.5) for i in range(16)]
    out = all_blended([canvas(i, crop) for i, crop in enumerate(raw)])
    assert np.std(np.diff(out[5:-5], axis=0)) < 0.2 * np.std(np.diff(raw[5:-5], axis=0))
    still = noise(1) * 0.5 + 0.25
    for crop in all_blended([canvas(i, still) for i in range(10)]):
        np.testing.assert_allclose(crop, still, atol=2e-6)


def test_what_changes_steadily_does_not_lag() -> None:
    """A face on which the light grows is in every frame as light as it is painted: the window looks both ways."""
    out = all_blended([canvas(i, 0.2 + 0.02 * i) for i in range(20)])
    middle = [float(crop.mean()) for crop in out][REACH:-REACH]
    np.testing.assert_allclose(middle, 0.2 + 0.02 * np.arange(REACH, 20 - REACH), atol=1e-5)


def test_what_is_painted_is_bent_to_where_the_keypoints_are() -> None:
    """A dot painted on the nose is found on the nose, where the head is in this frame."""
    dot = np.zeros((SIDE, SIDE, 3), np.float32)
    here, there = points(roll=0.1, dx=0.06), points()
    at = there[FACE_POINT_INDEX["nose"]] * SIDE
    dot[int(at[1]), int(at[0])] = 1
    out = blended(canvas(1, 0.0, at=here), [canvas(0, dot, at=there)], reach=1)
    y, x = np.unravel_index(int(out[..., 0].argmax()), (SIDE, SIDE))
    assert np.hypot(*(here[FACE_POINT_INDEX["nose"]] * SIDE - (x + 0.5, y + 0.5))) < 1.5


def test_a_mouth_that_opens_leaves_no_trail_and_the_rest_is_blended() -> None:
    """Where the mouth opens in one frame only that frame counts there; on the forehead the others do."""
    shut = [canvas(i, 0.0) for i in (0, 1, 2, 4, 5, 6)]
    out = blended(canvas(3, 1.0, at=points(lip=0.04)), shut, reach=3)
    mouth, forehead = out[round(0.66 * SIDE), SIDE // 2], out[round(0.2 * SIDE), SIDE // 2]
    assert mouth.min() > 0.9
    assert forehead.max() < 0.4
    # and in the frames beside it the closed mouth stays closed
    before = blended(shut[2], [*shut[:2], canvas(3, 1.0, at=points(lip=0.04)), *shut[3:]], reach=3)
    assert before[round(0.66 * SIDE), SIDE // 2].max() < 0.1


def test_a_head_that_has_turned_is_another_picture() -> None:
    """Shift and roll leave a neighbour its weight; a turn, keypoints against each other, takes it, a large one all."""
    straight = blended(canvas(1, 1.0), [canvas(0, 0.0, at=points(dx=0.05, roll=0.2))], reach=1)
    turned, about = (blended(canvas(1, 1.0), [canvas(0, 0.0, at=points(turn=t))], reach=1) for t in (0.3, -1.0))
    middle = np.s_[SIDE // 2, SIDE // 2]
    assert straight[middle].max() < 0.7
    assert straight[middle].max() + 0.02 < turned[middle].min() < about[middle].min()
    assert about[middle].min() > 0.9


def test_nothing_counts_beyond_a_gap_the_reach_another_track_or_unknown_points() -> None:
    """What was painted before a missing frame, too far away, on somebody else, or nobody knows where, has no say."""
    own = canvas(5, noise(0))
    unknown = np.full_like(points(), np.nan)
    for other in (canvas(3, noise(1)), canvas(6, noise(1), track=2), canvas(6, noise(1), at=unknown)):
        assert np.array_equal(blended(own, [other], reach=4), own.crop)
    both = [canvas(4, noise(1)), canvas(3, noise(2))]
    assert np.array_equal(blended(own, both, reach=1), blended(own, both[:1], reach=1))
    assert not np.array_equal(blended(own, both, reach=2), blended(own, both[:1], reach=2))
    assert np.array_equal(blended(own, both, reach=0), own.crop)
    assert np.array_equal(blended(canvas(5, noise(0), at=unknown), both, reach=4), noise(0))


def test_a_thin_plate_takes_its_pins_to_their_goals() -> None:
    """Within half a px of the crop; where nothing moves, exactly nothing moves."""
    rng = np.random.default_rng(3)
    pins = rng.uniform(0.2, 0.8, (20, 2))
    goals = pins + rng.uniform(-0.02, 0.02, (2, 20, 2))
    fields = thin_plate(pins, goals, 128)
    for field, goal in zip(fields, goals, strict=True):
        pixel = np.floor(pins * 128).astype(int)
        at = field[pixel[:, 1], pixel[:, 0]] + 0.5 + (pins * 128 - pixel - 0.5)
        assert np.linalg.norm(at - goal * 128, axis=1).max() < 0.5
    (still,) = thin_plate(pins, pins[None], 128)
    y, x = np.mgrid[0:128, 0:128]
    np.testing.assert_allclose(still, np.stack([x, y], axis=-1), atol=1e-4)


def works(r: FaceRenderer, frames: range, batch: int) -> Iterator[list[PaintedFace]]:
    """Two faces in every frame, painted `batch` frames at a time, as the pipeline does."""
    jobs = [
        [
            job(
                r,
                face(
                    80 + frame + 100 * (track - 1), 80, 150 + frame + 100 * (track - 1), 170, track=track, frame=frame
                ),
                picture(frame % 3, width=W),
            )
            for track in (1, 2)
        ]
        for frame in frames
    ]
    for start in range(0, len(jobs), batch):
        some = jobs[start : start + batch]
        painted = iter(r.paint([one for two in some for one in two]))
        for two in some:
            yield [next(painted) for _ in two]


def canvases(work: list[PaintedFace]) -> list[Canvas]:
    return [one.canvas for one in work if one.canvas is not None]


def rendered(r: FaceRenderer, frames: range, batch: int) -> list[RenderedFace]:
    stream = surrounded(works(r, frames, batch), canvases, reach=r.reach_frames)
    return [r.finish(one, around) for work, around in stream for one in work]


def test_every_batch_size_gives_the_same_bits() -> None:
    """The window runs along the frames, not along the calls, and does blend."""
    whole = rendered(renderer(blend_frames=3), range(12), 12)
    assert not any(one.fallback for one in whole)
    for batch in (1, 2, 5):
        assert all(map(same, whole, rendered(renderer(blend_frames=3), range(12), batch)))
    assert not any(map(same, whole, rendered(renderer(blend_frames=0), range(12), 4)))


def test_a_render_that_begins_in_the_middle_gives_the_same_bits() -> None:
    """It paints the `reach_frames` before its first frame again; nothing further back has influence."""
    r = renderer(blend_frames=3)
    whole = rendered(r, range(14), 4)
    assert all(map(same, whole[16:], rendered(r, range(8 - r.reach_frames, 14), 4)[2 * r.reach_frames :]))
    assert not all(map(same, whole[16:], rendered(r, range(8, 14), 4)))
    assert renderer("solid", blend_frames=3).reach_frames == 0


def test_a_face_that_could_not_be_painted_is_covered_and_lends_nothing() -> None:
    """The fallback covers it; its neighbours are blended with what is left, and are faces."""
    r = renderer(blend_frames=2)
    painted = list(works(r, range(5), 5))
    broken = PaintedFace(painted[2][0].prepared, painted[2][0].shown, None)
    assert r.finish(broken, canvases(painted[1])).fallback
    around = [*canvases(painted[0]), *canvases(painted[3])]
    assert not r.finish(painted[1][0], around).fallback


def test_looking_ahead_holds_no_more_than_it_must() -> None:
    """An item is given out as soon as the `reach` after it are known, with the parts of its neighbours in order."""
    asked: list[int] = []

    def counted() -> Iterator[int]:
        for i in range(7):
            asked.append(i)
            yield i

    stream = surrounded(counted(), lambda i: [i * 10], reach=2)
    assert next(stream) == (0, [10, 20])
    assert asked == [0, 1, 2]
    assert list(stream) == [
        (1, [0, 20, 30]),
        (2, [0, 10, 30, 40]),
        (3, [10, 20, 40, 50]),
        (4, [20, 30, 50, 60]),
        (5, [30, 40, 60]),
        (6, [40, 50]),
    ]
    assert list(surrounded(iter("ab"), lambda c: [c], reach=0)) == [("a", []), ("b", [])]
    assert list(surrounded(iter("ab"), lambda c: [c], reach=5)) == [("a", ["b"]), ("b", ["a"])]


def all_held(canvases: Sequence[Canvas], *, reach: int = REACH) -> FloatArray:
    """[N, 30, 2]"""
    return np.stack([held(c, [o for o in canvases if o is not c], reach=reach) for c in canvases])


def on_the_head(items: Iterable[FloatArray]) -> FloatArray:
    """[N, K, 2] known keypoints where they are on a head that does not move."""
    known = np.isfinite(points()).all(axis=1)
    head = [i for i in np.flatnonzero(known) if i in ON_FACE and i not in JAW]
    return np.stack([apply(fit_similarity(at[head], points()[head]), at[known]) for at in items]).astype(np.float32)


def test_keypoints_that_tremble_are_held() -> None:
    """On a head whose points are off by noise alone they move half as much afterwards; unknown points stay so."""
    rng = np.random.default_rng(0)
    raw = [points() + rng.normal(0, 0.0008, (N_FACE_POINTS, 2)).astype(np.float32) for _ in range(20)]
    out = all_held([canvas(i, 0.5, at=at) for i, at in enumerate(raw)])
    before, after = (np.diff(on_the_head(items), axis=0)[REACH:-REACH] for items in (raw, out))
    assert after.std() < 0.4 * before.std()
    assert np.isnan(out[:, ~np.isfinite(points()).all(axis=1)]).all()


def test_a_head_that_trembles_takes_its_keypoints_along() -> None:
    """Held still on the head, wherever in the crop that is: what is painted does not slip."""
    rng = np.random.default_rng(1)
    raw = [points(dx=dx, roll=roll) for dx, roll in zip(rng.normal(0, 0.004, 20), rng.normal(0, 0.01, 20), strict=True)]
    out = all_held([canvas(i, 0.5, at=at) for i, at in enumerate(raw)])
    np.testing.assert_allclose(out, np.stack(raw), atol=2e-4)


def test_a_mouth_that_opens_for_one_frame_does() -> None:
    """What it does is no trembling: within a tenth of it, in that frame and beside it; nor does a turning head lag."""
    lips = [FACE_POINT_INDEX["lip_upper_inner"], FACE_POINT_INDEX["lip_lower_inner"]]
    spoken = [canvas(i, 0.5, at=points(lip=0.05 if i == 8 else 0.0)) for i in range(17)]
    openings = [float(np.hypot(*(p[lips[1]] - p[lips[0]]))) for p in all_held(spoken)]
    assert openings[8] > 0.95 * 0.055
    assert max(openings[:8] + openings[9:]) < 0.005 + 0.1 * 0.05
    turning = [points(dx=0.004 * i) for i in range(20)]
    out = all_held([canvas(i, 0.5, at=at) for i, at in enumerate(turning)])
    known = np.isfinite(points()).all(axis=1)
    np.testing.assert_allclose(out[REACH:-REACH, known], np.stack(turning)[REACH:-REACH, known], atol=1e-5)


def test_another_track_and_what_lies_beyond_a_hole_hold_nothing() -> None:
    """As with what is painted: only frames of the same track, without one missing between."""
    here = canvas(5, 0.5)
    moved = points(lip=0.003)
    for other in (canvas(4, 0.5, track=2, at=moved), canvas(3, 0.5, at=moved), canvas(9, 0.5, at=moved)):
        assert np.array_equal(held(here, [other], reach=REACH), here.points, equal_nan=True)
    assert not np.array_equal(held(here, [canvas(4, 0.5, at=moved)], reach=REACH), here.points, equal_nan=True)
