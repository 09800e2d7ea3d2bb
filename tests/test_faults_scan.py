"""Fail closed, before a pixel is painted: decoder, detector, landmarker, settling, plan, weights, key."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import Clip, make_corrupt
from faulty import (
    GAN,
    KEY,
    SOLID,
    bare_frames,
    covered,
    failing,
    nothing_bare,
    on_a_full_disk,
    refused,
    stand_ins,
    street_clip,
)
from street import CardDetector

from vidanon.detect.landmarks import FaceLandmarker
from vidanon.errors import PlanError, UsageError, WeightsError
from vidanon.locations import weights_dir
from vidanon.media.reader import Reader
from vidanon.models import weights as weights_module
from vidanon.models.landmarks import Landmarker, LandmarkerConfig
from vidanon.pipeline import render as render_stage
from vidanon.pipeline import run as run_stage
from vidanon.pipeline import scan as scan_stage
from vidanon.plan.store import Plan
from vidanon.render import identity
from vidanon.types import N_FACE_POINTS, Detections, FloatArray, ImageArray

BOOM = RuntimeError("boom")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A street with two cards in each of twelve frames, and detectors that know them."""
    stand_ins(monkeypatch)
    return street_clip(tmp_path / "in.mp4")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "safe.mp4"


def test_without_a_fault_the_street_is_covered(source: Path, target: Path) -> None:
    """What the other tests would see if they injected nothing."""
    assert len(bare_frames(source)) == 12
    report = covered(source, target, SOLID)
    assert (report.frames, report.fallbacks) == (12, 0)


def test_a_damaged_frame_stops_the_scan(source: Path, target: Path, tmp_path: Path) -> None:
    """A packet of noise in the middle of the clip is no frame to be passed on or skipped."""
    clip = Clip(source, tuple(range(12)), None, 144, 104, 0)  # type: ignore[arg-type]
    bad = make_corrupt(tmp_path / "bad.mp4", clip, packet=7)
    code, message = refused(bad, target)
    assert code == 3
    assert "frame" in message


