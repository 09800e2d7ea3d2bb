"""What comes out of the writer: the same times, size, turn, format, tags and sound, and nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, Tone, audio_packets, draw, frame_times, make_clip, make_gif, number_in

from vidanon.errors import InputError, OutputError
from vidanon.media.probe import display_matrix, probe
from vidanon.media.reader import Reader
from vidanon.media.writer import EncodeReport, Writer, output_suffix
from vidanon.settings import OutputSettings

MS = Fraction(1, 1000)
FAST = OutputSettings(encoder_preset="ultrafast")


def rewrite(source: Path, target: Path, settings: OutputSettings = FAST) -> EncodeReport:
    """Every frame through the writer, unchanged."""
    with Reader(source) as reader, Writer(target, reader.info, settings=settings) as writer:
        for frame in reader:
            writer.write(frame)
        return writer.report


def decoded(path: Path) -> list[np.ndarray]:
    with Reader(path) as reader:
        return [frame.rgb() for frame in reader]


def test_a_vfr_clip_with_b_frames_keeps_every_time(tmp_path: Path, vfr_clip: Clip) -> None:
    """Nothing is resampled to a constant rate: 10 frames stay 10 frames at their times."""
    out = tmp_path / "out.mp4"
    rewrite(vfr_clip.path, out, OutputSettings(encoder_preset="medium"))
    assert frame_times(out) == vfr_clip.seconds
    assert [number_in(rgb) for rgb in decoded(out)] == list(range(10))
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.has_b_frames


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_last_picture_ends_when_it_did_whatever_is_decoded_behind_it(tmp_path: Path, suffix: str) -> None:
    """For every place in which a group of B frames can end: the file's length, and the last picture's own."""
    uneven = [0, 512, 700, 2000, 2100, 5000, 5100, 7000, 7100, 9000]
    encoded = OutputSettings(encoder_preset="medium", encoder_options="b-pyramid=normal:b_strategy=0:bf=3")
    reordered = 0
    for count in range(4, 11):
        source = make_clip(tmp_path / f"{count}{suffix}", pts=uneven[:count])
        out = tmp_path / f"out-{count}{suffix}"
        rewrite(source.path, out, encoded)
        assert frame_times(out) == source.seconds
        with av.open(str(source.path)) as given, av.open(str(out)) as made:
            last, again = (list(container.decode(video=0))[-1] for container in (given, made))
            assert (again.pts + again.duration) * again.time_base == (last.pts + last.duration) * last.time_base
            assert made.streams.video[0].duration == again.pts + again.duration
        with av.open(str(out)) as container:
            packets = [packet.pts for packet in container.demux(video=0) if packet.size]
        reordered += packets[-1] != max(packets)
    assert reordered, "nothing was decoded behind the last picture: this shows nothing"


def test_sound_is_copied_to_the_byte_and_the_sample(tmp_path: Path, vfr_clip: Clip, phone_clip: Clip) -> None:
    """Both tracks, the encoder's priming and a late picture included."""
    for clip in (vfr_clip, phone_clip):
        out = tmp_path / clip.path.name
        rewrite(clip.path, out)
        assert audio_packets(out) == audio_packets(clip.path)
        assert frame_times(out) == clip.seconds


@pytest.mark.parametrize(
    ("name", "tone"),
    [
        ("first.mp4", Tone()),
        ("delayed.mp4", Tone(delay_seconds=0.31)),
        ("pcm.mov", Tone(codec="pcm_s16le")),
        ("opus.mkv", Tone(codec="libopus")),
        ("flac.mkv", Tone(codec="flac")),
        ("ac3.ts", Tone(codec="ac3")),
    ],
)
def test_sound_survives_wherever_it_lies(tmp_path: Path, name: str, tone: Tone) -> None:
    """Audio first in the file, audio that begins late, and codecs with their own delay."""
    base = Fraction(1, 90000) if name.endswith(".ts") else MS if name.endswith(".mkv") else Fraction(1, 15360)
    pts = [
        round((2 + Fraction(i, 30)) / base) if name.endswith(".ts") else round(Fraction(i, 30) / base) for i in range(9)
    ]
    clip = make_clip(tmp_path / name, time_base=base, pts=pts, tones=[tone], tones_first=name == "first.mp4")
    out = tmp_path / f"out{clip.path.suffix}"
    rewrite(clip.path, out)
    assert audio_packets(out) == audio_packets(clip.path)
    assert len(audio_packets(out)[0]) > 3
    assert frame_times(out) == frame_times(clip.path)


