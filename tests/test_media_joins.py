"""Every encoder's segments join: a container made of short ones plays like one that was encoded in one go."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import matrix_facts
import pytest
from clips import Tone, make_clip, number_in
from matrix_clips import film

from vidanon.media.reader import Reader
from vidanon.media.writer import Writer
from vidanon.settings import OutputSettings

_AVI_H264 = {"options": {"bf": "0", "preset": "veryfast"}}


def joined(source: Path, target: Path) -> None:
    """Every frame, unchanged, in segments of three."""
    settings = OutputSettings(encoder_preset="veryfast")
    with Reader(source) as reader, Writer(target, reader.info, settings=settings, segment_frames=3) as writer:
        for frame in reader:
            writer.write(frame)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "how"),
    [
        ("a.mp4", "libx264", "yuv420p", {"options": {"preset": "veryfast"}}),
        ("a.mp4", "libx265", "yuv420p10le", {"options": {"x265-params": "log-level=error:bframes=0"}}),
        ("a.mp4", "libsvtav1", "yuv420p", {"options": {"preset": "12"}}),
        ("a.mp4", "mpeg4", "yuv420p", {"qscale": 2}),
        ("a.ts", "mpeg2video", "yuv420p", {"qscale": 2}),
        ("a.mkv", "ffv1", "yuv422p10le", {"fields": "bff", "options": {"level": "3"}}),
        ("a.mkv", "libx264", "yuv420p", {"fields": "tff", "options": {"preset": "veryfast"}}),
        ("a.webm", "libvpx-vp9", "yuv420p", {"options": {"deadline": "realtime", "cpu-used": "8"}}),
        ("a.webm", "libvpx", "yuv420p", {"options": {"deadline": "realtime", "cpu-used": "8"}}),
        ("a.mov", "prores_ks", "yuv422p10le", {}),
        ("a.mov", "dnxhd", "yuv422p", {"size": (256, 144), "options": {"profile": "dnxhr_sq"}}),
        ("a.mov", "v210", "yuv422p10le", {"fields": "bff"}),
        ("a.mov", "qtrle", "rgb24", {}),
        ("a.mxf", "mpeg2video", "yuv422p", {"qscale": 2, "fields": "tff"}),
        ("a.mxf", "libx264", "yuv422p10le", {"options": {"g": "1", "preset": "veryfast"}}),
        ("a.mxf", "jpeg2000", "yuv422p10le", {}),
        ("a.mxf", "ffv1", "yuv422p10le", {"options": {"level": "3"}}),
        ("a.mxf", "dvvideo", "yuv420p", {"size": (720, 576), "fields": "bff"}),
        ("a.avi", "libx264", "yuv420p", _AVI_H264),
        ("a.avi", "mpeg2video", "yuv420p", {"qscale": 2}),
        ("a.avi", "mpeg4", "yuv420p", {"qscale": 2, "fields": "tff"}),
        ("a.avi", "mjpeg", "yuvj422p", {"qscale": 2}),
        ("a.avi", "huffyuv", "yuv422p", {}),
        ("a.avi", "ffvhuff", "yuv420p", {}),
        ("a.avi", "utvideo", "yuv420p", {}),
        ("a.avi", "rawvideo", "yuv420p", {}),
        ("a.avi", "dvvideo", "yuv420p", {"size": (720, 576)}),
    ],
)
def test_segments_of_every_encoder_join(
    tmp_path: Path, *, name: str, codec: str, pix_fmt: str, how: dict[str, Any]
) -> None:
    """Codec, times and pictures are the source's, and ffmpeg has nothing to say."""
    source, out = film(tmp_path / name, codec, pix_fmt, **how), tmp_path / f"out_{name}"
    joined(source, out)
    before, after = matrix_facts.facts(source), matrix_facts.facts(out)
    for fact in ("codec", "pixel format", "times", "frame numbers", "interlaced", "field order", "size"):
        assert after[fact] == before[fact], fact
    assert matrix_facts.untrue_duration(out) == ""
    assert matrix_facts.complaints(out) == ""


def test_uneven_times_last_as_long_as_they_should(tmp_path: Path) -> None:
    """Whatever the last frame's length and place: duration by the index and by the edit list are the same."""
    for number, steps in enumerate(([900, 100, 100, 2000], [100, 100, 2000, 20], [2000, 30, 30, 30], [5, 5, 5, 4000])):
        pts = [0, *(sum((steps * 2)[:i]) for i in range(1, 8))]
        source = make_clip(tmp_path / f"{number}.mp4", pts=pts, tones=[Tone()])
        out = tmp_path / f"out{number}.mp4"
        settings = OutputSettings(encoder_preset="medium")
        with Reader(source.path) as reader, Writer(out, reader.info, settings=settings) as writer:
            durations = []
            for frame in reader:
                writer.write(frame)
                durations.append(frame.picture.duration)
        with av.open(str(out)) as container:
            stream = container.streams.video[0]
            assert stream.duration == pts[-1] + durations[-1]
            frames = list(container.decode(stream))
        assert [f.pts * f.time_base for f in frames] == [Fraction(p, 15360) for p in pts]
        assert [number_in(f.to_ndarray(format="rgb24")) for f in frames] == list(range(8))
