"""Frames come in order, at their times, upright, and none is missing or made up."""

from __future__ import annotations

import gc
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, draw, make_clip, make_corrupt, make_gif, make_picture, make_truncated, number_in

from vidanon.errors import InputError
from vidanon.media.reader import Frame, Reader


def test_every_frame_of_a_vfr_clip_comes_at_its_time(vfr_clip: Clip) -> None:
    """Time stamps are the file's own, with B frames and uneven steps."""
    with Reader(vfr_clip.path) as reader:
        frames = list(reader)
    assert tuple(frame.pts for frame in frames) == vfr_clip.pts
    assert [frame.index for frame in frames] == list(range(len(vfr_clip.pts)))
    assert [number_in(frame.rgb()) for frame in frames] == list(range(len(vfr_clip.pts)))


def test_a_late_start_is_kept(phone_clip: Clip) -> None:
    """The first frame's time is what the edit list says, not zero."""
    with Reader(phone_clip.path) as reader:
        assert next(reader).pts == 507


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rgb_is_upright(tmp_path: Path, rotation: int) -> None:
    """Whatever the turn, the picture is the one that was drawn."""
    clip = make_clip(tmp_path / "turned.mp4", rotation=rotation, frames=3)
    with Reader(clip.path) as reader:
        for frame in reader:
            rgb = frame.rgb()
            assert (frame.width, frame.height) == (clip.width, clip.height)
            assert rgb.shape == (clip.height, clip.width, 3)
            assert rgb.flags.c_contiguous
            difference = np.abs(rgb.astype(int) - draw(frame.index, clip.width, clip.height))
            assert difference.mean() < 6


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "tags"),
    [
        ("libx264", "yuv420p", (1, 1, 1, 1)),
        ("libx264", "yuv420p", (6, 6, 6, 1)),
        ("libx264", "yuvj420p", (1, 1, 1, 2)),
        ("libx264", "yuv422p10le", (9, 16, 9, 1)),
        ("libx264", "yuv444p", (1, 1, 1, 1)),
        ("libx265", "yuv420p10le", (9, 18, 9, 1)),
    ],
)
def test_rgb_uses_the_clips_own_matrix_and_range(
    tmp_path: Path, codec: str, pix_fmt: str, tags: tuple[int, int, int, int]
) -> None:
    """The red mark comes out red: BT.601, BT.709 and BT.2020, limited and full, 8 and 10 bits."""
    clip = make_clip(tmp_path / "a.mp4", codec=codec, pix_fmt=pix_fmt, tags=tags, frames=2)
    with Reader(clip.path) as reader:
        rgb = next(reader).rgb()
    assert np.abs(rgb[44:56, 2:12].reshape(-1, 3).mean(axis=0) - (190, 40, 40)).max() < 6


def test_rgb_keeps_the_proportions_when_one_side_is_asked_for(vfr_clip: Clip) -> None:
    """Half the width is half the height; both sides may be set at will."""
    with Reader(vfr_clip.path) as reader:
        frame = next(reader)
    assert frame.rgb(80).shape == (60, 80, 3)
    assert frame.rgb(height=240).shape == (240, 320, 3)
    assert frame.rgb(50, 70).shape == (70, 50, 3)
    with pytest.raises(ValueError, match="at least 1 x 1"):
        frame.rgb(0, 5)


