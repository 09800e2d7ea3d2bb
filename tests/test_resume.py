"""Killed and run again, as often as it takes: the same bytes as if nothing had happened, and never a half file."""

from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest
from street import CardDetector, CardLandmarker, Walker, cards_in, make_street
from test_pipeline import SOLID, frames_of, walkers

from vidanon.media.journal import Journal
from vidanon.media.pixels import paste
from vidanon.media.reader import Frame
from vidanon.media.work import work_folder
from vidanon.media.writer import Writer
from vidanon.pipeline import render as render_stage
from vidanon.pipeline import run as run_stage
from vidanon.pipeline import scan as scan_stage
from vidanon.pipeline.events import Event, Note
from vidanon.pipeline.reports import FileReport
from vidanon.plan.store import Plan
from vidanon.settings import OutputSettings, RunSettings
from vidanon.types import Patch

KEY = b"k" * 32
SETTINGS = msgspec.structs.replace(SOLID, run=RunSettings(device="cpu", threads=1, batch_size=4))

KILLS = """
import os, random, shutil, signal, sys, time
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
from street import CardDetector, CardLandmarker
from test_resume import SETTINGS
from vidanon.media import mux
from vidanon.pipeline import render, run, scan
from vidanon.media.journal import Journal
from vidanon.media.pixels import paste
from vidanon.media.reader import Frame
from vidanon.media.work import work_folder

scan.FaceLandmarker.shipped = lambda _: CardLandmarker()
scan.build_detector = lambda settings, **_: CardDetector()
scan.COMMIT_SECONDS = 0.0
render.Writer = partial(render.Writer, segment_frames=4)
source, folder, key = Path({source!r}), Path({folder!r}), Path({key!r})
target = folder / "out.mp4"
ours = {{target.name + ".vidanon", target.name + ".vidanon-journal", "." + target.name + ".vidanon.new",
        "." + target.name + ".vidanon.new-journal", work_folder(target).name}}

def life(die_at=None):
    # A child of this process has all modules, and neither threads nor open files yet.
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if die_at is not None:
            packets = []
            original = mux._packet
            def last_words(*args):
                packets.append(args)
                if len(packets) == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*args)
            mux._packet = last_words
        report = run.anonymize([source], target, settings=SETTINGS, key_file=key)
        print("resumed", [file.resumed_at for file in report.files], flush=True)
        code = 0 if report.ok else 3
        for _, error in report.failures:
            print(error, flush=True)
    finally:
        os._exit(code)

def bury(child):
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    if code:
        left = {{path.name for path in folder.iterdir()}} - {{target.name}}
        assert left <= ours, left
        assert not target.exists() or target.read_bytes() == undisturbed
    return code

def clear():
    shutil.rmtree(folder)
    folder.mkdir()

folder.mkdir()
begin = time.monotonic()
assert bury(life()) == 0
seconds = time.monotonic() - begin
undisturbed = target.read_bytes()
clear()
"""

RANDOM = """
moments = random.Random(6)
kills = finished = 0
while kills < 20 or not finished:
    child = life()
    if kills < 20:
        time.sleep(moments.uniform(0, 0.6) * seconds)
        os.kill(child, signal.SIGKILL)
    if bury(child):
        kills += 1
        if target.exists():  # killed after it was done, before it could clear up
            shutil.rmtree(work_folder(target), ignore_errors=True)
        else:
            continue
    assert target.read_bytes() == undisturbed
    finished += 1
    assert {{path.name for path in folder.iterdir()}} == {{target.name, target.name + ".vidanon"}}
    clear()
print("kills", kills, "finished", finished)
"""

MUXING = """
for packet in (1, 9, 30):
    assert bury(life(die_at=packet)) == -signal.SIGKILL
    assert not target.exists()
assert bury(life()) == 0
assert target.read_bytes() == undisturbed
assert {{path.name for path in folder.iterdir()}} == {{target.name, target.name + ".vidanon"}}
print("ok")
"""


def fates(tmp_path: Path, script: str) -> str:
    """Runs a script that kills its children; what it prints."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=30, size=(160, 120))
    code = (KILLS + script).format(
        tests=str(Path(__file__).parent),
        source=str(source),
        folder=str(tmp_path / "out"),
        key=str(tmp_path / "key"),
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """SIGKILL anywhere in scan, settle, render and mux; what is finished in the end is the undisturbed output."""
    assert "kills 20" in fates(tmp_path, RANDOM)


def test_a_kill_while_the_file_is_put_together_costs_no_frame(tmp_path: Path) -> None:
    """All frames are in the journal by then; the next run only puts them together."""
    said = fates(tmp_path, MUXING).split("\n")
    assert said[:2] == ["resumed [0]", "resumed [30]"]
    assert said[2] == "ok"


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in detector, and segments of four frames."""
    monkeypatch.setattr(scan_stage.FaceLandmarker, "shipped", lambda _: CardLandmarker())
    monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: CardDetector())
    monkeypatch.setattr(render_stage, "Writer", partial(Writer, segment_frames=4))


