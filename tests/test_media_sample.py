"""Sparse frames and FFmpeg's odd jobs: the right pictures, whoever finds them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, Tone, draw, frame_times, make_clip, make_gif, make_picture, make_text, number_in
from PIL import Image

import vidanon.media.sample
from vidanon.errors import InputError, OutputError, UsageError
from vidanon.media.filters import concat, contact_sheet
from vidanon.media.sample import evenly, sample_frames


def test_evenly_spreads_over_the_whole_clip() -> None:
    """Different frames, each in the middle of its share, never more than there are."""
    assert evenly(100, 4) == [12, 37, 62, 87]
    assert evenly(3, 10) == [0, 1, 2]
    assert evenly(0, 5) == evenly(5, 0) == []
    with pytest.raises(ValueError, match="counts"):
        evenly(-1, 2)


def test_samples_are_the_frames_asked_for(tmp_path: Path, vfr_clip: Clip, phone_clip: Clip) -> None:
    """In the order asked, upright, for VFR, turned, two-camera and GIF clips alike."""
    two = make_clip(tmp_path / "two.mp4", second_camera=True, frames=8)
    for clip in (vfr_clip, phone_clip, two):
        images = sample_frames(clip.path, [5, 0, 7, 5])
        assert [number_in(image) for image in images] == [5, 0, 7, 5]
        assert {image.shape for image in images} == {(clip.height, clip.width, 3)}
    assert [number_in(i) for i in sample_frames(make_gif(tmp_path / "a.gif").path, [3, 1])] == [3, 1]


def test_samples_can_be_small(phone_clip: Clip, tmp_path: Path) -> None:
    """The longer side shrinks to `max_side`, nothing is enlarged."""
    assert sample_frames(phone_clip.path, [0], max_side=80)[0].shape == (80, 60, 3)
    assert sample_frames(phone_clip.path, [0], max_side=8000)[0].shape == (160, 120, 3)
    assert sample_frames(make_picture(tmp_path / "a.jpg"), [0], max_side=48)[0].shape == (32, 48, 3)


def test_without_decord_the_reader_finds_the_same_frames(vfr_clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """decord has wheels for x86-64 only; elsewhere the result is the same."""
    with_decord = sample_frames(vfr_clip.path, [2, 9])
    monkeypatch.setattr(vidanon.media.sample, "decord", None)
    without = sample_frames(vfr_clip.path, [2, 9])
    assert [number_in(image) for image in without] == [2, 9]
    assert all(np.abs(a.astype(int) - b).mean() < 3 for a, b in zip(with_decord, without, strict=True))


def test_a_sample_past_the_end_is_an_error(vfr_clip: Clip, tmp_path: Path) -> None:
    """Nobody gets another frame than he asked for."""
    assert sample_frames(vfr_clip.path, []) == []
    for index in (10, -1):
        with pytest.raises(IndexError):
            sample_frames(vfr_clip.path, [0, index])
    with pytest.raises(InputError):
        sample_frames(make_text(tmp_path / "text.mp4"), [0])


def test_a_contact_sheet_shows_all_images_in_rows(tmp_path: Path) -> None:
    """Cells of one size, a picture of another shape fitted in, labels below."""
    images = [draw(i) for i in range(4)] + [draw(4, 60, 120)]
    out = tmp_path / "sheet.png"
    contact_sheet(images, out, columns=3, cell_width=80, labels=[f"frame {i}" for i in range(5)])
    with Image.open(out) as image:
        sheet = np.asarray(image)
    cell_w, cell_h = 84, 60 + 18 + 4
    assert sheet.shape == (2 * cell_h, 3 * cell_w, 3)
    for i in range(4):
        y, x = i // 3 * cell_h, i % 3 * cell_w
        cell = sheet[y : y + 60, x : x + 80]
        assert np.abs(cell.astype(int) - np.asarray(Image.fromarray(images[i]).resize((80, 60), 4))).mean() < 6
        label = sheet[y + 60 : y + 78, x : x + 80]
        assert label.max() > 150
        assert np.median(label) < 60
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sheet.png"]


def test_a_contact_sheet_of_one_image_is_that_image(tmp_path: Path) -> None:
    """No label, no row, no special case for the caller."""
    contact_sheet([draw(7)], tmp_path / "one.png", columns=5, cell_width=160)
    with Image.open(tmp_path / "one.png") as image:
        sheet = np.asarray(image)
    assert number_in(sheet[:120, :160]) == 7


def test_a_contact_sheet_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    """No images, labels that do not match, a folder that is not there, a file that is."""
    for images, labels in (([], None), ([draw(0)], ["a", "b"])):
        with pytest.raises(UsageError):
            contact_sheet(images, tmp_path / "a.png", columns=2, cell_width=80, labels=labels)
    with pytest.raises(OutputError, match="no such folder"):
        contact_sheet([draw(0)], tmp_path / "no" / "a.png", columns=2, cell_width=80)
    (tmp_path / "there.png").write_bytes(b"x")
    with pytest.raises(OutputError, match="exists"):
        contact_sheet([draw(0)], tmp_path / "there.png", columns=2, cell_width=80)


def test_segments_are_joined_without_encoding(tmp_path: Path) -> None:
    """Frames of both follow each other, and a quote in a name is no trouble."""
    first = make_clip(tmp_path / "it's one.mp4", frames=6, tones=[Tone()], options={"bf": "0"})
    second = make_clip(tmp_path / "two.mp4", frames=4, tones=[Tone()], options={"bf": "0"})
    out = tmp_path / "joined.mp4"
    concat([first.path, second.path], out)
    times = frame_times(out)
    assert len(times) == 10
    assert times[:6] == first.seconds
    assert times[6] >= Fraction(6, 30)
    assert [number_in(image) for image in sample_frames(out, range(10))] == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]


def test_what_cannot_be_joined_leaves_no_file(tmp_path: Path, vfr_clip: Clip) -> None:
    """FFmpeg's last word is in the error."""
    bad = make_text(tmp_path / "bad.mp4")
    with pytest.raises(OutputError, match="FFmpeg failed"):
        concat([bad], tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="nothing"):
        concat([], tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="no such file"):
        concat([vfr_clip.path, tmp_path / "nowhere.mp4"], tmp_path / "out.mp4")
    with pytest.raises(OutputError, match="cannot write"):
        concat([vfr_clip.path], tmp_path / "out.xyz")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.mp4"]
