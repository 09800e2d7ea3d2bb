"""Segments on disk: what is finished stays, what is not is forgotten, and joined they are one clip."""

from __future__ import annotations

import errno
import itertools
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, Tone, audio_packets, frame_times, make_clip, number_in
from test_cli_journey import draw

from vidanon.errors import OutputError
from vidanon.media import mux
from vidanon.media.journal import CodedPacket, Journal
from vidanon.media.reader import Reader
from vidanon.media.work import WorkFolder, is_live, read_note, work_folder
from vidanon.media.writer import Writer, check_output
from vidanon.settings import OutputSettings

UNEVEN = [0, 512, 700, 2000, 2100, 5000, 5100, 5200, 5300, 7000, 7100, 7700, 9000, 9060, 9600, 9700, 9900, 11000]


class StopError(Exception):
    """What stops a writer in these tests."""


def write(
    source: Path,
    target: Path,
    *,
    settings: OutputSettings,
    identity: str | None = "same",
    stop: int | None = None,
    length: int = 5,
) -> int:
    """All frames the writer lacks, or those before frame `stop`; returns where it went on."""
    with (
        suppress(StopError),
        Writer(target, source, settings=settings, identity=identity, segment_frames=length) as writer,
    ):
        with Reader(source, start=writer.resumed_at) as reader:
            for frame in itertools.takewhile(lambda frame: frame.index != stop, reader):
                writer.sinks[0].write(frame, {"seen": 1})
        assert writer.sinks[0].tally["seen"] == writer.sinks[0].frames
        if stop is not None:
            raise StopError
        return writer.resumed_at
    return -1


def says(path: Path) -> str:
    """What FFmpeg's own command line has to say about a file when it reads it to the end."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-xerror", "-i", str(path)]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


CODECS = [
    ("libx264", ".mp4", "yuv420p"),
    ("libx264", ".mkv", "yuv420p"),
    ("libx264", ".ts", "yuv420p"),
    ("libx265", ".mp4", "yuv420p10le"),
    ("libsvtav1", ".mp4", "yuv420p"),
    ("libvpx-vp9", ".webm", "yuv420p"),
    ("libvpx", ".webm", "yuv420p"),
    ("prores_ks", ".mov", "yuv422p10le"),
    ("mpeg2video", ".mp4", "yuv420p"),
    ("mjpeg", ".mov", "yuvj420p"),
    ("ffv1", ".mkv", "yuv420p"),
]


@pytest.mark.parametrize(("codec", "suffix", "pix_fmt"), CODECS)
def test_segments_joined_are_one_clip(tmp_path: Path, codec: str, suffix: str, pix_fmt: str) -> None:
    """Cut into segments of five, stopped and gone on with: the same bytes as undisturbed, all times kept."""
    base = Fraction(1, 90000) if suffix == ".ts" else Fraction(1, 1000) if suffix in (".mkv", ".webm") else None
    pts = UNEVEN if base is None else [round((2 + Fraction(p, 15360)) / base) for p in UNEVEN]
    clip = make_clip(
        tmp_path / f"a{suffix if suffix != '.webm' else '.mkv'}",
        pts=pts,
        pix_fmt=pix_fmt,
        time_base=base or Fraction(1, 15360),
        tones=[Tone(codec="libopus")] if suffix in (".mkv", ".webm") else [Tone()],
    )
    settings = OutputSettings(codec=codec, encoder_preset="medium")
    whole, torn = tmp_path / f"whole{suffix}", tmp_path / f"torn{suffix}"
    assert write(clip.path, whole, settings=settings) == 0
    for stop in (3, 12):
        assert write(clip.path, torn, settings=settings, stop=stop) == -1
    assert write(clip.path, torn, settings=settings) == 10
    assert torn.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([clip.path.name, whole.name, torn.name])
    assert frame_times(whole) == frame_times(clip.path)
    assert audio_packets(whole) == audio_packets(clip.path)
    with Reader(whole) as reader:
        assert reader.info.pix_fmt == pix_fmt
        assert [number_in(frame.rgb()) for frame in reader] == list(range(len(pts)))
    assert says(whole) == ""


def test_the_same_pictures_give_the_same_bytes_every_time(tmp_path: Path) -> None:
    """An encoder whose output depends on what else lay in memory would make going on visible."""
    clip = draw(tmp_path / "a.mp4", frames=10)  # drawn patterns do not show what a photograph does
    outputs = set()
    for _ in range(24):
        write(clip, tmp_path / "out.mp4", settings=OutputSettings(overwrite=True), identity=None, length=240)
        outputs.add((tmp_path / "out.mp4").read_bytes())
    assert len(outputs) == 1


def test_every_segment_can_be_decoded_by_itself(tmp_path: Path, vfr_clip: Clip) -> None:
    """Each begins with a key frame on which everything after it rests."""
    out = tmp_path / "out.mp4"
    write(vfr_clip.path, out, settings=OutputSettings(), length=4)
    with av.open(str(out)) as container:
        keys = [packet.pts for packet in container.demux(video=0) if packet.size and packet.is_keyframe]
    assert set(keys) >= {vfr_clip.pts[0], vfr_clip.pts[4], vfr_clip.pts[8]}


def test_the_timecode_in_an_mpeg_2_bitstream_runs_on(tmp_path: Path) -> None:
    """A segment's first group of pictures carries the time of its first frame, also in a run that went on."""
    clip = make_clip(tmp_path / "a.mov", frames=36, pts=[i * 600 for i in range(36)], time_base=Fraction(1, 15000))
    out = tmp_path / "out.mov"
    settings = OutputSettings(codec="mpeg2video", encoder_options="g=12")
    write(clip.path, out, settings=settings, stop=30, length=12)
    assert write(clip.path, out, settings=settings, length=12) == 24
    assert _gop_timecodes(out) == [(0, 0, 0, 0), (0, 0, 0, 12), (0, 0, 0, 24)]


