"""Reading and painting in a frame's own samples: exact where nothing is painted, right where something is."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, draw
from hypothesis import given, settings
from hypothesis import strategies as st

from vidanon.errors import InputError, RenderError
from vidanon.media.formats import handled_format, layout_of, samples
from vidanon.media.pixels import paste, read_region
from vidanon.media.reader import Frame, Reader
from vidanon.types import FloatArray, Patch, Region

FORMATS = [
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuv444p",
    "yuv411p",
    "yuv440p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "nv12",
    "nv21",
    "p010le",
    "gray",
    "gray10le",
    "rgb24",
    "rgba",
    "gbrp",
    "gbrp10le",
    "yuva420p",
]
MATRICES = {1: 1, 6: 5, 9: 9}


def frame_of(picture: np.ndarray, name: str, *, matrix: int = 1, span: int = 1, rotation: int = 0) -> Frame:
    """An upright RGB picture as a frame of the given format, converted by swscale and stored lying down."""
    stored = np.ascontiguousarray(np.rot90(picture, -rotation // 90))
    layout = layout_of(name)
    assert layout is not None
    if layout.full_by_name:
        span = 2
    coded = layout.kind != "rgb"
    converted = av.VideoFrame.from_ndarray(stored, format="rgb24").reformat(
        format=name,
        dst_colorspace=MATRICES[matrix] if coded else None,
        dst_color_range=span if coded else None,
        interpolation="BICUBIC",
    )
    if coded:
        converted.colorspace, converted.color_range = matrix, span
    return Frame(0, 0, converted, rotation)


def changed(before: Frame, after: Frame) -> int:
    """How many samples of any plane differ, alpha planes included."""
    return sum(
        int((np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8)).sum())
        for a, b in zip(_tight(before), _tight(after), strict=True)
    )


def _tight(frame: Frame) -> list[bytes]:
    planes = []
    for plane in frame.picture.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
        bits = frame.picture.format.components[0].bits
        channels = {"rgb24": 3, "rgba": 4}.get(frame.picture.format.name, 1)
        used = plane.width * channels * (2 if bits > 8 else 1)
        if frame.picture.format.name in ("nv12", "nv21", "p010le") and len(planes) == 1:
            used *= 2
        planes.append(rows[:, :used].tobytes())
    return planes


def smooth(width: int, height: int) -> np.ndarray:
    """Colours that change slowly, so that chroma subsampling costs next to nothing."""
    yy, xx = np.mgrid[0:height, 0:width]
    waves = (np.sin(xx / 40), np.cos(yy / 30), np.sin((xx + yy) / 50))
    return np.rint(127 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("name", FORMATS)
def test_a_region_reads_as_what_was_stored(name: str, rotation: int) -> None:
    """Every format, turn, matrix and range gives the drawn colours back, at odd coordinates too."""
    picture = smooth(128, 96)
    region = Region(21, 33, 76, 88)
    for matrix in MATRICES:
        for span in (1, 2):
            frame = frame_of(picture, name, matrix=matrix, span=span, rotation=rotation)
            got = read_region(frame, region)
            assert got.shape == (55, 55, 3)
            assert got.dtype == np.float32
            wanted = picture[33:88, 21:76] / 255
            if name.startswith("gray"):
                wanted = got.mean(axis=2, keepdims=True).repeat(3, axis=2)
            assert np.abs(got - wanted).max() * 255 < 4


@pytest.mark.parametrize("name", FORMATS)
def test_rgb_and_read_region_agree(name: str) -> None:
    """Two ways to the same colours: swscale's and ours."""
    frame = frame_of(smooth(128, 96), name)
    region = Region(10, 20, 90, 80)
    assert np.abs(read_region(frame, region) * 255 - frame.rgb()[20:80, 10:90]).max() < 7