def stopped(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, *, at: int = 14, settings: Any = SETTINGS
) -> None:
    """A render that Ctrl-C stops at frame `at`."""
    with monkeypatch.context() as patch:
        patch.setattr(render_stage, "paste", partial(stopping_paste, at=at))
        with pytest.raises(KeyboardInterrupt):
            rendered(source, target, settings=settings)


def stopping_paste(frame: Frame, patches: Sequence[Patch], *, at: int) -> Frame:
    if frame.index == at:
        raise KeyboardInterrupt
    return paste(frame, patches)


def rendered(
    source: Path, target: Path, *, settings: Any = SETTINGS, key: bytes = KEY, listen: Any = None
) -> FileReport:
    """A render of the plan beside the source."""
    plan = source.with_suffix(".plan")
    if not plan.exists():
        scan_stage.scan(source, plan, settings=settings)
    return render_stage.render(source, plan, target, settings=settings, key=key, listen=listen or (lambda _: None))


@pytest.mark.usefixtures("short_segments")
def test_a_stopped_render_goes_on_says_so_and_reports_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of the second run counts what the first one painted too."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=30)
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    once = rendered(source, whole)
    stopped(source, target, monkeypatch)
    assert not target.exists()
    events: list[Event] = []
    report = rendered(source, target, listen=events.append)
    assert report.resumed_at == 12
    assert any(isinstance(e, Note) and "goes on at frame 12" in e.message for e in events)
    for name in ("frames", "faces", "painted", "fallbacks", "tracks"):
        assert getattr(report, name) == getattr(once, name)
    assert once.painted == {"solid": once.faces}
    assert target.read_bytes() == whole.read_bytes()
    assert not work_folder(target).exists()


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("change", ["key", "method", "crf", "action", "identity"])
def test_work_of_another_key_setting_or_plan_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Whatever has a say in the pictures: the render begins anew, and the output is that of an undisturbed one."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=30)
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    stopped(source, target, monkeypatch)
    changed: dict[str, Any] = {}
    if change == "key":
        changed["key"] = b"q" * 32
    elif change == "method":
        render = msgspec.structs.replace(SETTINGS.render, method="mosaic")
        changed["settings"] = msgspec.structs.replace(SETTINGS, render=render)
    elif change == "crf":
        output = OutputSettings(crf=30, encoder_preset="ultrafast")
        changed["settings"] = msgspec.structs.replace(SETTINGS, output=output)
    else:
        with Plan.open(source.with_suffix(".plan")) as plan:
            if change == "action":
                plan.set_action(plan.tracks()[0].number, "keep")
            else:
                plan.set_identity(plan.tracks()[0].number, "somebody else")
    assert rendered(source, target, **changed).resumed_at == 0
    rendered(source, whole, **changed)
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("short_segments")
def test_batch_size_and_overwriting_cost_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no say in the pictures may change between two runs."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=30)
    target = tmp_path / "out.mp4"
    stopped(source, target, monkeypatch)
    output = msgspec.structs.replace(SETTINGS.output, overwrite=True)
    run = msgspec.structs.replace(SETTINGS.run, batch_size=7)
    changed = msgspec.structs.replace(SETTINGS, output=output, run=run)
    assert rendered(source, target, settings=changed).resumed_at == 12


@pytest.mark.usefixtures("short_segments")
def test_the_same_command_goes_on_with_a_stopped_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through `anonymize`, whose check of the output comes first and must leave the work alone."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=30)
    with monkeypatch.context() as patch:
        patch.setattr(render_stage, "paste", partial(stopping_paste, at=17))
        with pytest.raises(KeyboardInterrupt):
            run_stage.anonymize([source], tmp_path / "out.mp4", settings=SETTINGS)
    report = run_stage.anonymize([source], tmp_path / "out.mp4", settings=SETTINGS)
    assert report.ok
    assert report.files[0].resumed_at == 16
    assert not any(cards_in(image).any() for image in frames_of(tmp_path / "out.mp4"))


@pytest.mark.usefixtures("short_segments")
def test_no_unpainted_frame_lies_in_the_work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stopped run leaves is decoded: no card shows, and the files are the owner's alone."""
    source = make_street(tmp_path / "in.mp4", [Walker(0, 99, lambda n: (10 + n, 30, 60 + n, 90))], frames=30)
    target = tmp_path / "out.mkv"
    output = OutputSettings(codec="mpeg2video", encoder_preset="ultrafast")
    settings = msgspec.structs.replace(SETTINGS, output=output)
    stopped(source, target, monkeypatch, settings=settings)
    journal = next(work_folder(target).glob("*.journal"))
    with sqlite3.connect(journal) as db:
        packets = [row[0] for row in db.execute("SELECT data FROM packets ORDER BY id")]
        identity = db.execute("SELECT identity FROM journal").fetchone()[0]
    db.close()
    assert len(packets) == 12
    assert Journal(journal, identity=identity, target=target).frames_done == 12
    with av.open(io.BytesIO(b"".join(packets)), format="mpegvideo") as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 12
    assert not any(cards_in(picture).any() for picture in pictures)
    assert any(cards_in(picture).any() for picture in frames_of(source))
