"""What the fault tests share: a short drawn street, a stage that fails at its n-th call, and what must hold then."""

from __future__ import annotations

import hashlib
import re
import resource
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest
from street import CardDetector, CardLandmarker, Walker, cards_in, make_street

from vidanon.media.reader import Reader
from vidanon.media.work import work_folder
from vidanon.pipeline import run as run_stage
from vidanon.pipeline import scan as scan_stage
from vidanon.pipeline.reports import FileReport
from vidanon.settings import OutputSettings, RenderSettings, RunSettings, Settings

KEY = bytes(range(32))
SOLID = Settings(
    render=RenderSettings(method="solid"),
    output=OutputSettings(encoder_preset="ultrafast"),
    run=RunSettings(device="cpu", threads=1, batch_size=4),
)
GAN = msgspec.structs.replace(SOLID, render=RenderSettings(method="gan"))


def street_clip(path: Path, *, frames: int = 12) -> Path:
    """Two cards in every frame: one crosses, one stands."""
    walkers = [
        Walker(0, frames, lambda n: (10 + 2 * n, 20, 34 + 2 * n, 50)),
        Walker(0, frames, lambda _: (104, 60, 128, 88)),
    ]
    return make_street(path, walkers, frames=frames, size=(144, 104))


def stand_ins(monkeypatch: pytest.MonkeyPatch, detector: Any = None, landmarker: Any = None) -> None:
    """The card detector and landmarker, or others, in place of the networks."""
    monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: detector or CardDetector())
    monkeypatch.setattr(scan_stage.FaceLandmarker, "shipped", lambda _: landmarker or CardLandmarker())


def failing(original: Callable[..., Any], error: BaseException, *, at: int = 1) -> Callable[..., Any]:
    """`original`, but its `at`-th call and all after it raise `error`."""
    calls = 0

    def call(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= at:
            raise error
        return original(*args, **named)

    return call


@contextmanager
def disk_full() -> Iterator[None]:
    """No file grows: every write at its end is refused, as by a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def on_a_full_disk(original: Callable[..., Any], *, at: int = 1) -> Callable[..., Any]:
    """`original`, but from its `at`-th call on the disk is full while it works."""
    calls = 0

    def call(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < at:
            return original(*args, **named)
        with disk_full():
            return original(*args, **named)

    return call


def packets(path: Path) -> set[bytes]:
    """SHA-256 of every coded picture of a file's video streams."""
    with av.open(str(path)) as container:
        data = [bytes(packet) for packet in container.demux(*container.streams.video) if packet.size]
        coded = {stream.codec_context.name for stream in container.streams.video}
    assert len(coded) == 1
    return _digests(data) if coded != {"h264"} else _pictures(nal for one in data for nal in _behind_lengths(one))


def journaled(folder: Path) -> set[bytes]:
    """SHA-256 of every coded picture in the H.264 journals of a work folder."""
    found = set()
    for path in folder.glob("*.journal"):
        db = sqlite3.connect(path)
        coded = db.execute("SELECT data FROM packets").fetchall()
        found |= _pictures(nal for (data,) in coded for nal in re.split(b"\0\0\0?\1", data)[1:])
        db.close()
    return found


def _behind_lengths(data: bytes) -> Iterator[bytes]:
    """The units of an H.264 packet in MP4, MOV and MKV; in a journal they stand behind start codes."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def _pictures(nals: Iterable[bytes]) -> set[bytes]:
    # Slices alone: parameter sets and the encoder's remarks may be the same in any two files.
    return _digests(nal.rstrip(b"\0") for nal in nals if nal[0] & 31 in (1, 5))


def _digests(parts: Iterable[bytes]) -> set[bytes]:
    return {hashlib.sha256(part).digest() for part in parts}


def refused(source: Path, target: Path, settings: Settings = SOLID, **how: Any) -> tuple[int, str]:
    """Runs the main job, which must fail: exit code and message, one line. Nothing lies at the final path, and
    nothing but plan, key and finished segments of painted frames beside it.
    """
    before = source.read_bytes()
    report = run_stage.anonymize([source], target, settings=settings, **how)
    assert report.files == ()
    ((path, error),) = report.failures
    assert path == source
    assert source.read_bytes() == before
    nothing_bare(source, target)
    assert error.exit_code != 0
    assert "\n" not in error.message
    return error.exit_code, error.message


def nothing_bare(source: Path, target: Path) -> None:
    """No output, and whatever lies in its folder holds no picture of the source."""
    assert not target.exists()
    if not target.parent.exists():
        return
    work = work_folder(target)
    plan = f"{target.name}.vidanon"
    allowed = {plan, f"{plan}.key", f"{plan}-journal", work.name, source.name}
    assert {path.name for path in target.parent.iterdir()} <= allowed
    if work.exists():
        assert work.stat().st_mode & 0o777 == 0o700
        names = {path.name for path in work.iterdir()}
        assert all(re.fullmatch(r"work\.json|video\d+\.journal(-journal)?", name) for name in names), names
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in work.iterdir())
        assert not journaled(work) & packets(source)


def covered(source: Path, target: Path, settings: Settings, **how: Any) -> FileReport:
    """Runs the main job, which must succeed: no card shows in any frame."""
    report = run_stage.anonymize([source], target, settings=settings, **how)
    assert report.ok, report.failures
    naked = bare_frames(target)
    assert naked == []
    return report.files[0]


def bare_frames(path: Path) -> list[int]:
    """Frames in which a card shows."""
    with Reader(path) as reader:
        return [frame.index for frame in reader if cards_in(frame.rgb()).sum() > 4]