def test_an_edit_list_that_ends_the_sound_early_ends_it_there_again(tmp_path: Path) -> None:
    """The duration of the audio track is that of the source, to the sample."""
    clip = make_clip(tmp_path / "a.mp4", tones=[Tone()])
    trimmed, out = tmp_path / "trimmed.mp4", tmp_path / "out.mp4"
    data = bytearray(clip.path.read_bytes())
    # elst: kind, version and flags, count, then the first entry's duration in milliseconds; the sound's is the last.
    field = slice(data.rindex(b"elst") + 12, data.rindex(b"elst") + 16)
    data[field] = (int.from_bytes(data[field], "big") - 35).to_bytes(4, "big")
    trimmed.write_bytes(data)
    rewrite(trimmed, out)
    with av.open(str(clip.path)) as whole, av.open(str(trimmed)) as a, av.open(str(out)) as b:
        assert b.streams.audio[0].duration == a.streams.audio[0].duration
        assert whole.streams.audio[0].duration - a.streams.audio[0].duration == 35 * 48
    assert audio_packets(out) == audio_packets(trimmed)


def test_language_and_disposition_stay_and_nothing_else(tmp_path: Path) -> None:
    """Titles, places, encoder names and creation times do not pass."""
    clip = make_clip(
        tmp_path / "a.mkv",
        time_base=MS,
        pts=[33 * i for i in range(4)],
        tones=[Tone(language="deu", disposition=1), Tone(language="fra", disposition=2)],
        metadata={"title": "secret place", "location": "+52.5+13.4/", "comment": "informant"},
    )
    for suffix in (".mkv", ".mp4"):
        out = tmp_path / f"out{suffix}"
        rewrite(clip.path, out)
        data = out.read_bytes()
        assert b"secret" not in data
        assert b"informant" not in data
        assert b"52.5" not in data
        assert b"Lavf6" not in data
        with av.open(str(out)) as container:
            assert [s.language for s in container.streams.audio] == ["deu", "fra"]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [int(s.disposition) for s in container.streams.audio] == [1, 2]


def test_no_second_camera_or_cover_art_passes(tmp_path: Path) -> None:
    """One video stream comes out, and it is the one that was written, even with sound first in the file."""
    clip = make_clip(tmp_path / "two.mp4", second_camera=True, cover=True, tones=[Tone()], tones_first=True, frames=4)
    out = tmp_path / "out.mp4"
    rewrite(clip.path, out)
    with av.open(str(out)) as container:
        assert [s.type for s in container.streams] == ["video", "audio"]
    assert [number_in(rgb) for rgb in decoded(out)] == [0, 1, 2, 3]


