"""The plan verbs: look, export, keep, anonymize, merge, without a network or a codec."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidanon.cli import main
from vidanon.errors import PlanError
from vidanon.plan import Plan
from vidanon.types import N_FACE_POINTS, Observation, ScannedFrame, Track


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Ten frames at 25 fps with three tracks, the first two in one shot."""
    path = tmp_path / "clip.vidanon"
    points = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    with Plan.create(
        path,
        source_name="clip.mp4",
        fingerprint="f00d",
        width=640,
        height=360,
        time_base=Fraction(1, 25),
        settings_json="{}",
    ) as made:
        made.append([ScannedFrame(i, i, (), 0.0, 0.0, (0.0, 0.0)) for i in range(10)])
        made.finish_scan()
        tracks = []
        for number, first, last in ((1, 0, 4), (2, 2, 4), (3, 6, 9)):
            box = np.array([100 * number, 50, 100 * number + 40, 100], np.float32)
            faces = [Observation(i, number, box, points, 0.9, "detected") for i in range(first, last + 1)]
            tracks.append((Track(number, first, last, f"track-{number}", "anonymize"), faces))
        made.write_tracks(tracks)
    return path


def run_main(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_show_prints_a_line_for_every_track(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Number, times, observations by source, size, action and identity."""
    assert run_main("plan", "show", plan) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == f"{plan}: clip.mp4, 640x360, settled"
    assert lines[1] == "10 frames in 0.36 s, 0 detections, 3 tracks, 12 faces in 9 frames, 0 edits"
    assert lines[4].split() == [
        "1",
        "0.00",
        "0.16",
        "5",
        "5",
        "0",
        "0",
        "0",
        "50",
        "0.90",
        "0.90",
        "anonymize",
        "track-1",
    ]
    assert len(lines) == 7


def test_show_as_json_is_the_same_in_numbers(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts."""
    assert run_main("plan", "show", plan, "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["frames"], numbers["faces"], len(numbers["tracks"])) == (10, 12, 3)


def test_export_streams_the_plan_as_json(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Per frame index, pts, and per face track, box, keypoints, score, source."""
    assert run_main("plan", "export", plan, "--json") == 0
    frames = json.loads(capsys.readouterr().out)["frames"]
    assert [len(frame["faces"]) for frame in frames] == [1, 1, 2, 2, 2, 0, 1, 1, 1, 1]
    assert set(frames[2]["faces"][0]) == {"track", "box", "keypoints", "score", "source"}


def test_keep_and_anonymize_change_what_happens_to_tracks(plan: Path) -> None:
    """Each takes several tracks, and the one takes the other back."""
    assert run_main("plan", "keep", plan, 1, 3) == 0
    assert run_main("plan", "anonymize", plan, 3) == 0
    with Plan.open(plan) as opened:
        assert [track.action for track in opened.tracks()] == ["keep", "anonymize", "anonymize"]
        assert len(opened.edits()) == 3


def test_merge_gives_the_first_ones_face_to_all(plan: Path) -> None:
    """One person in two shots has one identity."""
    assert run_main("plan", "merge", plan, 3, 1) == 0
    with Plan.open(plan) as opened:
        assert [track.identity for track in opened.tracks()] == ["track-3", "track-2", "track-3"]


@pytest.mark.parametrize("verb", ["keep", "anonymize", "merge"])
def test_an_edit_with_an_unknown_track_changes_nothing(
    verb: str, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it or none of it: half an edit is a trap."""
    assert run_main("plan", verb, plan, 1, 9) == 2
    assert "has no track 9" in capsys.readouterr().err
    with Plan.open(plan) as opened:
        assert opened.edits() == []


def test_a_missing_plan_is_code_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what to do."""
    assert run_main("plan", "show", tmp_path / "none.vidanon") == 5
    assert "hint: " in capsys.readouterr().err


def test_looking_at_a_plan_costs_no_torch(plan: Path) -> None:
    """`vidanon plan show` and the help import neither torch nor a codec."""
    program = (
        "import sys\nfrom vidanon.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    heavy = {'torch', 'torchvision', 'av', 'decord', 'cv2', 'scipy'} & set(sys.modules)\n"
        "    print(sorted(heavy), file=sys.stderr)\n"
    )
    for arguments in (["plan", "show", str(plan)], ["--help"], ["run", "--help"], ["presets", "show"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "[]"), arguments


def test_a_name_is_kept_as_everybody_would_write_it(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Accents composed, spaces trimmed: what links a person to clips must not depend on a keyboard."""
    assert run_main("plan", "name", plan, 2, " Jose\u0301  A ") == 0
    assert capsys.readouterr().err == "track 2 is Jos\u00e9 A\n"
    with Plan.open(plan) as opened:
        assert [t.identity for t in opened.tracks()] == ["track-1", "Jos\u00e9 A", "track-3"]


@pytest.mark.parametrize("name", ["track-7", "", "  ", "a\x00b"])
def test_a_name_that_cannot_be_a_persons_is_refused(plan: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The names tracks have by themselves mean something else in every clip."""
    assert run_main("plan", "name", plan, 2, name) == PlanError.exit_code
    assert "name" in capsys.readouterr().err
    assert run_main("plan", "name", plan, 9, "anna") == 2


def test_a_merge_goes_to_the_named(plan: Path) -> None:
    """Merging with a named track passes the name on."""
    run_main("plan", "name", plan, 3, "anna")
    run_main("plan", "merge", plan, 3, 1)
    with Plan.open(plan) as opened:
        assert [t.identity for t in opened.tracks()] == ["anna", "track-2", "anna"]


def test_gaps_are_simulated_without_changing_the_plan(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text and JSON say the same; a plan whose scan saw nothing loses nothing."""
    before = plan.read_bytes()
    assert run_main("evaluate", "gaps", plan, "--drop", "0.5") == 0
    assert "coverage" in capsys.readouterr().out
    assert run_main("evaluate", "gaps", plan, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["detections"], report["face_frames"], report["naked"]) == (0, 0, 0)
    assert plan.read_bytes() == before
