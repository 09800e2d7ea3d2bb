"""The plan file: what is written is what is read, and what cannot be trusted is refused."""

from __future__ import annotations

import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vidanon.errors import PlanError
from vidanon.plan import Edit, Plan
from vidanon.plan.certainty import median_scores
from vidanon.types import N_FACE_POINTS, SOURCES, Observation, ScannedFace, ScannedFrame, Source, Track

finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
finite64 = st.floats(allow_nan=False, allow_infinity=False)
any32 = st.floats(width=32)


@st.composite
def scanned_faces(draw: st.DrawFn) -> ScannedFace:
    return ScannedFace(
        box=draw(arrays(np.float32, 4, elements=finite32)),
        score=draw(st.floats(0, 1)),
        points=draw(arrays(np.float32, (N_FACE_POINTS, 2), elements=any32, fill=any32)),
        confidence=draw(arrays(np.float32, N_FACE_POINTS, elements=st.floats(0, 1, width=32), fill=st.just(0))),
        flow=draw(st.tuples(finite64, finite64)),
        moved=draw(arrays(np.float32, (N_FACE_POINTS, 2), elements=any32, fill=any32)),
    )


@st.composite
def scans(draw: st.DrawFn) -> list[ScannedFrame]:
    pts = sorted(draw(st.lists(st.integers(-(2**40), 2**40), max_size=4, unique=True)))
    return [
        ScannedFrame(
            i,
            t,
            tuple(draw(st.lists(scanned_faces(), max_size=2))),
            draw(st.floats(0, 1)),
            draw(st.floats(0, 1)),
            draw(st.tuples(finite64, finite64)),
        )
        for i, t in enumerate(pts)
    ]


def new_plan(folder: Path, name: str = "clip.plan") -> Plan:
    return Plan.create(
        folder / name,
        source_name="clip.mp4",
        fingerprint="f00d",
        width=640,
        height=360,
        time_base=Fraction(1001, 30000),
        settings_json="{}",
    )


def empty_frames(n: int, start: int = 0) -> list[ScannedFrame]:
    return [ScannedFrame(i, i * 10, (), 0.0, 0.0, (0.0, 0.0)) for i in range(start, start + n)]


def observations(track: int, first: int, last: int, x: float = 0.0) -> list[Observation]:
    points = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    box = np.array([x, 10, x + 20, 40], np.float32)
    return [Observation(i, track, box, points, 0.9, "detected") for i in range(first, last + 1)]


def track(number: int, first: int, last: int) -> Track:
    return Track(number, first, last, f"track-{number}", "anonymize")


def settled_plan(folder: Path) -> Plan:
    plan = new_plan(folder)
    plan.append(empty_frames(10))
    plan.finish_scan()
    plan.write_tracks([(track(1, 0, 4), observations(1, 0, 4)), (track(2, 3, 9), observations(2, 3, 9, 100.0))])
    return plan


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    with settled_plan(tmp_path) as it:
        yield it