def test_batches_hold_all_frames_in_order(vfr_clip: Clip) -> None:
    """The last batch is shorter, none is empty."""
    with Reader(vfr_clip.path) as reader:
        batches = list(reader.batches(4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [frame.index for batch in batches for frame in batch] == list(range(10))
    with Reader(vfr_clip.path) as reader, pytest.raises(ValueError, match="at least one"):
        list(reader.batches(0))


def test_starting_later_skips_exactly_so_many_frames(vfr_clip: Clip) -> None:
    """Numbers, times and pictures are those of a reading from the start."""
    with Reader(vfr_clip.path) as reader:
        whole = list(reader)
    with Reader(vfr_clip.path, start=7) as reader:
        rest = list(reader)
    assert [(f.index, f.pts) for f in rest] == [(f.index, f.pts) for f in whole[7:]]
    assert all(np.array_equal(a.rgb(), b.rgb()) for a, b in zip(rest, whole[7:], strict=True))
    with Reader(vfr_clip.path, start=99) as reader:
        assert list(reader) == []
    with pytest.raises(ValueError, match="number of frames"):
        Reader(vfr_clip.path, start=-1)


def test_a_closed_reader_gives_nothing_more(vfr_clip: Clip) -> None:
    """Frames handed out before stay usable."""
    with Reader(vfr_clip.path) as reader:
        frame = next(reader)
    assert list(reader) == []
    assert number_in(frame.rgb()) == 0


def test_the_reader_says_what_really_decoded(vfr_clip: Clip) -> None:
    """Decoder and threads are reported after the first frame."""
    with Reader(vfr_clip.path) as reader:
        next(reader)
        assert reader.report.decoder == "h264"
        assert reader.report.threads >= 1


def test_frames_are_not_hoarded(tmp_path: Path) -> None:
    """Reading a clip keeps no more than what the decoder needs, however long it is."""
    clip = make_clip(tmp_path / "long.mp4", frames=120, size=(64, 48))
    alive: list[weakref.ref[object]] = []

    class Probe:
        pass

    with Reader(clip.path) as reader:
        for frame in reader:
            mark = Probe()
            frame.picture.opaque = mark
            alive.append(weakref.ref(mark))
            del mark
    del frame
    gc.collect()
    assert sum(ref() is not None for ref in alive) < 40


def test_a_frame_that_cannot_be_decoded_stops_the_reading(tmp_path: Path, vfr_clip: Clip) -> None:
    """No frame is skipped or passed through: the error names the file and the place."""
    for codec, pix_fmt, suffix in (("libx264", "yuv420p", ".mp4"), ("mjpeg", "yuvj420p", ".mov")):
        clip = make_clip(tmp_path / f"good{suffix}", codec=codec, pix_fmt=pix_fmt)
        bad = make_corrupt(tmp_path / f"bad{suffix}", clip, packet=6)
        seen = []
        with Reader(bad) as reader, pytest.raises(InputError, match=r"frame \d+") as caught:
            seen.extend(frame.index for frame in reader)
        assert str(bad) in str(caught.value)
        assert len(seen) < 12
        assert seen == list(range(len(seen)))


def test_a_missing_last_frame_is_noticed(tmp_path: Path) -> None:
    """Damage in the last packet is not taken for the end of the clip."""
    clip = make_clip(tmp_path / "good.mp4", options={"bf": "0"})
    bad = make_corrupt(tmp_path / "bad.mp4", clip, packet=11)
    with Reader(bad) as reader, pytest.raises(InputError):
        list(reader)


def test_a_cut_off_clip_is_refused_before_the_first_frame(tmp_path: Path, vfr_clip: Clip) -> None:
    """Nobody finds out after an hour."""
    with pytest.raises(InputError, match="cut off"):
        Reader(make_truncated(tmp_path / "half.mp4", vfr_clip))


def test_time_that_goes_backwards_is_refused(tmp_path: Path) -> None:
    """Frames out of order would be written out of order."""
    path = tmp_path / "jumps.mkv"
    clip = make_clip(
        tmp_path / "a.mkv", codec="mjpeg", pix_fmt="yuvj420p", time_base=Fraction(1, 1000), pts=[0, 33, 66, 99]
    )
    with av.open(str(clip.path)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet, pts in zip(source.demux(video=0), [0, 150, 110, 200], strict=False):
            packet.stream, packet.pts = stream, pts
            out.mux(packet)
    with Reader(path) as reader, pytest.raises(InputError, match=r"after 00:00:00\.150: time does not go forward"):
        list(reader)


def test_a_stream_with_lost_packets_is_refused(tmp_path: Path) -> None:
    """A transport stream counts its packets; a jump in the count is lost picture data."""
    clip = make_clip(tmp_path / "a.ts", time_base=Fraction(1, 90000), pts=[90000 + 3000 * i for i in range(6)])
    twice = tmp_path / "twice.ts"
    twice.write_bytes(clip.path.read_bytes() * 2)
    with Reader(twice) as reader, pytest.raises(InputError, match="marked as corrupt"):
        list(reader)


def test_a_picture_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    """One clip has one size: a writer could not hold both."""
    small = make_clip(tmp_path / "small.ts", time_base=Fraction(1, 90000), pts=[3000 * i for i in range(4)])
    large = make_clip(
        tmp_path / "large.ts", time_base=Fraction(1, 90000), pts=[90000 + 3000 * i for i in range(4)], size=(320, 240)
    )
    both = tmp_path / "both.ts"
    both.write_bytes(small.path.read_bytes() + large.path.read_bytes())
    with Reader(both) as reader, pytest.raises(InputError, match="changes"):
        list(reader)


def test_a_gifs_frames_are_rgb_at_uneven_times(tmp_path: Path) -> None:
    """Palettes and transparency between frames are resolved on decoding."""
    clip = make_gif(tmp_path / "a.gif")
    with Reader(clip.path) as reader:
        frames = list(reader)
    assert tuple(frame.pts for frame in frames) == clip.pts
    assert {frame.picture.format.name for frame in frames} == {"rgb24"}
    assert [number_in(frame.rgb()) for frame in frames] == [0, 1, 2, 3]


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    """It begins and ends with its only frame."""
    clip = make_clip(tmp_path / "one.mp4", frames=1)
    with Reader(clip.path) as reader:
        assert [frame.pts for frame in reader] == [0]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_is_read_upright(tmp_path: Path, orientation: int) -> None:
    """The EXIF turn is applied to the samples and nothing is left to apply."""
    path = make_picture(tmp_path / "a.jpg", orientation=orientation)
    with Reader(path) as reader:
        (frame,) = list(reader)
    assert isinstance(frame, Frame)
    assert (frame.rotation, frame.pts, frame.picture.format.name) == (0, 0, "rgb24")
    assert np.abs(frame.rgb().astype(int) - draw(5, 96, 64)).mean() < 4


def test_a_transparent_picture_keeps_its_alpha(tmp_path: Path) -> None:
    """PNG and WebP come out as rgba."""
    from PIL import Image

    rgba = np.dstack([draw(3, 40, 30), np.full((30, 40), 77, np.uint8)])
    for suffix in (".png", ".webp"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(rgba).save(path, lossless=True)
        with Reader(path) as reader:
            picture = next(reader).picture
        assert picture.format.name == "rgba"
        assert (picture.to_ndarray()[..., 3] == 77).all()


def test_a_sixteen_bit_grey_picture_is_scaled_not_clipped(tmp_path: Path) -> None:
    """Half of 65535 is half of 255."""
    from PIL import Image

    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(path)
    with Reader(path) as reader:
        assert next(reader).rgb()[0, 0].tolist() == [127, 127, 127]
