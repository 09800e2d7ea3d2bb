"""What probing finds out, and what it refuses."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, Tone, make_clip, make_gif, make_picture, make_text, make_truncated

from vidanon.errors import InputError
from vidanon.media.probe import fingerprint, is_still, probe, rotation_of
from vidanon.media.reader import Reader


def test_a_clip_is_described_as_it_was_made(vfr_clip: Clip) -> None:
    """Size, codec, time base and audio tracks are those of the file."""
    info = probe(vfr_clip.path)
    assert (info.width, info.height, info.codec, info.pix_fmt) == (160, 120, "h264", "yuv420p")
    assert info.time_base == vfr_clip.time_base
    assert info.frames_estimate == len(vfr_clip.pts)
    assert [(a.codec, a.rate, a.channels, a.language) for a in info.audio] == [
        ("aac", 48000, 1, "und"),
        ("aac", 48000, 1, "deu"),
    ]
    assert info.other_streams == ()


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_turned_clip_has_the_size_of_its_upright_picture(tmp_path: Path, rotation: int, suffix: str) -> None:
    """Width and height are what a player shows, and the turn is counter-clockwise."""
    clip = make_clip(tmp_path / f"turned{suffix}", rotation=rotation, frames=2)
    info = probe(clip.path)
    assert (info.width, info.height, info.rotation) == (clip.width, clip.height, rotation)


def test_a_mirrored_clip_stands_upright(tmp_path: Path) -> None:
    """A front camera's flip is no turn: faces stay the right way up."""

    class Mirrored:
        def __init__(self, matrix: list[int]) -> None:
            import numpy as np
            from av.sidedata.sidedata import Type

            self.side_data = {Type.DISPLAYMATRIX: np.array(matrix, np.int32).tobytes()}

    one, full = 1 << 16, 1 << 30
    assert rotation_of(Mirrored([-one, 0, 0, 0, one, 0, 0, 0, full])) == 0  # type: ignore[arg-type]
    assert rotation_of(Mirrored([one, 0, 0, 0, -one, 0, 0, 0, full])) == 180  # type: ignore[arg-type]


def test_what_is_left_behind_is_named(tmp_path: Path) -> None:
    """Cover art and a second camera are listed, and neither is taken for the clip."""
    clip = make_clip(tmp_path / "two.mp4", frames=3, second_camera=True, cover=True, tones=[Tone()])
    info = probe(clip.path)
    assert sorted(info.other_streams) == ["another video stream (h264)", "cover art (png)"]
    with Reader(clip.path) as reader:
        assert [frame.pts for frame in reader] == list(clip.pts)


def test_a_gif_counts_in_hundredths(tmp_path: Path) -> None:
    """A GIF is a clip with uneven frame times."""
    clip = make_gif(tmp_path / "a.gif")
    info = probe(clip.path)
    assert (info.codec, info.time_base, info.width, info.height) == ("gif", Fraction(1, 100), 96, 64)


def test_a_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    """Its size is that of the upright picture, its turn is applied already."""
    info = probe(make_picture(tmp_path / "lying.jpg", orientation=6))
    assert (info.width, info.height, info.rotation, info.frames_estimate) == (96, 64, 0, 1)


def test_pictures_are_told_by_their_suffix() -> None:
    """The answer never depends on what a file holds."""
    assert is_still(Path("a.JPG"))
    assert is_still(Path("b.webp"))
    assert not is_still(Path("c.gif"))


def test_every_bad_input_is_refused_in_one_line(tmp_path: Path, vfr_clip: Clip) -> None:
    """Missing, a folder, empty, text, a renamed picture, sound alone, cut off: each says which file and why."""
    empty = tmp_path / "empty.mp4"
    empty.touch()
    picture = make_picture(tmp_path / "a.png")
    renamed = picture.rename(tmp_path / "picture.mp4")
    bad = {
        tmp_path / "nowhere.mp4": "no such file",
        tmp_path: "is not a file",
        empty: "zero bytes",
        make_text(tmp_path / "text.mp4"): "not a video",
        make_text(tmp_path / "text.png"): "not a JPEG, PNG or WebP",
        renamed: "a picture",
        make_truncated(tmp_path / "half.mp4", vfr_clip): "cut off",
    }
    for path, words in bad.items():
        with pytest.raises(InputError) as caught:
            probe(path)
        assert words in caught.value.message
        assert str(path) in caught.value.message
        assert "\n" not in str(caught.value)


def test_a_cut_off_clip_is_refused_in_every_container(tmp_path: Path) -> None:
    """Boxes, EBML, RIFF and GIF blocks all give an interrupted copy away, wherever it was interrupted."""
    clips = [
        make_clip(tmp_path / "a.mkv", time_base=Fraction(1, 1000), pts=[33 * i for i in range(12)]),
        make_clip(tmp_path / "a.mov", muxer={"movflags": "+faststart"}),
        make_clip(tmp_path / "a.avi", codec="mjpeg", pix_fmt="yuvj420p", time_base=Fraction(1, 30), pts=range(6)),
        make_gif(tmp_path / "a.gif"),
    ]
    for clip in clips:
        assert probe(clip.path).width == clip.width
        for keep in (0.3, 0.7, 0.99):
            with pytest.raises(InputError, match="cut off"):
                probe(make_truncated(tmp_path / f"half{clip.path.suffix}", clip, keep=keep))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    """A file without a picture has no face to replace."""
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        frame.sample_rate = 48000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        out.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(InputError, match="no video stream"):
        probe(path)


def test_the_fingerprint_follows_the_content(tmp_path: Path, vfr_clip: Clip) -> None:
    """A copy has the same one, a changed byte at either end or another length has another."""
    data = vfr_clip.path.read_bytes()
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(data)
    assert fingerprint(copy) == fingerprint(vfr_clip.path)
    seen = {fingerprint(copy)}
    for changed in (b"x" + data[1:], data[:-1] + b"x", data + b"x"):
        copy.write_bytes(changed)
        seen.add(fingerprint(copy))
    assert len(seen) == 4


def test_the_fingerprint_of_a_large_file_reads_its_ends_alone(tmp_path: Path) -> None:
    """A hundred gigabytes take no longer than a hundred kilobytes."""
    large = tmp_path / "large.mp4"
    with large.open("wb") as stream:
        os.truncate(stream.fileno(), 100 << 30)
    assert len(fingerprint(large)) == 64


def test_a_file_that_cannot_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(InputError, match="nowhere"):
        fingerprint(tmp_path / "nowhere.mp4")