def test_captions_inside_the_pictures_do_not_pass(tmp_path: Path) -> None:
    """User data in the bitstream (captions, camera telemetry) is not handed to the encoder."""
    clip = make_clip(tmp_path / "a.mp4", frames=3, options={"udu_sei": "1"})
    out = tmp_path / "out.mp4"
    with Reader(clip.path) as reader, Writer(out, clip.path, settings=FAST) as writer:
        for frame in reader:
            assert len(frame.picture.side_data) > 0 or frame.index
            writer.write(frame)
    with av.open(str(out)) as container:
        kinds = {side.type.name for f in container.decode(video=0) for side in f.side_data.keys()}  # noqa: SIM118
    assert kinds <= {"SEI_UNREGISTERED"}  # x264's own list of its options


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_turn_is_kept_and_the_picture_not_squashed(tmp_path: Path, rotation: int, suffix: str) -> None:
    """Stored size, display matrix and what a player shows are those of the source."""
    base = MS if suffix == ".mkv" else Fraction(1, 15360)
    pts = [round(Fraction(i, 30) / base) for i in range(4)]
    clip = make_clip(tmp_path / f"a{suffix}", rotation=rotation, size=(160, 96), time_base=base, pts=pts)
    out = tmp_path / f"out{suffix}"
    rewrite(clip.path, out)
    info = probe(out)
    assert (info.width, info.height, info.rotation) == (clip.width, clip.height, rotation)
    with av.open(str(clip.path)) as a, av.open(str(out)) as b:
        one, other = next(a.decode(video=0)), next(b.decode(video=0))
    assert display_matrix(one) == display_matrix(other)
    assert [number_in(rgb) for rgb in decoded(out)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "tags", "suffix", "size"),
    [
        ("libx264", "yuv420p", (1, 1, 1, 1), ".mp4", (160, 120)),
        ("libx264", "yuv420p", (6, 6, 6, 1), ".mp4", (160, 120)),
        ("libx264", "yuvj420p", (1, 1, 1, 2), ".mkv", (160, 120)),
        ("libx264", "yuv422p10le", (9, 14, 9, 1), ".mp4", (160, 120)),
        ("libx264", "yuv444p", (1, 13, 1, 1), ".mov", (161, 121)),
        ("libx265", "yuv420p10le", (9, 16, 9, 1), ".mp4", (160, 120)),
        ("libx265", "yuv422p10le", (9, 18, 9, 2), ".mkv", (160, 120)),
        ("prores_ks", "yuv422p10le", (1, 1, 1, 1), ".mov", (160, 120)),
        ("libvpx-vp9", "yuv420p", (1, 1, 1, 1), ".webm", (161, 121)),
        ("ffv1", "gbrp10le", (1, 1, 0, 2), ".mkv", (160, 120)),
        ("libx264", "yuv420p", (1, 1, 1, 1), ".mp4", (178, 102)),
    ],
)
def test_format_depth_size_and_colour_tags_are_kept(
    tmp_path: Path, *, codec: str, pix_fmt: str, tags: tuple[int, int, int, int], suffix: str, size: tuple[int, int]
) -> None:
    """What decodes from the output is described exactly as what decodes from the source, and looks the same."""
    base = MS if suffix in (".mkv", ".webm") else Fraction(1, 15360)
    options = {"deadline": "realtime", "cpu-used": "8"} if "vpx" in codec else None
    clip = make_clip(
        tmp_path / f"a{suffix}",
        codec=codec,
        pix_fmt=pix_fmt,
        tags=tags,
        size=size,
        time_base=base,
        pts=[round(Fraction(i, 25) / base) for i in range(4)],
        options=options,
    )
    out = tmp_path / f"out{suffix}"
    rewrite(clip.path, out)
    with av.open(str(clip.path)) as a, av.open(str(out)) as b:
        assert (
            a.streams.video[0].codec_context.codec.canonical_name
            == b.streams.video[0].codec_context.codec.canonical_name
        )
        for one, other in zip(a.decode(video=0), b.decode(video=0), strict=True):
            assert [getattr(one, k) for k in _TAGS] == [getattr(other, k) for k in _TAGS]
            assert one.format.name == other.format.name
            difference = np.abs(one.to_ndarray(format="rgb24").astype(int) - other.to_ndarray(format="rgb24"))
            assert difference.mean() < 4


_TAGS = ("width", "height", "colorspace", "color_range", "color_primaries", "color_trc")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_hdr_metadata_is_kept(tmp_path: Path, codec: str) -> None:
    """Mastering display and light levels of an HDR10 clip are those of the source."""
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    options = {
        "libx264": {"x264-params": f"mastering-display={display}:cll=1000,400"},
        "libx265": {"x265-params": f"log-level=error:bframes=0:master-display={display}:max-cll=1000,400"},
    }[codec]
    clip = make_clip(
        tmp_path / "a.mp4", codec=codec, pix_fmt="yuv420p10le", tags=(9, 16, 9, 1), frames=4, options=options
    )
    out = tmp_path / "out.mp4"
    rewrite(clip.path, out)
    kept = []
    for path in (clip.path, out):
        with av.open(str(path)) as container:
            sides = next(container.decode(video=0)).side_data.keys()
            kept.append({side.type.name: bytes(side) for side in sides if "UNREGISTERED" not in side.type.name})
    assert set(kept[0]) == {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}
    assert kept[0] == kept[1]