def test_how_sure_it_is_that_somebody_is_there(tmp_path: Path) -> None:
    """The median of a person's detections, weak ones too; what was filled says nothing; who has a name is certain."""
    scores = {
        1: [0.9, 0.3, 0.4],
        2: [0.3, 0.5, 0.6, 0.9],
        3: [0.2, 0.2, 0.2],
        4: [0.2, 0.2],
    }
    with new_plan(tmp_path) as plan:
        plan.append(empty_frames(10))
        plan.finish_scan()
        made = []
        for number, own in scores.items():
            items = [
                replace(item, score=score, source="detected" if score > 0.5 else "weak")
                for item, score in zip(observations(number, 0, len(own) - 1), own, strict=True)
            ]
            filled = [replace(item, score=0.05, source="interpolated") for item in observations(number, len(own), 9)]
            made.append((track(number, 0, 9), items + filled))
        plan.write_tracks(made)
        assert median_scores(plan) == pytest.approx({1: 0.4, 2: 0.55, 3: 0.2, 4: 0.2})
        plan.set_name(3, "Ms Doe")
        plan.set_identity(4, "track-2")
        assert median_scores(plan) == pytest.approx({1: 0.4, 2: 0.4, 3: 1.0, 4: 0.4})


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(scans())
def test_what_a_scan_wrote_is_what_is_read(frames: list[ScannedFrame]) -> None:
    """Every number of a scan comes back as it was, points bit for bit, NaN and infinity included."""
    with tempfile.TemporaryDirectory() as folder:
        with new_plan(Path(folder)) as plan:
            plan.append(frames)
        with Plan.open(Path(folder) / "clip.plan") as plan:
            got = list(plan.scanned())
    assert len(got) == len(frames)
    for a, b in zip(frames, got, strict=True):
        assert (a.index, a.pts, a.change, a.change_skip, a.camera) == (
            b.index,
            b.pts,
            b.change,
            b.change_skip,
            b.camera,
        )
        assert len(a.faces) == len(b.faces)
        for x, y in zip(a.faces, b.faces, strict=True):
            assert (x.score, x.flow) == (y.score, y.flow)
            assert np.array_equal(x.box, y.box)
            assert y.box.dtype == np.float32
            assert same_bits(x.points, y.points)
            assert same_bits(x.confidence, y.confidence)
            assert same_bits(x.moved, y.moved)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    arrays(np.float32, 4, elements=finite32),
    arrays(np.float32, (N_FACE_POINTS, 2), elements=any32, fill=any32),
    st.floats(0, 1),
    st.sampled_from(SOURCES),
)
def test_an_observation_comes_back_bit_for_bit(box: np.ndarray, points: np.ndarray, score: float, source: str) -> None:
    """What the renderer reads is exactly what was settled."""
    with tempfile.TemporaryDirectory() as folder, new_plan(Path(folder)) as plan:
        plan.append(empty_frames(1))
        plan.finish_scan()
        item = Observation(0, 7, box, points, score, source)  # type: ignore[arg-type]
        plan.write_tracks([(track(7, 0, 0), [item])])
        ((frame, (got,)),) = plan.observations(0, None)
    assert (frame, got.frame, got.track, got.score, got.source) == (0, 0, 7, score, source)
    assert np.array_equal(got.box, box)
    assert got.box.dtype == np.float32
    assert same_bits(got.points, points)


def test_a_killed_scan_resumes_where_the_header_says(tmp_path: Path) -> None:
    """Frames appended in two sittings are one scan."""
    with new_plan(tmp_path) as plan:
        plan.append(empty_frames(3))
    with Plan.open(tmp_path / "clip.plan") as plan:
        assert (plan.header.state, plan.header.frames) == ("scanning", 3)
        plan.append(empty_frames(2, start=3))
        plan.finish_scan()
        assert [f.index for f in plan.scanned()] == [0, 1, 2, 3, 4]
        assert [f.index for f in plan.scanned(3)] == [3, 4]
        assert list(plan.frame_times()) == [(i, i * 10) for i in range(5)]
        assert plan.header.time_base == Fraction(1001, 30000)


def test_a_frame_out_of_turn_is_refused_and_nothing_of_its_batch_is_kept(tmp_path: Path) -> None:
    """A gap in a scan would be a stretch of film nobody looked at."""
    with new_plan(tmp_path) as plan:
        plan.append(empty_frames(2))
        with pytest.raises(PlanError, match="frame 2 is next"):
            plan.append(empty_frames(1, start=3))
        with pytest.raises(PlanError, match="frame 3 is next"):
            plan.append([*empty_frames(1, start=2), *empty_frames(1, start=2)])
        assert plan.header.frames == 2
        assert len(list(plan.scanned())) == 2


def test_a_finished_scan_takes_no_frame(tmp_path: Path) -> None:
    """Tracks may have been made of it, so it must not grow."""
    with new_plan(tmp_path) as plan:
        plan.finish_scan()
        with pytest.raises(PlanError, match="complete"):
            plan.append(empty_frames(1))
        with pytest.raises(PlanError, match="before"):
            plan.finish_scan()


def test_an_unfinished_scan_takes_no_tracks(tmp_path: Path) -> None:
    """Half a clip must never look ready to render."""
    with new_plan(tmp_path) as plan:
        plan.append(empty_frames(2))
        with pytest.raises(PlanError, match="unfinished"):
            plan.write_tracks([])
        with pytest.raises(PlanError, match="unfinished"):
            plan.require_settled()