@pytest.mark.parametrize("name", FORMATS)
def test_pasting_what_was_read_changes_next_to_nothing(name: str) -> None:
    """Reading and painting are each other's inverse, up to the rounding of a sample."""
    frame = frame_of(smooth(128, 96), name)
    region = Region(21, 33, 76, 88)
    rgb = read_region(frame, region)
    again = read_region(paste(frame, [Patch(region, rgb, np.ones((55, 55), np.float32))]), region)
    assert np.abs(again - rgb).max() * 255 < 3.5


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("name", FORMATS)
def test_outside_the_patch_every_sample_is_bit_identical(name: str, rotation: int) -> None:
    """Only samples under alpha > 0 differ; chroma ones only where they cover such a luma sample."""
    frame = frame_of(draw(3, 128, 96), name, rotation=rotation)
    before = _tight(frame)
    alpha = np.zeros((50, 40), np.float32)
    alpha[10:21, 5:30] = 0.7
    region = Region(31, 17, 71, 67)
    painted = paste(frame, [Patch(region, np.full((50, 40, 3), (0.1, 0.9, 0.2), np.float32), alpha)])
    assert _tight(frame) == before
    assert changed(frame, painted) > 0
    layout = layout_of(name)
    assert layout is not None
    upright = np.zeros((96, 128), bool)
    upright[17:67, 31:71] = alpha > 0
    touched = np.rot90(upright, -rotation // 90)
    for i, component in enumerate(layout.components):
        sub_y, sub_x = (layout.sub_y, layout.sub_x) if layout.kind == "yuv" and i else (1, 1)
        allowed = touched.reshape(touched.shape[0] // sub_y, sub_y, touched.shape[1] // sub_x, sub_x).any(axis=(1, 3))
        differs = samples(frame.picture, component, layout) != samples(painted.picture, component, layout)
        assert not (differs & ~allowed).any()


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "nv12", "p010le", "yuv411p"])
def test_no_colour_of_a_face_survives_under_its_mask(name: str) -> None:
    """A chroma sample under even one fully masked luma sample holds the patch's colour alone."""
    red = np.full((64, 64, 3), (220, 30, 30), np.uint8)
    frame = frame_of(red, name)
    alpha = np.zeros((64, 64), np.float32)
    alpha[21:44, 21:44] = 1
    grey = np.full((64, 64, 3), 0.5, np.float32)
    painted = paste(frame, [Patch(Region(0, 0, 64, 64), grey, alpha)])
    layout = layout_of(name)
    assert layout is not None
    for component in layout.components[1:]:
        plane = samples(painted.picture, component, layout) >> layout.shift
        y = slice(21 // layout.sub_y, 43 // layout.sub_y + 1)
        x = slice(21 // layout.sub_x, 43 // layout.sub_x + 1)
        assert (plane[y, x] == 1 << (layout.depth - 1)).all()


def test_the_inside_of_a_mask_does_not_depend_on_what_was_there() -> None:
    """With alpha 1 two different sources give the same samples: nothing of the face is mixed in."""
    patch = Patch(Region(20, 20, 60, 60), np.full((40, 40, 3), 0.4, np.float32), np.ones((40, 40), np.float32))
    one = paste(frame_of(draw(1, 96, 80), "yuv420p"), [patch])
    other = paste(frame_of(255 - draw(1, 96, 80), "yuv420p"), [patch])
    layout = layout_of("yuv420p")
    assert layout is not None
    for component, step in zip(layout.components, (1, 2, 2), strict=True):
        window = slice(20 // step, 60 // step)
        a, b = (samples(f.picture, component, layout)[window, window] for f in (one, other))
        assert np.array_equal(a, b)


def test_patches_are_pasted_in_order() -> None:
    """Where two overlap the later one lies on top."""
    frame = frame_of(smooth(64, 64), "yuv444p")
    region, full = Region(10, 10, 30, 30), np.ones((20, 20), np.float32)
    dark, light = (Patch(region, np.full((20, 20, 3), v, np.float32), full) for v in (0.1, 0.9))
    assert read_region(paste(frame, [dark, light]), region).mean() == pytest.approx(0.9, abs=0.01)
    assert read_region(paste(frame, [light, dark]), region).mean() == pytest.approx(0.1, abs=0.01)


def test_nothing_to_paint_gives_the_same_frame() -> None:
    """No copy is made for a frame without faces."""
    frame = frame_of(smooth(64, 64), "yuv420p")
    assert paste(frame, []) is frame
    empty = Patch(Region(0, 0, 8, 8), np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.float32))
    assert paste(frame, [empty]) is frame


def test_a_painted_frame_keeps_its_place_and_tags() -> None:
    """Number, time, turn and colour tags are those of the source; side data is not carried along."""
    frame = frame_of(smooth(64, 64), "yuv420p10le", matrix=9, span=2, rotation=90)
    frame.picture.pts = 77
    frame.picture.color_primaries, frame.picture.color_trc = 9, 16
    patch = Patch(Region(0, 0, 8, 8), np.zeros((8, 8, 3), np.float32), np.ones((8, 8), np.float32))
    painted = paste(frame, [patch])
    got, was = painted.picture, frame.picture
    assert (painted.index, painted.pts, painted.rotation) == (frame.index, frame.pts, 90)
    assert (got.pts, got.colorspace, got.color_range, got.color_primaries, got.color_trc) == (77, 9, 2, 9, 16)
    assert got.format.name == was.format.name
    assert len(got.side_data) == 0


def test_an_alpha_channel_is_not_touched() -> None:
    """Transparency of a picture stays where it was."""
    rgba = np.dstack([draw(2, 64, 48), np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)])
    frame = Frame(0, 0, av.VideoFrame.from_ndarray(rgba, format="rgba"), 0)
    patch = Patch(Region(5, 5, 40, 40), np.ones((35, 35, 3), np.float32), np.ones((35, 35), np.float32))
    painted = paste(frame, [patch]).picture.to_ndarray()
    assert np.array_equal(painted[..., 3], rgba[..., 3])
    assert (painted[5:40, 5:40, :3] == 255).all()


def test_a_patch_that_cannot_cover_is_an_error_not_a_hole() -> None:
    """Not a number under the mask, or shapes that do not fit, never lead to an unpainted face."""
    frame = frame_of(smooth(64, 64), "yuv420p")
    region, ones = Region(0, 0, 8, 8), np.ones((8, 8), np.float32)
    good = np.full((8, 8, 3), 0.5, np.float32)
    bad = good.copy()
    bad[3, 3, 1] = np.nan
    hole = ones.copy()
    hole[2, 2] = np.nan
    for patch in (Patch(region, bad, ones), Patch(region, good, hole), Patch(region, good[:4], ones)):
        with pytest.raises(RenderError):
            paste(frame, [patch])
    outside = ones.copy()
    outside[3, 3] = 0
    assert paste(frame, [Patch(region, bad, outside)]) is not frame


def test_a_region_outside_the_picture_is_a_mistake() -> None:
    """Regions lie inside the picture and are not empty."""
    frame = frame_of(smooth(64, 48), "yuv420p", rotation=90)
    assert (frame.width, frame.height) == (64, 48)
    for region in (Region(0, 0, 65, 48), Region(-1, 0, 5, 5), Region(5, 5, 5, 9), Region(0, 0, 64, 49)):
        with pytest.raises(ValueError, match="not inside"):
            read_region(frame, region)


def test_an_unknown_matrix_is_refused() -> None:
    """Colours are not guessed from a matrix we do not have (YCgCo)."""
    frame = frame_of(smooth(32, 32), "yuv420p")
    frame.picture.colorspace = 8
    with pytest.raises(InputError, match="matrix"):
        read_region(frame, Region(0, 0, 4, 4))


def test_unspecified_matrix_follows_the_height() -> None:
    """Without a tag a picture of 720 rows is BT.709 and a smaller one BT.601."""
    red = np.full((16, 16, 3), (200, 20, 20), np.uint8)
    for rows, matrix in ((720, 1), (576, 6)):
        tall = np.broadcast_to(red[:1, :1], (rows, 16, 3))
        frame = frame_of(np.ascontiguousarray(tall), "yuv444p", matrix=matrix)
        frame.picture.colorspace = 2
        got = read_region(frame, Region(2, 2, 10, 10)).mean(axis=(0, 1)) * 255
        assert np.abs(got - (200, 20, 20)).max() < 3


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(["yuv420p", "yuv422p", "yuv410p", "nv12", "p010le", "gbrp"]),
    rotation=st.sampled_from([0, 90, 180, 270]),
    size=st.tuples(st.integers(5, 40), st.integers(5, 40)),
)
def test_any_region_of_any_size_can_be_read_and_painted(
    data: st.DataObject, name: str, rotation: int, size: tuple[int, int]
) -> None:
    """Odd sizes and single pixels at the edges included: painting one colour gives that colour."""
    width, height = size
    frame = frame_of(draw(0, 48, 48)[:height, :width], name, rotation=rotation)
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    region = Region(x0, y0, x1, y1)
    assert read_region(frame, region).shape == (y1 - y0, x1 - x0, 3)
    whole = Region(0, 0, width, height)
    flat: FloatArray = np.full((height, width, 3), (0.3, 0.5, 0.7), np.float32)
    painted = paste(frame, [Patch(whole, flat, np.ones((height, width), np.float32))])
    got = read_region(painted, region)
    assert np.abs(got - (0.3, 0.5, 0.7)).max() < 0.02