def test_the_pixels_shape_is_kept(tmp_path: Path) -> None:
    """Anamorphic clips stay anamorphic."""
    clip = make_clip(tmp_path / "a.mp4", aspect=Fraction(4, 3), frames=2)
    out = tmp_path / "out.mp4"
    rewrite(clip.path, out)
    with av.open(str(out)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("order", ["top", "bottom"])
def test_interlaced_pictures_stay_interlaced_in_their_order(tmp_path: Path, order: str) -> None:
    """A 50i broadcast clip is not turned into combs, and its fields are not swapped."""
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    path, out = tmp_path / "fields.mkv", tmp_path / "out.mkv"
    _make_interlaced(path, order)
    rewrite(path, out, OutputSettings(encoder_preset="veryfast"))
    assert clip.width == probe(out).width
    for file in (path, out):
        with av.open(str(file)) as container:
            frame = next(container.decode(video=0))
            assert frame.interlaced_frame
        assert _first_field(file) == order


def _make_interlaced(path: Path, order: str) -> None:
    from av.codec.context import Flags

    graph = av.filter.Graph()
    source = graph.add_buffer(width=160, height=120, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25))
    mark = graph.add("setfield", "mode=tff" if order == "top" else "mode=bff")
    graph.link_nodes(source, mark, graph.add("buffersink")).configure()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height = 160, 120
        stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(draw(i), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            graph.vpush(frame)
            out.mux(stream.encode(graph.vpull()))
        out.mux(stream.encode(None))


def _first_field(path: Path) -> str:
    """FFmpeg's own word for the field shown first."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path), "-vf", "showinfo", "-f", "null", "-"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return "top" if " i:T" in shown else "bottom"


def test_a_gif_becomes_an_mp4_with_the_same_times(tmp_path: Path) -> None:
    """An even size is stored as 4:2:0, an odd one as 4:4:4, and no row is added."""
    for size, pix_fmt in (((96, 64), "yuv420p"), ((97, 65), "yuv444p")):
        clip = make_gif(tmp_path / "a.gif", size=size)
        out = tmp_path / f"{size[0]}.mp4"
        assert rewrite(clip.path, out).pix_fmt == pix_fmt
        info = probe(out)
        assert (info.width, info.height) == size
        assert frame_times(out) == clip.seconds
        with av.open(str(out)) as container:
            assert container.duration == 430_000


def test_one_frame_is_written(tmp_path: Path) -> None:
    """The shortest clip there is."""
    clip = make_clip(tmp_path / "one.mp4", frames=1)
    rewrite(clip.path, tmp_path / "out.mp4")
    assert frame_times(tmp_path / "out.mp4") == [0]


def test_a_two_frame_hevc_clip_is_written(tmp_path: Path) -> None:
    """x265 reports nonsense for clips shorter than its delay; times do not depend on it."""
    for attempt in range(3):
        clip = make_clip(tmp_path / "two.mp4", codec="libx265", pix_fmt="yuv420p10le", frames=2)
        out = tmp_path / f"out{attempt}.mp4"
        rewrite(clip.path, out, OutputSettings(encoder_preset="medium"))
        assert frame_times(out) == clip.seconds


def test_the_file_appears_whole_or_not_at_all(tmp_path: Path, vfr_clip: Clip) -> None:
    """While it is written there is only a folder that nobody else can read; after an error there is nothing."""
    out = tmp_path / "out.mp4"
    work = tmp_path / ".out.mp4.vidanon-work"

    class StopError(Exception):
        pass

    def stop_halfway() -> None:
        with Reader(vfr_clip.path) as reader, Writer(out, vfr_clip.path, settings=FAST) as writer:
            for frame in reader:
                writer.write(frame)
                assert not out.exists()
                assert stat.S_IMODE(work.stat().st_mode) == 0o700
                assert {stat.S_IMODE(path.stat().st_mode) for path in work.iterdir()} == {0o600}
                if frame.index == 5:
                    raise StopError

    with pytest.raises(StopError):
        stop_halfway()
    assert list(tmp_path.iterdir()) == []
    mask = os.umask(0o027)
    try:
        rewrite(vfr_clip.path, out)
    finally:
        os.umask(mask)
    assert list(tmp_path.iterdir()) == [out]
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_what_a_killed_run_left_is_replaced(tmp_path: Path, vfr_clip: Clip) -> None:
    """A stale work folder, also with files of no use in it, is no obstacle and leaves no trace."""
    work = tmp_path / ".out.mp4.vidanon-work"
    work.mkdir()
    for name in ("output.mp4", "video.journal", "work.json"):
        (work / name).write_bytes(b"stale" * 10_000)
    rewrite(vfr_clip.path, tmp_path / "out.mp4")
    assert frame_times(tmp_path / "out.mp4") == vfr_clip.seconds
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_what_cannot_be_written_fails_before_the_work(tmp_path: Path, vfr_clip: Clip) -> None:
    """The constructor refuses: itself, links to itself, an existing file, no folder, unknown codec or suffix."""
    source = tmp_path / "source.mp4"
    source.write_bytes(vfr_clip.path.read_bytes())
    (tmp_path / "soft.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    (tmp_path / "there.mp4").write_bytes(b"precious")
    (tmp_path / "folder.mp4").mkdir()
    again = OutputSettings(overwrite=True)
    cases = [
        (source, again, "own source"),
        (tmp_path / "soft.mp4", again, "own source"),
        (tmp_path / "hard.mp4", again, "own source"),
        (tmp_path / "there.mp4", OutputSettings(), "exists already"),
        (tmp_path / "folder.mp4", again, "is a folder"),
        (tmp_path / "no" / "out.mp4", OutputSettings(), "no such folder"),
        (tmp_path / "out.xyz", OutputSettings(), "cannot write"),
        (tmp_path / "out.png", OutputSettings(), "a picture cannot be made"),
        (tmp_path / "out.mp4", OutputSettings(codec="h999"), 'no encoder "h999"'),
        (tmp_path / "out.mp4", OutputSettings(codec="aac"), "not video"),
        (tmp_path / "out.mp4", OutputSettings(encoder_preset="warp"), "refuses"),
        (tmp_path / "out.webm", OutputSettings(codec="libx264"), "cannot hold"),
        (tmp_path / "out.webm", OutputSettings(), "cannot hold the sound"),
    ]
    before = {p.name: p.stat().st_size for p in tmp_path.iterdir()}
    for target, settings, words in cases:
        with pytest.raises(OutputError) as caught:
            Writer(target, source, settings=settings)
        assert words in caught.value.message
    assert {p.name: p.stat().st_size for p in tmp_path.iterdir()} == before


def test_a_source_in_the_work_folder_survives(tmp_path: Path, vfr_clip: Clip) -> None:
    """Writing out.mp4 empties its work folder, and must not delete a source that lies there."""
    source = tmp_path / ".out.mp4.vidanon-work" / "in.mp4"
    source.parent.mkdir()
    source.write_bytes(vfr_clip.path.read_bytes())
    with pytest.raises(OutputError, match="own source"):
        Writer(tmp_path / "out.mp4", source, settings=FAST)
    assert source.exists()


def test_overwriting_happens_only_when_allowed_and_at_the_end(tmp_path: Path, vfr_clip: Clip) -> None:
    """Until the new file is complete the old one stays."""
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    with Reader(vfr_clip.path) as reader:
        settings = OutputSettings(encoder_preset="ultrafast", overwrite=True)
        with Writer(out, reader.info, settings=settings) as writer:
            for frame in reader:
                writer.write(frame)
                assert out.read_bytes() == b"old"
    assert frame_times(out) == vfr_clip.seconds


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path, vfr_clip: Clip) -> None:
    """Two runs with one target: the second to finish fails and leaves the first one's file alone."""
    out = tmp_path / "out.mp4"
    writer = Writer(out, vfr_clip.path, settings=FAST)
    with Reader(vfr_clip.path) as reader:
        for frame in reader:
            writer.write(frame)
    with pytest.raises(OutputError, match="appeared"), writer:
        out.write_bytes(b"somebody else's")
    assert out.read_bytes() == b"somebody else's"
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_full_disk_leaves_no_file(tmp_path: Path, vfr_clip: Clip) -> None:
    """The error says so, the work folder is removed, and the exit is clean."""
    out = tmp_path / "out.mp4"
    code = f"""
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
from vidanon.errors import OutputError
from vidanon.media.reader import Reader
from vidanon.media.writer import Writer
from vidanon.settings import OutputSettings
try:
    with Reader(Path({str(vfr_clip.path)!r})) as r, Writer(Path({str(out)!r}), r.info, settings=OutputSettings()) as w:
        for frame in r:
            w.write(frame)
except OutputError as error:
    print(error.message)
    sys.exit(4)
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_writing_no_frame_is_an_error(tmp_path: Path, vfr_clip: Clip) -> None:
    """An empty video is no result."""
    with pytest.raises(OutputError, match="no frame"), Writer(tmp_path / "out.mp4", vfr_clip.path, settings=FAST):
        pass
    assert list(tmp_path.iterdir()) == []


def test_frames_must_fit_and_go_forward(tmp_path: Path, vfr_clip: Clip, phone_clip: Clip) -> None:
    """Another size or an earlier time is a mistake of the caller's, found at once."""
    with Reader(vfr_clip.path) as reader:
        first, second = next(reader), next(reader)
    with Reader(phone_clip.path) as reader:
        turned = next(reader)
    writer = Writer(tmp_path / "out.mp4", vfr_clip.path, settings=FAST)
    with pytest.raises(ValueError, match="wants 160 x 120"):
        writer.write(turned)
    writer.write(second)
    with pytest.raises(ValueError, match="forward"), writer:
        writer.write(first)
    assert list(tmp_path.iterdir()) == []


def test_sound_can_be_left_out(tmp_path: Path, vfr_clip: Clip) -> None:
    """With audio "drop" there is only the picture."""
    rewrite(vfr_clip.path, tmp_path / "out.mp4", OutputSettings(encoder_preset="ultrafast", audio="drop"))
    assert probe(tmp_path / "out.mp4").audio == ()


def test_the_encoder_can_be_chosen(tmp_path: Path, vfr_clip: Clip) -> None:
    """A named encoder is used and reported."""
    report = rewrite(vfr_clip.path, tmp_path / "out.mkv", OutputSettings(codec="ffv1"))
    assert (report.encoder, report.pix_fmt) == ("ffv1", "yuv420p")
    assert np.array_equal(decoded(tmp_path / "out.mkv")[3], decoded(vfr_clip.path)[3])


def test_a_turned_clip_in_a_container_without_turns_is_refused(tmp_path: Path, phone_clip: Clip) -> None:
    """A transport stream would show it lying down."""
    with pytest.raises(OutputError, match="rotation"):
        Writer(tmp_path / "out.ts", phone_clip.path, settings=FAST)


def test_a_damaged_source_leaves_no_output(tmp_path: Path, vfr_clip: Clip) -> None:
    """The reader's error passes through the writer and takes the work folder with it."""
    from clips import make_corrupt

    bad = make_corrupt(tmp_path / "bad.mp4", make_clip(tmp_path / "good.mp4"), packet=6)
    with pytest.raises(InputError):
        rewrite(bad, tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.mp4", "good.mp4"]


def test_mirrored_outputs_get_a_suffix_we_can_write() -> None:
    """The source's own where possible, so that trees look alike."""
    wanted = {"a.mp4": ".mp4", "a.MOV": ".MOV", "a.gif": ".mp4", "a.avi": ".avi", "a.jpg": ".jpg", "a.wmv": ".mkv"}
    assert {name: output_suffix(Path(name)) for name in wanted} == wanted


def test_ffmpeg_plays_the_output_without_a_word(tmp_path: Path, phone_clip: Clip) -> None:
    """Another FFmpeg than PyAV's has nothing to warn about."""
    import imageio_ffmpeg

    out = tmp_path / "out.mp4"
    rewrite(phone_clip.path, out)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-i", str(out), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