def _gop_timecodes(path: Path) -> list[tuple[int, int, int, int]]:
    """Hours, minutes, seconds and pictures of every group_of_pictures_header (ISO/IEC 13818-2, 6.2.2.6)."""
    data, codes, at = path.read_bytes(), [], -1
    while (at := data.find(b"\0\0\1\xb8", at + 1)) >= 0:
        bits = int.from_bytes(data[at + 4 : at + 8], "big")
        codes.append(((bits >> 26) & 31, (bits >> 20) & 63, (bits >> 13) & 63, (bits >> 7) & 63))
    return codes


@pytest.mark.parametrize("frames", [4, 5, 6])
def test_a_clip_may_end_with_a_segment_or_within_one(tmp_path: Path, frames: int) -> None:
    """No empty segment, and none that is forgotten."""
    clip = make_clip(tmp_path / "a.mp4", frames=frames)
    write(clip.path, tmp_path / "out.mp4", settings=OutputSettings(encoder_preset="ultrafast"))
    assert frame_times(tmp_path / "out.mp4") == clip.seconds


FAST = OutputSettings(encoder_preset="ultrafast")


def test_work_that_does_not_fit_is_done_anew(tmp_path: Path) -> None:
    """Another identity, another encoder, another length of segments: nothing of the old journal is used."""
    clip = make_clip(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"
    others = [
        {"identity": "other", "settings": FAST},
        {"settings": OutputSettings(codec="libx264", encoder_preset="ultrafast", crf=30)},
        {"settings": FAST, "length": 4},
    ]
    for other in others:
        assert write(clip.path, out, settings=FAST, stop=11) == -1
        assert write(clip.path, out, **other) == 0  # type: ignore[arg-type]
        assert frame_times(out) == clip.seconds
        out.unlink()
    assert write(clip.path, out, settings=FAST, stop=11) == -1
    assert write(clip.path, out, settings=FAST) == 10


def test_a_mux_that_fails_leaves_the_journal_and_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The space it took may be what was lacking; the next run encodes nothing again."""
    clip = make_clip(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(mux, "_packet", full)
        with pytest.raises(OutputError, match="No space left") as caught:
            write(clip.path, out, settings=FAST)
    assert caught.value.hint == "free some space, or write to another disk"
    assert sorted(p.name for p in work_folder(out).iterdir()) == ["video0.journal", "work.json"]
    assert write(clip.path, out, settings=FAST) == 12
    assert frame_times(out) == clip.seconds


def test_without_an_identity_nothing_is_left_and_nothing_taken_up(tmp_path: Path) -> None:
    """Nobody can tell what such work depends on."""
    clip = make_clip(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"
    assert write(clip.path, out, settings=FAST, stop=11, identity=None) == -1
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    write(clip.path, out, settings=FAST, stop=11)
    assert write(clip.path, out, settings=FAST, identity=None) == 0


@pytest.mark.parametrize("segment", [0, 1])
def test_a_damaged_segment_and_those_after_it_are_encoded_again(tmp_path: Path, segment: int) -> None:
    """A checksum finds what the disk has done; the result is that of an undisturbed run."""
    clip = make_clip(tmp_path / "a.mp4")
    whole, torn = tmp_path / "whole.mp4", tmp_path / "torn.mp4"
    write(clip.path, whole, settings=FAST)
    write(clip.path, torn, settings=FAST, stop=11)
    journal = work_folder(torn) / "video0.journal"
    with sqlite3.connect(journal) as db:
        db.execute(
            "UPDATE packets SET data = zeroblob(length(data)) WHERE id = "
            "(SELECT max(id) FROM packets WHERE segment = ?)",
            (segment,),
        )
    db.close()
    assert write(clip.path, torn, settings=FAST) == 5 * segment
    assert torn.read_bytes() == whole.read_bytes()


def test_damage_that_shows_while_the_file_is_put_together_leaves_no_file(tmp_path: Path) -> None:
    """Between encoding and muxing somebody changes a packet: an error, and nothing at the target."""
    clip = make_clip(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"

    def meddle() -> None:
        with Writer(out, clip.path, settings=FAST, segment_frames=5) as writer, Reader(clip.path) as reader:
            for frame in reader:
                writer.write(frame)
            db = sqlite3.connect(work_folder(out) / "video0.journal", isolation_level=None)
            writer.sinks[0].finish()
            db.execute("UPDATE packets SET data = zeroblob(length(data)) WHERE segment = 1")
            db.close()

    with pytest.raises(OutputError, match="segment 1 of its work folder is damaged"):
        meddle()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_frames_cannot_be_left_out_when_going_on(tmp_path: Path) -> None:
    """The first frame written must be the one after the last that is there."""
    clip = make_clip(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"
    write(clip.path, out, settings=FAST, stop=11)
    with Reader(clip.path) as reader:
        frames = list(reader)
    writer = Writer(out, clip.path, settings=FAST, identity="same", segment_frames=5)
    with pytest.raises(ValueError, match="frame 10 is next"), writer:
        writer.write(frames[11])
    assert not out.exists()


def test_two_runs_cannot_write_one_target(tmp_path: Path) -> None:
    """The second is refused at once and disturbs nothing, however it asks."""
    clip = make_clip(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"
    with Writer(out, clip.path, settings=FAST) as writer, Reader(clip.path) as reader:
        assert is_live(work_folder(out))
        for refused in (
            lambda: Writer(out, clip.path, settings=FAST),
            lambda: check_output(out, clip.path, settings=FAST),
        ):
            with pytest.raises(OutputError, match=f"another run .process {os.getpid()} on"):
                refused()
        for frame in reader:
            writer.write(frame)
    assert frame_times(out) == clip.seconds
    assert not work_folder(out).exists()


def test_a_check_of_the_output_leaves_an_earlier_runs_work(tmp_path: Path) -> None:
    """What is checked before a scan must not cost what was rendered before it."""
    clip = make_clip(tmp_path / "a.mp4")
    out = tmp_path / "out.mp4"
    check_output(out, clip.path, settings=FAST)
    assert not work_folder(out).exists()
    write(clip.path, out, settings=FAST, stop=11)
    check_output(out, clip.path, settings=FAST)
    note = read_note(work_folder(out))
    assert note is not None
    assert (note.target, note.source, note.pid) == (str(out), str(clip.path), os.getpid())
    assert not is_live(work_folder(out))
    assert write(clip.path, out, settings=FAST) == 10


def test_what_is_kept_is_the_owners_alone(tmp_path: Path) -> None:
    """Folder 0700, files 0600, also under a generous umask."""
    clip = make_clip(tmp_path / "a.mp4")
    mask = os.umask(0)
    try:
        write(clip.path, tmp_path / "out.mp4", settings=FAST, stop=11)
    finally:
        os.umask(mask)
    folder = work_folder(tmp_path / "out.mp4")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}
    assert files == {"work.json": 0o600, "video0.journal": 0o600}


def test_something_else_in_the_way_is_left_alone(tmp_path: Path) -> None:
    """A link or a file where the work folder should be is not followed, filled or removed."""
    clip = make_clip(tmp_path / "a.mp4")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"precious")
    work_folder(tmp_path / "out.mp4").symlink_to(elsewhere)
    with pytest.raises(OutputError, match="in the way"):
        Writer(tmp_path / "out.mp4", clip.path, settings=FAST)
    work_folder(tmp_path / "other.mp4").write_bytes(b"precious")
    with pytest.raises(OutputError, match="in the way"):
        Writer(tmp_path / "other.mp4", clip.path, settings=FAST)
    assert [p.name for p in elsewhere.iterdir()] == ["precious"]
    assert work_folder(tmp_path / "other.mp4").read_bytes() == b"precious"


def test_nothing_readable_is_said_about_key_and_plan(tmp_path: Path) -> None:
    """What a journal depends on stands in it only as a hash."""
    clip = make_clip(tmp_path / "a.mp4")
    write(clip.path, tmp_path / "out.mp4", settings=FAST, stop=11, identity="open secret")
    assert b"open secret" not in (work_folder(tmp_path / "out.mp4") / "video0.journal").read_bytes()


def test_a_journal_counts_only_what_was_committed(tmp_path: Path) -> None:
    """An open segment is gone when the file is opened again."""
    path, target = tmp_path / "j.journal", tmp_path / "out.mp4"
    journal = Journal(path, identity="i", target=target)
    for number in range(3):
        journal.add(CodedPacket(number, number == 0, b"x" * 100, None))
    journal.commit([(0, 1), (1, 1), (2, 1)], tally={"a": 2})
    journal.add(CodedPacket(0, True, b"y" * 100, b"alpha"))
    journal.close()
    again = Journal(path, identity="i", target=target)
    assert (again.frames_done, again.complete, again.tally) == (3, False, {"a": 2})
    again.add(CodedPacket(0, True, b"z", b"alpha"))
    with pytest.raises(OutputError, match="1 packets of 2 frames"):
        again.commit([(3, 1), (4, 1)], tally={})
    again.commit([(3, 1)], tally={"a": 1}, last=True)
    assert (again.times(), again.delay, again.tally) == ((0, 4), 0, {"a": 3})
    packets = [packet for segment in again.segments() for packet in segment.packets]
    assert [p.data for p in packets] == [b"x" * 100] * 3 + [b"z"]
    assert packets[-1].alpha == b"alpha"
    again.close()
    assert Journal(path, identity="i", target=target).complete


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_media_journal import FAST, write
from vidanon.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write(Path({source!r}), Path({target!r}), settings=FAST)
except OutputError as error:
    print(error.message)
    sys.exit(4)
"""


def test_a_disk_that_fills_up_keeps_what_was_finished(tmp_path: Path) -> None:
    """An error that says so; with space again, the work goes on where it stopped."""
    clip = make_clip(tmp_path / "a.mp4", frames=60, size=(320, 240))
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    write(clip.path, whole, settings=FAST)
    code = FULL.format(tests=str(Path(__file__).parent), limit=150_000, source=str(clip.path), target=str(out))
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "cannot be written" in done.stdout
    assert not out.exists()
    assert 0 < write(clip.path, out, settings=FAST) < 60
    assert out.read_bytes() == whole.read_bytes()


def test_a_work_folder_refuses_its_own_source(tmp_path: Path) -> None:
    """Also where the target does not exist yet."""
    source = work_folder(tmp_path / "out.mp4") / "in.mp4"
    source.parent.mkdir()
    source.write_bytes(b"precious")
    with pytest.raises(OutputError, match="own source"):
        WorkFolder(tmp_path / "out.mp4", source=source, overwrite=True)
    assert source.read_bytes() == b"precious"