@pytest.mark.parametrize("hole", ["missing frame", "wrong end", "past the clip", "two pieces apart"])
def test_a_track_with_a_hole_is_refused_and_the_old_tracks_stay(plan: Plan, hole: str) -> None:
    """A frame without an observation inside a track is a naked face, so it is never written."""
    items = {
        "missing frame": [(track(1, 0, 4), observations(1, 0, 1) + observations(1, 3, 4))],
        "wrong end": [(track(1, 0, 4), observations(1, 0, 3))],
        "past the clip": [(track(1, 8, 10), observations(1, 8, 10))],
        "two pieces apart": [(track(1, 0, 1), observations(1, 0, 1)), (track(1, 3, 4), observations(1, 3, 4))],
    }[hole]
    with pytest.raises(ValueError, match="track 1"):
        plan.write_tracks(items)
    assert [t.number for t in plan.tracks()] == [1, 2]
    assert sum(len(found) for _, found in plan.observations(0, None)) == 12


def test_a_track_may_come_in_pieces(plan: Plan) -> None:
    """A long track is written piece by piece and read as one."""
    plan.write_tracks([(track(1, 0, 3), observations(1, 0, 3)), (track(1, 4, 8), observations(1, 4, 8))])
    assert plan.tracks() == [track(1, 0, 8)]
    assert [frame for frame, _ in plan.observations(0, None)] == list(range(9))


def test_tracks_may_be_written_while_the_scan_is_read(tmp_path: Path) -> None:
    """Settling streams from the plan into the same plan."""
    with new_plan(tmp_path) as plan:
        plan.append(empty_frames(500))
        plan.finish_scan()
        plan.write_tracks(
            (track(f.index + 1, f.index, f.index), observations(f.index + 1, f.index, f.index)) for f in plan.scanned()
        )
        assert len(plan.tracks()) == 500


def test_observations_come_grouped_by_frame_in_order(plan: Plan) -> None:
    """The renderer walks the film once, whatever order the tracks were written in."""
    got = list(plan.observations(2, 5))
    assert [(frame, [o.track for o in found]) for frame, found in got] == [(2, [1]), (3, [1, 2]), (4, [1, 2])]


def test_runs_in_which_nothing_saw_a_face(tmp_path: Path) -> None:
    """Guessed and hidden frames are one run, seen and carried ones part them, tracks do not mix; and the interval."""
    sources: list[Source] = ["detected", "interpolated", "hidden", "carried", "interpolated", "weak", "interpolated"]
    with new_plan(tmp_path) as plan:
        plan.append(empty_frames(10))
        plan.finish_scan()
        one = [replace(o, source=s) for o, s in zip(observations(1, 0, 6), sources, strict=True)]
        two = [replace(o, source="interpolated") for o in observations(2, 3, 4)]
        plan.write_tracks([(Track(1, 0, 6, "a", "anonymize"), one), (Track(2, 3, 4, "b", "anonymize"), two)])
        assert plan.guessed_runs() == {1: [(1, 2), (4, 4), (6, 6)], 2: [(3, 4)]}
        assert plan.interval() == pytest.approx(10 * 1001 / 30000)
    with new_plan(tmp_path, "still.plan") as still:
        still.append(empty_frames(1))
        assert still.interval() == 0
        assert still.guessed_runs() == {}


def test_a_failing_settle_leaves_the_plan_as_it_was(plan: Plan) -> None:
    """An error half way through writing tracks rolls everything back."""

    def broken() -> Iterator[tuple[Track, list[Observation]]]:
        yield track(9, 0, 1), observations(9, 0, 1)
        raise MemoryError("no more")

    with pytest.raises(MemoryError):
        plan.write_tracks(broken())
    assert [t.number for t in plan.tracks()] == [1, 2]
    assert plan.header.state == "settled"


def test_an_edit_survives_closing_and_writing_tracks_again(plan: Plan) -> None:
    """A person's decision follows the face to its new track number."""
    plan.set_action(2, "keep")
    plan.set_identity(1, "the witness")
    plan.close()
    with Plan.open(plan.path) as again:
        assert [(t.identity, t.action) for t in again.tracks()] == [("the witness", "anonymize"), ("track-2", "keep")]
        again.write_tracks(
            [(track(1, 3, 9), observations(1, 3, 9, 102.0)), (track(2, 0, 5), observations(2, 0, 5, 1.0))]
        )
        assert [(t.identity, t.action) for t in again.tracks()] == [("track-1", "keep"), ("the witness", "anonymize")]
        assert again.edits() == [
            Edit(2, "action", "keep", applied=True),
            Edit(1, "identity", "the witness", applied=True),
        ]


