"""A person's way through the command line, from a clip to an anonymized one and back."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from skimage import data

import vidanon
from vidanon.cli import console, main
from vidanon.errors import InputError
from vidanon.plan import Plan
from vidanon.types import ImageArray

COLLINS: ImageArray = np.ascontiguousarray(data.astronaut()[:240, 60:380])
"""NASA's portrait of Eileen Collins: 320 x 240 px with a face of about 95 px at (166, 115)"""


def draw(path: Path, *, frames: int, face: bool = True, sound: bool = True) -> Path:
    """A clip at 25 fps in which the portrait drifts by a pixel a frame over its own blurred edge."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        if sound:
            audio = container.add_stream("aac", rate=48000, layout="mono")
            tone = 0.3 * np.sin(np.arange(1920 * frames, dtype=np.float32) / 20)[None]
            samples = av.AudioFrame.from_ndarray(tone.astype(np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(audio.encode(samples))
        still = COLLINS if face else np.full_like(COLLINS, 120)
        for index in range(frames):
            shift = round(12 * np.sin(index / 15))
            picture = np.take(still, np.clip(np.arange(320) + shift, 0, 319), axis=1)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        for stream in container.streams:
            container.mux(stream.encode(None))  # type: ignore[attr-defined]
    return path


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    stdout: str
    stderr: str


def call(*arguments: object, code: int = 0) -> Said:
    """`vidanon ...` in this process, where torch is imported already; it must end with `code`."""
    out, err = io.StringIO(), io.StringIO()
    console.Voice.json = False
    before = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
    finally:
        console.Voice.json = False
        signal.signal(signal.SIGTERM, before)
    assert left.value.code == code, err.getvalue()
    return Said(out.getvalue(), err.getvalue())


def spawn(*arguments: object, code: int = 0) -> Said:
    """`python -m vidanon ...` in a process of its own."""
    command = [sys.executable, "-m", "vidanon", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == code, done.stderr
    return Said(done.stdout, done.stderr)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def on_her_nose(box: list[float]) -> bool:
    """Whether a box holds the middle of the drifting portrait's face."""
    return box[0] < 154 and box[2] > 178 and box[1] < 115 < box[3]


