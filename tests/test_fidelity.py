"""PSNR outside the masks: FFmpeg's own figure where nothing is left out, and blind to what is painted."""

from __future__ import annotations

import json
import math
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import draw, make_clip
from imageio_ffmpeg import get_ffmpeg_exe
from test_cli_journey import call

from vidanon.media.compare import compare
from vidanon.media.fidelity import Fidelity, FidelityMeter
from vidanon.media.frames import Frame
from vidanon.media.probe import fingerprint
from vidanon.pipeline.compare import compare_outside
from vidanon.plan.store import Plan
from vidanon.render.align import face_pose
from vidanon.render.area import painted_area
from vidanon.render.mask import GUARD_PX, core_mask, outline_px
from vidanon.settings import RenderSettings
from vidanon.types import N_FACE_POINTS, Action, Observation, Region, ScannedFrame, Track

NOWHERE = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
BOX = (60.0, 40.0, 100.0, 90.0)


def face(frame: int, track: int = 1, box: tuple[float, ...] = BOX) -> Observation:
    return Observation(frame, track, np.array(box, np.float32), NOWHERE, 0.9, "detected")


def plan_of(path: Path, source: Path, *, frames: int, action: Action = "anonymize") -> Path:
    """A settled plan with one face that stands still."""
    with Plan.create(
        path,
        source_name=source.name,
        fingerprint=fingerprint(source),
        width=160,
        height=120,
        time_base=Fraction(1, 15360),
        settings_json="{}",
    ) as plan:
        plan.append([ScannedFrame(i, 512 * i, (), 0.0, 0.0, (0.0, 0.0)) for i in range(frames)])
        plan.finish_scan()
        plan.write_tracks([(Track(1, 0, frames - 1, "one", action), [face(i) for i in range(frames)])])
    return path


def by_ffmpeg(one: Path, other: Path) -> float:
    """Luma PSNR over all frames as FFmpeg's filter gives it."""
    command = [get_ffmpeg_exe(), "-hide_banner", "-i", str(other), "-i", str(one), "-lavfi", "psnr", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"PSNR y:([\d.]+)", said)
    assert found, said
    return float(found[1])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv422p10le"])
def test_where_nothing_is_painted_it_is_ffmpegs_figure(tmp_path: Path, pix_fmt: str) -> None:
    """In limited and full range, with 8 and 10 bits."""
    full = 2 if "j" in pix_fmt else 1
    one = make_clip(tmp_path / "a.mkv", pix_fmt=pix_fmt, tags=(1, 1, 1, full), frames=5).path
    poor = {"crf": "35"}
    other = make_clip(tmp_path / "b.mkv", pix_fmt=pix_fmt, tags=(1, 1, 1, full), frames=5, options=poor).path
    found = compare(one, other, painted=lambda _: None).fidelity
    assert found is not None
    assert found.psnr_db == pytest.approx(by_ffmpeg(one, other), abs=0.02)
    assert found.measured == 1
    assert 20 < found.worst_db <= found.psnr_db < 45


def picture(values: np.ndarray, pix_fmt: str = "gray", index: int = 0) -> Frame:
    """A full-range frame."""
    made = av.VideoFrame.from_ndarray(values, format=pix_fmt)
    made.color_range = 2
    return Frame(index, index, made, 0)


def test_the_worst_frame_is_named_and_painted_pixels_do_not_count() -> None:
    """One value off by 10 in a hundred pixels of the second frame; a spoiled corner under the mask is not seen."""
    clean, bad = np.full((10, 10), 100, np.uint8), np.full((10, 10), 100, np.uint8)
    bad[5, 5] = 110
    bad[0, 0] = 255
    mask = np.zeros((10, 10), np.bool_)
    mask[0, 0] = True
    meter = FidelityMeter()
    meter.add(picture(clean), picture(clean), None)
    meter.add(picture(clean, index=1), picture(bad, index=1), mask)
    found = meter.result()
    assert found is not None
    assert found.worst_frame == 1
    assert found.worst_db == pytest.approx(10 * math.log10(255**2 / (100 / 99)), abs=1e-3)
    assert found.psnr_db == pytest.approx(10 * math.log10(255**2 / (100 / 199)), abs=1e-3)
    assert found.measured == pytest.approx(199 / 200)


def test_without_a_difference_it_is_infinite_and_without_a_pixel_there_is_none() -> None:
    """A picture that is one face has nothing to measure."""
    one = picture(draw(0)[..., 0].copy())
    meter = FidelityMeter()
    meter.add(one, one, np.ones((120, 160), np.bool_))
    assert meter.result() is None
    meter.add(one, one, None)
    assert meter.result() == Fidelity(math.inf, math.inf, 0, 0.5)


