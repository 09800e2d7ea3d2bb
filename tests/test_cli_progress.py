"""How a run looks: plain lines, JSON lines and bars say the same things."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from vidanon.cli import console, progress
from vidanon.cli.running import exit_code
from vidanon.cli.summary import clock, total
from vidanon.errors import InputError, RenderError
from vidanon.pipeline.events import Event, Failed, Finished, Note, Progress, StageDone, Started
from vidanon.pipeline.reports import FileReport, RunReport

CLIP = Path("in/interview.mp4")


def report(**changes: object) -> FileReport:
    values: dict[str, object] = {
        "source": CLIP,
        "target": Path("out/interview.mp4"),
        "frames": 300,
        "tracks": 2,
        "faces": 412,
        "painted": {"gan": 410, "solid": 2},
        "fallbacks": 2,
        "seconds": 7.3,
        "fps": 41.1,
        "device": "cpu",
        "decoder": "h264",
        "encoder": "libx264",
        "peak_memory_mib": 812.0,
    }
    return FileReport(**{**values, **changes})  # type: ignore[arg-type]


EVENTS: list[Event] = [
    Started(CLIP, Path("out/interview.mp4"), 1, 2),
    Progress("scan", CLIP, 120, 300, 45.21, 1.81, 3.96, 37),
    StageDone("scan", CLIP, 300, 97, 6.6),
    Progress("render", CLIP, 10, None, 45.21, None, None, 3),
    Note(CLIP, "a data stream stays behind"),
    Finished(CLIP, report()),
    Failed(Path("in/broken.mp4"), InputError("in/broken.mp4: no frame can be decoded", hint="fetch it again")),
]


@pytest.fixture(autouse=True)
def fresh_voice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No view leaves its way of speaking behind."""
    monkeypatch.setattr(console.Voice, "json", False)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    yield
    assert console.Voice.screen is None


def test_plain_lines_say_frames_rate_speed_time_left_and_faces(capsys: pytest.CaptureFixture[str]) -> None:
    """A log tells as much as a bar."""
    with progress.view("plain") as view:
        for event in EVENTS:
            view.listen(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "1/2 in/interview.mp4",
        "scanning interview.mp4: 120/300 frames, 45.2 fps, 1.81x, 4.0 s left, 37 faces",
        "scanned interview.mp4: 300 frames, 97 faces in 6.6 s",
        "rendering interview.mp4: 10 frames, 45.2 fps, 3 faces",
        "note: interview.mp4: a data stream stays behind",
        "in/interview.mp4 -> out/interview.mp4",
        "  300 frames, 2 tracks, 412 faces covered: 410 gan, 2 solid",
        "  2 faces could not be painted as asked and got the fallback",
        "  cpu, h264, libx264: 41.1 fps, 7.3 s, peak 812 MiB",
        "error: in/broken.mp4: no frame can be decoded",
        "hint: fetch it again",
    ]


def test_json_lines_carry_every_event_with_all_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, `event` first, the rest by the names of the events' fields."""
    with progress.view("json") as view:
        for event in EVENTS:
            view.listen(event)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    kinds = ["started", "progress", "stage_done", "progress", "note", "finished", "failed"]
    assert [line["event"] for line in lines] == kinds
    assert lines[1] == {
        "event": "progress",
        "stage": "scan",
        "path": str(CLIP),
        "frame": 120,
        "frames_total": 300,
        "fps": 45.21,
        "speed": 1.81,
        "eta_seconds": 3.96,
        "faces": 37,
    }
    assert lines[5]["report"]["painted"] == {"gan": 410, "solid": 2}
    assert (lines[6]["error"], lines[6]["exit_code"]) == ("InputError", 3)


def test_bars_show_the_stage_and_leave_only_results_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs there is a bar with the measures; when it is done the results stand alone."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False, color_system=None)
    monkeypatch.setattr(console, "console", lambda: console.Voice.screen or screen)
    with progress.view("rich") as view:
        assert isinstance(view, progress.BarView)
        for event in EVENTS[:2]:
            view.listen(event)
        tasks = [(task.description, task.completed, task.total) for task in view._bars.tasks]
        assert tasks == [("all files", 0, 2), ("scanning interview.mp4", 120, 300)]
        assert "37 faces" in view._bars.tasks[1].fields["measures"]
        for event in EVENTS[2:]:
            view.listen(event)
        assert [task.description for task in view._bars.tasks] == ["all files"]
    assert isinstance(screen.file, io.StringIO)
    written = screen.file.getvalue()
    assert "412 faces covered" in written
    assert "error: in/broken.mp4" in written


def test_more_frames_than_the_container_promised_do_not_overflow_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's frame count is an estimate."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(console, "console", lambda: console.Voice.screen or screen)
    with progress.view("rich") as view:
        assert isinstance(view, progress.BarView)
        view.listen(Progress("scan", CLIP, 320, 300, 10.0, None, None, 0))
        assert view._bars.tasks[0].total == 320


def test_silence_is_broken_only_by_failures(capsys: pytest.CaptureFixture[str]) -> None:
    """--progress none still says why an input has no output."""
    with progress.view("none") as view:
        for event in EVENTS:
            view.listen(event)
    assert capsys.readouterr().err == "error: in/broken.mp4: no frame can be decoded\nhint: fetch it again\n"


def test_a_failure_names_its_file_even_where_the_message_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Among a thousand inputs, which one?"""
    progress.NoView().listen(Failed(CLIP, RenderError("a face could not be covered")))
    assert capsys.readouterr().err == "error: in/interview.mp4: a face could not be covered\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (4.23, "4.2 s"), (59.7, "1:00"), (185, "3:05"), (3723, "1:02:03"), (12, "12 s")]
)
def test_times_read_as_people_say_them(seconds: float, text: str) -> None:
    """Seconds, minutes, hours."""
    assert clock(seconds) == text


def test_long_names_keep_the_end_that_tells_them_apart() -> None:
    """The middle goes."""
    assert progress.shortened("a_rather_long_name_0042.mp4", 16) == "a_rat…e_0042.mp4"
    assert progress.shortened("short.mp4", 16) == "short.mp4"


def test_the_only_input_fails_with_its_own_code_and_one_of_several_with_1() -> None:
    """So that a script can tell a bad file from a bad batch."""
    failed = (CLIP, InputError("gone"))
    assert exit_code(RunReport(files=(report(),), failures=())) == 0
    assert exit_code(RunReport(files=(), failures=(failed,))) == 3
    assert exit_code(RunReport(files=(report(),), failures=(failed,))) == 1
    assert exit_code(RunReport(files=(), failures=(failed, failed))) == 1


def test_a_run_of_several_inputs_ends_with_one_line() -> None:
    """Files, frames, faces, time, and how many failed."""
    whole = RunReport(files=(report(), report()), failures=((CLIP, InputError("gone")),))
    assert total(whole) == "2 files done, 600 frames, 824 faces covered in 15 s; 1 file failed"
