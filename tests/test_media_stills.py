"""Pictures in, pictures out: upright, with their colours, without their metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import SRGB_LIKE_PROFILE, draw, make_gif, make_picture
from PIL import Image

from vidanon.errors import InputError, OutputError
from vidanon.media.pixels import paste
from vidanon.media.reader import Reader
from vidanon.media.writer import Writer
from vidanon.settings import OutputSettings
from vidanon.types import Patch, Region


def rewrite(source: Path, target: Path) -> None:
    with Reader(source) as reader, Writer(target, source, settings=OutputSettings()) as writer:
        for frame in reader:
            writer.write(frame)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_picture_loses_its_place_and_keeps_its_profile(tmp_path: Path, suffix: str) -> None:
    """No EXIF (GPS, camera, orientation) passes; the colour profile does; the picture is upright."""
    source = make_picture(tmp_path / f"a{suffix}", orientation=6, gps=True)
    with Image.open(source) as image:
        assert 0x8825 in image.getexif()
    out = tmp_path / f"out{suffix}"
    rewrite(source, out)
    with Image.open(out) as image:
        assert not dict(image.getexif())
        assert image.info["icc_profile"] == SRGB_LIKE_PROFILE
        assert image.size == (96, 64)
        assert np.abs(np.asarray(image.convert("RGB"), int) - draw(5, 96, 64)).mean() < 4
    assert b"GPS" not in out.read_bytes()


def test_lossless_pictures_stay_lossless_outside_the_mask(tmp_path: Path) -> None:
    """PNG and WebP differ in the painted window alone; alpha is kept."""
    rgba = np.dstack([draw(3, 40, 30), np.arange(1200, dtype=np.uint8).reshape(30, 40)])
    for suffix in (".png", ".webp"):
        source, out = tmp_path / f"a{suffix}", tmp_path / f"out{suffix}"
        Image.fromarray(rgba).save(source, lossless=True, exact=True)
        with Reader(source) as reader, Writer(out, source, settings=OutputSettings()) as writer:
            patch = Patch(Region(10, 10, 20, 20), np.zeros((10, 10, 3), np.float32), np.ones((10, 10), np.float32))
            writer.write(paste(next(reader), [patch]))
        wanted = rgba.copy()
        wanted[10:20, 10:20, :3] = 0
        with Image.open(out) as image:
            assert np.array_equal(np.asarray(image), wanted)


def test_jpeg_keeps_its_chroma(tmp_path: Path) -> None:
    """No 4:2:0: a red line one pixel wide stays red."""
    picture = np.full((32, 32, 3), 128, np.uint8)
    picture[:, 16] = (220, 20, 20)
    source, out = tmp_path / "a.png", tmp_path / "out.jpg"
    Image.fromarray(picture).save(source)
    rewrite(source, out)
    with Image.open(out) as image:
        assert np.abs(np.asarray(image, int)[:, 16].mean(axis=0) - (220, 20, 20)).max() < 12


def test_a_picture_becomes_no_video_and_takes_one_frame(tmp_path: Path) -> None:
    """Mixing up stills and clips is refused before the work."""
    source = make_picture(tmp_path / "a.png")
    with pytest.raises(OutputError, match="a video cannot be made"):
        Writer(tmp_path / "out.mp4", source, settings=OutputSettings())
    with Reader(source) as reader:
        frame = next(reader)
    writer = Writer(tmp_path / "out.png", source, settings=OutputSettings())
    writer.write(frame)
    with pytest.raises(ValueError, match="one frame"), writer:
        writer.write(frame)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_an_animation_that_calls_itself_a_picture_is_refused(tmp_path: Path) -> None:
    """Only its first frame would be covered."""
    animated = make_gif(tmp_path / "a.gif").path
    with Image.open(animated) as image:
        image.save(tmp_path / "a.webp", save_all=True)
    with pytest.raises(InputError, match="animation"):
        Reader(tmp_path / "a.webp")


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    """Half a picture is not filled up with grey."""
    source = make_picture(tmp_path / "a.png", size=(400, 300))
    bad = tmp_path / "bad.png"
    bad.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(InputError, match="damaged"):
        rewrite(bad, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
