"""Containers that count pictures get clips that can be counted, and the others are refused in time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from clips import Tone, frame_times, make_clip

from vidanon.errors import InputError, OutputError
from vidanon.media.probe import probe
from vidanon.media.reader import Reader
from vidanon.media.writer import Writer
from vidanon.settings import OutputSettings

FAST = OutputSettings(encoder_preset="ultrafast")
MS = Fraction(1, 1000)


def rewrite(source: Path, target: Path, settings: OutputSettings = FAST) -> None:
    with Reader(source) as reader, Writer(target, reader.info, settings=settings) as writer:
        for frame in reader:
            writer.write(frame)


@pytest.mark.parametrize("suffix", [".avi", ".mxf"])
@pytest.mark.parametrize(
    "pts", [[0, 512, 700, 1536], [0, 512, 1024, 1100]], ids=["between two pictures", "less than a picture apart"]
)
def test_times_between_the_pictures_are_refused_before_the_first_frame(
    tmp_path: Path, suffix: str, pts: list[int]
) -> None:
    """Nothing is rounded to fit."""
    clip = make_clip(tmp_path / "a.mp4", pts=pts)
    with pytest.raises(OutputError, match="frame"):
        Writer(tmp_path / f"out{suffix}", clip.path, settings=FAST)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("suffix", [".avi", ".mxf"])
def test_a_steady_clip_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    """Out of MP4, and out of Matroska, which has rounded them to milliseconds."""
    exact = make_clip(tmp_path / "a.mp4", frames=8)
    rounded = make_clip(tmp_path / "a.mkv", time_base=MS, pts=[round(1000 * i / 30) for i in range(8)])
    for clip in (exact, rounded):
        out = tmp_path / f"out{clip.path.suffix}{suffix}"
        rewrite(clip.path, out)
        assert frame_times(out) == [Fraction(i, 30) for i in range(8)]


def test_an_avi_may_leave_pictures_out_and_an_mxf_may_not(tmp_path: Path) -> None:
    """A gap of whole pictures is one an AVI knows how to write."""
    pts = [0, 1, 2, 5, 6]
    avi = make_clip(tmp_path / "a.avi", codec="mjpeg", pix_fmt="yuvj420p", pts=pts, time_base=Fraction(1, 25))
    times = frame_times(avi.path)
    rewrite(avi.path, tmp_path / "out.avi")
    assert frame_times(tmp_path / "out.avi") == times
    late = make_clip(tmp_path / "late.mkv", time_base=MS, pts=[round(1000 * i / 30) for i in (2, 3, 4, 5)])
    with pytest.raises(OutputError, match="without a gap"):
        Writer(tmp_path / "out.mxf", late.path, settings=FAST)


@pytest.mark.parametrize("suffix", [".avi", ".mxf"])
def test_sound_that_begins_late_is_refused(tmp_path: Path, suffix: str) -> None:
    """Neither container can say so; without the sound it can be written."""
    clip = make_clip(tmp_path / "a.mov", frames=6, tones=[Tone(codec="pcm_s16le", delay_seconds=0.31)])
    with pytest.raises(OutputError, match="sound that begins"):
        Writer(tmp_path / f"out{suffix}", clip.path, settings=FAST)
    rewrite(clip.path, tmp_path / f"out{suffix}", OutputSettings(encoder_preset="ultrafast", audio="drop"))
    assert len(frame_times(tmp_path / f"out{suffix}")) == 6


@pytest.mark.parametrize("suffix", [".avi", ".mxf", ".ts"])
def test_a_turn_that_cannot_be_written_is_refused(tmp_path: Path, suffix: str) -> None:
    """Nobody gets a lying picture."""
    clip = make_clip(tmp_path / "a.mp4", rotation=90, frames=3)
    with pytest.raises(OutputError, match="rotation"):
        Writer(tmp_path / f"out{suffix}", clip.path, settings=FAST)


def test_a_cut_off_mxf_is_refused(tmp_path: Path) -> None:
    """Its first partition says where the last one should be."""
    clip = make_clip(tmp_path / "a.mp4", frames=12)
    rewrite(clip.path, tmp_path / "whole.mxf")
    data = (tmp_path / "whole.mxf").read_bytes()
    assert probe(tmp_path / "whole.mxf").frames_estimate == 12
    (tmp_path / "half.mxf").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match="cut off"):
        probe(tmp_path / "half.mxf")


def test_an_avi_of_h264_stays_one_and_no_other_clip_becomes_one(tmp_path: Path) -> None:
    """FFmpeg shows its pictures one later than an AVI says they are decoded, in source and output alike."""
    tone, no_b_frames = Tone(codec="ac3"), {"bf": "0"}
    source = make_clip(tmp_path / "a.avi", time_base=Fraction(1, 30), pts=range(8), options=no_b_frames, tones=[tone])
    rewrite(source.path, tmp_path / "out.avi")
    assert frame_times(tmp_path / "out.avi") == frame_times(source.path)
    assert probe(tmp_path / "out.avi").codec == "h264"
    steady = make_clip(tmp_path / "a.mp4", frames=4)
    with pytest.raises(OutputError, match="one picture late"):
        Writer(tmp_path / "b.avi", steady.path, settings=OutputSettings(codec="libx264"))
    rewrite(steady.path, tmp_path / "b.avi")
    assert (probe(tmp_path / "b.avi").codec, frame_times(tmp_path / "b.avi")[0]) == ("mpeg4", 0)