def leftovers(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames with one face and sound."""
    return draw(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=20)


@pytest.fixture(scope="module")
def finished(clip: Path) -> tuple[Path, dict[str, object], str]:
    """(output, report, stderr) of the main job on the clip, with the generator."""
    target = clip.with_name("safe.mp4")
    done = spawn("run", clip, "-o", target, "--device", "cpu", "--batch-size", 4, "--progress", "json", "--json")
    return target, json.loads(done.stdout), done.stderr


def test_the_main_job_turns_a_clip_into_an_anonymized_one(clip: Path, finished: tuple[Path, dict, str]) -> None:
    """One command: every frame painted by the generator, the source untouched, nothing partial left."""
    target, report, _ = finished
    (file,) = report["files"]
    assert report["failures"] == []
    assert file["frames"] == 20
    assert file["faces"] >= 20  # hers in every frame; a young detector may see more
    assert file["painted"] == {"gan": file["faces"]}
    assert (file["fallbacks"], file["device"]) == (0, "cpu")
    assert target.stat().st_size > 0
    assert leftovers(target.parent) == []


def test_progress_as_json_tells_the_whole_story(finished: tuple[Path, dict, str]) -> None:
    """started, progress, a stage_done for each stage, finished: each line is JSON."""
    events = [json.loads(line) for line in finished[2].splitlines()]
    kinds = [event["event"] for event in events if event["event"] not in {"progress", "note"}]
    assert kinds == ["started", *["stage_done"] * 4, "finished"]
    assert [event["stage"] for event in events if event["event"] == "stage_done"] == [
        "scan",
        "settle",
        "cast",
        "render",
    ]
    assert any(event["event"] == "progress" for event in events)


def test_frames_times_and_sound_of_the_copy_are_exact(clip: Path, finished: tuple[Path, dict, str]) -> None:
    """`compare` says so, and exits 0."""
    found = json.loads(call("compare", clip, finished[0], "--json").stdout)
    assert found["exact"] is True
    assert found["frames_in"] == found["frames_out"] == 20
    assert found["audio_streams"] == [1, 1]


def test_compare_exits_1_when_something_differs(finished: tuple[Path, dict, str], tmp_path: Path) -> None:
    """A measurement that cannot fail measures nothing."""
    other = draw(tmp_path / "other.mp4", frames=19)
    assert "is not an exact companion" in call("compare", other, finished[0], code=1).stderr


def test_the_plan_can_be_looked_at_corrected_and_rendered_again(
    clip: Path, finished: tuple[Path, dict, str], tmp_path: Path
) -> None:
    """show, export, keep, render: the kept face is visible again, without a second scan."""
    plan = finished[0].with_name("safe.mp4.vidanon")
    shown = json.loads(call("plan", "show", plan, "--json").stdout)
    tracks = [track["number"] for track in shown["tracks"]]
    exported = json.loads(call("plan", "export", plan, "--json").stdout)
    assert len(exported["frames"]) == shown["frames"] == 20
    of_hers = [{face["track"] for face in frame["faces"] if on_her_nose(face["box"])} for frame in exported["frames"]]
    assert set.intersection(*of_hers), "no one track holds her face from end to end"
    mine = tmp_path / "mine.vidanon"
    mine.write_bytes(plan.read_bytes())
    call("plan", "keep", mine, *tracks)
    kept = tmp_path / "kept.mp4"
    report = json.loads(call("render", clip, "--plan", mine, "-o", kept, "--device", "cpu", "--json").stdout)
    assert (report["frames"], report["faces"]) == (20, 0)
    call("plan", "anonymize", mine, *tracks)
    report = json.loads(
        call("render", clip, "--plan", mine, "-o", kept, "--method", "solid", "--overwrite", "--json").stdout
    )
    assert report["painted"] == {"solid": report["faces"]}
    assert report["faces"] >= 20


def test_scan_then_render_paint_what_run_paints(clip: Path, finished: tuple[Path, dict, str], tmp_path: Path) -> None:
    """The verbs of their own, with the same key, give the main job's output byte for byte."""
    plan, target = tmp_path / "a.vidanon", tmp_path / "safe.mp4"
    key = finished[0].with_name("safe.mp4.vidanon.key")
    call("scan", clip, "--plan", plan, "--device", "cpu", "--batch-size", 7)
    call("render", clip, "--plan", plan, "-o", target, "--key-file", key, "--device", "cpu", "--batch-size", 3)
    assert digest(target) == digest(finished[0])


def test_info_says_what_a_file_holds(clip: Path) -> None:
    """Size, rate and sound, in words and as JSON."""
    assert "320x240" in call("info", clip).stdout
    found = json.loads(call("info", clip, "--json").stdout)
    assert (found["width"], found["height"], len(found["audio"])) == (320, 240, 1)


def test_a_contact_sheet_shows_before_and_after(clip: Path, finished: tuple[Path, dict, str], tmp_path: Path) -> None:
    """A PNG of the asked-for cells; a second one does not replace it unasked."""
    sheet = tmp_path / "sheet.png"
    arguments = ("contact-sheet", clip, finished[0], "-o", sheet, "--moments", 4, "--columns", 2, "--cell-width", 160)
    call(*arguments)
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 4 * 160
        assert picture.height >= 2 * 120
    assert "exists already" in call(*arguments, code=4).stderr


def test_folders_of_videos_and_pictures_are_mirrored(clip: Path, tmp_path: Path) -> None:
    """Trees come out as they went in; a broken file among them is named, has no output, and makes the code 1."""
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    Image.fromarray(COLLINS).save(source / "deep" / "portrait.jpg", quality=95)
    (source / "clip.mp4").write_bytes(clip.read_bytes())
    (source / "broken.mp4").write_text("this is no video")
    done = call("run", source, "-o", target, "--method", "mosaic", "--device", "cpu", "--json", code=1)
    report = json.loads(done.stdout)
    written = {str(Path(file["target"]).relative_to(target)): file["faces"] for file in report["files"]}
    assert set(written) == {"clip.mp4", "deep/portrait.jpg"}
    assert written["clip.mp4"] >= 20
    assert written["deep/portrait.jpg"] >= 1
    assert [failure["exit_code"] for failure in report["failures"]] == [3]
    assert "broken.mp4" in done.stderr
    assert "2 files done" in done.stderr
    assert not (target / "broken.mp4").exists()
    before = np.asarray(Image.open(source / "deep" / "portrait.jpg").convert("RGB"), np.int16)
    after = np.asarray(Image.open(target / "deep" / "portrait.jpg").convert("RGB"), np.int16)
    assert np.abs(after - before)[95:140, 145:190].mean() > 10
    assert np.abs(after - before)[:, 270:].mean() < 2


def test_a_clip_without_a_face_or_without_sound_is_done_all_the_same(tmp_path: Path) -> None:
    """Nothing to cover is no error, and is said."""
    silent = draw(tmp_path / "silent.mp4", frames=5, sound=False)
    assert json.loads(call("run", silent, "-o", tmp_path / "a.mp4", "--method", "blur", "--json").stdout)["files"]
    empty = draw(tmp_path / "empty.mp4", frames=5, face=False)
    done = call("run", empty, "-o", tmp_path / "b.mp4", "--json")
    assert json.loads(done.stdout)["files"][0]["faces"] == 0
    assert "no face" in done.stderr


def bad_inputs(clip: Path, folder: Path) -> dict[str, tuple[list[object], int]]:
    text, empty, short = folder / "text.mp4", folder / "empty.mp4", folder / "short.mp4"
    text.write_text("this is no video\n" * 50)
    empty.touch()
    short.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    (folder / "file").touch()
    (folder / "there.mp4").write_bytes(b"something of value")
    return {
        "missing": ([folder / "none.mp4", "-o", folder / "a.mp4"], 3),
        "text": ([text, "-o", folder / "b.mp4"], 3),
        "zero bytes": ([empty, "-o", folder / "c.mp4"], 3),
        "truncated": ([short, "-o", folder / "d.mp4"], 3),
        "unwritable folder": ([clip, "-o", folder / "file" / "e.mp4"], 4),
        "output equal to input": ([clip, "-o", clip, "--overwrite"], 4),
        "output exists": ([clip, "-o", folder / "there.mp4"], 4),
        "no such suffix": ([clip, "-o", folder / "f.xyz"], 2),
        "unknown preset": ([clip, "-o", folder / "g.mp4", "--preset", "nope"], 2),
        "unknown option": ([clip, "-o", folder / "h.mp4", "--nope"], 2),
        "unknown device": ([clip, "-o", folder / "i.mp4", "--device", "cuda:99"], 7),
        "unknown encoder": ([clip, "-o", folder / "j.mp4", "--codec", "nope"], 4),
    }


@pytest.mark.parametrize(
    "case",
    [
        "missing",
        "text",
        "zero bytes",
        "truncated",
        "unwritable folder",
        "output equal to input",
        "output exists",
        "no such suffix",
        "unknown preset",
        "unknown option",
        "unknown device",
        "unknown encoder",
    ],
)
def test_bad_input_is_one_line_the_documented_code_and_no_output(case: str, clip: Path, tmp_path: Path) -> None:
    """What is wrong is said in one line; the source and what was there stay as they were."""
    arguments, code = bad_inputs(clip, tmp_path)[case]
    before = {path: digest(path) for path in [clip, *tmp_path.iterdir()] if path.is_file()}
    done = call("run", *arguments, "--progress", "none", code=code)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert len(lines) <= 2
    assert {path: digest(path) for path in before} == before
    assert [path for path in tmp_path.glob("*.mp4") if path not in before] == []
    assert leftovers(tmp_path) + leftovers(clip.parent) == []


@pytest.fixture
def listening() -> Iterator[None]:
    """Children heed Ctrl-C: a job put in the background by a shell is started with it ignored, and hands that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_leaves_a_plan_that_the_same_command_goes_on_with(tmp_path: Path) -> None:
    """130, no partial output, the scanned frames kept; then the same command finishes the job."""
    clip, target = draw(tmp_path / "long.mp4", frames=60), tmp_path / "out" / "safe.mp4"
    command = ["run", str(clip), "-o", str(target), "--method", "solid", "--device", "cpu", "--batch-size", "2"]
    program = [sys.executable, "-m", "vidanon", *command, "--progress", "json"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            event = json.loads(line)
            if event["event"] == "progress" and event["frame"] >= 4:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=120) == 130
    assert json.loads(rest.splitlines()[-1])["event"] == "stopped"
    assert not target.exists()
    assert leftovers(tmp_path) == []
    with Plan.open(target.with_name("safe.mp4.vidanon")) as plan:
        assert 0 < plan.header.frames < 60
    report = json.loads(call(*command, "--json").stdout)
    assert report["files"][0]["faces"] >= 60


def test_the_python_function_does_the_same(clip: Path, finished: tuple[Path, dict, str], tmp_path: Path) -> None:
    """`vidanon.anonymize` with the same key writes what `vidanon run` wrote."""
    heard: list[str] = []
    target = tmp_path / "safe.mp4"
    report = vidanon.anonymize(
        clip,
        target,
        device="cpu",
        key_file=finished[0].with_name("safe.mp4.vidanon.key"),
        batch_size=5,
        on_event=lambda event: heard.append(type(event).__name__),
    )
    assert report.ok
    assert digest(target) == digest(finished[0])
    assert (heard[0], heard[-1]) == ("Started", "Finished")


def test_the_python_function_raises_the_error_of_its_only_input(tmp_path: Path) -> None:
    """No silent failure: who does not look at the report cannot miss it."""
    broken = tmp_path / "broken.mp4"
    broken.write_text("this is no video")
    with pytest.raises(InputError, match="broken"):
        vidanon.anonymize(broken, tmp_path / "out.mp4")


def test_the_key_is_for_its_owner_only(finished: tuple[Path, dict, str]) -> None:
    """Mode 0600, and it is nowhere in what was printed."""
    key = finished[0].with_name("safe.mp4.vidanon.key")
    assert key.stat().st_mode & 0o077 == 0
    assert key.read_bytes().hex() not in finished[2]