def test_depth_and_range_are_seen_through() -> None:
    """The same greys in 8 bits of full and 10 bits of limited range differ by rounding alone."""
    luma = np.arange(256, dtype=np.uint8).repeat(2).reshape(16, 32)
    other = av.VideoFrame.from_ndarray(np.rint(64 + luma / 255 * 876).astype("<u2"), format="gray10le")
    other.color_range = 1
    meter = FidelityMeter()
    meter.add(picture(luma), Frame(0, 0, other, 0), None)
    found = meter.result()
    assert found is not None
    assert found.psnr_db > 65


def test_pictures_of_two_sizes_are_not_measured(tmp_path: Path) -> None:
    """There is nothing to lay over each other."""
    one = make_clip(tmp_path / "a.mp4", frames=2).path
    other = make_clip(tmp_path / "b.mp4", frames=2, size=(128, 96)).path
    assert compare(one, other, painted=lambda _: None).fidelity is None


def test_the_painted_area_holds_mask_edge_and_guard() -> None:
    """The core, its guard and its feather are in it; what is far away is not; faces beyond the picture are skipped."""
    settings = RenderSettings()
    one, outside = face(0), face(0, 2, (500.0, 500.0, 540.0, 540.0))
    area = painted_area([one, outside], width=160, height=120, settings=settings)
    outline = outline_px(face_pose(one.box, one.points), one.points, margin=settings.mask_margin)
    core = core_mask(outline, Region(0, 0, 160, 120))
    near = np.zeros_like(core)
    for dy in range(-GUARD_PX, GUARD_PX + 1):
        for dx in range(-GUARD_PX, GUARD_PX + 1):
            near |= np.roll(core, (dy, dx), (0, 1))
    assert (area >= near).all()
    assert area.sum() > near.sum()
    assert not area[:, :20].any()
    assert not painted_area([outside], width=160, height=120, settings=settings).any()


def spoiled(path: Path, source: Path) -> Path:
    """A lossless copy of a clip with noise over the face that `face` says is there."""
    noise = np.random.default_rng(0).integers(0, 255, (50, 40), np.uint8)
    with av.open(str(source)) as a, av.open(str(path), "w") as b:
        stream = b.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 160, 120, "yuv420p", Fraction(1, 15360)
        stream.codec_context.time_base = Fraction(1, 15360)
        for number, shown in enumerate(a.decode(video=0)):
            planes = shown.to_ndarray()
            planes[40:90, 60:100] = noise
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = 512 * number, Fraction(1, 15360)
            b.mux(stream.encode(frame))
        b.mux(stream.encode(None))
    return path


def test_the_plan_says_which_pixels_count(tmp_path: Path) -> None:
    """With the face anonymized its noise is not seen; with the face kept it is an error."""
    source = make_clip(tmp_path / "a.mp4", frames=4).path
    copy = spoiled(tmp_path / "b.mkv", source)
    plan = plan_of(tmp_path / "a.plan", source, frames=4)
    found = compare_outside(source, copy, plan, settings=RenderSettings()).fidelity
    assert found is not None
    assert math.isinf(found.psnr_db)
    assert 0.5 < found.measured < 0.9
    kept = plan_of(tmp_path / "b.plan", source, frames=4, action="keep")
    seen = compare_outside(source, copy, kept, settings=RenderSettings()).fidelity
    assert seen is not None
    assert seen.psnr_db < 25
    assert seen.measured == 1


def test_compare_prints_it_and_takes_the_plan_beside_the_copy(tmp_path: Path) -> None:
    """In words and as JSON; without a plan, or with another clip's, the rest is compared all the same."""
    source = make_clip(tmp_path / "a.mp4", frames=4).path
    copy = make_clip(tmp_path / "b.mp4", frames=4, options={"crf": "30"}).path
    assert json.loads(call("compare", source, copy, "--json").stdout)["fidelity"] is None
    plan = plan_of(tmp_path / "b.mp4.vidanon", source, frames=4)
    fidelity = json.loads(call("compare", source, copy, "--json").stdout)["fidelity"]
    assert 20 < fidelity["worst_db"] <= fidelity["psnr_db"] < 50
    assert f"PSNR outside faces       {fidelity['psnr_db']:.2f} dB" in call("compare", source, copy).stdout
    assert "equal (" in call("compare", source, source, "--plan", plan).stdout
    wide = call("compare", source, copy, "--json", "--plan", plan, "--set", "render.mask_margin=0.4").stdout
    assert json.loads(wide)["fidelity"]["measured"] < fidelity["measured"]
    other = make_clip(tmp_path / "c.mp4", frames=4, options={"crf": "20"}).path
    said = call("compare", other, copy)
    assert "another file" in said.stderr
    assert "PSNR" not in said.stdout
    assert "another file" in call("compare", other, copy, "--plan", plan, code=5).stderr
