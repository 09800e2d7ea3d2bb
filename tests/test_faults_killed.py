"""Fail closed when the process itself is stopped: SIGINT, SIGTERM and SIGKILL, in the scan and in the render.

Ctrl-C in the scan is a part of the journey in test_cli_journey.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faulty import SOLID, covered, nothing_bare, stand_ins, street_clip

SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
from street import CardDetector, CardLandmarker
from vidanon.cli import main
from vidanon.media import writer
from vidanon.pipeline import render, scan
class Slow(CardDetector):
    def _one(self, image):
        time.sleep({scan})
        return super()._one(image)
def slow(*args, real=render.paste):
    time.sleep({render})
    return real(*args)
def short(*args, real=render.Writer, **named):
    return real(*args, **named, segment_frames=2)
scan.build_detector = lambda *_, **__: Slow()
scan.FaceLandmarker.shipped = lambda _: CardLandmarker()
render.paste, render.Writer = slow, short
main(sys.argv[1:])
"""


def stopped(source: Path, target: Path, stage: str, how: signal.Signals) -> tuple[int, list[dict[str, object]]]:
    """Exit code and events of a main job that got a signal as soon as `stage` had done some frames."""
    pace = {name: 0.08 if name == stage else 0 for name in ("scan", "render")}
    code = SLOW.format(tests=str(Path(__file__).parent), **pace)
    flags = ["--method", "solid", "--device", "cpu", "--batch-size", "2", "--progress", "json"]
    flags += ["--set", "output.encoder_preset=ultrafast"]
    program = [sys.executable, "-c", code, "run", str(source), "-o", str(target), *flags]
    events = []
    # A shell's background job is started with Ctrl-C ignored, and hands that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                events.append(json.loads(line))
                if events[-1].get("stage") == stage and events[-1]["event"] == "progress":
                    process.send_signal(how)
                    break
            events += [json.loads(line) for line in process.stderr]
            return process.wait(timeout=120), events
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("stage", "how", "code"),
    [
        ("scan", signal.SIGTERM, 143),
        ("scan", signal.SIGKILL, -9),
        ("render", signal.SIGINT, 130),
        ("render", signal.SIGTERM, 143),
        ("render", signal.SIGKILL, -9),
    ],
)
def test_a_signal_leaves_nothing_at_the_final_path(
    stage: str, how: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code says which one; what is left holds painted frames alone; the same command then finishes."""
    source, target = street_clip(tmp_path / "in.mp4", frames=30), tmp_path / "out" / "safe.mp4"
    got, events = stopped(source, target, stage, how)
    assert got == code
    assert not any(event["event"] == "finished" for event in events)
    if code > 0:
        assert events[-1]["event"] == "stopped"
    nothing_bare(source, target)
    stand_ins(monkeypatch)
    report = covered(source, target, SOLID)
    assert (report.frames, report.faces) == (30, 60)