def test_formats_that_cannot_be_worked_on_are_converted_to_ones_that_can() -> None:
    """Every format FFmpeg decodes to a picture has a working format with at least its depth up to 12 bits."""
    for name, wanted in {
        "pal8": "rgb24",
        "yuyv422": "yuv422p",
        "uyvy422": "yuv422p",
        "yuv420p10be": "yuv420p10le",
        "rgb48le": "gbrp12le",
        "ya8": "gray",
        "monob": "rgb24",
        "y210le": "yuv422p10le",
    }.items():
        assert handled_format(name) == wanted
        assert layout_of(wanted) is not None
    assert handled_format("bgra", codec="gif") == "rgb24"
    assert handled_format("bgra") == "bgra"


def test_a_decoders_memory_is_never_written_to(vfr_clip: Clip) -> None:
    """The next frame is predicted from this one: painting must not reach it."""
    with Reader(vfr_clip.path) as reader:
        clean = [frame.rgb() for frame in reader]
    black = np.zeros((120, 160, 3), np.float32)
    with Reader(vfr_clip.path) as reader:
        for frame, wanted in zip(reader, clean, strict=True):
            assert np.array_equal(frame.rgb(), wanted)
            paste(frame, [Patch(Region(0, 0, 160, 120), black, np.ones((120, 160), np.float32))])


def test_media_does_not_load_torch(tmp_path: Path) -> None:
    """Probing and painting need no network library."""
    import subprocess
    import sys

    code = (
        "import sys, vidanon.media.reader, vidanon.media.writer, vidanon.media.pixels, vidanon.media.sample, "
        "vidanon.media.filters, vidanon.media.compare; sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
