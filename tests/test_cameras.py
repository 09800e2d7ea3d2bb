"""Clips with several cameras: refused, cut down to one, or all painted; never a camera that nobody looked at."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest
from clips import make_clip
from street import CardDetector, CardLandmarker, Walker, cards_in, picture
from test_pipeline import SOLID
from test_resume import stopping_paste

from vidanon.errors import InputError, PlanError
from vidanon.media.probe import probe
from vidanon.media.reader import Reader
from vidanon.media.work import work_folder
from vidanon.media.writer import Writer
from vidanon.pipeline import render as render_stage
from vidanon.pipeline import run as run_stage
from vidanon.pipeline import scan as scan_stage
from vidanon.pipeline.events import Event, Note
from vidanon.settings import Settings
from vidanon.types import ImageArray

FRONT, BACK = (200, 144), (160, 96)


def with_streams(what: str) -> Settings:
    return msgspec.structs.replace(SOLID, output=msgspec.structs.replace(SOLID.output, video_streams=what))


def make_dashcam(path: Path) -> Path:
    """Two cameras of other sizes and rates: a card crosses one picture, two stand in the other."""
    front = [Walker(0, 99, lambda n: (10 + 3 * n, 30, 40 + 3 * n, 66))]
    back = [Walker(0, 99, lambda _: (20, 20, 48, 54)), Walker(5, 99, lambda n: (150 - 4 * n, 40, 178 - 4 * n, 74))]
    with av.open(str(path), "w") as out:
        streams = [_camera(out, size, rate) for size, rate in ((FRONT, 25), (BACK, 30))]
        streams[0].disposition = av.stream.Disposition.default
        streams[1].disposition = 0
        for stream, size, walkers, frames in zip(streams, (FRONT, BACK), (front, back), (20, 24), strict=True):
            for number in range(frames):
                image = picture(number, walkers, width=size[0], height=size[1])
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, stream.codec_context.time_base
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def _camera(out: Any, size: tuple[int, int], rate: int) -> Any:
    stream = out.add_stream("libx264", rate=rate, options={"crf": "8", "preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.codec_context.time_base = Fraction(1, rate)
    return stream


def pictures(path: Path, stream: int | None = None) -> list[ImageArray]:
    with Reader(path, stream=stream) as reader:
        return [frame.rgb() for frame in reader]


def naked(images: Sequence[ImageArray]) -> list[int]:
    return [number for number, image in enumerate(images) if cards_in(image).any()]


@pytest.fixture(autouse=True)
def _cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in detector, and segments of four frames."""
    monkeypatch.setattr(scan_stage.FaceLandmarker, "shipped", lambda _: CardLandmarker())
    monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: CardDetector())
    monkeypatch.setattr(render_stage, "Writer", partial(Writer, segment_frames=4))


def test_several_cameras_are_refused_and_both_ways_out_are_named(tmp_path: Path) -> None:
    """Nobody chose, so nothing is written: no plan, no folder, no output."""
    source = make_dashcam(tmp_path / "in.mp4")
    report = run_stage.anonymize([source], tmp_path / "out.mp4", settings=SOLID)
    error = report.failures[0][1]
    assert isinstance(error, InputError)
    assert "holds 2 cameras (video streams 0, 1)" in error.message
    assert "--video-streams main" in str(error.hint)
    assert "--video-streams all" in str(error.hint)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]
    with pytest.raises(InputError, match="2 cameras"):
        scan_stage.scan(source, tmp_path / "p", settings=SOLID)


def test_main_paints_one_camera_drops_the_other_and_says_so(tmp_path: Path) -> None:
    """The default stream comes out, painted, and no other."""
    source, out = make_dashcam(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    events: list[Event] = []
    assert run_stage.anonymize([source], out, settings=with_streams("main"), listen=events.append).ok
    assert probe(out).cameras == (0,)
    images = pictures(out)
    assert images[0].shape == (FRONT[1], FRONT[0], 3)
    assert len(images) == 20
    assert naked(images) == []
    assert any(isinstance(e, Note) and "only video stream 0 is kept, not 1" in e.message for e in events)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_all_paints_every_camera_into_its_own_track(tmp_path: Path, suffix: str) -> None:
    """Two tracks of the sizes, times and dispositions of the source's, no card in any frame of either."""
    source, out = make_dashcam(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}"
    report = run_stage.anonymize([source], out, settings=with_streams("all"))
    assert report.ok, report.failures
    assert report.files[0].frames == 44
    plans = sorted(p.name for p in tmp_path.glob("*.vidanon"))
    assert plans == [f"out{suffix}.s0.vidanon", f"out{suffix}.s1.vidanon"]
    for number in (0, 1):
        before, after = pictures(source, number), pictures(out, number)
        assert [image.shape for image in after] == [image.shape for image in before]
        assert len(naked(before)) == len(before)
        assert naked(after) == []
    with av.open(str(source)) as a, av.open(str(out)) as b:
        assert [s.type for s in b.streams] == ["video", "video"]
        for index in (0, 1):
            one, other = a.streams.video[index], b.streams.video[index]
            assert int(one.disposition) == int(other.disposition)
    for index in (0, 1):
        assert times(source, index) == times(out, index)


def times(path: Path, index: int) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=index)]


def test_a_stop_in_the_second_camera_costs_the_first_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on within the second one, and the bytes are those of an undisturbed run."""
    source, out, whole = make_dashcam(tmp_path / "in.mp4"), tmp_path / "out.mp4", tmp_path / "whole.mp4"
    settings, key = with_streams("all"), tmp_path / "key"
    assert run_stage.anonymize([source], whole, settings=settings, key_file=key).ok
    with monkeypatch.context() as patch:
        patch.setattr(render_stage, "paste", partial(stopping_paste, at=22))  # only the second camera has that many
        with pytest.raises(KeyboardInterrupt):
            run_stage.anonymize([source], out, settings=settings, key_file=key)
    assert len(list(work_folder(out).glob("*.journal"))) == 2
    report = run_stage.anonymize([source], out, settings=settings, key_file=key)
    assert report.files[0].resumed_at == 20 + 20
    assert out.read_bytes() == whole.read_bytes()


def test_the_plan_of_one_camera_does_not_paint_another(tmp_path: Path) -> None:
    """Taken for one another, plans would leave every face bare."""
    source, out = make_dashcam(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    assert run_stage.anonymize([source], out, settings=with_streams("all")).ok
    plan = tmp_path / "out.mp4.s1.vidanon"
    with pytest.raises(PlanError, match="another file"):
        render_stage.render(source, plan, tmp_path / "o.mp4", settings=with_streams("main"), key=b"k" * 32)
    assert not (tmp_path / "o.mp4").exists()


def test_cover_art_is_no_camera(tmp_path: Path) -> None:
    """A clip with a thumbnail is not refused, and the thumbnail does not pass."""
    clip = make_clip(tmp_path / "in.mp4", cover=True, frames=4)
    assert len(probe(clip.path).cameras) == 1
    for settings in (SOLID, with_streams("all")):
        out = tmp_path / f"{settings.output.video_streams}.mp4"
        assert run_stage.anonymize([clip.path], out, settings=settings).ok
        with av.open(str(out)) as container:
            assert [s.type for s in container.streams] == ["video"]
