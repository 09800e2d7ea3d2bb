"""Numbered pictures are one clip: all of them, in order, at the rate that was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import draw, number_in
from PIL import Image

from vidanon.errors import InputError
from vidanon.media.probe import fingerprint, is_still, probe
from vidanon.media.reader import Reader
from vidanon.media.sample import sample_frames
from vidanon.media.sequences import is_sequence, sequence_files, sequence_in, sequence_name, sequence_rate


def number(folder: Path, name: str, numbers: Iterable[int], *, size: tuple[int, int] = (96, 64)) -> Path:
    """Pictures `name % n`; returns the pattern."""
    folder.mkdir(exist_ok=True)
    for n in numbers:
        Image.fromarray(draw(n, *size)).save(folder / (name % n))
    return folder / name


@pytest.mark.parametrize("name", ["take_%04d.png", "%d.png", "a 5%% %02d.bmp", "t%03d.tif", "%05d.jpg"])
def test_every_picture_is_a_frame(tmp_path: Path, name: str) -> None:
    """Their order is that of their numbers, from whichever on, past a change of digits too."""
    pattern = number(tmp_path / "50% of it", name, range(7, 12))
    with Reader(pattern, framerate=24) as reader:
        frames = list(reader)
    assert [number_in(frame.rgb()) for frame in frames] == list(range(7, 12))
    assert [frame.pts * reader.info.time_base for frame in frames] == [Fraction(i, 24) for i in range(5)]
    assert (reader.info.rate, reader.info.frames_estimate) == (24, 5)
    assert (reader.info.width, reader.info.height) == (96, 64)
    assert not is_still(pattern)
    assert [number_in(rgb) for rgb in sample_frames(pattern, [3, 1])] == [10, 8]


def test_a_missing_number_is_no_end_of_the_clip(tmp_path: Path) -> None:
    """FFmpeg alone would show two pictures and be content."""
    pattern = number(tmp_path, "a%d.png", [1, 2, 4, 5])
    with pytest.raises(InputError, match=r"a3\.png: is missing"):
        probe(pattern)
    with pytest.raises(InputError, match="no such picture"):
        probe(tmp_path / "b%d.png")
    with pytest.raises(InputError, match="cannot be read"):
        probe(tmp_path / "nowhere" / "b%d.png")


def test_a_picture_that_vanishes_or_is_damaged_stops_the_reading(tmp_path: Path) -> None:
    """Neither is skipped."""
    pattern = number(tmp_path, "a%d.png", range(1, 7))
    for gone, words in ((6, "frame 5"), (3, r"a3\.png: is missing")):
        with Reader(pattern) as reader:
            (tmp_path / f"a{gone}.png").unlink()
            with pytest.raises(InputError, match=words):
                list(reader)
    number(tmp_path, "a%d.png", [3])
    data = (tmp_path / "a4.png").read_bytes()
    (tmp_path / "a5.png").write_bytes(data[: len(data) // 2])
    with Reader(pattern) as reader, pytest.raises(InputError, match="frame 4"):
        list(reader)
    (tmp_path / "a5.png").write_bytes(b"")
    with pytest.raises(InputError, match="zero bytes"):
        Reader(pattern)


def test_pictures_of_two_sizes_are_no_clip(tmp_path: Path) -> None:
    """One clip has one size."""
    pattern = number(tmp_path, "a%d.png", [1, 2])
    number(tmp_path, "a%d.png", [3], size=(64, 96))
    with Reader(pattern) as reader, pytest.raises(InputError, match="changes"):
        list(reader)


def test_the_fingerprint_is_of_all_pictures(tmp_path: Path) -> None:
    """Another picture, one more or another first one make another clip."""
    pattern = number(tmp_path, "a%d.png", range(1, 5))
    seen = [fingerprint(pattern)]
    assert fingerprint(pattern) == seen[0]
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "a3.png")
    seen.append(fingerprint(pattern))
    number(tmp_path, "a%d.png", [5])
    seen.append(fingerprint(pattern))
    (tmp_path / "a1.png").unlink()
    seen.append(fingerprint(pattern))
    assert len(set(seen)) == 4


def test_a_folder_of_one_numbering_has_a_pattern(tmp_path: Path) -> None:
    """Loose pictures and two numberings have none."""
    pattern = number(tmp_path / "takes", "s1_take_%04d.png", range(3, 6))
    assert sequence_in(tmp_path / "takes") == pattern
    assert [p.name for p in sequence_files(pattern)] == [f"s1_take_{n:04}.png" for n in (3, 4, 5)]
    growing = number(tmp_path / "growing", "%d.png", range(8, 12))
    assert sequence_in(tmp_path / "growing") == growing
    number(tmp_path / "takes", "other_%d.png", [1])
    assert sequence_in(tmp_path / "takes") is None
    number(tmp_path / "single", "a%d.png", [1])
    assert sequence_in(tmp_path / "single") is None
    assert sequence_in(tmp_path) is None


def test_names_say_what_is_a_sequence() -> None:
    """One number, in the name of a picture."""
    assert is_sequence(Path("x/a_%04d.PNG"))
    assert not is_sequence(Path("x/a_%04d.mp4"))
    assert not is_sequence(Path("x_%04d/a.png"))
    assert not is_sequence(Path("a_%d_%d.png"))
    names = {"take_%04d.png": "take", "%d.png": "clip", "a-%03d-b.jpg": "a--b"}
    assert {name: sequence_name(Path(name)) for name in names} == names


def test_broadcast_rates_are_meant_exactly() -> None:
    """29.97 is 30000/1001 and 29.5 is what it says."""
    rates = {
        29.97: Fraction(30000, 1001),
        23.976: Fraction(24000, 1001),
        59.94: Fraction(60000, 1001),
        25.0: Fraction(25),
        29.5: Fraction(59, 2),
        0.5: Fraction(1, 2),
    }
    assert {rate: sequence_rate(rate) for rate in rates} == rates


def test_a_cameras_exif_is_no_obstacle(tmp_path: Path) -> None:
    """FFmpeg hands it out as side data that PyAV has no name for; its turn is applied."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for n in (1, 2):
        stored = Image.fromarray(draw(n, 96, 64)).transpose(Image.Transpose.ROTATE_90)
        stored.save(tmp_path / f"p{n}.jpg", exif=exif, quality=95)
    with Reader(tmp_path / "p%d.jpg") as reader:
        frames = list(reader)
        assert (reader.info.width, reader.info.height) == (96, 64)
    assert [number_in(frame.rgb()) for frame in frames] == [1, 2]