def test_a_decoder_that_fails_during_the_render_stops_it(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that could be read in the first pass and not in the second."""
    run = Reader.__next__

    class Worn(Reader):
        def __next__(self) -> Any:
            frame = run(self)
            if frame.index == 7:
                raise OSError(5, "Input/output error")
            return frame

    monkeypatch.setattr(render_stage, "Reader", Worn)
    code, message = refused(source, target)
    assert code == 1
    assert "Input/output error" in message


def test_a_clip_that_changes_between_the_passes_is_refused(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The plan's fingerprint does not fit it any more."""
    other = street_clip(tmp_path / "other.mp4", frames=9).read_bytes()
    scan = run_stage.scan

    def swapping(path: Path, *args: Any, **named: Any) -> Any:
        report = scan(path, *args, **named)
        path.write_bytes(other)
        return report

    monkeypatch.setattr(run_stage, "scan", swapping)
    report = run_stage.anonymize([source], target, settings=SOLID)
    assert [type(error) for _, error in report.failures] == [PlanError]
    nothing_bare(source, target)


class Odd(CardDetector):
    """A detector whose answers are spoiled from the sixth frame on."""

    def __init__(self, spoil: Callable[[Detections], Detections]) -> None:
        super().__init__()
        self.spoil = spoil

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """As `Detector.detect`."""
        found = super().detect(images)
        return [self.spoil(one) if self.seen > 5 else one for one in found]


def no_score(found: Detections) -> Detections:
    return Detections(found.boxes, np.full_like(found.scores, np.nan), found.keypoints)


def no_box(found: Detections) -> Detections:
    return Detections(np.full_like(found.boxes, np.inf), found.scores, found.keypoints)


def raises(found: Detections) -> Detections:
    raise BOOM


@pytest.mark.parametrize(("spoil", "code"), [(raises, 1), (no_score, 7), (no_box, 7)])
def test_a_detector_that_fails_stops_the_scan(
    spoil: Callable[[Detections], Detections], code: int, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exceptions, NaN and infinity: none of them means "no face"."""
    stand_ins(monkeypatch, Odd(spoil))
    assert refused(source, target)[0] == code


def test_a_detector_that_answers_for_too_few_pictures_stops_the_scan(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers must never slip to another frame."""
    detector = CardDetector()
    detector.detect = lambda images: CardDetector.detect(detector, images)[:-1]  # type: ignore[method-assign]
    stand_ins(monkeypatch, detector)
    assert refused(source, target)[0] == 1


class Points:
    """A landmarker that calls `answer`."""

    def __init__(self, answer: Callable[[int], Any]) -> None:
        self.answer = answer

    def locate(self, image: ImageArray, found: Detections) -> Any:
        """As `FaceLandmarker.locate`."""
        return self.answer(len(found))


def nothing_known(faces: int) -> tuple[FloatArray, FloatArray]:
    return np.full((faces, N_FACE_POINTS, 2), np.nan, np.float32), np.zeros((faces, N_FACE_POINTS), np.float32)


def test_a_landmarker_that_fails_stops_the_scan(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception is non-zero and named."""
    stand_ins(monkeypatch, landmarker=Points(failing(nothing_known, BOOM, at=6)))
    code, message = refused(source, target)
    assert (code, "RuntimeError: boom" in message) == (1, True)


class _Nan(torch.nn.Module):
    """A landmarker network that gives no numbers: in its points (0), its spreads (1) or both."""

    def __init__(self, *spoiled: int) -> None:
        super().__init__()
        self.inner = Landmarker(LandmarkerConfig())
        self.config, self.spoiled = self.inner.config, spoiled

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(
            torch.full_like(part, torch.nan) if i in self.spoiled else part for i, part in enumerate(self.inner(crops))
        )


@pytest.mark.parametrize("spoiled", [(0,), (1,), (0, 1)])
def test_a_landmarker_without_numbers_leaves_faces_without_points_and_covered(
    spoiled: tuple[int, ...], source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point that is no number is an unknown point."""
    torch.manual_seed(0)
    stand_ins(monkeypatch, landmarker=FaceLandmarker(_Nan(*spoiled), "cpu"))  # type: ignore[arg-type]
    assert covered(source, target, SOLID).faces >= 24
    with Plan.open(target.with_name("safe.mp4.vidanon")) as plan:
        points = [face.points for frame in plan.scanned() for face in frame.faces]
    assert len(points) == 24
    assert all(np.isnan(one).all() for one in points)


def test_a_settling_that_fails_is_no_plan_to_render(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is rolled back: a half-written track list is never painted from."""
    real = scan_stage.settle_all

    def half(*args: Any, **named: Any) -> Any:
        items = iter(real(*args, **named))
        yield next(items)
        raise BOOM

    monkeypatch.setattr(scan_stage, "settle_all", half)
    assert refused(source, target)[0] == 1
    plan = target.with_name("safe.mp4.vidanon")
    with pytest.raises(PlanError, match="unfinished"):
        render_stage.render(source, plan, target, settings=SOLID, key=KEY)


@pytest.mark.parametrize("step", ["create", "append", "finish_scan", "write_tracks"])
def test_a_disk_that_is_full_for_the_plan_stops_the_scan(
    step: str, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says so; when there is space again the same command finishes."""
    with monkeypatch.context() as full:
        full.setattr(Plan, step, on_a_full_disk(getattr(Plan, step)))
        code, message = refused(source, target)
    assert code == 5
    assert "cannot be" in message
    assert "written" in message
    covered(source, target, SOLID)


def settled(source: Path, path: Path) -> Path:
    scan_stage.scan(source, path, settings=SOLID)
    return path


EDITS = {
    "a face of one frame": "DELETE FROM observations WHERE frame = 6 AND track = 1",
    "the first face of a track": "DELETE FROM observations WHERE frame = 0 AND track = 2",
    "the last face of a track": "DELETE FROM observations WHERE frame = 11 AND track = 1",
    "a face moved to another frame": "UPDATE observations SET frame = 99 WHERE frame = 6 AND track = 1",
    "a track": "DELETE FROM tracks WHERE number = 2",
    "all faces": "DELETE FROM observations",
    "a shortened track": "UPDATE tracks SET last = 5 WHERE number = 1",
    "a frame": "DELETE FROM frames WHERE idx = 6",
    "the last frame": "DELETE FROM frames WHERE idx = 11",
    "the time of a frame": "UPDATE frames SET pts = pts + 1 WHERE idx = 6",
    "a box that is no number": "UPDATE observations SET x0 = 9e999 WHERE frame = 6",
    "points that are none": "UPDATE observations SET points = x'00' WHERE frame = 6",
    "the state": "UPDATE plan SET state = 'scanned'",
}


@pytest.mark.parametrize("what", EDITS)
def test_a_plan_edited_by_hand_is_refused_where_a_face_would_be_bare(
    what: str, source: Path, target: Path, tmp_path: Path
) -> None:
    """A row more or less, in any SQLite tool, never becomes a naked frame."""
    plan = settled(source, tmp_path / "p")
    db = sqlite3.connect(plan)
    assert db.execute(EDITS[what]).rowcount > 0
    db.commit()
    db.close()
    target.parent.mkdir()
    with pytest.raises(Exception, match=r".") as caught:
        render_stage.render(source, plan, target, settings=SOLID, key=KEY)
    assert getattr(caught.value, "exit_code", None) in (5, 8), caught.value
    nothing_bare(source, target)


def test_a_plan_of_another_file_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    """Even one of the same size and length."""
    other = street_clip(tmp_path / "other.mp4", frames=11)
    plan = settled(other, tmp_path / "p")
    assert refused(source, target, plan=plan)[0] == 5


@pytest.mark.parametrize("name", ["detector", "landmarks", "generator"])
@pytest.mark.parametrize("fault", ["missing", "tampered", "truncated", "unlisted"])
def test_weights_that_are_not_as_they_left_us_stop_everything(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit is enough, of the generator too, and before the scan."""
    folder = tmp_path / "weights"
    shutil.copytree(weights_dir(), folder)
    path = folder / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    if fault == "missing":
        path.unlink()
    elif fault == "tampered":
        data[-1] ^= 1
        path.write_bytes(data)
    elif fault == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace(f'"{name}": {{', f'"{name}s": {{'))
    monkeypatch.setattr(weights_module, "weights_dir", lambda: folder)
    source, target = street_clip(tmp_path / "in.mp4", frames=4), tmp_path / "out" / "safe.mp4"
    if name == "generator":
        with pytest.raises(WeightsError):
            run_stage.anonymize([source], target, settings=GAN)
        assert not target.parent.exists()
    else:
        assert refused(source, target)[0] == 6


@pytest.mark.parametrize("fault", ["a folder", "too short", "too long"])
def test_a_key_that_cannot_be_used_stops_the_run_before_the_scan(fault: str, source: Path, target: Path) -> None:
    """Named or beside the plan; it is never replaced silently, which would give everybody another face."""
    beside = target.with_name("safe.mp4.vidanon.key")
    beside.parent.mkdir()
    if fault == "a folder":
        beside.mkdir()
    else:
        beside.write_bytes(bytes(31 if fault == "too short" else 5000))
    with pytest.raises(UsageError, match="key"):
        run_stage.anonymize([source], target, settings=SOLID, key_file=beside)
    assert refused(source, target)[0] == 2
    assert not target.with_name("safe.mp4.vidanon").exists()
    assert beside.exists()


def test_a_disk_that_is_full_for_the_key_leaves_no_half_a_key(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a key would be refused for ever after."""
    with monkeypatch.context() as full:
        full.setattr(run_stage, "load_or_create_key", on_a_full_disk(identity.load_or_create_key))
        code, message = refused(source, target)
    assert (code, "key file" in message) == (2, True)
    assert not target.with_name("safe.mp4.vidanon.key").exists()
    covered(source, target, SOLID)


def test_a_fault_of_ours_in_one_file_leaves_the_others_to_be_done(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a stage raises, it is this file's failure and no other's."""
    second = street_clip(tmp_path / "second.mp4", frames=5)
    monkeypatch.setattr(scan_stage, "settle_all", failing_once(scan_stage.settle_all))
    report = run_stage.anonymize([source, second], tmp_path / "out", settings=SOLID)
    assert [path.name for path, _ in report.failures] == ["in.mp4"]
    assert [file.target.name for file in report.files] == ["second.mp4"]
    assert bare_frames(tmp_path / "out" / "second.mp4") == []
    assert not (tmp_path / "out" / "in.mp4").exists()


def failing_once(original: Callable[..., Any]) -> Callable[..., Any]:
    """Fails the first time only."""
    first = [True]

    def call(*args: Any, **named: Any) -> Any:
        if first.pop() if first else False:
            raise BOOM
        return original(*args, **named)

    return call
