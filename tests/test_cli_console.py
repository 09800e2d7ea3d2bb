"""stderr and exit codes have one owner: every way to fail is one line, one hint and the documented code."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from vidanon import errors
from vidanon.cli import console, main


@pytest.fixture(autouse=True)
def fresh_voice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Errors are said to a person again after a test that asked for JSON."""
    monkeypatch.setattr(console.Voice, "json", False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def fail_with(e: BaseException) -> int:
    def work() -> None:
        raise e

    return console.guard(work)


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert isinstance(left.value.code, int)
    return left.value.code


ERRORS = [
    (errors.VidanonError, 1),
    (errors.UsageError, 2),
    (errors.SettingsError, 2),
    (errors.InputError, 3),
    (errors.OutputError, 4),
    (errors.PlanError, 5),
    (errors.WeightsError, 6),
    (errors.DeviceError, 7),
    (errors.RenderError, 8),
]


@pytest.mark.parametrize(("kind", "code"), ERRORS)
def test_every_error_has_its_exit_code_and_two_lines(
    kind: type[errors.VidanonError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """`error: what` and `hint: what next`, each on a line of its own however long it is."""
    assert fail_with(kind("clip.mp4 " + "very " * 60 + "broken\nhere", hint="fetch it again")) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    assert err.startswith("error: clip.mp4 very")
    assert err.endswith("broken here\nhint: fetch it again\n")


def test_square_brackets_in_a_file_name_come_out_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name is no markup."""
    fail_with(errors.InputError("clip [bold].mp4 is empty"))
    assert capsys.readouterr().err == "error: clip [bold].mp4 is empty\n"


def test_a_fault_of_ours_is_one_line_and_tells_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback unless VIDANON_DEBUG asks for it."""
    monkeypatch.delenv(console.DEBUG_VARIABLE, raising=False)
    assert fail_with(ZeroDivisionError("division by zero")) == 1
    quiet = capsys.readouterr().err
    assert quiet.startswith("error: ZeroDivisionError: division by zero\nhint: ")
    assert "Traceback" not in quiet
    monkeypatch.setenv(console.DEBUG_VARIABLE, "1")
    fail_with(ZeroDivisionError("division by zero"))
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130_and_sigterm_143(capsys: pytest.CaptureFixture[str]) -> None:
    """As a shell counts signals, and with what was saved."""

    def work(e: BaseException) -> None:
        with console.stoppable("the plan is kept"):
            raise e

    assert console.guard(lambda: work(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted; the plan is kept\n"
    assert console.guard(lambda: work(console.Terminate())) == 143
    assert capsys.readouterr().err == "terminated; the plan is kept\n"


def test_with_json_progress_errors_are_json_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who parses stderr is never handed a line that is no JSON."""
    monkeypatch.setattr(console.Voice, "json", True)
    fail_with(errors.InputError("gone", hint="look"))
    logging.getLogger("vidanon.render").warning("others may read %s", "the key")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == {"event": "error", "path": None, "message": "gone", "hint": "look", "exit_code": 3}
    assert lines[1] == {"event": "warning", "message": "others may read the key"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "a.mp4", "-o", "b.mp4", "--overwrit"], ["--overwrit", "did you mean --overwrite?"]),
        (["run", "a.mp4"], ["--output"]),
        (["rum"], ["'rum'", "run"]),
        (["run", "a.mp4", "-o", "b.mp4", "--method", "gna"], ["--method"]),
        (["run", "a.mp4", "-o", "b.mp4", "--batch-size", "many"], ["--batch-size"]),
        (["run", "a.mp4", "-o", "b.mp4", "--preset", "brodcast"], ["did you mean broadcast?"]),
        (["run", "a.mp4", "-o", "b.mp4", "--threshold", "1.5"], ["--threshold", "from 0 to 1"]),
        (["run", "a.mp4", "-o", "b.mp4", "--set", "crf"], ["--set crf"]),
        (["run", "a.mp4", "-o", "b.mp4", "--set", "output.crv=3"], ["output.crv", "did you mean output.crf?"]),
        (["plan", "merge", "a.vidanon", "1"], ["two tracks"]),
    ],
)
def test_a_request_that_makes_no_sense_is_code_2_and_one_error_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Typer's complaints and ours look the same."""
    assert run_main(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 2
    for word in words:
        assert word in err


def test_version_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """`vidanon --version` is data."""
    assert run_main("--version") == 0
    assert capsys.readouterr() == ("vidanon 0.1.0\n", "")


def test_a_reader_that_leaves_is_no_traceback() -> None:
    """`vidanon presets show | head -0` ends with 141 and says nothing."""
    program = "import sys, vidanon.cli.console as c; sys.exit(c.guard(lambda: [c.put('x' * 99) for _ in range(99999)]))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_presets_show_tells_where_each_value_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    """Setting, value, origin and what is allowed, in columns."""
    assert run_main("presets", "show", "street", "--set", "detect.threshold=0.3") == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "0.3" in rows["detect.threshold"]
    assert "--set" in rows["detect.threshold"]
    assert "preset street" in rows["render.method"]
    assert "default" in rows["detect.nms_iou"]


def test_presets_list_as_json_has_every_shipped_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, description and path."""
    assert run_main("presets", "list", "--json") == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert names >= {"broadcast", "street", "fast", "strict"}