def test_keep_never_reaches_frames_nobody_looked_at(plan: Plan) -> None:
    """When a kept track has grown, it is anonymized again and the edit says so."""
    plan.set_action(2, "keep")
    plan.write_tracks([(track(1, 2, 9), observations(1, 2, 9, 100.0))])
    assert plan.tracks()[0].action == "anonymize"
    assert plan.edits() == [Edit(2, "action", "keep", applied=False)]


def test_an_edit_of_a_vanished_track_applies_to_nobody(plan: Plan) -> None:
    """No other face inherits a decision by its number."""
    plan.set_action(1, "keep")
    plan.write_tracks([(track(1, 0, 4), observations(1, 0, 4, 300.0))])
    assert plan.tracks()[0].action == "anonymize"
    assert [e.applied for e in plan.edits()] == [False]


def test_an_edit_of_a_track_that_is_not_there_is_refused(plan: Plan) -> None:
    """A typing error must not be swallowed."""
    with pytest.raises(PlanError, match="no track 3"):
        plan.set_action(3, "keep")
    with pytest.raises(PlanError, match="name"):
        plan.set_identity(1, "  ")
    assert plan.edits() == []


def test_a_plan_belongs_to_one_file(plan: Plan) -> None:
    """Covering one clip by another clip's plan would leave every face naked."""
    plan.require_source("f00d")
    with pytest.raises(PlanError, match="another file"):
        plan.require_source("beef")


def test_only_its_owner_can_read_a_plan(plan: Plan) -> None:
    """A plan tells where the people are."""
    assert stat.S_IMODE(plan.path.stat().st_mode) == 0o600


def test_a_plan_is_never_overwritten(plan: Plan, tmp_path: Path) -> None:
    """Creating where a plan is refuses and leaves it whole; so does a folder that is not there."""
    with pytest.raises(PlanError, match="already"):
        new_plan(tmp_path)
    assert len(plan.tracks()) == 2
    with pytest.raises(PlanError, match="cannot be written"):
        new_plan(tmp_path / "nowhere")


def test_what_is_not_a_plan_is_refused(tmp_path: Path) -> None:
    """Missing files, other files, other databases and other schemas each get one clear line."""
    with pytest.raises(PlanError, match="no such plan"):
        Plan.open(tmp_path / "none.plan")
    text = tmp_path / "text.plan"
    text.write_text("not a database at all, but long enough to be mistaken for one" * 20)
    with pytest.raises(PlanError, match="not a plan"):
        Plan.open(text)
    empty = tmp_path / "empty.plan"
    empty.touch()
    with pytest.raises(PlanError, match="not a plan"):
        Plan.open(empty)
    new_plan(tmp_path, "old.plan").close()
    db = sqlite3.connect(tmp_path / "old.plan")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(PlanError, match="schema 99"):
        Plan.open(tmp_path / "old.plan")


def test_a_truncated_plan_is_refused(tmp_path: Path) -> None:
    """A plan cut short is an error on opening or at the latest on reading, never a shorter plan."""
    with settled_plan(tmp_path) as plan:
        assert sum(len(found) for _, found in plan.observations(0, None)) == 12
    data = plan.path.read_bytes()
    for keep in (0.2, 0.5, 0.8, 0.95):
        plan.path.write_bytes(data[: int(len(data) * keep)])

        def read() -> int:
            with Plan.open(plan.path) as damaged:
                return sum(len(found) for _, found in damaged.observations(0, None)) + len(list(damaged.scanned()))

        with pytest.raises(PlanError):
            read()


def test_frames_missing_from_a_scan_are_noticed(plan: Plan) -> None:
    """The header's count and the rows must agree."""
    plan.close()
    db = sqlite3.connect(plan.path)
    db.execute("DELETE FROM frames WHERE idx = 9")
    db.commit()
    db.close()
    with pytest.raises(PlanError, match="frames are missing"):
        Plan.open(plan.path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """A box of NaN covers nothing, so it never gets into a plan."""
    points = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    box = np.array([0, 0, np.nan, 4], np.float32)
    face = ScannedFace(box, 0.9, points, np.zeros(N_FACE_POINTS, np.float32), (0.0, 0.0))
    with new_plan(tmp_path) as plan:
        with pytest.raises(ValueError, match="finite"):
            plan.append([ScannedFrame(0, 0, (face,), 0.0, 0.0, (0.0, 0.0))])
        with pytest.raises(ValueError, match="finite"):
            plan.append([ScannedFrame(0, 0, (), 0.0, 0.0, (float("nan"), 0.0))])
        assert plan.header.frames == 0
