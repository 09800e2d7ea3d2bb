"""The comparison finds every difference it promises to find, and no other."""

from __future__ import annotations

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, Tone, make_clip

from vidanon.media.compare import Comparison, compare
from vidanon.media.reader import Reader
from vidanon.media.writer import Writer, output_suffix
from vidanon.settings import OutputSettings


def test_a_clip_equals_itself(vfr_clip: Clip) -> None:
    """Ten frames, two audio streams, nothing differs."""
    result = compare(vfr_clip.path, vfr_clip.path)
    assert result == Comparison(10, 10, True, (2, 2), True)
    assert result.exact


def test_a_frame_too_few_or_at_another_time_is_found(tmp_path: Path) -> None:
    """One tick of the clock is a difference."""
    a = make_clip(tmp_path / "a.mp4", pts=[0, 512, 1024]).path
    late = make_clip(tmp_path / "late.mp4", pts=[0, 513, 1024]).path
    short = make_clip(tmp_path / "short.mp4", pts=[0, 512]).path
    assert compare(a, late) == Comparison(3, 3, False, (0, 0), True)
    assert compare(a, short) == Comparison(3, 2, False, (0, 0), True)
    assert not compare(a, short).exact


def test_other_sound_is_found(tmp_path: Path) -> None:
    """Another tone, the same tone later, one track less."""
    a = make_clip(tmp_path / "a.mp4", tones=[Tone()]).path
    other = make_clip(tmp_path / "other.mp4", tones=[Tone(hertz=441.0)]).path
    later = make_clip(tmp_path / "later.mp4", tones=[Tone(delay_seconds=0.25)]).path
    none = make_clip(tmp_path / "none.mp4").path
    assert not compare(a, other).audio_packets_equal
    assert not compare(a, later).audio_packets_equal
    assert compare(a, none).audio_streams == (1, 0)
    assert not compare(a, none).exact


def test_sound_in_another_order_of_packets_is_the_same_sound(tmp_path: Path) -> None:
    """How streams are interleaved does not matter."""
    a = make_clip(tmp_path / "a.mp4", tones=[Tone()]).path
    b = make_clip(tmp_path / "b.mp4", tones=[Tone()], tones_first=True).path
    assert compare(a, b).exact


def test_the_outputs_clock_is_the_measure(tmp_path: Path) -> None:
    """Matroska counts milliseconds: a time is right when it is the source's, rounded to them."""
    source = make_clip(tmp_path / "a.mp4", pts=[0, 512, 1024, 1536], tones=[Tone()]).path
    rounded = make_clip(tmp_path / "b.mkv", time_base=Fraction(1, 1000), pts=[0, 33, 67, 100]).path
    wrong = make_clip(tmp_path / "c.mkv", time_base=Fraction(1, 1000), pts=[0, 33, 66, 100]).path
    assert compare(source, rounded).pts_equal
    assert not compare(source, wrong).pts_equal
    with Reader(source) as reader, Writer(tmp_path / "d.mkv", reader.info, settings=OutputSettings()) as writer:
        for frame in reader:
            writer.write(frame)
    assert compare(source, tmp_path / "d.mkv").exact


def test_pcm_may_be_cut_into_packets_as_the_container_likes(tmp_path: Path) -> None:
    """The same bytes in other portions are the same sound."""
    a = make_clip(tmp_path / "a.mov", tones=[Tone(codec="pcm_s16le")]).path
    with av.open(str(a)) as source, av.open(str(tmp_path / "b.mkv"), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    assert compare(a, tmp_path / "b.mkv").exact
    other = make_clip(tmp_path / "c.mov", tones=[Tone(codec="pcm_s16le", hertz=441.0)]).path
    assert not compare(a, other).audio_packets_equal


def _shared_clips() -> list[Path]:
    root = Path(os.environ.get("VIDANON_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    return sorted((root / "clips").glob("*")) if (root / "clips").is_dir() else []


@pytest.mark.parametrize(
    "name", ["talking-head-1.mp4", "signing-full-range.mkv", "classroom.gif", "dashcam-motorway.mp4"]
)
def test_real_clips_pass_unchanged(tmp_path: Path, name: str) -> None:
    """Clips from cameras and editors, with edit lists, trimmed sound and full range, come out exact."""
    source = next((clip for clip in _shared_clips() if clip.name == name), None)
    if source is None:
        pytest.skip("the shared clips are not here")
    out = tmp_path / f"out{output_suffix(source)}"
    settings = OutputSettings(encoder_preset="ultrafast")
    with Reader(source) as reader, Writer(out, reader.info, settings=settings) as writer:
        for frame in reader:
            writer.write(frame)
    result = compare(source, out)
    assert result.exact, dataclasses.asdict(result)
    with av.open(str(source)) as a, av.open(str(out)) as b:
        assert a.duration == b.duration
